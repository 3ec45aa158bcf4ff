"""OpenAPI: which operations of a description are sealed, and how.

A description keeps the schemas of the plaintext, since that is what views and the code that calls
them see. What travels is said by an extension mark, ``x-sealed``, at each sealed operation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.routing import Rule

from .errors import ConfigError
from .policy import Policy, is_automatic, policy_of

if TYPE_CHECKING:
    from apispec import BasePlugin

#: The name of the mark.
MARK = "x-sealed"
# What the profiles are called outside of this package.
_PROFILES = {"session": "flask-sealed/1", "level3": "level3"}
# A rule's variable, as Flask writes it: `<name>`, `<converter:name>`, `<converter(...):name>`.
_VARIABLE = re.compile(r"<(?:\w+(?:\(.*?\))?:)?(\w+)>")

Spec = dict[str, Any]


def mark_sealed(spec: Spec, app: Flask, *, prefix: str = "") -> Spec:
    """Mark the sealed operations of a whole description.

    :param spec: an OpenAPI or Swagger document; it is changed in place.
    :param app: the application whose views it describes.
    :param prefix: what the application's paths have before those of the document, such as its
        ``basePath``.
    :returns: the same document.
    :raises ConfigError: where the application has no ``Sealed``, or one path of a document stands
        for views that are sealed in different ways.
    """
    for path, operations in spec.get("paths", {}).items():
        mark_operations(operations, app, prefix.rstrip("/") + path)
    return spec


def mark_operations(operations: Spec, app: Flask, path: str) -> None:
    """Mark the sealed operations of one path, in place.

    :param operations: what a document says of a path: its operations by method, in lower case.
    :param path: the path with its parameters in braces.
    :raises ConfigError: as :func:`mark_sealed`.
    """
    side = app.extensions.get("sealed")
    if side is None:
        raise ConfigError("this application has no `Sealed`; write `Sealed(app)` first")
    for method, operation in operations.items() if side.settings.enabled else ():
        policies = set(_policies(app, path, method.upper()))
        if len(policies) > 1:
            raise ConfigError(
                f"{method.upper()} {path} stands for views that are sealed in different ways:"
                " give their variables different names, so that each has a path of its own"
            )
        for policy in policies - {None}:
            operation[MARK] = _mark(policy, policy.profile or side.settings.profile)


def _mark(policy: Policy, profile: str) -> dict[str, str | bool]:
    return {
        "profile": _PROFILES[profile],
        "request": policy.request,
        "response": policy.response,
        "once": policy.once,
        "kem": policy.kem,
        "pad": policy.pad,
        "optional": policy.mode == "optional",
    }


def _policies(app: Flask, path: str, method: str) -> Iterator[Any]:
    """What the views of a path demand, ``None`` for one that is not sealed."""
    for rule in app.url_map.iter_rules():
        if method in (rule.methods or ()) and _path(rule) == path:
            yield None if is_automatic(rule, method) else policy_of(app, rule, method)


def _path(rule: Rule) -> str:
    return _VARIABLE.sub(r"{\1}", rule.rule)


def sealed_plugin(app: Flask) -> BasePlugin:
    """A plugin for apispec, and for what is made of it: flask-smorest and APIFlask.

    It marks the sealed operations of a path when that is added to the description.

    :param app: the application whose views are described.
    """
    from apispec import BasePlugin  # noqa: PLC0415 - not among this package's own needs

    class SealedPlugin(BasePlugin):
        def operation_helper(
            self, path: str | None = None, operations: Spec | None = None, **_: object
        ) -> None:
            if path is not None and operations is not None:
                mark_operations(operations, app, path)

    return SealedPlugin()
