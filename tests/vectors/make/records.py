"""records.json: streams of records, under a body key and a base nonce."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import accumulate

from .primitives import Case, file, fixed, flip, gcm, invalid, varint

DESCRIPTION = """
A stream of records under the body key and the base nonce of one half of an exchange.
`records` are the plaintexts (hex), the last one the final record's; `nonces` and `ciphertexts`
(the tag behind each) belong to them. The associated data is empty, and `final` for the last.
`stream` (hex) is what travels. Where it is long, `stream_sha256` (hex) stands in its place, and
the ciphertexts are left out: seal the records, compare the hash, and open what was sealed.
`length` is the number of bytes that the seal says, where it says one.
A stream opens the same however it comes. `pieces` are the sizes of pieces to feed, a hint at
where it is easy to go wrong; the rest comes in one more piece.
An invalid stream is refused at the latest at its end; what its first records had may have been
handed out by then. A length that is too large is refused before what it announces has come.
"""
KEY = fixed("records key", 32)
NONCE = fixed("records base nonce", 12)
_BASE = {"key": KEY.hex(), "base_nonce": NONCE.hex()}
_ABC = (b"alpha", b"beta", b"gamma")


def nonce(number: int, base: bytes = NONCE) -> bytes:
    return (int.from_bytes(base, "big") ^ number).to_bytes(12, "big")


def stream(
    records: tuple[bytes, ...] | list[bytes], key: bytes = KEY, base: bytes = NONCE
) -> list[bytes]:
    """The parts of a stream, as they travel."""
    return [
        _framed(gcm(key, nonce(number, base), plaintext))
        for number, plaintext in enumerate(records[:-1])
    ] + [varint(0) + gcm(key, nonce(len(records) - 1, base), records[-1], b"final")]


def records() -> Case:
    return file(DESCRIPTION, _valid(), [*_cut(), *_changed(), *_framing(), *_length()], _BASE)


def _framed(ciphertext: bytes, length: int | None = None) -> bytes:
    return varint(len(ciphertext), length) + ciphertext


def _valid() -> Iterator[Case]:
    yield _good("a final record only", [b"hello"])
    yield _good("nothing: an empty final record", [b""])
    yield _good("three records", list(_ABC))
    yield _good("an empty final record behind others", [b"alpha", b"beta", b""])
    yield _good("records of one byte", [b"a", b"b", b"c", b""])
    yield {**_good("the length that the seal says", list(_ABC)), "length": 14}
    yield {**_good("no bytes, as the seal says", [b""]), "length": 0}
    yield _good("more records than a byte counts", [b"x"] * 257 + [b""], short=True)
    yield _good("the longest varint of one byte: 47 bytes", [bytes(47), b""])
    yield _good("the shortest varint of two bytes: 48 bytes", [bytes(48), b""])
    for name, size in {
        "the longest varint of two bytes: 16 367 bytes": 16_367,
        "the shortest varint of four bytes: 16 368 bytes": 16_368,
        "the largest record: 65 536 bytes": 65_536,
    }.items():
        yield _good(name, [bytes(size), b"end"], short=True)
    yield _good("the largest final record: 65 536 bytes", [bytes(65_536)], short=True)


def _good(name: str, plaintexts: list[bytes], short: bool = False) -> Case:
    parts = stream(plaintexts)
    whole = b"".join(parts)
    case: Case = {"name": name, **_BASE, "records": [_hex(plain) for plain in plaintexts]}
    # In the middle of a varint, one byte before, and just behind the end of each part.
    ends = list(accumulate(len(part) for part in parts))[:3]
    points = sorted(
        {1, 2, *(end + off for end in ends for off in (-1, 0, 1))} & {*range(len(whole))}
    )
    pieces = [after - before for before, after in zip([0, *points], points, strict=False)]
    if short:
        return {**case, "pieces": pieces, "stream_sha256": hashlib.sha256(whole).hexdigest()}
    sealed = [gcm(KEY, nonce(number), plain) for number, plain in enumerate(plaintexts[:-1])]
    final = gcm(KEY, nonce(len(sealed)), plaintexts[-1], b"final")
    return {
        **case,
        "nonces": [nonce(number).hex() for number in range(len(plaintexts))],
        "ciphertexts": [one.hex() for one in (*sealed, final)],
        "pieces": pieces,
        "stream": whole.hex(),
    }


def _hex(data: bytes) -> object:
    if len(data) > 256 and not any(data):
        return {"repeat": ["00", len(data)]}
    return data.hex()


def _bad(name: str, row: str, data: bytes | Case, **changes: object) -> Case:
    text = data.hex() if isinstance(data, bytes) else data
    return invalid(name, row, {**_BASE, "stream": text}, **changes)


def _cut() -> Iterator[Case]:
    parts = stream(_ABC)
    whole = b"".join(parts)
    first = len(parts[0])
    cuts = {
        "empty": 0,
        "cut in the first record": first - 1,
        "cut behind a varint": first + 1,
        "cut behind the first record": first,
        "without the final record": len(whole) - len(parts[2]),
        "cut behind the final record's zero": len(whole) - len(parts[2]) + 1,
        "the final record shorter than a tag": len(whole) - len(parts[2]) + 16,
    }
    for name, end in cuts.items():
        yield _bad(name, "R73", whole[:end])
    yield _bad("cut in a varint of two bytes", "R73", stream([bytes(48), b""])[0][:1])
    yield _bad("cut in the final record", "R72", whole[:-1])


def _changed() -> Iterator[Case]:
    a, b, c = stream(_ABC)
    plain_final = gcm(KEY, nonce(2), b"gamma")
    orders = {
        "two records exchanged": b + a + c,
        "the first record missing": b + c,
        "a record in the middle missing": a + c,
        "a record repeated": a + a + b + c,
        "the final record as another one": a + b + _framed(c[1:]) + c,
        "another record as the final one": a + varint(0) + b[1:],
        "extended by a byte": a + b + c + b"\0",
        "extended by another final record": a + b + c + c,
        "extended by a record": a + b + c + _framed(gcm(KEY, nonce(3), b"delta")),
        "a final record without its associated data": a + b + varint(0) + plain_final,
        "a record with the final one's associated data": (
            _framed(gcm(KEY, nonce(0), b"alpha", b"final")) + b + c
        ),
        "the varint as associated data": _framed(gcm(KEY, nonce(0), b"alpha", a[:1])) + b + c,
        "a bit of a ciphertext flipped": flip(a, 1) + b + c,
        "a bit of a tag flipped": a + flip(b, -1) + c,
        "a bit of the final ciphertext flipped": a + b + flip(c, 1),
        "a bit of the final tag flipped": a + b + flip(c, -1),
        "a tag of 12 bytes": _framed(a[1:-4]) + b + c,
        "the final record's tag ahead": a + b + varint(0) + c[-16:] + c[1:-16],
    }
    for name, data in orders.items():
        yield _bad(name, "R72", data)
    yield from _other_keys(a + b + c)
    yield from _counters()


def _other_keys(whole: bytes) -> Iterator[Case]:
    yield _bad("another key", "R72", whole, key=fixed("another key", 32).hex())
    yield _bad("another base nonce", "R72", whole, base_nonce=flip(NONCE, 0).hex())
    yield _bad(
        "the nonce of the second record as base nonce", "R72", whole, base_nonce=nonce(1).hex()
    )


def _counters() -> Iterator[Case]:
    """Streams of sealers that count in another way."""
    shifted = int.from_bytes(NONCE, "big")
    ways = {
        "a counter that starts at 1": [nonce(1), nonce(2)],
        "a counter that stands still": [nonce(0), nonce(0)],
        "a counter that is little-endian": [
            NONCE,
            (shifted ^ 1 << 88).to_bytes(12, "big"),
        ],
        "a counter of 32 bits ahead of the others": [
            NONCE,
            (shifted ^ 1 << 64).to_bytes(12, "big"),
        ],
        "the counter alone as nonce": [bytes(12), bytes(11) + b"\1"],
        "a counter that the final record has not": [nonce(0), bytes(12)],
    }
    for name, (first, second) in ways.items():
        data = _framed(gcm(KEY, first, b"alpha")) + b"\0" + gcm(KEY, second, b"beta", b"final")
        yield _bad(name, "R72", data)


def _framing() -> Iterator[Case]:
    a, b, c = stream(_ABC)
    sealed = a[1:]
    yield _bad("a varint of two bytes for 21", "R69", _framed(sealed, 2) + b + c)
    yield _bad("a varint of four bytes for 21", "R69", _framed(sealed, 4) + b + c)
    yield _bad("a varint of eight bytes for 21", "R68", _framed(sealed, 8) + b + c)
    yield _bad("the final zero in two bytes", "R69", a + b + varint(0, 2) + c[1:])
    yield _bad("the final zero in four bytes", "R69", a + b + varint(0, 4) + c[1:])
    yield _bad("the final zero in eight bytes", "R68", a + b + varint(0, 8) + c[1:])
    yield _bad("a length of 65 553, and nothing else", "R70", varint(65_553))
    yield _bad("a length of 2^30 - 1", "R70", varint(2**30 - 1))
    yield _bad("the first byte of a varint of eight", "R68", b"\xc0")
    yield _bad(
        "a final record of 65 537 bytes",
        "R70",
        {"join": [varint(0).hex(), {"repeat": ["00", 65_553]}]},
    )
    empty = _framed(gcm(KEY, nonce(0), b""))
    yield _bad("an empty record that is not the final one", "R71", empty + stream([b""])[0])
    for size in (1, 15):
        yield _bad(f"a record of {size} bytes, tag included", "R71", _framed(bytes(size)) + c)
    yield _bad("no framing", "R73", bytes([40]) + bytes(39))
    yield _bad("an envelope", "R73", b'{"data":"AAAA"}')


def _length() -> Iterator[Case]:
    whole = b"".join(stream(_ABC))
    yield _bad("a byte less than the seal says", "R75", whole, length=15)
    yield _bad("a byte more than the seal says", "R75", whole, length=13)
    yield _bad("bytes where the seal says none", "R75", whole, length=0)
    yield _bad("none where the seal says some", "R75", b"".join(stream([b""])), length=1)
