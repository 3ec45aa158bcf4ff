"""Rotation under load: ``python -m tests.benchmarks.rotation``.

gunicorn serves clients that send one sealed request after the other, safe and unsafe ones, while
the ticket key and the identity key rotate each second. Some clients come and go, so there are
handshakes all the time. No request may fail, and who stays needs no second handshake. In the end
every ticket key is replaced at once, as after a leak: that costs one handshake a client.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from pathlib import Path
from threading import Event

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flask_sealed.config import redis_source
from flask_sealed.keyfile import read_keyring
from flask_sealed.keysource import FileSource, KeySource
from flask_sealed.protocol.keys import KeyRing
from flask_sealed.protocol.rotation import replace_tickets, rotate_identity, rotate_tickets
from flask_sealed.stores.uri import parse_uri

from ..driver import SealedCaller
from ..redis_server import RedisServer
from ..servers import process
from ..servers.conftest import AUDIENCE, Service, pins, settings

#: Requests of a client that does not stay.
_FEW = 20
#: How long clients may take for anything, in seconds.
_PATIENCE = 120


@dataclass
class Tally:
    """What clients have met."""

    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    #: Handshakes of clients that stay, by client; and those of the others.
    handshakes: Counter[int] = field(default_factory=Counter)
    visits: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.requests + other.requests,
            self.failures + other.failures,
            self.handshakes + other.handshakes,
            self.visits + other.visits,
        )


def client(
    number: int, make: Callable[[], SealedCaller], stop: Event, tally: Tally, *, stays: bool
) -> None:
    """One client, until it is told to stop."""
    caller = make()
    while not stop.is_set():
        try:
            unsafe = tally.requests % 2
            reply = caller.post("/echo", json=[1]) if unsafe else caller.get("/what")
            if reply.status != 200:
                tally.failures[str(reply.status)] += 1
        except Exception as error:
            tally.failures[f"{type(error).__name__}: {error}"] += 1
        tally.requests += 1
        handshakes = sum(send.target == "/sealed/session" for send in caller.sent)
        if stays:
            tally.handshakes[number] += handshakes
        caller.sent.clear()
        caller.raws.clear()
        if not stays and tally.requests % _FEW == 0:
            tally.visits += 1
            caller = make()


def rotate(source: KeySource, now: int) -> None:
    """Both kinds of keys, as ``flask sealed rotate --clocks 0`` does on one machine."""

    def change(ring: KeyRing) -> KeyRing:
        ring = rotate_tickets(ring, now=now, random=os.urandom, reload=1, clocks=0)
        backup = Ed25519PrivateKey.generate()
        return rotate_identity(ring, backup, now=now, reload=1, clocks=0)

    source.update(change)


def rotate_each_second(source: KeySource, seconds: int, tallies: list[Tally]) -> None:
    """Or later, where the machine is so busy that clients had hardly an answer meanwhile."""
    now = 0
    for number in range(1, seconds + 1):
        wait_until(partial(_each_asked, tallies, 2 * number))
        now = max(ceil(time.time()), now + 1)
        time.sleep(max(0, now - 0.95 - time.time()))
        rotate(source, now)


def _each_asked(tallies: list[Tally], times: int) -> bool:
    return all(tally.requests >= times for tally in tallies)


def wait_until(come: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not come():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def leak(source: KeySource) -> None:
    """Replace all ticket keys at once."""
    source.update(lambda ring: replace_tickets(ring, now=int(time.time()), random=os.urandom))


def run(
    folder: Path,
    *,
    seconds: int,
    workers: int = 4,
    clients: int = 4,
    kind: str = "sync",
    redis: RedisServer | None = None,
) -> tuple[Tally, Tally]:
    """What clients met while the keys rotated, and while all ticket keys were replaced.

    :param redis: keeps the keyring, in place of a file.
    """
    given = settings(folder)
    pinned = pins(folder)
    source: KeySource = FileSource(folder / "keyring.json")
    if redis is not None:
        source = _in_redis(folder, given, redis)
    with process.gunicorn(folder, given, workers=workers, kind=kind) as server:
        make = Service(server, pinned).caller
        phases = []
        works: list[Callable[[list[Tally]], None]] = [
            lambda tallies: rotate_each_second(source, seconds, tallies),
            lambda tallies: _leak_in_the_middle(source, tallies[::2]),
        ]
        for work in works:
            stop, tallies = Event(), [Tally() for _ in range(clients)]
            with ThreadPoolExecutor(clients) as pool:
                running = [
                    pool.submit(client, number, make, stop, tally, stays=number % 2 == 0)
                    for number, tally in enumerate(tallies)
                ]
                try:
                    work(tallies)
                finally:
                    stop.set()
            for one in running:
                one.result()
            phases.append(sum(tallies, Tally()))
    return phases[0], phases[1]


def _in_redis(folder: Path, given: dict[str, object], redis: RedisServer) -> KeySource:
    secret, place = os.urandom(32), parse_uri(redis.uri)
    assert place is not None
    source = redis_source(place, AUDIENCE, AESGCM(secret))
    source.put(read_keyring(folder / "keyring.json"))
    given.update(SEALED_KEYRING=redis.uri, SEALED_KEYRING_KEY=secret.hex())
    return source


def _leak_in_the_middle(source: KeySource, staying: list[Tally]) -> None:
    """While clients that stay have a session; and until they have had another one for a while."""

    def have(count: int) -> bool:
        return all(tally.handshakes.total() >= count for tally in staying)

    wait_until(lambda: have(1))
    time.sleep(0.3)
    leak(source)
    wait_until(lambda: have(2))
    # Each worker has read the keyring by then.
    time.sleep(1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of rotation")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--kind", default="sync", help="of gunicorn's workers: sync, gthread")
    parser.add_argument("--redis", action="store_true", help="Keep the keyring in Redis")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sealed-") as name, ExitStack() as stack:
        redis = stack.enter_context(RedisServer(Path(name))) if given.redis else None
        phases = run(
            Path(name),
            redis=redis,
            seconds=given.seconds,
            workers=given.workers,
            clients=given.clients,
            kind=given.kind,
        )
    names = (f"both keys each second for {given.seconds} s", "all ticket keys replaced once")
    for name, tally in zip(names, phases, strict=True):
        stayed = sorted(tally.handshakes.values())
        print(f"{name}: {tally.requests} requests, {sum(tally.failures.values())} failed,")
        print(
            f"  handshakes of clients that stayed: {stayed}; {tally.visits} others came and went"
        )
        for failure, times in tally.failures.items():
            print(f"  {times} times {failure}")


if __name__ == "__main__":
    main()
