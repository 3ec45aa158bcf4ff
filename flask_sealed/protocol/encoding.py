"""Strict encodings: one accepted form for every value, everything else is malformed."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable
from typing import Any, NoReturn

import pybase64

from ..errors import Malformed

_BAD_BASE64 = "The value is not canonical base64 (RFC 4648)."
# To the standard alphabet, whose own two characters become none of any alphabet.
_TO_STANDARD = bytes.maketrans(b"-_+/", b"+/!!")
_BAD_JSON = "The value is not the JSON object that belongs here."


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


def b64u_encode(data: bytes) -> str:
    """Encode bytes as base64url without padding (RFC 7515, section 2)."""
    return pybase64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64u_decode(text: str | bytes, length: int | None = None) -> bytes:
    """Decode base64url without padding, in its one canonical form.

    :param length: the number of bytes that it has to be, where only one is right.
    :raises Malformed: for anything else than the canonical form, or another length.
    """
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        padded = raw.translate(_TO_STANDARD) + b"=" * (-len(raw) % 4)
        decoded = pybase64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        decoded = None
    if (
        decoded is None
        or raw != b64u_encode(decoded).encode()
        or len(decoded) != (len(decoded) if length is None else length)
    ):
        raise Malformed(_BAD_BASE64)
    return decoded


def lv(data: bytes) -> bytes:
    """Length-prefix bytes with their length, 2 bytes big-endian."""
    return len(data).to_bytes(2) + data


def json_encode(value: object) -> bytes:
    """Encode JSON compactly, in UTF-8."""
    return _encoder(value).encode()


def json_decode(
    data: bytes, required: dict[str, type], optional: dict[str, type] | None = None
) -> dict[str, Any]:
    """Decode a JSON object that is a closed set of members, each of one type.

    :param required: the members that it has to have, and their types.
    :param optional: those that it may have.
    :raises Malformed: for anything else: other, double or missing members, other types, numbers
        that are no integers, lone surrogates, another encoding than UTF-8.
    """
    try:
        value = _decoder(data.decode())
        if b"\\u" in data:
            json_encode(value)  # Fails for lone surrogates, which only an escape can bring.
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Malformed(_BAD_JSON)
    _check_members(value, required, optional or {})
    return value


def _check_members(
    value: dict[str, Any], required: dict[str, type], optional: dict[str, type]
) -> None:
    for name, member in value.items():
        # `type` and not `isinstance`: True is no number here.
        if type(member) is not (required.get(name) or optional.get(name)):
            raise Malformed(_BAD_JSON)
    if not required.keys() <= value.keys():
        raise Malformed(_BAD_JSON)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _no_number(_: str) -> NoReturn:
    raise ValueError


_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_no_number, parse_constant=_no_number
).decode
