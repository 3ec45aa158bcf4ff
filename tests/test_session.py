"""The session profile on Flask: what views see, what travels, and what is refused."""

from __future__ import annotations

import gzip
import json
import logging
import os
import time
from dataclasses import replace
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, current_app, g, make_response, redirect
from flask import request as flask_request
from flask_compress import Compress
from flask_cors import CORS

from flask_sealed import Refused, Sealed, Unavailable, Untrusted, current, sealed
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.exchange import ClientExchange
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.jwk import thumbprint
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.messages import Request
from flask_sealed.protocol.replay import MemoryStore

from .conftest import AUDIENCE, PSK, MakeApp, MakeCaller
from .driver import FlaskWire, Outer, SealedCaller

MARKER = "4242-4242"
AMOUNT = {"amount": MARKER}


def echo() -> dict[str, Any]:
    return {
        "json": flask_request.get_json(silent=True),
        "data": flask_request.get_data(as_text=True),
        "form": flask_request.form,
        "files": {name: file.read().decode() for name, file in flask_request.files.items()},
        "args": flask_request.args,
        "url": flask_request.full_path,
        "type": flask_request.content_type,
        "headers": {name.lower(): value for name, value in flask_request.headers},
    }


METHODS = ["GET", "POST", "PUT", "DELETE"]


@pytest.fixture
def app(make_session_app: MakeApp) -> Flask:
    app = make_session_app()
    app.add_url_rule("/echo", "echo", sealed(echo), methods=METHODS)
    app.add_url_rule("/other", "other", sealed(echo), methods=METHODS)
    return app


@pytest.fixture
def caller(app: Flask, make_caller: MakeCaller) -> SealedCaller:
    return make_caller(app)


def problem(outer: Outer) -> str:
    """The code of a refusal in clear, whose form is checked."""
    headers = outer.head.headers
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert "sealed" not in headers
    body = json.loads(outer.read())
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == outer.status
    return str(body["type"].removeprefix("urn:flask-sealed:"))


def transfer(**more: Any) -> Request:
    return Request(method="POST", target="/echo", content_type="application/json", **more)


BODY = json.dumps(AMOUNT).encode()


# ------------------------------------------------------------------- what the view sees


def test_a_view_sees_the_content_and_the_network_does_not(caller: SealedCaller) -> None:
    seen = caller.post("/echo", json=AMOUNT).json()
    assert seen["json"] == AMOUNT
    assert seen["type"] == "application/json"
    assert seen["headers"]["content-length"] == str(len(BODY))
    for send, raw in zip(caller.sent, caller.raws, strict=True):
        assert MARKER not in repr((send.body, send.headers, raw.headers, raw.body))
    outer = caller.raw.head.headers
    assert outer["content-type"] == "application/json"
    assert outer["cache-control"] == "no-store, no-transform"
    assert outer["content-length"] == str(len(caller.raw.body))
    assert list(json.loads(caller.raw.body)) == ["data"]


def test_a_hidden_query_becomes_the_arguments(caller: SealedCaller) -> None:
    seen = caller.get("/echo", query=f"card={MARKER}&x=%20").json()
    assert seen["args"] == {"card": MARKER, "x": " "}
    assert seen["url"] == f"/echo?card={MARKER}&x=%20"
    assert caller.get("/echo?page=2").json()["args"] == {"page": "2"}


def test_sealed_headers_replace_all_outer_ones_of_their_names(caller: SealedCaller) -> None:
    seen = caller.get(
        "/echo",
        headers={"authorization": "Bearer mine", "accept-language": "de"},
        outer={"authorization": "Bearer evil", "accept-language": "fr", "x-trace": "1"},
    ).json()["headers"]
    assert (seen["authorization"], seen["accept-language"]) == ("Bearer mine", "de")
    assert seen["x-trace"] == "1"


@pytest.mark.parametrize(
    "header",
    [
        "authorization",
        "idempotency-key",
        "x-csrf-token",
        "if",
        "if-none-match",
        "if-schedule-tag-match",
        "range",
        "x-http-method-override",
        "content-encoding",
        "content-type",
    ],
)
def test_outer_headers_that_nobody_has_authenticated_are_not_shown(
    caller: SealedCaller, header: str
) -> None:
    seen = caller.get("/echo", outer={header: "evil"}).json()["headers"]
    assert header not in seen
    assert caller.get("/echo", outer={"accept": "text/x"}).json()["headers"]["accept"] == "text/x"


def test_what_a_hook_has_looked_at_before_is_not_remembered(
    app: Flask, caller: SealedCaller
) -> None:
    @app.before_request
    def look() -> None:
        names = ("authorization", "args", "values", "json", "form", "accept_mimetypes", "url")
        g.looked = [getattr(flask_request, name, None) for name in names if name != "json"]
        flask_request.get_json(silent=True)
        g.seen = flask_request.get_data(as_text=True)

    @app.after_request
    def tell(response: Response) -> Response:
        assert MARKER not in repr((g.looked, g.seen, flask_request.get_data()))
        return response

    auth = {"authorization": "Bearer mine"}
    seen = caller.post("/echo", json=AMOUNT, query=f"q={MARKER}", headers=auth).json()
    assert seen["json"] == AMOUNT
    assert seen["args"] == {"q": MARKER}
    assert seen["headers"]["authorization"] == "Bearer mine"


def test_what_a_hook_has_looked_at_says_nothing_without_a_body(
    app: Flask, caller: SealedCaller
) -> None:
    def look() -> list[Any]:
        parts = flask_request.mimetype, flask_request.mimetype_params, flask_request.is_json
        return [*parts, flask_request.content_length, flask_request.get_json(silent=True)]

    app.before_request(lambda: (look(), None)[1])
    app.add_url_rule("/look", "look", sealed(look), methods=["POST"])
    outer = {"content-type": "application/json; charset=evil", "content-length": "0"}
    assert caller.post("/look", outer=outer).json() == ["", {}, False, None, None]


def test_forms(caller: SealedCaller) -> None:
    form = f"card={MARKER}&n=1".encode()
    seen = caller.post("/echo", data=form, content_type="application/x-www-form-urlencoded").json()
    assert seen["form"] == {"card": MARKER, "n": "1"}


def test_multipart(caller: SealedCaller) -> None:
    parts = f'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n{MARKER}\r\n'
    parts += '--b\r\nContent-Disposition: form-data; name="n"\r\n\r\n1\r\n--b--\r\n'
    kind = "multipart/form-data; boundary=b"
    halves = [parts[:50].encode(), parts[50:].encode()]
    for more in ({"data": parts.encode()}, {"content_iter": halves}):
        seen = caller.post("/echo", content_type=kind, **more).json()
        assert seen["files"] == {"f": MARKER}
        assert seen["form"] == {"n": "1"}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_a_body(caller: SealedCaller, method: str) -> None:
    seen = caller.request(method, "/echo").json()
    assert (seen["data"], seen["type"]) == ("", None)
    assert caller.raws[-1].status == 200
    assert caller.sent[-1].body is None


def test_an_empty_body(caller: SealedCaller) -> None:
    assert caller.post("/echo", data=b"", content_type="text/plain").json()["type"] == "text/plain"


def test_no_content_of_any_size_is_lost(caller: SealedCaller) -> None:
    for size in (1, 255, 65_536, 1_000_000):
        seen = caller.post("/echo", data=b"x" * size, content_type="text/plain", pad=True).json()
        assert len(seen["data"]) == size


def test_pre_shared_keys(app: Flask, ring: Any) -> None:
    secret = ring.get("psk", PSK, int(time.time())).material
    service = SealedCaller(FlaskWire(app), audience=AUDIENCE, psk=(PSK, secret))
    assert service.post("/echo", json=AMOUNT).json()["json"] == AMOUNT
    assert service.get("/echo").status == 200


@pytest.mark.parametrize(
    ("times", "taken"), [((-100, 100), True), ((-100, 0), False), ((100, 200), False), ((), False)]
)
def test_a_pre_shared_key_that_is_unknown_or_may_not_be_used_now(
    make_session_app: MakeApp, ring: KeyRing, times: tuple[int, ...], taken: bool
) -> None:
    now, secret = int(time.time()), os.urandom(32)
    if times:
        nbf, exp = (now + offset for offset in times)
        ring = ring.add(Key(kid="peer", purpose="psk", material=secret, nbf=nbf, exp=exp))
    app = make_session_app(SEALED_KEYRING=ring.to_json().decode())
    app.add_url_rule("/echo", "echo", sealed(echo), methods=METHODS)
    caller = SealedCaller(FlaskWire(app), audience=AUDIENCE, psk=("peer", secret))
    outer, _ = caller.attempt(transfer(), BODY)
    assert outer.status == 200 if taken else problem(outer) == "refused"


def test_async_views_and_blueprints(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app()
    blueprint = Blueprint("api", __name__, url_prefix="/api")

    @blueprint.post("/async")
    async def late() -> Any:
        return flask_request.get_json()

    Sealed().blueprint(blueprint)
    app.register_blueprint(blueprint)
    assert make_caller(app).post("/api/async", json=AMOUNT).json() == AMOUNT


# ------------------------------------------------------------------- what the network sees


def status_204() -> Any:
    return "", 204


def not_modified() -> Any:
    return Response(status=304, headers={"ETag": '"secret"'})


def moved() -> Any:
    return redirect(f"/echo?card={MARKER}", 303)


def created() -> Any:
    headers = {"Location": "/x", "X-Card": MARKER, "Cache-Control": "max-age=1", "Link": "<a>"}
    response = make_response(AMOUNT, 201, headers)
    response.headers.add("Link", "<b>")
    response.set_cookie("c", "1")
    response.headers["Retry-After"] = "3"
    return response


def text() -> str:
    return MARKER


def missing() -> Any:
    abort(404, MARKER)


def broken() -> Any:
    raise ValueError(MARKER)


@pytest.fixture
def answers(make_session_app: MakeApp) -> Flask:
    app = make_session_app()
    for view in (status_204, not_modified, moved, created, text, missing, broken):
        app.add_url_rule(f"/{view.__name__}", view_func=sealed(view))
    return app


@pytest.mark.parametrize(
    ("path", "inside", "outside"),
    [
        ("/status_204", 204, 200),
        ("/not_modified", 304, 200),
        ("/moved", 303, 200),
        ("/created", 201, 201),
        ("/text", 200, 200),
        ("/missing", 404, 404),
        ("/broken", 500, 500),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_statuses(
    answers: Flask, make_caller: MakeCaller, path: str, inside: int, outside: int, method: str
) -> None:
    caller = make_caller(answers)
    reply = caller.request(method, path)
    assert (reply.status, caller.raw.status) == (inside, outside)
    reply.content  # noqa: B018 - reads it
    assert MARKER not in repr((caller.raw.headers, caller.raw.body))
    if method == "HEAD" or inside in (204, 304):
        assert (caller.raw.body, reply.content) == (b"", b"")
        assert "content-type" not in caller.raw.head.headers
    if inside in (204, 304):
        assert reply.content_type is None


def test_headers_are_sealed_but_those_of_the_transport(
    answers: Flask, make_caller: MakeCaller
) -> None:
    caller = make_caller(answers)
    reply = caller.get("/created")
    assert reply.headers == [
        ("location", "/x"),
        ("x-card", MARKER),
        ("cache-control", "max-age=1"),
        ("link", "<a>"),
        ("link", "<b>"),
    ]
    outer = caller.raw.head.headers
    assert outer["set-cookie"] == "c=1; Path=/"
    assert outer["retry-after"] == "3"
    assert not {"location", "x-card", "link", "etag"} & outer.keys()
    assert reply.content_type == "application/json"
    assert make_caller(answers).get("/text").content_type == "text/html; charset=utf-8"


def test_a_view_does_not_frame_what_leaves(
    make_session_app: MakeApp, make_caller: MakeCaller
) -> None:
    app = make_session_app()
    framing = {"Transfer-Encoding": "chunked", "Connection": "close", "Trailer": "x"}
    app.add_url_rule("/x", "x", sealed(lambda: ("x", framing)))
    caller = make_caller(app)
    assert caller.get("/x").content == b"x"
    assert not {"transfer-encoding", "connection", "trailer"} & caller.raw.head.headers.keys()


def test_head_tells_the_length_in_the_seal(answers: Flask, make_caller: MakeCaller) -> None:
    caller = make_caller(answers)
    reply = caller.request("HEAD", "/text")
    assert reply.answer.length == len(MARKER)
    assert reply.content_type == "text/html; charset=utf-8"


def test_redirects_are_followed_sealed(answers: Flask, make_caller: MakeCaller) -> None:
    answers.add_url_rule("/echo", "echo", sealed(echo))
    reply = make_caller(answers).get("/moved", redirects=3)
    assert reply.json()["args"] == {"card": MARKER}


def test_the_length_can_be_hidden(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app()
    app.add_url_rule("/<int:size>", "view", sealed(pad=True)(lambda size: "x" * size))
    caller = make_caller(app)
    sizes = set()
    for size in (1000, 1001, 1020):
        assert len(caller.get(f"/{size}").content) == size
        sizes.add(len(caller.raw.body))
    assert len(sizes) == 1


def test_headers_that_do_not_fit_the_seal(
    make_session_app: MakeApp, make_caller: MakeCaller
) -> None:
    app = make_session_app()
    many = {f"X-{number}": "x" * 90 for number in range(300)}
    app.add_url_rule("/many", "many", sealed(lambda: (AMOUNT, many)))
    app.add_url_rule("/most", "most", sealed(lambda: (AMOUNT, many | {"X-A": "x" * 70_000})))
    app.add_url_rule("/bad", "bad", sealed(lambda: (AMOUNT, {"X_A": "1"})))
    caller = make_caller(app)
    reply = caller.get("/many")
    assert (reply.json(), len(reply.headers)) == (AMOUNT, 300)
    for method, path in (("HEAD", "/many"), ("GET", "/most"), ("GET", "/bad")):
        reply = caller.request(method, path)
        assert (reply.status, reply.headers) == (500, [])
        assert MARKER.encode() not in reply.content


def test_files_that_a_front_server_would_send(
    make_session_app: MakeApp, make_caller: MakeCaller
) -> None:
    app = make_session_app()
    app.add_url_rule("/x", "x", sealed(lambda: ("", {"X-Sendfile": "/etc/passwd"})))
    caller = make_caller(app)
    assert caller.get("/x").status == 500
    assert "x-sendfile" not in caller.raw.head.headers


def test_other_origins_can_read_the_seal(app: Flask, caller: SealedCaller) -> None:
    caller.get("/echo", outer={"origin": "https://app.example"})
    assert caller.raw.head.headers["access-control-expose-headers"] == "Sealed"
    caller.get("/echo")
    assert "access-control-expose-headers" not in caller.raw.head.headers


def test_flask_cors(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app()
    CORS(app, expose_headers=["X-Id"], origins=["https://app.example"])
    app.add_url_rule("/echo", "echo", sealed(echo), methods=METHODS)
    caller = make_caller(app)
    caller.get("/echo", outer={"origin": "https://app.example"})
    outer = caller.raw.head.headers
    assert outer["access-control-allow-origin"] == "https://app.example"
    exposed = {name.strip() for name in outer["access-control-expose-headers"].split(",")}
    assert exposed == {"Sealed", "X-Id"}
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    preflight["Access-Control-Request-Headers"] = "sealed,content-type"
    response = app.test_client().options("/echo", headers=preflight)
    assert response.status_code == 200
    assert "sealed" in response.headers["Access-Control-Allow-Headers"].lower()


def test_flask_compress(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app(COMPRESS_MIN_SIZE=1)
    app.add_url_rule("/echo", "echo", sealed(echo), methods=METHODS)
    app.add_url_rule("/pieces", "pieces", sealed(lambda: iter([MARKER] * 3)))
    Compress(app)
    caller = make_caller(app)
    attempt = caller.prepare(Request(method="GET", target="/echo"))
    ask = (*attempt.send.headers, ("accept-encoding", "gzip"))
    outer = caller.deliver(changed(attempt.send, headers=ask))
    body = outer.read()
    assert outer.head.headers["content-encoding"] == "gzip"
    # It is the ciphertext that was compressed: its length tells nothing of the content.
    body = gzip.decompress(body)
    opened = attempt.exchange.open(outer.head.headers["sealed"])
    assert json.loads(opened.open_body(body))["args"] == {}
    pieces = caller.get("/pieces", outer={"accept-encoding": "gzip"})
    assert pieces.content == MARKER.encode() * 3


def test_errors_of_handlers_and_hooks_are_sealed(app: Flask, caller: SealedCaller) -> None:
    @app.errorhandler(418)
    def teapot(_: object) -> Any:
        return {"card": MARKER}, 418, {"X-Card": MARKER}

    @app.before_request
    def closed() -> Any:
        return teapot(None) if flask_request.args.get("closed") else None

    app.add_url_rule("/tea", "tea", sealed(lambda: abort(418)))
    for target in ("/tea", "/echo?closed=1"):
        reply = caller.get(target)
        assert (reply.status, reply.json()) == (418, {"card": MARKER})
        assert MARKER not in repr((caller.raw.headers, caller.raw.body))


@pytest.mark.parametrize("how", ["view", "stream", "error", "hook", "abort"])
def test_a_function_of_a_blueprint_that_fails_lets_nothing_out(
    make_session_app: MakeApp, make_caller: MakeCaller, how: str
) -> None:
    app = make_session_app()
    blueprint = Blueprint("cards", __name__)

    @blueprint.before_request
    def answer() -> str | None:
        if how == "abort":
            abort(403)
        return MARKER if how == "hook" else None

    @blueprint.after_request
    def fail(_: Response) -> Response:
        raise RuntimeError

    @blueprint.post("/card")
    @sealed
    def card() -> Any:
        if how == "error":
            raise ValueError
        return Response(iter([MARKER])) if how == "stream" else {"card": MARKER}

    app.register_blueprint(blueprint)
    app.register_error_handler(500, lambda _: (MARKER, 500))
    caller = make_caller(app)
    reply = caller.post("/card", json=AMOUNT)
    assert (reply.status, reply.content) == (500, MARKER.encode())
    assert MARKER.encode() not in caller.raw.body


def test_a_response_that_handlers_give_to_all_is_not_changed(
    app: Flask, make_caller: MakeCaller
) -> None:
    gone = Response("gone", 410, {"X-Card": MARKER})

    @app.url_value_preprocessor
    def look(_: str | None, values: dict[str, Any] | None) -> None:
        if values == {"name": "none"}:
            abort(410)

    app.register_error_handler(410, lambda _: gone)
    app.add_url_rule("/open", "open", lambda: abort(410))
    app.add_url_rule("/sealed/<name>/", "sealed", sealed(lambda name: abort(410)))
    caller = make_caller(app)
    for _ in range(3):
        reply = caller.get("/sealed/x/")
        assert (reply.status, reply.content) == (410, b"gone")
        app.test_client().get("/sealed/none/")
    opened = app.test_client().get("/open")
    assert (opened.status_code, opened.data, opened.headers["x-card"]) == (410, b"gone", MARKER)


def test_what_is_answered_before_all_hooks_is_sealed_too(app: Flask, caller: SealedCaller) -> None:
    @app.url_value_preprocessor
    def look(_: str | None, values: dict[str, Any] | None) -> None:
        if values == {"name": "none"}:
            abort(make_response(MARKER, 404))

    app.add_url_rule("/cards/<name>", "card", sealed(lambda name: name), methods=["GET", "POST"])
    reply = caller.post("/cards/none", json=AMOUNT)
    assert (reply.status, reply.content) == (404, MARKER.encode())
    assert problem(caller.wire.send(Send("GET", "/cards/none", (), None))) == "sealed-required"
    attempt = caller.prepare(Request(method="GET", target="/cards/none"), iat=1)
    message, content = attempt.open(caller.deliver(attempt.send))
    assert (message.status, json.loads(content)["type"]) == (400, "urn:flask-sealed:stale")
    assert caller.get("/cards/x").content == b"x"


def test_a_request_that_was_not_accepted_runs_no_view_whoever_calls_it(
    app: Flask, caller: SealedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def transfer() -> str:
        ran.append("transfer")
        return MARKER

    def fail(*_: object, **__: object) -> bool:
        raise ZeroDivisionError

    @app.after_request
    def again(response: Response) -> Response:
        return response if response.status_code == 200 else make_response(app.dispatch_request())

    app.register_error_handler(ZeroDivisionError, lambda _: make_response(app.dispatch_request()))
    app.add_url_rule("/transfer", "transfer", sealed(transfer), methods=["POST"])
    assert caller.post("/transfer").content == MARKER.encode()
    outer = app.test_client().post("/transfer", headers={"Sealed": "x"})
    assert (outer.status_code, MARKER.encode() in outer.data) == (500, False)
    monkeypatch.setattr(MemoryStore, "add", fail)
    attempt = caller.prepare(Request(method="POST", target="/transfer"))
    assert MARKER.encode() not in caller.deliver(attempt.send).read()
    assert len(ran) == 1


def test_a_view_that_is_called_again_gets_nothing_of_the_network(
    app: Flask, caller: SealedCaller
) -> None:
    def fail() -> Any:
        raise ZeroDivisionError

    @app.errorhandler(ZeroDivisionError)
    def again(_: ZeroDivisionError) -> Any:
        return app.view_functions["echo"]()

    app.add_url_rule("/fail", "fail", sealed(fail), methods=["POST"])
    reply = caller.post("/fail", json=AMOUNT, outer={"authorization": "evil"})
    assert reply.status == 500
    assert b"evil" not in reply.content


def test_what_comes_after_the_view_sees_ciphertext(app: Flask, caller: SealedCaller) -> None:
    seen = []

    @app.after_request
    def look(response: Response) -> Response:
        seen.append((response.get_data(as_text=True), flask_request.get_data(as_text=True)))
        return response

    caller.post("/echo", json=AMOUNT)
    assert len(seen) == 2  # the handshake, and the exchange
    assert MARKER not in repr(seen)


def test_what_cannot_be_sealed_is_withheld(
    app: Flask, caller: SealedCaller, caplog: pytest.LogCaptureFixture
) -> None:
    @app.errorhandler(404)
    def bad(_: object) -> Any:
        return {"card": MARKER}, 404, {"X_Bad": MARKER}

    app.add_url_rule("/gone", "gone", sealed(lambda: abort(404)))
    reply = caller.get("/gone")
    assert (reply.status, reply.content, reply.headers) == (500, b"", [])
    assert MARKER not in repr((caller.raw.headers, caller.raw.body))
    assert "withheld" in caplog.text


# ------------------------------------------------------------------- what is refused


def test_a_request_in_clear(app: Flask) -> None:
    for method in METHODS:
        outer = FlaskWire(app).send(Send(method, "/echo", (), BODY if method == "POST" else None))
        assert problem(outer) == "sealed-required"


@pytest.mark.parametrize("seal", ["", "x", "a.b.c", "a..b.c.d", "é..b.c.d", "ab..c.e.g,ab..c.e.g"])
def test_a_seal_that_is_none(app: Flask, seal: str) -> None:
    outer = FlaskWire(app).send(Send("GET", "/echo", (("sealed", seal),)))
    assert problem(outer) == "malformed"


def test_a_seal_that_is_too_long(app: Flask) -> None:
    outer = FlaskWire(app).send(Send("GET", "/echo", (("sealed", "x" * 6145),)))
    assert problem(outer) == "too-large"


def changed(send: Send, **more: Any) -> Send:
    return replace(send, **more)


def with_seal(send: Send, seal: str) -> Send:
    rest = tuple(pair for pair in send.headers if pair[0] != "sealed")
    return replace(send, headers=(("sealed", seal), *rest))


def test_every_change_of_the_seal_is_refused(caller: SealedCaller) -> None:
    attempt = caller.prepare(transfer(), BODY)
    seal = dict(attempt.send.headers)["sealed"]
    for at in range(0, len(seal), 7):
        other = "A" if seal[at] != "A" else "B"
        outer = caller.deliver(with_seal(attempt.send, seal[:at] + other + seal[at + 1 :]))
        assert problem(outer) in ("refused", "malformed", "session-unknown")
    assert caller.deliver(attempt.send).status == 200


def test_every_change_of_the_body_is_refused(caller: SealedCaller) -> None:
    for at in range(0, 60, 11):
        attempt = caller.prepare(transfer(), BODY)
        assert attempt.send.body is not None
        body = bytearray(attempt.send.body)
        body[at] ^= 1
        assert problem(caller.deliver(changed(attempt.send, body=bytes(body)))) in (
            "refused",
            "malformed",
        )


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_a_cut_body(caller: SealedCaller, cut: int) -> None:
    attempt = caller.prepare(transfer(), BODY)
    assert attempt.send.body is not None
    outer = caller.deliver(changed(attempt.send, body=attempt.send.body[:cut]))
    assert problem(outer) in ("refused", "malformed")


def test_a_body_of_another_exchange(caller: SealedCaller) -> None:
    one, two = (caller.prepare(transfer(), BODY) for _ in range(2))
    assert problem(caller.deliver(changed(one.send, body=two.send.body))) == "refused"


def test_a_body_that_the_seal_does_not_speak_of(caller: SealedCaller) -> None:
    attempt = caller.prepare(Request(method="GET", target="/echo"))
    assert problem(caller.deliver(changed(attempt.send, body=b"{}"))) == "malformed"


def test_another_method_path_or_query(caller: SealedCaller) -> None:
    attempt = caller.prepare(transfer(), BODY)
    for change in ({"target": "/other"}, {"target": "/echo?a=1"}, {"method": "PUT"}):
        assert problem(caller.deliver(changed(attempt.send, **change))) == "refused"


def test_a_session_of_other_keys_and_of_another_service(
    app: Flask, make_session_app: MakeApp, make_caller: MakeCaller
) -> None:
    other = make_session_app(SEALED_AUDIENCE="https://other.example")
    other.add_url_rule("/echo", "echo", sealed(echo), methods=METHODS)
    attempt = make_caller(app).prepare(transfer(), BODY)
    assert problem(FlaskWire(other).send(attempt.send)) == "session-unknown"


def test_a_reflected_answer(caller: SealedCaller) -> None:
    caller.post("/echo", json=AMOUNT)
    seal, body = caller.raw.head.headers["sealed"], caller.raw.body
    outer = caller.deliver(with_seal(Send("POST", "/echo", (), body), seal))
    assert problem(outer) == "malformed"


def test_answers_that_were_swapped(caller: SealedCaller) -> None:
    one, two = (caller.prepare(transfer(), BODY) for _ in range(2))
    first, second = caller.deliver(one.send), caller.deliver(two.send)
    with pytest.raises(Refused):
        two.open(first)
    with pytest.raises(Refused):
        one.open(second)


def test_a_stale_request_is_answered_sealed_with_the_time(caller: SealedCaller) -> None:
    now = int(time.time())
    for iat in (now - 70, now + 200, 0):
        outer, attempt = caller.attempt(transfer(), BODY, iat=iat)
        message, content = attempt.open(outer)
        said = json.loads(content)
        assert (message.status, said["type"]) == (400, "urn:flask-sealed:stale")
        assert now <= said["server_time"] <= time.time()


def test_a_replayed_operation_is_answered_sealed(app: Flask, caller: SealedCaller) -> None:
    op = os.urandom(16)
    runs = []

    def count() -> dict[str, Any]:
        runs.append(1)
        return {}

    app.view_functions["echo"] = sealed(count)
    attempt = caller.prepare(transfer(op=op), BODY)
    assert caller.deliver(attempt.send).status == 200
    again = caller.deliver(attempt.send)  # the same bytes
    assert json.loads(attempt.open(again)[1])["type"] == "urn:flask-sealed:replayed"
    fresh = caller.post("/echo", json=AMOUNT, op=op)  # another attempt at the operation
    assert (fresh.status, fresh.json()["type"]) == (409, "urn:flask-sealed:replayed")
    assert runs == [1]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_an_operation_whose_body_was_broken_may_be_tried_again(
    make_session_app: MakeApp, make_caller: MakeCaller, method: str
) -> None:
    app = make_session_app(SEALED_MAX_BODY=1000)
    app.add_url_rule("/echo", "echo", sealed(echo), methods=METHODS)
    caller = make_caller(app)
    kind = "application/json" if method == "POST" else None
    request = Request(method=method, target="/echo", content_type=kind, op=os.urandom(16))
    attempt = caller.prepare(request, BODY if kind else None)
    body = attempt.send.body or b""
    for broken in (b"{}", body[:40] + b"AAAA" + body[44:], b"x" * 1001):
        refused = problem(caller.deliver(changed(attempt.send, body=broken)))
        assert refused in ("malformed", "refused", "too-large")
    assert attempt.open(caller.deliver(attempt.send))[0].status == 200
    # What was done stays done, whatever body comes with it.
    for again in (b"{}", body):
        outer = caller.deliver(changed(attempt.send, body=again))
        assert attempt.open(outer)[0].status == 409


def test_an_operation_whose_stream_broke_in_the_view_is_used_up(caller: SealedCaller) -> None:
    attempt = caller.prepare(transfer(), stream=True)
    broken = attempt.open(caller.deliver(attempt.send, [b"\x00" * 40]))
    again = attempt.open(caller.deliver(attempt.send, [b"\x00" * 40]))
    assert (broken[0].status, again[0].status) == (400, 409)


def test_an_operation_stays_used_up_where_the_store_is_down(
    caller: SealedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Unavailable("no store")

    monkeypatch.setattr(MemoryStore, "remove", fail)
    attempt = caller.prepare(transfer(), BODY)
    assert problem(caller.deliver(changed(attempt.send, body=b"{}"))) == "malformed"
    assert attempt.open(caller.deliver(attempt.send))[0].status == 409


def test_safe_requests_may_be_repeated_and_views_may_forbid_it(
    app: Flask, caller: SealedCaller
) -> None:
    app.add_url_rule("/once", "once", sealed(once=True)(echo))
    attempt = caller.prepare(Request(method="GET", target="/echo"))
    answers = [caller.deliver(attempt.send) for _ in range(2)]
    assert [attempt.open(outer)[0].status for outer in answers] == [200, 200]
    assert len({dict(outer.headers)["Sealed"] for outer in answers}) == 2
    outer, _ = caller.attempt(Request(method="GET", target="/once"))
    assert problem(outer) == "malformed"  # it needs a name for the operation
    attempt = caller.prepare(Request(method="GET", target="/once", op=os.urandom(16)))
    assert [attempt.open(caller.deliver(attempt.send))[0].status for _ in range(2)] == [200, 409]


def test_unsafe_requests_need_a_name(caller: SealedCaller) -> None:
    key = caller._run(caller.keys.get(caller.clock))
    exchange = ClientExchange(key.secret, key.kid, AUDIENCE, random=os.urandom)
    seal, body = exchange.seal(transfer(), BODY, iat=int(time.time()))
    kind = ("content-type", "application/json")
    outer = caller.deliver(Send("POST", "/echo", (("sealed", seal), kind), body))
    assert problem(outer) == "malformed"


@pytest.mark.kem
def test_views_that_demand_ml_kem(app: Flask, make_caller: MakeCaller) -> None:
    app.add_url_rule("/kem", "kem", sealed(kem=True)(lambda: {"kem": current.kem}))
    assert make_caller(app, kem=True).get("/kem").json() == {"kem": True}
    outer, _ = make_caller(app).attempt(Request(method="GET", target="/kem"))
    assert problem(outer) == "refused"


def test_a_body_that_is_too_large(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app(SEALED_MAX_BODY=2000)
    app.add_url_rule("/echo", "echo", sealed(echo), methods=METHODS)
    caller = make_caller(app)
    assert caller.post("/echo", data=b"x" * 1000).status == 200
    outer, _ = caller.attempt(transfer(), b"x" * 2000)
    assert problem(outer) == "too-large"


def test_plain_http_from_another_machine(app: Flask, make_caller: MakeCaller) -> None:
    caller = make_caller(app)
    attempt = caller.prepare(transfer(), BODY)
    outer = FlaskWire(app, REMOTE_ADDR="192.0.2.1").send(attempt.send)
    assert problem(outer) == "https-required"


def test_two_answers_that_say_refused_are_the_same(caller: SealedCaller) -> None:
    attempt = caller.prepare(transfer(), BODY)
    seal = dict(attempt.send.headers)["sealed"]
    flipped = seal[:-30] + ("A" if seal[-30] != "A" else "B") + seal[-29:]
    one = caller.deliver(with_seal(attempt.send, flipped))
    two = caller.deliver(changed(attempt.send, target="/other"))
    assert one.read() == two.read()


# ------------------------------------------------------------------- unsealed views


def rates() -> dict[str, Any]:
    return {"binding": current.binding, "sid": current.sid, "profile": current.profile}


@pytest.fixture
def open_app(app: Flask) -> Flask:
    app.add_url_rule("/rates", "rates", rates, methods=["GET", "POST"])
    return app


def test_a_proof_at_an_unsealed_view(open_app: Flask, make_caller: MakeCaller) -> None:
    caller = make_caller(open_app)
    none = FlaskWire(open_app).send(Send("GET", "/rates", ())).json()
    assert none == {"binding": None, "sid": None, "profile": None}
    outer, _ = caller.attempt(Request(method="GET", target="/rates"))
    said = outer.json()
    assert said["binding"] == b64u_encode(thumbprint(caller.binding.public_key()))
    assert said["profile"] is None
    assert said["sid"] is not None
    outer, _ = caller.attempt(Request(method="POST", target="/rates"))
    assert outer.status == 200
    assert "sealed" not in outer.head.headers


@pytest.mark.parametrize(
    ("more", "content", "code"),
    [
        ({"content_type": "application/json"}, BODY, "malformed"),
        ({"query": "a=1"}, None, "malformed"),
        ({"headers": (("authorization", "Bearer x"),)}, None, "malformed"),
    ],
)
def test_a_proof_says_nothing_else(
    open_app: Flask, make_caller: MakeCaller, more: Any, content: bytes | None, code: str
) -> None:
    request = Request(method="POST", target="/rates", **more)
    outer, _ = make_caller(open_app).attempt(request, content)
    assert problem(outer) == code


def test_proofs_are_refused_in_clear(open_app: Flask, make_caller: MakeCaller) -> None:
    caller = make_caller(open_app)
    attempt = caller.prepare(Request(method="GET", target="/rates"))
    assert problem(caller.deliver(changed(attempt.send, target="/rates?a=1"))) == "refused"
    outer, _ = caller.attempt(Request(method="GET", target="/rates"), iat=0)
    assert b"urn:flask-sealed:stale" in outer.read()
    assert "sealed" not in outer.head.headers
    attempt = caller.prepare(Request(method="POST", target="/rates"))
    assert [caller.deliver(attempt.send).status for _ in range(2)] == [200, 409]
    seal = (("sealed", "x"),)
    assert problem(caller.deliver(Send("GET", "/rates", seal))) == "malformed"
    assert caller.deliver(Send("GET", "/nowhere", seal)).status == 404


# ------------------------------------------------------------------- leaks, and the off switch


def test_nobody_outside_of_the_window_sees_plaintext(
    app: Flask, caller: SealedCaller, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []

    class Look(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((flask_request.get_data(), dict(flask_request.headers)))

    def view() -> Any:
        logging.getLogger("view").warning("something")
        return flask_request.get_json(), {"X-Card": flask_request.args["q"]}

    app.add_url_rule("/look", "look", sealed(view), methods=["POST"])
    logging.getLogger("view").addHandler(handler := Look())
    app.teardown_request(lambda _: seen.append((flask_request.get_data(), flask_request.args)))
    try:
        reply = caller.post("/look", json=AMOUNT, query=f"q={MARKER}")
    finally:
        logging.getLogger("view").removeHandler(handler)
    assert reply.json() == AMOUNT
    assert len(seen) >= 2
    assert MARKER not in repr(seen)


def test_no_frame_of_an_error_knows_content_or_keys(app: Flask, make_caller: MakeCaller) -> None:
    caught: list[BaseException] = []

    def view() -> Any:
        card = flask_request.get_json()["amount"]
        raise ZeroDivisionError(len(card))

    app.add_url_rule("/boom", "boom", sealed(view), methods=["POST"])

    @app.errorhandler(ZeroDivisionError)
    def keep(error: ZeroDivisionError) -> Any:
        caught.append(error)
        return "x", 500

    assert make_caller(app).post("/boom", json=AMOUNT).status == 500
    trace = caught[0].__traceback__
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame.f_locals)
        trace = trace.tb_next
    assert len(frames) > 3
    assert MARKER not in repr(frames)


def test_seals_can_be_switched_off_for_debugging(make_session_app: MakeApp) -> None:
    app = make_session_app(TESTING=True, SEALED_ENABLED=False)
    app.add_url_rule("/echo", "echo", sealed(echo), methods=METHODS)
    response = app.test_client().post("/echo", json=AMOUNT)
    assert response.get_json()["json"] == AMOUNT


def test_a_client_takes_no_clear_answer(app: Flask, caller: SealedCaller) -> None:
    app.add_url_rule("/clear", "clear", lambda: AMOUNT)
    with pytest.raises(Untrusted):
        caller.get("/clear")


def test_a_store_that_is_down_stops_unsafe_requests_only(
    app: Flask, caller: SealedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise Unavailable("The store is down.")

    monkeypatch.setattr(MemoryStore, "add", down)
    assert caller.get("/echo").status == 200
    outer, _ = caller.attempt(transfer(), BODY)
    assert (problem(outer), outer.status) == ("unavailable", 503)


def test_a_store_that_has_just_begun(app: Flask, ring: Any, make_caller: MakeCaller) -> None:
    young = Flask("tests.young")
    young.config.update(
        SEALED_AUDIENCE=AUDIENCE,
        SEALED_KEYRING=ring.to_json().decode(),
        SEALED_REPLAY_STORE="memory://",
    )
    Sealed(young)
    young.add_url_rule("/echo", "echo", sealed(echo), methods=METHODS)
    outer, _ = make_caller(young).attempt(transfer(), BODY)
    assert problem(outer) == "unavailable"
    assert make_caller(young).get("/echo").status == 200


def test_contexts_of_the_application_are_untouched(app: Flask, caller: SealedCaller) -> None:
    app.view_functions["echo"] = sealed(lambda: {"name": current_app.name})
    assert caller.get("/echo").json() == {"name": "tests.app"}
