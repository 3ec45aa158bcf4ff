"""An operation happens once, when the workers share a Redis that goes away and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_sealed import Untrusted
from flask_sealed.protocol.messages import Request

from ..driver import SealedCaller
from ..redis_server import RedisServer
from . import process
from .conftest import Service, Start, pins, settings
from .process import Server
from .test_replay import COPIES, TRANSFER, at_once


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def server(redis: RedisServer, start: Start, tmp_path: Path) -> Server:
    given = settings(tmp_path, SEALED_REPLAY_STORE=redis.uri)
    return start(process.gunicorn(tmp_path, given, workers=4))


@pytest.fixture
def caller(server: Server, redis: RedisServer, tmp_path: Path) -> SealedCaller:
    caller = Service(server, pins(tmp_path)).caller()
    # A store that has just begun refuses what may have been tried before.
    assert caller.deliver(caller.prepare(TRANSFER, b"{}").send).status == 503
    redis.age()
    return caller


def test_copies_of_a_transfer(server: Server, caller: SealedCaller) -> None:
    attempt = caller.prepare(TRANSFER, b'{"amount": 1}')
    assert at_once(caller, [attempt] * COPIES) == {200: 1, 409: COPIES - 1}
    assert len(server.notes("transfers")) == 1


def test_a_redis_that_is_killed_and_comes_back(
    server: Server, caller: SealedCaller, redis: RedisServer
) -> None:
    attempt = caller.prepare(TRANSFER, b'{"amount": 1}')
    assert caller.deliver(attempt.send).status == 200
    redis.kill()
    # Nobody can tell whether an operation is new; safe requests go on, at workers that have asked
    # before what is revoked.
    assert {caller.deliver(attempt.send).status for _ in range(8)} == {503}
    assert caller.deliver(caller.prepare(TRANSFER, b"{}").send).status == 503
    safe, end = caller.prepare(Request(method="GET", target="/what")).send, time.monotonic() + 60
    while caller.deliver(safe).status != 200:
        assert time.monotonic() < end
    redis.start()
    # It has forgotten all, and says so: what was sealed before is refused for 130 seconds.
    assert {caller.deliver(attempt.send).status for _ in range(8)} == {503}
    redis.age()
    # A worker that had not heard from it asks it again within a second.
    end = time.monotonic() + 60
    while caller.deliver(caller.prepare(TRANSFER, b'{"amount": 2}').send).status != 200:
        assert time.monotonic() < end
    assert len(server.notes("transfers")) == 2


def test_a_store_that_was_never_there(start: Start, tmp_path: Path) -> None:
    given = settings(tmp_path, SEALED_REPLAY_STORE="redis://127.0.0.1:1/0")
    server = start(process.gunicorn(tmp_path, given))
    # Nobody can tell whether the client's key is revoked.
    with pytest.raises(Untrusted) as caught:
        Service(server, pins(tmp_path)).caller().get("/what")
    assert (caught.value.status, caught.value.code) == (503, "unavailable")
