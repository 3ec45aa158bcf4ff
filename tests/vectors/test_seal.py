from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flask_sealed.protocol import jwe

from .reading import Case, every, refused, run
from .roles import open_request, open_response


def opens(case: Case) -> None:
    key, iv = AESGCM(case.hex("key")), case.hex("iv")
    header, payload = case["header"].encode(), case["payload"].encode()
    seal = jwe.seal(key, header, payload, iv=iv)
    if "seal_sha256" in case:
        assert hashlib.sha256(seal.encode()).hexdigest() == case["seal_sha256"]
        case["seal"] = seal
    assert seal == case["seal"]
    parsed = jwe.parse(seal, len(seal))
    assert (parsed.header, parsed.iv) == (header, iv)
    assert jwe.open_(key, parsed) == payload
    open_half(case)


def open_half(case: Case) -> None:
    {"request": open_request, "response": open_response}[case["half"]](case)


def is_refused(case: Case) -> None:
    with refused(case):
        open_half(case)


@every("seal", "valid")
def test_valid(case: Case) -> None:
    run(case, opens)


@every("seal", "invalid")
def test_invalid(case: Case) -> None:
    run(case, is_refused)
