from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import ConfigError, Malformed, Refusal, Refused, TooLarge
from flask_sealed.protocol import exchange as module
from flask_sealed.protocol import jwe
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode, json_encode
from flask_sealed.protocol.exchange import (
    MOST_HEADERS,
    ClientExchange,
    Opened,
    RequestSeal,
    SealedMessage,
    ServerExchange,
    _read_request_header,
    padded_length,
)
from flask_sealed.protocol.messages import REQUEST_HEADERS, Headers, Request, Response

SECRET = bytes(range(32))
AUDIENCE = "https://bank.example"
OP = bytes(16)
TRANSFER = Request(
    method="POST",
    target="/transfers",
    content_type="application/json",
    query="secret=1",
    headers=(("authorization", "Bearer x"),),
    op=OP,
)
LOOK = Request(method="GET", target="/accounts?a")
CREATED = Response(status=201, content_type="text/plain", headers=(("etag", '"x"'),))
MANY_HEADERS: Headers = tuple((f"x-{number}", "ä" * 100) for number in range(30))


def ask(
    request: Request = TRANSFER, content: bytes | None = b"in", pad: bool = False
) -> tuple[ClientExchange, SealedMessage]:
    client = ClientExchange(SECRET, "kid", AUDIENCE, random=os.urandom)
    return client, client.seal(request, content, iat=1000, pad=pad)


def receive(seal: str, secret: bytes = SECRET, audience: str = AUDIENCE) -> ServerExchange:
    return RequestSeal(seal).open(secret, audience)


def exchange() -> tuple[ClientExchange, ServerExchange]:
    client, message = ask()
    return client, receive(message.seal)


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("content", [b"", b"in", b"\0" * 1000, os.urandom(70_000)])
def test_there_and_back(content: bytes, pad: bool) -> None:
    client, sent = ask(content=content, pad=pad)
    server = receive(sent.seal)
    assert server.request.message == TRANSFER
    assert server.iat == 1000
    assert server.request.length == (len(content) if pad else None)
    server.check_target("POST", "/transfers")
    assert server.request.open_body(sent.body or b"") == content
    answer = server.seal(CREATED, content[::-1], random=os.urandom, pad=pad)
    opened = client.open(answer.seal)
    assert opened.message == CREATED
    assert opened.open_body(answer.body or b"") == content[::-1]


USUAL = {
    "alg": "dir",
    "enc": "A256GCM",
    "typ": "sealed-request",
    "kid": "k",
    "jti": b64u_encode(bytes(16)),
    "iat": 1000,
    "htm": "POST",
    "target": "/transfers",
    "body": "envelope",
}
NEVER = re.compile("(?!)")
TEXTS = [
    "",
    "k",
    "ê",
    "a b",
    "dir",
    "GET",
    "/ä",
    "/\\u0041",
    '"',
    "\\",
    "\n",
    "\0",
    "records",
    "none",
]
KIDS = ["k" * 64, "k" * 65, "k" * 163, "k" * 162 + "."]
VALUES: list[object] = [*TEXTS, *KIDS, 0, 1, 2**53 - 1, 2**53, -1, 1.0, True, None, []]


def outcome(text: bytes) -> object:
    try:
        header = _read_request_header(text)
    except Refusal as refusal:
        return type(refusal)
    return {name: header[name] for name in header if name not in ("alg", "enc", "typ")}


def forms(header: dict[str, object]) -> Iterator[bytes]:
    text = json_encode(header)
    yield from (text, text + b" ", text[:-1], b"\xff" + text, text.lower())
    yield text.replace(b"1000", b"01000")
    yield json.dumps(header).encode()
    for name, value in header.items():
        yield json_encode({**header, "last": 0}).replace(b"last", name.encode())
        yield json_encode({name: value, **header})  # in another order


@pytest.mark.parametrize("name", [*USUAL, "zip"])
def test_the_usual_header_is_read_as_any_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {other: USUAL[other] for other in USUAL if other != name}
    headers = [others] + [{**USUAL, name: value} for value in VALUES]
    texts = [text for header in headers for text in forms(header)]
    quick = [outcome(text) for text in texts]
    monkeypatch.setattr(module, "_USUAL_HEADER", NEVER)
    assert quick == [outcome(text) for text in texts]


def test_the_usual_header_is_usual() -> None:
    _, message = ask()
    for text in (json_encode(USUAL), jwe.parse(message.seal, 6144).header):
        assert module._USUAL_HEADER.fullmatch(text.decode())


def test_there_and_back_without_bodies() -> None:
    client, sent = ask(LOOK, None)
    server = receive(sent.seal)
    assert sent.body is None
    assert server.request.message == LOOK
    assert server.request.body is None
    assert server.request.open_body(b"") == b""
    answer = server.seal(Response(status=204), random=os.urandom)
    assert answer.body is None
    opened = client.open(answer.seal)
    assert opened.message == Response(status=204)
    assert opened.open_body(b"") == b""


def test_a_response_to_head_tells_the_length_of_what_get_would_have() -> None:
    client, sent = ask(Request(method="HEAD", target="/"), None)
    response = Response(status=200, content_type="text/plain")
    answer = receive(sent.seal).seal(response, random=os.urandom, length=5)
    opened = client.open(answer.seal)
    assert (opened.message, opened.length, opened.body) == (response, 5, None)


@pytest.mark.parametrize("length", [None, 6])
def test_streams_there_and_back(length: int | None) -> None:
    client = ClientExchange(SECRET, "kid", AUDIENCE, random=os.urandom)
    up = client.seal_stream(TRANSFER, iat=1000, length=length)
    server = receive(up.seal)
    assert server.request.length == length
    data = up.head + up.records.seal(b"one") + up.records.finish(b"two")
    opener = server.request.open_records()
    assert opener.has_headers
    assert opener.feed(data) + opener.finish() == b"onetwo"
    down = server.seal_stream(CREATED, random=os.urandom, length=length)
    opened = client.open(down.seal)
    data = down.head + down.records.seal(b"three") + down.records.finish(b"!")
    assert opened.message == CREATED
    assert opened.open_body(data) == b"three!"


@pytest.mark.parametrize("content", [b"12345", b"1234567"])
def test_a_stream_has_the_length_that_the_seal_says(content: bytes) -> None:
    client = ClientExchange(SECRET, "kid", AUDIENCE, random=os.urandom)
    up = client.seal_stream(TRANSFER, iat=1000, length=6)
    with pytest.raises(Refusal):
        receive(up.seal).request.open_body(up.records.finish(content))


@pytest.mark.parametrize("pad", [False, True])
def test_headers_that_do_not_fit_the_seal_go_ahead_of_the_content(pad: bool) -> None:
    client, server = exchange()
    response = Response(status=200, content_type="text/plain", headers=MANY_HEADERS)
    answer = server.seal(response, b"content", random=os.urandom, pad=pad)
    opened = client.open(answer.seal)
    assert opened.message.headers == ()
    assert opened.open_body(answer.body or b"") == b"content"
    assert opened.message == response


def test_headers_go_ahead_of_a_stream_too() -> None:
    client, server = exchange()
    response = Response(status=200, headers=MANY_HEADERS)
    down = server.seal_stream(response, random=os.urandom, length=7)
    data = down.head + down.records.seal(b"con") + down.records.finish(b"tent")
    for size in (1, 100, len(data)):
        opened = client.open(down.seal)
        opener = opened.open_records()
        content = b""
        for start in range(0, len(data), size):
            content += opener.feed(data[start : start + size])
            assert opener.has_headers is bool(opened.message.headers)
            assert opener.has_headers or not content
        assert content + opener.finish() == b"content"
        assert opened.message == response


def test_headers_that_fit_neither_are_the_applications_fault() -> None:
    _, server = exchange()
    with pytest.raises(ValueError):
        server.seal(Response(status=204, headers=MANY_HEADERS), random=os.urandom)
    huge = Response(status=200, headers=(("x", "y" * MOST_HEADERS),))
    with pytest.raises(ValueError):
        server.seal(huge, b"", random=os.urandom)
    with pytest.raises(ValueError):
        server.seal_stream(huge, random=os.urandom)


def test_a_request_that_does_not_pass_proxies_is_the_callers_fault() -> None:
    with pytest.raises(ValueError):
        ask(Request(method="GET", target="/", query="x" * 6144), None)
    with pytest.raises(TooLarge):
        receive("x" * 6145)
    client, _ = ask()
    with pytest.raises(TooLarge):
        client.open("x" * 2049)


@pytest.mark.parametrize(("request_", "content"), [(TRANSFER, None), (LOOK, b"")])
def test_a_request_has_a_type_exactly_where_it_has_a_body(
    request_: Request, content: bytes | None
) -> None:
    with pytest.raises(ValueError):
        ask(request_, content)


def test_an_exchange_seals_one_request() -> None:
    client, _ = ask()
    with pytest.raises(ValueError):
        client.seal(LOOK, iat=1000)
    with pytest.raises(ValueError):
        client.seal_stream(TRANSFER, iat=1000)


@pytest.mark.parametrize("audience", ["", "x" * 256, "é" * 128])
def test_an_audience_has_a_name(audience: str) -> None:
    with pytest.raises(ConfigError):
        ClientExchange(SECRET, "kid", audience, random=os.urandom)
    _, message = ask()
    with pytest.raises(ConfigError):
        receive(message.seal, audience=audience)


def test_nothing_of_the_content_is_in_the_header() -> None:
    _, message = ask()
    header = json.loads(b64u_decode(message.seal.partition(".")[0]))
    assert set(header) == {"alg", "enc", "typ", "kid", "jti", "iat", "htm", "target", "body"}
    assert "secret" not in json.dumps(header)


def test_another_secret_audience_or_target_is_refused() -> None:
    _, message = ask()
    for secret, audience in ((bytes(32), AUDIENCE), (SECRET, "https://bank.exampl")):
        with pytest.raises(Refused):
            receive(message.seal, secret, audience)
    server = receive(message.seal)
    for method, resource in (("PUT", "/transfers"), ("POST", "/transfers?a"), ("POST", "/t")):
        with pytest.raises(Refused):
            server.check_target(method, resource)


def test_seals_and_bodies_of_other_exchanges_are_refused() -> None:
    first, first_sent = ask()
    _, second_sent = ask()
    server, other = receive(first_sent.seal), receive(second_sent.seal)
    with pytest.raises(Refused):
        server.request.open_body(second_sent.body or b"")
    stranger = other.seal(CREATED, b"out", random=os.urandom)
    with pytest.raises(Refused):
        first.open(stranger.seal)
    mine = server.seal(CREATED, b"out", random=os.urandom)
    for body in (stranger.body, first_sent.body):
        with pytest.raises(Refused):
            first.open(mine.seal).open_body(body or b"")


def test_a_response_is_no_request_and_a_request_no_response() -> None:
    client, sent = ask()
    answer = receive(sent.seal).seal(Response(status=204), random=os.urandom)
    with pytest.raises(Malformed):
        RequestSeal(answer.seal)
    with pytest.raises(Malformed):
        client.open(sent.seal)


def test_each_response_to_a_replayed_request_has_its_own_keys() -> None:
    client, sent = ask()
    one, two = (
        receive(sent.seal).seal_stream(CREATED, random=os.urandom).records.finish(b"out")
        for _ in range(2)
    )
    # Records have no IV of their own: with the same keys, these would be the same bytes.
    assert one != two
    server = receive(sent.seal)
    mine = server.seal_stream(CREATED, random=os.urandom)
    with pytest.raises(Refused):
        client.open(mine.seal).open_body(two)


def test_a_body_has_to_be_what_the_seal_says() -> None:
    client, sent = ask(LOOK, None)
    with pytest.raises(Malformed):
        receive(sent.seal).request.open_body(b"x")
    with pytest.raises(Malformed):
        receive(sent.seal).request.open_records()
    _, sent = ask()
    with pytest.raises(Malformed):
        receive(sent.seal).request.open_records()
    client = ClientExchange(SECRET, "kid", AUDIENCE, random=os.urandom)
    stream = client.seal_stream(TRANSFER, iat=1000)
    with pytest.raises(Refusal):
        receive(stream.seal).request.open_body(sent.body or b"")


def test_every_changed_character_of_a_seal_is_refused() -> None:
    client, sent = ask()
    answer = receive(sent.seal).seal(CREATED, random=os.urandom).seal
    openers: list[tuple[str, Callable[[str], object]]] = [
        (sent.seal, receive),
        (answer, client.open),
    ]
    for seal, open_ in openers:
        open_(seal)
        for position in range(len(seal)):
            other = "A" if seal[position] != "A" else "B"
            with pytest.raises(Refusal):
                open_(seal[:position] + other + seal[position + 1 :])
            with pytest.raises(Refusal):
                open_(seal[:position])


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "A256KW"},
        {"alg": "none"},
        {"enc": "A128GCM"},
        {"typ": "sealed-response"},
        {"zip": "DEF"},
        {"crit": ["exp"]},
        {"body": "none"},
        {"iat": "1000"},
        {"iat": 1.5},
        {"iat": True},
        {"iat": -1},
        {"iat": 2**53},
        {"jti": "AA"},
        {"jti": None},
        {"kid": 5},
        {"kid": ""},
        {"kid": "x" * 65},
        {"kid": "x" * 162},
        {"kid": "x" * 164},
        {"kid": "." * 163},
        {"kid": "ä"},
        {"kid": "a b"},
        {"more": 1},
    ],
)
def test_headers_are_a_closed_set(change: dict[str, Any]) -> None:
    _, message = ask()
    protected, _, rest = message.seal.partition(".")
    header = {**json.loads(b64u_decode(protected)), **change}
    with pytest.raises(Malformed):
        RequestSeal(b64u_encode(json.dumps(header).encode()) + "." + rest)


def test_a_member_that_stands_twice_or_is_missing_is_malformed() -> None:
    _, message = ask()
    protected, _, rest = message.seal.partition(".")
    text = b64u_decode(protected).decode()
    for changed in (
        text[:-1] + ',"iat":1000}',
        text.replace('"iat":1000,', ""),
        "[]",
        "{",
        "\ud800",
    ):
        with pytest.raises(Malformed):
            RequestSeal(b64u_encode(changed.encode("utf-8", "surrogatepass")) + "." + rest)


def sealed_request(claims: Any, **header: Any) -> str:
    """A request's seal with other claims than a client would write, under the right keys."""
    client = ClientExchange(SECRET, "kid", AUDIENCE, random=os.urandom)
    members = {
        **jwe.ALGORITHMS,
        "typ": "sealed-request",
        "kid": "kid",
        "jti": b64u_encode(client._jti),
        "iat": 1000,
        "htm": "POST",
        "target": "/",
        "body": "envelope",
        **header,
    }
    members = {name: value for name, value in members.items() if value is not None}
    text = claims if isinstance(claims, bytes) else json_encode(claims)
    return jwe.seal(client._keys.seal, json_encode(members), text, iv=bytes(12))


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        ({}, {}),
        ({"cty": "a"}, {"body": None}),
        ({"length": 0}, {"body": None}),
        ({"cty": "a", "length": -1}, {}),
        ({"cty": "a", "length": 2**53}, {}),
        ({"cty": ""}, {}),
        ({"cty": "a\n"}, {}),
        ({"cty": "a", "query": "b"}, {"target": "/?c"}),
        ({"cty": "a", "query": " "}, {}),
        ({"cty": "a", "op": "AA"}, {}),
        ({"cty": "a", "op": 1}, {}),
        ({"cty": "a", "status": 200}, {}),
        ({"cty": "a", "hlen": 1}, {}),
        ({"cty": "a", "headers": {"accept": "b"}}, {}),
        ({"cty": "a", "headers": [["accept"]]}, {}),
        ({"cty": "a", "headers": [["Accept", "b"]]}, {}),
        ({"cty": "a", "headers": [["accept", "b"], ["accept", "b"]]}, {}),
        ({"cty": "a", "headers": [["cookie", "b"]]}, {}),
        ({"cty": "a", "headers": [["x_y", "b"]]}, {}),
        ({"cty": "a"}, {"htm": "G T"}),
        ({"cty": "a"}, {"target": "a"}),
        ({"cty": "a"}, {"target": "/ "}),
        (b'{"cty":"a","cty":"a"}', {}),
        (b'{"cty":"\\ud800"}', {}),
        (b'{"cty":"\xff"}', {}),
        (b"[]", {}),
        (b"", {}),
        (b"[" * 2000, {}),
    ],
)
def test_what_a_request_says_is_a_closed_set(claims: Any, header: dict[str, Any]) -> None:
    receive(sealed_request({"cty": "a"}))
    with pytest.raises(Malformed):
        receive(sealed_request(claims, **header))


def test_an_application_may_add_to_the_headers() -> None:
    seal = sealed_request({"cty": "a", "headers": [["x-mine", "b"]]})
    allowed = REQUEST_HEADERS | {"x-mine"}
    server = RequestSeal(seal).open(SECRET, AUDIENCE, allowed=allowed)
    assert server.request.message.headers == (("x-mine", "b"),)


def sealed_response(
    server: ServerExchange, claims: Any, *, plaintext: bytes = b"", **header: Any
) -> tuple[str, bytes]:
    rsalt = os.urandom(16)
    keys = server._keys.response(server._jti, rsalt)
    members = {
        **jwe.ALGORITHMS,
        "typ": "sealed-response",
        "jti": b64u_encode(server._jti),
        "rsalt": b64u_encode(rsalt),
        "body": "envelope",
        **header,
    }
    members = {name: value for name, value in members.items() if value is not None}
    seal = jwe.seal(keys.seal, json_encode(members), json_encode(claims), iv=bytes(12))
    return seal, keys.seal_envelope(plaintext, bytes(12))


@pytest.mark.parametrize(
    ("claims", "header", "refusal"),
    [
        ({}, {}, Malformed),
        ({"status": 199}, {}, Malformed),
        ({"status": 600}, {}, Malformed),
        ({"status": "200"}, {}, Malformed),
        ({"status": 200, "op": "a"}, {}, Malformed),
        ({"status": 200, "cty": "\n"}, {}, Malformed),
        ({"status": 200, "headers": [["set-cookie", "b"]]}, {}, Malformed),
        ({"status": 200, "headers": [["A", "b"]]}, {}, Malformed),
        ({"status": 200, "hlen": 0}, {}, Malformed),
        ({"status": 200, "hlen": 2, "headers": []}, {}, Malformed),
        ({"status": 200, "hlen": 2}, {"body": None}, Malformed),
        ({"status": 200, "hlen": 65537}, {}, TooLarge),
        ({"status": 200}, {"rsalt": "AA"}, Malformed),
        ({"status": 200}, {"jti": "A" * 22}, Refused),
        ({"status": 200}, {"body": "x"}, Malformed),
    ],
)
def test_what_a_response_says_is_a_closed_set(
    claims: Any, header: dict[str, Any], refusal: type[Refusal]
) -> None:
    client, server = exchange()
    client.open(sealed_response(server, {"status": 200})[0])
    with pytest.raises(refusal):
        client.open(sealed_response(server, claims, **header)[0])


@pytest.mark.parametrize(
    ("claims", "plaintext", "refusal"),
    [
        ({"length": 2}, b"x", Refused),
        ({"length": 17}, b"x" * 17 + b"\0", None),
        ({"length": 17}, b"x" * 17 + b"\1", Refused),
        ({"length": 17}, b"x" * 17 + b"\0\0", Refused),
        ({"length": 17}, b"x" * 17, None),
        ({"hlen": 3}, b"[]", Refused),
        ({"hlen": 2}, b"[]x", None),
        ({"hlen": 2}, b"{}x", Malformed),
        ({"hlen": 13}, b'[["date","x"]', Malformed),
        ({"hlen": 14}, b'[["date","x"]]', Malformed),
        ({"hlen": 10}, b'[],"a":[1]', Malformed),
        ({"hlen": 2, "length": 15}, b"[]" + b"x" * 15 + b"\0", None),
        ({"hlen": 2, "length": 16}, b"[]" + b"x" * 15, Refused),
    ],
)
def test_padding_and_headers_in_the_body(
    claims: Any, plaintext: bytes, refusal: type[Refusal] | None
) -> None:
    client, server = exchange()
    seal, body = sealed_response(server, {"status": 200, **claims}, plaintext=plaintext)
    if refusal is None:
        assert client.open(seal).open_body(body) == b"x" * claims.get("length", 1)
    else:
        with pytest.raises(refusal):
            client.open(seal).open_body(body)


def test_broken_headers_ahead_of_a_stream_stay_broken() -> None:
    client, server = exchange()
    seal, _ = sealed_response(server, {"status": 200, "hlen": 2}, body="records")
    rsalt = b64u_decode(json.loads(b64u_decode(seal.partition(".")[0]))["rsalt"])
    records = server._keys.response(server._jti, rsalt).seal_records()
    opener = client.open(seal).open_records()
    with pytest.raises(Malformed):
        opener.feed(records.seal(b"{}content"))
    with pytest.raises(Malformed):
        opener.feed(records.seal(b"more"))
    short = client.open(seal).open_records()
    rest = server._keys.response(server._jti, rsalt).seal_records()
    short.feed(rest.finish(b"["))
    with pytest.raises(Refused):
        short.finish()


@given(st.integers(0, 2**40))
def test_padme(length: int) -> None:
    padded = padded_length(length)
    assert length <= padded <= length * 1.12 + 1
    assert padded_length(padded) == padded
    # Of its bits, only the first ones tell something.
    significant = len(f"{padded:b}".rstrip("0"))
    assert significant <= length.bit_length().bit_length() + 1


def test_padme_of_the_paper() -> None:
    assert [padded_length(n) for n in (0, 1, 9, 17, 100, 1000, 2**20 + 1)] == [
        *(0, 1, 10, 18, 104, 1024),
        2**20 + 2**15,
    ]


def test_a_seal_tells_its_body_before_it_is_opened() -> None:
    get = ClientExchange(SECRET, "billing", AUDIENCE, random=os.urandom)
    assert RequestSeal(get.seal(Request(method="GET", target="/"), iat=1).seal).body is None
    for stream in (False, True):
        post = ClientExchange(SECRET, "billing", AUDIENCE, random=os.urandom)
        request = Request(method="POST", target="/", content_type="text/plain", op=bytes(16))
        sealed = post.seal_stream(request, iat=1) if stream else post.seal(request, b"x", iat=1)
        assert RequestSeal(sealed.seal).body == ("records" if stream else "envelope")


def test_repr_shows_no_content() -> None:
    client, message = ask()
    server = receive(message.seal)
    opened: Opened[Request] = server.request
    texts = (repr(server), repr(RequestSeal(message.seal)), repr(client), repr(opened))
    assert not any("Bearer" in text or "secret=1" in text for text in texts)


@given(st.text())
def test_arbitrary_text_raises_only_refusals(text: str) -> None:
    with pytest.raises(Refusal):
        receive(text)
    client, _ = ask()
    with pytest.raises(Refusal):
        client.open(text)


@given(st.binary(), st.booleans())
def test_arbitrary_bodies_raise_only_refusals(body: bytes, stream: bool) -> None:
    client = ClientExchange(SECRET, "kid", AUDIENCE, random=os.urandom)
    seal = (
        client.seal_stream(TRANSFER, iat=1).seal
        if stream
        else client.seal(TRANSFER, b"", iat=1).seal
    )
    with pytest.raises(Refusal):
        receive(seal).request.open_body(body)
