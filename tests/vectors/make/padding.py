"""padding.json: the Padmé lengths, and envelopes whose content is padded."""

from __future__ import annotations

from collections.abc import Iterator

from .halves import GIVEN, STARTS, request, response
from .primitives import Case, file, padme, refused

DESCRIPTION = """
`kind` `padme`: `padded` are the Padmé lengths of so many bytes as `lengths` says.
`opened`: an exchange's half with an envelope. A server opens those of `half` `request`; the client
that made the request `jti` those of `half` `response`. The whole plaintext (hex) is `plaintext`;
what comes out is `content` (hex). The seal says the `length` of the content, if it says one, and
in `hlen` how many bytes of headers are ahead of it.
`routed`, `now` and `store` matter to a server: see exchange.json.
"""
_LENGTHS = {
    "up to 100": [*range(101)],
    "around powers of two": [2**n + more for n in range(7, 32) for more in (-1, 0, 1)],
    "beyond 32 bits": [2**32 - 1, 2**32, 2**32 + 1, 10**12, 2**52 + 1],
}
# What stands for the others in requests.
_BOTH = (
    *("padded", "a length, and no padding", "no length: zeros are content"),
    *("the last byte of padding is not zero", "a byte of padding too few"),
    *("padding up to a power of two", "a byte less than the length"),
)
_HEADERS = b'[["etag","x"]]'


def padding() -> Case:
    lengths = [
        {
            "name": f"Padmé lengths {name}",
            "kind": "padme",
            "lengths": lengths,
            "padded": [padme(length) for length in lengths],
        }
        for name, lengths in _LENGTHS.items()
    ]
    valid = [*lengths, *_opened()]
    return file(DESCRIPTION, valid, [*_padded_wrongly(), *_lengths(), *_heads()], GIVEN | STARTS)


def _opened() -> Iterator[Case]:
    content = b"x" * 17
    plaintexts: dict[str, tuple[bytes, int | None, int]] = {
        "padded": (content + b"\0", 17, 0),
        "a length, and no padding": (content, 17, 0),
        "no length: zeros are content": (content + b"\0", None, 0),
        "content that is padded to its own length": (b"x" * 16, 16, 0),
        "content that ends with zeros": (b"\0" * 17 + b"\0", 17, 0),
        "no content": (b"", 0, 0),
        "two bytes of padding": (b"x" * 70 + b"\0\0", 70, 0),
        "headers and padding": (_HEADERS + b"x" * 3 + b"\0", 3, 14),
        "headers, no content, no padding": (_HEADERS, 0, 14),
        "headers and a length, and no padding": (_HEADERS + b"x" * 3, 3, 14),
    }
    for name, (plaintext, length, hlen) in plaintexts.items():
        yield _good(f"a response: {name}", "response", plaintext, length, hlen)
        if name in _BOTH:
            yield _good(f"a request: {name}", "request", plaintext, length, hlen)


def _made(name: str, half: str, plaintext: bytes, length: int | None, hlen: int) -> Case:
    claims = {"length": length, "hlen": hlen or None}
    make = request if half == "request" else response
    return {"name": name, **make(name, claims=claims, content=plaintext)}


def _good(name: str, half: str, plaintext: bytes, length: int | None, hlen: int) -> Case:
    made = _made(name, half, plaintext, length, hlen)
    end = len(plaintext) if length is None else hlen + length
    return {
        "name": name,
        "kind": "opened",
        **made,
        "plaintext": plaintext.hex(),
        "content": plaintext[hlen:end].hex(),
    }


def _bad(name: str, row: str, plaintext: bytes, length: int, hlen: int = 0) -> Iterator[Case]:
    yield {**_made(f"a response: {name}", "response", plaintext, length, hlen), **refused(row)}
    if name in _BOTH:
        yield {**_made(f"a request: {name}", "request", plaintext, length, hlen), **refused(row)}


def _padded_wrongly() -> Iterator[Case]:
    # The Padmé length of 67 bytes is 72.
    content, zeros = b"x" * 67, bytes(5)
    yield from _bad(
        "the first byte of padding is not zero", "R65", content + b"\1" + zeros[1:], 67
    )
    yield from _bad("the last byte of padding is not zero", "R65", content + zeros[1:] + b"\1", 67)
    middle = zeros[:2] + b"\x80" + zeros[3:]
    yield from _bad("a byte of padding is not zero", "R65", content + middle, 67)
    yield from _bad("padding of spaces", "R65", content + b" " * 5, 67)
    yield from _bad("padding as of PKCS #7", "R65", content + bytes([5]) * 5, 67)


def _lengths() -> Iterator[Case]:
    content = b"x" * 67
    for name, size in {
        "a byte of padding": 68,
        "a byte of padding too few": 71,
        "a byte of padding too many": 73,
        "padding up to a power of two": 128,
        "a byte less than the length": 66,
    }.items():
        yield from _bad(name, "R64", content.ljust(size, b"\0")[:size], 67)
    yield from _bad("padding, and 0 as length", "R64", b"\0", 0)
    yield from _bad("padding behind one byte", "R64", b"x\0", 1)
    yield from _bad("no bytes, and 1 as length", "R64", b"", 1)
    yield from _bad("a length of 2^53 - 1", "R64", b"x", 2**53 - 1)


def _heads() -> Iterator[Case]:
    # The Padmé length of 35 bytes is 36, that of 14 more 52.
    alone = _HEADERS + b"x" * 35 + b"\0"
    yield from _bad("headers, and padding for the content alone", "R64", alone, 35, 14)
    yield from _bad("headers that the length counts too", "R64", _HEADERS + b"xxx", 17, 14)
    yield from _bad("headers, and a byte less than the length", "R64", _HEADERS + b"xx", 3, 14)
    nonzero = _HEADERS + b"xxx" + b"\1"
    yield from _bad("headers, and a byte of padding that is not zero", "R65", nonzero, 3, 14)
