"""A stolen ticket: who reads one in a log tries to speak in the victim's session.

Property: a session belongs to the two who agreed on it. The attacker has all that was on the wire:
the ticket, seals and bodies. Answer: a ticket is a name. What seals is the session's secret, which
is not in it in any form that the attacker could open, and never travels.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace

from flask_sealed.protocol.encoding import b64u_decode, b64u_encode, json_encode
from flask_sealed.protocol.exchange import ClientExchange
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.messages import Request

from ..driver import Attempt, SealedCaller
from ..servers.conftest import AUDIENCE
from .conftest import BODY, TRANSFER, Bank, code


def ticket_of(attempt: Attempt) -> str:
    """What a log of headers shows."""
    header, _, _, _, _ = dict(attempt.send.headers)["sealed"].split(".")
    return str(json.loads(b64u_decode(header))["kid"])


def captured(caller: SealedCaller, request: Request, content: bytes | None = None) -> Attempt:
    attempt = caller.prepare(request, content)
    assert caller.deliver(attempt.send).status == 200
    return attempt


def forge(bank: Bank, ticket: str, secret: bytes) -> tuple[int, str]:
    """What the bank says to a transfer that is sealed with a secret of the attacker's choice."""
    now = bank.caller().clock.server_time()
    exchange = ClientExchange(secret, ticket, AUDIENCE, random=os.urandom)
    request = replace(TRANSFER, op=os.urandom(16))
    seal, body = exchange.seal(request, BODY, iat=now)
    headers = (("sealed", seal), ("content-type", "application/json"))
    outer = bank.wire.send(Send("POST", "/transfer", headers, body))
    return outer.status, code(outer)


def test_a_ticket_without_its_secret(bank: Bank) -> None:
    attempt = captured(bank.caller(), TRANSFER, BODY)
    ticket = ticket_of(attempt)
    bits = b64u_decode(ticket)
    # What can be made of what the attacker knows, and of nothing.
    for secret in (bits[:32], bits[-32:], bits[25:57], bytes(32), os.urandom(32)):
        assert forge(bank, ticket, secret) == (400, "refused")
    assert len(bank.server.notes("moved")) == 1


def test_a_captured_seal_with_another_header(bank: Bank) -> None:
    """The ticket, the time or the target changed in the part that is readable."""
    attempt = captured(bank.caller(), TRANSFER, BODY)
    thief = captured(bank.caller(), TRANSFER, BODY)
    start, rest = dict(attempt.send.headers)["sealed"].split(".", 1)
    for name, value in (
        ("jti", b64u_encode(os.urandom(16))),
        ("kid", ticket_of(thief)),
        ("target", "/refund"),
        ("iat", 1 + int(json.loads(b64u_decode(start))["iat"])),
    ):
        header = {**json.loads(b64u_decode(start)), name: value}
        seal = f"{b64u_encode(json_encode(header))}.{rest}"
        target = str(header["target"])
        headers = (("sealed", seal), ("content-type", "application/json"))
        outer = bank.wire.send(replace(attempt.send, target=target, headers=headers))
        assert code(outer) == "refused", name
    assert len(bank.server.notes("moved")) == 2


def test_control(bank: Bank) -> None:
    """The session's owner is taken; and unsealed, whoever has the cookie is its owner."""
    captured(bank.caller(), TRANSFER, BODY)
    twin = bank.twin()
    login = twin.post("/cookie", json={"user": "ada"})
    login.read()
    cookie = login.head.headers["set-cookie"].partition(";")[0]
    assert twin.get("/by-cookie", headers={"cookie": cookie}).json()["user"] == "ada"
