"""The bank's page for Swagger UI: what its description says is sealed, and its worker."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from examples.bank import create_app, docs
from examples.bank.page import pins


@pytest.fixture
def bank(tmp_path: Path) -> Flask:
    return create_app({"TESTING": True}, instance_path=tmp_path)


def test_the_marks_are_those_of_the_views(bank: Flask) -> None:
    client = bank.test_client()
    described = client.get("/docs/openapi.json").get_json()["paths"]
    assert described
    for path, operations in described.items():
        for method, operation in operations.items():
            answer = client.open(path, method=method.upper())
            problem = answer.get_json() if answer.status_code == 400 else {}
            is_sealed = problem.get("type") == "urn:flask-sealed:sealed-required"
            assert is_sealed is ("x-sealed" in operation), path


def test_the_worker_has_the_pins_and_the_pages_below_it_alone(bank: Flask) -> None:
    answer = bank.test_client().get("/docs/sw.js")
    assert answer.mimetype == "text/javascript"
    assert "Service-Worker-Allowed" not in answer.headers
    for pin in pins(bank):
        assert pin in answer.text


def test_without_swagger_ui_there_is_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "find_spec", lambda name: None)
    client = create_app({"TESTING": True}, instance_path=tmp_path).test_client()
    assert client.get("/docs/").status_code == 404
    assert client.get("/").status_code == 200


def test_only_this_page_may_have_styles_at_its_elements(bank: Flask) -> None:
    client = bank.test_client()
    policies = [client.get(path).headers["Content-Security-Policy"] for path in ("/docs/", "/")]
    assert ["'unsafe-inline'" in policy for policy in policies] == [True, False]
    assert all("script-src" not in policy for policy in policies)
