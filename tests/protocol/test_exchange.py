from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed, Refusal, Refused, TooLarge
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode
from flask_sealed.protocol.exchange import (
    Body,
    ClientExchange,
    Request,
    RequestSeal,
    Response,
    ServerExchange,
    target,
)

SECRET = bytes(range(32))
AUDIENCE = "https://bank.example"
OP = bytes(16)
TRANSFER = Request(
    method="POST",
    target="/transfers",
    content_type="application/json",
    query="secret=1",
    headers=[("authorization", "Bearer x")],
    op=OP,
)


def ask(
    request: Request = TRANSFER, secret: bytes = SECRET, body: Body | None = "envelope"
) -> tuple[ClientExchange, str]:
    client = ClientExchange(secret, "kid", AUDIENCE, random=os.urandom)
    return client, client.seal_request(request, iat=1000, body=body)


def receive(seal: str, secret: bytes = SECRET, audience: str = AUDIENCE) -> ServerExchange:
    return RequestSeal.parse(seal).open(secret, audience)


@pytest.mark.parametrize("body", ["envelope", "records", None])
def test_there_and_back(body: Body | None) -> None:
    client, seal = ask(body=body)
    sent = {"envelope": client.seal_body(b"in"), "records": client.seal_records().finish(b"in")}
    server = receive(seal)
    assert server.request.message == TRANSFER
    assert server.iat == 1000
    server.check_target("POST", "/transfers")
    assert server.request.open_body(sent.get(body or "", b"")) == (b"in" if body else b"")
    answer = Response(status=201, content_type="text/plain", headers=[("etag", '"x"')])
    sealed = server.seal_response(answer, random=os.urandom, body=body)
    back = {"envelope": sealed.seal_body(b"out"), "records": sealed.seal_records().finish(b"out")}
    opened = client.open_response(sealed.seal)
    assert opened.message == answer
    assert opened.open_body(back.get(body or "", b"")) == (b"out" if body else b"")


def test_nothing_of_the_content_is_in_the_header() -> None:
    _, seal = ask()
    header = json.loads(b64u_decode(seal.partition(".")[0]))
    assert set(header) == {"alg", "enc", "typ", "kid", "jti", "iat", "htm", "target", "body"}
    assert "secret" not in json.dumps(header)


def test_another_secret_audience_or_target_is_refused() -> None:
    _, seal = ask()
    for secret, audience in ((bytes(32), AUDIENCE), (SECRET, "https://bank.exampl")):
        with pytest.raises(Refused):
            receive(seal, secret, audience)
    server = receive(seal)
    for method, resource in (("PUT", "/transfers"), ("POST", "/transfers?a"), ("POST", "/t")):
        with pytest.raises(Refused):
            server.check_target(method, resource)


def test_seals_and_bodies_of_other_exchanges_are_refused() -> None:
    first, first_seal = ask()
    second, second_seal = ask()
    server, other = receive(first_seal), receive(second_seal)
    with pytest.raises(Refused):
        server.request.open_body(second.seal_body(b"in"))
    answer = other.seal_response(Response(status=200), random=os.urandom, body="envelope")
    with pytest.raises(Refused):
        first.open_response(answer.seal)
    mine = server.seal_response(Response(status=200), random=os.urandom, body="envelope")
    for stranger in (answer.seal_body(b"out"), first.seal_body(b"out")):
        with pytest.raises(Refused):
            first.open_response(mine.seal).open_body(stranger)


def test_a_response_is_no_request_and_a_request_no_response() -> None:
    client, seal = ask()
    answer = receive(seal).seal_response(Response(status=200), random=os.urandom)
    with pytest.raises(Malformed):
        RequestSeal.parse(answer.seal)
    with pytest.raises(Malformed):
        client.open_response(seal)


def test_each_response_to_a_replayed_request_has_its_own_keys() -> None:
    client, seal = ask()
    one, two = (
        receive(seal).seal_response(Response(status=200), random=os.urandom, body="records")
        for _ in range(2)
    )
    # Records have no IV of their own: with the same keys, these would be the same bytes.
    assert one.seal_records().finish(b"out") != two.seal_records().finish(b"out")
    with pytest.raises(Refused):
        client.open_response(one.seal).open_body(two.seal_records().finish(b"out"))


def test_a_body_has_to_be_what_the_seal_says() -> None:
    client, seal = ask(body=None)
    with pytest.raises(Malformed, match="no body"):
        receive(seal).request.open_body(b"x")
    with pytest.raises(Malformed):
        receive(seal).request.open_records()
    client, seal = ask(body="records")
    with pytest.raises(Refusal):
        receive(seal).request.open_body(client.seal_body(b"x"))


def test_every_changed_character_of_a_seal_is_refused() -> None:
    _, seal = ask()
    for position in range(len(seal)):
        other = "A" if seal[position] != "A" else "B"
        with pytest.raises(Refusal):
            receive(seal[:position] + other + seal[position + 1 :])


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
        {"jti": "AA"},
        {"jti": None},
        {"kid": 5},
        {"more": 1},
    ],
)
def test_headers_are_a_closed_set(change: dict[str, Any]) -> None:
    _, seal = ask()
    protected, _, rest = seal.partition(".")
    header = {**json.loads(b64u_decode(protected)), **change}
    with pytest.raises(Malformed):
        receive(b64u_encode(json.dumps(header).encode()) + "." + rest)


def test_a_member_that_stands_twice_or_is_missing_is_malformed() -> None:
    _, seal = ask()
    protected, _, rest = seal.partition(".")
    text = b64u_decode(protected).decode()
    for changed in (
        text[:-1] + ',"iat":1000}',
        text.replace('"iat":1000,', ""),
        "[]",
        "{",
        "\ud800",
    ):
        with pytest.raises(Malformed):
            receive(b64u_encode(changed.encode("utf-8", "surrogatepass")) + "." + rest)


@pytest.mark.parametrize(
    "pair", [("Upper", "x"), ("a b", "x"), ("", "x"), ("a", "x\r\nb: y"), ("a", "\0"), ("é", "x")]
)
def test_headers_that_no_header_could_be_are_malformed(pair: tuple[str, str]) -> None:
    _, seal = ask(Request(method="GET", target="/", headers=[pair]), body=None)
    with pytest.raises(Malformed):
        receive(seal)


def test_a_status_has_to_be_one() -> None:
    client, seal = ask()
    for status in (0, 99, 101, 600, -1):
        answer = receive(seal).seal_response(Response(status=status), random=os.urandom)
        with pytest.raises(Malformed):
            client.open_response(answer.seal)


def test_seals_fit_into_headers_of_common_proxies() -> None:
    with pytest.raises(TooLarge):
        ask(Request(method="GET", target="/", query="x" * 6144))
    _, seal = ask()
    headers = [("x", "y" * 2048)]
    with pytest.raises(TooLarge):
        receive(seal).seal_response(Response(status=200, headers=headers), random=os.urandom)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/", b"", "/"),
        ("/a/b", b"c=d&e", "/a/b?c=d&e"),
        ("/a?b", b"", "/a%3Fb"),
        ("/a", b"b", "/a?b"),
        ("/ä 100%", b"", "/%C3%A4%20100%25"),
        ("/a-._~b", b"%2f", "/a-._~b?%2f"),
    ],
)
def test_targets(path: str, query: bytes, expected: str) -> None:
    assert target(path, query) == expected


@pytest.mark.parametrize(("path", "query"), [("/\udcff", b""), ("/", b"\xff"), ("", b"")])
def test_what_is_no_target_is_malformed(path: str, query: bytes) -> None:
    with pytest.raises(Malformed):
        target(path, query)


def test_repr_shows_no_content() -> None:
    _, seal = ask()
    server = receive(seal)
    texts = (repr(server), repr(RequestSeal.parse(seal)))
    assert not any("Bearer" in text or "secret=1" in text for text in texts)


@given(st.text())
def test_arbitrary_text_raises_only_refusals(text: str) -> None:
    with pytest.raises(Refusal):
        receive(text)
    client, _ = ask()
    with pytest.raises(Refusal):
        client.open_response(text)
