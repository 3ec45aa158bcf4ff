"""What servers let through by default: a seal of the greatest size, both ways."""

from __future__ import annotations

from flask_sealed.protocol.exchange import MOST_REQUEST_SEAL, MOST_RESPONSE_SEAL
from flask_sealed.protocol.flow import Send

from ..driver import HttpWire
from .process import Server

# Below it, what a browser sends beside: cookies and the like.
OTHERS = (("cookie", "c" * 1500), ("user-agent", "u" * 200), ("accept", "a" * 200))


def ask(server: Server, *headers: tuple[str, str], target: str = "/what") -> int:
    outer = HttpWire(server.base).send(Send("GET", target, headers))
    outer.read()
    return outer.status


def test_a_seal_of_the_greatest_size(plain: Server) -> None:
    assert ask(plain, ("sealed", "s" * MOST_REQUEST_SEAL), *OTHERS) == 200


def test_the_seal_of_an_answer(plain: Server) -> None:
    outer = HttpWire(plain.base).send(Send("GET", f"/seal/{MOST_RESPONSE_SEAL}", ()))
    assert outer.status == 200
    assert len(outer.head.headers["sealed"]) == MOST_RESPONSE_SEAL
