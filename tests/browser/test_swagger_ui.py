"""Swagger UI in the bank: "Try it out" shows plaintext, and the wire carries none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from examples.bank import create_app

from .conftest import Serve
from .test_service_worker import Tap

# The quotes are in no base64 and in no port, so that neither can hold the digits by chance.
MARKERS = ('"4242"', "cardLast4", "accessToken", "analytical-engine", "Lovelace", "Bearer")


@pytest.fixture
def tapped(serve: Serve, instance: Path, tmp_path: Path, page: Page) -> Tap:
    shutil.copy2(instance / "bank.sqlite3", tmp_path)
    app = create_app(instance_path=tmp_path)
    tap = Tap(app.wsgi_app)
    app.wsgi_app = tap  # type: ignore[method-assign]
    page.goto(f"{serve(app)}/docs/")
    return tap


def execute(page: Page, summary: str, sent: object = None) -> Any:
    """The answer that Swagger UI shows after "Try it out" and "Execute"."""
    block: Locator = page.locator(".opblock").filter(has_text=summary)
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    if sent is not None:
        block.locator("textarea").fill(json.dumps(sent))
    block.get_by_role("button", name="Execute").click()
    shown = block.locator(".live-responses-table .highlight-code code").first
    expect(shown).to_be_visible()
    return json.loads(shown.inner_text())


def authorize(page: Page, token: str) -> None:
    page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".dialog-ux")
    dialog.locator("input").fill(token)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").click()


def test_try_it_out(page: Page, tapped: Tap) -> None:
    who = {"customer": "ada", "password": "analytical-engine"}
    answer = execute(page, "Log in", who)
    assert answer["fullName"] == "Ada Lovelace"
    authorize(page, answer["accessToken"])
    assert execute(page, "The card")["cardLast4"] == "4242"
    sealed = tapped.of("/api/login") + tapped.of("/api/payment-details")
    assert len(sealed) == 2
    for seen in sealed:
        assert "HTTP_SEALED" in seen
        for marker in (*MARKERS, answer["accessToken"]):
            assert marker not in seen


def test_a_view_in_clear(page: Page, tapped: Tap) -> None:
    assert execute(page, "Exchange rates")["base"] == "EUR"
    (seen,) = tapped.of("/api/rates")
    assert "HTTP_SEALED" not in seen
