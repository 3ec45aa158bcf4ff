"""HKDF with SHA-256 (RFC 5869), by which every key of the protocol is derived."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# Made once, since to make one takes its time; it holds no state.
_SHA256 = SHA256()


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Derive keys from a secret.

    :param secret: the input keying material; any number of bytes.
    :param salt: need not be secret; none is as good as 32 zeros (section 2.2).
    :param info: what the keys are for.
    :param length: how many bytes, 255 * 32 at the most.
    """
    return HKDF(_SHA256, length, salt, info).derive(secret)
