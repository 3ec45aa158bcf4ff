"""What a Level 3 view takes and answers."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import (
    Flask,
    Request,
    Response,
    abort,
    after_this_request,
    jsonify,
    redirect,
    request,
    send_file,
)
from flask.json.provider import DefaultJSONProvider
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from flask_cors import CORS
from werkzeug.exceptions import Conflict
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from flask_sealed import Sealed, sealed

from .conftest import MakeApp
from .peer import Peer, problem

MARKER = "4242-marker"
JSON_TYPE = "application/json"
HTML = "text/html; charset=utf-8"


def view_app(make_app: MakeApp, view: Any, **settings: object) -> tuple[Flask, FlaskClient]:
    """An application with one sealed view at /view, for every method but OPTIONS."""
    app = make_app(**settings)
    app.add_url_rule("/view", "view", sealed(view), methods=["GET", "POST", "PUT", "DELETE"])
    return app, app.test_client()


def call(app: Flask, environ: dict[str, Any]) -> TestResponse:
    """Call an application with this very environment, which a test client would rebuild."""
    answer = run_wsgi_app(app, environ)
    return TestResponse(*answer, request=Request(environ))


def generate() -> Iterator[str]:
    yield from ("1", MARKER, "3")


class _Hypermedia(DefaultJSONProvider):
    mimetype = "application/hal+json"


class _Wrapping(DefaultJSONProvider):
    def response(self, *args: Any, **kwargs: Any) -> Any:
        return super().response({"wrapped": args[0]})


class _Marked(Response):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not again where the test client makes one of what it received.
        self.headers.setdefault("X-Length", str(len(self.get_data())))


class _Made(Flask):
    def make_response(self, rv: Any) -> Response:
        response = super().make_response(rv)
        response.headers["X-Made"] = "here"
        return response


def _unchanged(app: Flask) -> None: ...


@pytest.mark.parametrize("value", [{"b": "Zoë 💶", "a": [1, None, {}]}, [], {}, [{"c": 0.1}]])
@pytest.mark.parametrize(
    "change",
    [
        _unchanged,
        lambda app: setattr(app, "debug", True),
        lambda app: setattr(app.json, "compact", False),
        lambda app: setattr(app.json, "ensure_ascii", False),
        lambda app: setattr(app.json, "sort_keys", False),
        lambda app: setattr(app, "json", _Hypermedia(app)),
        lambda app: setattr(app, "json", _Wrapping(app)),
        lambda app: setattr(app, "response_class", _Marked),
        lambda app: setattr(app, "__class__", _Made),
    ],
)
def test_json_is_what_flask_makes_of_it(
    make_app: MakeApp, peer: Peer, change: Callable[[Flask], object], value: Any
) -> None:
    app = make_app()
    app.add_url_rule("/sealed", "sealed", sealed(lambda: value))
    app.add_url_rule("/plain", "plain", lambda: value)
    change(app)
    response, plain = app.test_client().get("/sealed"), app.test_client().get("/plain")
    assert peer.open(response) == plain.data
    assert response.headers.get("Sealed-Content-Type", JSON_TYPE) == plain.content_type
    for name in ("X-Length", "X-Made"):
        assert response.headers.get(name) == plain.headers.get(name)


@pytest.mark.parametrize(
    ("value", "plaintext", "content_type"),
    [
        ({"card": MARKER}, b'{"card":"4242-marker"}\n', JSON_TYPE),
        ([MARKER], b'["4242-marker"]\n', JSON_TYPE),
        (MARKER, MARKER.encode(), HTML),
        (f"Zoë {MARKER} 💶", f"Zoë {MARKER} 💶".encode(), HTML),
        (MARKER.encode(), MARKER.encode(), HTML),
        ("", b"", HTML),
        (Response(MARKER, content_type="text/csv"), MARKER.encode(), "text/csv"),
        (Response(b"\0\xff" * 5, content_type="image/png"), b"\0\xff" * 5, "image/png"),
        (Response(b"x", headers={}, content_type=""), b"x", "application/octet-stream"),
        (
            Response(iter(["a", "b", MARKER]), mimetype=JSON_TYPE),
            b"ab" + MARKER.encode(),
            JSON_TYPE,
        ),
    ],
)
def test_bodies(
    make_app: MakeApp, peer: Peer, value: Any, plaintext: bytes, content_type: str
) -> None:
    _, client = view_app(make_app, lambda: value)
    response = client.get("/view")
    assert response.status_code == 200
    assert MARKER.encode() not in response.data
    assert response.headers.get("Sealed-Content-Type", JSON_TYPE) == content_type
    assert peer.open(response) == plaintext


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1_000_000])
def test_sizes(make_app: MakeApp, peer: Peer, size: int) -> None:
    _, client = view_app(make_app, lambda: Response(request.get_data(), mimetype=JSON_TYPE))
    plaintext = bytes(i % 251 for i in range(size))
    response = peer.send(client, "/view", plaintext)
    assert peer.open(response) == plaintext


def test_status_and_headers_are_kept(make_app: MakeApp, peer: Peer) -> None:
    def view() -> ResponseReturnValue:
        return {"a": 1}, 201, {"X-Own": "kept", "Location": "/new", "Cache-Control": "public"}

    _, client = view_app(make_app, view)
    response = client.get("/view")
    assert response.status_code == 201
    assert response.headers["X-Own"] == "kept"
    assert response.headers["Location"] == "/new"
    assert response.headers.getlist("Cache-Control") == ["no-store, no-transform"]
    assert peer.json(response) == {"a": 1}


def test_cookies_and_sessions_are_kept(make_app: MakeApp, peer: Peer) -> None:
    def view() -> Response:
        response = jsonify(1)
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    _, client = view_app(make_app, view)
    response = client.get("/view")
    assert len(response.headers.getlist("Set-Cookie")) == 2
    assert peer.json(response) == 1


def test_fingerprints_of_the_plaintext_do_not_leave(make_app: MakeApp, peer: Peer) -> None:
    def view() -> Response:
        response = jsonify(balance=5)
        response.add_etag()
        response.headers["Content-MD5"] = "x"
        response.headers["Repr-Digest"] = "sha-256=:x:"
        response.last_modified = 0  # type: ignore[assignment]
        return response

    _, client = view_app(make_app, view)
    response = client.get("/view", headers={"If-None-Match": "*"})
    assert not {"ETag", "Content-MD5", "Repr-Digest", "Last-Modified"} & set(
        response.headers.keys()
    )
    assert peer.json(response) == {"balance": 5}


def test_send_file_whole_whatever_range_or_condition(
    make_app: MakeApp, peer: Peer, tmp_path: Path
) -> None:
    file = tmp_path / "statement.csv"
    file.write_text(MARKER * 1000)
    _, client = view_app(make_app, lambda: send_file(file, as_attachment=True))
    etag = file.stat().st_mtime
    for headers in ({}, {"Range": "bytes=0-4"}, {"If-None-Match": f'"{etag}"', "If-Range": "x"}):
        response = client.get("/view", headers=headers)
        assert response.status_code == 200
        assert "Accept-Ranges" not in response.headers
        assert "statement.csv" in response.headers["Content-Disposition"]
        assert peer.open(response) == file.read_bytes()
        assert response.headers["Sealed-Content-Type"].startswith("text/csv")


def test_files_and_generators_are_closed(make_app: MakeApp, peer: Peer) -> None:
    class File(io.BytesIO):
        pass

    file = File(b"content")
    _, client = view_app(make_app, lambda: send_file(file, mimetype="text/plain"))
    response = client.get("/view")
    assert peer.open(response) == b"content"
    assert file.closed


def test_generators(make_app: MakeApp, peer: Peer) -> None:
    _, client = view_app(make_app, generate)
    response = client.get("/view")
    assert peer.open(response) == f"1{MARKER}3".encode()


def test_streams_have_a_limit_and_event_streams_are_refused(
    make_app: MakeApp, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield MARKER

    _, client = view_app(make_app, endless, SEALED_MAX_BODY=5000)
    response = client.get("/view")
    assert response.status_code == 500
    assert "raise SEALED_MAX_BODY" in caplog.text
    assert b"Internal Server Error" in peer.open(response)
    _, client = view_app(make_app, lambda: Response(endless(), mimetype="text/event-stream"))
    assert client.get("/view").status_code == 500
    assert "live event stream" in caplog.text


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Content-Encoding", "leave the content as is"),
        ("Content-Range", "send the whole"),
        ("X-Accel-Redirect", "USE_X_SENDFILE = False"),
        ("X-Sendfile", "USE_X_SENDFILE = False"),
    ],
)
def test_responses_that_cannot_be_sealed_are_refused_in_words(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, header: str, words: str
) -> None:
    _, client = view_app(make_app, lambda: Response(b"x", headers={header: "x"}))
    response = client.get("/view")
    assert response.status_code == 500
    assert header not in response.headers
    assert words in caplog.text


def test_a_file_is_not_left_to_the_front_server(make_app: MakeApp, tmp_path: Path) -> None:
    file = tmp_path / "statement.csv"
    file.write_text(MARKER)
    _, client = view_app(make_app, lambda: send_file(file), USE_X_SENDFILE=True)
    response = client.get("/view")
    assert response.status_code == 500
    assert "X-Sendfile" not in response.headers


@pytest.mark.parametrize("way", ["alone", "tuple", "after"])
def test_a_response_that_the_view_keeps_is_not_changed(
    make_app: MakeApp, peer: Peer, way: str
) -> None:
    kept = Response(MARKER, headers={"X-Own": "1"})
    closed: list[int] = []

    def view() -> ResponseReturnValue:
        if way == "after":
            after_this_request(lambda _: kept)
            return "other"
        return (kept, 200) if way == "tuple" else kept

    kept.call_on_close(lambda: closed.append(1))
    _, client = view_app(make_app, view)
    for number in range(1, 4):
        response = client.get("/view")
        assert peer.open(response) == MARKER.encode()
        assert response.headers["X-Own"] == "1"
        response.close()
        assert len(closed) == number
    assert kept.get_data() == MARKER.encode()
    assert "Cache-Control" not in kept.headers


def test_a_reason_phrase_does_not_leave(make_app: MakeApp, peer: Peer) -> None:
    _, client = view_app(make_app, lambda: ("x", f"402 card {MARKER}"))
    response = client.get("/view")
    assert response.status == "402 PAYMENT REQUIRED"
    assert peer.open(response) == b"x"


def test_a_content_type_that_cannot_travel_is_refused_in_words(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    _, client = view_app(make_app, lambda: Response("x", content_type="text/" + "x" * 256))
    assert client.get("/view").status_code == 500
    assert "ConfigError: level3 cannot seal a response whose Content-Type" in caplog.text


class Slow(io.BytesIO):
    """A body that comes a few bytes at a time, or not at all."""

    error: Exception | None = None

    def read(self, size: int | None = -1) -> bytes:
        if self.error is not None:
            raise self.error
        return super().read(min(size or 0, 1000))

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_that_come_in_pieces_or_break(make_app: MakeApp, peer: Peer, chunked: bool) -> None:
    app, _ = view_app(make_app, lambda: request.get_data())
    body = peer.seal(b"x" * 100_000)
    environ = EnvironBuilder(method="POST", path="/view", content_type=JSON_TYPE).get_environ()
    environ |= {"wsgi.input": Slow(body), "CONTENT_LENGTH": str(len(body))}
    environ["REMOTE_ADDR"] = "127.0.0.1"
    if chunked:
        environ |= {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        del environ["CONTENT_LENGTH"]
    assert peer.open(call(app, environ)) == b"x" * 100_000
    broken = Slow(body)
    broken.error = RuntimeError("the server's own")
    assert problem(call(app, environ | {"wsgi.input": broken})) == "malformed"


def test_a_body_that_nobody_announces(make_app: MakeApp) -> None:
    app, _ = view_app(make_app, lambda: request.get_data())
    environ = EnvironBuilder(method="GET", path="/view").get_environ() | {
        "wsgi.input": io.BytesIO(b"plain"),
        "wsgi.input_terminated": True,
        "REMOTE_ADDR": "127.0.0.1",
    }
    environ.pop("CONTENT_LENGTH", None)
    assert problem(call(app, environ)) == "sealed-required"


@pytest.mark.parametrize("status", [204, 304])
def test_streams_of_statuses_without_a_body_are_closed(make_app: MakeApp, status: int) -> None:
    class Closing(list[str]):
        closed = False

        def close(self) -> None:
            self.closed = True

    content = Closing([MARKER])
    _, client = view_app(make_app, lambda: Response(content, status))
    assert client.get("/view").data == b""
    assert content.closed


@pytest.mark.parametrize("status", [204, 205, 304])
def test_statuses_without_a_body(make_app: MakeApp, status: int) -> None:
    _, client = view_app(make_app, lambda: (MARKER, status))
    response = client.get("/view")
    assert response.status_code == status
    assert response.data == b""
    assert "Sealed-Content-Type" not in response.headers


def test_head_has_no_body_and_the_length_of_get(make_app: MakeApp) -> None:
    _, client = view_app(make_app, lambda: {"card": MARKER})
    got, head = client.get("/view"), client.head("/view")
    assert head.data == b""
    assert head.status_code == 200
    assert head.content_length == got.content_length == len(got.data)


def test_redirects(make_app: MakeApp, peer: Peer) -> None:
    _, client = view_app(make_app, lambda: redirect("/elsewhere", 303))
    response = client.get("/view")
    assert response.status_code == 303
    assert response.headers["Location"] == "/elsewhere"
    assert b"elsewhere" in peer.open(response)


def test_errors_are_sealed(make_app: MakeApp, peer: Peer) -> None:
    def view() -> ResponseReturnValue:
        what = request.args["what"]
        if what == "abort":
            abort(404, f"no card {MARKER}")
        if what == "conflict":
            raise Conflict(response=Response(MARKER, 409))
        if what == "handled":
            raise KeyError(MARKER)
        if what == "streamed":
            raise LookupError
        raise RuntimeError(MARKER)

    app, client = view_app(make_app, view)
    app.register_error_handler(KeyError, lambda error: ({"error": str(error)}, 422))
    app.register_error_handler(LookupError, lambda _: (generate(), 418))
    for what, status, text in (
        ("abort", 404, MARKER),
        ("conflict", 409, MARKER),
        ("handled", 422, MARKER),
        ("streamed", 418, MARKER),
        ("unhandled", 500, "Internal Server Error"),
    ):
        response = client.get("/view", query_string={"what": what})
        assert response.status_code == status
        assert MARKER.encode() not in response.data
        assert text.encode() in peer.open(response)


def test_answers_of_other_hooks_are_sealed(make_app: MakeApp, peer: Peer) -> None:
    app, client = view_app(make_app, lambda: "x")
    early: list[Any] = [lambda: (MARKER, 429), lambda: abort(403, MARKER)]
    for hook in early:
        app.before_request_funcs[None][1:] = [hook]
        response = client.get("/view")
        assert response.status_code in {429, 403}
        assert MARKER.encode() in peer.open(response)
    app.before_request_funcs[None].insert(0, early[0])  # before even our own
    assert MARKER.encode() in peer.open(client.get("/view"))


def test_the_extension_comes_before_hooks_that_were_there_first(peer: Peer) -> None:
    app = Flask(__name__)
    app.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=peer.secret.hex())
    calls: list[int] = []
    app.before_request(lambda: calls.append(1))
    Sealed(app)
    app.add_url_rule("/view", "view", sealed(lambda: "x"), methods=["POST"])
    assert problem(app.test_client().post("/view", data="x")) == "sealed-required"
    assert not calls
    assert peer.open(peer.send(app.test_client(), "/view", b"{}")) == b"x"
    assert calls == [1]


def test_a_response_that_cannot_be_sealed_is_withheld(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app, client = view_app(make_app, lambda: 1 / 0)
    app.register_error_handler(
        ZeroDivisionError, lambda _: (MARKER, 400, {"Content-Encoding": "br", "X-Own": MARKER})
    )
    response = client.get("/view")
    assert response.status_code == 500
    assert response.data == b""
    assert MARKER not in str(response.headers)
    assert "could not be sealed" in caplog.text


def test_an_after_request_function_that_fails_lets_nothing_out(
    make_app: MakeApp, peer: Peer
) -> None:
    app, client = view_app(make_app, lambda: {"card": MARKER})

    @app.after_request
    def fail(_: Response) -> Response:
        raise RuntimeError(MARKER)

    response = client.get("/view")
    assert response.status_code == 500
    assert MARKER.encode() not in response.data
    assert b"Internal Server Error" in peer.open(response)


REFUSED_BODIES = [
    ("application/json", b"", "malformed"),
    ("application/json", b"{", "malformed"),
    ("application/json", b"null", "malformed"),
    ("application/json", b'{"amount": 5}', "malformed"),
    ("application/json", b'{"data": 5}', "malformed"),
    ("application/json", b'{"data": "not base64!"}', "malformed"),
    ("application/json", b'{"data": ""}', "malformed"),
    ("application/json", b'{"data": "%b"}' % base64.b64encode(bytes(27)), "malformed"),
    ("application/json", b"\xff\xfe", "malformed"),
    ("application/json", b"[" * 100_000, "malformed"),
    ("application/json", b'{"data": "%b"}' % base64.b64encode(bytes(28)), "refused"),
    ("application/json", b'{"data": "%b"}' % base64.b64encode(bytes(2800)), "refused"),
    ("text/plain", b"x", "sealed-required"),
    ("application/x-www-form-urlencoded", b"amount=5", "sealed-required"),
    ("multipart/form-data; boundary=x", b"--x--", "sealed-required"),
    ("", b"x", "sealed-required"),
    ("application/jsonp", b'{"data": ""}', "sealed-required"),
]


@pytest.mark.parametrize(("content_type", "body", "code"), REFUSED_BODIES)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_what_is_not_sealed_is_refused(
    make_app: MakeApp, method: str, content_type: str, body: bytes, code: str
) -> None:
    calls: list[int] = []
    _, client = view_app(make_app, lambda: str(calls.append(1)))  # type: ignore[func-returns-value]
    response = client.open("/view", method=method, data=body, content_type=content_type)
    if not body and method != "POST":
        assert calls == [1]  # nothing to seal in it
        return
    assert problem(response) == code
    assert response.status_code == 400
    assert not calls


def test_a_request_without_any_body(make_app: MakeApp, peer: Peer) -> None:
    _, client = view_app(make_app, lambda: {"ok": True})
    for method in ("GET", "DELETE"):
        assert peer.json(client.open("/view", method=method)) == {"ok": True}
    for method in ("POST", "PUT"):
        assert problem(client.open("/view", method=method)) == "sealed-required"


def test_get_may_carry_a_sealed_body(make_app: MakeApp, peer: Peer) -> None:
    _, client = view_app(make_app, lambda: request.get_json())
    assert peer.json(peer.send(client, "/view", b'{"a":1}', method="GET")) == {"a": 1}


def test_refusals_are_the_same_to_the_byte_whatever_failed(make_app: MakeApp, peer: Peer) -> None:
    _, client = view_app(make_app, lambda: "x")
    sealed_body = json.loads(peer.seal(b"{}"))["data"]
    raw = bytearray(base64.b64decode(sealed_body))
    answers = set()
    for position in (0, 12, 28, len(raw) - 1):
        raw[position] ^= 1
        body = json.dumps({"data": base64.b64encode(raw).decode()})
        answers.add(client.post("/view", data=body, content_type=JSON_TYPE).data)
        raw[position] ^= 1
    answers.add(Peer(bytes(range(32))).send(client, "/view", b"{}").data)
    answers.add(peer.send(client, "/view", b"{}", content_type="text/plain").data)
    changed = {"Sealed-Content-Type": "text/html"}
    answers.add(
        client.post("/view", data=peer.seal(b"{}"), content_type=JSON_TYPE, headers=changed).data
    )
    assert len(answers) == 2  # the one with its own right type is opened
    assert sum(b"urn:flask-sealed:refused" in answer for answer in answers) == 1


def test_a_content_type_that_is_no_text_is_malformed(make_app: MakeApp, peer: Peer) -> None:
    _, client = view_app(make_app, lambda: "x")
    for value in ("x" * 257, "text/pläin", ""):
        headers = {"Sealed-Content-Type": value}
        response = client.post(
            "/view", data=peer.seal(b""), content_type=JSON_TYPE, headers=headers
        )
        assert problem(response) == "malformed"


def test_too_large(make_app: MakeApp, peer: Peer) -> None:
    _, client = view_app(make_app, lambda: "x", SEALED_MAX_BODY=1000)
    assert peer.open(peer.send(client, "/view", b"x" * 600)) == b"x"
    response = peer.send(client, "/view", b"x" * 1000)
    assert (response.status_code, problem(response)) == (413, "too-large")
    _, client = view_app(make_app, lambda: "x", MAX_CONTENT_LENGTH=500)
    assert problem(peer.send(client, "/view", b"x" * 600)) == "too-large"


@pytest.mark.parametrize("limit", ["SEALED_MAX_BODY", "MAX_CONTENT_LENGTH"])
def test_chunked_requests(make_app: MakeApp, peer: Peer, limit: str) -> None:
    app, _ = view_app(make_app, lambda: request.get_data(), **{limit: 1000})

    def send(size: int) -> Any:
        builder = EnvironBuilder(method="POST", path="/view", content_type=JSON_TYPE)
        environ = builder.get_environ() | {
            "wsgi.input": io.BytesIO(peer.seal(b"x" * size)),
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "REMOTE_ADDR": "127.0.0.1",
        }
        environ.pop("CONTENT_LENGTH", None)
        return call(app, environ)

    assert peer.open(send(600)) == b"x" * 600
    assert problem(send(1000)) == "too-large"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("length", ["0", "5"])
def test_a_length_and_chunks_at_once(make_app: MakeApp, method: str, length: str) -> None:
    app, _ = view_app(make_app, lambda: "x")
    environ = EnvironBuilder(method=method, path="/view").get_environ() | {
        "wsgi.input": io.BytesIO(b"plain"),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": length,
        "REMOTE_ADDR": "127.0.0.1",
    }
    assert problem(call(app, environ)) == "malformed"


def test_a_connection_that_breaks_off(make_app: MakeApp, peer: Peer) -> None:
    app, _ = view_app(make_app, lambda: "x")
    body = peer.seal(b"x" * 100)
    environ = EnvironBuilder(method="POST", path="/view", content_type=JSON_TYPE).get_environ()
    environ |= {"wsgi.input": io.BytesIO(body[:50]), "CONTENT_LENGTH": str(len(body))}
    environ["REMOTE_ADDR"] = "127.0.0.1"
    assert problem(call(app, environ)) == "malformed"


def test_one_direction_only(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    app.add_url_rule(
        "/in", "in", sealed(response=False)(lambda: request.get_json()), methods=["POST"]
    )
    app.add_url_rule(
        "/out", "out", sealed(request=False)(lambda: request.get_json()), methods=["POST"]
    )
    client = app.test_client()
    assert peer.send(client, "/in", b'{"a":1}').json == {"a": 1}
    assert problem(client.post("/in", json={"a": 1})) == "malformed"
    assert peer.json(client.post("/out", json={"a": 1})) == {"a": 1}


def test_cors_may_expose_the_content_type(make_app: MakeApp, peer: Peer) -> None:
    app, client = view_app(make_app, lambda: "text")
    CORS(app, origins=["https://shop.example"])
    response = client.get("/view", headers={"Origin": "https://shop.example"})
    assert response.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Sealed-Content-Type" in str(response.access_control_expose_headers)
    assert peer.open(response) == b"text"
    assert "Access-Control-Expose-Headers" not in client.get("/view").headers


@pytest.mark.parametrize(
    ("address", "scheme", "accepted"),
    [
        ("127.0.0.1", "http", True),
        ("127.8.8.8", "http", True),
        ("::1", "http", True),
        ("192.0.2.1", "https", True),
        ("192.0.2.1", "http", False),
        ("::ffff:192.0.2.1", "http", False),
        ("127.0.0.1.example", "http", False),
        ("", "http", False),
    ],
)
def test_https(make_app: MakeApp, address: str, scheme: str, accepted: bool) -> None:
    app, _ = view_app(make_app, lambda: "x")
    app.add_url_rule("/open", "open", lambda: "x")
    client = app.test_client()
    base = {"base_url": f"{scheme}://bank.example", "environ_base": {"REMOTE_ADDR": address}}
    response = client.get("/view", **base)
    if accepted:
        assert response.status_code == 200
    else:
        assert (response.status_code, problem(response)) == (403, "https-required")
    assert client.get("/open", **base).status_code == 200
    app.testing = True
    assert client.get("/view", **base).status_code == 200


def test_https_can_be_waived(make_app: MakeApp) -> None:
    _, client = view_app(make_app, lambda: "x", SEALED_REQUIRE_HTTPS=False)
    assert client.get("/view", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200


def test_behind_a_proxy(make_app: MakeApp) -> None:
    app, client = view_app(make_app, lambda: "x")
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
    peer_is_proxy = {"REMOTE_ADDR": "10.0.0.2"}
    plain = client.get("/view", headers=forwarded, environ_base=peer_is_proxy)
    assert problem(plain) == "https-required"  # anyone can send such headers
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    assert client.get("/view", headers=forwarded, environ_base=peer_is_proxy).status_code == 200
    forwarded["X-Forwarded-Proto"] = "http"
    plain = client.get("/view", headers=forwarded, environ_base=peer_is_proxy)
    assert problem(plain) == "https-required"
