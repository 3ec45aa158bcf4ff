"""The article's browser code, unchanged, opens what sealed views answer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request, send_file
from playwright.sync_api import Page

from flask_sealed import Sealed, sealed

from .conftest import Serve
from .texts import JSON_TEXTS, TEXTS

_ARTICLE = Path(__file__).parent / "fixtures" / "article.js"
_GET = """async ([url, key, options]) => {
    const article = await import("/article.js");
    return article.get(url, key, options);
}"""
_GET_BYTES = """async ([url, key]) => {
    const article = await import("/article.js");
    const { data } = await (await fetch(url)).json();
    return new TextDecoder("utf-8", { fatal: true }).decode(await article.decryptBytes(data, key));
}"""


class Service:
    """A page of a live application, and the key that it ships with."""

    def __init__(self, page: Page, key: str) -> None:
        self.page = page
        self.key = key

    def get(self, url: str, **options: object) -> Any:
        return self.page.evaluate(_GET, [url, self.key, options])

    def get_bytes(self, url: str) -> str:
        opened: str = self.page.evaluate(_GET_BYTES, [url, self.key])
        return opened


@pytest.fixture
def service(page: Page, serve: Serve) -> Service:
    key = os.urandom(32).hex()
    page.goto(serve(_make_app(key)))
    return Service(page, key)


def _make_app(key: str) -> Flask:
    app = Flask("tests.article")
    app.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=key)
    Sealed(app)
    app.add_url_rule("/", "page", lambda: '<!doctype html><link rel="icon" href="data:,">')
    app.add_url_rule("/article.js", "module", lambda: send_file(_ARTICLE))

    @app.get("/texts/<name>")
    @sealed
    def text(name: str) -> Response:
        return Response(TEXTS[name], content_type="application/json")

    @app.post("/echo")
    @sealed(request=False)
    def echo() -> dict[str, Any]:
        return {"got": request.get_json()}

    @app.get("/missing")
    @sealed
    def missing() -> tuple[dict[str, str], int]:
        return {"error": "missing"}, 404

    return app


@pytest.mark.parametrize("name", JSON_TEXTS)
def test_json_of_all_sizes(service: Service, name: str) -> None:
    assert service.get(f"/texts/{name}") == json.loads(JSON_TEXTS[name])


@pytest.mark.parametrize("name", TEXTS)
def test_bytes_of_all_sizes(service: Service, name: str) -> None:
    assert service.get_bytes(f"/texts/{name}") == TEXTS[name]


def test_a_view_that_takes_requests_in_clear(service: Service) -> None:
    sent = {"amount": 12, "to": "Zoë 🏦"}
    headers = {"Content-Type": "application/json"}
    answer = service.get("/echo", method="POST", headers=headers, body=json.dumps(sent))
    assert answer == {"got": sent}


def test_errors_open_too(service: Service) -> None:
    assert service.get("/missing") == {"error": "missing"}
