"""exchange.json, its valid cases: whole requests and responses."""

from __future__ import annotations

from collections.abc import Iterator

from .exchange_faults import request_faults, response_faults
from .halves import (
    AUDIENCE,
    GIVEN,
    JSON,
    KID,
    NOW,
    OP,
    REQUEST,
    RESPONSE,
    SECRET,
    STARTS,
    Keys,
    envelope,
    iv_of,
    jti_of,
    jwe,
    keys,
    request_header,
    response_header,
    rsalt_of,
)
from .primitives import Case, b64u, compact, file, fixed, padme
from .records import stream

DESCRIPTION = """
Exchanges: a request and its response. Binary values are in hex.
A valid case has both halves. What an application says is in `method`, `target`, `status`,
`content_type`, `query`, `headers`, `op`, `content`, `pad` (whether the content is padded), and
`length` (the number of bytes that the seal says, where it says one).
Of that come `derived` (seal key 32, body key 32, base nonce 12), `payload`, the text that the seal
hides, and `seal`, whose first part is its header; then, where there is a body, `envelope` (text)
or `records`, the stream.
`plaintext` is what the envelope seals, where that is not the content alone, and `plaintexts` are
those of the records. `iv` and `body_iv` are the random bytes of the seal and of the envelope.
Sealers may order the members of header and payload in another way, cut a stream elsewhere, and
put headers ahead of the content from another size on (here: more than 768 bytes).

An invalid case is one half. A server is given one of `half` `request`: it opens `seal`, compares
what was sealed with `routed`, compares its clock `now` (seconds since 1970), looks into its
`store` (which began at `begun` and has `seen` those operations), and opens the body, which comes
as `envelope`, as `records`, or not at all. The client that made the request `jti` is given one of
`half` `response`. `also_allowed` are the headers that an application adds to the closed list.
"""
_TRANSFER: Case = {
    "method": "POST",
    "target": "/transfers",
    "content_type": JSON,
    "op": OP,
    "content": b'{"amount":5}',
}
_LOOK: Case = {"method": "GET", "target": "/accounts?page=2"}
_DONE: Case = {"status": 200, "content_type": JSON, "content": b'{"done":1}'}
_NOTHING: Case = {"status": 204}
_LONG = {"repeat": ["ä", 400]}


def exchange() -> Case:
    valid = [*_plain(), *_bodies(), *_headers_ahead(), *_edges()]
    return file(DESCRIPTION, valid, [*request_faults(), *response_faults()], GIVEN | STARTS)


def _plain() -> Iterator[Case]:
    inner = [["authorization", "Bearer x"], ["accept-language", "de"]]
    etag = [["etag", '"x"'], ["link", "</a>"], ["link", "</b>"]]
    yield _case(
        "envelopes, inner headers and a hidden query",
        {**_TRANSFER, "query": "secret=1&b=%20?#", "headers": inner},
        {**_DONE, "status": 201, "headers": etag},
    )
    yield _case("no bodies", _LOOK, _NOTHING)
    yield from _other_headers()
    hidden = {"status": 303, "headers": [["location", "/accounts?b=1"]]}
    yield _case("a redirect", _TRANSFER, hidden)
    yield _case("HEAD", {**_LOOK, "method": "HEAD"}, {**_HEAD, "headers": etag})
    ticket = b64u(fixed("the ticket of an exchange", 122))
    yield _case("a ticket as kid", _TRANSFER, {**_DONE, "status": 599}, kid=ticket)


def _other_headers() -> Iterator[Case]:
    everything = ["accept", "accept-language", "authorization", "idempotency-key"]
    everything += ["x-csrf-token", "x-csrftoken", "x-xsrf-token"]
    yield _case(
        "all inner headers",
        {**_LOOK, "headers": [[name, "a"] for name in everything]},
        {"status": 401, "headers": [["www-authenticate", "Bearer"]]},
    )
    yield _case(
        "an inner header that the application allows",
        {**_LOOK, "headers": [["x-mine", "a"]]},
        _NOTHING,
        also_allowed=["x-mine"],
    )
    beyond = "\t !~\xa0ÿ"
    yield _case(
        "header values beyond ASCII",
        {**_LOOK, "headers": [["accept", beyond], ["authorization", ""]]},
        {"status": 200, "headers": [["x", beyond], ["y!#$%&'*+-.^`|~1", ""]]},
    )


_HEAD: Case = {"status": 200, "content_type": JSON, "length": 1000}


def _bodies() -> Iterator[Case]:
    padded = {"pad": True, "length": 12}
    yield _case(
        "padded", _TRANSFER | padded, {**_DONE, "content": b"x" * 99, "pad": True, "length": 99}
    )
    empty = {"content": b"", "pad": True, "length": 0}
    yield _case("empty content", {**_TRANSFER, "content": b""}, _DONE | empty)
    records = {"content": [b"alpha", b"beta", b""]}
    yield _case("records", _TRANSFER | records, _DONE | {"content": [b"end"]})
    long = {**records, "length": 9}
    yield _case("records of a length that the seal says", _TRANSFER | long, _DONE | long)


def _headers_ahead() -> Iterator[Case]:
    long = {"headers": [["x-long", _LONG], ["etag", '"x"']]}
    yield _case("headers ahead of the content", _LOOK, _DONE | long)
    parts = [b"alpha", b"beta"]
    yield _case("headers ahead of records", _LOOK, _DONE | long | {"content": parts, "length": 9})


def _edges() -> Iterator[Case]:
    yield _case("60 s old", _LOOK | {"iat": NOW - 60}, _NOTHING)
    yield _case("10 s ahead", _LOOK | {"iat": NOW + 10}, _NOTHING)
    begun = {"begun": NOW - 131, "seen": [fixed("another op", 16).hex()]}
    yield _case("a store that began 131 s ago", _TRANSFER, _DONE, store=begun)
    begun = {"begun": NOW, "seen": [OP.hex()]}
    yield _case("a safe request, whatever the store knows", _LOOK | {"op": OP}, _DONE, store=begun)
    unknown = {**_TRANSFER, "method": "!#$%&'*+-.^_`|~0aZ"}
    yield _case("an unknown method", unknown, _DONE)


def _case(name: str, asked: Case, answered: Case, **changes: object) -> Case:
    """A valid case; ``changes`` are inputs of both halves."""
    inputs: Case = {"secret": SECRET.hex(), "audience": AUDIENCE, "kid": KID, **changes}
    jti, rsalt = jti_of(name), rsalt_of(name)
    ask = keys(REQUEST, jti, audience=inputs["audience"])
    answer = keys(RESPONSE, jti + rsalt, audience=inputs["audience"])
    return {
        "name": name,
        **inputs,
        "request": _request(name, ask, jti, inputs["kid"], asked),
        "response": _response(name, answer, jti, rsalt, answered),
    }


def _request(name: str, half: Keys, jti: bytes, kid: str, said: Case) -> Case:
    header = request_header(
        jti,
        kid=kid,
        iat=said.get("iat", NOW),
        htm=said["method"],
        target=said["target"],
        body=_kind(said),
    )
    members = {
        "cty": said.get("content_type"),
        "query": said.get("query"),
        "headers": said.get("headers"),
        "length": said.get("length"),
        "op": b64u(said["op"]) if "op" in said else None,
    }
    written = {"iat": NOW, **said, "jti": jti.hex()}
    return _half(f"{name}, request", half, header, members, written)


def _response(name: str, half: Keys, jti: bytes, rsalt: bytes, said: Case) -> Case:
    header = response_header(jti, rsalt, body=_kind(said))
    headers = [[field, _expanded(value)] for field, value in said.get("headers", [])]
    text = compact(headers).encode()
    head = text if len(text) > 768 else b""
    members = {
        "status": said["status"],
        "cty": said.get("content_type"),
        "length": said.get("length"),
        "headers": None if head or not headers else headers,
        "hlen": len(head) or None,
    }
    written = {**said, "rsalt": rsalt.hex()}
    return _half(f"{name}, response", half, header, members, written, head)


def _expanded(value: str | Case) -> str:
    if isinstance(value, str):
        return value
    part, count = value["repeat"]
    return str(part) * int(count)


def _kind(said: Case) -> str | None:
    if "content" not in said:
        return None
    return "records" if isinstance(said["content"], list) else "envelope"


def _half(
    label: str, half: Keys, header: Case, members: Case, said: Case, head: bytes = b""
) -> Case:
    payload = compact({name: value for name, value in members.items() if value is not None})
    iv = iv_of(label)
    made: Case = {name: _written(value) for name, value in said.items()}
    made |= {"derived": half.derived.hex(), "iv": iv.hex()}
    made |= {"payload": payload, "seal": jwe(half.seal, header, payload, iv)}
    if "content" not in said:
        return made
    return made | _body(label, half, said, head)


def _written(value: object) -> object:
    if isinstance(value, list) and all(isinstance(part, bytes) for part in value):
        value = b"".join(value)
    return value.hex() if isinstance(value, bytes) else value


def _hex(data: bytes) -> object:
    """Bytes in hex, the long header written shortly."""
    ahead, long, behind = data.partition(("ä" * 400).encode())
    if not long:
        return data.hex()
    return {"join": [ahead.hex(), {"repeat": ["ä".encode().hex(), 400]}, behind.hex()]}


def _body(label: str, half: Keys, said: Case, head: bytes) -> Case:
    content = said["content"]
    if isinstance(content, list):
        plaintexts = [head, *content] if head else content
        sealed = b"".join(stream(plaintexts, half.body, half.nonce))
        return {"plaintexts": [_hex(part) for part in plaintexts], "records": sealed.hex()}
    plaintext, iv = head + content, iv_of(f"{label} body")
    if said.get("pad"):
        plaintext = plaintext.ljust(padme(len(plaintext)), b"\0")
    shown = {} if plaintext == content else {"plaintext": _hex(plaintext)}
    return {**shown, "body_iv": iv.hex(), "envelope": envelope(half.body, plaintext, iv)}
