"""Replies with one fault each, by an identity that the client in JavaScript pins."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from flask_sealed.protocol.encoding import b64u_encode

from .conftest import Client, JavaScriptError, text

BANK = "https://bank.example"
NOW = 1_800_000_000
IDENTITY = Ed25519PrivateKey.generate()
POINT = generate_private_key(SECP256R1()).public_key().public_numbers()
PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
SMALL = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
Members = dict[str, Any]


def okp(curve: str, public: bytes) -> Members:
    return {"kty": "OKP", "crv": curve, "x": b64u_encode(public)}


def ec(x: int, y: int) -> Members:
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": b64u_encode(x.to_bytes(32)),
        "y": b64u_encode(y.to_bytes(32)),
    }


JWK = okp("Ed25519", IDENTITY.public_key().public_bytes_raw())
EPK = okp("X25519", X25519PrivateKey.generate().public_key().public_bytes_raw())
HEADER: Members = {"alg": "EdDSA", "typ": "sealed-session+jws", "jwk": JWK}


def dump(members: object) -> bytes:
    return json.dumps(members, separators=(",", ":"), sort_keys=True).encode()


def sign(header: str, payload: str) -> str:
    return f"{header}.{payload}.{b64u_encode(IDENTITY.sign(f'{header}.{payload}'.encode()))}"


def reply(hello: str, header: Members | None = None, /, **changed: object) -> str:
    """A reply to a hello; members of ``None`` are left out."""
    digest = b64u_encode(hashlib.sha256(hello.encode()).digest())
    times = {"iat": NOW, "exp": NOW + 43_200}
    payload = {"iss": BANK, **times, "hello": digest, "epk": EPK, "ticket": "A" * 163, **changed}
    kept = {name: value for name, value in payload.items() if value is not None}
    return sign(b64u_encode(dump({**HEADER, **(header or {})})), b64u_encode(dump(kept)))


def finish(client: Client, make: Callable[[str], str], **other: object) -> Any:
    thumbprint = hashlib.sha256(dump(JWK)).digest()
    settings = {"alg": "EdDSA", "curve": "X25519", "kem": False, "audience": BANK}
    asked = client("hello", pins=[text(thumbprint)], **settings)
    jws = make(json.loads(b64decode(asked["body"]))["hello"])
    body = text(dump({"session": jws}))
    ready = {"handshake": asked["handshake"], "status": 200, "took": 1, "body": body}
    return client("finish", **{**ready, **other})


def test_in_order(client: Client) -> None:
    assert finish(client, reply)["exp"] == NOW + 43_200


PAYLOADS: list[tuple[str, Members]] = [
    ("refused", {"iss": BANK + "/"}),
    ("refused", {"hello": b64u_encode(bytes(32))}),
    ("refused", {"hello": "AA"}),
    ("malformed", {"hello": None}),
    ("malformed", {"exp": NOW}),
    ("malformed", {"exp": NOW + 43_201}),
    ("malformed", {"iat": 1.5}),
    ("malformed", {"ticket": "A" * 162}),
    ("malformed", {"ticket": "A" * 162 + "."}),
    ("malformed", {"ticket": "A" * 162 + "B"}),
    ("malformed", {"kem": b64u_encode(bytes(1088))}),
    ("malformed", {"kem": "AA"}),
    ("malformed", {"sub": "a"}),
    ("malformed", {"epk": JWK}),
    ("malformed", {"epk": {**EPK, "kid": "a"}}),
    ("malformed", {"epk": okp("X25519", bytes(31))}),
    ("refused", {"epk": okp("X25519", bytes(32))}),
    ("refused", {"epk": ec(POINT.x, POINT.y)}),
]


@pytest.mark.parametrize(("code", "changed"), PAYLOADS)
def test_payload(client: Client, code: str, changed: Members) -> None:
    with pytest.raises(JavaScriptError) as info:
        finish(client, lambda hello: reply(hello, **changed))
    assert info.value.code == code


HEADERS: list[tuple[str, Members]] = [
    ("malformed", {"alg": "none"}),
    ("malformed", {"alg": "ES256"}),
    ("malformed", {"typ": "sealed-hello+jws"}),
    ("malformed", {"kid": "a"}),
    ("malformed", {"jwk": EPK}),
    ("malformed", {"jwk": okp("Ed25519", bytes.fromhex(SMALL))}),
    ("malformed", {"jwk": okp("Ed25519", bytes.fromhex(SMALL[:-2] + "fa"))}),
    ("refused", {"jwk": okp("Ed25519", b"\2" + bytes(31))}),
    (
        "refused",
        {"jwk": okp("Ed25519", Ed25519PrivateKey.generate().public_key().public_bytes_raw())},
    ),
    ("malformed", {"jwk": ec(POINT.x, POINT.y)}),
    ("malformed", {"alg": "ES256", "jwk": ec(POINT.x, POINT.y ^ 1)}),
    ("malformed", {"alg": "ES256", "jwk": ec(PRIME, POINT.y)}),
    ("refused", {"alg": "ES256", "jwk": ec(POINT.x, POINT.y)}),
]


@pytest.mark.parametrize(("code", "changed"), HEADERS)
def test_header(client: Client, code: str, changed: Members) -> None:
    with pytest.raises(JavaScriptError) as info:
        finish(client, lambda hello: reply(hello, changed))
    assert info.value.code == code


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("malformed", lambda jws: jws[:-2]),
        ("malformed", lambda jws: jws + "=="),
        ("malformed", lambda jws: jws + "."),
        ("malformed", lambda jws: jws.replace(".", "..", 1)),
        ("malformed", lambda jws: ""),
        ("refused", lambda jws: jws.rpartition(".")[0] + "." + b64u_encode(bytes(64))),
        ("too-large", lambda jws: "A" * 8193),
        ("malformed", lambda jws: "A" * 8192),
        ("malformed", lambda jws: sign(jws.split(".")[0], "AB")),
        ("malformed", lambda jws: sign(jws.split(".")[0], "ä")),
        ("malformed", lambda jws: sign(jws.split(".")[0], b64u_encode(b"{}{}"))),
    ],
)
def test_form(client: Client, code: str, change: Callable[[str], str]) -> None:
    with pytest.raises(JavaScriptError) as info:
        finish(client, lambda hello: change(reply(hello)))
    assert info.value.code == code


def test_the_clients_own_key_is_no_identity(client: Client) -> None:
    # A client that pins nothing would else accept its own hello's signer as the server.
    with pytest.raises(JavaScriptError) as info:
        client("echo", audience=BANK, epk=EPK, iat=NOW)
    assert info.value.code == "refused"


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("too-large", b" " * 16_384 + b"{"),
        ("malformed", b""),
        ("malformed", b"{}"),
        ("malformed", b'{"session":5}'),
        ("malformed", b'{"session":"a","more":"b"}'),
        ("malformed", os.urandom(16) + b"\xff"),
    ],
)
def test_body(client: Client, code: str, body: bytes) -> None:
    with pytest.raises(JavaScriptError) as info:
        finish(client, reply, body=text(body))
    assert info.value.code == code
