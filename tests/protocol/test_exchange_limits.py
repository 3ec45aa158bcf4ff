"""The borders of an exchange: the longest and shortest that it takes, and what is left out."""

from __future__ import annotations

import base64
import json
import os

import pytest

from flask_sealed.errors import ConfigError, Malformed, Refused
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode, json_encode
from flask_sealed.protocol.exchange import (
    MOST_HEADERS,
    MOST_REQUEST_SEAL,
    MOST_RESPONSE_SEAL,
    ClientExchange,
    RequestSeal,
    ServerExchange,
    padded_length,
)
from flask_sealed.protocol.messages import Headers, Request, Response

SECRET = bytes(range(32))
AUDIENCE = "https://bank.example"
TRANSFER = Request(method="POST", target="/transfers", content_type="application/json")
LOOK = Request(method="GET", target="/accounts")
DONE = Response(status=200, content_type="text/plain")


def client(audience: str = AUDIENCE) -> ClientExchange:
    return ClientExchange(SECRET, "kid", audience, random=os.urandom)


def exchange(
    request: Request = TRANSFER, content: bytes | None = b""
) -> tuple[ClientExchange, ServerExchange]:
    asking = client()
    message = asking.seal(request, content, iat=1000)
    return asking, RequestSeal(message.seal).open(SECRET, AUDIENCE)


def sealed_bytes(body: bytes | None) -> int:
    """How many bytes an envelope holds beside its IV and its tag."""
    return len(base64.b64decode(json.loads(body or b"")["data"])) - 12 - 16


def headers_of(size: int) -> Headers:
    """Headers whose JSON text has so many bytes."""
    return (("x", "y" * (size - len('[["x",""]]'))),)


@pytest.mark.parametrize("audience", ["x", "x" * 255])
def test_the_shortest_and_the_longest_audience(audience: str) -> None:
    seal = client(audience).seal(LOOK, iat=1000).seal
    assert RequestSeal(seal).open(SECRET, audience).request.message == LOOK
    with pytest.raises(Refused):
        RequestSeal(seal).open(SECRET, audience[:-1] + "y")
    with pytest.raises(ConfigError):
        client(audience * 256)


def test_bodies_are_padded_only_where_asked() -> None:
    content = b"x" * 17
    plain, padded = (client().seal(TRANSFER, content, iat=1, pad=pad) for pad in (False, True))
    usual = client().seal(TRANSFER, content, iat=1)
    assert [sealed_bytes(sent.body) for sent in (plain, padded, usual)] == [17, 18, 17]
    assert RequestSeal(usual.seal).open(SECRET, AUDIENCE).request.length is None
    asking, server = exchange()
    answers = [
        server.seal(DONE, content, random=os.urandom, **pad)
        for pad in ({"pad": False}, {"pad": True}, {})
    ]
    assert [sealed_bytes(answer.body) for answer in answers] == [17, 18, 17]
    assert [asking.open(answer.seal).length for answer in answers] == [None, 17, None]


def test_headers_ahead_of_the_content_are_padded_with_it() -> None:
    asking, server = exchange()
    response = Response(status=200, headers=headers_of(1000))
    answer = server.seal(response, b"x" * 17, random=os.urandom, pad=True)
    assert sealed_bytes(answer.body) == padded_length(1017)
    assert asking.open(answer.seal).open_body(answer.body or b"") == b"x" * 17


def test_without_a_body_there_is_nothing_to_pad() -> None:
    asking, server = exchange(LOOK, None)
    answer = server.seal(DONE, random=os.urandom, pad=True, length=5)
    opened = asking.open(answer.seal)
    assert (answer.body, opened.body, opened.length) == (None, None, 5)


@pytest.mark.parametrize("fits", [True, False])
def test_headers_are_in_the_seal_up_to_768_bytes(fits: bool) -> None:
    asking, server = exchange()
    headers = headers_of(768 if fits else 769)
    answer = server.seal(Response(status=200, headers=headers), b"x", random=os.urandom)
    opened = asking.open(answer.seal)
    assert opened.message.headers == (headers if fits else ())
    assert opened.open_body(answer.body or b"") == b"x"
    assert opened.message.headers == headers


def test_headers_are_counted_in_bytes() -> None:
    asking, server = exchange()
    headers: Headers = (("x", "ä" * 380),)  # fewer than 768 characters, and more bytes
    answer = server.seal(Response(status=200, headers=headers), b"", random=os.urandom)
    opened = asking.open(answer.seal)
    assert opened.message.headers == ()
    assert opened.open_body(answer.body or b"") == b""
    assert opened.message.headers == headers


def test_the_most_headers_that_a_body_takes() -> None:
    asking, server = exchange()
    response = Response(status=200, headers=headers_of(MOST_HEADERS))
    answer = server.seal(response, b"content", random=os.urandom)
    opened = asking.open(answer.seal)
    assert opened.open_body(answer.body or b"") == b"content"
    assert opened.message == response
    stream = server.seal_stream(response, random=os.urandom)
    opened = asking.open(stream.seal)
    assert opened.open_body(stream.head + stream.records.finish(b"content")) == b"content"
    assert opened.message == response
    more = Response(status=200, headers=headers_of(MOST_HEADERS + 1))
    with pytest.raises(ValueError):
        server.seal(more, b"content", random=os.urandom)
    with pytest.raises(ValueError):
        server.seal_stream(more, random=os.urandom)


def test_the_longest_seal_of_a_response() -> None:
    asking, server = exchange(LOOK, None)
    lengths = []
    for size in range(1200, 1500):
        response = Response(status=204, headers=headers_of(size))
        try:
            seal = server.seal(response, random=os.urandom).seal
        except ValueError:
            break
        lengths.append(len(seal))
        assert asking.open(seal).message == response
    assert lengths[-1] == MOST_RESPONSE_SEAL


def test_the_longest_seal_of_a_request() -> None:
    lengths = []
    for size in range(4200, 4600):
        request = Request(method="GET", target="/accounts", query="x" * size)
        try:
            seal = client().seal(request, iat=1000).seal
        except ValueError:
            break
        lengths.append(len(seal))
        assert RequestSeal(seal).open(SECRET, AUDIENCE).request.message == request
    assert lengths[-1] == MOST_REQUEST_SEAL


@pytest.mark.parametrize("size", [0, 15, 17])
def test_the_name_of_an_exchange_has_16_bytes(size: int) -> None:
    asking, server = exchange()
    protected, rest = server.seal(DONE, b"", random=os.urandom).seal.split(".", 1)
    header = {**json.loads(b64u_decode(protected)), "jti": b64u_encode(bytes(size))}
    with pytest.raises(Malformed):
        asking.open(b64u_encode(json_encode(header)) + "." + rest)


def test_repr_says_what_it_is() -> None:
    asking, server = exchange()
    answer = server.seal(Response(status=204), random=os.urandom)
    assert repr(asking) == "<ClientExchange>"
    assert repr(RequestSeal(client().seal(LOOK, iat=1).seal)) == "<RequestSeal>"
    assert repr(server) == "<ServerExchange POST>"
    assert repr(server.request) == "<Opened Request, body envelope>"
    assert repr(asking.open(answer.seal)) == "<Opened Response, body None>"
