"""``flask sealed …``: make keys, see what clients pin, see what is sealed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, TypedDict

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from werkzeug.routing import Rule

from .errors import ConfigError
from .keyfile import make_keyring
from .policy import Policies, is_automatic, read_policies
from .protocol.encoding import b64u_encode
from .protocol.jwk import KEY_BYTES
from .protocol.keys import KeyRing

cli = AppGroup("sealed", help="Keys and views of Flask-Sealed.")


_DEMANDS = ("once", "kem", "pad")


class _Route(TypedDict):
    rule: str
    methods: list[str]
    endpoint: str
    sealed: str
    profile: str | None
    demands: list[str]


@cli.command(with_appcontext=False)
@click.option(
    "--keyring",
    "path",
    metavar="PATH",
    help="Make a keyring for the profile session in this file, and print its pins.",
)
def keygen(path: str | None) -> None:
    """Print a new Level 3 key, as 64 hex digits, or make a keyring with --keyring.

    The Level 3 key goes to standard output and nowhere else. A keyring goes into its file, which
    only its user can read; a file that is there already is left alone. No application is needed.
    """
    if path is not None:
        _make_keyring(path)
        return
    click.echo(os.urandom(KEY_BYTES).hex())
    click.echo(
        "Give it to the application as SEALED_LEVEL3_KEY, from a secret store or a file that only"
        " the server reads.",
        err=True,
    )


def _make_keyring(path: str) -> None:
    try:
        ring = make_keyring(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    _print_pins(ring)
    click.echo(
        f"{path} has the keys: set SEALED_KEYRING to its path, and keep a copy in a safe place."
        " The lines on standard output are the pins: configure clients with all of them.",
        err=True,
    )


@cli.command()
def pins() -> None:
    """Print the pins of the application's keyring, one a line.

    They are the thumbprints of the identity keys in use now and later, and no secret. Clients are
    configured with all of them.
    """
    keyring = _side().settings.keyring
    if keyring is None:
        raise click.ClickException("this application has no keyring: its profile is level3")
    _print_pins(keyring.ring())


def _print_pins(ring: KeyRing) -> None:
    for pin in ring.pins(int(time.time())):
        click.echo(b64u_encode(pin))


def _side() -> Any:
    """What the extension holds for the application."""
    side = current_app.extensions.get("sealed")
    if side is None:
        raise click.ClickException(
            "this application has no `Sealed(app)`, so none of its views is sealed"
        )
    return side


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--require",
    "patterns",
    metavar="PATTERN",
    multiple=True,
    help="Fail where a route whose rule or endpoint matches is not sealed, or none matches: such"
    " as '/api/*' or 'bank.*'. May be given more than once.",
)
def routes(as_json: bool, patterns: Sequence[str]) -> None:
    """List all routes and which way each is sealed."""
    table = _routes(current_app._get_current_object())  # type: ignore[attr-defined]
    click.echo(json.dumps(table, indent=2) if as_json else _format(table))
    faults = [fault for pattern in patterns for fault in _faults(table, pattern)]
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        raise SystemExit(1)


def _routes(app: Flask) -> list[_Route]:
    """A row for each rule and each way that its methods are sealed, in the order of the rules."""
    side = _side()
    try:
        policies = read_policies(app)
        side.check(app, policies)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    rows: list[_Route] = []
    for rule in app.url_map.iter_rules():
        rows += _rows(rule, policies, side.settings.profile)
    return rows


def _rows(rule: Rule, policies: Policies, default: str | None) -> list[_Route]:
    rows: dict[tuple[object, ...], _Route] = {}
    for method in sorted(rule.methods or ()):
        if is_automatic(rule, method):
            continue
        policy = policies.get((rule.endpoint, method))
        ways = [way for way in ("request", "response") if policy and getattr(policy, way)]
        row: _Route = {
            "rule": rule.rule,
            "methods": [],
            "endpoint": rule.endpoint,
            "sealed": "both" if len(ways) == 2 else "".join(ways) or "no",
            "profile": (policy.profile or default) if policy else None,
            "demands": [name for name in _DEMANDS if policy and getattr(policy, name)],
        }
        key = row["sealed"], row["profile"], *row["demands"]
        rows.setdefault(key, row)["methods"].append(method)
    return list(rows.values())


def _faults(table: list[_Route], pattern: str) -> list[str]:
    matching = [
        row
        for row in table
        if fnmatchcase(row["rule"], pattern) or fnmatchcase(row["endpoint"], pattern)
    ]
    if not matching:
        return [f"--require {pattern}: no route matches"]
    return [
        f"--require {pattern}: {','.join(row['methods'])} {row['rule']} is not sealed"
        for row in matching
        if row["sealed"] == "no"
    ]


def _format(table: list[_Route]) -> str:
    head = ("Rule", "Methods", "Endpoint", "Sealed", "Profile", "Demands")
    cells = [
        (
            row["rule"],
            ",".join(row["methods"]),
            row["endpoint"],
            row["sealed"],
            row["profile"] or "",
            ",".join(row["demands"]),
        )
        for row in table
    ]
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(len(head))]
    lines = (head, tuple("-" * width for width in widths), *cells)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
