"""A service under load, and what must hold of it whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

import httpx

from flask_sealed.clients import Operation
from flask_sealed.clients.httpx import SealedTransport
from flask_sealed.errors import GivenUp, NoAnswer, Refusal
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.messages import Request

from ..driver import HttpWire, SealedCaller
from ..servers.conftest import AUDIENCE
from ..servers.process import Server

SIZE = 300_000
BLOCK = bytes(range(256)) * 256
DIGEST = hashlib.sha256((BLOCK * (SIZE // len(BLOCK) + 1))[:SIZE]).hexdigest()
#: What may go wrong for a client: each says what it is. `StreamConsumed` is what httpx says of a
#: generator that would have to be sent again, where a session has ended.
CLEAR_FAILURES = (
    httpx.TransportError,
    httpx.StreamConsumed,
    NoAnswer,
    Refusal,
    OSError,
    EOFError,
    HTTPException,
)
#: How long a client goes on with one transfer, in seconds. The protocol lets it try for 120.
PATIENCE = 20.0
#: What clients of each kind see sooner or later.
SEEN = ("transfer done", "download done", "upload: 200", "replay: 409", "intruder: 400")
TRANSFER = Request(method="POST", target="/transfer", content_type="application/json")


@dataclass
class Record:
    """What the clients have seen."""

    outcomes: Counter[str] = field(default_factory=Counter)
    #: Transfers that were answered with success.
    done: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    slowest: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1

    def succeed(self, transfer: str) -> None:
        with self._lock:
            self.outcomes["transfer done"] += 1
            self.done.add(transfer)

    def violate(self, what: str) -> None:
        with self._lock:
            self.violations.append(what)

    def took(self, seconds: float) -> None:
        with self._lock:
            self.slowest = max(self.slowest, seconds)


class World:
    """Clients of each kind at one server, each in a thread, until it is left.

    :param pins: the service's.
    :param crowd: how many clients there are of each kind.
    """

    def __init__(self, server: Server, pins: Sequence[bytes], *, crowd: int = 2) -> None:
        self.server = server
        self.record = Record()
        self._pins = tuple(pins)
        self._stop = threading.Event()
        kinds = (self._transfers, self._downloads, self._uploads, self._replays, self._intrudes)
        self._threads = [
            threading.Thread(target=self._guarded, args=(kind,)) for kind in kinds * crowd
        ]

    def __enter__(self) -> World:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            if thread.is_alive():
                self.record.violate("a client hangs")

    def wait(self) -> None:
        """Until clients of each kind have seen what they see, which may take long."""
        end = time.monotonic() + 60
        while time.monotonic() < end and not all(map(self.record.outcomes.get, SEEN)):
            time.sleep(0.1)

    def check(self) -> None:
        """Compare what the clients were told with what the views did.

        :raises AssertionError: where something happened that must not.
        """
        notes = Counter(json.loads(line)["id"] for line in self.server.notes("transfers"))
        twice = [name for name, times in notes.items() if times > 1]
        assert not twice, f"done twice: {twice}"
        lost = self.record.done - notes.keys()
        assert not lost, f"told to be done, and never done: {lost}"
        assert not self.record.violations, self.record.violations

    def _guarded(self, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                work()
            except CLEAR_FAILURES as error:
                self.record.count(f"{work.__name__[1:]}: {type(error).__name__}")
                self._stop.wait(0.05)
            except Exception as error:
                self.record.violate(f"{work.__name__[1:]}: {error!r}")
                return

    def _client(self) -> httpx.Client:
        transport = SealedTransport(
            audience=AUDIENCE,
            pins=[b64u_encode(pin) for pin in self._pins],
            origin=self.server.base,
        )
        return httpx.Client(transport=transport, base_url=self.server.base, timeout=60)

    def _transfers(self) -> None:
        """Each is tried until its outcome is known."""
        with self._client() as client:
            while not self._stop.is_set():
                begun = time.monotonic()
                self._transfer(client, os.urandom(12).hex())
                self.record.took(time.monotonic() - begun)

    def _transfer(self, client: httpx.Client, name: str) -> None:
        extensions = {"seal_operation": Operation()}
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not self._stop.is_set():
            try:
                response = client.post("/transfer", json={"id": name}, extensions=extensions)
            except GivenUp:
                break
            except CLEAR_FAILURES as error:
                self.record.count(f"transfer: {type(error).__name__}")
                self._stop.wait(0.05)
                continue
            if response.status_code == 200:
                return self.record.succeed(name)
            self.record.count(f"transfer: {response.status_code}")
            if response.status_code == 409:
                return None
            self._stop.wait(0.05)
        return self.record.count("transfer: given up")

    def _downloads(self) -> None:
        with self._client() as client:
            while not self._stop.is_set():
                found = hashlib.sha256()
                with client.stream("GET", f"/download/{SIZE}") as response:
                    for piece in response.iter_bytes():
                        found.update(piece)
                if response.status_code != 200:
                    self.record.count(f"download: {response.status_code}")
                elif found.hexdigest() != DIGEST:
                    self.record.violate("a download was cut or changed, and looked whole")
                else:
                    self.record.count("download done")

    def _uploads(self) -> None:
        with self._client() as client:
            while not self._stop.is_set():
                response = client.put("/upload", content=_pieces(breaks=random.random() < 0.2))
                if response.status_code == 200 and response.json()["size"] != 4 * len(BLOCK):
                    self.record.violate("an upload was cut, and looked whole")
                self.record.count(f"upload: {response.status_code}")

    def _replays(self) -> None:
        """Sends each request of its own again and again."""
        wire = HttpWire(self.server.base, timeout=60)
        caller = SealedCaller(
            wire, audience=AUDIENCE, ring_pins=self._pins, origin=self.server.base
        )
        while not self._stop.is_set():
            name = os.urandom(12).hex()
            attempt = caller.prepare(TRANSFER, json.dumps({"id": name}).encode())
            for _ in range(4):
                with suppress(*CLEAR_FAILURES):
                    outer = wire.send(attempt.send)
                    sealed = "sealed" in outer.head.headers
                    status = attempt.open(outer)[0].status if sealed else outer.status
                    self.record.count(f"replay: {status}")
                    if status == 200 and not sealed:
                        self.record.violate("an answer in clear said that all is well")

    def _intrudes(self) -> None:
        """Asks for sealed views without a seal, or with one that was made up."""
        body = json.dumps({"id": "intruder"})
        seals = [{}, {"Sealed": "e30..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA"}]
        while not self._stop.is_set():
            for seal in seals:
                connection = HTTPConnection("127.0.0.1", self.server.port, timeout=60)
                headers = {"Content-Type": "application/json", **seal}
                connection.request("POST", "/transfer", body, headers)
                status = connection.getresponse().status
                connection.close()
                self.record.count(f"intruder: {status}")
                if status < 400:
                    self.record.violate("a request that was not sealed was accepted")
            self._stop.wait(0.02)


def _pieces(*, breaks: bool) -> Iterator[bytes]:
    """The body of an upload; where it breaks, its client goes away halfway."""
    yield from [BLOCK] * 2
    if breaks:
        raise ConnectionAbortedError("this client goes away")
    yield from [BLOCK] * 2
