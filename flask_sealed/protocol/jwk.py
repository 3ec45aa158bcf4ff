"""Keys as JSON Web Keys (RFC 7517): Ed25519 (RFC 8037), P-256 and 32 secret bytes (RFC 7518)."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from ..errors import Malformed
from .encoding import b64u_decode, b64u_encode

SigningKey = Ed25519PrivateKey | EllipticCurvePrivateKey
VerifyingKey = Ed25519PublicKey | EllipticCurvePublicKey
#: The 32 bytes of a symmetric key, or the private key that signs.
Material = bytes | SigningKey

#: The bytes of a symmetric key, of a private key and of a coordinate alike.
KEY_BYTES = 32

_PUBLIC_MEMBERS: dict[tuple[object, ...], set[str]] = {
    ("OKP", "Ed25519"): {"kty", "crv", "x"},
    ("EC", "P-256"): {"kty", "crv", "x", "y"},
}

# The y coordinates of Ed25519's points of small order, in all encodings. OpenSSL takes them for
# keys, and fixed signatures by them for valid, whatever was signed.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


def thumbprint(key: VerifyingKey) -> bytes:
    """The SHA-256 thumbprint of a public key (RFC 7638), 32 bytes."""
    return jwk_thumbprint(public_jwk(key))


def jwk_thumbprint(jwk: dict[str, str]) -> bytes:
    """The same of a public JWK that has its required members only.

    Their values have one form each, so those of a message are as good as ones made anew.
    """
    # Written by hand: nothing in it needs to be escaped.
    y = f',"y":"{jwk["y"]}"' if "y" in jwk else ""
    text = f'{{"crv":"{jwk["crv"]}","kty":"{jwk["kty"]}","x":"{jwk["x"]}"{y}}}'
    return hashlib.sha256(text.encode()).digest()


def public_jwk(key: VerifyingKey) -> dict[str, str]:
    """A public key as a JWK, with its required members only (RFC 7638, section 3.2)."""
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": b64u_encode(key.public_bytes_raw())}
    numbers = key.public_numbers()
    x, y = (b64u_encode(n.to_bytes(KEY_BYTES)) for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def read_public_jwk(jwk: dict[str, Any]) -> VerifyingKey:
    """Read a public key.

    :raises Malformed: where it is none, or not on its curve.
    """
    texts = all(isinstance(value, str) for value in jwk.values())
    kind = (jwk.get("kty"), jwk.get("crv")) if texts else ()
    if _PUBLIC_MEMBERS.get(kind) != jwk.keys():
        raise Malformed("The JWK is no Ed25519 or P-256 public key.")
    x = b64u_decode(jwk["x"], KEY_BYTES)
    if "y" not in jwk and x[:-1] + bytes([x[-1] & 0x7F]) in _SMALL_ORDER:
        raise Malformed("The JWK is a key that anybody can sign with.")
    try:
        if "y" not in jwk:
            return Ed25519PublicKey.from_public_bytes(x)
        # Not from numbers: that takes coordinates that are too large, and one key would have two
        # thumbprints.
        point = b"\x04" + x + b64u_decode(jwk["y"], KEY_BYTES)
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except (ValueError, UnsupportedAlgorithm):
        pass
    raise Malformed("The JWK's point is not on its curve.")


def secret_jwk(material: Material) -> dict[str, str]:
    """A symmetric or private key as a JWK, secret included."""
    secret = b64u_encode(secret_bytes(material))
    if isinstance(material, bytes):
        return {"kty": "oct", "k": secret}
    return {**public_jwk(material.public_key()), "d": secret}


def read_secret_jwk(jwk: dict[str, Any]) -> Material:
    """Read a symmetric key of 32 bytes, or a private key.

    :raises Malformed: where it is none, or its public part is not its own.
    """
    members = dict(jwk)
    text = members.pop("k" if members.get("kty") == "oct" else "d", None)
    secret = b64u_decode(text if isinstance(text, str) else "", KEY_BYTES)
    if members == {"kty": "oct"}:
        return secret
    public = read_public_jwk(members)
    private = _derive(secret, public)
    # The public part says under which name clients pin the key: it has to be its own.
    if private is None or private.public_key() != public:
        raise Malformed("The JWK's private and public part are not of one key.")
    return private


def _derive(secret: bytes, like: VerifyingKey) -> SigningKey | None:
    try:
        if isinstance(like, Ed25519PublicKey):
            return Ed25519PrivateKey.from_private_bytes(secret)
        return derive_private_key(int.from_bytes(secret), SECP256R1())
    except (ValueError, UnsupportedAlgorithm):
        return None


def secret_bytes(material: Material) -> bytes:
    """The bytes that nobody else may know: of a symmetric key itself, or of a private key."""
    if isinstance(material, bytes):
        return material
    if isinstance(material, Ed25519PrivateKey):
        return material.private_bytes_raw()
    return material.private_numbers().private_value.to_bytes(KEY_BYTES)
