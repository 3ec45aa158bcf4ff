"""The list of sealed routes, by which clients know what has to be sealed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from flask import Flask
from werkzeug.routing import Rule

from .config import Settings
from .errors import ConfigError
from .policy import Policies, Policy, host_of
from .targets import public_path

# A rule's variable: `<name>`, `<converter:name>` or `<converter(arguments):name>`.
_VARIABLE = re.compile(r"<(?:(\w+)(?:\(.*?\))?:)?(\w+)>")
# A template's variable, once the template has been escaped.
_PLACE = re.compile(r"\\\{(\\\+)?\w+\\\}")
_CLEAR = {
    "profile": "clear",
    "request": False,
    "response": False,
    "once": False,
    "kem": False,
    "optional": False,
}


def list_routes(
    app: Flask, settings: Settings, policies: Policies, mounted: str
) -> list[dict[str, Any]]:
    """What clients have to know: what each sealed route demands, and which routes in clear have a
    path that a sealed one's template matches.

    :param mounted: where the application is mounted.
    :raises ConfigError: where the list would not be complete.
    """
    rows = list(_sealed(app, settings, policies, mounted))
    return rows + list(_exceptions(app, settings, policies, mounted, rows))


def _sealed(
    app: Flask, settings: Settings, policies: Policies, mounted: str
) -> Iterator[dict[str, Any]]:
    """A row for each rule and each way that its methods are sealed."""
    for rule in app.url_map.iter_rules():
        ways: dict[Policy, list[str]] = {}
        for method in sorted(rule.methods or ()):
            policy = policies.get((rule.endpoint, method))
            if policy is not None:
                ways.setdefault(policy, []).append(method)
        # Those of another host are not the service's that this list is of.
        listed = ways and (host_of(rule) == settings.host or "<" in host_of(rule))
        path = _public_rule(mounted + rule.rule, settings) if listed else None
        for policy, methods in ways.items():
            for template in [] if path is None else _templates(rule, path):
                yield {
                    "path": template,
                    "methods": methods,
                    "profile": policy.profile or settings.profile,
                    "request": policy.request,
                    "response": policy.response,
                    "once": policy.once,
                    "kem": policy.kem,
                    "optional": policy.mode == "optional",
                }


def _exceptions(
    app: Flask, settings: Settings, policies: Policies, mounted: str, rows: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Rows for views in clear that clients would take for sealed.

    Their rules have no variables, and so go before those that have, where the host is the same.
    """
    for rule in app.url_map.iter_rules():
        if "<" in rule.rule or host_of(rule) != settings.host or rule.websocket:
            continue
        public = _public_rule(mounted + rule.rule, settings)
        path = quote(public or "", safe="/")
        methods = {
            method
            for row in rows
            if _matches(row["path"], path)
            for method in row["methods"]
            if method in (rule.methods or ()) and (rule.endpoint, method) not in policies
        }
        if methods:
            yield {"path": path, "methods": sorted(methods), **_CLEAR}


def _matches(template: str, path: str) -> bool:
    pattern = _PLACE.sub(lambda place: ".+" if place[1] else "[^/]+", re.escape(template))
    return re.fullmatch(pattern, path) is not None


def _public_rule(rule: str, settings: Settings) -> str | None:
    """A rule as clients see it; ``None`` where they cannot.

    :raises ConfigError: where its variables decide whether they can, and no template says how.
    """
    fixed, variable, _ = rule.partition("<")
    for inside, _ in settings.public_paths:
        if variable and inside.startswith(fixed) and inside != fixed:
            raise ConfigError(
                f"the list of sealed views cannot name {rule!r}, which has a variable where"
                f" SEALED_PUBLIC_PATHS has {inside!r}: begin the rule with that path"
            )
    return public_path(rule, settings.public_paths)


def _templates(rule: Rule, path: str) -> Iterator[str]:
    """What reaches a rule: with a slash at its end and without, where it is lenient about it."""
    yield _template(rule, path)
    if not rule.strict_slashes and path != "/":
        yield _template(rule, path[:-1] if path.endswith("/") else f"{path}/")


def _template(rule: Rule, path: str) -> str:
    """A rule's path as a URI template (RFC 6570): ``{name}`` stands for one segment or a part of
    it, ``{+name}`` for any number; all else is as it stands in a target."""
    template = ""
    at = 0
    for variable in _VARIABLE.finditer(path):
        converter = rule.map.converters[variable[1] or "default"]
        plus = "" if converter.part_isolating else "+"
        template += quote(path[at : variable.start()], safe="/") + f"{{{plus}{variable[2]}}}"
        at = variable.end()
    return template + quote(path[at:], safe="/")
