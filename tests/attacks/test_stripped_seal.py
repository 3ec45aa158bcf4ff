"""The seal taken away, from the request or from the answer.

Property: a sealed view takes and answers nothing unsealed. The attacker stands at a proxy that
drops headers it does not know, or writes messages of its own. Answer: the view says that it is
sealed, not the message. A client takes no unsealed answer from a sealed view for data.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from flask_sealed import Refusal, Untrusted
from flask_sealed.protocol.flow import Send

from ..http_server import Answer
from .conftest import BODY, TRANSFER, Bank, code
from .middlebox import Middlebox

JSON = (("content-type", "application/json"),)


def test_from_the_request(bank: Bank) -> None:
    attempt = bank.caller().prepare(TRANSFER, BODY)
    stripped = replace(attempt.send, headers=JSON)
    assert code(bank.wire.send(stripped)) == "sealed-required"
    # With what the attacker would like to be done.
    assert code(bank.wire.send(replace(stripped, body=BODY))) == "sealed-required"
    assert bank.server.notes("moved") == []


@pytest.mark.parametrize("seal", ["", "x", "a.b.c", "....", "{}"])
def test_one_that_is_none(bank: Bank, seal: str) -> None:
    outer = bank.wire.send(Send("POST", "/transfer", (*JSON, ("sealed", seal)), BODY))
    assert code(outer) in {"malformed", "sealed-required"}
    assert bank.server.notes("moved") == []


def test_two(bank: Bank) -> None:
    """Two headers, as a proxy merges them."""
    one, other = (bank.caller().prepare(TRANSFER, BODY) for _ in range(2))
    headers = (*one.send.headers, ("sealed", dict(other.send.headers)["sealed"]))
    assert code(bank.wire.send(replace(one.send, headers=headers))) == "malformed"
    assert bank.server.notes("moved") == []


def test_a_seal_over_a_body_in_clear(bank: Bank) -> None:
    """And one that speaks of no body, over one."""
    attempt = bank.caller().prepare(TRANSFER, BODY)
    assert code(bank.wire.send(replace(attempt.send, body=BODY))) == "malformed"
    bare = bank.caller().prepare(replace(TRANSFER, content_type=None))
    headers = (*bare.send.headers, *JSON)
    assert code(bank.wire.send(replace(bare.send, headers=headers, body=BODY))) == "malformed"
    assert bank.server.notes("moved") == []


def test_an_underscore(bank: Bank) -> None:
    """WSGI takes `_` for `-`: such a header is not a second way to give a seal."""
    attempt = bank.caller().prepare(TRANSFER, BODY)
    seal = dict(attempt.send.headers)["sealed"]
    for name in ("http_sealed", "x-sealed", "sealed-content-type"):
        assert code(bank.wire.send(replace(attempt.send, headers=(*JSON, (name, seal))))) == (
            "sealed-required"
        )


def test_from_the_answer(bank: Bank, box: Middlebox) -> None:
    victim = bank.victim(box)
    victim.get("/statement")

    def strip(_: Send, answer: Answer) -> Answer:
        kept = tuple(pair for pair in answer.headers if pair[0].lower() != "sealed")
        return replace(answer, headers=kept)

    box.on_answer = strip
    with pytest.raises(Untrusted):
        victim.get("/statement")
    box.on_answer = lambda _, answer: replace(answer, body=b'{"data":"' + b"A" * 80 + b'"}')
    with pytest.raises(Refusal):
        victim.get("/statement")


def test_control(bank: Bank, box: Middlebox) -> None:
    """Unsealed, a message that someone else has written is as good as any."""
    lie = Answer(200, JSON, b'{"args": {"balance": "0"}}')
    box.on_answer = lambda _, answer: lie
    assert bank.twin(box).get("/statement").json() == {"args": {"balance": "0"}}
    box.on_request = lambda send: replace(send, body=BODY)
    bank.twin(box).post("/transfer", json={"to": "the victim's friend"})
    assert bank.server.notes("moved") == ['["POST", "/transfer?", {"to": "bob", "amount": 1}]']
