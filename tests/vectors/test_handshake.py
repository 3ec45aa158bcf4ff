from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flask_sealed.protocol import handshake
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.handshake import (
    ClientHandshake,
    Ephemeral,
    Session,
    answer_hello,
    open_ticket,
)
from flask_sealed.protocol.hkdf import hkdf
from flask_sealed.protocol.jwk import SigningKey, thumbprint
from flask_sealed.protocol.keys import Key, KeyRing

from .reading import Case, every, refused, run
from .roles import Tape


def p256(private: bytes) -> EllipticCurvePrivateKey:
    return derive_private_key(int.from_bytes(private), SECP256R1())


def signing_key(part: Case) -> SigningKey:
    private = part.hex("private")
    key: SigningKey = p256(private)
    if part["kind"] == "Ed25519":
        key = Ed25519PrivateKey.from_private_bytes(private)
    assert thumbprint(key.public_key()) == part.hex("thumbprint")
    return key


def ephemeral_key(part: Case) -> Ephemeral:
    private, public = part.hex("private"), part.hex("public")
    if part["kind"] == "X25519":
        key = X25519PrivateKey.from_private_bytes(private)
        assert key.public_key().public_bytes_raw() == public
        return key
    point = p256(private).public_key()
    assert point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) == public
    return p256(private)


def ring(case: Case, active: int) -> KeyRing:
    identities = tuple(
        Key(
            kid=str(number),
            purpose="identity",
            material=signing_key(part),
            nbf=part.get("nbf", 0),
            exp=part.get("exp"),
        )
        for number, part in enumerate(case["identities"])
    )
    kid = b64u_encode(case["ticket_key"].hex("id"))
    ticket = Key(kid=kid, purpose="ticket", material=case["ticket_key"].hex("key"))
    return KeyRing((*identities, ticket), (("identity", str(active)), ("ticket", kid)))


def client(case: Case) -> ClientHandshake:
    """The client that has said the hello of the case."""
    made = ClientHandshake(
        signing_key(case["binding"]),
        case["audience"],
        ephemeral=ephemeral_key(case["ephemeral"]),
        kem=MLKEM768PrivateKey.from_seed_bytes(case.hex("kem_seed")) if case["kem"] else None,
        pins=None if case["pins"] is None else list(map(bytes.fromhex, case["pins"])),
    )
    check_said(made.hello, case["hello"], case["binding"])
    made.hello = case["hello"]  # ES256 signatures are random, and the reply is to this one
    return made


def check_said(said: str, expected: str, key: Case) -> None:
    """What one says is what stands in the case, an ES256 signature apart."""
    if key["kind"] == "Ed25519":
        assert said == expected
    assert said.rpartition(".")[0] == expected.rpartition(".")[0]


def answer(case: Case, active: int, **others: Any) -> tuple[Session, str]:
    return answer_hello(
        case["hello"],
        ring(case, active),
        issuer=case["audience"],
        now=case["now"],
        lifetime=case["lifetime"],
        **others,
    )


def check_reply(case: Case, reply: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server's encapsulation draws its own randomness: here it is the one of the case.
    kem = encapsulation(case) if reply["kem"] else None
    random, own = Tape(reply.hex("ticket_salt")), ephemeral_key(reply["ephemeral"])
    with monkeypatch.context() as patched:
        patched.setattr(handshake, "MLKEM768PublicKey", kem)
        theirs, text = answer(case, reply["identity"], random=random, ephemeral=own)
    check_said(text, reply["reply"], signer(case, reply))
    mine, ticket = client(case).finish(reply["reply"])
    assert mine == theirs
    assert open_ticket(ticket, ring(case, 0), audience=case["audience"], now=case["now"]) == mine
    check_session(case, reply, mine)


def check_session(case: Case, reply: Case, session: Session) -> None:
    assert session.secret == reply.hex("secret")
    assert session.sid == reply["sid"]
    assert (session.iat, session.exp) == (case["now"], reply["exp"])
    assert session.kem is reply["kem"]
    assert session.binding == case["binding"].hex("thumbprint")
    salt = hashlib.sha256(case["hello"].encode()).digest()
    assert hkdf(reply.hex("shared"), salt, reply.hex("info"), 32) == session.secret
    if reply["kem"]:
        assert reply.hex("shared")[32:] == case.hex("kem_secret")


def signer(case: Case, reply: Case) -> Case:
    """The identity that signs: a pinned one, where the active one is not."""
    keys, pins = case["identities"], case["pins"]
    ordered: list[Case] = [keys[reply["identity"]], *keys]
    return next(key for key in ordered if pins is None or key["thumbprint"] in pins)


def encapsulation(case: Case) -> Any:
    """An encapsulation key that always makes what the case says."""
    made = case.hex("kem_secret"), case.hex("kem_ciphertext")
    public = MLKEM768PrivateKey.from_seed_bytes(case.hex("kem_seed")).public_key()

    class Encapsulation:
        @staticmethod
        def from_public_bytes(data: bytes) -> Any:
            assert data == public.public_bytes_raw()
            return Encapsulation()

        def encapsulate(self) -> tuple[bytes, bytes]:
            return made

    return Encapsulation


def is_refused_by_server(case: Case) -> None:
    with refused(case):
        answer(case, case["active"], random=Tape())


def is_refused_by_client(case: Case) -> None:
    asked, reply = client(case), case["reply"]
    with refused(case):
        asked.finish(reply)


@every("handshake", "valid")
def test_valid(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def agree(case: Case) -> None:
        for reply in case["replies"]:
            check_reply(case, reply, monkeypatch)
            assert list(reply.unread()) == []

    run(case, agree)


@every("handshake", "invalid")
def test_invalid(case: Case) -> None:
    run(case, {"server": is_refused_by_server, "client": is_refused_by_client}[case["role"]])
