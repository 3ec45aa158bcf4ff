"""A login that hands out a session under the password, and clients that go on with it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from flask import Flask, request
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required

from flask_sealed import (
    ConfigError,
    Refused,
    SessionUnknown,
    Untrusted,
    current,
    password_session,
    sealed,
)
from flask_sealed.clients import open_password_session
from flask_sealed.clients.httpx import SealedTransport

from .conftest import AUDIENCE, MakeApp

WORDS = "correct horse battery"


@pytest.fixture
def app(make_session_app: MakeApp) -> Flask:
    app = make_session_app(JWT_SECRET_KEY="0f" * 32)
    JWTManager(app)

    @app.post("/login")
    def login() -> Any:
        return {"session": password_session(request.get_json()["password"])}

    @app.post("/token")
    @sealed
    def token() -> Any:
        return {"token": create_access_token("ada"), "binding": current.binding}

    @app.post("/transfer")
    @sealed
    @jwt_required()
    def transfer() -> Any:
        return {"by": get_jwt_identity(), "to": request.get_json()["to"]}

    @app.get("/strong")
    @sealed(kem=True)
    def strong() -> Any:
        return {}

    return app


def client(app: Flask, words: str = WORDS) -> httpx.Client:
    answer = app.test_client().post("/login", json={"password": WORDS}).get_json()
    session = open_password_session(answer["session"], words, audience=AUDIENCE)
    transport = SealedTransport(
        transport=httpx.WSGITransport(app), audience=AUDIENCE, session=session
    )
    return httpx.Client(transport=transport, base_url=AUDIENCE)


def test_a_client_goes_on_without_a_handshake(app: Flask) -> None:
    with client(app) as ada:
        answer = ada.post("/token").json()
        ada.headers["Authorization"] = f"Bearer {answer['token']}"
        assert ada.post("/transfer", json={"to": "4242"}).json() == {"by": "ada", "to": "4242"}
        # Each session has what tokens are bound to for itself.
        with client(app) as eve:
            eve.headers["Authorization"] = f"Bearer {answer['token']}"
            assert eve.post("/transfer", json={"to": "4242"}).status_code == 401


def test_another_password(app: Flask) -> None:
    with pytest.raises(Refused):
        client(app, "another")


@pytest.mark.parametrize(("scheme", "status"), [("http", 403), ("https", 200)])
def test_plain_http_from_another_machine(app: Flask, scheme: str, status: int) -> None:
    environ = {"REMOTE_ADDR": "192.0.2.1"}
    client = app.test_client()
    url = f"{scheme}://bank.example/login"
    response = client.post(url, json={"password": WORDS}, environ_base=environ)
    assert response.status_code == status
    assert ("session" in response.get_json()) is (status == 200)


def test_it_is_no_session_with_ml_kem(app: Flask) -> None:
    with client(app) as ada, pytest.raises(Untrusted):
        ada.get("/strong")


def test_a_session_that_is_over(app: Flask) -> None:
    now = app.extensions["sealed"].clock()
    app.extensions["sealed"].clock = lambda: now
    with client(app) as ada:
        assert ada.post("/token").status_code == 200
        app.extensions["sealed"].clock = lambda: now + 13 * 3600
        # The service says so in clear, where anyone could have written it.
        with pytest.raises(Untrusted):
            ada.post("/token")


def test_a_client_knows_when_its_session_is_over(app: Flask) -> None:
    times = [1000.0]
    answer = app.test_client().post("/login", json={"password": WORDS}).get_json()
    session = open_password_session(answer["session"], WORDS, audience=AUDIENCE)
    from flask_sealed.protocol.flow import Clock, Given

    clock = Clock(lambda: times[0], lambda: times[0])
    keys = Given(session, clock)
    assert clock.server_time() == session.iat
    assert keys.current(clock) is not None
    times[0] += session.exp - session.iat
    assert keys.current(clock) is None
    with pytest.raises(SessionUnknown):
        next(keys.get(clock), None)


def test_there_are_none_without_a_keyring(make_app: MakeApp) -> None:
    for app in (make_app(), Flask("none")):
        with app.app_context(), pytest.raises(ConfigError):
            password_session(WORDS)


def test_one_way_to_have_keys_is_enough(app: Flask) -> None:
    answer = app.test_client().post("/login", json={"password": WORDS}).get_json()
    session = open_password_session(answer["session"], WORDS, audience=AUDIENCE)
    with pytest.raises(ConfigError):
        SealedTransport(audience=AUDIENCE, session=session, unpinned=True)
    with pytest.raises(ConfigError):
        SealedTransport(audience=AUDIENCE, session=session, psk=("a", bytes(range(32))))
