"""One bank for all attacks, its twin, and the middlebox before it."""

from __future__ import annotations

import json as jsonlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.messages import Request

from ..driver import HttpWire, Outer, Pairs, SealedCaller, _pairs
from ..servers import process
from ..servers.conftest import AUDIENCE, Service, pins, settings
from ..servers.process import Server
from .app import TWIN
from .middlebox import Middlebox, standing

#: What the bank's application is, for servers.
APP = "tests.attacks.app"
TRANSFER = Request(method="POST", target="/transfer", content_type="application/json")
BODY = b'{"to": "bob", "amount": 1}'

Notes = Callable[[str], list[str]]
T = TypeVar("T")


class Plain:
    """A client that does not seal.

    :param path: what the paths of all its requests begin with.
    """

    def __init__(self, base: str, path: str = "") -> None:
        self._wire = HttpWire(base)
        self._path = path

    def send(
        self,
        method: str,
        target: str,
        *,
        json: object = None,
        data: bytes | None = None,
        headers: Pairs = (),
    ) -> Outer:
        sent = _pairs(headers)
        if json is not None:
            data = jsonlib.dumps(json).encode()
            sent += (("content-type", "application/json"),)
        return self._wire.send(Send(method, self._path + target, sent, data))

    def get(self, target: str, **more: Any) -> Outer:
        return self.send("GET", target, **more)

    def post(self, target: str, **more: Any) -> Outer:
        return self.send("POST", target, **more)


class Bank(Service):
    """The bank as it is attacked."""

    def plain(self) -> Plain:
        """A client that does not seal, of the bank itself."""
        return Plain(self.server.base)

    def twin(self, box: Middlebox | None = None) -> Plain:
        """A client of the twin; through a middlebox, where there is one."""
        return Plain(self.server.base if box is None else box.base, TWIN)

    def victim(self, box: Middlebox, **more: Any) -> SealedCaller:
        """A client of the bank, through a middlebox."""
        more = {"ring_pins": self.pins, "origin": box.base, **more}
        return SealedCaller(HttpWire(box.base), audience=AUDIENCE, **more)


def code(outer: Outer) -> str:
    """What a refusal in clear is called, ``""`` for what is none."""
    if outer.head.headers.get("content-type") != "application/problem+json":
        return ""
    return str(outer.json()["type"]).removeprefix("urn:flask-sealed:")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def log_in(caller: SealedCaller, user: str = "ada") -> dict[str, str]:
    """The header that tells who is calling."""
    return bearer(caller.post("/login", json={"user": user}).json()["access"])


def twin_log_in(twin: Plain, user: str = "ada") -> dict[str, str]:
    return bearer(twin.post("/login", json={"user": user}).json()["access"])


def at_each_worker(server: Server, send: Callable[[], tuple[Outer, T]]) -> dict[int, T]:
    """Send until each worker has answered: what came of it, by worker. One that has answered is
    held, so that the next must take it."""
    had: dict[int, T] = {}
    try:
        while others := set(server.workers()) - set(had):
            outer, answer = send()
            worker = int(outer.head.headers["server-worker"])
            assert worker in others
            had[worker] = answer
            os.kill(worker, signal.SIGSTOP)
            # Until then it could still take what comes next.
            while _state(worker) != "T":
                time.sleep(0.001)
    finally:
        for worker in had:
            os.kill(worker, signal.SIGCONT)
    return had


def _state(pid: int) -> str:
    """As in ``proc_pid_stat(5)``."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """All of its workers have begun, so that none grows or comes while it is attacked."""
    folder = tmp_path_factory.mktemp("attacks")
    with process.gunicorn(folder, settings(folder), app=APP) as running:
        caller = Service(running, pins(folder)).caller()

        def greet() -> tuple[Outer, int]:
            status = caller.post("/transfer", json={}).status
            return caller.raw, status

        assert set(at_each_worker(running, greet).values()) == {200}
        yield running


@pytest.fixture
def bank(server: Server) -> Iterator[Bank]:
    """The bank, without what earlier attacks have left."""
    forget_notes(server)
    yield Bank(server, pins(server.folder))
    forget_notes(server)


def forget_notes(server: Server) -> None:
    """What an attack does may end after its test: so also before one."""
    for name in ("moved", "uploaded", "unpacked", "clock"):
        (server.folder / name).unlink(missing_ok=True)


@pytest.fixture
def box(server: Server) -> Iterator[Middlebox]:
    with standing(server.base) as box:
        yield box


def set_clock(folder: Path, seconds: float) -> None:
    """Let the bank's clock be ahead by so many seconds."""
    (folder / "clock").write_text(str(seconds))
