"""Flask-SQLAlchemy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask, Response, request, stream_with_context
from flask_sqlalchemy import SQLAlchemy

from flask_sealed import sealed
from flask_sealed.testing import sealed_client

from .conftest import MakeFlask, Place

IBAN = "DE02120300000000202051"
HIDDEN = {"SQLALCHEMY_ENGINE_OPTIONS": {"hide_parameters": True}}


MakeBank = Callable[..., Flask]


@pytest.fixture
def make_bank(make_flask: MakeFlask, place: Place[SQLAlchemy]) -> Iterator[MakeBank]:
    """Makes banks, whose databases are closed at the end."""
    with ExitStack() as engines:

        def make(**settings: Any) -> Flask:
            app = bank(make_flask, place, **settings)
            with app.app_context():
                engines.callback(app.extensions["sqlalchemy"].engine.dispose)
            return app

        yield make


def bank(make_flask: MakeFlask, place: Place[SQLAlchemy], **settings: Any) -> Flask:
    app = make_flask(SQLALCHEMY_DATABASE_URI="sqlite://", PROPAGATE_EXCEPTIONS=False, **settings)
    db = place(app, lambda: SQLAlchemy(app))

    class Account(db.Model):  # type: ignore[name-defined, misc]
        id = db.Column(db.Integer, primary_key=True)
        iban = db.Column(db.String, unique=True)

    with app.app_context():
        db.create_all()

    @app.post("/accounts")
    @sealed
    def add() -> Any:
        db.session.add(Account(iban=request.get_json()["iban"]))
        db.session.commit()
        return {}, 201

    @app.get("/accounts")
    @sealed
    def list_() -> Any:
        def accounts() -> Iterator[str]:
            for account in db.session.scalars(db.select(Account)):
                yield account.iban

        return Response(stream_with_context(accounts()), mimetype="text/plain")

    return app


def add_twice(app: Flask) -> list[int]:
    client = sealed_client(app)
    statuses = [client.post("/accounts", json={"iban": IBAN}).status_code for _ in range(2)]
    client.assert_not_on_wire(IBAN)
    return statuses


def test_a_stream_from_the_database(make_bank: MakeBank) -> None:
    app = make_bank(**HIDDEN)
    assert add_twice(app) == [201, 500]
    client = sealed_client(app)
    assert client.get("/accounts").text == IBAN
    client.assert_not_on_wire(IBAN)


@pytest.mark.parametrize("hidden", [False, True])
def test_errors_name_the_parameters(
    make_bank: MakeBank, caplog: pytest.LogCaptureFixture, hidden: bool
) -> None:
    """They go to the log with the exception, unless the engine hides them."""
    assert add_twice(make_bank(**(HIDDEN if hidden else {}))) == [201, 500]
    assert "IntegrityError" in caplog.text
    assert (IBAN in caplog.text) is not hidden


@pytest.mark.parametrize("hidden", [False, True])
def test_an_engine_that_echoes(
    make_bank: MakeBank, caplog: pytest.LogCaptureFixture, hidden: bool
) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    app = make_bank(**(HIDDEN if hidden else {}))
    client = sealed_client(app)
    assert client.post("/accounts", json={"iban": IBAN}).status_code == 201
    assert "INSERT" in caplog.text
    assert (IBAN in caplog.text) is not hidden
