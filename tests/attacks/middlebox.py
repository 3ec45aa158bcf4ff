"""Where most attackers stand: a proxy that ends TLS, sees what passes, and may change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from flask_sealed.protocol.flow import Send

from ..driver import HttpWire
from ..http_server import Answer, answering

# Each connection has its own.
_HOP = frozenset(("connection", "content-length", "host", "keep-alive", "transfer-encoding"))


class Middlebox:
    """A proxy in this process.

    :param server: what it stands before, as ``http://127.0.0.1:PORT``.
    """

    def __init__(self, server: str) -> None:
        self._wire = HttpWire(server)
        #: Where it stands.
        self.base = ""
        #: All that has passed, as it came from either side.
        self.seen: list[tuple[Send, Answer]] = []
        #: May change a request, or answer in the server's place.
        self.on_request: Callable[[Send], Send | Answer] = lambda send: send
        #: May change an answer.
        self.on_answer: Callable[[Send, Answer], Answer] = lambda _, answer: answer

    def forward(self, send: Send) -> Answer:
        """Pass a request on, or one of the attacker's own."""
        outer = self._wire.send(send)
        body = outer.read()
        outer.close()
        return Answer(outer.status, _passed_on(outer.headers), body)

    def take(self, send: Send) -> Answer:
        """What comes back for a request that came."""
        send = replace(send, headers=_passed_on(send.headers))
        passed = self.on_request(send)
        if isinstance(passed, Answer):
            return passed
        answer = self.forward(passed)
        self.seen.append((send, answer))
        return self.on_answer(send, answer)


@contextmanager
def standing(server: str) -> Iterator[Middlebox]:
    """One that stands there until the block ends."""
    box = Middlebox(server)
    with answering(box.take) as box.base:
        yield box


def _passed_on(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(header for header in headers if header[0].lower() not in _HOP)
