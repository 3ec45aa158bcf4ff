"""The compact JWE of a seal: ``dir`` with ``A256GCM``, in its one strict form (RFC 7516).

A seal is parsed before its key is known, since the key's name is in it, and opened afterwards.
What is authenticated is the protected header's characters as they were received.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import Malformed, Refused, TooLarge
from .encoding import b64u_decode, b64u_encode, json_encode

IV_BYTES = 12
TAG_BYTES = 16
#: The members that every protected header has, with their only values.
ALGORITHMS = {"alg": "dir", "enc": "A256GCM"}

_FORM = (
    "The seal is not a compact JWE with five parts, an empty key, a 12-byte IV and a 16-byte tag."
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A seal in its parts; nothing in it is authenticated yet."""

    #: The protected header's characters, as received: the associated data.
    protected: bytes
    #: The protected header's JSON text.
    header: bytes
    iv: bytes
    #: The ciphertext, with the tag behind it.
    sealed: bytes


def seal(key: AESGCM, header: dict[str, object], plaintext: bytes, *, iv: bytes) -> str:
    """Seal bytes into a compact JWE.

    :param header: the protected header's members, ``alg`` and ``enc`` apart.
    :param iv: 12 bytes, never used with this key before.
    """
    protected = b64u_encode(json_encode({**ALGORITHMS, **header}))
    sealed = key.encrypt(iv, plaintext, protected.encode())
    parts = (protected, "", b64u_encode(iv), b64u_encode(sealed[:-TAG_BYTES]))
    return ".".join((*parts, b64u_encode(sealed[-TAG_BYTES:])))


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
    return Parsed(
        # Decoded first: what is not base64url may be no ASCII either.
        header=b64u_decode(protected),
        protected=protected.encode(),
        iv=b64u_decode(iv, IV_BYTES),
        sealed=b64u_decode(ciphertext) + b64u_decode(tag, TAG_BYTES),
    )


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
