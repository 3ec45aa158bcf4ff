"""``flask sealed doctor``: see what is weak or wrong."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import click
from flask import current_app

from ..doctor import CATALOGUE, examine
from ..doctor.findings import SEVERITIES, Finding
from .group import cli, server_side

_INDENT = " " * 9


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option("--strict", is_flag=True, help="Fail on warnings, too.")
@click.option(
    "--ignore",
    "ignored",
    metavar="ID[:WHERE]",
    multiple=True,
    help="Leave a finding out, everywhere or in one place: such as 'level3' or"
    " 'sensitive-view:api.rates'. May be given more than once.",
)
def doctor(as_json: bool, strict: bool, ignored: Sequence[str]) -> None:
    """Say what is weak or wrong about the application, and what to do.

    Run it with the settings and the environment of production. Nothing is sent and nothing
    changed. The status is 1 where there are errors.
    """
    _check_ignored(ignored)
    server_side()
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    findings = [one for found in examine(app) if (one := _without(found, ignored))]
    count = Counter(finding.severity for finding in findings)
    if as_json:
        click.echo(json.dumps([_row(finding) for finding in findings], indent=2))
    else:
        click.echo(_text(findings))
        click.echo(", ".join(_counted(count[name], name) for name in SEVERITIES))
    if count["error"] or (strict and count["warning"]):
        raise SystemExit(1)


def _check_ignored(ignored: Sequence[str]) -> None:
    for one in ignored:
        if one.partition(":")[0] not in CATALOGUE:
            raise click.BadParameter(f"{one!r} is no finding: {', '.join(sorted(CATALOGUE))}")


def _without(finding: Finding, ignored: Sequence[str]) -> Finding | None:
    """What is left of a finding; nothing where all of it is left out."""
    if finding.id in ignored:
        return None
    where = tuple(one for one in finding.where if f"{finding.id}:{one}" not in ignored)
    return replace(finding, where=where) if where or not finding.where else None


def _row(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "link": finding.link}


def _text(findings: Sequence[Finding]) -> str:
    return "\n".join(line for finding in findings for line in (*_lines(finding), ""))


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _lines(finding: Finding) -> list[str]:
    lines = [f"{finding.severity:<9}{finding.id}"]
    for text in (
        finding.what,
        ", ".join(finding.where),
        f"Remedy: {finding.remedy}",
        finding.link,
    ):
        lines += textwrap.wrap(
            text, 99, initial_indent=_INDENT, subsequent_indent=_INDENT, break_long_words=False
        )
    return lines
