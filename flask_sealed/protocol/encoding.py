"""Strict encodings: one accepted form for every value, everything else is malformed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

import pybase64

from ..errors import Malformed

_BAD_BASE64 = "The value is not canonical base64 (RFC 4648)."
_URL_SAFE = b"-_"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# By the length modulo 4: what the last character may be, so that no bits stay behind the last
# byte, and the padding.
_LAST = (_ALPHABET, "", _ALPHABET[::16], _ALPHABET[::4])
_WHITE_SPACE = " \t\r\n"
# The largest that JavaScript's numbers hold exactly (RFC 8259, section 6).
_MOST_INTEGER = 2**53 - 1
_MOST_DIGITS = len(str(_MOST_INTEGER))
_PADDING = ("", "", "==", "=")
_BAD_JSON = "The value is not the JSON object that belongs here."


_strictly: Callable[[str, bytes, bool], bytes] = pybase64.b64decode
_to_bytearray: Callable[[bytes | memoryview, None, bool], bytearray] = (
    pybase64.b64decode_as_bytearray
)
_as_text: Callable[[bytes, bytes], str] = pybase64.b64encode_as_string

#: Encode bytes as padded standard base64 (RFC 4648, section 4).
b64encode: Callable[[bytes | bytearray | memoryview], bytes] = pybase64.b64encode


def b64decode(text: bytes | memoryview) -> bytearray:
    """Decode padded standard base64 in its one canonical form (RFC 4648, sections 3.5 and 4).

    White space, another alphabet, missing or extra padding and stray bits behind the last byte are
    refused.

    :raises Malformed: for anything else than the canonical form.
    """
    decoded: bytearray | None
    try:
        decoded = _to_bytearray(text, None, True)
    except ValueError:  # binascii.Error is one
        decoded = None
    # The library lets stray bits pass. They can only be in the last four characters, because
    # every group before those is full.
    if decoded is None or b64encode(decoded[-(len(decoded) % 3 or 3) :]) != text[-4:]:
        raise Malformed(_BAD_BASE64)
    return decoded


def b64u_encode(data: bytes) -> str:
    """Encode bytes as base64url without padding (RFC 7515, section 2)."""
    return _as_text(data, _URL_SAFE).rstrip("=")


def b64u_decode(text: str, length: int | None = None) -> bytes:
    """Decode base64url without padding, in its one canonical form.

    :param length: the number of bytes that it has to be, where only one is right.
    :raises Malformed: for anything else than the canonical form, or another length.
    """
    decoded = None
    try:
        rest = len(text) % 4
        # The library takes the standard alphabet's own two characters too.
        if text[-1:] in _LAST[rest] and "+" not in text and "/" not in text:
            decoded = _strictly(text + _PADDING[rest], _URL_SAFE, True)
    except ValueError:  # binascii.Error is one
        decoded = None
    if decoded is None or (length is not None and len(decoded) != length):
        raise Malformed(_BAD_BASE64)
    return decoded


def lv(data: bytes) -> bytes:
    """Length-prefix bytes with their length, 2 bytes big-endian."""
    return len(data).to_bytes(2) + data


def json_encode(value: object) -> bytes:
    """Encode JSON compactly, in UTF-8."""
    return json_text(value).encode()


class Members:
    """Which members a JSON object has, and their types: a closed set.

    :param required: the members that it has to have.
    :param optional: those that it may have.
    """

    def __init__(self, required: dict[str, type], optional: dict[str, type] | None = None) -> None:
        self.kinds = required | (optional or {})
        self.required = frozenset(required)


def json_decode(data: bytes, members: Members) -> dict[str, Any]:
    """Decode a JSON object that is a closed set of members.

    :raises Malformed: for anything else: other, double or missing members, other types, numbers
        that are no integers from 0 to 2⁵³ - 1, lone surrogates, another encoding than UTF-8.
    """
    try:
        text = data.decode().strip(_WHITE_SPACE)
        value, end = _scan(text, 0)
        if b"\\" in data:
            json_encode(value)  # Fails for lone surrogates, which only an escape can bring.
    except (ValueError, RecursionError, StopIteration):
        value, text, end = None, "", 0
    if type(value) is not dict or end != len(text) or not members.required <= value.keys():
        raise Malformed(_BAD_JSON)
    kinds = members.kinds
    for name, member in value.items():
        # `type` and not `isinstance`: True is no number here.
        if type(member) is not kinds.get(name):
            raise Malformed(_BAD_JSON)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _natural(text: str) -> int:
    # The length first: to read a long number takes its time. -0 has another form.
    if len(text) > _MOST_DIGITS or text[0] == "-" or (value := int(text)) > _MOST_INTEGER:
        raise ValueError
    return value


def _no_number(_: str) -> NoReturn:
    raise ValueError


#: Encode JSON compactly.
json_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_decoder = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_natural,
    parse_float=_no_number,
    parse_constant=_no_number,
)
# What `decode` calls, without its search for white space. StopIteration says that there is none.
_scan: Callable[[str, int], tuple[Any, int]] = vars(_decoder)["scan_once"]
