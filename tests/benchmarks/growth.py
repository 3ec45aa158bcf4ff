"""How the cost grows, with workers and with sessions: ``python -m tests.benchmarks.growth``."""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from flask_sealed.protocol.messages import Request

from ..driver import FlaskWire, SealedCaller
from ..servers import process
from ..servers.conftest import Service, pins, settings
from .__main__ import AUDIENCE, Client, caller
from .servers import Side, plain_requests, sealed_requests, turn

_GET = Request(method="GET", target="/get")


def workers(most: int, *, turns: int, seconds: int) -> None:
    """Requests per second, sealed and plain in turns, by the number of workers."""
    print(f"\njwt_required POST of 1 KB{'plain per s':>18}{'sealed per s':>15}{'ratio':>8}")
    for count in range(1, most + 1):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            plain, sealed = (
                stack.enter_context(process.gunicorn(folder, config, workers=count))
                for config in (None, settings(folder))
            )
            sides = [
                Side("plain", plain, plain_requests(plain)),
                Side("sealed", sealed, sealed_requests(Service(sealed, pins(folder)).caller())),
            ]
            for side in sides * turns:
                turn(side, seconds)
        clear, rate = (median(side.rates) for side in sides)
        print(f"{count:>2} workers{clear:>33.0f}{rate:>15.0f}{rate / clear:>8.2f}")


def sessions(counts: tuple[int, ...], *, requests: int) -> None:
    """Microseconds a sealed GET in one process, by how many sessions take turns at random."""
    client = Client("memory://")
    callers: list[SealedCaller] = [client.caller]
    print(f"\nSealed GET of 1 KB by sessions{'µs':>12}")
    for count in counts:
        while len(callers) < count:
            made = SealedCaller(FlaskWire(client.app), audience=AUDIENCE)
            made.get("/get")
            callers.append(made)
        times = []
        for _ in range(9):
            # Each once, so that the time is of the server alone.
            order = random.sample(callers, count)
            turns = list(itertools.islice(itertools.cycle(order), requests))
            sends = [one.prepare(_GET, None).send for one in turns]
            works = [
                caller(client.app, "/get", None, seal=dict(send.headers)["sealed"])
                for send in sends
            ]
            begun = time.perf_counter()
            for work in works:
                work()
            times.append((time.perf_counter() - begun) / requests * 1e6)
        print(f"{count:>10,}{median(times):>32.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth")
    parser.add_argument("--workers", type=int, default=4, help="at the most")
    parser.add_argument("--seconds", type=int, default=3, help="of one turn")
    given = parser.parse_args()
    workers(given.workers, turns=3, seconds=given.seconds)
    sessions((1, 100, 1_000, 10_000), requests=2_000)


if __name__ == "__main__":
    main()
