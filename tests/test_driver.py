"""The driver of other tests, over both wires, against the flow's own service behind Flask."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from flask import Flask, Response, request
from werkzeug.serving import make_server

from flask_sealed.errors import Malformed, Refused
from flask_sealed.protocol import messages
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.replay import MemoryStore

from .driver import FlaskWire, HttpWire, SealedCaller, Wire
from .http_server import running
from .protocol.test_flow import BANK, LOOK, TRANSFER, Service


class Clocked(Service):
    """Has the machine's clock."""

    @property
    def now(self) -> float:
        return time.time()

    @now.setter
    def now(self, value: float) -> None:
        pass


def make_app(service: Service) -> Flask:
    app = Flask(__name__)
    app.config["TRIM"] = None

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path: str) -> Response:
        body = request.get_data()
        resource = messages.target(request.path, request.query_string)
        headers = tuple((name.lower(), value) for name, value in request.headers)
        head, content = service.answer(Send(request.method, resource, headers, body), body)
        pieces = [content[at : at + 1000] for at in range(0, len(content), 1000)]
        return Response(pieces[: app.config["TRIM"]], head.status, dict(head.headers))

    return app


@pytest.fixture
def service() -> Service:
    return Clocked(store=MemoryStore(int(time.time()) - 1000))


@pytest.fixture
def app(service: Service) -> Flask:
    return make_app(service)


@pytest.fixture(params=["chunked", "length", "http"])
def wire(request: pytest.FixtureRequest, app: Flask) -> Iterator[Wire]:
    if request.param != "http":
        yield FlaskWire(app, chunked=request.param == "chunked")
        return
    with running(make_server("127.0.0.1", 0, app, threaded=True)) as url:
        yield HttpWire(url)


@pytest.fixture
def make_caller(wire: Wire, service: Service) -> Callable[..., SealedCaller]:
    def make(**more: Any) -> SealedCaller:
        return SealedCaller(wire, audience=BANK, ring_pins=service.pins, **more)

    return make


def test_envelopes(make_caller: Callable[..., SealedCaller], service: Service) -> None:
    caller = make_caller()
    reply = caller.post("/transfers", json={"amount": 1}, headers={"Accept": "x"}, pad=True)
    assert (reply.status, reply.json()) == (200, {"amount": 1})
    assert reply.headers == [("etag", "x")]
    assert service.done[-1].headers == (("accept", "x"),)
    assert [send.target for send in caller.sent] == ["/sealed/session", "/transfers"]
    assert b"amount" not in (caller.sent[-1].body or b"") + caller.raw.body
    assert json.loads(caller.raw.body).keys() == {"data"}


def test_streams(make_caller: Callable[..., SealedCaller], service: Service) -> None:
    service.streams = True
    pieces = [b"x" * 70_000, b"", b"y" * 5000]
    reply = make_caller().post("/upload", content_iter=iter(pieces), length=75_000)
    assert b"".join(reply.stream()) == b"".join(pieces)


def test_a_cut_stream(
    make_caller: Callable[..., SealedCaller], service: Service, app: Flask
) -> None:
    caller = make_caller()
    caller.get("/")
    service.streams, app.config["TRIM"] = True, 3
    with pytest.raises(Malformed):
        _ = caller.post("/upload", data=b"x" * 5000).content


def test_other_keys(make_caller: Callable[..., SealedCaller], service: Service) -> None:
    assert make_caller(kem=True, binding=generate_private_key(SECP256R1())).get("/x").status == 200
    secret = service.pre_shared["peer"] = bytes(range(7, 39))[::-1]
    secret = service.pre_shared["peer"] = secret[::2] + secret[1::2]
    caller = make_caller(psk=("peer", secret))
    assert caller.get("/x").content == b"/x"
    assert len(caller.sent) == 1


def test_the_request_line_is_sent_as_it_is(make_caller: Callable[..., SealedCaller]) -> None:
    caller = make_caller()
    reply = caller.get("/caf%C3%A9/x", line="/caf%c3%a9/%78")
    assert reply.content == b"/caf%C3%A9/x"
    assert caller.sent[-1].target == "/caf%c3%a9/%78"


def test_attempts_by_hand(make_caller: Callable[..., SealedCaller], service: Service) -> None:
    caller = make_caller()
    outer, attempt = caller.attempt(TRANSFER, b"{}")
    assert attempt.json(outer) == {}
    replayed = caller.deliver(attempt.send)
    assert replayed.status == 409
    moved = caller.prepare(LOOK)
    assert caller.deliver(replace(moved.send, target="/elsewhere")).status == Refused.status
    stale, attempt = caller.attempt(LOOK, iat=5)
    assert attempt.json(stale)["server_time"] == pytest.approx(time.time(), abs=60)
    assert len(service.done) == 1
