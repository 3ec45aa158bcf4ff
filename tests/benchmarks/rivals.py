"""Flask-Sealed beside others that encrypt payloads, by the size of an echo:
``python -m tests.benchmarks.rivals``.

All requests are answered in this process, without any network, and each rival is compared with the
same view in clear under its own framework. Those that need packages of their own are in
`others.py`. Limits on sizes are raised as far as each one lets them be.
"""

from __future__ import annotations

import io
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from statistics import median
from typing import Any

import pybase64
from flask import Flask, request
from joserfc import jwe as joserfc_jwe
from joserfc.jwk import OctKey
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto.jwk import JWK
from werkzeug.test import EnvironBuilder

from flask_sealed import Sealed, sealed
from flask_sealed.protocol import envelope
from flask_sealed.protocol.flow import RECORDS_TYPE
from flask_sealed.protocol.messages import Request

from .__main__ import KEY, PIECE, SECRET, make_app
from .__main__ import Client as SessionClient

SIZES = (200, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
TURNS = 9
#: What limits on bodies are raised to, in bytes.
LIMIT = 200_000_000
JSON = "application/json"
_CLEAR = "Flask, in clear"
_PROTECTED = {"alg": "dir", "enc": "A256GCM"}

#: Does a request, and answers how many bytes went over the wire: both bodies and both seals.
Work = Callable[[], int]


@dataclass
class Rival:
    """One way to seal an echo.

    :param base: the name of what it is compared with.
    :param prepare: makes so many requests of so many bytes, each to be done once.
    :param most: the bytes of an answer that it takes at the most, whatever its settings.
    """

    name: str
    base: str
    prepare: Callable[[int, int], list[Work]]
    most: int = LIMIT
    #: Microseconds a request by size.
    times: dict[int, float] = field(default_factory=dict)
    #: Bytes on the wire by size.
    wire: dict[int, int] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        return {"base": self.base, "times": self.times, "wire": self.wire}


@lru_cache(2)
def content(size: int) -> bytes:
    """JSON with a text that does not compress well, as long and the same in each run."""
    drawn = random.Random(size).randbytes(size)
    return b'{"filler":"%b"}' % pybase64.b64encode(drawn)[: size - 13]


# --- in Flask ---


def post(app: Flask, body: bytes, path: str, *, seal: str = "", kind: str = JSON) -> Work:
    environ = EnvironBuilder(path=path, method="POST").get_environ() | {
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        **({"HTTP_SEALED": seal} if seal else {}),
    }
    told: list[int] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        assert status == "200 OK", status
        told[:] = [len(value) for name, value in headers if name == "Sealed"]

    def call() -> int:
        answer = app.wsgi_app(environ | {"wsgi.input": io.BytesIO(body)}, start)
        size = sum(map(len, answer))
        answer.close()  # type: ignore[attr-defined]
        return size + len(body) + len(seal) + sum(told)

    return call


@cache
def plain_app() -> Flask:
    return make_app(lambda view: view)


@cache
def level3_app() -> Flask:
    app = make_app(sealed)
    app.config.update(
        SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=SECRET.hex(), SEALED_MAX_BODY=LIMIT
    )
    Sealed(app)
    return app


@cache
def session_client() -> SessionClient:
    return SessionClient("memory://", SEALED_MAX_BODY=LIMIT)


def plain(size: int, count: int) -> list[Work]:
    return [post(plain_app(), content(size), "/post")] * count


def plain_stream(size: int, count: int) -> list[Work]:
    return [post(plain_app(), content(size), "/stream", kind="text/plain")] * count


def level3(size: int, count: int) -> list[Work]:
    body = envelope.seal(KEY, content(size), iv=os.urandom(12))
    return [post(level3_app(), body, "/post")] * count


def session(size: int, count: int) -> list[Work]:
    client = session_client()
    wanted = Request(method="POST", target="/post", content_type=JSON)
    works: list[Work] = []
    for _ in range(count):
        send = client.caller.prepare(wanted, content(size)).send
        seal = dict(send.headers)["sealed"]
        works.append(post(client.app, send.body or b"", "/post", seal=seal))
    return works


def session_stream(size: int, count: int) -> list[Work]:
    client = session_client()
    wanted = Request(method="POST", target="/stream", content_type="text/plain")
    works: list[Work] = []
    for _ in range(count):
        send = client.caller.prepare(wanted, stream=True).send
        assert send.records is not None
        body = b"".join((*map(send.records.seal, pieces(content(size))), send.records.finish()))
        seal = dict(send.headers)["sealed"]
        works.append(post(client.app, body, "/stream", seal=seal, kind=RECORDS_TYPE))
    return works


def pieces(text: bytes) -> Iterator[bytes]:
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))


# --- JWE in a view ---


class _Registry(joserfc_jwe.JWERegistry):
    max_ciphertext_length = LIMIT


_REGISTRY = _Registry()
_OCT = OctKey.import_key(SECRET)
_JWK = JWK(kty="oct", k=pybase64.urlsafe_b64encode(SECRET).decode())


def by_joserfc() -> Any:
    opened = joserfc_jwe.decrypt_compact(request.get_data(), _OCT, registry=_REGISTRY)
    value = json.loads(opened.plaintext or b"")
    return joserfc_jwe.encrypt_compact(_PROTECTED, json.dumps(value), _OCT)


def by_jwcrypto() -> Any:
    token = jwcrypto_jwe.JWE()
    token.deserialize(request.get_data(as_text=True), _JWK)
    value = json.loads(token.payload)
    protected = json.dumps(_PROTECTED)
    answer = jwcrypto_jwe.JWE(json.dumps(value).encode(), protected=protected, recipient=_JWK)
    return answer.serialize(compact=True)


def jwe(view: Callable[[], Any]) -> Callable[[int, int], list[Work]]:
    app = Flask("jwe")
    app.add_url_rule("/", "echo", view, methods=["POST"])

    def prepare(size: int, count: int) -> list[Work]:
        token = joserfc_jwe.encrypt_compact(_PROTECTED, content(size), _OCT).encode()
        return [post(app, token, "/")] * count

    return prepare


# --- measuring ---


def rivals() -> list[Rival]:
    return [
        Rival(_CLEAR, "", plain),
        Rival("Flask-Sealed, session", _CLEAR, session),
        Rival("Flask-Sealed, Level 3", _CLEAR, level3),
        Rival("Flask, a stream in clear", "", plain_stream),
        Rival("Flask-Sealed, session, records", "Flask, a stream in clear", session_stream),
        Rival("JWE by joserfc in the view", _CLEAR, jwe(by_joserfc)),
        Rival("JWE by jwcrypto in the view", _CLEAR, jwe(by_jwcrypto)),
    ]


def measure(
    rivals: list[Rival], sizes: tuple[int, ...] = SIZES, turns: int = TURNS
) -> dict[str, Any]:
    """What is told of each one, by its name."""
    for size in sizes:
        able = [rival for rival in rivals if takes(rival, size)]
        times: dict[str, list[float]] = {rival.name: [] for rival in able}
        for _ in range(turns_of(size, turns)):
            for rival in able:
                times[rival.name].append(microseconds(rival, size))
        for rival in able:
            rival.times[size] = median(times[rival.name])
    return {rival.name: rival.row() for rival in rivals}


def turns_of(size: int, turns: int) -> int:
    """The largest take seconds each."""
    return turns if size < 100_000_000 else -(-turns // 3)


def microseconds(rival: Rival, size: int) -> float:
    # Of the large ones few, since each request may be made ahead and kept.
    count = max(1, min(60, 3_000_000 // (size + 2_000)))
    warm = int(count > 1)
    works = rival.prepare(size, count + warm)
    for work in works[:warm]:
        work()
    begun = time.perf_counter()
    for work in works[warm:]:
        work()
    return (time.perf_counter() - begun) / count * 1e6


def takes(rival: Rival, size: int) -> bool:
    """Whether it takes so much; what it does not is tried, too, so that this is known to be so."""
    try:
        rival.wire[size] = rival.prepare(size, 1)[0]()
    except Exception:
        if size <= rival.most:
            raise
        return False
    return True


def show(table: dict[str, Any]) -> None:
    sizes = next(iter(table.values()))["times"]
    print(f"{'µs a request':<32}" + "".join(f"{size:>13,}" for size in sizes))
    for name, row in table.items():
        times = row["times"]
        cells = (
            f"{times[size]:>13,.1f}" if size in times else f"{'refused':>13}" for size in sizes
        )
        print(f"{name:<32}" + "".join(cells))
        if row["base"]:
            base = table[row["base"]]["times"]
            ratios = "".join(f"{times[size] / base[size]:>13.2f}" for size in times)
            print(f"{'    of the same in clear':<32}{ratios}")


def main() -> None:
    from . import others

    show(others.measured())


if __name__ == "__main__":
    main()
