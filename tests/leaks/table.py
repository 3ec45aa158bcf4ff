"""The tables of ``docs/leaks.rst``, made of what was captured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .drive import FIELDS, SITUATIONS, Captured
from .lab import PLACES

LETTERS = dict(zip(FIELDS, "BHQARV", strict=True))


def table(captured: Captured) -> str:
    """A row for each situation, a column for each place; a letter for each field."""
    head = ["", *(place.replace("Flask-DebugToolbar", "Toolbar") for place in PLACES)]
    return "\n".join(_rows([head, *(_row(captured, situation) for situation in SITUATIONS)]))


def _row(captured: Captured, situation: str) -> list[str]:
    return [situation, *(_cell(captured[place, situation]) for place in PLACES)]


def _cell(fields: set[str]) -> str:
    return "".join(letter for name, letter in LETTERS.items() if name in fields)


def _rows(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ".. list-table::"
    yield "    :header-rows: 1"
    yield "    :stub-columns: 1"
    yield ""
    for row in rows:
        for number, cell in enumerate(row):
            start = "    *   -" if number == 0 else "        -"
            yield f"{start} {cell}".rstrip()
