"""``flask sealed routes``: see what is sealed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TypedDict

import click
from flask import Flask, current_app
from werkzeug.routing import Rule

from ..errors import ConfigError
from ..policy import Policies, is_automatic, read_policies
from .group import cli, server_side

_NOT = {"no": "not sealed", "optional": "sealed optionally, so it answers in clear, too"}
_DEMANDS = ("once", "kem", "pad")


class _Route(TypedDict):
    rule: str
    methods: list[str]
    endpoint: str
    sealed: str
    profile: str | None
    demands: list[str]


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
    side = server_side()
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
        optional = policy is not None and policy.mode == "optional"
        ways = [way for way in ("request", "response") if policy and getattr(policy, way)]
        row: _Route = {
            "rule": rule.rule,
            "methods": [],
            "endpoint": rule.endpoint,
            "sealed": "optional" if optional else _sealed(ways),
            "profile": (policy.profile or default) if policy else None,
            "demands": [name for name in _DEMANDS if policy and getattr(policy, name)],
        }
        key = row["sealed"], row["profile"], *row["demands"]
        rows.setdefault(key, row)["methods"].append(method)
    return list(rows.values())


def _sealed(ways: list[str]) -> str:
    return "both" if len(ways) == 2 else "".join(ways) or "no"


def _faults(table: list[_Route], pattern: str) -> list[str]:
    matching = [
        row
        for row in table
        if fnmatchcase(row["rule"], pattern) or fnmatchcase(row["endpoint"], pattern)
    ]
    if not matching:
        return [f"--require {pattern}: no route matches"]
    return [
        f"--require {pattern}: {','.join(row['methods'])} {row['rule']} is {_NOT[row['sealed']]}"
        for row in matching
        if row["sealed"] in ("no", "optional")
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
