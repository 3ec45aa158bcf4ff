"""No key of this package is one that tokens are signed with too.

Else what one side signs could be taken by the other for its own, and who may know the one, as
clients know a pre-shared key, could make the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_public_key,
)

from .config import Settings
from .errors import ConfigError, Malformed
from .protocol.encoding import b64decode, b64u_decode
from .protocol.jwk import KEY_BYTES, VerifyingKey, secret_bytes, thumbprint

_LOADERS: tuple[Callable[[bytes], Any], ...] = (
    lambda pem: load_pem_private_key(pem, None).public_key(),
    load_pem_public_key,
    load_ssh_public_key,
)
_DECODERS: tuple[Callable[[str], bytes | bytearray], ...] = (
    bytes.fromhex,
    lambda text: b64decode(text.encode()),
    lambda text: b64u_decode(text, KEY_BYTES),
)
_NONCE = bytes(12)
_OWN = "tokens need a key of their own, which nothing else is signed or sealed with"


def demand_other_keys(config: Mapping[str, Any], settings: Settings) -> None:
    """Make sure that the keys of flask-jwt-extended are none of the keyring's.

    :raises ConfigError: where one is.
    """
    for name in ("JWT_PRIVATE_KEY", "JWT_PUBLIC_KEY"):
        if _is_identity(config.get(name), settings):
            raise ConfigError(f"{name} is an identity key of the keyring; {_OWN}")
    name = "SECRET_KEY" if config.get("JWT_SECRET_KEY") is None else "JWT_SECRET_KEY"
    if is_own_secret(config.get(name), settings):
        raise ConfigError(f"{name} is a secret of Flask-Sealed too; {_OWN}")


def _is_identity(value: object, settings: Settings) -> bool:
    if settings.keyring is None or value is None:
        return False
    public = _public_key(value)
    if isinstance(public, EllipticCurvePublicKey) and not isinstance(public.curve, SECP256R1):
        return False
    if not isinstance(public, VerifyingKey):
        return False
    prints = [key.thumbprint for key in settings.keyring.ring().keys]
    return thumbprint(public) in prints


def _public_key(value: Any) -> object:
    """The public half of whatever PyJWT takes for a key that signs or verifies."""
    value = getattr(value, "key", value)  # of a `jwt.PyJWK`
    if hasattr(value, "public_key"):
        return value.public_key()
    data = value.encode() if isinstance(value, str) else value
    for load in _LOADERS if isinstance(data, bytes) else ():
        try:
            return load(data)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
    return value


def is_own_secret(value: object, settings: Settings) -> bool:
    """Whether a value, as bytes or as text, is a secret of the keyring or the Level 3 key."""
    ring = None if settings.keyring is None else settings.keyring.ring()
    secrets = set() if ring is None else {secret_bytes(key.material) for key in ring.keys}
    for candidate in _readings(value):
        if candidate in secrets or _is_key(settings.level3_key, candidate):
            return True
    return False


def _readings(value: object) -> Iterator[bytes]:
    """The 32 bytes that a secret may stand for, as it is and as text."""
    if isinstance(value, bytes):
        yield value
        value = value.decode("latin-1")
    if isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
        for decode in _DECODERS:
            try:
                yield bytes(decode(value.strip()))
            except (Malformed, ValueError):
                continue


def _is_key(key: AESGCM | None, secret: bytes) -> bool:
    if key is None or len(secret) != KEY_BYTES:
        return False
    try:
        # Nobody sees this ciphertext, so the nonce is as good as any.
        AESGCM(secret).decrypt(_NONCE, key.encrypt(_NONCE, b"", None), None)
    except InvalidTag:
        return False
    return True
