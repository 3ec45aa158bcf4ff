"""exchange.json, its invalid cases: halves with one fault each."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from .halves import (
    ANSWER,
    ASK,
    JSON,
    JTI,
    NOW,
    OP,
    RESPONSE,
    Keys,
    envelope,
    iv_of,
    jti_of,
    keys,
    request,
    response,
    rsalt_of,
)
from .primitives import Case, b64, b64u, compact, fixed, flip, invalid, next_character
from .records import stream


def request_faults() -> Iterator[Case]:
    for group in (_bindings, _request_claims, _inner_headers, _request_texts):
        yield from group()
    yield from _bodies("request")
    yield from _presence()


def response_faults() -> Iterator[Case]:
    for group in (_other_answers, _response_claims, _outer_headers, _headers_ahead):
        yield from group()
    yield from _bodies("response")


def _ask(name: str, row: str, **changes: object) -> Case:
    """A request with other inputs of the server."""
    return invalid(name, row, request(name), **changes)


def _claims(name: str, row: str, **claims: object) -> Case:
    """A request that says something else, of a broken form."""
    made = request(name, header={"body": None}, claims={"cty": None, **claims}, content=None)
    return invalid(name, row, made)


def _answers(name: str, row: str, **claims: object) -> Case:
    """A response that says something else, of a broken form."""
    made = response(name, header={"body": None}, claims={"cty": None, **claims}, content=None)
    return invalid(name, row, made)


def _bindings() -> Iterator[Case]:
    """Requests that are in order, but not here or not now."""
    for name, method, target in (
        ("another method", "PUT", "/t"),
        ("another target", "POST", "/t/1"),
        ("a query in sight beside a sealed target", "POST", "/t?a"),
    ):
        yield _ask(name, "R42", routed={"method": method, "target": target})
    yield _ask("another secret", "R28", secret=fixed("another secret", 32).hex())
    yield _ask("another audience", "R28", audience="https://shop.example")
    yield _ask("61 s old", "R43", now=NOW + 61)
    yield _ask("11 s ahead", "R43", now=NOW - 11)
    seen = {"begun": NOW - 3600, "seen": [OP.hex()]}
    yield _ask("an operation that was seen before", "R47", store=seen)
    young = {"begun": NOW - 130, "seen": []}
    yield _ask("a store that began 130 s ago", "R45", store=young)
    yield _claims("an unsafe request without op", "R44", op=None)
    for method in ("PURGE", "Get"):
        routed = {"method": method, "target": "/t"}
        name = f"{method} without op"
        made = request(name, header={"htm": method}, claims={"op": None})
        yield invalid(name, "R44", made, routed=routed)


# Rows, members, and values that they must not have: with a body, and without one.
_MEMBERS: list[tuple[str, str, list[object]]] = [
    ("R24", "cty", ["", "a" * 257, "a/b\r\n"]),
    ("R9", "cty", [5]),
    ("R11", "length", [-1]),
    ("R10", "length", [1.5]),
    ("R9", "length", ["12"]),
    ("R11", "length", [2**53]),
]
_MEMBERS_ALONE: list[tuple[str, str, list[object]]] = [
    ("R36", "query", ["", "a b", "a\r\n", "ä", "a\x7f"]),
    ("R9", "query", [5]),
    ("R39", "op", [b64u(bytes(15)), b64u(bytes(17))]),
    ("R1", "op", [b64u(bytes(16)) + "=="]),
    ("R2", "op", ["A" * 21 + "B"]),
    ("R9", "op", [5]),
    ("R25", "headers", [{"accept": "a"}, ["accept", "a"], [["accept"]]]),
]


def _request_claims() -> Iterator[Case]:
    for row, member, values in _MEMBERS:
        for value in values:
            made = request(f"{member} {value}", claims={member: value})
            yield invalid(f"{member}: {_shown(value)}", row, made)
    for row, member, values in _MEMBERS_ALONE:
        for value in values:
            yield _claims(f"{member}: {_shown(value)}", row, **{member: value})
    for value in (["accept", "a", "b"], ["accept", 5], {"accept": "a"}):
        yield _claims(f"a header: {compact(value)}", "R25", headers=[value])
    for member, more in {
        "status": 200,
        "hlen": 2,
        "__proto__": {},
    }.items():
        yield _claims(f"an unknown member: {member}", "R6", **{member: more})
    both = request("both", header={"target": "/t?a"}, claims={"query": "b"})
    routed = {"method": "POST", "target": "/t?a"}
    yield invalid("a query hidden and in sight", "R37", both, routed=routed)


def _shown(value: object) -> str:
    text = compact(value)
    return text if len(text) < 40 else f"{len(text) - 2} characters"


_NAMES = {
    "cookie": "a cookie",
    "host": "the host",
    "content-length": "a header of framing",
    "content-type": "the content type",
    "x-forwarded-for": "a header of forwarding",
    "x-http-method-override": "a header that overrides the method",
    "if-match": "a condition",
    "range": "a range",
    "sealed": "a seal",
    "x-mine": "a header that nobody allows",
}
_NO_NAMES = {
    "authorization ": "a name with a space behind",
    "x_csrf_token": "a name with an underscore",
    "Authorization": "a name in upper case",
    "authorization:": "a name with a colon",
    "authörization": "a name beyond ASCII",
    "accept\r\nx": "a name with CR LF",
    "": "no name",
}
_VALUES = {
    "a value with CR LF": "a\r\nx: y",
    "a value with a zero byte": "a\0",
    "a value with DEL": "a\x7f",
    "a value beyond U+00FF": "a€",
}


def _inner_headers() -> Iterator[Case]:
    for row, names in (("R41", _NAMES), ("R26", _NO_NAMES)):
        for name, what in names.items():
            yield _claims(f"an inner header: {what}", row, headers=[[name, "a"]])
    for what, value in _VALUES.items():
        yield _claims(f"an inner header: {what}", "R27", headers=[["accept", value]])
    twice = [["accept", "a"], ["accept", "a"]]
    yield _claims("an inner header twice", "R40", headers=twice)
    mixed = [["accept", "a"], ["cookie", "a"]]
    yield _claims("an inner header outside the list behind one in it", "R41", headers=mixed)


def _request_texts() -> Iterator[Case]:
    """Payloads that are not the JSON text that belongs there, and sealed as they are."""
    text = compact({"op": b64u(OP)})
    texts: dict[str, tuple[str, str | bytes]] = {
        "empty payload": ("R5", ""),
        "an array": ("R5", f"[{text}]"),
        "cut JSON": ("R5", text[:-1]),
        "a zero byte behind": ("R5", f"{text}\0"),
        "a member twice": ("R7", f"{text[:-1]},{text[1:]}"),
        "a member that is null": ("R9", f'{text[:-1]},"query":null}}'),
        "a lone surrogate": ("R12", text[:-1] + r',"query":"\ud800"}'),
        "a lone surrogate in a header": ("R12", text[:-1] + r',"headers":[["accept","\udcb6"]]}'),
        "a byte order mark": ("R4", f"\ufeff{text}"),
        "Latin-1": ("R4", (text[:-1] + ',"cty":"ä"}').encode("latin-1")),
    }
    for name, (row, payload) in texts.items():
        made = request(name, header={"body": None}, claims=payload, content=None)
        yield invalid(f"payload: {name}", row, made)


# Faults of bodies that stand for the others in requests.
_BOTH = (
    *("a bit of the ciphertext flipped", "no associated data", "in clear"),
    *("under the body key of the other half", "empty", "the final record missing"),
    *("under the base nonce of the other half", "longer than the seal says"),
    *("shorter than the seal says", "stray bits in the base64", "27 bytes"),
)


def _bodies(half: str) -> Iterator[Case]:
    """Bodies with a fault, in either half."""
    make, own, other = (request, ASK, ANSWER) if half == "request" else (response, ANSWER, ASK)
    for name, (row, body) in _envelopes(own, other).items():
        if half == "response" or name in _BOTH:
            yield invalid(f"a {half}'s envelope: {name}", row, make(name), envelope=body)
    yield invalid(f"a {half}'s envelope: none came", "R58", make("none", content=None))
    came = make("records", content=[b"alpha"])
    yield invalid(f"a {half}'s envelope: records came", "R60", came)
    unsealed = make("no body", header={"body": None}, claims={"cty": None})
    yield invalid(f"a {half} without a body: one came", "R59", unsealed)
    yield from _streams(half)


def _envelopes(own: Keys, other: Keys) -> dict[str, tuple[str, str]]:
    """Envelopes with a fault, behind the row of this."""
    iv, content = iv_of("faulty body"), b'{"amount":5}'
    text = envelope(own.body, content, iv)
    raw = _raw(text)
    closed = {
        "a bit of the iv flipped": _wrapped(flip(raw, 0)),
        "a bit of the tag flipped": _wrapped(flip(raw, 12)),
        "a bit of the ciphertext flipped": _wrapped(flip(raw, 28)),
        "the last byte missing": _wrapped(raw[:-1]),
        "the tag behind the ciphertext": _wrapped(raw[:12] + raw[28:] + raw[12:28]),
        "no associated data": envelope(own.body, content, iv, b""),
        "the content type as associated data": envelope(own.body, content, iv, JSON.encode()),
        "under the seal key": envelope(own.seal, content, iv),
        "under the body key of the other half": envelope(other.body, content, iv),
    }
    rows = {"R63": closed, **_misshapen(text, content.decode())}
    return {name: (row, body) for row, group in rows.items() for name, body in group.items()}


def _misshapen(text: str, content: str) -> dict[str, dict[str, str]]:
    """Envelopes that are none, by their row."""
    start, first, rest = text[:9], text[9], text[10:]
    return {
        "R58": {"empty": ""},
        "R60": {
            "in clear": content,
            "another member": text.replace("}", ',"more":1}'),
            "text behind": f"{text}x",
            "an escape in the base64": f"{start}\\u{ord(first):04x}{rest}",
        },
        "R61": {"stray bits in the base64": text[:-5] + next_character(text[-5]) + text[-4:]},
        "R62": {"27 bytes": _wrapped(_raw(text)[:27])},
    }


def _raw(text: str) -> bytes:
    return base64.b64decode(text.removeprefix('{"data":"').removesuffix('"}'))


def _wrapped(raw: bytes) -> str:
    return compact({"data": b64(raw)})


def _streams(half: str) -> Iterator[Case]:
    make, own, other = (request, ASK, ANSWER) if half == "request" else (response, ANSWER, ASK)
    parts = stream([b"alpha", b"beta", b""], own.body, own.nonce)
    a, b, c = parts
    long = [b"alpha", b"beta" * 2, b""]
    mixed = stream([b"alpha", b"beta", b""], own.body, other.nonce)
    streams: dict[str, tuple[str, bytes]] = {
        "the final record missing": ("R73", a + b),
        "none came": ("R58", b""),
        "extended": ("R72", a + b + c + b"\0"),
        "under the base nonce of the other half": ("R72", b"".join(mixed)),
        "longer than the seal says": ("R75", b"".join(stream(long, own.body, own.nonce))),
        "shorter than the seal says": ("R75", a + stream([b"", b""], own.body, own.nonce)[1]),
    }
    for name, (row, data) in streams.items():
        made = make(f"records {name}", header={"body": "records"}, claims={"length": 9})
        what = f"a {half}'s records: {name}"
        if half == "response" or name in _BOTH:
            yield invalid(what, row, made, envelope=None, records=data.hex())
    made = make("envelope as records", header={"body": "records"})
    yield invalid(f"a {half}'s records: an envelope came", "R73", made)


def _presence() -> Iterator[Case]:
    """What a request says of a body without having one, and the reverse."""
    made = request("no cty", claims={"cty": None})
    yield invalid("a body without cty", "R38", made)
    no_body: Case = {"header": {"body": None}, "content": None}
    yield invalid("cty without a body", "R38", request("cty", **no_body))
    made = request("length", claims={"cty": None, "length": 0}, **no_body)
    yield invalid("length without a body", "R38", made)


def _other_answers() -> Iterator[Case]:
    """Responses that do not belong to this request."""
    other = jti_of("another request")
    stranger = keys(RESPONSE, other + rsalt_of("exchange"))
    made = response("other", header={"jti": b64u(other)}, sealed_with=stranger, body_with=stranger)
    yield invalid("the response of another request", "R50", made)
    made = response("renamed", sealed_with=stranger, body_with=stranger)
    yield invalid("the response of another request, renamed", "R28", made)
    made = response("client")
    yield invalid("a response at the client of another request", "R50", made, jti=other.hex())
    shop = keys(RESPONSE, JTI + rsalt_of("exchange"), audience="https://shop.example")
    made = response("shop", sealed_with=shop, body_with=shop)
    yield invalid("the response of another audience", "R28", made)
    again = keys(RESPONSE, JTI + rsalt_of("again"))
    made = response("again", body_with=again)
    yield invalid("the body of another response to the same request", "R63", made)
    made = response("again records", header={"body": "records"}, content=[b"a"], body_with=again)
    name = "the records of another response to the same request"
    yield invalid(name, "R72", made)
    yield invalid("the request's own body", "R63", response("mirror", body_with=ASK))
    mirrored = response("mirrored", sealed_with=ASK, body_with=ASK)
    yield invalid("a response under the request's keys", "R28", mirrored)
    back = {"seal": request("back")["seal"]}
    yield invalid("the request's own seal", "R20", response("back"), **back)


_RESPONSE_MEMBERS: list[tuple[str, str, list[object]]] = [
    ("R52", "status", [100, 199, 600]),
    ("R11", "status", [-200]),
    ("R10", "status", [200.5, 2e2]),
    ("R9", "status", ["200"]),
    ("R24", "cty", ["", "a/b\r\n"]),
    ("R11", "length", [-1]),
    ("R9", "length", ["12"]),
    ("R25", "headers", [{"etag": "a"}, ["etag", "a"], [["etag", 5]]]),
    ("R6", "query", ["a"]),
    ("R6", "op", [b64u(OP)]),
    ("R6", "server_time", [NOW]),
]


def _response_claims() -> Iterator[Case]:
    for row, member, values in _RESPONSE_MEMBERS:
        for value in values:
            name = f"a response's {member}: {_shown(value)}"
            yield _answers(name, row, **{member: value})
    yield _answers("a response without status", "R8", status=None)
    for name, (row, payload) in {
        "empty": ("R5", ""),
        "status twice": ("R7", '{"status":200,"status":200}'),
        "text behind": ("R5", '{"status":200}x'),
        "a byte order mark": ("R4", '\ufeff{"status":200}'),
    }.items():
        made = response(name, header={"body": None}, claims=payload, content=None)
        yield invalid(f"a response's payload: {name}", row, made)


_TRANSPORT = (
    *("access-control-allow-origin", "access-control-x", "age"),
    *("alt-svc", "clear-site-data", "connection", "content-length", "date", "keep-alive"),
    *("retry-after", "server", "set-cookie", "strict-transport-security", "timing-allow-origin"),
    *("trailer", "transfer-encoding", "upgrade", "vary", "via"),
)


def _outer_headers() -> Iterator[Case]:
    for name in _TRANSPORT:
        what = f"a transport header in a response: {name}"
        yield _answers(what, "R53", headers=[[name, "a"]])
    for name, what in {
        "Etag": "a name in upper case",
        "x_y": "a name with an underscore",
        "x y": "a name with a space",
        "Set-Cookie": "a transport header in upper case",
        "": "no name",
    }.items():
        yield _answers(f"a response's header: {what}", "R26", headers=[[name, "a"]])
    for what in ("a value with CR LF", "a value with a zero byte", "a value beyond U+00FF"):
        yield _answers(f"a response's header: {what}", "R27", headers=[["etag", _VALUES[what]]])


def _headers_ahead() -> Iterator[Case]:
    """Headers ahead of a response's content."""
    for row, value in (("R54", 0), ("R11", -1), ("R9", "2"), ("R10", 2.0), ("R9", True)):
        name = f"hlen: {compact(value)}"
        yield invalid(name, row, response(name, claims={"hlen": value}, content=b"[]"))
    most = response("most", claims={"hlen": 65_537}, content=b"[]")
    yield invalid("hlen: 65537", "R55", most)
    no_body: Case = {"header": {"body": None}, "content": None}
    made = response("hlen alone", claims={"hlen": 2}, **no_body)
    yield invalid("hlen without a body", "R57", made)
    made = response("hlen both", claims={"hlen": 2, "headers": []}, content=b"[]")
    yield invalid("hlen and headers", "R56", made)
    yield from _texts_ahead()


def _texts_ahead() -> Iterator[Case]:
    texts: dict[str, tuple[str, int, bytes]] = {
        "more than there is": ("R66", 3, b"[]"),
        "an object": ("R67", 2, b"{}"),
        "no JSON": ("R67", 2, b"xx"),
        "cut": ("R67", 13, b'[["etag","x"]]'),
        "a byte of the content": ("R67", 3, b"[]x"),
        "another member behind": ("R67", 11, b'[],"more":1'),
        "a transport header": ("R53", 14, b'[["date","x"]]'),
        "a name in upper case": ("R26", 14, b'[["Etag","x"]]'),
        "CR LF in a value": ("R27", 18, rb'[["etag","x\r\n"]]'),
        "not UTF-8": ("R67", 14, b'[["etag","\xff"]]'),
    }
    for name, (row, hlen, plaintext) in texts.items():
        made = response(f"ahead {name}", claims={"hlen": hlen}, content=plaintext)
        yield invalid(f"headers ahead: {name}", row, made)
        if row in ("R66", "R53"):
            header = {"body": "records"}
            made = response(
                f"{name} records", header=header, claims={"hlen": hlen}, content=[plaintext]
            )
            yield invalid(f"headers ahead of records: {name}", row, made)
