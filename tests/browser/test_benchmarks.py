"""What the browser's client costs can be measured, in a tiny form."""

from __future__ import annotations

from playwright.sync_api import Page

from ..benchmarks.clients import BLOCK, in_page


def test_calls_and_streams(page: Page) -> None:
    figures = in_page(page, calls=1, size=len(BLOCK), turns=1)
    rows = [*figures["calls"].values(), *figures["streams"].values()]
    assert len(rows) == 3
    assert all(row["sealed"] > 0 and row["in clear"] > 0 for row in rows)
