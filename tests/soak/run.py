"""One run: a service with its store, clients, and faults in turn."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..redis_server import RedisServer
from ..servers import process
from ..servers.conftest import Service, pins, settings
from . import faults
from .world import CLEAR_FAILURES, TRANSFER, Record, World

WORKERS = 4
Faults = list[Callable[[], None]]


def soak(folder: Path, *, store: str, seconds: float, pause: float) -> Record:
    """Let faults happen, one after another, for so many seconds.

    :param store: ``sqlite`` or ``redis``.
    :param pause: how long there is peace between two of them, in seconds.
    :returns: what the clients have seen.
    :raises AssertionError: where something happened that must not.
    """
    with _service(folder, store) as (server, happens), World(server, pins(folder)) as world:
        end = time.monotonic() + seconds
        for fault in itertools.cycle(happens):
            time.sleep(pause)
            fault()
            if time.monotonic() > end:
                break
        # Afterwards all is well again.
        time.sleep(pause)
        world.wait()
    world.check()
    return world.record


def _begin(server: process.Server, folder: Path, redis: RedisServer) -> None:
    """A store that has just begun refuses unsafe requests for two minutes."""
    end = time.monotonic() + 60
    while not redis.has_begun():
        assert time.monotonic() < end
        with suppress(*CLEAR_FAILURES):
            Service(server, pins(folder)).caller().attempt(TRANSFER, b"{}")
    redis.age()


@contextmanager
def _service(folder: Path, store: str) -> Iterator[tuple[process.Server, Faults]]:
    with ExitStack() as stack:
        given = settings(folder)
        of_the_store: Faults = [lambda: faults.fill_the_disk(server)]
        if store == "redis":
            # It keeps what it has on the disk at once, so that a restart forgets nothing.
            redis = stack.enter_context(
                RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
            )
            given["SEALED_REPLAY_STORE"] = redis.uri
            of_the_store = [
                lambda: faults.restart_redis(redis),
                lambda: faults.hang_redis(redis),
            ]
        # Stores are waited for as in production: so their faults are noticed.
        hasty = {"SEALED_TEST_HASTY": ""}
        server = stack.enter_context(
            process.gunicorn(folder, given, workers=WORKERS, environ=hasty)
        )
        if store == "redis":
            _begin(server, folder, redis)
        yield (
            server,
            [
                lambda: faults.kill_a_worker(server),
                lambda: faults.rotate_keys(folder / "keyring.json"),
                *of_the_store,
                lambda: faults.step_the_clock(folder, 30),
                lambda: faults.step_the_clock(folder, -30),
                lambda: faults.step_the_clock(folder, 3600),
            ],
        )
