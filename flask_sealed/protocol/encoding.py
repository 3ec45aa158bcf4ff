"""Strict encodings: one accepted form for every value, everything else is malformed."""

from __future__ import annotations

import binascii
from collections.abc import Callable

import pybase64

from ..errors import Malformed

_BAD_BASE64 = "The value is not canonical base64 (RFC 4648, section 4)."


#: Encode bytes as padded standard base64 (RFC 4648, section 4).
b64encode: Callable[[bytes | memoryview], bytes] = pybase64.b64encode


def b64decode(text: bytes | memoryview) -> bytearray:
    """Decode padded standard base64 in its one canonical form (RFC 4648, sections 3.5 and 4).

    White space, another alphabet, missing or extra padding and stray bits behind the last byte are
    refused.

    :raises Malformed: for anything else than the canonical form.
    """
    decoded = _decode(text)
    # The library lets stray bits pass. They can only be in the last four characters, because
    # every group before those is full.
    if decoded is None or pybase64.b64encode(_last_group(decoded)) != bytes(text[-4:]):
        raise Malformed(_BAD_BASE64)
    return decoded


def _decode(text: bytes | memoryview) -> bytearray | None:
    try:
        return pybase64.b64decode_as_bytearray(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _last_group(decoded: bytearray) -> bytearray:
    return decoded[-(len(decoded) % 3 or 3) :]
