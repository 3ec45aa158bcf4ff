"""``@sealed(mode="optional")``: clients migrate, and nobody who has migrated can be led back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, current_app, request, send_file, stream_with_context
from flask.views import MethodView
from flask_jwt_extended import JWTManager, create_access_token, get_jwt, jwt_required

from flask_sealed import ConfigError, Untrusted, current, sealed, signals
from flask_sealed.policy import Policy
from flask_sealed.protocol.flow import RECORDS_TYPE
from flask_sealed.testing import sealed_client

from .conftest import MakeApp, MakeCaller
from .driver import SealedCaller

MARKER = "4242-4242"
AMOUNT = {"amount": MARKER}
METHODS = ["GET", "POST"]


def json_of(response: Any) -> Any:
    return json.loads(response.data)


def echo() -> dict[str, Any]:
    return {
        "json": request.get_json(silent=True),
        "args": request.args,
        "sealed": bool(current),
        "range": request.headers.get("Range"),
    }


@pytest.fixture
def app(make_session_app: MakeApp) -> Flask:
    app = make_session_app()
    app.add_url_rule("/echo", "echo", sealed(mode="optional")(echo), methods=METHODS)
    app.add_url_rule("/strict", "strict", sealed(echo), methods=METHODS)
    return app


@pytest.fixture
def caller(app: Flask, make_caller: MakeCaller) -> SealedCaller:
    return make_caller(app)


@pytest.fixture
def passed() -> Iterator[list[dict[str, Any]]]:
    """What the signal tells of requests in clear."""
    told: list[dict[str, Any]] = []

    def receive(sender: object, **more: Any) -> None:
        told.append(more)

    with signals.unsealed.connected_to(receive):
        yield told


def test_a_request_in_clear_is_answered_as_ever(app: Flask) -> None:
    client = app.test_client()
    answer = client.post("/echo?q=1", json=AMOUNT, headers={"Range": "bytes=0-1"})
    assert answer.json == {
        "json": AMOUNT,
        "args": {"q": "1"},
        "sealed": False,
        "range": "bytes=0-1",
    }
    assert answer.headers["Vary"] == "Sealed"
    assert {"Sealed", "Cache-Control"}.isdisjoint(answer.headers.keys())
    assert client.head("/echo").status_code == 200
    assert client.options("/echo").status_code == 200


def test_it_is_logged_and_counted_without_content(
    app: Flask, passed: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    app.test_client().post(f"/echo?card={MARKER}", json=AMOUNT)
    assert passed == [{"endpoint": "echo"}]
    records = [record for record in caplog.records if record.name == "flask_sealed"]
    assert [(record.levelno, record.args) for record in records] == [(logging.WARNING, ("echo",))]
    assert MARKER not in caplog.text


def test_a_sealed_request_gets_a_sealed_answer(
    caller: SealedCaller, passed: list[dict[str, Any]]
) -> None:
    reply = caller.post("/echo", json=AMOUNT, query=f"card={MARKER}")
    assert reply.json() == {
        "json": AMOUNT,
        "args": {"card": MARKER},
        "sealed": True,
        "range": None,
    }
    for send, raw in zip(caller.sent, caller.raws, strict=True):
        assert MARKER not in repr((send.body, send.headers, raw.headers, raw.body))
    assert not passed


def test_a_seal_that_is_there_has_to_open(
    app: Flask, caller: SealedCaller, passed: list[dict[str, Any]]
) -> None:
    client = app.test_client()
    for seal in ("", "x", "a.b.c.d.e", "a, b"):
        answer = client.post("/echo", json=AMOUNT, headers={"Sealed": seal})
        assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    caller.post("/echo", json=AMOUNT)
    last = caller.sent[-1]
    replayed = client.post("/echo", data=last.body, headers=dict(last.headers))
    assert replayed.status_code == 409
    assert "Sealed" in replayed.headers
    elsewhere = client.post("/echo?x=1", data=last.body, headers=dict(last.headers))
    assert elsewhere.status_code == 400
    assert not passed


def test_a_body_that_has_lost_its_seal_does_not_reach_the_view(app: Flask) -> None:
    answer = app.test_client().post("/echo", data=b"\0", content_type=RECORDS_TYPE)
    assert json_of(answer)["type"] == "urn:flask-sealed:sealed-required"


def test_errors_and_streams_in_clear(app: Flask, tmp_path: Any) -> None:
    def broken() -> Any:
        raise RuntimeError(MARKER)

    def live() -> Any:
        return Response(stream_with_context(str(request.args["n"]) for _ in range(3)))

    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    views: dict[str, Callable[[], Any]] = {
        "broken": broken,
        "live": live,
        "missing": lambda: abort(404),
        "file": lambda: send_file(path, mimetype="text/plain"),
    }
    for name, view in views.items():
        app.add_url_rule(f"/{name}", name, sealed(mode="optional")(view))
    client = app.test_client()
    assert client.get("/broken").status_code == 500
    assert client.get("/missing").status_code == 404
    assert client.get("/live?n=7").text == "777"
    part = client.get("/file", headers={"Range": "bytes=2-3"}, buffered=True)
    assert (part.status_code, part.data) == (206, b"23")
    for name in views:
        with client.get(f"/{name}?n=1") as answer:
            assert answer.headers["Vary"] == "Sealed"


def test_a_response_that_the_application_keeps_is_not_changed(app: Flask) -> None:
    kept = Response("kept")
    app.add_url_rule("/kept", "kept", sealed(mode="optional")(lambda: kept))
    assert app.test_client().get("/kept").headers["Vary"] == "Sealed"
    assert "Vary" not in kept.headers


def test_other_views_stay_as_they_are(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/strict", json=AMOUNT).status_code == 400
    assert client.get("/sealed/routes").status_code == 400


def test_a_view_that_demands_seals_does_not_run_for_another_in_clear(
    app: Flask, caller: SealedCaller
) -> None:
    strict = sealed(echo)
    app.add_url_rule("/calls", "calls", sealed(mode="optional")(lambda: strict()))

    def asks() -> Any:
        return current_app.view_functions["strict"]()

    app.add_url_rule("/asks", "asks", sealed(mode="optional")(asks))
    for path in ("/calls", "/asks"):
        assert app.test_client().get(path).status_code == 500
        assert caller.get(path).json()["sealed"] is True


def test_the_mode_of_a_method_goes_before_that_of_its_class(app: Flask) -> None:
    @sealed
    class Cards(MethodView):
        @sealed(mode="optional")
        def get(self) -> str:
            return "cards"

        def post(self) -> str:
            return "made"

    app.add_url_rule("/cards", view_func=Cards.as_view("cards"))
    client = app.test_client()
    assert client.get("/cards").text == "cards"
    assert client.post("/cards").status_code == 400


def test_https_is_demanded_in_clear_too(app: Flask) -> None:
    far = {"REMOTE_ADDR": "203.0.113.9"}
    assert app.test_client().get("/echo", environ_base=far).status_code == 403


def test_without_seals_nothing_is_counted(
    make_session_app: MakeApp, passed: list[dict[str, Any]]
) -> None:
    app = make_session_app(TESTING=True, SEALED_ENABLED=False)
    app.add_url_rule("/echo", "echo", sealed(mode="optional")(echo), methods=METHODS)
    assert json_of(app.test_client().post("/echo", json=AMOUNT))["json"] == AMOUNT
    assert not passed


# ------------------------------------------------------------------------------- tokens


@pytest.fixture
def guarded(app: Flask) -> Flask:
    app.config["JWT_SECRET_KEY"] = "0123456789abcdef0123456789abcdef"
    JWTManager(app)
    app.add_url_rule(
        "/login",
        "login",
        sealed(mode="optional")(lambda: {"token": create_access_token("anna")}),
        methods=["POST"],
    )
    app.add_url_rule("/me", "me", sealed(mode="optional")(jwt_required()(lambda: get_jwt())))
    return app


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_bound_token_is_refused_without_its_seal(
    guarded: Flask, make_caller: MakeCaller
) -> None:
    mine, other = make_caller(guarded), make_caller(guarded)
    token = mine.post("/login").json()["token"]
    assert mine.get("/me", headers=bearer(token)).json()["sub"] == "anna"
    assert other.get("/me", headers=bearer(token)).status == 401
    stolen = guarded.test_client().get("/me", headers=bearer(token))
    assert stolen.status_code == 401
    assert json_of(stolen)["type"] == "urn:flask-sealed:token-unbound"


def test_a_token_of_the_time_before_works_in_clear_alone(
    guarded: Flask, make_caller: MakeCaller
) -> None:
    client = guarded.test_client()
    token = json_of(client.post("/login"))["token"]
    claims = json_of(client.get("/me", headers=bearer(token)))
    assert claims["sub"] == "anna"
    assert "cnf" not in claims
    assert make_caller(guarded).get("/me", headers=bearer(token)).status == 401


# ------------------------------------------------------------------------------- clients


def test_the_list_says_that_it_is_optional(caller: SealedCaller) -> None:
    rows = caller.get("/sealed/routes").json()["routes"]
    assert {row["path"]: row["optional"] for row in rows} == {
        "/echo": True,
        "/strict": False,
        "/sealed/routes": False,
    }


class Downgrading:
    """Someone on the way who takes the seal off a request, and the ciphertext with it."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/echo":
            del environ["HTTP_SEALED"]
            environ |= {"CONTENT_LENGTH": "0", "REQUEST_METHOD": "GET"}
        return self._app(environ, start_response)


def test_who_knows_the_list_never_takes_an_answer_in_clear(app: Flask) -> None:
    client = sealed_client(app)
    assert json_of(client.post("/echo", json=AMOUNT))["sealed"] is True
    client.assert_not_on_wire(MARKER)
    app.wsgi_app = Downgrading(app.wsgi_app)  # type: ignore[method-assign]
    for send in (client.get, client.post):
        with pytest.raises(Untrusted):
            send("/echo")


# ------------------------------------------------------------------------------- set up wrongly


def test_what_cannot_be_optional(make_app: MakeApp) -> None:
    with pytest.raises(ConfigError):
        Policy(mode="optional", profile="level3")
    with pytest.raises(ConfigError):
        sealed(mode="sometimes")  # type: ignore[call-overload]
    app = make_app()
    app.add_url_rule("/x", "x", sealed(mode="optional")(lambda: "x"))
    assert app.test_client().get("/x").status_code == 500
