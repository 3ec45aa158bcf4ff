"""One run: a service with its store, clients, and faults in turn."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..redis_server import RedisServer
from ..servers import process
from ..servers.conftest import Service, pins, settings
from . import faults
from .world import TRANSFER, Record, World

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
    world.check()
    return world.record


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
        server = stack.enter_context(process.gunicorn(folder, given, workers=WORKERS))
        if store == "redis":
            # A store that has just begun refuses unsafe requests for two minutes.
            Service(server, pins(folder)).caller().attempt(TRANSFER, b"{}")
            redis.age()
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
