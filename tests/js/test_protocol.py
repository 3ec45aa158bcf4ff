"""The client in JavaScript and the server in Python: real handshakes and exchanges, both ways."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from itertools import product
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flask_sealed.errors import Malformed, Refused
from flask_sealed.protocol.encoding import json_encode
from flask_sealed.protocol.exchange import RequestSeal, SealedMessage, ServerExchange
from flask_sealed.protocol.handshake import Session, answer_hello, open_ticket
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.messages import Request, Response
from tests.protocol.test_flow import ticket_key

from .conftest import Client, JavaScriptError, text

BANK = "https://bank.example"
NOW = 1_800_000_000
MANY = tuple((f"x-{number}", "v" * 90) for number in range(40))
SUITES = list(product(("EdDSA", "ES256"), ("X25519", "P-256"), (False, True)))


def ring(identity: Literal["EdDSA", "ES256"] = "EdDSA") -> KeyRing:
    signing = (
        Ed25519PrivateKey.generate() if identity == "EdDSA" else generate_private_key(SECP256R1())
    )
    key = Key(kid="id", purpose="identity", material=signing)
    return KeyRing().add(key, activate=True).add(ticket_key(), activate=True)


def pins(keys: KeyRing) -> list[bytes]:
    return [key.thumbprint for key in keys.of("identity", NOW)]


def reply_to(body: str, keys: KeyRing) -> tuple[Session, bytes]:
    hello = json.loads(b64decode(body))["hello"]
    settings: dict[str, Any] = {"issuer": BANK, "lifetime": 3600, "random": os.urandom}
    session, reply = answer_hello(hello, keys, now=NOW, **settings)
    return session, json_encode({"session": reply})


class Exchange:
    """One exchange of a pre-shared key, from the client to the server and back."""

    def __init__(self, client: Client, **request: object) -> None:
        self.client = client
        self.secret = os.urandom(32)
        names = {"kid": "billing", "audience": BANK}
        self.keys = client("preShared", secret=text(self.secret), **names)["keys"]
        self.made = client("request", keys=self.keys, iat=NOW, **{**LOOK, **request})

    def open(self) -> ServerExchange:
        seal = RequestSeal(self.made["seal"])
        assert seal.kid == "billing"
        return seal.open(self.secret, BANK)

    def answer(self, response: Response, content: bytes | None, **options: Any) -> Any:
        message = self.open().seal(response, content, random=os.urandom, **options)
        return self.take(message)

    def take(self, message: SealedMessage) -> Any:
        body = text(message.body or b"")
        return self.client(
            "response", exchange=self.made["exchange"], seal=message.seal, body=body
        )


LOOK: dict[str, object] = {"method": "GET", "target": "/a?b=c", "content": None, "pad": False}
POST: dict[str, object] = {
    "method": "POST",
    "target": "/transfers",
    "contentType": "application/json",
    "content": text(b'{"amount": 500}'),
    "pad": False,
}
OK = Response(status=200, content_type="text/plain")


class TestHandshake:
    @pytest.mark.parametrize(("alg", "curve", "kem"), SUITES)
    @pytest.mark.parametrize("identity", ["EdDSA", "ES256"])
    def test_both_have_one_secret(
        self, client: Client, alg: str, curve: str, kem: bool, identity: Literal["EdDSA", "ES256"]
    ) -> None:
        keys = ring(identity)
        asked = {"alg": alg, "curve": curve, "kem": kem, "pins": list(map(text, pins(keys)))}
        hello = client("hello", audience=BANK, **asked)
        session, body = reply_to(hello["body"], keys)
        ready = {"handshake": hello["handshake"], "status": 200, "body": text(body), "took": 10}
        finished = client("finish", **ready)
        assert finished["sid"] == session.sid
        assert finished["kem"] is kem
        assert (finished["iat"], finished["exp"]) == (NOW, NOW + 3600)
        ticket = open_ticket(finished["kid"], keys, audience=BANK, now=NOW)
        assert ticket.binding == b64decode(hello["binding"])
        made = client("request", keys=finished["keys"], iat=NOW, **POST)
        server = RequestSeal(made["seal"]).open(ticket.secret, BANK)
        server.check_target("POST", "/transfers")
        assert server.request.open_body(b64decode(made["body"])) == b'{"amount": 500}'

    def test_this_platform_has_ml_kem(self, client: Client) -> None:
        assert client("suites") == {"kem": True}

    def test_unpinned(self, client: Client) -> None:
        assert self.finish(client, ring(), None)["identity"]

    def finish(
        self, client: Client, keys: KeyRing, pinned: list[bytes] | None, **other: Any
    ) -> Any:
        asked = {"alg": "EdDSA", "curve": "X25519", "kem": False, "audience": BANK}
        hello = client("hello", pins=pinned and list(map(text, pinned)), **asked)
        _, body = reply_to(other.pop("hello", hello["body"]), keys)
        ready = {"handshake": hello["handshake"], "status": 200, "body": text(body), "took": 1}
        return client("finish", **{**ready, **other})

    def test_another_identity(self, client: Client) -> None:
        both = ring().add(Key(kid="2", purpose="identity", material=Ed25519PrivateKey.generate()))
        other = {"alg": "EdDSA", "curve": "X25519", "kem": False, "audience": BANK}
        unpinned = client("hello", pins=None, **other)["body"]
        with pytest.raises(JavaScriptError) as info:
            self.finish(client, both, [os.urandom(32)], hello=unpinned)
        assert info.value.code == "refused"

    def test_the_reply_to_another_hello(self, client: Client) -> None:
        keys = ring()
        other = {"alg": "EdDSA", "curve": "X25519", "kem": False, "audience": BANK}
        another = client("hello", pins=list(map(text, pins(keys))), **other)["body"]
        with pytest.raises(JavaScriptError) as info:
            self.finish(client, keys, pins(keys), hello=another)
        assert info.value.code == "refused"

    @pytest.mark.parametrize("fault", [{"took": 10.1}, {"status": 503}])
    def test_no_answer(self, client: Client, fault: dict[str, Any]) -> None:
        keys = ring()
        with pytest.raises(JavaScriptError) as info:
            self.finish(client, keys, pins(keys), **fault)
        assert info.value.code == "no-answer"


class TestRequest:
    def test_without_body(self, client: Client) -> None:
        server = Exchange(client, headers=[["accept", "a/b"]], target="/a", query="b=c").open()
        server.check_target("GET", "/a")
        message = server.request.message
        assert message == Request(
            method="GET", target="/a", query="b=c", headers=(("accept", "a/b"),)
        )
        assert server.request.open_body(b"") == b""

    @pytest.mark.parametrize("pad", [False, True])
    @pytest.mark.parametrize("size", [0, 1, 9, 1025, 100_000])
    def test_envelope(self, client: Client, pad: bool, size: int) -> None:
        content = os.urandom(size)
        exchange = Exchange(client, **{**POST, "pad": pad, "content": text(content)})
        server = exchange.open()
        assert server.request.open_body(b64decode(exchange.made["body"])) == content
        message = server.request.message
        assert message.content_type == "application/json"
        assert message.op is not None

    @pytest.mark.parametrize("length", [None, 70_006])
    def test_records(self, client: Client, length: int | None) -> None:
        exchange = Exchange(client)
        parts = [b"alpha", b"b" * 70_000, b"g"]
        request = {**POST, "pieces": list(map(text, parts)), "length": length}
        made = client("stream", keys=exchange.keys, iat=NOW, **request)
        server = RequestSeal(made["seal"]).open(exchange.secret, BANK)
        stream = server.request.open_records()
        assert stream.feed(b64decode(made["body"])) + stream.finish() == b"".join(parts)

    def test_a_changed_seal(self, client: Client) -> None:
        exchange = Exchange(client)
        head, rest = exchange.made["seal"].split(".", 1)
        with pytest.raises(Refused):
            RequestSeal(f"{head}.{rest[:30]}{'A' if rest[30] != 'A' else 'B'}{rest[31:]}").open(
                exchange.secret, BANK
            )

    def test_a_body_cut_short(self, client: Client) -> None:
        exchange = Exchange(client, **POST)
        with pytest.raises(Malformed):
            exchange.open().request.open_body(b64decode(exchange.made["body"])[:-1])

    @pytest.mark.parametrize(
        "fault",
        [
            {"target": "a"},
            {"target": "/a'b"},
            {"target": "/a?"},
            {"target": "/a?b", "query": "c"},
            {"headers": [["cookie", "a"]]},
            {"headers": [["accept", "a"], ["accept", "b"]]},
            {"headers": [["accept", "a\r\nb"]]},
            {"method": "G T"},
            {"contentType": "text/plain"},
        ],
    )
    def test_mistakes_of_the_caller(self, client: Client, fault: dict[str, object]) -> None:
        with pytest.raises(JavaScriptError) as info:
            Exchange(client, **fault)
        assert info.value.code == "config"

    def test_headers_that_do_not_fit(self, client: Client) -> None:
        with pytest.raises(JavaScriptError) as info:
            Exchange(client, headers=[["authorization", "x" * 6000]])
        assert info.value.code == "too-large"


class TestResponse:
    @pytest.mark.parametrize("pad", [False, True])
    @pytest.mark.parametrize("size", [0, 1, 9, 1025, 100_000])
    def test_envelope(self, client: Client, pad: bool, size: int) -> None:
        content = os.urandom(size)
        response = Response(status=303, content_type="text/plain", headers=(("etag", "ü"),) * 2)
        opened = Exchange(client, **POST).answer(response, content, pad=pad)
        assert b64decode(opened["content"]) == content
        assert (opened["status"], opened["contentType"]) == (303, "text/plain")
        assert opened["headers"] == [["etag", "ü"]] * 2

    def test_without_body(self, client: Client) -> None:
        opened = Exchange(client).answer(Response(status=204), None)
        assert (opened["status"], opened["content"]) == (204, "")

    def test_without_body_nothing_is_told(self, client: Client) -> None:
        opened = Exchange(client).answer(OK, None)
        assert (opened["status"], opened["content"]) == (200, "")
        assert "contentType" not in opened

    def test_a_content_type_among_the_headers_is_ignored(self, client: Client) -> None:
        headers = (("content-type", "a/b"), ("etag", "x"))
        response = Response(status=200, content_type="text/plain", headers=headers)
        opened = Exchange(client).answer(response, b"content")
        assert (opened["contentType"], opened["headers"]) == ("text/plain", [["etag", "x"]])

    def test_head(self, client: Client) -> None:
        opened = Exchange(client, method="HEAD").answer(OK, None, length=1234)
        assert (opened["length"], opened["contentType"]) == (1234, "text/plain")

    @pytest.mark.parametrize("pad", [False, True])
    def test_headers_that_do_not_fit(self, client: Client, pad: bool) -> None:
        response = Response(status=200, content_type="text/plain", headers=MANY)
        opened = Exchange(client).answer(response, b"content", pad=pad)
        assert b64decode(opened["content"]) == b"content"
        assert opened["headers"] == list(map(list, MANY))

    @pytest.mark.parametrize("headers", [(), (("etag", "x"),), MANY])
    @pytest.mark.parametrize("size", [1, 17, 1000, 100_000])
    @pytest.mark.parametrize("told", [False, True])
    def test_records(
        self, client: Client, headers: tuple[tuple[str, str], ...], size: int, told: bool
    ) -> None:
        content = os.urandom(300) if size < 1000 else os.urandom(70_000)
        exchange = Exchange(client)
        response = Response(status=200, content_type="text/plain", headers=headers)
        seal, body = self.stream(exchange, response, content, len(content) if told else None)
        asked = {"exchange": exchange.made["exchange"], "seal": seal, "size": size}
        opened = client("pieces", body=text(body), **asked)
        assert b64decode(opened["content"]) == content
        assert opened["headers"] == list(map(list, headers))

    def stream(
        self, exchange: Exchange, response: Response, content: bytes, length: int | None
    ) -> tuple[str, bytes]:
        made = exchange.open().seal_stream(response, random=os.urandom, length=length)
        half = len(content) // 2
        parts = [content[:half], content[half:]]
        return made.seal, made.head + b"".join(
            map(made.records.seal, parts)
        ) + made.records.finish()

    @pytest.mark.parametrize("size", [1, 100_000])
    @pytest.mark.parametrize("left", [0, 1, 5, 30, 170])
    def test_cut_records(self, client: Client, left: int, size: int) -> None:
        exchange = Exchange(client)
        seal, body = self.stream(exchange, OK, os.urandom(300), None)
        asked = {"exchange": exchange.made["exchange"], "seal": seal, "size": size}
        with pytest.raises(JavaScriptError) as info:
            client("pieces", body=text(body[:left]), **asked)
        assert info.value.code == "malformed"

    def test_of_another_request(self, client: Client) -> None:
        exchange, other = Exchange(client), Exchange(client)
        message = other.open().seal(OK, b"content", random=os.urandom)
        with pytest.raises(JavaScriptError) as info:
            exchange.take(message)
        assert info.value.code == "refused"

    def test_of_another_secret(self, client: Client) -> None:
        exchange = Exchange(client)
        secret = exchange.secret
        exchange.secret = os.urandom(32)
        with pytest.raises(Refused):
            exchange.open()
        exchange.secret = secret
        assert exchange.answer(OK, b"content")["status"] == 200

    @pytest.mark.parametrize("changed", ["seal", "body"])
    def test_a_changed_byte(self, client: Client, changed: str) -> None:
        exchange = Exchange(client)
        made = exchange.open().seal(OK, b"content", random=os.urandom)
        seal, body = made.seal, bytearray(made.body or b"")
        if changed == "seal":
            at = seal.rindex(".") + 1
            seal = seal[:at] + ("B" if seal[at] == "A" else "A") + seal[at + 1 :]
        else:
            body[20] = ord("B") if body[20] == ord("A") else ord("A")
        with pytest.raises(JavaScriptError) as info:
            exchange.take(SealedMessage(seal, bytes(body)))
        assert info.value.code == "refused"

    def test_the_body_of_another_answer(self, client: Client) -> None:
        exchange = Exchange(client)
        first = exchange.open().seal(OK, b"content", random=os.urandom)
        second = exchange.open().seal(OK, b"content", random=os.urandom)
        with pytest.raises(JavaScriptError) as info:
            exchange.take(SealedMessage(first.seal, second.body))
        assert info.value.code == "refused"

    @pytest.mark.parametrize("body", [b"", b"{}", b"content"])
    def test_not_the_body_that_belongs_to_it(self, client: Client, body: bytes) -> None:
        exchange = Exchange(client)
        made = exchange.open().seal(OK, b"content", random=os.urandom)
        with pytest.raises(JavaScriptError) as info:
            exchange.take(SealedMessage(made.seal, body))
        assert info.value.code == "malformed"

    def test_a_body_that_the_seal_has_not(self, client: Client) -> None:
        exchange = Exchange(client)
        made = exchange.open().seal(Response(status=204), None, random=os.urandom)
        with pytest.raises(JavaScriptError) as info:
            exchange.take(SealedMessage(made.seal, b"content"))
        assert info.value.code == "malformed"

    @pytest.mark.parametrize("seal", [None, ""])
    def test_unsealed(self, client: Client, seal: str | None) -> None:
        exchange = Exchange(client)
        asked = {"exchange": exchange.made["exchange"], "seal": seal, "body": text(b"content")}
        with pytest.raises(JavaScriptError) as info:
            client("response", **asked)
        assert info.value.code == ("no-answer" if seal is None else "malformed")

    def test_a_request_in_place_of_an_answer(self, client: Client) -> None:
        exchange = Exchange(client)
        with pytest.raises(JavaScriptError) as info:
            exchange.take(SealedMessage(exchange.made["seal"], None))
        assert info.value.code == "malformed"
