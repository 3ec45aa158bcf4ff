"""The envelope ``{"data": base64(iv ‖ tag ‖ ciphertext)}``: sealed, and still valid JSON.

Level 3 uses it with one static key, byte for byte as the clients of the article
"Level 3: HTTPS + JWT + AES" do.
"""

from __future__ import annotations

import re
from io import BytesIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import Malformed, Refused, TooLarge
from .encoding import b64decode, b64encode

IV_BYTES = 12
TAG_BYTES = 16
# A multiple of three, so that slices of it are base64 without padding.
_SLICE = 48 * 1024
OVERHEAD_BYTES = IV_BYTES + TAG_BYTES
# The library counts a message's bytes in a C int. It panics over longer ones, with an exception
# that is no `Exception`, so none may reach it. A multiple of three, as base64 counts.
_MOST_BYTES = 2**31 - 2
_MOST_CHARACTERS = _MOST_BYTES // 3 * 4

_START, _END = b'{"data":"', b'"}'
_HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"data"[ \t\r\n]*:[ \t\r\n]*"')
_TAIL = re.compile(rb'"[ \t\r\n]*\}[ \t\r\n]*')

_NOT_AN_ENVELOPE = (
    'The body is not an envelope: exactly {"data": "<base64>"}, no other member, and no escapes'
    " in the string."
)
_TOO_SHORT = (
    f"The envelope is too short: a {IV_BYTES}-byte IV and a {TAG_BYTES}-byte tag come before the"
    " ciphertext."
)


def seal(key: AESGCM, plaintext: bytes, *, iv: bytes, aad: bytes = b"") -> bytes:
    """Seal bytes into an envelope.

    :param key: an AES-256-GCM key.
    :param plaintext: any number of bytes, as they are; Level 3 clients expect UTF-8 JSON.
    :param iv: 12 random bytes, never used with this key before (NIST SP 800-38D, section 8.2.2).
    :param aad: bytes that the opener must know too, and that do not travel.
    :returns: the envelope, a JSON object in ASCII.
    """
    sealed = key.encrypt(iv, plaintext, aad)
    if len(plaintext) <= _SLICE:
        return b'{"data":"%b"}' % b64encode(iv + sealed[-TAG_BYTES:] + sealed[:-TAG_BYTES])
    return _encode_in_slices(iv, memoryview(sealed))


def open_(key: AESGCM, envelope: bytes, *, aad: bytes = b"") -> bytes:
    """Open an envelope.

    :param key: the AES-256-GCM key that it was sealed with.
    :param envelope: the JSON text, as received.
    :param aad: the bytes that it was sealed with.
    :returns: the plaintext.
    :raises Malformed: when it has not the form of an envelope.
    :raises TooLarge: when it holds more than 2³¹ - 2 bytes, which is found before any is decoded.
    :raises Refused: when it does not open with this key and these associated bytes.
    """
    data = _data(envelope)
    if len(data) > _MOST_CHARACTERS:
        raise TooLarge(f"An envelope holds {_MOST_BYTES} bytes at the most.")
    sealed = b64decode(data)
    if len(sealed) < OVERHEAD_BYTES:
        raise Malformed(_TOO_SHORT)
    iv = sealed[:IV_BYTES]
    sealed += sealed[IV_BYTES:OVERHEAD_BYTES]  # the tag goes behind the ciphertext
    plaintext = _decrypt(key, iv, memoryview(sealed)[OVERHEAD_BYTES:], aad)
    if plaintext is None:
        raise Refused
    return plaintext


def _encode_in_slices(iv: bytes, sealed: memoryview) -> bytes:
    """The envelope of a large message, with no second copy of it in memory.

    The allocator hands large blocks back to the system, and fetching them anew costs several times
    what the encryption does.
    """
    ciphertext, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
    # Groups of three bytes: the 28 bytes ahead of the ciphertext take two more to be whole.
    head = b"".join((iv, tag, ciphertext[:2]))
    groups = (len(head) + len(ciphertext)) // 3  # the head's two bytes stand for rounding up
    out = BytesIO(bytes(len(b'{"data":""}') + 4 * groups))
    out.write(b'{"data":"%b' % b64encode(head))
    for start in range(2, len(ciphertext), _SLICE):
        out.write(b64encode(ciphertext[start : start + _SLICE]))
    out.write(b'"}')
    return out.getvalue()


def _data(envelope: bytes) -> memoryview:
    """The characters of the one string, not copied.

    JSON is not parsed here: all but the string is a few characters that two patterns match, and a
    quote or a backslash inside the string is no base64.
    """
    if envelope.startswith(_START) and envelope.endswith(_END):  # as it is written here
        return memoryview(envelope)[len(_START) : -len(_END)]
    head = _HEAD.match(envelope)
    end = envelope.rfind(b'"')
    if head is None or end < head.end() or not _TAIL.fullmatch(envelope, end):
        raise Malformed(_NOT_AN_ENVELOPE)
    return memoryview(envelope)[head.end() : end]


def _decrypt(key: AESGCM, iv: bytearray, sealed: memoryview, aad: bytes) -> bytes | None:
    # None instead of an error here, so that the refusal is raised outside of an `except` block:
    # monitoring reads the frames of an exception's `__context__` too.
    try:
        return key.decrypt(iv, sealed, aad)
    except InvalidTag:
        return None
