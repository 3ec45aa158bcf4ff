"""encoding.json: base64url, base64, and JSON objects that are closed sets."""

from __future__ import annotations

from collections.abc import Iterator

from .primitives import Case, b64, b64u, file, fixed, refused

DESCRIPTION = """
Strict encodings. `kind` says which: `base64url` without padding, `base64` with padding, or `json`.
`text` is what is decoded; `encoded` stands in its place, in hex, where it is no UTF-8 text.
base64: `bytes` (hex) is what comes out; `length`, where it is there, the one number of bytes that
is right.
JSON: `required` and `optional` are the members of the closed set with their types (string,
integer, array, object); `value` is what comes out.
"""
_SIXTEEN = b64u(fixed("sixteen bytes", 16))
_MEMBERS = {"required": {"iat": "integer"}, "optional": {"kid": "string", "epk": "object"}}


def encoding() -> Case:
    valid = [*_base64_valid(), *_json_valid()]
    return file(DESCRIPTION, valid, [*_base64_invalid(), *_json_invalid()], _MEMBERS)


def _base64_valid() -> Iterator[Case]:
    alphabet = bytes.fromhex("00108310518720928b30d38f41149351559761969b71d79f")
    alphabet += bytes.fromhex("8218a39259a7a29aabb2dbafc31cb3d35db7e39ebbf3dfbf")
    samples = {f"{size} bytes": fixed(f"encoding {size}", size) for size in (0, 1, 2, 3, 4, 16)}
    samples |= {"the whole alphabet": alphabet, "zeros": bytes(4), "ones": b"\xff" * 4}
    for name, data in samples.items():
        yield {"name": name, "kind": "base64url", "text": b64u(data), "bytes": data.hex()}
        padded = {"kind": "base64", "text": b64(data), "bytes": data.hex()}
        yield {"name": f"{name}, padded", **padded}
    yield {
        "name": "16 bytes where 16 belong",
        "kind": "base64url",
        "text": _SIXTEEN,
        "length": 16,
        "bytes": fixed("sixteen bytes", 16).hex(),
    }


_PADDING = {
    "padding of one byte": "AA==",
    "padding of two bytes": "AAA=",
    "padding behind whole groups": "AAAA====",
}
_STRAY = {
    "stray bits behind one byte": "AB",
    "the highest stray bit behind one byte": "AI",
    "stray bits behind two bytes": "AAB",
    "one character": "A",
    "five characters": "AAAAA",
}
_CHARACTERS = {
    "plus": "AA+A",
    "slash": "AA/A",
    "space inside": "AA A",
    "space ahead": " AAA",
    "space behind": "AAAA ",
    "line end inside": "AAAA\nAAAA",
    "line end behind": "AAAA\n",
    "tab": "\tAAAA",
    "comma": "AAAA,AAAA",
    "dot": "AAAA.AAAA",
    "NUL": "AAA\0",
    "a character beyond ASCII": "AAAÄ",
    "a full-width letter": "AAA\uff21",
    "percent-encoded": "AAA%41",
}
_PADDED = {
    "padding missing": "AA",
    "half of the padding missing": "AA=",
    "too much padding": "AA===",
    "padding alone": "====",
    "padding in the middle": "AA==AAAA",
    "stray bits, padded": "AB==",
    "stray bits behind two bytes, padded": "AAB=",
    "hyphen": "AA-A",
    "low line": "AA_A",
    "space inside, padded": "AA ==",
    "line end behind, padded": "AA==\n",
    "a character beyond ASCII, padded": "AAÄ=",
}


def _base64_invalid() -> Iterator[Case]:
    for row, texts in (("R1", _PADDING), ("R2", _STRAY), ("R1", _CHARACTERS)):
        for name, text in texts.items():
            yield _bad(name, row, "base64url", text)
    for size in (15, 17, 0):
        text = b64u(fixed("other lengths", size))
        yield {**_bad(f"{size} bytes where 16 belong", "R3", "base64url", text), "length": 16}
    for name, text in _PADDED.items():
        yield _bad(name, "R61", "base64", text)


def _bad(name: str, row: str, kind: str, text: object) -> Case:
    return {"name": name, "kind": kind, "text": text, **refused(row)}


def _json_valid() -> Iterator[Case]:
    texts: dict[str, tuple[str, Case]] = {
        "all members": (
            '{"iat":1,"kid":"a","epk":{"x":"y"}}',
            {"iat": 1, "kid": "a", "epk": {"x": "y"}},
        ),
        "members in another order": ('{"kid":"a","iat":1}', {"iat": 1, "kid": "a"}),
        "required members only": ('{"iat":0}', {"iat": 0}),
        "the largest integer": ('{"iat":9007199254740991}', {"iat": 2**53 - 1}),
        "white space around and inside": (
            ' \t\r\n{ "iat" :\n1\r,\t"kid" : "a" } \t\r\n',
            {"iat": 1, "kid": "a"},
        ),
        "text beyond ASCII": ('{"iat":1,"kid":"Zoë 💶"}', {"iat": 1, "kid": "Zoë 💶"}),
        "escapes": (
            r'{"iat":1,"kid":"\"\\\/\b\f\n\r\t\u00eb\ud83d\udcb6"}',
            {"iat": 1, "kid": '"\\/\b\f\n\r\të💶'},
        ),
        "an escape in a name": (r'{"\u0069at":1}', {"iat": 1}),
        "an empty string": ('{"iat":1,"kid":""}', {"iat": 1, "kid": ""}),
        "a name that JavaScript's objects inherit, further down": (
            '{"iat":1,"epk":{"constructor":{}}}',
            {"iat": 1, "epk": {"constructor": {}}},
        ),
    }
    for name, (text, value) in texts.items():
        yield {"name": name, "kind": "json", **_MEMBERS, "text": text, "value": value}


def _json_invalid() -> Iterator[Case]:
    for name, (row, text) in (_STRUCTURE | _NUMBERS | _TEXTS).items():
        yield {"name": name, "kind": "json", **_MEMBERS, "text": text, **refused(row)}
    for name, encoded in _BYTES.items():
        case = {"name": name, "kind": "json", **_MEMBERS}
        yield {**case, "encoded": encoded.hex(), **refused("R4")}


_STRUCTURE: dict[str, tuple[str, object]] = {
    "empty": ("R5", ""),
    "white space only": ("R5", " "),
    "no object: an array": ("R5", '[{"iat":1}]'),
    "no object: a string": ("R5", '"iat"'),
    "no object: a number": ("R5", "1"),
    "no object: null": ("R5", "null"),
    "a required member missing": ("R8", '{"kid":"a"}'),
    "an unknown member": ("R6", '{"iat":1,"more":1}'),
    "an unknown member that JavaScript's objects inherit": ("R6", '{"iat":1,"constructor":1}'),
    "an unknown member, __proto__": ("R6", '{"iat":1,"__proto__":{}}'),
    "a name in upper case": ("R6", '{"iat":1,"KID":"a"}'),
    "a member twice, with the same value": ("R7", '{"iat":1,"iat":1}'),
    "a member twice, with other values": ("R7", '{"iat":1,"kid":"a","kid":"b"}'),
    "a member twice, once with an escape": ("R7", r'{"iat":1,"kid":"a","\u006bid":"b"}'),
    "a member twice, further down": ("R7", '{"iat":1,"epk":{"x":"a","x":"b"}}'),
    "a string in place of an integer": ("R9", '{"iat":"1"}'),
    "true in place of an integer": ("R9", '{"iat":true}'),
    "null in place of an integer": ("R9", '{"iat":null}'),
    "an array in place of an integer": ("R9", '{"iat":[1]}'),
    "an integer in place of a string": ("R9", '{"iat":1,"kid":1}'),
    "null in place of a string": ("R9", '{"iat":1,"kid":null}'),
    "an array in place of an object": ("R9", '{"iat":1,"epk":[]}'),
    "a comma behind the last member": ("R5", '{"iat":1,}'),
    "a comment": ("R5", '{"iat":1/**/}'),
    "quotes missing": ("R5", "{iat:1}"),
    "single quotes": ("R5", "{'iat':1}"),
    "cut": ("R5", '{"iat":1'),
    "text behind": ("R5", '{"iat":1}x'),
    "a second object behind": ("R5", '{"iat":1}{}'),
    "NUL behind": ("R5", '{"iat":1}\0'),
    "a form feed behind": ("R5", '{"iat":1}\f'),
    "a no-break space ahead": ("R5", '\u00a0{"iat":1}'),
    "arrays, 100 000 deep": ("R13", {"join": ['{"iat":1,"epk":', {"repeat": ["[", 100_000]}]}),
    "objects, 100 000 deep": ("R13", {"repeat": ['{"epk":', 100_000]}),
}
_NUMBERS: dict[str, tuple[str, object]] = {
    "a fraction": ("R10", '{"iat":1.5}'),
    "a fraction of zero": ("R10", '{"iat":1.0}'),
    "an exponent": ("R10", '{"iat":1e3}'),
    "a fraction further down": ("R10", '{"iat":1,"epk":{"x":1.5}}'),
    "a negative integer": ("R11", '{"iat":-1}'),
    "2 to the power of 53": ("R11", '{"iat":9007199254740992}'),
    "5000 digits": ("R11", {"join": ['{"iat":', {"repeat": ["1", 5000]}, "}"]}),
    "NaN": ("R10", '{"iat":NaN}'),
    "Infinity": ("R10", '{"iat":Infinity}'),
    "a zero ahead": ("R5", '{"iat":01}'),
    "a plus ahead": ("R11", '{"iat":+1}'),
    "hexadecimal digits": ("R5", '{"iat":0x1}'),
    "digits of another script": ("R5", '{"iat":\u0661}'),
}
_TEXTS: dict[str, tuple[str, object]] = {
    "a lone high surrogate": ("R12", r'{"iat":1,"kid":"\ud83d"}'),
    "a lone low surrogate": ("R12", r'{"iat":1,"kid":"\udcb6"}'),
    "surrogates the wrong way round": ("R12", r'{"iat":1,"kid":"\udcb6\ud83d"}'),
    "a lone surrogate further down": ("R12", r'{"iat":1,"epk":{"x":"\ud83d"}}'),
    "a lone surrogate in a name further down": ("R12", r'{"iat":1,"epk":{"\ud83d":"x"}}'),
    "a line end in a string": ("R5", '{"iat":1,"kid":"a\nb"}'),
    "a NUL in a string": ("R5", '{"iat":1,"kid":"a\0b"}'),
    "an unknown escape": ("R5", r'{"iat":1,"kid":"\x41"}'),
    "a cut escape": ("R5", r'{"iat":1,"kid":"\u00e"}'),
}
_BYTES = {
    "a byte order mark": b'\xef\xbb\xbf{"iat":1}',
    "UTF-16": '{"iat":1}'.encode("utf-16-be"),
    "Latin-1": '{"iat":1,"kid":"ë"}'.encode("latin-1"),
    "a surrogate in UTF-8": b'{"iat":1,"kid":"\xed\xa0\xbd"}',
    "an overlong character in UTF-8": b'{"iat":1,"kid":"\xc1\x81"}',
    "a cut character in UTF-8": b'{"iat":1,"kid":"\xc3"}',
    "a byte that UTF-8 never has": b'{"iat":1,"kid":"\xff"}',
    "a character beyond Unicode": b'{"iat":1,"kid":"\xf4\x90\x80\x80"}',
}
