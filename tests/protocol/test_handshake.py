from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256K1,
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import (
    ConfigError,
    Malformed,
    Refusal,
    Refused,
    SessionUnknown,
    TooLarge,
)
from flask_sealed.protocol import handshake
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode, lv
from flask_sealed.protocol.handshake import (
    MOST_LIFETIME,
    ClientHandshake,
    Ephemeral,
    Session,
    answer_hello,
    open_ticket,
    seal_ticket,
)
from flask_sealed.protocol.jwk import SigningKey, public_jwk, thumbprint
from flask_sealed.protocol.keys import Key, KeyRing

NOW = 1_800_000_000
BANK = "https://bank.example"
SHOP = "https://shop.example"
HELLO = "sealed-hello+jws"
REPLY = "sealed-session+jws"
MOST_TIME = 2**53 - 1


def p256() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


IDENTITY = Ed25519PrivateKey.generate()
BACKUP = p256()
BINDING = Ed25519PrivateKey.generate()
P256_BINDING = p256()
STRANGER = Ed25519PrivateKey.generate()
KEM = MLKEM768PrivateKey.generate()
PIN = thumbprint(IDENTITY.public_key())
BACKUP_PIN = thumbprint(BACKUP.public_key())


def ticket_key(**times: int) -> Key:
    kid = b64u_encode(os.urandom(8))
    return Key(kid=kid, purpose="ticket", material=os.urandom(32), **times)


def identity(material: SigningKey, kid: str = "now", **times: int) -> Key:
    return Key(kid=kid, purpose="identity", material=material, **times)


RING = (
    KeyRing()
    .add(identity(IDENTITY), activate=True)
    .add(identity(BACKUP, "next"))
    .add(ticket_key(), activate=True)
)


def hello(
    *,
    binding: SigningKey = BINDING,
    ephemeral: Ephemeral | None = None,
    kem: MLKEM768PrivateKey | None = None,
    pins: tuple[bytes, ...] | None = (PIN,),
    audience: str = BANK,
) -> ClientHandshake:
    ephemeral = ephemeral or X25519PrivateKey.generate()
    return ClientHandshake(binding, audience, ephemeral=ephemeral, kem=kem, pins=pins)


def answer(text: str, ring: KeyRing = RING, **others: Any) -> tuple[Session, str]:
    settings = {"issuer": BANK, "now": NOW, "lifetime": 3600, "random": os.urandom, **others}
    return answer_hello(text, ring, **settings)


def open_(ticket: str, ring: KeyRing = RING, *, audience: str = BANK, now: int = NOW) -> Session:
    return open_ticket(ticket, ring, audience=audience, now=now)


def seal(session: Session, key: Key | None = None, audience: str = BANK) -> str:
    key = key or RING.current("ticket", NOW)
    return seal_ticket(session, key, audience=audience, random=os.urandom)


def payload_of(text: str) -> dict[str, Any]:
    payload = json.loads(b64u_decode(text.split(".")[1]))
    assert isinstance(payload, dict)
    return payload


def sign(key: SigningKey, header: dict[str, Any], payload: bytes) -> str:
    """A JWS by PyJWT."""
    algorithm = "EdDSA" if isinstance(key, Ed25519PrivateKey) else "ES256"
    headers = {"jwk": public_jwk(key.public_key()), **header}
    return jwt.api_jws.encode(payload, key, algorithm, headers)


def resign(text: str, key: SigningKey, kind: str, **changes: Any) -> str:
    """The same message with other members, signed by somebody; ``None`` removes one."""
    payload = {**payload_of(text), **changes}
    payload = {name: value for name, value in payload.items() if value is not None}
    return sign(key, {"typ": kind}, json.dumps(payload).encode())


def is_refused(call: Callable[..., object], *arguments: Any, **others: Any) -> bool:
    """Whether the one answer of all cryptographic failures is given, and nothing else with it."""
    with pytest.raises(Refused) as caught:
        call(*arguments, **others)
    return caught.value.__context__ is None and caught.value.__cause__ is None


# Both sides agree.


@pytest.mark.parametrize("binding", [BINDING, P256_BINDING])
@pytest.mark.parametrize("make", [X25519PrivateKey.generate, p256])
@pytest.mark.parametrize("kem", [KEM, None])
@pytest.mark.parametrize("pin", [PIN, BACKUP_PIN, None])
def test_both_sides_agree(
    binding: SigningKey,
    make: Callable[[], Ephemeral],
    kem: MLKEM768PrivateKey | None,
    pin: bytes | None,
) -> None:
    client = hello(
        binding=binding, ephemeral=make(), kem=kem, pins=None if pin is None else (pin,)
    )
    theirs, reply = answer(client.hello)
    mine, ticket = client.finish(reply)
    assert mine == theirs == open_(ticket)
    assert mine.kem is (kem is not None)
    assert mine.binding == thumbprint(binding.public_key())
    assert (mine.iat, mine.exp) == (NOW, NOW + 3600)
    assert len(mine.secret) == 32
    assert len(ticket) == 163
    jwk = json.loads(b64u_decode(reply.split(".")[0]))["jwk"]
    assert jwk == public_jwk((BACKUP if pin == BACKUP_PIN else IDENTITY).public_key())


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """32 bytes, written anew after RFC 5869."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\1", "sha256")


@pytest.mark.parametrize("make", [X25519PrivateKey.generate, p256])
@pytest.mark.parametrize("kem", [KEM, None])
def test_the_secret_is_derived_as_it_is_written(
    make: Callable[[], Any], kem: MLKEM768PrivateKey | None
) -> None:
    mine, theirs = make(), make()
    client = hello(ephemeral=mine, kem=kem)
    session, reply = answer(client.hello, ephemeral=theirs)
    said = payload_of(reply)
    if isinstance(mine, X25519PrivateKey):
        shared, raw = mine.exchange(theirs.public_key()), b64u_decode(said["epk"]["x"])
    else:
        shared = mine.exchange(ECDH(), theirs.public_key())
        raw = b"\x04" + b64u_decode(said["epk"]["x"]) + b64u_decode(said["epk"]["y"])
    ciphertext = b64u_decode(said.get("kem", ""))
    if kem is not None:
        shared += kem.decapsulate(ciphertext)
    digest = hashlib.sha256(client.hello.encode()).digest()
    binds = hashlib.sha256(ciphertext).digest() if ciphertext else b""
    info = b"flask-sealed/1 session\0" + lv(BANK.encode()) + lv(PIN) + lv(raw) + lv(binds)
    assert session.secret == hkdf(shared, digest, info)
    sid = hkdf(session.secret, bytes(32), b"flask-sealed/1 sid\0")[:16]
    assert session.sid == b64u_encode(sid)


def test_the_ticket_is_sealed_as_it_is_written() -> None:
    client = hello(kem=KEM)
    session, reply = answer(client.hello)
    raw = b64u_decode(client.finish(reply)[1])
    key = RING.current("ticket", NOW)
    assert raw[:9] == b"\x01" + b64u_decode(key.kid)
    assert isinstance(key.material, bytes)
    info = b"flask-sealed/1 ticket\0" + lv(BANK.encode())
    record = AESGCM(hkdf(key.material, raw[9:25], info)).decrypt(bytes(12), raw[25:], raw[:25])
    times = NOW.to_bytes(8) + (NOW + 3600).to_bytes(8)
    assert record == session.secret + times + session.binding + b"\x01"


def test_messages_have_their_members_and_no_more() -> None:
    client = hello(kem=KEM)
    _, reply = answer(client.hello)
    said = payload_of(client.hello)
    assert said.keys() == {"v", "aud", "epk", "kem", "pins"}
    assert said["pins"] == [b64u_encode(PIN)]
    assert payload_of(reply).keys() == {"iss", "iat", "exp", "hello", "epk", "kem", "ticket"}
    for text, kind in ((client.hello, HELLO), (reply, REPLY)):
        header = json.loads(b64u_decode(text.split(".")[0]))
        assert header.keys() == {"alg", "typ", "jwk"}
        assert header["typ"] == kind


def test_every_session_has_its_own_secret_and_name() -> None:
    client = hello()
    sessions = [answer(client.hello)[0] for _ in range(5)]
    assert len({session.secret for session in sessions}) == 5
    assert len({session.sid for session in sessions}) == 5


def test_repr_has_no_secret() -> None:
    session, _ = answer(hello().hello)
    assert "secret" not in repr(session)
    assert repr(session.secret) not in repr(session)


# Someone is in the middle.


def test_whoever_replaces_the_hello_is_noticed() -> None:
    client = hello(kem=KEM)
    for theirs in (
        resign(client.hello, STRANGER, HELLO),
        resign(client.hello, STRANGER, HELLO, kem=None),
        hello(binding=STRANGER).hello,
    ):
        session, reply = answer(theirs)
        assert session.binding == thumbprint(STRANGER.public_key())
        assert is_refused(client.finish, reply)


def test_ml_kem_cannot_be_stripped() -> None:
    client = hello(kem=KEM)
    protected, _, signature = client.hello.split(".")
    stripped = {name: value for name, value in payload_of(client.hello).items() if name != "kem"}
    assert is_refused(
        answer, f"{protected}.{b64u_encode(json.dumps(stripped).encode())}.{signature}"
    )
    _, reply = answer(client.hello)
    protected, _, signature = reply.split(".")
    stripped = {name: value for name, value in payload_of(reply).items() if name != "kem"}
    assert is_refused(
        client.finish, f"{protected}.{b64u_encode(json.dumps(stripped).encode())}.{signature}"
    )


def test_a_reply_to_another_hello_is_refused() -> None:
    first, second = hello(), hello()
    _, reply = answer(first.hello)
    assert is_refused(second.finish, reply)


def test_a_reply_by_a_key_that_is_not_pinned_is_refused() -> None:
    client = hello()
    _, reply = answer(client.hello)
    assert is_refused(client.finish, resign(reply, STRANGER, REPLY))
    assert is_refused(client.finish, resign(reply, BACKUP, REPLY))


def test_the_key_in_the_header_has_to_be_the_one_that_signed() -> None:
    client = hello()
    _, reply = answer(client.hello)
    header = {"typ": REPLY, "jwk": public_jwk(IDENTITY.public_key())}
    payload = b64u_decode(reply.split(".")[1])
    assert is_refused(client.finish, sign(STRANGER, header, payload))
    header = {"typ": HELLO, "jwk": public_jwk(BINDING.public_key())}
    payload = b64u_decode(client.hello.split(".")[1])
    assert is_refused(answer, sign(STRANGER, header, payload))


def test_a_pinned_server_cannot_pass_on_anothers_reply() -> None:
    # Unknown key share: the backup key signs what the other one agreed on.
    client = hello(pins=(PIN, BACKUP_PIN))
    session, reply = answer(client.hello)
    mine, _ = client.finish(resign(reply, BACKUP, REPLY))
    assert mine.secret != session.secret


def test_another_ephemeral_key_or_ciphertext_gives_another_secret() -> None:
    # Only who holds the identity key could sign these.
    client = hello(kem=KEM)
    session, reply = answer(client.hello)
    _, other = answer(client.hello)
    for name in ("epk", "kem"):
        changed = resign(reply, IDENTITY, REPLY, **{name: payload_of(other)[name]})
        assert client.finish(changed)[0].secret != session.secret
    changed = resign(reply, IDENTITY, REPLY, kem=b64u_encode(bytes(1088)))
    assert client.finish(changed)[0].secret != session.secret


def test_another_audience_is_refused_by_both() -> None:
    assert is_refused(answer, hello(audience=SHOP).hello)
    assert is_refused(answer, hello().hello, issuer=SHOP)
    client = hello()
    _, reply = answer(client.hello)
    assert is_refused(client.finish, resign(reply, IDENTITY, REPLY, iss=SHOP))


def test_one_key_does_not_serve_two_purposes() -> None:
    for key in (IDENTITY, BACKUP):
        assert is_refused(answer, hello(binding=key).hello)
    client = hello(binding=IDENTITY, pins=(PIN,))
    ring = RING.add(identity(STRANGER, "stranger"))
    _, reply = answer(hello().hello, ring)
    digest = b64u_encode(hashlib.sha256(client.hello.encode()).digest())
    assert is_refused(client.finish, resign(reply, IDENTITY, REPLY, hello=digest))


def test_a_hello_is_no_reply_and_a_reply_no_hello() -> None:
    client = hello()
    _, reply = answer(client.hello)
    with pytest.raises(Malformed):
        client.finish(client.hello)
    with pytest.raises(Malformed):
        answer(reply)


# Identity keys.


def test_a_server_without_a_pinned_key_refuses() -> None:
    assert is_refused(answer, hello(pins=(bytes(32),)).hello)


def test_the_active_key_answers_before_others_that_are_pinned() -> None:
    client = hello(pins=(BACKUP_PIN, PIN))
    for ring, pin in ((RING, PIN), (RING.activate("identity", "next"), BACKUP_PIN)):
        _, reply = answer(client.hello, ring)
        jwk = json.loads(b64u_decode(reply.split(".")[0]))["jwk"]
        assert jwk == public_jwk((IDENTITY if pin == PIN else BACKUP).public_key())


def test_an_expired_identity_key_answers_nothing() -> None:
    ring = KeyRing().add(identity(IDENTITY, exp=NOW), activate=True)
    ring = ring.add(ticket_key(), activate=True).add(identity(BACKUP, "next"))
    assert is_refused(answer, hello(pins=(PIN,)).hello, ring)
    with pytest.raises(ConfigError):
        answer(hello(pins=None).hello, ring)
    for pins in ((PIN,), None):
        answer(hello(pins=pins).hello, ring, now=NOW - 1)


def test_an_expired_active_key_leaves_the_pinned_others() -> None:
    ring = KeyRing().add(identity(IDENTITY, exp=NOW), activate=True)
    ring = ring.add(ticket_key(), activate=True).add(identity(BACKUP, "next"))
    client = hello(pins=(PIN, BACKUP_PIN))
    session, reply = answer(client.hello, ring)
    assert client.finish(reply)[0] == session


def test_a_key_that_is_not_active_yet_waits_for_its_time() -> None:
    ring = KeyRing().add(identity(IDENTITY), activate=True).add(ticket_key(), activate=True)
    ring = ring.add(identity(BACKUP, "next", nbf=NOW + 1))
    client = hello(pins=(BACKUP_PIN,))
    assert is_refused(answer, client.hello, ring)
    answer(client.hello, ring, now=NOW + 1)


# Every change is refused.


@pytest.mark.parametrize("binding", [BINDING, P256_BINDING])
@pytest.mark.parametrize("kem", [KEM, None])
def test_every_changed_character_is_refused(
    binding: SigningKey, kem: MLKEM768PrivateKey | None
) -> None:
    client = hello(binding=binding, kem=kem, pins=(PIN if kem else BACKUP_PIN,))
    _, reply = answer(client.hello)
    take: Callable[[str], object]
    for text, take in ((client.hello, answer), (reply, client.finish)):
        for position, character in enumerate(text):
            for other in ("A" if character != "A" else "B", "", character.swapcase() + "="):
                with pytest.raises(Refusal):
                    take(text[:position] + other + text[position + 1 :])


def test_every_changed_bit_of_a_signature_or_payload_is_refused_as_one() -> None:
    client = hello()
    _, reply = answer(client.hello)
    take: Callable[[str], object]
    for text, take in ((client.hello, answer), (reply, client.finish)):
        parts = text.split(".")
        for part in (1, 2):
            raw = bytearray(b64u_decode(parts[part]))
            for position in range(len(raw)):
                raw[position] ^= 1 << position % 8
                changed = [*parts[:part], b64u_encode(bytes(raw)), *parts[part + 1 :]]
                assert is_refused(take, ".".join(changed))
                raw[position] ^= 1 << position % 8


def test_what_is_cut_or_longer_is_malformed() -> None:
    client = hello()
    _, reply = answer(client.hello)
    take: Callable[[str], object]
    for text, take in ((client.hello, answer), (reply, client.finish)):
        for length in range(0, len(text), 7):
            with pytest.raises(Malformed):
                take(text[:length])
        for more in ("A", "AA", "AAAA", ".", ".AA", "=", " ", "\n", "\0", "é", "\ud800"):
            for other in (text + more, more + text, text.replace(".", f"{more}.", 1)):
                with pytest.raises(Malformed):
                    take(other)
        for other in (text.replace(".", ""), text.replace(".", "..", 1), "..", ""):
            with pytest.raises(Malformed):
                take(other)


def test_non_ascii_in_the_signed_payload_is_malformed() -> None:
    protected, payload, signature = hello().hello.split(".")
    for other in ("é", "\ud800", "\udcff"):
        with pytest.raises(Malformed):
            answer(f"{protected}.{payload}{other}.{signature}")


def test_too_long() -> None:
    with pytest.raises(TooLarge):
        answer("A" * 8193)
    with pytest.raises(TooLarge):
        hello().finish("A" * 8193)
    with pytest.raises(Malformed):
        answer("A" * 8192)


#: Values of other types, for any member.
OTHERS: list[Any] = [True, 0, -1, 1.5, "", "é", [], {}, [[]], {"a": {}}, 2**64]


def test_members_that_are_missing_or_of_another_type_are_refused() -> None:
    client = hello(kem=KEM)
    _, reply = answer(client.hello)
    take: Callable[[str], object]
    for text, key, kind, take in (
        (client.hello, BINDING, HELLO, answer),
        (reply, IDENTITY, REPLY, client.finish),
    ):
        for name in payload_of(text):
            for value in OTHERS:
                with pytest.raises(Refusal):
                    take(resign(text, key, kind, **{name: value}))
        for name in payload_of(text).keys() - {"kem", "pins"}:
            with pytest.raises(Malformed):
                take(resign(text, key, kind, **{name: None}))
        for changes in ({"sub": "ada"}, {"more": 1}, {"nonce": ""}):
            with pytest.raises(Malformed):
                take(resign(text, key, kind, **changes))


def test_doubled_members_are_malformed() -> None:
    client = hello(kem=KEM)
    _, reply = answer(client.hello)
    take: Callable[[str], object]
    for text, key, kind, take in (
        (client.hello, BINDING, HELLO, answer),
        (reply, IDENTITY, REPLY, client.finish),
    ):
        raw = b64u_decode(text.split(".")[1])
        for name, value in json.loads(raw).items():
            more = f"{json.dumps(name)}:{json.dumps(value)}".encode()
            for doubled in (b"{" + more + b"," + raw[1:], raw[:-1] + b"," + more + b"}"):
                with pytest.raises(Malformed):
                    take(sign(key, {"typ": kind}, doubled))


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"null", b"{}", b"{", b"\xff", b"\xef\xbb\xbf{}", b"[" * 5000, b"9" * 5000],
)
def test_other_payloads_are_malformed(payload: bytes) -> None:
    client = hello()
    with pytest.raises(Malformed):
        answer(sign(BINDING, {"typ": HELLO}, payload))
    with pytest.raises(Malformed):
        client.finish(sign(IDENTITY, {"typ": REPLY}, payload))


ED_JWK = public_jwk(BINDING.public_key())
EC_JWK = public_jwk(P256_BINDING.public_key())


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": HELLO, "jwk": ED_JWK},
        {"alg": "HS256", "typ": HELLO, "jwk": ED_JWK},
        {"alg": "ES256", "typ": HELLO, "jwk": ED_JWK},
        {"alg": "Ed25519", "typ": HELLO, "jwk": ED_JWK},
        {"alg": "EdDSA", "typ": HELLO, "jwk": EC_JWK},
        {"alg": "ES384", "typ": HELLO, "jwk": EC_JWK},
        {"alg": "EdDSA", "typ": "JWT", "jwk": ED_JWK},
        {"alg": "EdDSA", "typ": HELLO.upper(), "jwk": ED_JWK},
        {"alg": "EdDSA", "typ": f"application/{HELLO}", "jwk": ED_JWK},
        {"alg": "EdDSA", "typ": REPLY, "jwk": ED_JWK},
        {"alg": "EdDSA", "typ": HELLO, "jwk": ED_JWK, "crit": ["b64"], "b64": False},
        {"alg": "EdDSA", "typ": HELLO, "jwk": ED_JWK, "kid": "x"},
        {"alg": "EdDSA", "typ": HELLO},
        {"alg": "EdDSA", "jwk": ED_JWK},
        {"typ": HELLO, "jwk": ED_JWK},
        {"alg": ["EdDSA"], "typ": HELLO, "jwk": ED_JWK},
        {"alg": "EdDSA", "typ": HELLO, "jwk": {**ED_JWK, "d": "A" * 43}},
        {"alg": "EdDSA", "typ": HELLO, "jwk": {**ED_JWK, "kid": "x"}},
        {"alg": "EdDSA", "typ": HELLO, "jwk": {**ED_JWK, "x": ED_JWK["x"] + "="}},
        {"alg": "EdDSA", "typ": HELLO, "jwk": {**ED_JWK, "crv": "X25519"}},
        {"alg": "EdDSA", "typ": HELLO, "jwk": {"kty": "oct", "k": "A" * 43}},
        {"alg": "ES256", "typ": HELLO, "jwk": {**EC_JWK, "y": "A" * 43}},
        {"alg": "ES256", "typ": HELLO, "jwk": {**EC_JWK, "crv": "P-384"}},
        {"alg": "ES256", "typ": HELLO, "jwk": {"kty": "EC", "crv": "P-256", "x": EC_JWK["x"]}},
        {"alg": "EdDSA", "typ": HELLO, "jwk": "x"},
    ],
)
def test_headers_that_are_not_in_order(header: dict[str, Any]) -> None:
    _, payload, signature = hello().hello.split(".")
    with pytest.raises(Malformed):
        answer(f"{b64u_encode(json.dumps(header).encode())}.{payload}.{signature}")


def test_a_doubled_member_in_the_header_is_malformed() -> None:
    protected, payload, signature = hello().hello.split(".")
    raw = b64u_decode(protected)
    for doubled in (raw[:-1] + b',"alg":"EdDSA"}', b'{"alg":"none",' + raw[1:]):
        with pytest.raises(Malformed):
            answer(f"{b64u_encode(doubled)}.{payload}.{signature}")


P = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def point(x: int, y: int) -> dict[str, str]:
    coordinates = {"x": b64u_encode(x.to_bytes(32)), "y": b64u_encode(y.to_bytes(32))}
    return {"kty": "EC", "crv": "P-256", **coordinates}


def test_a_coordinate_has_one_form_only() -> None:
    # x = 0 and x = p are one point, which would have two thumbprints.
    y = pow(B, (P + 1) // 4, P)
    _, payload, signature = hello().hello.split(".")
    header = {"alg": "ES256", "typ": HELLO, "jwk": point(P, y)}
    with pytest.raises(Malformed):
        answer(f"{b64u_encode(json.dumps(header).encode())}.{payload}.{signature}")
    assert is_refused(answer, resign(hello().hello, BINDING, HELLO, epk=point(P, y)))
    answer(resign(hello().hello, BINDING, HELLO, epk=point(0, y)))


# The y coordinates of Ed25519's points of small order, canonical or not.
SMALL_ORDER = [
    *(y.to_bytes(32, "little") for y in (0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18)),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]


@pytest.mark.parametrize("y", SMALL_ORDER)
@pytest.mark.parametrize("sign_bit", [0, 0x80])
def test_a_key_with_which_anybody_signs_is_none(y: bytes, sign_bit: int) -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64u_encode(y[:-1] + bytes([y[-1] | sign_bit]))}
    client = hello(pins=None)
    _, reply = answer(client.hello)
    take: Callable[[str], object]
    for text, kind, take in ((client.hello, HELLO, answer), (reply, REPLY, client.finish)):
        header = {"alg": "EdDSA", "typ": kind, "jwk": jwk}
        protected, payload = b64u_encode(json.dumps(header).encode()), text.split(".")[1]
        # R = the neutral element and s = 0: OpenSSL finds this valid in every eighth case or more.
        with pytest.raises(Malformed):
            take(f"{protected}.{payload}.{b64u_encode(bytes([1]) + bytes(63))}")


#: The u coordinates that give a secret of zeros (RFC 7748, section 6.1), canonical or not.
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    2**255 - 20,
    2**255 - 19,
    2**255 - 18,
]


@pytest.mark.parametrize("u", [*LOW_ORDER, *(u + 2**255 for u in LOW_ORDER)])
def test_points_of_low_order_are_refused_by_both(u: int) -> None:
    epk = {"kty": "OKP", "crv": "X25519", "x": b64u_encode(u.to_bytes(32, "little"))}
    client = hello()
    _, reply = answer(client.hello)
    assert is_refused(answer, resign(client.hello, BINDING, HELLO, epk=epk))
    assert is_refused(client.finish, resign(reply, IDENTITY, REPLY, epk=epk))


@pytest.mark.parametrize(
    "epk", [point(0, 0), point(1, 1), point(P - 1, P - 1), point(P, P), point(2**256 - 1, 0)]
)
def test_points_off_the_curve_are_refused_by_both(epk: dict[str, str]) -> None:
    client = hello(ephemeral=p256())
    _, reply = answer(client.hello)
    assert is_refused(answer, resign(client.hello, BINDING, HELLO, epk=epk))
    assert is_refused(client.finish, resign(reply, IDENTITY, REPLY, epk=epk))


def test_the_error_of_a_refused_point_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hybrid handshake whose ML-KEM half was in order, on both sides."""
    secret = os.urandom(32)

    class Kem:
        from_public_bytes = staticmethod(lambda _: Kem)
        encapsulate = staticmethod(lambda: (secret, bytes(1088)))
        decapsulate = staticmethod(lambda _: secret)

    low = {"kty": "OKP", "crv": "X25519", "x": b64u_encode(bytes(32))}
    client = hello(kem=KEM)
    _, reply = answer(client.hello)
    monkeypatch.setattr(handshake, "MLKEM768PublicKey", Kem)
    monkeypatch.setattr(client, "_kem", Kem)
    for take, text in (
        (answer, resign(client.hello, BINDING, HELLO, epk=low)),
        (client.finish, resign(reply, IDENTITY, REPLY, epk=low)),
    ):
        with pytest.raises(Refused) as caught:
            take(text)
        shown = [repr(entry.frame.f_locals) for entry in caught.traceback[1:]]
        assert len(shown) >= 2
        assert repr(secret) not in "".join(shown)
        assert caught.value.__context__ is None


def test_an_ephemeral_key_of_another_kind_is_refused() -> None:
    epks = [payload_of(hello(ephemeral=make).hello)["epk"] for make in (None, p256())]
    for ephemeral, epk in ((p256(), epks[0]), (None, epks[1])):
        client = hello(ephemeral=ephemeral)
        _, reply = answer(client.hello)
        assert is_refused(client.finish, resign(reply, IDENTITY, REPLY, epk=epk))


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": 0},
        {"v": "1"},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": "AA"}},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": "A" * 42 + "B"}},  # stray bits
        {"epk": {"kty": "OKP", "crv": "X25519", "x": 5}},
        {"epk": {"kty": "OKP", "crv": "X25519"}},
        {"epk": {"kty": "OKP", "crv": "X448", "x": "A" * 43}},
        {"epk": {"kty": "EC", "crv": "X25519", "x": "A" * 43}},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "y": "A" * 43}},
        {"epk": {**EC_JWK, "x": EC_JWK["x"] + "AA"}},
        {"epk": {**EC_JWK, "kid": "x"}},
        {"epk": {**EC_JWK, "y": None}},
        {"epk": {"kty": "EC", "crv": "P-256", "x": EC_JWK["x"]}},
        {"epk": ED_JWK},
        {"epk": {}},
        {"kem": ""},
        {"kem": b64u_encode(bytes(1183))},
        {"kem": b64u_encode(bytes(1185))},
        {"kem": b64u_encode(bytes(1088))},
        {"pins": []},
        {"pins": [b64u_encode(PIN)] * 5},
        {"pins": [5]},
        {"pins": [b64u_encode(PIN), None]},
        {"pins": [b64u_encode(PIN), "AA"]},
        {"pins": [b64u_encode(PIN) + "="]},
    ],
)
def test_hellos_that_are_not_in_order(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        answer(resign(hello().hello, BINDING, HELLO, **changes))


def test_an_ml_kem_key_whose_coefficients_are_too_large_is_refused() -> None:
    # FIPS 203, section 7.2.
    raw = bytearray(KEM.public_key().public_bytes_raw())
    for changed in (b"\xff" * 1184, b"\xff" * 3 + raw[3:], raw[:1149] + b"\xff" * 3 + raw[1152:]):
        kem = b64u_encode(bytes(changed))
        assert is_refused(answer, resign(hello().hello, BINDING, HELLO, kem=kem))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW},
        {"exp": NOW - 1},
        {"exp": NOW + MOST_LIFETIME + 1},
        {"iat": -1, "exp": 3600},
        {"iat": -(2**63), "exp": 1 - 2**63},
        {"iat": MOST_TIME, "exp": MOST_TIME + 1},
        {"iat": 10**1000, "exp": 10**1000 + 1},
        {"iat": 1.5},
        {"iat": float(NOW)},
        {"ticket": ""},
        {"ticket": "A" * 162},
        {"ticket": "A" * 164},
        {"ticket": "A" * 162 + "B"},  # stray bits
        {"ticket": "A" * 162 + "."},
        {"ticket": "A" * 162 + "é"},
        {"epk": ED_JWK},
        {"epk": {}},
        {"kem": ""},
        {"kem": "AA"},
        {"kem": b64u_encode(bytes(1087))},
        {"kem": b64u_encode(bytes(1089))},
        {"kem": b64u_encode(bytes(1184))},
    ],
)
def test_replies_that_are_not_in_order(changes: dict[str, Any]) -> None:
    client = hello(kem=KEM)
    _, reply = answer(client.hello)
    with pytest.raises(Malformed):
        client.finish(resign(reply, IDENTITY, REPLY, **changes))


@pytest.mark.parametrize(
    ("iat", "exp"),
    [(0, 1), (0, MOST_LIFETIME), (NOW, NOW + MOST_LIFETIME), (MOST_TIME - 1, MOST_TIME)],
)
def test_all_other_times_are_the_servers_business(iat: int, exp: int) -> None:
    client = hello()
    _, reply = answer(client.hello)
    session, _ = client.finish(resign(reply, IDENTITY, REPLY, iat=iat, exp=exp))
    assert (session.iat, session.exp) == (iat, exp)


def test_a_digest_of_the_hello_in_another_form_is_refused() -> None:
    client = hello()
    _, reply = answer(client.hello)
    for other in ("", payload_of(reply)["hello"] + "=", payload_of(reply)["hello"].swapcase()):
        assert is_refused(client.finish, resign(reply, IDENTITY, REPLY, hello=other))


def test_a_ciphertext_that_nobody_asked_for_is_malformed() -> None:
    client = hello()
    _, reply = answer(client.hello)
    with pytest.raises(Malformed):
        client.finish(resign(reply, IDENTITY, REPLY, kem=b64u_encode(bytes(1088))))


# Where one side has no ML-KEM.


def unsupported(_: bytes) -> None:
    raise UnsupportedAlgorithm("no ML-KEM")


class NoMLKEM:
    from_public_bytes = staticmethod(unsupported)


@pytest.mark.parametrize("missing", [None, NoMLKEM])
def test_a_server_without_ml_kem_says_so(missing: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "MLKEM768PublicKey", missing)
    client = hello(kem=KEM)
    session, reply = answer(client.hello)
    assert "kem" not in payload_of(reply)
    mine, ticket = client.finish(reply)
    assert mine == session == open_(ticket)
    assert not mine.kem
    with pytest.raises(Malformed):
        answer(resign(client.hello, BINDING, HELLO, kem="AA"))


def test_a_library_without_ml_kem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.mlkem", None)
    spec = importlib.util.spec_from_file_location(
        "flask_sealed.protocol.handshake_without_ml_kem", handshake.__file__
    )
    assert spec is not None
    assert spec.loader is not None
    older = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, older)
    spec.loader.exec_module(older)
    client = hello(kem=KEM)
    session, reply = older.answer_hello(
        client.hello, RING, issuer=BANK, now=NOW, lifetime=60, random=os.urandom
    )
    assert client.finish(reply)[0].secret == session.secret
    assert not session.kem


# Tickets.


def test_every_changed_character_or_bit_of_a_ticket_is_refused() -> None:
    session, _ = answer(hello().hello)
    ticket = seal(session)
    for position, character in enumerate(ticket):
        other = "A" if character != "A" else "B"
        with pytest.raises((SessionUnknown, Malformed)):
            open_(ticket[:position] + other + ticket[position + 1 :])
        for other in ("", character * 2, "=", ".", "é"):
            with pytest.raises(Malformed):
                open_(ticket[:position] + other + ticket[position + 1 :])
    raw = bytearray(b64u_decode(ticket))
    for position in range(len(raw)):
        raw[position] ^= 1 << position % 8
        with pytest.raises(SessionUnknown) as caught:
            open_(b64u_encode(bytes(raw)))
        assert caught.value.__context__ is None
        raw[position] ^= 1 << position % 8
    assert open_(b64u_encode(bytes(raw))) == session


def test_a_ticket_opens_at_the_service_that_made_it_only() -> None:
    session, _ = answer(hello().hello)
    ticket = seal(session)
    assert open_(ticket, audience=BANK) == session
    with pytest.raises(SessionUnknown):
        open_(ticket, audience=SHOP)
    _, reply = answer(hello(audience=SHOP).hello, issuer=SHOP)
    with pytest.raises(SessionUnknown):
        open_(payload_of(reply)["ticket"], audience=BANK)


def test_tickets_end_and_their_keys_go() -> None:
    session, _ = answer(hello().hello)
    ticket = seal(session)
    assert open_(ticket, now=session.exp - 1) == session
    with pytest.raises(SessionUnknown):
        open_(ticket, now=session.exp)
    with pytest.raises(SessionUnknown):
        open_(ticket, KeyRing().add(ticket_key(), activate=True))
    assert open_(ticket, RING.add(ticket_key(), activate=True)) == session


def test_a_ticket_from_the_future_is_unknown() -> None:
    session, _ = answer(hello().hello)
    ticket = seal(session)
    assert open_(ticket, now=NOW - 10) == session
    with pytest.raises(SessionUnknown):
        open_(ticket, now=NOW - 11)


def test_an_expired_ticket_key_opens_nothing() -> None:
    session, _ = answer(hello().hello)
    key = ticket_key(exp=NOW + 100)
    ring, ticket = RING.add(key, activate=True), seal(session, key)
    assert open_(ticket, ring, now=NOW + 99) == session
    with pytest.raises(SessionUnknown):
        open_(ticket, ring, now=NOW + 100)


def test_a_ticket_of_another_version_or_with_unknown_flags_is_unknown() -> None:
    session, _ = answer(hello().hello)
    key, salt = RING.current("ticket", NOW), os.urandom(16)
    assert isinstance(key.material, bytes)
    aead = AESGCM(hkdf(key.material, salt, b"flask-sealed/1 ticket\0" + lv(BANK.encode())))
    times = session.iat.to_bytes(8) + session.exp.to_bytes(8)
    for version, flags, known in ((1, 0, True), (1, 1, True), (2, 0, False), (1, 2, False)):
        head = bytes([version]) + b64u_decode(key.kid) + salt
        record = session.secret + times + session.binding + bytes([flags])
        ticket = b64u_encode(head + aead.encrypt(bytes(12), record, head))
        if known:
            assert open_(ticket) == replace(session, kem=flags == 1)
        else:
            with pytest.raises(SessionUnknown):
                open_(ticket)


def test_tickets_of_one_session_tell_nothing_of_each_other() -> None:
    session, _ = answer(hello().hello)
    one, two = (b64u_decode(seal(session)) for _ in range(2))
    assert one[:9] == two[:9]
    assert one[9:25] != two[9:25]
    assert one[25:] != two[25:]


def test_a_session_lasts_12_hours_at_the_most() -> None:
    for lifetime in (MOST_LIFETIME, MOST_LIFETIME + 1, 10**6):
        session, _ = answer(hello().hello, lifetime=lifetime)
        assert session.exp - session.iat == MOST_LIFETIME
    session, _ = answer(hello().hello, lifetime=1)
    assert session.exp - session.iat == 1


def test_a_session_does_not_outlive_its_ticket_key() -> None:
    ring = RING.add(ticket_key(exp=NOW + 100), activate=True)
    client = hello()
    session, reply = answer(client.hello, ring)
    assert session.exp == NOW + 100
    assert client.finish(reply)[0] == session
    assert answer(client.hello, ring, lifetime=99)[0].exp == NOW + 99


# A programmer's mistakes.


def test_what_makes_no_hello() -> None:
    ephemeral = X25519PrivateKey.generate()
    pins: tuple[bytes, ...]
    for pins in ((), (PIN,) * 5, (b"short",), (PIN, PIN[:31])):
        with pytest.raises(ConfigError):
            hello(pins=pins)
    for audience in ("", "x" * 256, "é" * 128):
        with pytest.raises(ConfigError):
            hello(audience=audience)
    hello(audience="é" * 127 + "x")
    for curve in (SECP256K1(), SECP384R1()):
        other = generate_private_key(curve)
        with pytest.raises(ConfigError):
            hello(binding=other)
        with pytest.raises(ConfigError):
            hello(ephemeral=other)
    ClientHandshake(BINDING, BANK, ephemeral=ephemeral, pins=(PIN,) * 4)


def test_what_answers_no_hello() -> None:
    with pytest.raises(ConfigError):
        answer(hello().hello, RING.add(ticket_key(exp=NOW), activate=True))
    with pytest.raises(ConfigError):
        answer(hello().hello, KeyRing().add(identity(IDENTITY), activate=True))
    with pytest.raises(ConfigError):
        answer(hello(pins=None).hello, KeyRing().add(ticket_key(), activate=True))
    for lifetime in (0, -1):
        with pytest.raises(ConfigError):
            answer(hello().hello, lifetime=lifetime)


def test_the_error_of_an_expired_ticket_knows_no_secret() -> None:
    session, reply = answer(hello().hello)
    ticket = json.loads(b64u_decode(reply.split(".")[1]))["ticket"]
    with pytest.raises(SessionUnknown) as caught:
        open_ticket(ticket, RING, audience=BANK, now=session.exp)
    frames = [entry.frame.f_locals for entry in caught.traceback[1:]]
    values = [value for frame in frames for value in frame.values()]
    assert not any(isinstance(value, bytes) and session.secret in value for value in values)
    assert not any(isinstance(value, Session) for value in values)


def test_what_seals_no_ticket() -> None:
    session, _ = answer(hello().hello)
    kid = b64u_encode(os.urandom(8))
    for key in (
        Key(kid=kid, purpose="identity", material=IDENTITY),
        Key(kid=kid, purpose="psk", material=os.urandom(32)),
    ):
        with pytest.raises(ConfigError):
            seal(session, key)


# Anything at all.


def only_refusals(take: Callable[..., object], text: str) -> None:
    try:
        take(text)
    except Refusal as refusal:
        assert refusal.__context__ is None  # noqa: PT017


CLIENT = hello(kem=KEM, pins=(PIN, BACKUP_PIN))
ANSWER = answer(CLIENT.hello)[1]
TICKET = payload_of(ANSWER)["ticket"]
ALPHABET = 'ABCabc019-_=.+/{}"é\ud800\0'


@given(st.one_of(st.text(), st.text(ALPHABET), st.binary().map(b64u_encode)))
def test_arbitrary_text_raises_only_refusals(text: str) -> None:
    for take in (answer, CLIENT.finish, open_):
        with pytest.raises(Refusal) as caught:
            take(text)
        assert caught.value.__context__ is None


JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.binary().map(b64u_encode),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)
VALID: dict[str, tuple[SigningKey, str, Callable[[str], object]]] = {
    CLIENT.hello: (BINDING, HELLO, answer),
    ANSWER: (IDENTITY, REPLY, CLIENT.finish),
}


@given(st.data())
def test_signed_nonsense_raises_only_refusals(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(list(VALID)))
    key, kind, take = VALID[text]
    payload = payload_of(text)
    name = data.draw(st.sampled_from([*payload, "more"]))
    inner = payload.get(name)
    if isinstance(inner, dict) and data.draw(st.booleans()):
        inner[data.draw(st.sampled_from([*inner, "more"]))] = data.draw(JSON)
    else:
        payload[name] = data.draw(JSON)
    only_refusals(take, sign(key, {"typ": kind}, json.dumps(payload).encode()))


@given(st.sampled_from(list(VALID)), st.binary())
def test_signed_bytes_raise_only_refusals(text: str, payload: bytes) -> None:
    key, kind, take = VALID[text]
    with pytest.raises(Refusal):
        take(sign(key, {"typ": kind}, payload))


@given(st.data())
def test_headers_of_nonsense_raise_only_refusals(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(list(VALID)))
    protected, payload, signature = text.split(".")
    header = json.loads(b64u_decode(protected))
    target = data.draw(st.sampled_from([header, header["jwk"]]))
    target[data.draw(st.sampled_from([*target, "more"]))] = data.draw(JSON)
    changed = b64u_encode(json.dumps(header).encode())
    only_refusals(VALID[text][2], f"{changed}.{payload}.{signature}")


@given(st.data())
def test_spliced_text_raises_only_refusals(data: st.DataObject) -> None:
    text, take = data.draw(
        st.sampled_from([*((text, VALID[text][2]) for text in VALID), (TICKET, open_)])
    )
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    only_refusals(take, text[:start] + data.draw(st.text(ALPHABET)) + text[end:])


@given(st.binary(min_size=122, max_size=122), st.integers(0, 25))
def test_arbitrary_bytes_are_no_ticket(raw: bytes, kept: int) -> None:
    with pytest.raises(SessionUnknown):
        open_(b64u_encode(b64u_decode(TICKET)[:kept] + raw[kept:]))
