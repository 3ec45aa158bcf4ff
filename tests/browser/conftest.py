"""A real browser, and live servers for it, on this machine only."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from werkzeug.serving import make_server

from examples.bank import create_app

from ..http_server import running
from .recorder import Recorder

#: Serves an application until the test's end, and answers its URL.
Serve = Callable[[Flask], str]

#: How long a browser may take for anything, in milliseconds.
PATIENCE = 120_000
expect.set_options(timeout=PATIENCE)

#: How the system's own Chromium is started.
CHROMIUM: dict[str, Any] = {
    "timeout": PATIENCE,
    "executable_path": shutil.which("chromium"),
    "args": [
        "--no-sandbox",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    ],
}


# For this package only: while Playwright runs, there is an event loop in the thread, and tests of
# asynchronous views could not have theirs.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as servers:
        yield lambda app: servers.enter_context(
            running(make_server("127.0.0.1", 0, app, threaded=True))
        )


@pytest.fixture(scope="package")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance folder with a database to copy: to hash the passwords anew takes its time."""
    folder = tmp_path_factory.mktemp("instance")
    create_app(instance_path=folder)
    return folder


@pytest.fixture
def bank(instance: Path, tmp_path: Path) -> Flask:
    shutil.copy2(instance / "bank.sqlite3", tmp_path)
    return create_app(instance_path=tmp_path)


@pytest.fixture
def recorder(bank: Flask) -> Recorder:
    """What goes over the bank's wire."""
    recorder = Recorder(bank.wsgi_app)
    bank.wsgi_app = recorder  # type: ignore[method-assign]
    return recorder


@pytest.fixture
def bank_url(serve: Serve, bank: Flask, recorder: Recorder) -> str:
    return serve(bank)
