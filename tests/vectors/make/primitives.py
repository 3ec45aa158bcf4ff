"""What all files are made of: fixed bytes, encodings, HKDF, AES-256-GCM."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..rows import ROWS

#: One case of a file, or a part of it.
Case = dict[str, Any]
_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def fixed(label: str, length: int) -> bytes:
    """Bytes that look random and are always the same."""
    return hashlib.shake_256(label.encode()).digest(length)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def next_character(character: str) -> str:
    """The one behind in the alphabet of base64url: for a last character, a stray bit."""
    return _ALPHABET[_ALPHABET.index(character) + 1]


def unb64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value: object) -> str:
    """JSON without white space."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def lv(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256."""
    key = hmac.digest(salt or bytes(32), secret, "sha256")
    block = out = b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]


def gcm(key: bytes, iv: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    """AES-256-GCM; the tag is behind the ciphertext."""
    return AESGCM(key).encrypt(iv, plaintext, aad)


def flip(data: bytes, at: int) -> bytes:
    """The same bytes with one bit changed."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def varint(value: int, length: int | None = None) -> bytes:
    """RFC 9000, section 16; of a given length, which may be longer than needed."""
    length = length or next(size for size in (1, 2, 4, 8) if value < 1 << (8 * size - 2))
    prefix = {1: 0, 2: 1, 4: 2, 8: 3}[length]
    return (prefix << (8 * length - 2) | value).to_bytes(length, "big")


def padme(length: int) -> int:
    """The Padmé length, as its authors write it."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    zeros = exponent - exponent.bit_length()
    mask = (1 << zeros) - 1
    return (length + mask) & ~mask


def ending(data: bytes, end: bytes, name: str) -> object:
    """Bytes in hex; an end that is the member ``name`` of what is given is not written out."""
    if not end or not data.endswith(end):
        return data.hex()
    ahead = data.removesuffix(end).hex()
    return {"join": [ahead, {"given": name}]} if ahead else {"given": name}


def without(members: Case, *names: str) -> Case:
    """The same members but these."""
    return {name: value for name, value in members.items() if name not in names}


def refused(row: str) -> Case:
    """The row of what must be rejected that a case shows, and the refusal that stands there."""
    return {"row": row, "refusal": ROWS[row].refusal}


def invalid(name: str, row: str, base: Case, **changes: object) -> Case:
    """A case with one fault: the members of another with changes; ``None`` removes one."""
    members = {key: value for key, value in (base | changes).items() if value is not None}
    return {"name": name, **without(members, "name"), **refused(row)}


_GIVEN = """
An invalid case has one fault. `row` names it in the table of what must be rejected, which is in
docs/protocol.rst, and `refusal` is the one that stands there.
Cases have the members of `given` too, unless they say otherwise.
In the place of a text may stand {"repeat": ["x", 5]} for xxxxx, {"given": "x"} for the member `x`
of `given`, and {"join": […]} for the parts of a list, one behind the other.
"""
_START, _INSIDE = "_start", "_inside"


def file(
    description: str, valid: Iterable[Case], refused: Iterable[Case], given: Case | None = None
) -> Case:
    """The content of a file.

    :param given: members that most cases have, and that stand once for all of them. What other
        texts start with has a name that ends with ``_start``; what is inside of them, ``_inside``.
    """
    given = given or {}
    cases = {"valid": [_shorter(case, given) for case in valid]}
    cases["invalid"] = [_shorter(case, given) for case in refused]
    lines = (description.strip() + _GIVEN).strip().splitlines()
    return {"description": lines, "given": given, **cases}


def _shorter(case: Case, given: Case) -> Case:
    pieces = {name: text for name, text in given.items() if name.endswith((_START, _INSIDE))}
    return {
        name: _in_parts(value, pieces)
        for name, value in case.items()
        if name not in given or value != given[name]
    }


def _in_parts(value: object, pieces: dict[str, str]) -> object:
    """A value whose texts do not repeat the pieces that many have."""
    if isinstance(value, dict):
        return {name: _in_parts(part, pieces) for name, part in value.items()}
    if isinstance(value, list):
        return [_in_parts(part, pieces) for part in value]
    if not isinstance(value, str):
        return value
    parts: list[object] = []
    for name, piece in pieces.items():
        ahead, found, behind = value.partition(piece)
        if found and not (ahead and name.endswith(_START)):
            parts += [ahead, {"given": name}] if ahead else [{"given": name}]
            value = behind
    return {"join": [*parts, value]} if parts else value
