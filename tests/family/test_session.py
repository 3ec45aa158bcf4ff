"""Flask-Session, and Flask's own session."""

from __future__ import annotations

from typing import Any

import pytest
from cachelib import SimpleCache
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface
from flask_session import Session
from werkzeug.http import parse_cookie

from flask_sealed import Sealed, sealed
from flask_sealed.testing import SealedClient, sealed_client

from .conftest import MakeFlask, Place

CARD = "4929 1234 5678 9012"


def add_views(app: Flask) -> None:
    @app.post("/keep")
    @sealed
    def keep() -> Any:
        session["card"] = CARD
        return {}

    @app.get("/kept")
    @sealed
    def kept() -> Any:
        return {"card": session.get("card")}


def cookie(client: SealedClient) -> str:
    headers = dict(client.wire[-1].response.headers)
    return parse_cookie(headers["Set-Cookie"])["session"]


def read_by_anyone(app: Flask, value: str) -> Any:
    """What a cookie says to who has no key: the signature is not looked at."""
    serializer: Any = SecureCookieSessionInterface().get_signing_serializer(app)
    return serializer.loads_unsafe(value)[1]


@pytest.fixture
def store() -> SimpleCache:
    return SimpleCache()


def test_a_session_on_the_server(
    make_flask: MakeFlask, place: Place[Any], store: SimpleCache
) -> None:
    app = make_flask(SESSION_TYPE="cachelib", SESSION_CACHELIB=store)
    place(app, lambda: Session(app))
    add_views(app)
    client = sealed_client(app)
    client.post("/keep")
    assert read_by_anyone(app, cookie(client)) is None
    assert client.get("/kept").json == {"card": CARD}
    assert sealed_client(app).get("/kept").json == {"card": None}
    client.assert_not_on_wire(CARD)
    # There it lies as it is.
    assert CARD.encode() in str(store._cache).encode()


def test_flasks_own_session_is_readable_on_the_way(make_flask: MakeFlask) -> None:
    app = make_flask()
    Sealed(app)
    add_views(app)
    client = sealed_client(app)
    client.post("/keep")
    assert read_by_anyone(app, cookie(client)) == {"card": CARD}
    assert client.get("/kept").json == {"card": CARD}


def test_a_new_session_id_at_the_login(
    make_flask: MakeFlask, place: Place[Any], store: SimpleCache
) -> None:
    app = make_flask(SESSION_TYPE="cachelib", SESSION_CACHELIB=store)
    place(app, lambda: Session(app))
    add_views(app)

    @app.post("/login")
    @sealed
    def login() -> Any:
        regenerate: Any = app.session_interface
        regenerate.regenerate(session)
        return {}

    client = sealed_client(app)
    client.post("/keep")
    before = cookie(client)
    client.post("/login")
    assert cookie(client) != before
    assert client.get("/kept").json == {"card": CARD}
