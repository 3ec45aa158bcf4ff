"""The compact JWE of a seal: ``dir`` with ``A256GCM``, in its one strict form (RFC 7516).

A seal is parsed before its key is known, since the key's name is in it, and opened afterwards.
What is authenticated is the protected header's characters as they were received.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import Malformed, Refused, TooLarge
from .encoding import b64u_decode, b64u_encode

IV_BYTES = 12
TAG_BYTES = 16
_IV_CHARACTERS = 16
#: The members that every protected header has, with their only values.
ALGORITHMS = {"alg": "dir", "enc": "A256GCM"}

_FORM = (
    "The seal is not a compact JWE with five parts, an empty key, a 12-byte IV and a 16-byte tag."
)


class Parsed(NamedTuple):
    """A seal in its parts; nothing in it is authenticated yet."""

    #: The protected header's characters, as received: the associated data.
    protected: bytes
    #: The protected header's JSON text.
    header: bytes
    iv: bytes
    #: The ciphertext, with the tag behind it.
    sealed: bytes


def seal(key: AESGCM, header: bytes, plaintext: bytes, *, iv: bytes) -> str:
    """Seal bytes into a compact JWE.

    :param header: the protected header, a JSON text whose members include :data:`ALGORITHMS`.
    :param iv: 12 bytes, never used with this key before.
    """
    protected = b64u_encode(header)
    sealed = key.encrypt(iv, plaintext, protected.encode())
    # Groups of three bytes are four characters, so the IV's end where the ciphertext's begin.
    text, tag = b64u_encode(iv + sealed[:-TAG_BYTES]), b64u_encode(sealed[-TAG_BYTES:])
    return f"{protected}..{text[:_IV_CHARACTERS]}.{text[_IV_CHARACTERS:]}.{tag}"


def parse(compact: str, most: int) -> Parsed:
    """Take a seal apart.

    :param most: the most characters that it may have.
    :raises TooLarge: where it has more.
    :raises Malformed: where its form is broken.
    """
    if len(compact) > most:
        raise TooLarge(f"A seal has {most} characters at the most.")
    parts = compact.split(".")
    if len(parts) != 5 or parts[1]:
        raise Malformed(_FORM)
    protected, _, iv, ciphertext, tag = parts
    if len(iv) != _IV_CHARACTERS:
        raise Malformed(_FORM)
    # Decoded first: what is not base64url may be no ASCII either.
    header = b64u_decode(protected)
    sealed = b64u_decode(iv + ciphertext)
    tag_bytes = b64u_decode(tag, TAG_BYTES)
    return Parsed(protected.encode(), header, sealed[:IV_BYTES], sealed[IV_BYTES:] + tag_bytes)


def open_(key: AESGCM, parsed: Parsed) -> bytes:
    """Open a parsed seal.

    :returns: the plaintext; from here on, the header is authenticated too.
    :raises Refused: where it does not open with this key.
    """
    plaintext = _decrypt(key, parsed)
    if plaintext is None:
        raise Refused
    return plaintext


def _decrypt(key: AESGCM, parsed: Parsed) -> bytes | None:
    # None instead of an error here: see `envelope._decrypt`.
    try:
        return key.decrypt(parsed.iv, parsed.sealed, parsed.protected)
    except InvalidTag:
        return None
