"""Another route, method or query under a body that is left as it is.

Property: the bank does what its client has asked for, and nothing else. The attacker stands at a
proxy: the body is sealed, but the line above it is readable. Answer: the seal repeats the method
and the target, and the bank compares them with what it routes on.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from flask_sealed import Untrusted
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.messages import Request

from .conftest import BODY, TRANSFER, Bank, code
from .middlebox import Middlebox

# As they would stand in the request line.
LINES = [("POST", "/refund"), ("DELETE", "/refund"), ("POST", "/transfer?force=1")]
# What a server, a proxy or Flask may take for the same target.
NEARLY = ["/transfer?", "//transfer"]
OTHERS = ["/./transfer", "/transfer/../refund", "/twin/transfer"]


@pytest.mark.parametrize(("method", "target"), LINES)
def test_the_line_above_a_sealed_body(bank: Bank, method: str, target: str) -> None:
    attempt = bank.caller().prepare(TRANSFER, BODY)
    outer = bank.wire.send(replace(attempt.send, method=method, target=target))
    assert (outer.status, code(outer)) == (400, "refused")
    assert bank.server.notes("moved") == []
    # As it came it is what the client wants.
    assert bank.wire.send(attempt.send).status == 200


def test_the_method_alone(bank: Bank) -> None:
    attempt = bank.caller().prepare(replace(TRANSFER, target="/refund"), BODY)
    assert code(bank.wire.send(replace(attempt.send, method="DELETE"))) == "refused"
    assert bank.server.notes("moved") == []
    assert bank.wire.send(attempt.send).status == 200


@pytest.mark.parametrize("target", NEARLY)
def test_another_way_to_write_it(bank: Bank, target: str) -> None:
    """Where it is the same view to Flask, that is what the client has asked for, and once."""
    attempt = bank.caller().prepare(TRANSFER, BODY)
    for line in (target, "/transfer", target):
        bank.wire.send(replace(attempt.send, target=line)).read()
    assert bank.server.notes("moved") == [SENT]


@pytest.mark.parametrize("target", OTHERS)
def test_the_same_view_by_another_way(bank: Bank, target: str) -> None:
    """The last of them is unsealed, and has the ciphertext to read."""
    attempt = bank.caller().prepare(TRANSFER, BODY)
    bank.wire.send(replace(attempt.send, target=target)).read()
    assert "bob" not in "".join(bank.server.notes("moved"))


def test_the_query(bank: Bank) -> None:
    for sealed, line in [
        ("/statement?of=ada", "/statement?of=bob"),
        ("/statement?of=ada", "/statement?of=ada&of=bob"),
        ("/statement?of=ada", "/statement"),
        ("/statement", "/statement?of=bob"),
    ]:
        attempt = bank.caller().prepare(Request(method="GET", target=sealed))
        assert code(bank.wire.send(replace(attempt.send, target=line))) == "refused"
        assert attempt.open(bank.wire.send(attempt.send))[0].status == 200


def test_a_query_beside_a_hidden_one(bank: Bank) -> None:
    hidden = Request(method="GET", target="/statement", query="of=ada")
    attempt = bank.caller().prepare(hidden)
    assert code(bank.wire.send(replace(attempt.send, target="/statement?of=bob"))) == "refused"
    assert attempt.json(bank.wire.send(attempt.send)) == {"args": {"of": "ada"}}


SENT = '["POST", "/transfer?", {"to": "bob", "amount": 1}]'


@pytest.mark.parametrize(
    "header", ["x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"]
)
def test_a_header_that_overrides(bank: Bank, header: str) -> None:
    value = "DELETE" if "method" in header else "/refund"
    attempt = bank.caller().prepare(replace(TRANSFER, target="/refund"), BODY)
    headers = (*attempt.send.headers, (header, value))
    assert bank.wire.send(replace(attempt.send, headers=headers)).status == 200
    assert bank.server.notes("moved") == ['["POST", "/refund?", {"to": "bob", "amount": 1}]']


def test_at_the_middlebox(bank: Bank, box: Middlebox) -> None:
    """The victim learns that nothing that it could trust was done."""
    victim = bank.victim(box)
    victim.get("/statement")
    box.on_request = lambda send: replace(send, target="/refund")
    with pytest.raises(Untrusted):
        victim.post("/transfer", json={"to": "bob"})
    assert bank.server.notes("moved") == []


def test_control(bank: Bank, box: Middlebox) -> None:
    """Unsealed, the bank does what the line says."""

    def change(send: Send) -> Send:
        return replace(send, method="DELETE", target="/twin/refund?force=1")

    box.on_request = change
    assert bank.twin(box).post("/transfer", json={"to": "bob"}).status == 200
    assert bank.server.notes("moved") == ['["DELETE", "/refund?force=1", {"to": "bob"}]']
