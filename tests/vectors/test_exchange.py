from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flask_sealed.protocol import envelope, jwe
from flask_sealed.protocol.exchange import (
    ClientExchange,
    Opened,
    RequestSeal,
    SealedMessage,
    SealedStream,
    ServerExchange,
)
from flask_sealed.protocol.messages import REQUEST_HEADERS, Headers, Request, Response
from flask_sealed.protocol.replay import check_fresh

from .reading import Case, every, refused, run
from .roles import Tape, body, check_operation, client, serve, take


def headers_of(half: Case) -> Headers:
    return tuple((name, value) for name, value in half.get("headers", []))


def request_of(half: Case) -> Request:
    return Request(
        method=half["method"],
        target=half["target"],
        content_type=half.get("content_type"),
        query=half.get("query"),
        headers=headers_of(half),
        op=half.hex("op") if "op" in half else None,
    )


def response_of(half: Case) -> Response:
    return Response(
        status=half["status"],
        content_type=half.get("content_type"),
        headers=headers_of(half),
    )


def content_of(half: Case) -> bytes | None:
    return half.hex("content") if "content" in half else None


def randomness(half: Case, *first: str) -> Tape:
    names = [*first, "iv", *(["body_iv"] if "body_iv" in half else [])]
    return Tape(*map(half.hex, names))


def check_sealed(half: Case, sealed: SealedMessage) -> None:
    assert sealed.seal == half["seal"]
    assert (sealed.body or b"") == body(half)


def check_stream(half: Case, sealed: SealedStream) -> None:
    assert sealed.seal == half["seal"]
    pieces = [bytes.fromhex(piece) for piece in half["plaintexts"]]
    if sealed.head:
        del pieces[0]  # the headers: the sealer has put them there itself
    parts = [sealed.head, *map(sealed.records.seal, pieces[:-1])]
    assert b"".join(parts) + sealed.records.finish(pieces[-1]) == body(half)


def check_parts(half: Case) -> None:
    """The values in between, as far as they are seen from outside."""
    derived = half.hex("derived")
    parsed = jwe.parse(half["seal"], len(half["seal"]))
    assert jwe.open_(AESGCM(derived[:32]), parsed).decode() == half["payload"]
    if "plaintext" in half:
        plaintext = half.hex("plaintext")
        assert envelope.open_(AESGCM(derived[32:64]), body(half), aad=b"envelope") == plaintext


def check_opened(half: Case, opened: Opened[Any], message: Request | Response) -> None:
    assert opened.length == half.get("length")
    assert opened.body == next((kind for kind in ("envelope", "records") if kind in half), None)
    assert opened.open_body(body(half)) == (content_of(half) or b"")
    assert opened.message == message


def ask(case: Case) -> ClientExchange:
    """The client seals the request."""
    half = case["request"]
    random = randomness(half, "jti")
    exchange = client(case, random)
    message, iat, length = request_of(half), half["iat"], half.get("length")
    if "records" in half:
        check_stream(half, exchange.seal_stream(message, iat=iat, length=length))
    else:
        pad = half.get("pad", False)
        check_sealed(half, exchange.seal(message, content_of(half), iat=iat, pad=pad))
    assert random.is_used_up()
    check_parts(half)
    return exchange


def receive(case: Case) -> ServerExchange:
    """The server opens it."""
    half = case["request"]
    allowed = REQUEST_HEADERS | set(case.get("also_allowed", []))
    seal = RequestSeal(half["seal"])
    assert seal.kid == case["kid"]
    exchange = seal.open(case.hex("secret"), case["audience"], allowed=allowed)
    exchange.check_target(half["method"], half["target"])
    assert exchange.iat == half["iat"]
    check_fresh(exchange.iat, case["now"])
    check_operation(exchange, case)
    check_opened(half, exchange.request, request_of(half))
    return exchange


def answer(case: Case, exchange: ServerExchange) -> None:
    """The server seals the response."""
    half = case["response"]
    random = randomness(half, "rsalt")
    message, length, pad = response_of(half), half.get("length"), half.get("pad", False)
    if "records" in half:
        check_stream(half, exchange.seal_stream(message, random=random, length=length))
    else:
        content = content_of(half)
        sealed = exchange.seal(message, content, random=random, pad=pad, length=length)
        check_sealed(half, sealed)
    assert random.is_used_up()
    check_parts(half)


def there_and_back(case: Case) -> None:
    exchange = ask(case)
    answer(case, receive(case))
    half = case["response"]
    check_opened(half, exchange.open(half["seal"]), response_of(half))


def is_refused(case: Case) -> None:
    with refused(case):
        {"request": serve, "response": take}[case["half"]](case)


@every("exchange", "valid")
def test_valid(case: Case) -> None:
    run(case, there_and_back)


@every("exchange", "invalid")
def test_invalid(case: Case) -> None:
    run(case, is_refused)
