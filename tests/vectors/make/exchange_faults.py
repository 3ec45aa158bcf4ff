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
from .primitives import Case, b64, b64u, compact, fixed, flip, invalid
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


def _ask(name: str, refusal: str, **changes: object) -> Case:
    """A request with other inputs of the server."""
    return invalid(name, refusal, request(name), **changes)


def _claims(name: str, **claims: object) -> Case:
    """A request that says something else, of a broken form."""
    made = request(name, header={"body": None}, claims={"cty": None, **claims}, content=None)
    return invalid(name, "malformed", made)


def _answers(name: str, **claims: object) -> Case:
    """A response that says something else, of a broken form."""
    made = response(name, header={"body": None}, claims={"cty": None, **claims}, content=None)
    return invalid(name, "malformed", made)


def _bindings() -> Iterator[Case]:
    """Requests that are in order, but not here or not now."""
    for name, method, target in (
        ("another method", "PUT", "/t"),
        ("another target", "POST", "/t/1"),
        ("a query in sight beside a sealed target", "POST", "/t?a"),
    ):
        yield _ask(name, "refused", routed={"method": method, "target": target})
    yield _ask("another secret", "refused", secret=fixed("another secret", 32).hex())
    yield _ask("another audience", "refused", audience="https://shop.example")
    yield _ask("61 s old", "stale", now=NOW + 61)
    yield _ask("11 s ahead", "stale", now=NOW - 11)
    seen = {"begun": NOW - 3600, "seen": [OP.hex()]}
    yield _ask("an operation that was seen before", "replayed", store=seen)
    young = {"begun": NOW - 130, "seen": []}
    yield _ask("a store that began 130 s ago", "unavailable", store=young)
    yield _claims("an unsafe request without op", op=None)
    for method in ("PURGE", "Get"):
        routed = {"method": method, "target": "/t"}
        name = f"{method} without op"
        made = request(name, header={"htm": method}, claims={"op": None})
        yield invalid(name, "malformed", made, routed=routed)


_LENGTHS: list[object] = [-1, 1.5, "12", 2**53]
_TYPES: list[object] = ["", "a" * 257, "a/b\r\n", 5]


def _request_claims() -> Iterator[Case]:
    for member, values in {"cty": _TYPES, "length": _LENGTHS}.items():
        for value in values:
            made = request(f"{member} {value}", claims={member: value})
            yield invalid(f"{member}: {_shown(value)}", "malformed", made)
    tables: dict[str, list[object]] = {
        "query": ["", "a b", "a\r\n", "ä", "a\x7f", 5],
        "op": [b64u(bytes(15)), b64u(bytes(17)), b64u(bytes(16)) + "==", "A" * 21 + "B", 5],
        "headers": [{"accept": "a"}, ["accept", "a"], [["accept"]]],
    }
    for member, values in tables.items():
        for value in values:
            yield _claims(f"{member}: {_shown(value)}", **{member: value})
    for value in (["accept", "a", "b"], ["accept", 5], {"accept": "a"}):
        yield _claims(f"a header: {compact(value)}", headers=[value])
    for member, more in {
        "status": 200,
        "hlen": 2,
        "__proto__": {},
    }.items():
        yield _claims(f"an unknown member: {member}", **{member: more})
    both = request("both", header={"target": "/t?a"}, claims={"query": "b"})
    routed = {"method": "POST", "target": "/t?a"}
    yield invalid("a query hidden and in sight", "malformed", both, routed=routed)


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
    for name, what in _NAMES.items():
        yield _claims(f"an inner header: {what}", headers=[[name, "a"]])
    for what, value in _VALUES.items():
        yield _claims(f"an inner header: {what}", headers=[["accept", value]])
    twice = [["accept", "a"], ["accept", "a"]]
    yield _claims("an inner header twice", headers=twice)
    mixed = [["accept", "a"], ["cookie", "a"]]
    yield _claims("an inner header outside the list behind one in it", headers=mixed)


def _request_texts() -> Iterator[Case]:
    """Payloads that are not the JSON text that belongs there, and sealed as they are."""
    text = compact({"op": b64u(OP)})
    texts: dict[str, str | bytes] = {
        "empty payload": "",
        "an array": f"[{text}]",
        "cut JSON": text[:-1],
        "a zero byte behind": f"{text}\0",
        "a member twice": f"{text[:-1]},{text[1:]}",
        "a member that is null": f'{text[:-1]},"query":null}}',
        "a lone surrogate": text[:-1] + r',"query":"\ud800"}',
        "a lone surrogate in a header": text[:-1] + r',"headers":[["accept","\udcb6"]]}',
        "a byte order mark": f"\ufeff{text}",
        "Latin-1": (text[:-1] + ',"cty":"ä"}').encode("latin-1"),
    }
    for name, payload in texts.items():
        made = request(name, header={"body": None}, claims=payload, content=None)
        yield invalid(f"payload: {name}", "malformed", made)


# Faults of bodies that stand for the others in requests.
_BOTH = (
    *("a bit of the ciphertext flipped", "no associated data", "in clear"),
    *("under the body key of the other half", "empty", "the final record missing"),
    *("under the base nonce of the other half", "longer than the seal says"),
    "shorter than the seal says",
)


def _bodies(half: str) -> Iterator[Case]:
    """Bodies with a fault, in either half."""
    make, own, other = (request, ASK, ANSWER) if half == "request" else (response, ANSWER, ASK)
    for name, (refusal, body) in _envelopes(own, other).items():
        if half == "response" or name in _BOTH:
            yield invalid(f"a {half}'s envelope: {name}", refusal, make(name), envelope=body)
    yield invalid(f"a {half}'s envelope: none came", "malformed", make("none", content=None))
    came = make("records", content=[b"alpha"])
    yield invalid(f"a {half}'s envelope: records came", "malformed", came)
    unsealed = make("no body", header={"body": None}, claims={"cty": None})
    yield invalid(f"a {half} without a body: one came", "malformed", unsealed)
    yield from _streams(half)


def _envelopes(own: Keys, other: Keys) -> dict[str, tuple[str, str]]:
    """Envelopes with a fault, and what they are refused with."""
    iv, content = iv_of("faulty body"), b'{"amount":5}'
    text = envelope(own.body, content, iv)
    raw = _raw(text)
    refused = {
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
    malformed = {
        "empty": "",
        "in clear": content.decode(),
        "another member": text.replace("}", ',"more":1}'),
        "text behind": f"{text}x",
    }
    both = {"refused": refused, "malformed": malformed}
    return {name: (code, body) for code, group in both.items() for name, body in group.items()}


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
        "the final record missing": ("malformed", a + b),
        "none came": ("malformed", b""),
        "extended": ("refused", a + b + c + b"\0"),
        "under the base nonce of the other half": ("refused", b"".join(mixed)),
        "longer than the seal says": ("refused", b"".join(stream(long, own.body, own.nonce))),
        "shorter than the seal says": ("refused", a + stream([b"", b""], own.body, own.nonce)[1]),
    }
    for name, (refusal, data) in streams.items():
        made = make(f"records {name}", header={"body": "records"}, claims={"length": 9})
        what = f"a {half}'s records: {name}"
        if half == "response" or name in _BOTH:
            yield invalid(what, refusal, made, envelope=None, records=data.hex())
    made = make("envelope as records", header={"body": "records"})
    yield invalid(f"a {half}'s records: an envelope came", "malformed", made)


def _presence() -> Iterator[Case]:
    """What a request says of a body without having one, and the reverse."""
    made = request("no cty", claims={"cty": None})
    yield invalid("a body without cty", "malformed", made)
    no_body: Case = {"header": {"body": None}, "content": None}
    yield invalid("cty without a body", "malformed", request("cty", **no_body))
    made = request("length", claims={"cty": None, "length": 0}, **no_body)
    yield invalid("length without a body", "malformed", made)


def _other_answers() -> Iterator[Case]:
    """Responses that do not belong to this request."""
    other = jti_of("another request")
    stranger = keys(RESPONSE, other + rsalt_of("exchange"))
    made = response("other", header={"jti": b64u(other)}, sealed_with=stranger, body_with=stranger)
    yield invalid("the response of another request", "refused", made)
    made = response("renamed", sealed_with=stranger, body_with=stranger)
    yield invalid("the response of another request, renamed", "refused", made)
    made = response("client")
    yield invalid("a response at the client of another request", "refused", made, jti=other.hex())
    shop = keys(RESPONSE, JTI + rsalt_of("exchange"), audience="https://shop.example")
    made = response("shop", sealed_with=shop, body_with=shop)
    yield invalid("the response of another audience", "refused", made)
    again = keys(RESPONSE, JTI + rsalt_of("again"))
    made = response("again", body_with=again)
    yield invalid("the body of another response to the same request", "refused", made)
    made = response("again records", header={"body": "records"}, content=[b"a"], body_with=again)
    name = "the records of another response to the same request"
    yield invalid(name, "refused", made)
    yield invalid("the request's own body", "refused", response("mirror", body_with=ASK))
    mirrored = response("mirrored", sealed_with=ASK, body_with=ASK)
    yield invalid("a response under the request's keys", "refused", mirrored)
    back = {"seal": request("back")["seal"]}
    yield invalid("the request's own seal", "malformed", response("back"), **back)


def _response_claims() -> Iterator[Case]:
    tables: dict[str, list[object]] = {
        "status": [100, 199, 600, -200, 200.5, 2e2, "200"],
        "cty": ["", "a/b\r\n"],
        "length": [-1, "12"],
        "headers": [{"etag": "a"}, ["etag", "a"], [["etag", 5]]],
        "query": ["a"],
        "op": [b64u(OP)],
        "server_time": [NOW],
    }
    for member, values in tables.items():
        for value in values:
            name = f"a response's {member}: {_shown(value)}"
            yield _answers(name, **{member: value})
    yield _answers("a response without status", status=None)
    for name, payload in {
        "empty": "",
        "status twice": '{"status":200,"status":200}',
        "text behind": '{"status":200}x',
        "a byte order mark": '\ufeff{"status":200}',
    }.items():
        made = response(name, header={"body": None}, claims=payload, content=None)
        yield invalid(f"a response's payload: {name}", "malformed", made)


_TRANSPORT = (
    *("access-control-allow-origin", "access-control-x", "age"),
    *("alt-svc", "clear-site-data", "connection", "content-length", "date", "keep-alive"),
    *("retry-after", "server", "set-cookie", "strict-transport-security", "timing-allow-origin"),
    *("trailer", "transfer-encoding", "upgrade", "vary", "via"),
)


def _outer_headers() -> Iterator[Case]:
    for name in _TRANSPORT:
        what = f"a transport header in a response: {name}"
        yield _answers(what, headers=[[name, "a"]])
    for name, what in {
        "Etag": "a name in upper case",
        "x_y": "a name with an underscore",
        "x y": "a name with a space",
        "Set-Cookie": "a transport header in upper case",
        "": "no name",
    }.items():
        yield _answers(f"a response's header: {what}", headers=[[name, "a"]])
    for what in ("a value with CR LF", "a value with a zero byte", "a value beyond U+00FF"):
        yield _answers(f"a response's header: {what}", headers=[["etag", _VALUES[what]]])


def _headers_ahead() -> Iterator[Case]:
    """Headers ahead of a response's content."""
    for value in (0, -1, "2", 2.0, True):
        name = f"hlen: {compact(value)}"
        yield invalid(name, "malformed", response(name, claims={"hlen": value}, content=b"[]"))
    most = response("most", claims={"hlen": 65_537}, content=b"[]")
    yield invalid("hlen: 65537", "too-large", most)
    no_body: Case = {"header": {"body": None}, "content": None}
    made = response("hlen alone", claims={"hlen": 2}, **no_body)
    yield invalid("hlen without a body", "malformed", made)
    made = response("hlen both", claims={"hlen": 2, "headers": []}, content=b"[]")
    yield invalid("hlen and headers", "malformed", made)
    yield from _texts_ahead()


def _texts_ahead() -> Iterator[Case]:
    texts: dict[str, tuple[str, int, bytes]] = {
        "more than there is": ("refused", 3, b"[]"),
        "an object": ("malformed", 2, b"{}"),
        "no JSON": ("malformed", 2, b"xx"),
        "cut": ("malformed", 13, b'[["etag","x"]]'),
        "a byte of the content": ("malformed", 3, b"[]x"),
        "another member behind": ("malformed", 11, b'[],"more":1'),
        "a transport header": ("malformed", 14, b'[["date","x"]]'),
        "a name in upper case": ("malformed", 14, b'[["Etag","x"]]'),
        "CR LF in a value": ("malformed", 18, rb'[["etag","x\r\n"]]'),
        "not UTF-8": ("malformed", 14, b'[["etag","\xff"]]'),
    }
    for name, (refusal, hlen, plaintext) in texts.items():
        made = response(f"ahead {name}", claims={"hlen": hlen}, content=plaintext)
        yield invalid(f"headers ahead: {name}", refusal, made)
        if refusal == "refused" or name == "a transport header":
            header = {"body": "records"}
            made = response(
                f"{name} records", header=header, claims={"hlen": hlen}, content=[plaintext]
            )
            yield invalid(f"headers ahead of records: {name}", refusal, made)
