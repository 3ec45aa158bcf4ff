"""Coroutines, threads and greenlets: each request sees its own plaintext."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, copy_current_request_context, request

from flask_sealed import Sealed, sealed
from flask_sealed.protocol.messages import Request
from flask_sealed.testing import sealed_client

from ..servers import process
from ..servers.conftest import Service, pins, settings
from .conftest import MakeFlask

COUNT = 8


@pytest.fixture
def site(make_flask: MakeFlask) -> Flask:
    site = make_flask()
    Sealed(site)
    return site


async def word() -> str:
    await asyncio.sleep(0)
    return str(request.get_json()["word"])


def test_tasks_of_a_coroutine(site: Flask) -> None:
    @site.post("/words")
    @sealed
    async def words() -> Any:
        return await asyncio.gather(word(), asyncio.create_task(word()), asyncio.to_thread(now))

    assert sealed_client(site).post("/words", json={"word": "open"}).json == ["open"] * 3


def now() -> Any:
    return request.get_json()["word"]


def test_a_thread_that_outlives_the_view(site: Flask) -> None:
    """It needs the context, and has the plaintext with it; later hooks do not."""
    answered, seen, outside = threading.Event(), [], []

    @site.after_request
    def look(response: Any) -> Any:
        outside.append(request.get_data())
        return response

    @site.post("/later")
    @sealed
    def later() -> Any:
        @copy_current_request_context
        def work() -> None:
            answered.wait(60)
            seen.append(request.get_json()["word"])

        def lost() -> None:
            with pytest.raises(RuntimeError):
                request.get_json()

        threads.extend(threading.Thread(target=one) for one in (work, lost))
        for thread in threads:
            thread.start()
        return {}

    threads: list[threading.Thread] = []
    assert sealed_client(site).post("/later", json={"word": "secret"}).json == {}
    answered.set()
    for thread in threads:
        thread.join()
    assert seen == ["secret"]
    assert not any(b"secret" in body for body in outside)


@pytest.fixture(scope="module", params=["gevent", "gthread"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One worker that answers all at once."""
    folder = tmp_path_factory.mktemp("workers")
    threads = COUNT + 1
    server = process.gunicorn(
        folder, settings(folder), workers=1, kind=request.param, threads=threads
    )
    with server as running:
        yield Service(running, pins(folder))


def test_many_requests_at_once(service: Service) -> None:
    """All wait in one worker until the last one is there; each reads its own, and answers it."""
    caller = service.caller()
    held = Request(method="POST", target="/held", content_type="application/json")
    attempts = [caller.prepare(held, b'{"number": %d}' % number) for number in range(COUNT)]
    with ThreadPoolExecutor(COUNT) as pool:
        answers = [pool.submit(caller.wire.send, attempt.send) for attempt in attempts]
        wait_for(service, COUNT)
        Path(service.server.folder, "release").touch()
        for attempt, answer in zip(attempts, answers, strict=True):
            assert attempt.json(answer.result()) == {"state": "done"}
    assert len(set(service.server.notes("held"))) == 1
    noted = [json.loads(line)["number"] for line in service.server.notes("transfers")]
    assert sorted(noted) == list(range(COUNT))


def wait_for(service: Service, count: int) -> None:
    end = time.monotonic() + 60
    while len(service.server.notes("held")) != count:
        if time.monotonic() > end:
            raise TimeoutError(service.server.log.read_text())
        time.sleep(0.01)


def test_streams_both_ways_at_once(service: Service) -> None:
    pieces = [b"%d" % number * 70_000 for number in range(4)]

    def up(_: int) -> Any:
        return service.caller().post("/upload", content_iter=pieces).json()["size"]

    def down(number: int) -> int:
        return len(service.caller().get(f"/download/{300_000 + number}").content)

    with ThreadPoolExecutor(4) as pool:
        sizes, lengths = pool.map(up, range(4)), pool.map(down, range(4))
        assert list(sizes) == [280_000] * 4
        assert list(lengths) == [300_000, 300_001, 300_002, 300_003]


def test_one_operation_once(service: Service) -> None:
    caller = service.caller()
    transfer = Request(method="POST", target="/transfer", content_type="application/json")
    attempts = [
        caller.prepare(replace(transfer, op=bytes(range(16))), b"{}") for _ in range(COUNT)
    ]
    with ThreadPoolExecutor(COUNT) as pool:
        answers = pool.map(lambda attempt: caller.wire.send(attempt.send).status, attempts)
        assert sorted(answers) == [200] + [409] * (COUNT - 1)
