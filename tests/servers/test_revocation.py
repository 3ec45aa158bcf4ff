"""What a command revokes, every worker refuses within a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.jwk import thumbprint
from flask_sealed.protocol.messages import Request
from flask_sealed.protocol.revocation import Revocation
from flask_sealed.stores import open_revocations

from ..redis_server import RedisServer, standing
from . import process
from .conftest import AUDIENCE, Service, Start, pins, settings

WORKERS = 4
#: Requests in turn reach all of so many workers, most likely.
MANY = 40


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with standing() as server:
        yield server


def command(folder: Path, given: dict[str, object], *words: str) -> None:
    program = [sys.executable, "-m", "flask", "--app"]
    program += [f"{process.APP}:{process.FACTORY}", "sealed", *words]
    environ = {"SEALED_TEST_FOLDER": str(folder), "SEALED_TEST_SETTINGS": json.dumps(given)}
    subprocess.run(program, cwd=process.ROOT, env={**os.environ, **environ}, check=True)


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_every_worker_refuses_within_a_second(
    start: Start, tmp_path: Path, redis: RedisServer, store: str
) -> None:
    given = settings(tmp_path)
    if store == "redis":
        given["SEALED_REPLAY_STORE"] = redis.uri
    server = start(process.gunicorn(tmp_path, given, workers=WORKERS))
    service = Service(server, pins(tmp_path))
    callers = {name: service.caller() for name in ("session", "key", "other")}
    sends = {
        name: caller.prepare(Request(method="GET", target="/what")).send
        for name, caller in callers.items()
    }

    def statuses(name: str) -> set[int]:
        """Safe requests may be sent again: so each worker gets some."""
        return {callers[name].deliver(sends[name]).status for _ in range(MANY)}

    assert all(statuses(name) == {200} for name in callers)
    key = callers["session"].keys.current(callers["session"].clock)
    assert key is not None
    assert key.sid is not None
    now = int(time.time())
    one = Revocation(kind="session", name=key.sid, at=now, exp=now + 100)
    uri = str(given["SEALED_REPLAY_STORE"])
    open_revocations(uri, folder=tmp_path, name=AUDIENCE).revoke([one], now=now)
    revoked = last = time.monotonic()
    while (sent := time.monotonic()) < revoked + 1.2:
        if callers["session"].deliver(sends["session"]).status == 200:
            # However long its answer took.
            last = sent
    assert last - revoked < 1
    assert statuses("session") == {401}
    jkt = b64u_encode(thumbprint(callers["key"].binding.public_key()))
    command(tmp_path, given, "revoke", "--key", jkt)
    time.sleep(0.6)
    assert statuses("key") == {401}
    assert statuses("other") == {200}
