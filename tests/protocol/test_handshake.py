from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed, Refusal, Refused, SessionUnknown
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode
from flask_sealed.protocol.handshake import (
    MOST_LIFETIME,
    ClientHandshake,
    Ephemeral,
    Session,
    answer_hello,
    open_ticket,
    seal_ticket,
)
from flask_sealed.protocol.keyring import Key, KeyRing, SigningKey, public_jwk, thumbprint

NOW = 1_800_000_000
BANK = "https://bank.example"
IDENTITY = Ed25519PrivateKey.generate()
BACKUP = generate_private_key(SECP256R1())
BINDING = Ed25519PrivateKey.generate()
PIN = thumbprint(IDENTITY.public_key())
BACKUP_PIN = thumbprint(BACKUP.public_key())


def ticket_key() -> Key:
    return Key(kid=b64u_encode(os.urandom(8)), purpose="ticket", material=os.urandom(32))


RING = (
    KeyRing()
    .add(Key(kid="now", purpose="identity", material=IDENTITY), activate=True)
    .add(Key(kid="next", purpose="identity", material=BACKUP))
    .add(ticket_key(), activate=True)
)


def p256() -> Ephemeral:
    return generate_private_key(SECP256R1())


def hello(
    *,
    binding: SigningKey = BINDING,
    ephemeral: Ephemeral | None = None,
    kem: MLKEM768PrivateKey | None = None,
    pins: tuple[bytes, ...] = (PIN,),
    audience: str = BANK,
) -> ClientHandshake:
    ephemeral = ephemeral or X25519PrivateKey.generate()
    return ClientHandshake(binding, audience, ephemeral=ephemeral, kem=kem, pins=pins)


def answer(text: str, ring: KeyRing = RING, **others: Any) -> tuple[Session, str]:
    settings = {"issuer": BANK, "now": NOW, "lifetime": 3600, "random": os.urandom, **others}
    return answer_hello(text, ring, **settings)


def resign(text: str, key: Any, kind: str, **changes: Any) -> str:
    """The same message with other members, signed by somebody."""
    payload = {**json.loads(b64u_decode(text.split(".")[1])), **changes}
    algorithm = "EdDSA" if isinstance(key, Ed25519PrivateKey) else "ES256"
    headers = {"typ": kind, "jwk": public_jwk(key.public_key())}
    return jwt.api_jws.encode(json.dumps(payload).encode(), key, algorithm, headers)


@pytest.mark.parametrize("binding", [BINDING, generate_private_key(SECP256R1())])
@pytest.mark.parametrize("make", [X25519PrivateKey.generate, p256])
@pytest.mark.parametrize("with_kem", [False, True])
@pytest.mark.parametrize("pin", [PIN, BACKUP_PIN, None])
def test_both_sides_agree(
    binding: SigningKey, make: Callable[[], Ephemeral], with_kem: bool, pin: bytes | None
) -> None:
    kem = MLKEM768PrivateKey.generate() if with_kem else None
    client = hello(binding=binding, ephemeral=make(), kem=kem, pins=(pin,) if pin else ())
    theirs, reply = answer(client.hello)
    mine, ticket = client.finish(reply)
    assert mine == theirs == open_ticket(ticket, RING, now=NOW)
    assert mine.kem is with_kem
    assert mine.binding == thumbprint(binding.public_key())
    assert mine.sid == theirs.sid
    assert len(b64u_decode(mine.sid)) == 16
    assert len(ticket) == 163
    assert mine.exp == NOW + 3600


def test_every_session_has_its_own_secret() -> None:
    client = hello()
    sessions = {answer(client.hello)[0].secret for _ in range(5)}
    assert len(sessions) == 5


def test_a_session_lasts_12_hours_at_the_most() -> None:
    session, _ = answer(hello().hello, lifetime=10**6)
    assert session.exp - session.iat == MOST_LIFETIME


def test_hello_and_reply_verify_with_pyjwt() -> None:
    client = hello()
    _, reply = answer(client.hello)
    for text, key in ((client.hello, BINDING), (reply, IDENTITY)):
        jwt.api_jws.decode(text, key.public_key(), ["EdDSA"])


def test_another_audience_is_refused_by_both() -> None:
    with pytest.raises(Refused):
        answer(hello(audience="https://other.example").hello)
    client = hello()
    _, reply = answer(client.hello)
    forged = resign(reply, IDENTITY, "sealed-session+jws", iss="https://other.example")
    with pytest.raises(Refused):
        client.finish(forged)


def test_a_server_without_a_pinned_key_refuses_and_is_refused() -> None:
    stranger = Ed25519PrivateKey.generate()
    client = hello()
    with pytest.raises(Refused):
        answer(hello(pins=(bytes(32),)).hello)
    _, reply = answer(client.hello)
    with pytest.raises(Refused):
        client.finish(resign(reply, stranger, "sealed-session+jws"))
    mallory = RING.add(Key(kid="m", purpose="identity", material=stranger), activate=True)
    mallory = replace(mallory, keys=tuple(key for key in mallory.keys if key.kid != "now"))
    with pytest.raises(Refused):
        answer(client.hello, mallory)


def test_an_expired_identity_key_answers_nothing() -> None:
    ring = KeyRing().add(
        Key(kid="old", purpose="identity", material=IDENTITY, exp=NOW), activate=True
    )
    with pytest.raises(Refused):
        answer(hello().hello, ring.add(ticket_key(), activate=True))


def test_a_reply_to_another_hello_is_refused() -> None:
    first, second = hello(), hello()
    _, reply = answer(first.hello)
    with pytest.raises(Refused):
        second.finish(reply)


def test_a_pinned_server_cannot_pass_on_anothers_reply() -> None:
    # Unknown key share: the backup key signs what the other one agreed on.
    client = hello(pins=(PIN, BACKUP_PIN))
    session, reply = answer(client.hello)
    mine, _ = client.finish(resign(reply, BACKUP, "sealed-session+jws"))
    assert mine.secret != session.secret


def test_every_changed_character_is_refused() -> None:
    client = hello()
    _, reply = answer(client.hello)
    for text, take in ((client.hello, answer), (reply, client.finish)):
        for position in range(len(text)):
            other = "A" if text[position] != "A" else "B"
            with pytest.raises(Refusal):
                take(text[:position] + other + text[position + 1 :])


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": True},
        {"v": "1"},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": b64u_encode(bytes(32))}},  # low order
        {"epk": {"kty": "OKP", "crv": "X25519", "x": "AA"}},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": 5}},
        {"epk": {"kty": "OKP", "crv": "X448", "x": "A" * 43}},
        {"epk": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}},  # off the curve
        {"epk": public_jwk(BINDING.public_key())},
        {"epk": {}},
        {"kem": "AA"},
        {"kem": b64u_encode(b"\xff" * 1184)},  # coefficients that are too large
        {"pins": []},
        {"pins": [b64u_encode(PIN)] * 5},
        {"pins": [5]},
        {"pins": ["AA"]},
        {"sub": "ada"},
    ],
)
def test_hellos_that_are_not_in_order(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        answer(resign(hello().hello, BINDING, "sealed-hello+jws", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW},
        {"exp": NOW + MOST_LIFETIME + 1},
        {"iat": 1.5},
        {"ticket": "A"},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": b64u_encode(bytes(32))}},
        {"epk": public_jwk(BACKUP.public_key())},
        {"kem": "AA"},
        {"kem": b64u_encode(bytes(1088))},
        {"sub": "ada"},
    ],
)
def test_replies_that_are_not_in_order(changes: dict[str, Any]) -> None:
    client = hello()
    _, reply = answer(client.hello)
    with pytest.raises(Malformed):
        client.finish(resign(reply, IDENTITY, "sealed-session+jws", **changes))


def test_a_hello_is_no_reply_and_other_algorithms_are_none() -> None:
    client = hello()
    with pytest.raises(Malformed):
        client.finish(client.hello)
    _, payload, signature = client.hello.split(".")
    jwk = public_jwk(BINDING.public_key())
    for header in (
        {"alg": "none", "typ": "sealed-hello+jws", "jwk": jwk},
        {"alg": "HS256", "typ": "sealed-hello+jws", "jwk": jwk},
        {"alg": "ES256", "typ": "sealed-hello+jws", "jwk": jwk},
        {"alg": "EdDSA", "typ": "JWT", "jwk": jwk},
        {"alg": "EdDSA", "typ": "sealed-hello+jws", "jwk": jwk, "crit": ["b64"]},
    ):
        text = b64u_encode(json.dumps(header).encode())
        with pytest.raises(Malformed):
            answer(f"{text}.{payload}.{signature}")


def test_an_ml_kem_ciphertext_that_was_changed_gives_another_secret() -> None:
    client = hello(kem=MLKEM768PrivateKey.generate())
    session, reply = answer(client.hello)
    forged = resign(reply, IDENTITY, "sealed-session+jws", kem=b64u_encode(bytes(1088)))
    assert client.finish(forged)[0].secret != session.secret


def test_every_changed_character_of_a_ticket_is_refused() -> None:
    session, _ = answer(hello().hello)
    ticket = seal_ticket(session, RING.current("ticket"), random=os.urandom)
    for position in range(len(ticket)):
        other = "A" if ticket[position] != "A" else "B"
        with pytest.raises((SessionUnknown, Malformed)):
            open_ticket(ticket[:position] + other + ticket[position + 1 :], RING, now=NOW)


def test_tickets_end_and_their_keys_go() -> None:
    session, _ = answer(hello().hello)
    ticket = seal_ticket(session, RING.current("ticket"), random=os.urandom)
    assert open_ticket(ticket, RING, now=session.exp - 1) == session
    with pytest.raises(SessionUnknown):
        open_ticket(ticket, RING, now=session.exp)
    other = KeyRing().add(ticket_key(), activate=True)
    with pytest.raises(SessionUnknown):
        open_ticket(ticket, other, now=NOW)
    rotated = RING.add(ticket_key(), activate=True)
    assert open_ticket(ticket, rotated, now=NOW) == session


def test_tickets_of_one_session_tell_nothing_of_each_other() -> None:
    session, _ = answer(hello().hello)
    key = RING.current("ticket")
    one, two = (b64u_decode(seal_ticket(session, key, random=os.urandom)) for _ in range(2))
    assert one[:9] == two[:9]
    assert one[9:25] != two[9:25]
    assert one[25:] != two[25:]


def test_repr_has_no_secret() -> None:
    session, _ = answer(hello().hello)
    assert "secret" not in repr(session)


@given(st.text())
def test_arbitrary_text_raises_only_refusals(text: str) -> None:
    with pytest.raises(Refusal):
        answer(text)
    with pytest.raises(Refusal):
        hello().finish(text)
    with pytest.raises(Refusal):
        open_ticket(text, RING, now=NOW)
