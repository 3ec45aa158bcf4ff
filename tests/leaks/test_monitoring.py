"""Monitoring of every kind, installed one by one, keeps no plaintext of sealed views."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import LOG, observe
from .drive import SITUATIONS, Captured
from .sdks import REMEDIES, SDKS
from .table import table

PAGE = Path(__file__).parents[2] / "docs/leaks.rst"
# What no library can take away, and what the page says of it.
SAID = {"said": {"body"}}
QUOTED = {"quoted": {"body"}}
STACK = {"body", "local"}
REMAINS: dict[str, dict[str, set[str]]] = {
    **dict.fromkeys((*SDKS, LOG), SAID | QUOTED),
    "Elastic APM": SAID | QUOTED | {"caught": STACK, "logged": STACK},
    "ddtrace": QUOTED | {"refused": {"answer"}},
    "Flask-DebugToolbar": SAID,
}


def left(captured: Captured, place: str) -> dict[str, set[str]]:
    """The situations in which something was found there."""
    found = {situation: captured[place, situation] for situation in SITUATIONS}
    return {situation: fields for situation, fields in found.items() if fields}


@pytest.mark.parametrize("place", [*SDKS, LOG])
def test_sealed(captured: dict[str, Captured], place: str) -> None:
    assert left(captured["kept"], place) == REMAINS[place]


@pytest.mark.parametrize("place", [*SDKS, LOG])
def test_with_exceptions_masked(captured: dict[str, Captured], place: str) -> None:
    """What the view says itself is left, and nothing else."""
    remains = {name: fields for name, fields in REMAINS[place].items() if name != "quoted"}
    assert left(captured["masked"], place) == remains


@pytest.mark.parametrize("remedy", REMEDIES)
def test_remedies(tmp_path: Path, remedy: str) -> None:
    found = observe(tmp_path, remedy, ["masked"])["masked"]
    said = {} if remedy.startswith("ddtrace") else SAID
    assert left(found, remedy) == said


@pytest.mark.parametrize("place", [*SDKS, LOG])
def test_control(captured: dict[str, Captured], place: str) -> None:
    """Unsealed, each of them keeps something."""
    assert left(captured["open"], place)


def test_every_field_is_found_somewhere(captured: dict[str, Captured]) -> None:
    for situation in SITUATIONS:
        fields = set().union(*(captured["open"][place, situation] for place in (*SDKS, LOG)))
        assert {"header"} <= fields
        assert fields & {"body", "query"}


@pytest.mark.parametrize("kind", ["open", "kept", "masked"])
def test_the_page_says_so(captured: dict[str, Captured], kind: str) -> None:
    made = table(captured[kind])
    assert made in PAGE.read_text(), f"docs/leaks.rst needs this table:\n\n{made}\n"
