from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from flask_sealed.errors import Malformed
from flask_sealed.protocol import jwk as module
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.jwk import (
    SigningKey,
    public_jwk,
    read_public_jwk,
    read_secret_jwk,
    secret_bytes,
    secret_jwk,
    thumbprint,
)

ED25519 = Ed25519PrivateKey.generate()
P256 = generate_private_key(SECP256R1())
SECRET = os.urandom(32)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("private", [ED25519, P256])
def test_public_keys(private: SigningKey) -> None:
    public = private.public_key()
    assert read_public_jwk(dict(public_jwk(public))) == public


@pytest.mark.parametrize("material", [ED25519, P256, SECRET])
def test_secret_keys(material: Any) -> None:
    again = read_secret_jwk(dict(secret_jwk(material)))
    assert type(again) is type(material)
    assert secret_bytes(again) == secret_bytes(material)
    assert len(secret_bytes(again)) == 32


def test_a_private_key_keeps_its_leading_zeros() -> None:
    private = derive_private_key(5, SECP256R1())
    assert secret_bytes(private) == bytes(31) + b"\5"
    assert secret_bytes(read_secret_jwk(dict(secret_jwk(private)))) == bytes(31) + b"\5"


def test_the_thumbprint_of_rfc_8037() -> None:
    # RFC 8037, appendix A.3.
    x = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    expected = base64.urlsafe_b64decode("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k=")
    assert thumbprint(Ed25519PublicKey.from_public_bytes(x)) == expected


def test_the_thumbprint_of_p256_is_over_its_required_members() -> None:
    jwk = public_jwk(P256.public_key())
    text = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    assert thumbprint(P256.public_key()) == hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "OKP", "crv": "Ed25519"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": 5},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": ["OKP"], "crv": "Ed25519", "x": "A" * 43},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {**public_jwk(P256.public_key()), "y": "A" * 43},
        {**public_jwk(P256.public_key()), "d": "A" * 43},
        {**public_jwk(ED25519.public_key()), "kid": "x"},
    ],
)
def test_other_jwks_are_malformed(jwk: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_public_jwk(jwk)


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct"},
        {"kty": "oct", "k": 5},
        {"kty": "oct", "k": b64u_encode(SECRET[:31])},
        {"kty": "oct", "k": b64u_encode(SECRET), "alg": "A256GCM"},
        {"kty": "oct", "k": b64u_encode(SECRET), "d": b64u_encode(SECRET)},
        {"kty": ["oct"], "k": b64u_encode(SECRET)},
        {"kty": "RSA", "d": b64u_encode(SECRET)},
        public_jwk(ED25519.public_key()),
        {**secret_jwk(ED25519), "d": b64u_encode(SECRET)},
        {**secret_jwk(ED25519), "k": b64u_encode(SECRET)},
        {**secret_jwk(P256), "d": b64u_encode(SECRET)},
        {**secret_jwk(P256), "d": b64u_encode(bytes(32))},
        {**secret_jwk(P256), "d": b64u_encode(P256_ORDER.to_bytes(32))},
        {**secret_jwk(P256), "d": b64u_encode(b"\xff" * 32)},
        {**secret_jwk(P256), "d": None},
        {**secret_jwk(P256), **public_jwk(ED25519.public_key())},
    ],
)
def test_other_secret_jwks_are_malformed(jwk: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_secret_jwk(jwk)


class Without:
    """An algorithm that this machine's OpenSSL does not have."""

    @staticmethod
    def from_public_bytes(data: bytes) -> None:
        raise UnsupportedAlgorithm("no")

    from_private_bytes = from_public_bytes


def test_a_machine_without_an_algorithm_reads_no_such_key(monkeypatch: pytest.MonkeyPatch) -> None:
    jwk = secret_jwk(ED25519)
    monkeypatch.setattr(module, "Ed25519PrivateKey", Without)
    with pytest.raises(Malformed):
        read_secret_jwk(dict(jwk))
    monkeypatch.setattr(module, "Ed25519PublicKey", Without)
    del jwk["d"]
    with pytest.raises(Malformed):
        read_public_jwk(dict(jwk))
