"""The keyring: named keys as a JWK Set (RFC 7517), one active key for each purpose.

A key says its purpose in ``purpose``, and how long it may be used in ``nbf`` and ``exp`` (seconds
since 1970). The keys that are used for new messages are named in the set's member ``active``; all
others only open what was sealed before.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePrivateNumbers,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from ..errors import ConfigError, Malformed
from .encoding import b64u_decode, b64u_encode, json_decode, json_encode

Purpose = Literal["identity", "ticket", "psk", "level3"]
SigningKey = Ed25519PrivateKey | EllipticCurvePrivateKey
VerifyingKey = Ed25519PublicKey | EllipticCurvePublicKey

SECRET_BYTES = 32
#: The most characters of a pre-shared key's name; a longer ``kid`` is a ticket.
MOST_KID = 64
_COORDINATE_BYTES = 32
_PUBLIC_MEMBERS: dict[tuple[object, ...], set[str]] = {
    ("OKP", "Ed25519"): {"kty", "crv", "x"},
    ("EC", "P-256"): {"kty", "crv", "x", "y"},
}
_NO_RING = "the keyring is not the JSON text of one: a JWK Set with a member `active`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a keyring; its ``repr`` shows its name only.

    :raises ConfigError: where it is no key for its purpose.
    """

    kid: str
    purpose: Purpose
    #: The 32 bytes of a symmetric key, or the private key that signs.
    material: bytes | SigningKey = field(repr=False)
    #: When it may be used for new messages, in seconds since 1970.
    nbf: int = 0
    #: When it is of no use any more, in seconds since 1970; ``None`` for never.
    exp: int | None = None

    def __post_init__(self) -> None:
        signs = not isinstance(self.material, bytes)
        if signs is not (self.purpose == "identity"):
            raise ConfigError(f"the key {self.kid!r} is no key for the purpose {self.purpose}")
        if isinstance(self.material, bytes) and len(self.material) != SECRET_BYTES:
            raise ConfigError(f"the key {self.kid!r} has not {SECRET_BYTES} bytes")
        if not 1 <= len(self.kid) <= MOST_KID or not self.kid.isascii():
            raise ConfigError(f"a kid has 1 to {MOST_KID} ASCII characters")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Named keys. Every change makes a new ring.

    :raises ConfigError: where a name stands twice, or an active key is missing.
    """

    keys: tuple[Key, ...] = ()
    #: The name of the key for new messages, by purpose.
    active: tuple[tuple[Purpose, str], ...] = ()

    def __post_init__(self) -> None:
        names = [(key.purpose, key.kid) for key in self.keys]
        if len(set(names)) != len(names):
            raise ConfigError("two keys of one purpose have the same kid")
        if not set(self.active) <= set(names):
            raise ConfigError("an active key is not in the keyring")

    def get(self, purpose: Purpose, kid: str) -> Key | None:
        """The key of this name, and no other."""
        found: Key | None = None
        for key in self.keys:
            # Compared in constant time: names of ticket keys come from messages.
            if key.purpose == purpose and hmac.compare_digest(key.kid.encode(), kid.encode()):
                found = key
        return found

    def current(self, purpose: Purpose) -> Key:
        """The key for new messages.

        :raises ConfigError: where none is named.
        """
        key = self.get(purpose, dict(self.active).get(purpose, ""))
        if key is None:
            raise ConfigError(f"the keyring names no active key for the purpose {purpose}")
        return key

    def of(self, purpose: Purpose) -> Iterator[Key]:
        """All keys of a purpose."""
        return (key for key in self.keys if key.purpose == purpose)

    def add(self, key: Key, *, activate: bool = False) -> KeyRing:
        """The ring with one more key."""
        active = dict(self.active)
        if activate:
            active[key.purpose] = key.kid
        return KeyRing((*self.keys, key), tuple(sorted(active.items())))

    def activate(self, purpose: Purpose, kid: str) -> KeyRing:
        """The ring with another active key, which is in it already."""
        return replace(self, active=tuple(sorted({**dict(self.active), purpose: kid}.items())))

    def without_expired(self, now: int) -> KeyRing:
        """The ring without the keys that have expired, the active ones apart."""
        kept = (
            key
            for key in self.keys
            if key.exp is None or key.exp > now or (key.purpose, key.kid) in self.active
        )
        return replace(self, keys=tuple(kept))

    def to_json(self) -> bytes:
        """The ring as JSON, secrets included."""
        return json_encode(
            {"keys": [_to_jwk(key) for key in self.keys], "active": dict(self.active)}
        )

    @classmethod
    def from_json(cls, text: bytes) -> KeyRing:
        """Read a ring.

        :raises ConfigError: where it is none, with what is wrong.
        """
        try:
            value = json_decode(text, {"keys": list, "active": dict})
            keys = tuple(_from_jwk(jwk) for jwk in value["keys"])
            return cls(keys, tuple(sorted(value["active"].items())))
        except (ConfigError, Malformed, TypeError, ValueError, KeyError, AttributeError) as error:
            problem = str(error) if isinstance(error, ConfigError) else _NO_RING
        # Raised out here and without the text: error reports show the variables of frames.
        text, value, keys = b"", {}, ()
        raise ConfigError(problem)


def thumbprint(key: VerifyingKey) -> bytes:
    """The SHA-256 thumbprint of a public key (RFC 7638), 32 bytes."""
    return hashlib.sha256(json_encode(dict(sorted(public_jwk(key).items())))).digest()


def public_jwk(key: VerifyingKey) -> dict[str, str]:
    """A public key as a JWK (RFC 8037, RFC 7518), with its required members only."""
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": b64u_encode(key.public_bytes_raw())}
    numbers = key.public_numbers()
    x, y = (b64u_encode(n.to_bytes(_COORDINATE_BYTES)) for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def read_public_jwk(jwk: dict[str, Any]) -> VerifyingKey:
    """Read a public key.

    :raises Malformed: where it is none, or not on its curve.
    """
    texts = all(isinstance(value, str) for value in jwk.values())
    kind = (jwk.get("kty"), jwk.get("crv")) if texts else ()
    if not kind or _PUBLIC_MEMBERS.get(kind) != jwk.keys():
        raise Malformed("The JWK is no Ed25519 or P-256 public key.")
    x = b64u_decode(jwk["x"], _COORDINATE_BYTES)
    try:
        if "y" not in jwk:
            return Ed25519PublicKey.from_public_bytes(x)
        y = b64u_decode(jwk["y"], _COORDINATE_BYTES)
        numbers = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), SECP256R1())
        return numbers.public_key()
    except ValueError:
        pass
    raise Malformed("The JWK's point is not on its curve.")


def _to_jwk(key: Key) -> dict[str, object]:
    jwk: dict[str, object] = {"kid": key.kid, "purpose": key.purpose}
    if key.nbf:
        jwk["nbf"] = key.nbf
    if key.exp is not None:
        jwk["exp"] = key.exp
    if isinstance(key.material, bytes):
        return {**jwk, "kty": "oct", "k": b64u_encode(key.material)}
    if isinstance(key.material, Ed25519PrivateKey):
        private = key.material.private_bytes_raw()
    else:
        private = key.material.private_numbers().private_value.to_bytes(_COORDINATE_BYTES)
    return {**jwk, **public_jwk(key.material.public_key()), "d": b64u_encode(private)}


def _from_jwk(jwk: dict[str, Any]) -> Key:
    members = dict(jwk)
    named = {name: members.pop(name) for name in ("kid", "purpose")}
    times = {name: members.pop(name) for name in ("nbf", "exp") if name in members}
    if any(type(value) is not int for value in times.values()):
        raise ValueError
    return Key(**named, **times, material=_read_material(members))


def _read_material(members: dict[str, Any]) -> bytes | SigningKey:
    if members.get("kty") == "oct":
        if members.keys() != {"kty", "k"}:
            raise ValueError
        return b64u_decode(members["k"], SECRET_BYTES)
    private = b64u_decode(members.pop("d"), _COORDINATE_BYTES)
    public = read_public_jwk(members)
    key: SigningKey
    if isinstance(public, Ed25519PublicKey):
        key = Ed25519PrivateKey.from_private_bytes(private)
    else:
        numbers = EllipticCurvePrivateNumbers(int.from_bytes(private), public.public_numbers())
        key = numbers.private_key()
    if key.public_key() != public:
        raise ValueError
    return key
