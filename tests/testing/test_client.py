"""The test bench: a test client that seals and opens transparently."""

from __future__ import annotations

import io
import os
from base64 import b64encode
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from flask import Flask, Response, redirect, request, session
from flask_jwt_extended import JWTManager, create_access_token, jwt_required

from flask_sealed import ConfigError, Sealed, Untrusted, current, sealed
from flask_sealed.protocol.flow import Client
from flask_sealed.signals import handshake
from flask_sealed.testing import SealedClient, TestClock, sealed_client

from ..conftest import MakeApp, two_hosts

SECRET = "4242 4242"


@pytest.fixture
def app(make_session_app: MakeApp) -> Flask:
    app = make_session_app(
        SEALED_LEVEL3_KEY=os.urandom(32).hex(), JWT_SECRET_KEY="0f" * 32, SECRET_KEY="x"
    )
    JWTManager(app)
    add_views(app)
    add_other_views(app)
    app.test_client_class = SealedClient
    return app


def add_views(app: Flask) -> None:
    @app.post("/echo")
    @sealed
    def echo() -> Any:
        headers = {"X-Own": "1", "Content-Type": request.content_type}
        return request.get_data(), 201, headers

    @app.route("/look")
    @sealed
    def look() -> Any:
        return {"args": request.args.to_dict(), "seen": request.headers.get("X-Outside")}

    @app.route("/once")
    @sealed(once=True, pad=True)
    def once() -> Any:
        return {}

    @app.route("/go/<int:status>", methods=["GET", "POST"])
    @sealed
    def go(status: int) -> Any:
        return redirect(request.args["to"], status)

    @app.post("/old")
    @sealed(profile="level3")
    def old() -> Any:
        return request.get_data(), {"Content-Type": request.content_type}

    @app.get("/old/open")
    @sealed(profile="level3", request=False)
    def old_open() -> Any:
        return ("", 204) if "empty" in request.args else {"card": SECRET}


def add_other_views(app: Flask) -> None:
    @app.get("/pieces")
    @sealed
    def pieces() -> Response:
        def generate() -> Iterator[bytes]:
            for number in range(300):
                yield b"%04d" % number * 250
            if "broken" in request.args:
                raise RuntimeError("the view has failed halfway")

        return Response(generate(), mimetype="text/plain")

    @app.post("/login")
    @sealed
    def login() -> Any:
        session["user"] = "ada"
        return {"token": create_access_token("ada")}

    @app.get("/me")
    @sealed
    @jwt_required()
    def me() -> Any:
        return {"user": session.get("user")}

    @app.get("/offers")
    @jwt_required(optional=True)
    def offers() -> Any:
        return {"binding": current.binding, "args": request.args.to_dict()}


@pytest.fixture
def client(app: Flask) -> SealedClient:
    client = app.test_client()
    assert isinstance(client, SealedClient)
    return client


def test_a_test_stays_as_it_is(client: SealedClient) -> None:
    response = client.post("/echo", json={"card": SECRET})
    assert (response.status, response.json) == ("201 CREATED", {"card": SECRET})
    assert response.headers["X-Own"] == "1"
    assert response.content_length == len(response.data)
    assert "Sealed" not in response.headers
    client.assert_not_on_wire("4242", SECRET.encode())
    lines = [exchange.request.line for exchange in client.wire]
    assert lines == ["POST /sealed/session", "POST /echo"]
    assert client.wire[-1].request.body.startswith(b'{"data":"')
    assert client.wire[-1].response.line == "201 CREATED"
    assert SECRET not in repr(client.wire)


def test_queries_forms_files_and_headers(client: SealedClient) -> None:
    response = client.get("/look", query_string={"card": SECRET}, headers={"X-Outside": "1"})
    assert response.json == {"args": {"card": SECRET}, "seen": "1"}
    client.assert_not_on_wire("4242")
    assert client.get("/look", query_string={"a": "\xe9"}).get_json()["args"] == {"a": "\xe9"}
    form = client.post("/echo", data={"one": (io.BytesIO(SECRET.encode()), "x.txt")})
    assert SECRET.encode() in form.data
    long = client.post("/echo", data=SECRET.encode() * 300_000, content_type="text/plain")
    assert len(long.data) == 2_700_000
    assert client.wire[-1].request.body[:1] != b"{"
    client.assert_not_on_wire("4242")
    client.hide_query = False
    assert client.get("/look?card=1").json == {"args": {"card": "1"}, "seen": None}
    assert client.wire[-1].request.line == "GET /look?card=1"


@pytest.mark.parametrize("status", [302, 303, 307, 308])
def test_redirects(client: SealedClient, status: int) -> None:
    query = {"to": f"/look?card={SECRET}"}
    response = client.get(f"/go/{status}", query_string=query, follow_redirects=True)
    assert response.json == {"args": {"card": SECRET}, "seen": None}
    assert [one.status_code for one in response.history] == [status]
    kept = client.post(
        "/go/307?to=/echo", data=SECRET, content_type="text/plain", follow_redirects=True
    )
    assert kept.text == SECRET
    client.assert_not_on_wire("4242")


def test_a_view_is_taken_once_and_head(client: SealedClient) -> None:
    assert client.get("/once").status_code == 200
    head = client.head("/look")
    assert (head.status_code, head.data) == (200, b"")


def test_streams(client: SealedClient) -> None:
    expected = b"".join(b"%04d" % number * 250 for number in range(300))
    assert client.get("/pieces").data == expected
    assert client.get("/pieces", buffered=True).data == expected
    response = client.get("/pieces")
    assert next(response.iter_encoded())[:4] == b"0000"
    with pytest.raises(AssertionError):
        client.assert_not_on_wire("nothing")
    response.close()
    client.assert_not_on_wire("nothing")
    assert len(client.wire[-1].response.body) < len(expected)


def test_level3_views(client: SealedClient) -> None:
    for kind in ("application/json", "text/plain"):
        response = client.post("/old", data=SECRET, content_type=kind)
        assert (response.data, response.mimetype) == (SECRET.encode(), kind)
        assert response.content_length == len(SECRET)
    assert client.get("/old/open").json == {"card": SECRET}
    assert client.get("/old/open?empty=1").status_code == 204
    client.assert_not_on_wire("4242")
    with pytest.raises(Untrusted):
        client.post("/old")


def test_level3_alone(make_app: MakeApp) -> None:
    app = make_app()
    app.post("/echo")(sealed(_echo))
    app.get("/clear")(lambda: "clear")
    client = sealed_client(app)
    assert client.post("/echo", json=[SECRET]).json == [SECRET]
    assert client.get("/clear").text == "clear"
    client.assert_not_on_wire("4242")


def _echo() -> Any:
    return request.get_json()


def test_tokens_cookies_and_proofs(client: SealedClient, app: Flask) -> None:
    token = client.post("/login").get_json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get("/me", headers=headers).json == {"user": "ada"}
    client.assert_not_on_wire(token)
    assert client.get("/offers?a=1").json == {"binding": None, "args": {"a": "1"}}
    assert client.get("/offers", headers=headers).get_json()["binding"]
    thief = app.test_client()
    assert thief.get("/me", headers=headers).status_code == 401
    assert thief.get("/offers", headers=headers).status_code == 401
    with pytest.raises(AssertionError):
        client.assert_not_on_wire(token)
    client.clear_wire()
    client.assert_not_on_wire(token)


def test_other_answers_stay_what_they_are(client: SealedClient) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.delete("/echo").status_code == 405
    assert client.options("/echo").status_code == 200
    assert client.get("/look/").status_code == 404
    assert client.post("/go/303").status_code == 400
    with pytest.raises(ConfigError):
        sealed_client(Flask("plain"))


def test_what_is_on_the_wire_is_found(client: SealedClient) -> None:
    client.get("/offers?card=42%2042", headers={"X-Outside": "4343"})
    for shown in ("42 42", "4343", b"card", "binding"):
        with pytest.raises(AssertionError):
            client.assert_not_on_wire("nowhere", shown)
    with pytest.raises(ValueError):
        client.assert_not_on_wire("")
    encoded = b64encode(b"x" * 50 + b"4444" + b"x" * 50).decode()
    client.get("/offers", headers={"X-Outside": encoded})
    for shown in ("4444", encoded, encoded[:8]):
        with pytest.raises(AssertionError):
            client.assert_not_on_wire(shown)
    # By chance that would be in much that is sealed.
    client.assert_not_on_wire(encoded[:4])


def test_an_answer_in_clear_is_refused(app: Flask, client: SealedClient) -> None:
    client.get("/look")
    inner = app.wsgi_app

    def stripped(environ: dict[str, Any], start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [pair for pair in headers if pair[0] != "Sealed"]
            return start_response(status, kept, *more)

        return inner(environ, start)

    app.wsgi_app = stripped  # type: ignore[method-assign]
    with pytest.raises(Untrusted):
        client.get("/look")


def test_contexts_are_the_requests_own(client: SealedClient) -> None:
    with client:
        client.get("/look?a=1")
        assert request.path == "/look"
        assert "4242" not in str(request.data)
        client.post("/login")
        assert session["user"] == "ada"
    with client.session_transaction() as stored:
        assert stored["user"] == "ada"


def test_the_clock_moves_for_both_sides(app: Flask, client: SealedClient) -> None:
    agreed: list[str] = []

    def note(sender: Flask, *, sid: str, kem: bool) -> None:
        agreed.append(sid)

    with handshake.connected_to(note, app):
        client.get("/look")
        client.clock.move(1800)
        assert client.get("/look").status_code == 200
        assert len(agreed) == 1
        client.clock.move(1800)
        assert client.get("/look").status_code == 200
        assert len(agreed) == 2
        other = app.test_client()
        assert isinstance(other, SealedClient)
        assert other.clock is client.clock
        with pytest.raises(ValueError):
            client.clock.move(-1)


def test_a_fixed_clock() -> None:
    clock = TestClock()
    clock.fix(1000)
    assert clock.time() == clock.time() == 1000
    clock.move(5)
    assert clock.time() == 1005
    clock.fix()
    assert clock.time() == 1005


def test_fixed_randomness(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ops = []
    original = Client.exchange

    def exchange(self: Client, sent: Any, *args: Any, **more: Any) -> Any:
        ops.append(sent.op)
        return original(self, sent, *args, **more)

    monkeypatch.setattr(Client, "exchange", exchange)
    client = sealed_client(app, use_cookies=False)
    client.random = Random(7).randbytes
    client.post("/echo", data=b"x")
    assert ops == [Random(7).randbytes(16)]


def test_an_application_that_is_made_without_seals() -> None:
    app = Flask("tests.app")
    app.config.update(TESTING=True, SEALED_ENABLED=False, SEALED_PROFILE="level3")
    app.config["SEALED_LEVEL3_KEY"] = os.urandom(32).hex()
    Sealed(app)
    app.get("/look")(sealed(lambda_view))
    client = sealed_client(app)
    assert client.get("/look").text == "clear"
    with pytest.raises(AssertionError):
        client.assert_not_on_wire("clear")


def lambda_view() -> str:
    return "clear"


def test_other_paths_and_prefixes(make_session_app: MakeApp) -> None:
    app = make_session_app(
        SEALED_LEVEL3_KEY=os.urandom(32).hex(),
        SEALED_PREFIX="/api/keys",
        SEALED_PUBLIC_PATHS={"/": "/bank/"},
        APPLICATION_ROOT="/",
    )
    add_views(app)
    client = sealed_client(app)
    assert client.post("/echo", data=SECRET, content_type="text/plain").text == SECRET
    assert client.get("/look?a=1").get_json()["args"] == {"a": "1"}
    assert client.get("/look", base_url="https://bank.example").status_code == 200


@pytest.mark.parametrize("matching", ["host", "subdomain"])
def test_handshakes_go_to_the_host_of_sealed_views(
    make_session_app: MakeApp, matching: str
) -> None:
    where, elsewhere = two_hosts(matching)
    app = make_session_app(matching, SEALED_HOST=where[matching])
    app.add_url_rule("/x", "x", sealed(lambda: "x"), **where)
    app.add_url_rule("/who", "who", lambda: {"binding": current.binding}, **elsewhere)
    client = sealed_client(app)
    token = {"Authorization": "Bearer x"}
    who = client.get("/who", base_url="http://www.localhost", headers=token)
    assert who.get_json()["binding"]
    assert client.get("/x", base_url="http://api.localhost").data == b"x"
