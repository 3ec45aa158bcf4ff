"""Compression: a small body that becomes a huge one, and a length that tells a secret.

Property: what arrives is as long as it is, and how long an answer is does not depend on whether a
guess was right. The attacker has a session of their own for the first. For the second they see
lengths on the way, and can have the victim ask for what they choose. Answer: nothing is ever
decompressed or compressed here. What the outer headers say of an encoding is hidden from the view,
and sealed answers are marked as not to be transformed.
"""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace

import pytest

from flask_sealed.protocol.messages import Request

from ..driver import Outer
from .app import SECRET
from .conftest import Bank, code

MIB = 1024 * 1024
BOMB = gzip.compress(bytes(32 * MIB))
UNPACK = Request(method="POST", target="/unpack", content_type="application/octet-stream")
GZIP = {"content-encoding": "gzip"}
ACCEPT = {"accept-encoding": "gzip"}


def test_a_bomb_as_content(bank: Bank) -> None:
    reply = bank.caller().post("/unpack", data=BOMB, outer=GZIP)
    assert reply.json() == {"size": len(BOMB)}


def test_a_bomb_as_records(bank: Bank) -> None:
    reply = bank.caller().post("/unpack", content_iter=[BOMB], outer=GZIP)
    assert reply.json() == {"size": len(BOMB)}


def test_a_bomb_as_envelope(bank: Bank) -> None:
    """The envelope itself compressed: it is none."""
    for bomb in (None, BOMB):
        attempt = bank.caller().prepare(UNPACK, b"mine")
        headers = (*attempt.send.headers, *GZIP.items())
        body = bomb or gzip.compress(attempt.send.body or b"")
        outer = bank.wire.send(replace(attempt.send, headers=headers, body=body))
        assert code(outer) == "malformed"
    assert bank.server.notes("unpacked") == []


@pytest.mark.parametrize("header", ["content-encoding", "transfer-encoding", "content-length"])
def test_an_encoding_inside_the_seal(bank: Bank, header: str) -> None:
    request = Request(
        method="POST", target="/unpack", content_type="text/plain", headers=((header, "gzip"),)
    )
    outer, _ = bank.caller().attempt(request, BOMB)
    assert code(outer) == "malformed"
    assert bank.server.notes("unpacked") == []


def guesses() -> list[str]:
    """As long as the right one, which comes first."""
    right = f"card={SECRET}"
    some = random.Random(7)
    digits = ["".join(some.choice("0123456789") for _ in range(16)) for _ in range(8)]
    return [right] + ["card=" + "-".join(d[at : at + 4] for at in (0, 4, 8, 12)) for d in digits]


def lengths(outers: list[Outer]) -> list[int]:
    return [len(outer.read()) for outer in outers]


def test_the_length_of_an_answer(bank: Bank) -> None:
    """The victim's page asks for a guess; its answer has the secret, too.

    An extension that compresses whatever leaves has the ciphertext to compress.
    """
    caller, seen = bank.caller(), set()
    for guess in guesses():
        attempt = caller.prepare(Request(method="GET", target="/search", query=f"for={guess}"))
        headers = (*attempt.send.headers, *ACCEPT.items())
        outer = bank.wire.send(replace(attempt.send, headers=headers))
        assert "no-transform" in outer.head.headers["cache-control"]
        assert outer.head.headers["content-encoding"] == "gzip"
        body = gzip.decompress(outer.read())
        seen.add(len(body))
        opened = attempt.exchange.open(outer.head.headers["sealed"])
        assert json.loads(opened.open_body(body))["for"] == guess
    assert len(seen) == 1


def test_control(bank: Bank) -> None:
    """Unsealed, the bomb goes off, and the right guess has the shortest answer."""
    twin = bank.twin()
    assert twin.post("/unpack", data=BOMB, headers=GZIP).json() == {"size": 32 * MIB}
    outers = [twin.get(f"/search?for={guess}", headers=ACCEPT) for guess in guesses()]
    assert {outer.head.headers["content-encoding"] for outer in outers} == {"gzip"}
    right, *wrong = lengths(outers)
    assert right < min(wrong)
