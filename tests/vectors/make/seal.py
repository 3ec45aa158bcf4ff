"""seal.json: the compact JWE of a seal, and its protected header."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .halves import (
    AUDIENCE,
    NOW,
    REQUEST,
    RESPONSE,
    SECRET,
    as_text,
    iv_of,
    jti_of,
    jwe,
    keys,
    request_header,
    response_header,
    rsalt_of,
    start,
)
from .primitives import (
    Case,
    b64u,
    compact,
    file,
    fixed,
    flip,
    gcm,
    invalid,
    next_character,
    unb64u,
)

DESCRIPTION = """
Seals: compact JWE with `alg` `dir` and `enc` `A256GCM`.
A server opens those of `half` `request` with `secret` and `audience`; those of `half` `response`
are opened by the client that made the request `jti` (hex). Bodies do not matter here.
Where a seal is long, `seal_sha256` (hex) stands in its place: seal, compare the hash, and open
what was sealed.
`key`, `iv` (both hex), `header` and `payload` (texts) make `seal`; `key` is the seal key that is
derived of `secret`, `audience`, the `jti` and, for a response, the `rsalt` in the header. The
associated data is the text ahead of the first dot, as it came.
A sealer may write the members of a header in any order. Headers and payloads that look as no
sealer of this project writes them are valid nevertheless.
"""
_LABEL = "seal"
_JTI = jti_of(_LABEL)
_RSALT = rsalt_of(_LABEL)
_ASK = keys(REQUEST, _JTI)
_ANSWER = keys(RESPONSE, _JTI + _RSALT)
_PAYLOAD = "{}"
_IV = iv_of(_LABEL)
_SEAL = jwe(_ASK.seal, request_header(_JTI), _PAYLOAD, _IV)
_RESPONSE_SEAL = jwe(_ANSWER.seal, response_header(_JTI, _RSALT), '{"status":204}', _IV)
_MOST_REQUEST, _MOST_RESPONSE = 6144, 2048


_GIVEN = {
    "half": "request",
    "secret": SECRET.hex(),
    "audience": AUDIENCE,
    "jti": _JTI.hex(),
    "request_start": start(request_header(_JTI)),
    "response_start": start(response_header(_JTI, _RSALT)),
}


def seal() -> Case:
    refused = [
        *_form(),
        *_encodings(),
        *_cryptography(),
        *_request_headers(),
        *_request_texts(),
        *_responses(),
    ]
    return file(DESCRIPTION, _valid(), refused, _GIVEN)


def _dots(*parts: str) -> str:
    return ".".join(parts)


def _base(half: str) -> Case:
    base = {"half": half, "secret": SECRET.hex(), "audience": AUDIENCE}
    return base if half == "request" else {**base, "jti": _JTI.hex()}


def _valid() -> Iterator[Case]:
    yield _good("a request's", "request", compact(request_header(_JTI)), _PAYLOAD)
    for kid in ("a", "!~" * 32, b64u(fixed("a ticket", 122))):
        header = compact(request_header(_JTI, kid=kid))
        yield _good(f"a kid of {len(kid)} characters", "request", header, _PAYLOAD)
    extremes: dict[str, Case] = {
        "a method of all characters": {"htm": "!#$%&'*+-.^_`|~0aZ"},
        "a target of all characters": {"target": "/" + "".join(map(chr, range(0x21, 0x7F)))},
        "the largest iat": {"iat": 2**53 - 1},
        "the smallest iat": {"iat": 0},
    }
    for name, members in extremes.items():
        yield _good(name, "request", compact(request_header(_JTI, **members)), "{}")
    turned = dict(reversed(request_header(_JTI).items()))
    yield _good("a header in another order", "request", compact(turned), _PAYLOAD)
    spaced = compact(request_header(_JTI)).replace(",", " ,\n").replace("{", " {\t") + "\r\n"
    yield _good("a header with white space", "request", spaced, _PAYLOAD)
    escaped = compact(request_header(_JTI)).replace('"htm":"G', r'"h\u0074m":"\u0047')
    escaped = escaped.replace("/t", r"\/t")
    yield _good("a header with escapes", "request", escaped, _PAYLOAD)
    spaced = ' { "query" : "a=1" } \n'
    yield _good("a payload with white space", "request", compact(request_header(_JTI)), spaced)
    header = compact(response_header(_JTI, _RSALT))
    yield _good("a response's", "response", header, '{"status":204}')
    turned = dict(reversed(response_header(_JTI, _RSALT).items()))
    yield _good("a response's in another order", "response", compact(turned), '{"status":204}')
    yield from _longest()


def _longest() -> Iterator[Case]:
    header = compact(request_header(_JTI))
    ahead, behind = '{"query":"', '"}'
    most = _room(header, _MOST_REQUEST) - len(ahead) - len(behind)
    parts = {"join": [ahead, {"repeat": ["a", most]}, behind]}
    yield _good("as long as can be", "request", header, ahead + "a" * most + behind, parts)
    header = compact(response_header(_JTI, _RSALT))
    ahead, behind = '{"status":204,"headers":[["x","', '"]]}'
    most = _room(header, _MOST_RESPONSE) - len(ahead) - len(behind)
    parts = {"join": [ahead, {"repeat": ["a", most]}, behind]}
    yield _good(
        "a response's as long as can be", "response", header, ahead + "a" * most + behind, parts
    )


def _room(header: str, most: int) -> int:
    """How many bytes of payload make a seal of so many characters."""
    left = most - len(jwe(bytes(32), header, b"", bytes(12)))
    size = left * 3 // 4
    assert len(jwe(bytes(32), header, bytes(size), bytes(12))) == most
    return size


def _good(name: str, half: str, header: str, payload: str, parts: object = None) -> Case:
    key = _ASK.seal if half == "request" else _ANSWER.seal
    iv = iv_of(name)
    return {
        "name": name,
        **_base(half),
        "key": key.hex(),
        "iv": iv.hex(),
        "header": header,
        "payload": parts or payload,
        **_whole(jwe(key, header, payload, iv)),
    }


def _whole(text: str) -> Case:
    if len(text) < _MOST_RESPONSE:
        return {"seal": text}
    return {"seal_sha256": hashlib.sha256(text.encode()).hexdigest()}


def _bad(name: str, row: str, text: object, half: str = "request", **changes: object) -> Case:
    return invalid(name, row, {**_base(half), "seal": text}, **changes)


def _form() -> Iterator[Case]:
    header, _, iv, ciphertext, tag = _SEAL.split(".")
    forms: dict[str, tuple[str, object]] = {
        "empty": ("R15", ""),
        "four parts": ("R15", _dots(header, "", iv, ciphertext)),
        "six parts": ("R15", f"{_SEAL}."),
        "a JWS of three parts": ("R15", _dots(header, ciphertext, tag)),
        "dots only": ("R17", "...."),
        "an encrypted key": ("R16", _dots(header, "AAAA", iv, ciphertext, tag)),
        "two of them, joined by a comma": ("R15", f"{_SEAL}, {_SEAL}"),
        "a space ahead": ("R1", f" {_SEAL}"),
        "a line end behind": ("R1", f"{_SEAL}\n"),
        "the header in clear": ("R1", compact(request_header(_JTI)) + _SEAL[len(header) :]),
        "no header": ("R5", _SEAL[len(header) :]),
        "no iv": ("R17", _dots(header, "", "", ciphertext, tag)),
        "no tag": ("R18", _dots(header, "", iv, ciphertext, "")),
        "beyond ASCII": ("R1", f"ä{_SEAL}"),
    }
    for name, (row, text) in forms.items():
        yield _bad(name, row, text)
    yield _bad("too long by a character", "R14", {"repeat": ["A", _MOST_REQUEST + 1]})
    long = {"repeat": ["A", _MOST_RESPONSE + 1]}
    yield _bad("a response's, too long by a character", "R14", long, "response")
    yield from _sizes(header, iv, ciphertext, tag)


def _sizes(header: str, iv: str, ciphertext: str, tag: str) -> Iterator[Case]:
    for size in (8, 16):
        text = jwe(_ASK.seal, request_header(_JTI), _PAYLOAD, fixed(f"iv {size}", size))
        yield _bad(f"an iv of {size} bytes", "R17", text)
    for size in (4, 8, 12):
        cut = _dots(header, "", iv, ciphertext, b64u(unb64u(tag)[:size]))
        yield _bad(f"a tag of {size} bytes", "R18", cut)
    longer = _dots(header, "", iv, ciphertext, b64u(unb64u(tag) + b"\0"))
    yield _bad("a tag of 17 bytes", "R18", longer)


def _encodings() -> Iterator[Case]:
    """Each part in a base64url that is not the canonical one."""
    # A header and a payload whose last characters have bits to spare, as iv and tag have not.
    header = as_text(request_header(_JTI, target="/account"))
    text = jwe(_ASK.seal, header, '{"query":"a=12"}', _IV)
    for number, part in {0: "header", 3: "ciphertext", 4: "tag"}.items():
        parts = text.split(".")
        whole = parts[number]
        parts[number] = whole[:-1] + next_character(whole[-1])
        yield _bad(f"stray bits in the {part}", "R2", _dots(*parts))
        parts[number] = whole + "=" * (-len(whole) % 4)
        yield _bad(f"padding in the {part}", "R1", _dots(*parts))
    for number, part in {2: "iv", 3: "ciphertext"}.items():
        parts = text.split(".")
        whole = parts[number]
        parts[number] = f"{whole[:4]} {whole[4:]}"
        yield _bad(f"a space in the {part}", "R1", _dots(*parts))
        parts[number] = f"{whole[:4]}+{whole[5:]}"
        yield _bad(f"a plus in the {part}", "R1", _dots(*parts))
        parts[number] = f"{whole}A" if len(whole) % 4 == 0 else whole[: len(whole) // 4 * 4 + 1]
        yield _bad(f"a character that is no byte in the {part}", "R2", _dots(*parts))


def _cryptography() -> Iterator[Case]:
    header, _, iv, ciphertext, tag = _SEAL.split(".")
    for part, (number, at) in {
        "iv": (2, 0),
        "ciphertext": (3, 0),
        "tag": (4, 0),
        "last byte of the tag": (4, -1),
    }.items():
        parts = _SEAL.split(".")
        parts[number] = b64u(flip(unb64u(parts[number]), at))
        yield _bad(f"a bit of the {part} flipped", "R28", _dots(*parts))
    yield from _other_headers(header)
    cut = b64u(unb64u(ciphertext)[:-1])
    yield _bad("a byte of the ciphertext missing", "R28", f"{header}..{iv}.{cut}.{tag}")
    more = b64u(unb64u(ciphertext) + b"\0")
    yield _bad("a byte of ciphertext more", "R28", f"{header}..{iv}.{more}.{tag}")
    yield _bad("no ciphertext", "R28", f"{header}..{iv}..{tag}")
    yield from _associated(header)
    yield _bad("another secret", "R28", _SEAL, secret=fixed("another secret", 32).hex())
    yield _bad("another audience", "R28", _SEAL, audience="https://shop.example")
    zero = _dots(header, "", iv, ciphertext, b64u(bytes(16)))
    yield _bad("a tag of zeros", "R28", zero)


def _other_headers(header: str) -> Iterator[Case]:
    """Headers that are in order, and not those that were sealed."""
    rest = _SEAL[len(header) :]
    for member, value in {
        "kid": "l",
        "jti": b64u(jti_of("another")),
        "iat": NOW + 1,
        "htm": "PUT",
        "target": "/t/1",
        "body": "envelope",
    }.items():
        changed = b64u(as_text(request_header(_JTI, **{member: value})))
        yield _bad(f"another {member} in the header", "R28", changed + rest)
    turned = as_text(dict(reversed(request_header(_JTI).items())))
    yield _bad("the header in another order than sealed", "R28", b64u(turned) + rest)
    spaced = as_text(request_header(_JTI)) + b" "
    yield _bad("a space behind the header that was not sealed", "R28", b64u(spaced) + rest)


def _associated(header: str) -> Iterator[Case]:
    text = as_text(request_header(_JTI))
    for name, aad in {
        "no associated data": b"",
        "the decoded header as associated data": text,
        "the header in standard base64 as associated data": (header + "==").encode(),
    }.items():
        sealed = gcm(_ASK.seal, _IV, _PAYLOAD.encode(), aad)
        parts = (header, "", b64u(_IV), b64u(sealed[:-16]), b64u(sealed[-16:]))
        yield _bad(name, "R28", _dots(*parts))
    other = gcm(_ASK.body, _IV, _PAYLOAD.encode(), header.encode())
    parts = (header, "", b64u(_IV), b64u(other[:-16]), b64u(other[-16:]))
    yield _bad("sealed with the body key", "R28", _dots(*parts))


#: Rows, members, and values that they must not have.
_MEMBERS: list[tuple[str, str, list[object]]] = [
    ("R19", "alg", ["none", "A256KW", "PBES2-HS512+A256KW", "DIR"]),
    ("R19", "enc", ["A128GCM", "A256CBC-HS512"]),
    ("R20", "typ", ["sealed-response", "JWT", "application/sealed-request"]),
    ("R9", "alg", [5]),
    ("R30", "kid", ["", "x" * 65, "x" * 162, "x" * 164]),
    ("R33", "kid", ["." * 163]),
    ("R30", "kid", ["a b", "ä"]),
    ("R9", "kid", [5]),
    ("R23", "jti", [b64u(bytes(15)), b64u(bytes(17))]),
    ("R1", "jti", [b64u(bytes(16)) + "=="]),
    ("R2", "jti", ["A" * 21 + "B"]),
    ("R9", "jti", [5]),
    ("R9", "iat", ["1800000000"]),
    ("R10", "iat", [1.5, 1.8e9]),
    ("R11", "iat", [-1, 2**53]),
    ("R9", "iat", [True]),
    ("R31", "htm", ["", "G T", "GET\r\n"]),
    ("R32", "target", ["", "accounts", "https://bank.example/", "*", "/a b", "/ä"]),
    ("R22", "body", ["none", "Envelope"]),
    ("R9", "body", [True]),
]
_MORE: dict[str, tuple[str, object]] = {
    "zip": ("R21", "DEF"),
    "crit": ("R21", ["exp"]),
    "cty": ("R6", "application/json"),
    "exp": ("R6", NOW),
    "__proto__": ("R6", {"kid": "a"}),
}


def _request_headers() -> Iterator[Case]:
    """Headers with one fault, and sealed as they are."""
    for row, member, values in _MEMBERS:
        for value in values:
            yield _headed(f"{member}: {_shown(value)}", row, **{member: value})
    for member in ("alg", "enc", "typ", "kid", "jti", "iat", "htm", "target"):
        yield _headed(f"no {member}", "R8", **{member: None})
    for member, (row, more) in _MORE.items():
        yield _headed(f"an unknown member: {member}", row, **{member: more})


def _shown(value: object) -> str:
    text = compact(value)
    return text if len(text) < 40 else f"{len(text) - 2} characters, {text[1]}…"


def _headed(name: str, row: str, **changes: object) -> Case:
    header = request_header(_JTI, **changes)
    return _bad(name, row, jwe(_ASK.seal, header, _PAYLOAD, iv_of(name)))


def _request_texts() -> Iterator[Case]:
    """Headers that are not the JSON text that belongs there, and sealed as they are."""
    text = compact(request_header(_JTI))
    texts: dict[str, tuple[str, str | bytes]] = {
        "null in place of a string": ("R9", text.replace('"GET"', "null")),
        "a member twice": ("R7", text[:-1] + f',"iat":{NOW}}}'),
        "a member twice, once with an escape": ("R7", text[:-1] + r',"\u0069at":1}'),
        "empty header": ("R5", ""),
        "cut JSON": ("R5", text[:-1]),
        "text behind": ("R5", text + "x"),
        "a zero byte behind": ("R5", text + "\0"),
        "a lone surrogate": ("R12", text.replace('"k"', r'"\ud800"')),
        "a byte order mark": ("R4", "\ufeff" + text),
        "Latin-1": ("R4", text.replace('"k"', '"ä"').encode("latin-1")),
    }
    for name, (row, header) in texts.items():
        yield _bad(name, row, jwe(_ASK.seal, header, _PAYLOAD, iv_of(name)))


_RESPONSE_MEMBERS: list[tuple[str, str, list[object]]] = [
    ("R19", "alg", ["none"]),
    ("R19", "enc", ["A128GCM"]),
    ("R20", "typ", ["sealed-request"]),
    ("R23", "jti", [b64u(_JTI[:-1])]),
    ("R1", "jti", [b64u(_JTI) + "=="]),
    ("R51", "rsalt", [b64u(bytes(15)), b64u(bytes(17))]),
    ("R1", "rsalt", [b64u(bytes(16)) + "=="]),
    ("R9", "rsalt", [5]),
    ("R22", "body", ["none"]),
    ("R21", "zip", ["DEF"]),
    ("R21", "crit", [["exp"]]),
    ("R6", "kid", ["k"]),
]


def _responses() -> Iterator[Case]:
    for row, member, values in _RESPONSE_MEMBERS:
        for value in values:
            name = f"a response's {member}: {_shown(value)}"
            yield _answered(name, row, **{member: value})
    for member in ("alg", "enc", "typ", "jti", "rsalt"):
        yield _answered(f"a response without {member}", "R8", **{member: None})
    yield _answered("the jti of another request", "R50", jti=b64u(jti_of("another")))
    other = jti_of("another").hex()
    yield _bad("a client that made another request", "R50", _RESPONSE_SEAL, "response", jti=other)
    yield _bad("a request's seal as a response's", "R20", _SEAL, "response")
    yield _bad("a response's seal as a request's", "R20", _RESPONSE_SEAL)
    header = response_header(_JTI, _RSALT)
    text = jwe(_ASK.seal, header, '{"status":204}', _IV)
    yield _bad("a response's seal under the request's key", "R28", text, "response")
    text = jwe(_ANSWER.seal, request_header(_JTI), _PAYLOAD, _IV)
    yield _bad("a request's seal under the response's key", "R28", text)
    for part, number in {"iv": 2, "ciphertext": 3, "tag": 4}.items():
        parts = _RESPONSE_SEAL.split(".")
        parts[number] = b64u(flip(unb64u(parts[number]), 0))
        name = f"a bit of a response's {part} flipped"
        yield _bad(name, "R28", _dots(*parts), "response")
    yield from _response_form()


def _response_form() -> Iterator[Case]:
    header, _, iv, ciphertext, tag = _RESPONSE_SEAL.split(".")
    claims, other = '{"status":204}', fixed("iv of a response", 16)
    for name, (row, text) in {
        "four parts": ("R15", _dots(header, "", iv, ciphertext)),
        "two of them, joined by a comma": ("R15", f"{_RESPONSE_SEAL}, {_RESPONSE_SEAL}"),
        "an encrypted key": ("R16", _dots(header, "AAAA", iv, ciphertext, tag)),
        "an iv of 16 bytes": ("R17", jwe(_ANSWER.seal, unb64u(header), claims, other)),
        "a tag of 12 bytes": ("R18", _dots(header, "", iv, ciphertext, b64u(unb64u(tag)[:12]))),
    }.items():
        yield _bad(f"a response's: {name}", row, text, "response")


def _answered(name: str, row: str, **changes: object) -> Case:
    header = response_header(_JTI, _RSALT, **changes)
    return _bad(name, row, jwe(_ANSWER.seal, header, '{"status":204}', iv_of(name)), "response")
