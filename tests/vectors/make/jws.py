"""The keys and signed messages of the handshake."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from .halves import as_text
from .primitives import Case, b64u, fixed
from .recorded import RECORDED


def point_jwk(raw: bytes) -> dict[str, str]:
    """An uncompressed point of P-256 as a JWK."""
    return {"kty": "EC", "crv": "P-256", "x": b64u(raw[1:33]), "y": b64u(raw[33:])}


def raw_point(key: EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return b"\4" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def _p256(private: bytes) -> EllipticCurvePrivateKey:
    return derive_private_key(int.from_bytes(private, "big"), SECP256R1())


@dataclass(frozen=True)
class Signer:
    """A key that signs: ``Ed25519`` or ``P-256``."""

    kind: str
    label: str

    @property
    def private(self) -> bytes:
        return fixed(f"{self.label} {self.kind}", 32)

    @property
    def algorithm(self) -> str:
        return "EdDSA" if self.kind == "Ed25519" else "ES256"

    @cached_property
    def jwk(self) -> dict[str, str]:
        if self.kind == "P-256":
            return point_jwk(raw_point(_p256(self.private)))
        public = Ed25519PrivateKey.from_private_bytes(self.private).public_key()
        return {"kty": "OKP", "crv": "Ed25519", "x": b64u(public.public_bytes_raw())}

    @property
    def thumbprint(self) -> bytes:
        """RFC 7638."""
        text = json.dumps(self.jwk, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()

    def sign(self, data: bytes) -> bytes:
        if self.kind == "P-256":
            return RECORDED.sign(_p256(self.private), data)
        return Ed25519PrivateKey.from_private_bytes(self.private).sign(data)

    def shown(self, **more: object) -> Case:
        """As it stands in a case."""
        parts = {"private": self.private.hex(), "thumbprint": self.thumbprint.hex()}
        return {"kind": self.kind, **parts, **more}


@dataclass(frozen=True)
class Ephemeral:
    """A key of one handshake: ``X25519`` or ``P-256``."""

    kind: str
    label: str

    @property
    def private(self) -> bytes:
        return fixed(f"ephemeral {self.label} {self.kind}", 32)

    @cached_property
    def public(self) -> bytes:
        """32 bytes, or the 65 of an uncompressed point."""
        if self.kind == "P-256":
            return raw_point(_p256(self.private))
        return X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()

    @property
    def jwk(self) -> dict[str, str]:
        return point_jwk(self.public) if self.kind == "P-256" else x25519_jwk(self.public)

    def agree(self, other: bytes) -> bytes:
        if self.kind == "P-256":
            point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), other)
            return _p256(self.private).exchange(ECDH(), point)
        key = X25519PrivateKey.from_private_bytes(self.private)
        return key.exchange(X25519PublicKey.from_public_bytes(other))

    def shown(self) -> Case:
        """As it stands in a case."""
        parts = {"private": self.private.hex(), "public": self.public.hex()}
        return {"kind": self.kind, **parts}


def x25519_jwk(raw: bytes) -> dict[str, str]:
    return {"kty": "OKP", "crv": "X25519", "x": b64u(raw)}


def header_of(key: Signer, kind: str) -> Case:
    return {"alg": key.algorithm, "typ": kind, "jwk": key.jwk}


def jws(key: Signer, header: Case | str | bytes, payload: Case | str | bytes) -> str:
    """A compact JWS."""
    signed = f"{b64u(as_text(header))}.{b64u(as_text(payload))}"
    return f"{signed}.{b64u(key.sign(signed.encode()))}"
