from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flask_sealed.protocol.encoding import b64u_decode, b64u_encode
from flask_sealed.protocol.handshake import Session, open_ticket, seal_ticket
from flask_sealed.protocol.hkdf import hkdf
from flask_sealed.protocol.keys import Key, KeyRing

from .reading import Case, every, refused, run
from .roles import Tape


def ring(case: Case) -> KeyRing:
    keys = (
        Key(
            kid=b64u_encode(key.hex("id")),
            purpose="ticket",
            material=key.hex("key"),
            exp=key.get("exp"),
        )
        for key in case["keys"]
    )
    return KeyRing(tuple(keys))


def opened(case: Case) -> Session:
    return open_ticket(case["ticket"], ring(case), audience=case["audience"], now=case["now"])


def opens(case: Case) -> None:
    session = Session(
        secret=case.hex("secret"),
        binding=case.hex("binding"),
        iat=case["iat"],
        exp=case["exp"],
        kem=case["kem"],
    )
    assert opened(case) == session
    key = ring(case).keys[-1]
    random = Tape(case.hex("salt"))
    assert seal_ticket(session, key, audience=case["audience"], random=random) == case["ticket"]
    assert random.is_used_up()
    check_parts(case, key)


def check_parts(case: Case, key: Key) -> None:
    """The values in between, as far as they are seen from outside."""
    assert isinstance(key.material, bytes)
    assert hkdf(key.material, case.hex("salt"), case.hex("info"), 32) == case.hex("key")
    raw = b64u_decode(case["ticket"])
    assert raw[:25] == case.hex("head")
    aead = AESGCM(case.hex("key"))
    assert aead.decrypt(bytes(12), raw[25:], case.hex("head")) == case.hex("record")


def is_refused(case: Case) -> None:
    with refused(case):
        opened(case)


@every("ticket", "valid")
def test_valid(case: Case) -> None:
    run(case, opens)


@every("ticket", "invalid")
def test_invalid(case: Case) -> None:
    run(case, is_refused)
