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
from .__main__ import AUDIENCE, Client, Work, caller, make_app
from .servers import Side, plain_requests, sealed_requests, turn

_GET = Request(method="GET", target="/get")
_COUNTS = (1, 10, 100, 1_000, 10_000)

#: Figures by how many there are, and by whether sealed or in clear.
Growth = dict[int, dict[str, float]]


def workers(most: int, *, turns: int, seconds: int) -> Growth:
    """Requests per second behind gunicorn, in turns, by the number of its workers."""
    return {count: _rates(count, turns, seconds) for count in range(1, most + 1)}


def _rates(count: int, turns: int, seconds: int) -> dict[str, float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plain, sealed = (
            stack.enter_context(process.gunicorn(folder, config, workers=count))
            for config in (None, settings(folder))
        )
        sides = [
            Side("in clear", plain, plain_requests(plain)),
            Side("sealed", sealed, sealed_requests(Service(sealed, pins(folder)).caller())),
        ]
        for side in sides * turns:
            turn(side, seconds)
    return {side.name: median(side.rates) for side in sides}


def sessions(counts: tuple[int, ...] = _COUNTS, *, requests: int, turns: int) -> Growth:
    """Microseconds a GET in one process, by how many sessions take turns at random."""
    client = Client("memory://")
    plain = caller(make_app(lambda view: view), "/get")
    callers: list[SealedCaller] = [client.caller]
    growth: Growth = {}
    for count in counts:
        while len(callers) < count:
            callers.append(SealedCaller(FlaskWire(client.app), audience=AUDIENCE))
            callers[-1].get("/get")
        times: dict[str, list[float]] = {"in clear": [], "sealed": []}
        for _ in range(turns):
            works = _prepared(client, callers, requests)
            times["in clear"].append(_time([plain] * requests))
            times["sealed"].append(_time(works))
        growth[count] = {name: median(values) for name, values in times.items()}
    return growth


def _prepared(client: Client, callers: list[SealedCaller], requests: int) -> list[Work]:
    """Requests that are sealed ahead, so that the time is of the server alone."""
    order = random.sample(callers, len(callers))
    turns = itertools.islice(itertools.cycle(order), requests)
    sends = [one.prepare(_GET, None).send for one in turns]
    return [caller(client.app, "/get", seal=dict(send.headers)["sealed"]) for send in sends]


def _time(works: list[Work]) -> float:
    begun = time.perf_counter()
    for work in works:
        work()
    return (time.perf_counter() - begun) / len(works) * 1e6


def show(title: str, growth: Growth) -> None:
    print(f"\n{title:<48}{'in clear':>12}{'sealed':>12}{'ratio':>8}")
    for count, figures in growth.items():
        plain, sealed = figures["in clear"], figures["sealed"]
        print(f"{count:>10,}{plain:>50.1f}{sealed:>12.1f}{sealed / plain:>8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth")
    parser.add_argument("--workers", type=int, default=4, help="at the most")
    parser.add_argument("--seconds", type=int, default=3, help="of one turn")
    given = parser.parse_args()
    rates = workers(given.workers, turns=3, seconds=given.seconds)
    show("Workers; jwt_required POST of 1 KB, per second", rates)
    times = sessions(requests=2_000, turns=9)
    show("Sessions; GET of 1 KB, µs", times)


if __name__ == "__main__":
    main()
