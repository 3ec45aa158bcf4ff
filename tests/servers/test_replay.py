"""An operation happens once, whichever worker it meets."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from threading import Barrier

import pytest

from flask_sealed.protocol.messages import Request

from ..driver import Attempt, Outer, SealedCaller
from . import process
from .conftest import Service, Start, pins, settings
from .process import Server

TRANSFER = Request(method="POST", target="/transfer", content_type="application/json")
HELD = replace(TRANSFER, target="/held")
COPIES = 200


@pytest.fixture(params=["sync", "threads, preloaded", "waitress"])
def server(request: pytest.FixtureRequest, start: Start, tmp_path: Path) -> Server:
    given = settings(tmp_path)
    if request.param == "waitress":
        return start(process.waitress(tmp_path, given))
    preload = request.param != "sync"
    kind = "gthread" if preload else "sync"
    return start(process.gunicorn(tmp_path, given, workers=4, kind=kind, preload=preload))


@pytest.fixture
def caller(server: Server, tmp_path: Path) -> SealedCaller:
    return Service(server, pins(tmp_path)).caller()


def wait_until(come: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not come():
        assert time.monotonic() < end
        time.sleep(0.01)


def at_once(caller: SealedCaller, attempts: list[Attempt]) -> Counter[int]:
    """Send all at the same time; count the statuses that come back, inside the seals."""
    together = Barrier(len(attempts))

    def send(attempt: Attempt) -> int:
        together.wait()
        outer: Outer = caller.wire.send(attempt.send)
        return attempt.open(outer)[0].status

    with ThreadPoolExecutor(len(attempts)) as threads:
        return Counter(threads.map(send, attempts))


def test_copies_of_a_transfer(server: Server, caller: SealedCaller) -> None:
    attempt = caller.prepare(TRANSFER, b'{"amount": 1}')
    assert at_once(caller, [attempt] * COPIES) == {200: 1, 409: COPIES - 1}
    assert len(server.notes("transfers")) == 1


def test_attempts_at_one_transfer(server: Server, caller: SealedCaller) -> None:
    """The same operation, sealed anew each time."""
    request = replace(TRANSFER, op=os.urandom(16))
    attempts = [caller.prepare(request, b"{}") for _ in range(COPIES)]
    assert at_once(caller, attempts) == {200: 1, 409: COPIES - 1}
    assert len(server.notes("transfers")) == 1


def test_many_transfers(server: Server, caller: SealedCaller) -> None:
    attempts = [caller.prepare(TRANSFER, b"{}") for _ in range(COPIES)]
    assert at_once(caller, attempts) == {200: COPIES}
    assert len(server.notes("transfers")) == COPIES


def test_every_worker_knows_the_session(start: Start, tmp_path: Path) -> None:
    server = start(process.gunicorn(tmp_path, settings(tmp_path), workers=4))
    caller = Service(server, pins(tmp_path)).caller()
    attempts = [caller.prepare(HELD, b"{}") for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(caller.wire.send, attempt.send) for attempt in attempts]
        # Each keeps a worker busy, so the next one has another.
        wait_until(lambda: len(server.notes("held")) == 4)
        (tmp_path / "release").touch()
    assert {answer.result().status for answer in answers} == {200}
    assert {int(pid) for pid in server.notes("held")} == set(server.workers())
    assert [send.target for send in caller.sent] == ["/sealed/session"]


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_a_worker_killed_in_the_middle(start: Start, tmp_path: Path, kind: str) -> None:
    server = start(process.gunicorn(tmp_path, settings(tmp_path), kind=kind))
    caller = Service(server, pins(tmp_path)).caller()
    op = os.urandom(16)
    with ThreadPoolExecutor(1) as threads:
        lost = threads.submit(caller.post, "/held", json={"amount": 1}, op=op)
        wait_until(lambda: server.notes("held") != [])
        os.kill(int(server.notes("held")[0]), signal.SIGKILL)
        with pytest.raises((OSError, HTTPException)):
            lost.result()
    (server.folder / "release").touch()
    # The outcome is unknown, and nothing happens twice.
    assert caller.post("/held", json={"amount": 1}, op=op).status == 409
    assert len(server.notes("transfers")) == 1
    assert caller.post("/held", json={"amount": 1}).status == 200


def test_a_proxy_that_sends_again(start: Start, tmp_path: Path) -> None:
    """nginx gives a request whose server has died to the next one."""
    given = settings(tmp_path)
    servers = [start(process.gunicorn(tmp_path, given, workers=1)) for _ in range(2)]
    proxy = start(
        process.nginx(tmp_path, *servers, lines=["proxy_next_upstream error non_idempotent;"])
    )
    caller = Service(proxy, pins(tmp_path)).caller()
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(caller.post, "/held", json={"amount": 1})
        wait_until(lambda: proxy.notes("held") != [])
        os.kill(int(proxy.notes("held")[0]), signal.SIGKILL)
        assert answer.result().status == 409
    assert len(proxy.notes("transfers")) == 1


def test_the_servers_restart_forgets_nothing(start: Start, tmp_path: Path) -> None:
    """Sessions and operations outlive all processes."""
    given = settings(tmp_path)
    with process.gunicorn(tmp_path, given) as server:
        first = Service(server, pins(tmp_path)).caller()
        attempt = first.prepare(TRANSFER, b"{}")
        assert first.deliver(attempt.send).status == 200
    second = Service(start(process.gunicorn(tmp_path, given)), pins(tmp_path)).caller()
    outer = second.deliver(attempt.send)
    assert attempt.open(outer)[0].status == 409
    assert len(server.notes("transfers")) == 1
