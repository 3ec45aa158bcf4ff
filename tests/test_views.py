"""The extension's own views."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Blueprint, Flask, got_request_exception
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import flask_sealed
from flask_sealed import ConfigError, Sealed, Untrusted, sealed, views
from flask_sealed.protocol.flow import Send, Sessions
from flask_sealed.protocol.keys import KeyRing

from .conftest import AUDIENCE, MakeApp, MakeCaller, two_hosts
from .driver import FlaskWire
from .peer import problem

SESSION = "/sealed/session"
PLAIN = {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}


def hello(**changes: Any) -> bytes:
    """The body of a hello, signed by a client that pins nothing where nothing is said."""
    settings: dict[str, Any] = {"audience": AUDIENCE, "pins": None} | changes
    audience = settings.pop("audience")
    sessions = Sessions(audience, binding=Ed25519PrivateKey.generate(), **settings)
    from flask_sealed.protocol.flow import Clock

    step = next(sessions.get(Clock(time.monotonic, time.time)))
    assert isinstance(step, Send)
    assert step.body is not None
    return step.body


def post(client: FlaskClient, body: bytes, **more: Any) -> TestResponse:
    return client.post(SESSION, data=body, content_type="application/json", **more)


def test_a_handshake(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app(SEALED_SESSION_LIFETIME=120)
    caller = make_caller(app)
    assert caller.get("/sealed/routes").status == 200
    assert [send.target for send in caller.sent] == [SESSION, "/sealed/routes"]
    outer = caller.raws[0].head
    assert outer.status == 200
    assert outer.headers["content-type"] == "application/json"
    assert outer.headers["cache-control"] == "no-store"
    assert json.loads(caller.raws[0].body).keys() == {"session"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed"),
        (b"{}", "malformed"),
        (b"not json", "malformed"),
        (b'{"hello":5}', "malformed"),
        (b'{"hello":"a.b.c"}', "malformed"),
        (b'{"hello":"","more":1}', "malformed"),
        (b'{"hello":"\xff"}', "malformed"),
        (b"[" * 5000, "malformed"),
        (b'{"hello":"' + b"x" * 16_384 + b'"}', "too-large"),
        (hello(audience="https://other.example"), "refused"),
        (hello(pins=[bytes(32)]), "refused"),
        (hello()[:-40] + b"A" * 38 + b'"}', "refused"),
    ],
)
def test_what_is_no_hello_for_this_service(
    make_session_app: MakeApp, body: bytes, code: str
) -> None:
    assert problem(post(make_session_app().test_client(), body)) == code


def test_a_hello_of_16_kib_is_read(make_session_app: MakeApp) -> None:
    client = make_session_app().test_client()
    body = hello()
    assert post(client, body.ljust(16_384)).status_code == 200
    assert problem(post(client, body.ljust(16_385))) == "too-large"


def test_other_methods(make_session_app: MakeApp) -> None:
    response = make_session_app().test_client().get(SESSION)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]


def test_handshakes_demand_https(make_session_app: MakeApp) -> None:
    client = make_session_app().test_client()
    assert problem(post(client, hello(), **PLAIN)) == "https-required"
    assert post(client, hello(), base_url="https://bank.example", **PLAIN).status_code == 200


@pytest.mark.parametrize("purpose", ["ticket", "identity"])
def test_without_an_active_key(
    make_session_app: MakeApp, ring: KeyRing, caplog: pytest.LogCaptureFixture, purpose: str
) -> None:
    active = tuple(pair for pair in ring.active if pair[0] != purpose)
    poor = replace(ring, active=active, backup=None)
    if purpose == "identity":
        poor = replace(poor, keys=tuple(key for key in ring.keys if key.purpose != purpose))
    app = make_session_app(SEALED_KEYRING=poor.to_json().decode())
    response = post(app.test_client(), hello())
    assert problem(response) == "unavailable"
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1


def test_an_error_that_nobody_expects_shows_nothing(
    make_session_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **more: object) -> None:
        secret = "4242"  # noqa: F841
        raise RuntimeError

    monkeypatch.setattr(views, "answer_hello", fail)
    app = make_session_app()
    seen: list[str] = []

    def collect(sender: object, exception: BaseException, **more: object) -> None:
        trace = exception.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_name in {"fail", "_agree", "session"}:
                seen.append(repr(trace.tb_frame.f_locals))
            trace = trace.tb_next

    got_request_exception.connect(collect, app)
    assert post(app.test_client(), hello()).status_code == 500
    assert len(seen) >= 2
    assert set(seen[1:]) == {"{}"}


def test_routes_are_sealed(make_session_app: MakeApp) -> None:
    response = make_session_app().test_client().get("/sealed/routes")
    assert problem(response) == "sealed-required"


MODULES = Path(flask_sealed.__file__).parent / "js" / "dist"


@pytest.mark.parametrize("name", sorted(path.name for path in MODULES.iterdir()))
def test_the_client(make_session_app: MakeApp, name: str) -> None:
    client = make_session_app().test_client()
    response = client.get(f"/sealed/{name}")
    assert response.data == (MODULES / name).read_bytes()
    assert response.content_type == "text/javascript; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-cache"
    tag = response.headers["ETag"]
    assert tag == f'"{hashlib.sha256(response.data).hexdigest()}"'
    again = client.get(f"/sealed/{name}", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    other = client.get(f"/sealed/{name}", headers={"If-None-Match": '"x"'})
    assert other.status_code == 200
    assert client.post(f"/sealed/{name}").status_code == 405


def test_without_a_keyring_there_are_no_views(make_app: MakeApp) -> None:
    client = make_app().test_client()
    assert client.post(SESSION).status_code == 404
    assert client.get("/sealed/routes").status_code == 404
    assert client.get("/sealed/client.js").status_code == 404


def test_another_prefix(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app(SEALED_PREFIX="/keys/v1")
    assert app.test_client().post(SESSION).status_code == 404
    caller = make_caller(app, prefix="/keys/v1")
    assert caller.get("/keys/v1/routes").status == 200


@pytest.mark.parametrize("matching", ["host", "subdomain"])
def test_one_host_has_these_and_the_sealed_views(
    make_session_app: MakeApp, make_caller: MakeCaller, matching: str
) -> None:
    where, elsewhere = two_hosts(matching)
    app = make_session_app(matching, SEALED_HOST=where[matching])
    app.add_url_rule("/x", "x", sealed(lambda: "x"), **where)
    app.add_url_rule("/x", "clear", lambda: "clear", **elsewhere)
    app.add_url_rule("/sealed/client.js", "own", lambda: "own", **elsewhere)
    caller = make_caller(app)
    caller.wire = FlaskWire(app, HTTP_HOST="api.localhost")
    assert caller.get("/x").content == b"x"
    client = app.test_client()
    assert client.get("/sealed/client.js", base_url="http://api.localhost").data[:3] != b"own"
    assert client.get("/sealed/client.js", base_url="http://www.localhost").data == b"own"
    assert post(client, hello(), base_url="http://www.localhost").status_code == 404
    # Who changes the host gets no other answer taken for the sealed one.
    caller.wire = FlaskWire(app, HTTP_HOST="www.localhost")
    with pytest.raises(Untrusted):
        caller.get("/x")


@pytest.mark.parametrize("rule", ["/sealed/session", "/sealed/routes", "/sealed/client.js"])
def test_a_view_at_the_path_of_one_of_these_is_told(make_session_app: MakeApp, rule: str) -> None:
    app = make_session_app()
    app.add_url_rule(rule, "mine", lambda: "x", methods=["PUT"])
    app.testing = True
    with pytest.raises(ConfigError) as caught:
        app.test_client().get("/")
    assert "'mine'" in str(caught.value)
    assert "SEALED_PREFIX" in str(caught.value)


def test_a_blueprint_of_the_same_name_is_told(ring: KeyRing) -> None:
    app = Flask(__name__)
    app.register_blueprint(Blueprint("flask_sealed", "tests.app"))
    app.config.update(SEALED_KEYRING=ring.to_json().decode(), TESTING=True)
    with pytest.raises(ConfigError):
        Sealed(app)


def test_all_that_the_client_imports_is_served(make_session_app: MakeApp) -> None:
    client = make_session_app().test_client()
    imported = {
        name
        for path in MODULES.iterdir()
        for name in re.findall(r"""(?:from|import\()"\./([^"]+)\"""", path.read_text())
    }
    assert {"client.js", "client-transfers.js"} <= imported
    assert {client.get(f"/sealed/{name}").status_code for name in imported} == {200}
