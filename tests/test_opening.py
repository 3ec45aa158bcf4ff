"""``flask sealed open`` and ``flask sealed bench``."""

from __future__ import annotations

import base64
import json
import os
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, Response, request
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed import sealed
from flask_sealed.cli import cli
from flask_sealed.cli.captured import Captured, UnreadableError, read_captured
from flask_sealed.keyfile import write_keyring
from flask_sealed.protocol import envelope
from flask_sealed.protocol.exchange import ClientExchange
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.keys import KeyRing
from flask_sealed.protocol.messages import Request
from flask_sealed.protocol.rotation import rotate_tickets

from .conftest import AUDIENCE, PSK, MakeApp, MakeCaller
from .driver import FlaskWire, Outer, SealedCaller

MARKER = "4242-4242"
TOKEN = "Bearer eyJ.secret.token"
ORIGIN = "https://bank.example"


@pytest.fixture
def bank(make_session_app: MakeApp) -> Flask:
    app = make_session_app(SEALED_LEVEL3_KEY=os.urandom(32).hex())

    @app.route("/pay", methods=["GET", "POST"])
    @sealed
    def pay() -> Any:
        return {"paid": request.get_json(silent=True)}, 201, {"X-Card": MARKER}

    @app.get("/live")
    @sealed
    def live() -> Response:
        return Response(iter(["one,", "two"]))

    @app.get("/picture")
    @sealed
    def picture() -> Response:
        return Response(b"\xff\xd8\x00", mimetype="image/jpeg")

    return app


@pytest.fixture
def caller(bank: Flask, make_caller: MakeCaller) -> SealedCaller:
    return make_caller(bank)


def as_http(message: Send | Outer) -> bytes:
    if isinstance(message, Send):
        lines = [f"{message.method} {message.target} HTTP/1.1", "Host: bank.example"]
        headers, body = message.headers, message.body or b""
    else:
        lines = [f"HTTP/1.1 {message.status} WHATEVER"]
        headers, body = tuple(message.headers), message.body
    lines += [f"{name}: {value}" for name, value in headers]
    if not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def as_curl(send: Send, *more: str) -> bytes:
    words = ["curl", f"{ORIGIN}{send.target}", *more]
    for name, value in send.headers:
        words += ["-H", f"{name}: {value}"]
    if send.body is not None:
        words += ["--data-raw", send.body.decode()]
    return shlex.join(words).encode()


def as_har(caller: SealedCaller) -> bytes:
    def headers(pairs: Any) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in pairs]

    entries = [
        {
            "request": {
                "method": send.method,
                "url": f"{ORIGIN}{send.target}",
                "headers": headers(send.headers),
                **({"postData": {"text": send.body.decode()}} if send.body else {}),
            },
            "response": {
                "status": raw.status,
                "headers": headers(raw.headers),
                "content": {"text": base64.b64encode(raw.body).decode(), "encoding": "base64"},
            },
        }
        for send, raw in zip(caller.sent, caller.raws, strict=True)
    ]
    return json.dumps({"log": {"entries": entries}}).encode()


def run(app: Flask, data: bytes, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(cli, ["open", *arguments], input=data)


def rows(app: Flask, data: bytes, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    result = run(app, data, "--json", *arguments)
    assert result.exit_code == code, result.output
    opened: list[dict[str, Any]] = json.loads(result.stdout)
    return opened


def pay(caller: SealedCaller) -> tuple[Send, Outer]:
    caller.post(
        "/pay",
        json={"card": MARKER},
        query=f"ref={MARKER}",
        headers={"authorization": TOKEN, "accept-language": "de"},
    )
    return caller.sent[-1], caller.raws[-1]


def test_a_request_and_its_response(bank: Flask, caller: SealedCaller) -> None:
    send, raw = pay(caller)
    both = as_http(send) + as_http(raw)
    assert MARKER.encode() not in both
    asked, answered = rows(bank, both)
    assert json.loads(asked["body"]) == {"card": MARKER}
    assert asked["seal"]["query"] == f"ref={MARKER}"
    assert asked["seal"]["target"] == "/pay"
    assert asked["seal"]["body"] == "envelope"
    assert asked["seal"]["content type"] == "application/json"
    assert len(asked["seal"]["op"]) == 22
    assert ["accept-language", "de"] in asked["headers"]
    assert json.loads(answered["body"]) == {"paid": {"card": MARKER}}
    assert answered["seal"]["status"] == 201
    assert ["x-card", MARKER] in answered["headers"]
    text = run(bank, both)
    assert text.exit_code == 0
    assert text.output.count(MARKER) == 4
    assert "Warning" in text.stderr
    assert "Warning" not in text.stdout


def test_tokens_are_shown_where_they_are_asked_for(bank: Flask, caller: SealedCaller) -> None:
    data = as_http(pay(caller)[0])
    for as_json in ((), ("--json",)):
        assert TOKEN not in run(bank, data, *as_json).output
        assert TOKEN in run(bank, data, *as_json, "--tokens").output


def test_curl(bank: Flask, caller: SealedCaller) -> None:
    send, _ = pay(caller)
    for more in (("-X", "POST"), ("--compressed", "-XPOST"), ("-b", "a=b", "-s"), ()):
        (row,) = rows(bank, as_curl(send, *more))
        assert json.loads(row["body"]) == {"card": MARKER}
    caller.get("/pay?page=2")
    (row,) = rows(bank, as_curl(caller.sent[-1]))
    assert row["seal"]["target"] == "/pay?page=2"


def test_har(bank: Flask, caller: SealedCaller) -> None:
    pay(caller)
    assert caller.get("/live").content == b"one,two"
    caller.get("/picture")
    found = rows(bank, as_har(caller))
    by_name = [(row["message"], row.get("body")) for row in found]
    assert by_name[0] == ("request POST /sealed/session, not sealed", None)
    assert json.loads(found[2]["body"]) == {"card": MARKER}
    assert by_name[5] == ("response 200", "one,two")
    assert found[5]["seal"]["body"] == "records"
    assert base64.b64decode(found[7]["body_base64"]) == b"\xff\xd8\x00"
    assert "3 bytes that are no text" in run(bank, as_har(caller)).output


def test_pre_shared_keys(bank: Flask, ring: KeyRing) -> None:
    secret = ring.get("psk", PSK, int(time.time())).material  # type: ignore[union-attr]
    caller = SealedCaller(FlaskWire(bank), audience=AUDIENCE, psk=(PSK, secret))  # type: ignore[arg-type]
    caller.get("/pay")
    (row,) = rows(bank, as_http(caller.sent[-1]))
    assert row["seal"]["pre-shared key"] == PSK
    exchange = ClientExchange(os.urandom(32), "nobody", AUDIENCE, random=os.urandom)
    seal = exchange.seal(Request(method="GET", target="/pay"), iat=int(time.time())).seal
    (row,) = rows(bank, f"GET /pay HTTP/1.1\nSealed: {seal}\n\n".encode(), code=1)
    assert "'nobody'" in row["why"]


def test_level3(make_session_app: MakeApp) -> None:
    secret = os.urandom(32)
    app = make_session_app(SEALED_LEVEL3_KEY=secret.hex())
    body = envelope.seal(AESGCM(secret), b'{"card": 1}', iv=os.urandom(12))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    (row,) = rows(app, head + body)
    assert (row["body"], row["seal"]["profile"]) == ('{"card": 1}', "level3")
    other = envelope.seal(AESGCM(os.urandom(32)), b"{}", iv=os.urandom(12))
    (row,) = rows(app, head + other, code=1)
    assert "SEALED_LEVEL3_KEY" in row["why"]
    (row,) = rows(app, head + b'{"data": [1]}')
    assert "not sealed" in row["message"]
    assert rows(make_session_app(), head + body)[0]["message"] == "response 200, not sealed"


def changed(data: bytes) -> bytes:
    """A body with another character of its ciphertext."""
    at = data.rindex(b'"}') - 8
    return data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :]


def test_what_does_not_open_says_why(bank: Flask, caller: SealedCaller, ring: KeyRing) -> None:
    send, raw = pay(caller)
    (row,) = rows(bank, as_http(raw), code=1)
    assert "jti" in row["why"]
    (row,) = rows(bank, changed(as_http(send)), code=1)
    assert "body does not open" in row["why"]
    assert row["seal"]["target"] == "/pay"
    assert "body" not in row
    seal = dict(send.headers)["sealed"]
    for broken, reason in (
        (seal[:-4] + "AAAA", "changed on its way"),
        (seal.partition(".")[0], "broken"),
        ("x" * 7000, "broken"),
        (base64.b64encode(b"[" * 4000).decode() + "....", "broken"),
    ):
        (row,) = rows(bank, f"GET /pay HTTP/1.1\nSealed: {broken}\n\n".encode(), code=1)
        assert reason in row["why"]
    (row,) = rows(bank, as_http(replace(send, target="/other")))
    assert "/other" in row["seal"]["but"]
    bank.extensions["sealed"].settings = replace(
        bank.extensions["sealed"].settings, audience="other"
    )
    (row,) = rows(bank, as_http(send), code=1)
    assert "'other'" in row["why"]


def test_a_keyring_of_that_time(
    make_session_app: MakeApp, caller: SealedCaller, ring: KeyRing, tmp_path: Path
) -> None:
    send, _ = pay(caller)
    tickets = [key for key in ring.keys if key.purpose == "ticket"]
    left = KeyRing(tuple(key for key in ring.keys if key not in tickets))
    later = rotate_tickets(left, now=int(time.time()), random=os.urandom)
    app = make_session_app(SEALED_KEYRING=later.to_json().decode())
    (row,) = rows(app, as_http(send), code=1)
    assert tickets[0].kid in row["why"]
    write_keyring(tmp_path / "old.json", ring)
    (row,) = rows(app, as_http(send), "--keyring", str(tmp_path / "old.json"))
    assert json.loads(row["body"]) == {"card": MARKER}
    result = run(app, as_http(send), "--keyring", str(tmp_path / "none.json"))
    assert result.exit_code == 1
    assert "none.json" in result.output


def test_the_terminal_is_not_steered(bank: Flask, caller: SealedCaller) -> None:
    caller.post("/pay", data=b'"\x1b[2J"', content_type="text/plain")
    output = run(bank, as_http(caller.sent[-1])).stdout
    assert "\x1b" not in output
    assert "6 bytes that are no text" in output
    # A carriage return would hide what stands before it on its line.
    caller.post("/pay", data=b'"paid"\r"free"', content_type="text/plain")
    assert "\r" not in run(bank, as_http(caller.sent[-1])).stdout


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\x1b]0;x\x07 HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSealed: %b....\r\n\r\n" % base64.b64encode(b'{"jti":"\\u001b]0;x"}'),
        json.dumps(
            {
                "log": {
                    "entries": [
                        {
                            "request": {
                                "method": "GET\n\x1b]0;x",
                                "url": "/",
                                "headers": [{"name": "Sealed", "value": 5}],
                            },
                            "response": {},
                        }
                    ]
                }
            }
        ).encode(),
    ],
    ids=["target", "jti", "method"],
)
def test_the_terminal_is_not_steered_by_what_does_not_open(bank: Flask, data: bytes) -> None:
    result = run(bank, data)
    assert isinstance(result.exception, SystemExit | None)
    assert result.stdout.count("\n") <= 2
    assert "\x1b" not in result.output


def test_files(bank: Flask, caller: SealedCaller, tmp_path: Path) -> None:
    send, raw = pay(caller)
    (tmp_path / "1").write_bytes(as_http(send))
    (tmp_path / "2").write_bytes(as_http(raw))
    found = rows(bank, b"", str(tmp_path / "1"), str(tmp_path / "2"))
    assert [row["opened"] for row in found] == [True, True]
    assert run(bank, b"nothing").exit_code == 1
    assert run(Flask(__name__), b"").exit_code == 1


def test_an_application_without_a_keyring(make_app: MakeApp, caller: SealedCaller) -> None:
    (row,) = rows(make_app(), as_http(pay(caller)[0]), code=1)
    assert "keyring" in row["why"]


# ------------------------------------------------------------------------------- reading


def read_one(data: bytes) -> Captured:
    (message,) = read_captured(data)
    return message


def test_curl_as_browsers_write_it() -> None:
    message = read_one(
        b"curl 'https://bank.example/pay?x=1' \\\n  -X 'PUT' \\\n  -H 'Sealed: a.b' \\\n"
        rb"  --data-raw $'{\"data\":\"\u0041\'\"}' --compressed"
    )
    assert (message.method, message.target) == ("PUT", "/pay?x=1")
    assert message.headers == {"sealed": "a.b"}
    assert message.body == b"""{"data":"A'"}"""
    assert read_one(b"curl -I https://x.example").method == "HEAD"
    assert read_one(b"curl --url=https://x.example -da -d b").body == b"a&b"
    assert read_one(b"curl --max-time 3 https://x.example").target == "/"


BAD_BASE64 = (
    b'{"log": {"entries": [{"request": {"method": "GET", "url": "/", "headers": []},'
    b' "response": {"status": 200, "headers": [], "content": {"text": "x", "encoding": "base64"}}'
    b"}]}}"
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"curl",
        b"curl 'https://x",
        b"curl https://x.example -d @/etc/passwd",
        b"curl https://[x",
        b"{",
        b"{}",
        b'{"log": {"entries": [1]}}',
        b'{"log": {"entries": [{"request": {}, "response": {}}]}}',
        BAD_BASE64,
    ],
)
def test_what_is_no_capture(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_captured(data)


@given(st.binary() | st.text(alphabet="curl 'x-Hd$@{}[]\":\\\n").map(str.encode))
def test_whatever_is_read_there_is_no_other_error(data: bytes) -> None:
    for start in (b"", b"curl ", b"{", b"GET / HTTP/1.1\r\n"):
        try:
            read_captured(start + data)
        except UnreadableError:
            continue


def test_http_with_chunks_without_a_length_and_with_line_feeds() -> None:
    chunked = b"POST http://x.example/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    first, second = read_captured(
        chunked + b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\nHTTP/1.1 200 OK\n\nxyz\nGET"
    )
    assert (first.target, first.body) == ("/a", b"abcde")
    assert (second.status, second.body) == (200, b"xyz\nGET")
    assert read_one(chunked + b"abcde").body == b"abcde"
    three = read_captured(
        b"GET /1 HTTP/1.1\n\nHTTP/1.0 404 Not Found\nA: b\n\nGET /2 HTTP/1.1\n\n"
    )
    assert [one.name for one in three] == ["request GET /1", "response 404", "request GET /2"]
    assert read_one(b"GET /1 HTTP/1.1\nContent-Length: 2\n\nabc").body == b"ab"


# ------------------------------------------------------------------------------- the benchmark


def test_bench() -> None:
    runner = Flask(__name__).test_cli_runner()
    result = runner.invoke(cli, ["bench"])
    assert result.exit_code == 0
    assert "handshake" in result.output
    numbers = json.loads(runner.invoke(cli, ["bench", "--json"]).output)
    assert [set(row) for row in numbers["requests"]] == [{"what", "plain", "sealed"}] * 3
    assert all(0 < row["plain"] < row["sealed"] for row in numbers["requests"])
    assert numbers["handshake"] > 0
    assert numbers["aes_gcm_mib_per_second"] > 10
