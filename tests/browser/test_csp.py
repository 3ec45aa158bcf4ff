"""The content security policy of the documentation: what works under it, and what does not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from playwright.sync_api import Page

from flask_sealed import sealed
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.keys import KeyRing
from tests.conftest import AUDIENCE, MakeApp

from .conftest import Serve

_PAGE = (Path(__file__).parents[2] / "docs" / "csp.rst").read_text("utf-8")
_WORKER = """
import { sealedWorker } from "/sealed/client-sw.js";
sealedWorker({ audience: "AUDIENCE", unpinned: true, paths: ["/card"] });
""".replace("AUDIENCE", AUDIENCE)
#: Runs a function's body in the page, with `arg`.
Run = Callable[..., Any]


def policy() -> str:
    shown = re.search(r"POLICY = \(\n(.*?)\n    \)", _PAGE, re.DOTALL)
    assert shown is not None
    return "".join(re.findall(r'"([^"]*)"', shown[1]))


@pytest.fixture
def run(make_session_app: MakeApp, serve: Serve, page: Page) -> Run:
    app: Flask = make_session_app()
    app.add_url_rule("/", "page", lambda: "<!doctype html><link rel=icon href=/icon>")
    app.add_url_rule("/sw.js", "sw", lambda: Response(_WORKER, content_type="text/javascript"))
    app.add_url_rule("/card", "card", sealed(lambda: {"cardLast4": "4242"}))

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy()
        return response

    page.goto(serve(app))
    # Playwright's own evaluation is not held to the policy; what it calls is.
    return page.evaluate


@pytest.fixture
def pins(ring: KeyRing) -> list[str]:
    return [b64u_encode(pin) for pin in ring.pins(int(time.time()))]


def test_the_client_works(run: Run, pins: list[str]) -> None:
    card = run(
        """async (options) => {
          const { connect } = await import("/sealed/client.js");
          const api = await connect(location.origin, options);
          return (await api.fetch("/card")).json();
        }""",
        {"audience": AUDIENCE, "pins": pins},
    )
    assert card == {"cardLast4": "4242"}


def test_the_worker_works(run: Run) -> None:
    card = run(
        """async () => {
          const { serviceWorker } = navigator;
          const claimed = new Promise((resolve) => {
            serviceWorker.addEventListener("controllerchange", resolve, { once: true });
          });
          await serviceWorker.register("/sw.js", { type: "module" });
          if (!serviceWorker.controller) await claimed;
          return (await fetch("/card")).json();
        }"""
    )
    assert card == {"cardLast4": "4242"}


def test_what_is_injected_sends_nothing_elsewhere(run: Run) -> None:
    blocked = run(
        """async () => {
          const seen = [];
          const both = new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => {
              if (seen.push(event.effectiveDirective) === 2) resolve();
            });
          });
          const script = Object.assign(document.createElement("script"), { text: "self.ran = 1" });
          document.body.append(script);
          await fetch("http://127.0.0.1:1/?4242").catch(() => {});
          await both;
          return [seen.sort(), self.ran ?? null];
        }"""
    )
    assert blocked == [["connect-src", "script-src-elem"], None]
