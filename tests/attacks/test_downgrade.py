"""A downgrade: the proxy has both sides believe that the other does not seal, or seals less.

Property: what a client would seal never leaves it in clear. The attacker stands at a proxy and
writes what they like in either direction. Answer: the list of sealed views comes sealed itself,
nothing is negotiated in a message that is not signed, and no refusal makes a client send in clear.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from flask_sealed import NoAnswer, Refusal, SealedError
from flask_sealed.clients.httpx import SealedTransport
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode, json_encode
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.handshake import ClientHandshake

from ..http_server import Answer
from ..servers.conftest import AUDIENCE
from .conftest import BODY, TRANSFER, Bank, code
from .middlebox import Middlebox

MARKER = "4929-1814"
JSON = (("content-type", "application/json"),)
REFUSALS = ["sealed-required", "malformed", "refused", "session-unknown", "unavailable"]


@pytest.fixture
def victim(bank: Bank, box: Middlebox) -> Iterator[httpx.Client]:
    """A program that uses the package's own client."""
    transport = SealedTransport(audience=AUDIENCE, origin=box.base, pins=bank.pins)
    with httpx.Client(base_url=box.base, transport=transport, timeout=120) as client:
        yield client


def spoke_in_clear(box: Middlebox, asked: list[Send]) -> bool:
    passed = [send for send, _ in box.seen] + asked
    return any(MARKER in f"{send.target} {send.headers} {send.body!r}" for send in passed)


def answer_with(box: Middlebox, path: str, answer: Answer) -> list[Send]:
    """Have the box answer requests to a path; what was asked there."""
    asked: list[Send] = []

    def give(send: Send) -> Send | Answer:
        if not send.target.startswith(path):
            return send
        asked.append(send)
        return answer

    box.on_request = give
    return asked


def problem(name: str) -> Answer:
    body = {"type": f"urn:flask-sealed:{name}", "title": "t", "status": 400, "detail": "d"}
    kind = (("content-type", "application/problem+json"),)
    return Answer(401 if name == "session-unknown" else 400, kind, json.dumps(body).encode())


@pytest.mark.parametrize("body", [b'{"routes":[]}', b"[]", b"", b"<html>"])
def test_a_list_that_says_nothing_is_sealed(
    box: Middlebox, victim: httpx.Client, body: bytes
) -> None:
    asked = answer_with(box, "/sealed/routes", Answer(200, JSON, body))
    with pytest.raises(SealedError):
        victim.post("/transfer", json={"card": MARKER})
    assert asked
    assert not spoke_in_clear(box, asked)


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_that_the_proxy_invents(box: Middlebox, victim: httpx.Client, name: str) -> None:
    asked = answer_with(box, "/transfer", problem(name))
    with pytest.raises(NoAnswer):
        victim.post("/transfer", json={"card": MARKER})
    # At most once more, sealed again; the session's end can be pretended once.
    assert len(asked) == (2 if name == "session-unknown" else 1)
    assert not spoke_in_clear(box, asked)


@pytest.mark.parametrize("status", [302, 307, 308, 401, 407, 425, 503])
def test_statuses_that_make_clients_act(box: Middlebox, victim: httpx.Client, status: int) -> None:
    elsewhere = (*JSON, ("location", "/plain/ready"), ("retry-after", "0"))
    asked = answer_with(box, "/transfer", Answer(status, elsewhere, b"{}"))
    with pytest.raises(NoAnswer):
        victim.post("/transfer", json={"card": MARKER}, follow_redirects=True)
    assert len(asked) == 1
    assert not spoke_in_clear(box, asked)


def hello_of(bank: Bank, **change: object) -> str:
    """A hello of a client with ML-KEM and pins, changed on its way."""
    pins = bank.pins
    handshake = ClientHandshake(
        Ed25519PrivateKey.generate(), AUDIENCE, ephemeral=X25519PrivateKey.generate(), pins=pins
    )
    header, payload, signature = handshake.hello.split(".")
    members = json.loads(b64u_decode(payload))
    changed = {name: value for name, value in {**members, **change}.items() if value is not None}
    return f"{header}.{b64u_encode(json_encode(changed))}.{signature}"


def test_a_weaker_hello(bank: Bank) -> None:
    say = bank.plain().post
    assert say("/sealed/session", json={"hello": hello_of(bank)}).status == 200
    for change in (
        {"pins": None},
        {"v": 0},
        {"aud": "https://evil.example"},
        {"kem": None, "v": 1.0},
    ):
        outer = say("/sealed/session", json={"hello": hello_of(bank, **change)})
        assert code(outer) in {"refused", "malformed"}, change


def test_a_hello_signed_anew(bank: Bank, box: Middlebox) -> None:
    """The box takes ML-KEM and the pins out, and signs the rest itself."""
    own = ClientHandshake(
        Ed25519PrivateKey.generate(), AUDIENCE, ephemeral=X25519PrivateKey.generate(), pins=None
    )
    box.on_request = lambda send: replace(send, body=json.dumps({"hello": own.hello}).encode())
    with pytest.raises(Refusal):
        bank.victim(box, kem=True).get("/statement")
    (_, answer) = box.seen[0]
    assert answer.status == 200


@pytest.mark.parametrize(
    "change",
    [{"alg": "none"}, {"alg": "A128KW"}, {"enc": "A128GCM"}, {"zip": "DEF"}, {"crit": []}],
)
def test_another_algorithm(bank: Bank, change: dict[str, object]) -> None:
    attempt = bank.caller().prepare(TRANSFER, BODY)
    start, rest = dict(attempt.send.headers)["sealed"].split(".", 1)
    header = b64u_encode(json_encode({**json.loads(b64u_decode(start)), **change}))
    headers = (("sealed", f"{header}.{rest}"), *JSON)
    assert code(bank.wire.send(replace(attempt.send, headers=headers))) == "malformed"


def test_control(bank: Bank, box: Middlebox, victim: httpx.Client) -> None:
    """A client that lets a message decide whether to seal speaks in clear; this one is served."""
    with httpx.Client(base_url=box.base, timeout=120) as careless:
        answer_with(box, "/sealed/routes", Answer(200, JSON, b'{"routes":[]}'))
        if not careless.get("/sealed/routes").json()["routes"]:
            careless.post("/twin/transfer", json={"card": MARKER})
    assert spoke_in_clear(box, [])
    box.seen.clear()
    box.on_request = lambda send: send
    assert victim.post("/transfer", json={"card": MARKER}).json() == {"state": "done"}
    assert not spoke_in_clear(box, [])
