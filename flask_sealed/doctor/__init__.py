"""What is weak or wrong about an application: findings, each with its remedy."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from types import ModuleType

from flask import Flask

from ..errors import ConfigError, Unavailable
from ..policy import Policies, read_policies
from . import deployment, keys, monitoring, views
from .findings import SEVERITIES, Finding, Subject, Weakness

_PARTS: tuple[ModuleType, ...] = (deployment, keys, views, monitoring)

MISCONFIGURED = Weakness(
    "misconfigured",
    "error",
    "A view demands what cannot be, so every request is answered with an error.",
    "Do as the text says.",
)
#: All that can be found, by its id.
CATALOGUE: dict[str, Weakness] = {
    weakness.id: weakness
    for part in (*_PARTS, None)
    for weakness in (vars(part).values() if part else (MISCONFIGURED,))
    if isinstance(weakness, Weakness)
}


def examine(
    app: Flask, *, environ: Mapping[str, str] | None = None, now: int | None = None
) -> list[Finding]:
    """Look at an application that has a ``Sealed``; nothing is sent, and nothing is changed.

    :param environ: the environment that the application will run in; this process's where it is
        left out.
    :param now: seconds since 1970; the clock's where it is left out.
    :returns: the worst first.
    """
    side = app.extensions["sealed"]
    faults: list[Finding] = []
    policies: Policies = {}
    try:
        policies = read_policies(app)
        side.check(app, policies)
    except ConfigError as error:
        faults.append(MISCONFIGURED.found(str(error)))
    subject = Subject(
        app=app,
        settings=side.settings,
        policies=policies,
        environ=os.environ if environ is None else environ,
        now=int(time.time()) if now is None else now,
    )
    return sorted([*faults, *_look(subject)], key=lambda one: SEVERITIES.index(one.severity))


def _look(subject: Subject) -> Iterator[Finding]:
    for part in _PARTS:
        for check in part.CHECKS:
            try:
                yield from check(subject)
            except Unavailable:
                continue  # The keyring cannot be read, which is a finding of its own.
