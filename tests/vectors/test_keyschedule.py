from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flask_sealed.protocol.encoding import b64u_decode, lv
from flask_sealed.protocol.exchange import RequestSeal, SealedStream

# Private, since a handshake cannot be given the shared secret of its keys.
from flask_sealed.protocol.handshake import Session, _session_secret
from flask_sealed.protocol.hkdf import hkdf
from flask_sealed.protocol.messages import Request, Response

from .reading import Case, every, refused, run
from .roles import Tape, client, open_request, open_response

UPLOAD = Request(method="PUT", target="/", content_type="text/plain", op=bytes(16))
IV = bytes(12)


def request(case: Case) -> None:
    exchange = client(case, Tape(case.hex("jti"), IV))
    assert case["salt"] == case["jti"]
    check_keys(case, exchange.seal_stream(UPLOAD, iat=1))


def response(case: Case) -> None:
    sealed = client(case, Tape(case.hex("jti"), IV)).seal_stream(UPLOAD, iat=1)
    server = RequestSeal(sealed.seal).open(case.hex("secret"), case["audience"])
    random = Tape(case.hex("rsalt"), IV)
    assert case["salt"] == case["jti"] + case["rsalt"]
    check_keys(case, server.seal_stream(Response(status=200), random=random))


def check_keys(case: Case, sealed: SealedStream) -> None:
    """The keys are inside: what was sealed opens with those of the case."""
    protected, _, iv, ciphertext, tag = sealed.seal.split(".")
    sealed_claims = b64u_decode(ciphertext) + b64u_decode(tag)
    key, body_key = AESGCM(case.hex("seal_key")), AESGCM(case.hex("body_key"))
    assert key.decrypt(b64u_decode(iv), sealed_claims, protected.encode())[:1] == b"{"
    final = sealed.records.finish(b"end")
    assert body_key.decrypt(case.hex("base_nonce"), final[1:], b"final") == b"end"
    parts = case["seal_key"] + case["body_key"] + case["base_nonce"]
    assert case["derived"] == parts
    assert hkdf(case.hex("secret"), case.hex("salt"), case.hex("info"), 76).hex() == parts


def session(case: Case) -> None:
    values = [case.hex(name) for name in ("thumbprint", "epk", "kem")]
    secret = case.hex("secret")
    assert _session_secret(case.hex("shared"), case["hello"], case["iss"], *values) == secret
    salt = hashlib.sha256(case["hello"].encode()).digest()
    assert case.hex("salt") == salt
    hashed = hashlib.sha256(values[2]).digest() if values[2] else b""
    bound = (case["iss"].encode(), *values[:2], hashed)
    info = b"flask-sealed/1 session\0" + b"".join(map(lv, bound))
    assert info == case.hex("info")
    assert hkdf(case.hex("shared"), salt, info, 32) == secret


def sid(case: Case) -> None:
    secret = case.hex("secret")
    assert Session(secret=secret, binding=b"", iat=0, exp=1, kem=False).sid == case["sid"]
    assert hkdf(secret, bytes(32), case.hex("info"), 16) == case.hex("derived")
    assert b64u_decode(case["sid"]) == case.hex("derived")


def no_request(case: Case) -> None:
    with refused(case):
        open_request(case)


def no_response(case: Case) -> None:
    with refused(case):
        open_response(case)


@every("keyschedule", "valid")
def test_valid(case: Case) -> None:
    kinds = {"request": request, "response": response, "session": session, "sid": sid}
    run(case, kinds[case["kind"]])


@every("keyschedule", "invalid")
def test_invalid(case: Case) -> None:
    run(case, {"request": no_request, "response": no_response}[case["kind"]])
