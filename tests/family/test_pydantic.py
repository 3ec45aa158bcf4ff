"""pydantic."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request
from pydantic import BaseModel, ConfigDict, ValidationError

from flask_sealed import Sealed, sealed
from flask_sealed.testing import sealed_client

from .conftest import MakeFlask

SECRET = "40-2001-7788"


class Transfer(BaseModel):
    to: str
    amount: int


class Discreet(Transfer):
    model_config = ConfigDict(hide_input_in_errors=True)


@pytest.fixture
def site(make_flask: MakeFlask) -> Flask:
    site = make_flask(PROPAGATE_EXCEPTIONS=False)
    Sealed(site)
    for model in (Transfer, Discreet):
        name = model.__name__.lower()
        site.add_url_rule(f"/{name}", name, sealed(maker(model)), methods=["POST"])
    return site


def maker(model: type[Transfer]) -> Any:
    return lambda: model.model_validate_json(request.get_data()).model_dump()


def test_a_model(site: Flask) -> None:
    client = sealed_client(site)
    content = {"to": SECRET, "amount": 5}
    assert client.post("/transfer", json=content).json == content
    client.assert_not_on_wire(SECRET)


def test_what_an_error_handler_tells_is_sealed(site: Flask) -> None:
    @site.errorhandler(ValidationError)
    def told(error: Any) -> Any:
        return error.errors(include_url=False), 422

    client = sealed_client(site)
    response = client.post("/transfer", json={"to": SECRET, "amount": SECRET})
    assert (response.status_code, response.get_json()[0]["input"]) == (422, SECRET)
    client.assert_not_on_wire(SECRET)


@pytest.mark.parametrize("path", ["/transfer", "/discreet"])
def test_errors_quote_the_input(site: Flask, caplog: pytest.LogCaptureFixture, path: str) -> None:
    """They go to the log with the exception, unless the model hides it."""
    client = sealed_client(site)
    response = client.post(path, json={"to": SECRET, "amount": SECRET})
    assert response.status_code == 500
    assert "ValidationError" in caplog.text
    assert (SECRET in caplog.text) is (path == "/transfer")
