"""``flask sealed bench``: what sealing costs on this machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from statistics import median
from typing import Any, TypedDict

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, request
from werkzeug.test import EnvironBuilder

from ..extension import Sealed
from ..policy import sealed
from ..protocol.exchange import ClientExchange
from ..protocol.handshake import ClientHandshake, answer_hello
from ..protocol.keys import Key, KeyRing
from ..protocol.messages import OP_BYTES, Request
from ..protocol.rotation import new_ring
from ..responses import JSON
from .group import cli

_AUDIENCE = "https://bench.example"
_KID = "bench"
_CALLS = 200
_HANDSHAKES = 30
_MIB = 1024 * 1024
# What most views take at least, most of it in a database, in microseconds.
_USUAL = 10_000

Environs = list[dict[str, Any]]


class _Row(TypedDict):
    what: str
    plain: float
    sealed: float


@cli.command(with_appcontext=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def bench(as_json: bool) -> None:
    """Say what sealing costs on this machine, beside a view that is not sealed.

    It takes about a second, and no application is needed. Times are those of one request inside
    the server, in microseconds, without the network.
    """
    secret = os.urandom(32)
    ring = _ring(secret)
    app = _app(ring)
    rows = [
        _row(app, secret, "GET, 1 KiB", "GET", 1024),
        _row(app, secret, "POST, 1 KiB each way", "POST", 1024),
        _row(app, secret, "POST, 256 KiB each way", "POST", 256 * 1024),
    ]
    handshake, cipher = _handshake(ring), _cipher()
    if as_json:
        rest = {"handshake": round(handshake, 1), "aes_gcm_mib_per_second": round(cipher)}
        click.echo(json.dumps({"requests": rows, **rest}, indent=2))
        return
    click.echo("\n".join(_lines(rows)))
    click.echo(f"\nA handshake takes the server {handshake:.0f} µs, once a session.")
    click.echo(f"AES-256-GCM encrypts {cipher:.0f} MiB a second.")
    more = rows[0]["sealed"] - rows[0]["plain"]
    click.echo(f"A GET that took 10 ms takes {more / _USUAL:.1%} more.")


def _ring(secret: bytes) -> KeyRing:
    keys = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    ring = new_ring(*keys, now=int(time.time()), random=os.urandom)
    return ring.add(Key(kid=_KID, purpose="psk", material=secret))


def _app(ring: KeyRing) -> Flask:
    app = Flask(_KID, static_folder=None)
    app.config.update(
        TESTING=True,
        SEALED_AUDIENCE=_AUDIENCE,
        SEALED_KEYRING=ring.to_json().decode(),
        SEALED_REPLAY_STORE="memory://",
    )
    Sealed(app)

    def view() -> dict[str, str]:
        if request.method == "POST":
            return {"text": request.get_json()["text"]}
        return {"text": "x" * 1024}

    app.add_url_rule("/plain", "plain", view, methods=["GET", "POST"])
    app.add_url_rule("/sealed", "sealed", sealed(view), methods=["GET", "POST"])
    return app


def _row(app: Flask, secret: bytes, what: str, method: str, size: int) -> _Row:
    content = json.dumps({"text": "x" * size}).encode() if method == "POST" else None
    calls = _CALLS if size < 64 * 1024 else _CALLS // 5
    plain = [_environ("/plain", method, content) for _ in range(calls)]
    seals = [_sealed_environ(secret, method, content) for _ in range(calls)]
    times: dict[str, list[float]] = {"plain": [], "sealed": []}
    # In turn, so that what else the machine does slows both.
    for one, other in zip(plain, seals, strict=True):
        times["plain"].append(_call(app, one))
        times["sealed"].append(_call(app, other))
    plain_time, sealed_time = (round(median(one), 1) for one in times.values())
    return {"what": what, "plain": plain_time, "sealed": sealed_time}


def _environ(
    path: str, method: str, content: bytes | None, headers: Iterable[tuple[str, str]] = ()
) -> dict[str, Any]:
    kind = None if content is None else JSON
    builder = EnvironBuilder(path, method=method, data=content, content_type=kind, headers=headers)
    return {**builder.get_environ(), "REMOTE_ADDR": "127.0.0.1"}


def _sealed_environ(secret: bytes, method: str, content: bytes | None) -> dict[str, Any]:
    message = Request(
        method=method,
        target="/sealed",
        content_type=None if content is None else JSON,
        op=None if content is None else os.urandom(OP_BYTES),
    )
    exchange = ClientExchange(secret, _KID, _AUDIENCE, random=os.urandom)
    seal, body = exchange.seal(message, content, iat=int(time.time()))
    return _environ("/sealed", method, body, [("Sealed", seal)])


def _call(app: Flask, environ: dict[str, Any]) -> float:
    """How long a request takes, in microseconds."""

    def answer() -> None:
        for _ in app.wsgi_app(environ, start):
            pass

    def start(status: str, *_: Any) -> Callable[[bytes], object]:
        if not status.startswith("200"):
            raise click.ClickException(f"a request of the benchmark was answered with {status}")
        return lambda _: None

    return _time(answer)


def _handshake(ring: KeyRing) -> float:
    """How long the server's part of a handshake takes, in microseconds."""
    now = int(time.time())
    times = []
    for _ in range(_HANDSHAKES):
        client = ClientHandshake(
            Ed25519PrivateKey.generate(),
            _AUDIENCE,
            ephemeral=X25519PrivateKey.generate(),
            kem=None,
            pins=None,
        )
        times.append(_time(partial(_answer, client.hello, ring, now)))
    return median(times)


def _answer(hello: str, ring: KeyRing, now: int) -> None:
    answer_hello(hello, ring, issuer=_AUDIENCE, now=now, lifetime=3600, random=os.urandom)


def _cipher() -> float:
    """How many MiB are encrypted a second."""
    key, content, nonce = AESGCM(os.urandom(32)), bytes(_MIB), bytes(12)
    # One nonce for all: nobody sees what is made.
    return 1_000_000 / median(_time(lambda: key.encrypt(nonce, content, None)) for _ in range(20))


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1_000_000


def _lines(rows: list[_Row]) -> Iterator[str]:
    yield f"{'':<24}{'plain':>10}{'sealed':>10}{'more':>10}{'ratio':>8}"
    for row in rows:
        plain, sealed_time = row["plain"], row["sealed"]
        more = sealed_time - plain
        yield (
            f"{row['what']:<24}{plain:>7.0f} µs{sealed_time:>7.0f} µs{more:>7.0f} µs"
            f"{sealed_time / plain:>8.2f}"
        )
