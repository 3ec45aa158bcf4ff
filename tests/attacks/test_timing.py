"""The time that a refusal takes, measured to find out how much of a guess was right.

Property: how long a refusal takes does not depend on how many bytes of a tag, a signature or a
ticket were right. The attacker can send as often as they like and has a good clock. Answer: tags
and signatures are compared by OpenSSL, whole, and all such failures have one answer.

Two kinds of requests are sent in pairs, in random order. Of many pairs, each kind is the slower
one about half of the time, whatever else the machine does: a sign test, which needs no assumption
on how times are distributed. It gives one false alarm in two million runs.
"""

from __future__ import annotations

import base64
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from flask_sealed.protocol.encoding import b64u_decode, b64u_encode, json_encode
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.handshake import ClientHandshake
from flask_sealed.protocol.messages import Request

from ..servers.conftest import AUDIENCE
from .app import PASSWORD, TWIN
from .conftest import BODY, TRANSFER, Bank, code

PAIRS = 250
#: How many the control may need where the machine is busy with something else; 26 are the fewest.
MANY = 20 * PAIRS
#: By how many standard deviations the number of pairs may differ from one half.
MOST = 5.0
STATEMENT = Request(method="GET", target="/statement")
JSON = (("content-type", "application/json"),)

Guess = Callable[[], Send]


def deviation(bank: Bank, one: Guess, other: Guess) -> float:
    """How often ``one`` takes longer than ``other``, in standard deviations from one half."""
    *_, found = deviations(bank, one, other, PAIRS)
    return found


def deviations(bank: Bank, one: Guess, other: Guess, most: int) -> Iterator[float]:
    """Likewise, after each pair."""
    order = random.Random(1)
    longer = 0
    for pairs in range(1, most + 1):
        sends = [(0, one()), (1, other())]
        order.shuffle(sends)
        took = dict.fromkeys((0, 1), 0)
        for which, send in sends:
            began = time.perf_counter_ns()
            outer = bank.wire.send(send)
            took[which] = time.perf_counter_ns() - began
            assert outer.status in {400, 401}
            outer.close()
        longer += took[0] > took[1]
        yield (longer - pairs / 2) / math.sqrt(pairs / 4)


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def answers(bank: Bank, *guesses: Guess) -> set[bytes]:
    return {bank.wire.send(guess()).read() for guess in guesses}


def with_tag(bank: Bank, at: int) -> Guess:
    """Seals whose tag is wrong in one byte."""
    attempt = bank.caller().prepare(STATEMENT)
    start, _, tag = dict(attempt.send.headers)["sealed"].rpartition(".")
    seal = f"{start}.{b64u_encode(flipped(b64u_decode(tag), at))}"
    return lambda: replace(attempt.send, headers=(("sealed", seal),))


def with_ticket(bank: Bank, at: int) -> Guess:
    """Tickets that are wrong in one byte of their tag."""
    attempt = bank.caller().prepare(STATEMENT)
    head, _, rest = dict(attempt.send.headers)["sealed"].partition(".")
    header = json.loads(b64u_decode(head))
    header["kid"] = b64u_encode(flipped(b64u_decode(header["kid"]), at))
    seal = f"{b64u_encode(json_encode(header))}.{rest}"
    return lambda: replace(attempt.send, headers=(("sealed", seal),))


def with_signature(at: int) -> Guess:
    """Hellos whose signature is wrong in one byte."""
    client = ClientHandshake(
        Ed25519PrivateKey.generate(), AUDIENCE, ephemeral=X25519PrivateKey.generate(), pins=None
    )
    start, _, signature = client.hello.rpartition(".")
    hello = f"{start}.{b64u_encode(flipped(b64u_decode(signature), at))}"
    return lambda: Send("POST", "/sealed/session", JSON, json.dumps({"hello": hello}).encode())


def with_body(bank: Bank, at: int) -> Guess:
    """Envelopes whose tag is wrong in one byte, each below a right seal."""
    caller = bank.caller()

    def guess() -> Send:
        attempt = caller.prepare(replace(STATEMENT, content_type="text/plain"), BODY)
        return replace(attempt.send, body=changed_envelope(attempt.send.body or b"", at))

    return guess


def changed_envelope(body: bytes, at: int) -> bytes:
    data = base64.b64decode(json.loads(body)["data"])
    return json.dumps({"data": base64.b64encode(flipped(data, at)).decode()}).encode()


def test_the_tag_of_a_seal(bank: Bank) -> None:
    first, last = with_tag(bank, 0), with_tag(bank, 15)
    assert len(answers(bank, first, last)) == 1
    assert abs(deviation(bank, first, last)) < MOST


def test_the_tag_of_a_ticket(bank: Bank) -> None:
    first, last = with_ticket(bank, -16), with_ticket(bank, -1)
    assert len(answers(bank, first, last)) == 1
    assert abs(deviation(bank, first, last)) < MOST


def test_a_signature(bank: Bank) -> None:
    """Of its second half: the first is a point, which is read before anything is compared."""
    first, last = with_signature(32), with_signature(60)
    assert len(answers(bank, first, last)) == 1
    assert abs(deviation(bank, first, last)) < MOST


def test_the_tag_of_a_body(bank: Bank) -> None:
    first, last = with_body(bank, 12), with_body(bank, 27)
    assert abs(deviation(bank, first, last)) < MOST


def test_refusals_have_one_answer(bank: Bank) -> None:
    """Byte for byte, whatever it was that did not fit."""
    attempt = bank.caller().prepare(TRANSFER, BODY)
    guesses = [
        with_tag(bank, 0),
        lambda: replace(attempt.send, target="/refund"),
        lambda: replace(attempt.send, method="DELETE", target="/refund"),
        with_body(bank, 12),
    ]
    assert [code(bank.wire.send(guess())) for guess in guesses] == ["refused"] * 4
    assert len(answers(bank, *guesses)) == 1


def test_control(bank: Bank) -> None:
    """A comparison that ends at the first difference is found out in the same way."""
    wrong = PASSWORD[:-1] + "!"

    def guess(text: str) -> Guess:
        return lambda: Send("POST", f"{TWIN}/checked", (), text.encode())

    found = deviations(bank, guess(wrong), guess("!" + PASSWORD[1:]), MANY)
    assert any(one > MOST for one in found)
