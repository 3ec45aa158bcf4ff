"""A proxy that agrees on a session with the victim itself, in the bank's place.

Property: the client's session is with the bank. The attacker stands at a proxy, ends TLS, and has
an identity key of their own for the same name. Answer: a client pins the thumbprint of the bank's
identity key, the server signs what both sides said with it, and the keys come from that.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flask_sealed import Refusal
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode, json_encode
from flask_sealed.protocol.exchange import RequestSeal
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.handshake import Session, answer_hello
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.messages import Response
from flask_sealed.protocol.rotation import new_ring

from ..http_server import Answer
from ..servers.conftest import AUDIENCE
from .conftest import Bank
from .middlebox import Middlebox

JSON = (("content-type", "application/json"),)
MARKER = "4929-1814"


class Impostor:
    """Plays the bank, with keys of its own."""

    def __init__(self, box: Middlebox) -> None:
        now = int(time.time())
        own = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.ring = new_ring(*own, now=now, random=os.urandom)
        #: What it has read.
        self.read: list[bytes] = []
        #: Whether it has answered a hello.
        self.agreed = False
        self._session: Session | None = None
        box.on_request = self.answer

    def answer(self, send: Send) -> Answer:
        if send.target == "/sealed/session":
            self._session, reply = self.agree(json.loads(send.body or b"")["hello"])
            self.agreed = True
            return Answer(200, JSON, json_encode({"session": reply}))
        assert self._session is not None
        exchange = RequestSeal(dict(send.headers)["sealed"]).open(self._session.secret, AUDIENCE)
        self.read.append(exchange.request.open_body(send.body or b""))
        message = Response(status=200, content_type="application/json")
        seal, body = exchange.seal(message, b'{"state": "done"}', random=os.urandom)
        return Answer(200, (*JSON, ("sealed", seal)), body or b"")

    def agree(self, hello: str) -> tuple[Session, str]:
        now = int(time.time())
        return answer_hello(
            hello, self.ring, issuer=AUDIENCE, now=now, lifetime=600, random=os.urandom
        )


class Bold(Impostor):
    """Answers although it has none of the keys that are pinned."""

    def agree(self, hello: str) -> tuple[Session, str]:
        def own(ring: KeyRing, _: object, now: int) -> tuple[object, Key]:
            key = ring.current("identity", now)
            return key.material, key

        with pytest.MonkeyPatch.context() as patch:
            # The attacker need not check what they are asked for.
            patch.setattr("flask_sealed.protocol.handshake._choose_identity", own)
            return super().agree(hello)


def test_against_a_client_that_pins(bank: Bank, box: Middlebox) -> None:
    bold = Bold(box)
    with pytest.raises(Refusal):
        bank.victim(box).post("/transfer", json={"card": MARKER})
    assert bold.agreed
    assert bold.read == []


def test_a_genuine_reply_to_another_hello(bank: Bank, box: Middlebox) -> None:
    """The bank's own signature, over what the attacker has agreed on with it."""
    bank.victim(box).get("/statement")
    _, genuine = box.seen[0]
    box.on_request = lambda send: genuine
    with pytest.raises(Refusal):
        bank.victim(box).get("/statement")


def test_a_genuine_reply_with_the_attackers_share(bank: Bank, box: Middlebox) -> None:
    """One member of the signed reply is exchanged."""

    def change(_: Send, answer: Answer) -> Answer:
        header, payload, signature = json.loads(answer.body)["session"].split(".")
        members = json.loads(b64u_decode(payload))
        members["epk"]["x"] = b64u_encode(os.urandom(32))
        reply = f"{header}.{b64u_encode(json_encode(members))}.{signature}"
        return replace(answer, body=json_encode({"session": reply}))

    box.on_answer = change
    with pytest.raises(Refusal):
        bank.victim(box).get("/statement")


def test_control(bank: Bank, box: Middlebox) -> None:
    """A client without pins is protected from those who only read, and from nobody else."""
    impostor = Impostor(box)
    victim = bank.victim(box, ring_pins=None)
    assert victim.post("/transfer", json={"card": MARKER}).json() == {"state": "done"}
    assert MARKER.encode() in impostor.read[-1]
    # And one that pins is served where nobody is in between.
    box.on_request = lambda send: send
    assert bank.victim(box).get("/statement").status == 200
