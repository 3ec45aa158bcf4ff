"""What the page of benchmarks shows is what was measured."""

from __future__ import annotations

import json
import re

import pytest

from ..benchmarks import plots
from ..benchmarks.rivals import measure, rivals
from .test_pages import DOCS

STATIC = DOCS / "_static"
FIGURES = json.loads((STATIC / "benchmarks.json").read_text("utf-8"))
PAGE = (DOCS / "benchmarks.rst").read_text("utf-8")


def test_pictures_and_tables_are_made_from_the_figures() -> None:
    there = {path.name: path.read_text("utf-8") for path in STATIC.glob("benchmarks-*")}
    assert there == plots.files(FIGURES)


def test_the_page_shows_each_picture_and_table_once() -> None:
    shown = re.findall(r"(?m)(?:\.\. image::|:file:) _static/(benchmarks-.+)$", PAGE)
    assert sorted(shown) == sorted(plots.files(FIGURES))


def test_no_figure_is_written_by_hand() -> None:
    assert re.findall(r"\d\.\d|\d\s?(?:µs|ms|MB/s|%)", PAGE) == []


def test_bytes_on_the_wire_are_still_those_of_the_page() -> None:
    for name, row in measure(rivals(), sizes=(200, 10_000), turns=1).items():
        # Others' may change with their versions.
        if name.startswith("Flask"):
            for size, count in row["wire"].items():
                assert FIGURES["rivals"][name]["wire"][str(size)] == count, name


@pytest.mark.parametrize(
    ("number", "text"), [(0.567, "0.57"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123")]
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert plots.digits(number) == text
