"""Keys, read from text. What cannot be a secret is refused."""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import ConfigError, Malformed
from .encoding import b64decode

KEY_BYTES = 32

_HEX = re.compile(r"[0-9A-Fa-f]{64}")
# 32 random bytes have about 30 different values; 16 or fewer come once in more than 10**14 keys.
_FEWEST_VALUES = 17
# Keys that stand in standards and manuals, and have more values than that.
_PUBLISHED = frozenset(
    bytes.fromhex(text)
    for text in (
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",  # FIPS 197, RFC 7516
        "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
        "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100",
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",  # NIST SP 800-38A
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",  # RFC 8439
        "b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",  # NIST GCM vectors
    )
)


def level3_key(text: str) -> AESGCM:
    """Read the static key of the Level 3 profile.

    :param text: 32 bytes, as 64 hex digits or as padded standard base64.
    :raises ConfigError: when it is no such key, or one that anybody could know.
    """
    secret = _read(text)
    if secret is None:
        raise ConfigError(
            f"it must be {KEY_BYTES} bytes, as 64 hex digits or as padded base64; make one with"
            " `flask sealed keygen`"
        )
    if secret in _PUBLISHED or len(set(secret)) < _FEWEST_VALUES:
        raise ConfigError(
            "it is an example or was typed by hand, so others can know it; make one with"
            " `flask sealed keygen`"
        )
    return AESGCM(secret)


def _read(text: str) -> bytes | None:
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        secret = bytes(b64decode(text.encode()))
    except (Malformed, UnicodeEncodeError):
        return None
    return secret if len(secret) == KEY_BYTES else None
