"""What an attacker does, at the level of bytes, to the whole core."""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

import flask_sealed
from flask_sealed.errors import (
    GivenUp,
    Malformed,
    NoAnswer,
    Refusal,
    Refused,
    SessionUnknown,
    Stale,
    Untrusted,
)
from flask_sealed.protocol import exchange as exchange_module
from flask_sealed.protocol import handshake as handshake_module
from flask_sealed.protocol import jwe
from flask_sealed.protocol.encoding import (
    b64decode,
    b64encode,
    b64u_decode,
    b64u_encode,
    json_encode,
)
from flask_sealed.protocol.exchange import ClientExchange, Opened, RequestSeal, ServerExchange
from flask_sealed.protocol.flow import Client, Clock, Head, PreShared, Send
from flask_sealed.protocol.handshake import (
    ClientHandshake,
    Session,
    answer_hello,
    open_ticket,
)
from flask_sealed.protocol.hkdf import hkdf
from flask_sealed.protocol.keys import Key
from flask_sealed.protocol.messages import Headers, Request, Response, is_transport

from .test_flow import BANK, LOOK, NOW, Driver, Service, problem
from .test_handshake import HELLO, REPLY, resign

ROOT = str(Path(flask_sealed.__file__).parent)
SECRET = os.urandom(32)
CONTENT = b'{"amount":5}'
TRANSFER = Request(
    method="POST",
    target="/transfers",
    content_type="application/json",
    query="from=1",
    headers=(("authorization", "Bearer mine"),),
    op=os.urandom(16),
)
DONE = Response(status=201, content_type="text/plain", headers=(("etag", '"x"'),))
MANY: Headers = tuple((f"x-{number}", "y" * 100) for number in range(10))


def client_exchange(secret: bytes = SECRET, audience: str = BANK) -> ClientExchange:
    return ClientExchange(secret, "kid", audience, random=os.urandom)


def serve(seal: str, secret: bytes = SECRET, audience: str = BANK) -> ServerExchange:
    """What a server does with a seal, before it reads the body."""
    server = RequestSeal(seal).open(secret, audience)
    server.check_target("POST", "/transfers")
    return server


class Half:
    """One sealed half of an exchange: what travels, what opens it, and what must come out."""

    def __init__(
        self, seal: str, body: bytes, open_: Callable[[str], Opened[Any]], message: object
    ) -> None:
        self.seal, self.body, self._open, self._message = seal, body, open_, message

    def take(self, seal: str, body: bytes) -> bytes:
        """Open what has come, however it was changed on the way."""
        opened = self._open(seal)
        content = opened.open_body(body)
        assert (opened.message, content) == (self._message, CONTENT)
        return content


def halves() -> list[Half]:
    """Requests and responses, with envelopes and with records; all valid."""
    made: list[Half] = []
    for pad in (False, True):
        client = client_exchange()
        sent = client.seal(TRANSFER, CONTENT, iat=NOW, pad=pad)
        made.append(_half(sent.seal, sent.body, lambda seal: serve(seal).request, TRANSFER))
        response = replace(DONE, headers=MANY) if pad else DONE
        answer = serve(sent.seal).seal(response, CONTENT, random=os.urandom, pad=pad)
        made.append(_half(answer.seal, answer.body, client.open, response))
        client = client_exchange()
        up = client.seal_stream(TRANSFER, iat=NOW, length=len(CONTENT) if pad else None)
        body = up.records.seal(CONTENT[:5]) + up.records.finish(CONTENT[5:])
        made.append(_half(up.seal, body, lambda seal: serve(seal).request, TRANSFER))
        down = serve(up.seal).seal_stream(response, random=os.urandom)
        body = down.head + down.records.seal(CONTENT[:5]) + down.records.finish(CONTENT[5:])
        made.append(_half(down.seal, body, client.open, response))
    return made


def _half(
    seal: str, body: bytes | None, open_: Callable[[str], Opened[Any]], message: object
) -> Half:
    return Half(seal, body or b"", open_, message)


HALVES = halves()


def outcome(call: Callable[..., object], *arguments: object) -> Refusal | None:
    """The refusal; anything else that is raised fails the test."""
    try:
        call(*arguments)
    except Refusal as refusal:
        assert refusal.__context__ is None  # noqa: PT017
        assert refusal.__cause__ is None  # noqa: PT017
        return refusal
    return None


# Changed on the way.


def changes(data: bytes) -> Iterator[bytes]:
    """A flipped bit, a cut, a repetition and a swap at every byte."""
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        yield data[:at]
        yield data[at + 1 :]
        yield data[: at + 1] + data[at:]
        if data[at : at + 2] != data[at : at + 2][::-1]:
            yield data[:at] + data[at : at + 2][::-1] + data[at + 2 :]


@pytest.mark.parametrize("half", HALVES)
def test_flip_cut_repeat_or_reorder_bytes_of_a_seal(half: Half) -> None:
    """Integrity of seals: nothing opens but what was sealed."""
    assert half.take(half.seal, half.body) == CONTENT
    for changed in changes(half.seal.encode()):
        assert outcome(half.take, changed.decode("latin-1"), half.body) is not None


@pytest.mark.parametrize("half", HALVES)
def test_flip_cut_repeat_or_reorder_bytes_of_a_body(half: Half) -> None:
    """Integrity of bodies: nothing opens but what was sealed, and no part of it."""
    for changed in changes(half.body):
        assert outcome(half.take, half.seal, changed) is not None


@pytest.mark.parametrize("half", HALVES)
def test_swap_the_halves_of_exchanges(half: Half) -> None:
    """Each body belongs to one seal, and each seal to one half of one exchange."""
    for other in HALVES:
        if other is not half:
            assert outcome(half.take, half.seal, other.body) is not None
            assert outcome(half.take, half.seal, half.body + other.body) is not None
            assert outcome(half.take, other.seal, half.body) is not None


def test_strip_or_add_a_body() -> None:
    """Whether there is a body is sealed."""
    client = client_exchange()
    sent = client.seal(replace(TRANSFER, content_type=None), iat=NOW)
    server = serve(sent.seal)
    answer = server.seal(Response(status=204), random=os.urandom)
    for half in HALVES:
        assert isinstance(outcome(half.take, half.seal, b""), Malformed)
        for bodiless in (server.request, client.open(answer.seal)):
            assert isinstance(outcome(bodiless.open_body, half.body), Malformed)


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(("flip", "insert", "delete", "duplicate", "splice")),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def mutate(data: bytes, other: bytes, mutations: list[tuple[str, int, int, bytes]]) -> bytes:
    for kind, first, second, more in mutations:
        start, end = sorted((first % (len(data) + 1), second % (len(data) + 1)))
        if kind == "flip" and data:
            at = first % len(data)
            data = data[:at] + bytes([data[at] ^ more[0]]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:start] + more + data[start:]
        elif kind == "delete":
            data = data[:start] + data[end:]
        elif kind == "duplicate":
            data = data[:end] + data[start:]
        else:
            data = data[:start] + other[second % (len(other) + 1) :]
    return data


@given(st.sampled_from(HALVES), st.sampled_from(HALVES), MUTATIONS, st.booleans(), st.booleans())
def test_mutate_and_splice_valid_messages(
    half: Half,
    other: Half,
    mutations: list[tuple[str, int, int, bytes]],
    in_seal: bool,
    in_body: bool,
) -> None:
    """Whatever is done to a valid message, it opens to its own content or is refused."""
    seal, body = half.seal.encode(), half.body
    seal = mutate(seal, other.seal.encode(), mutations) if in_seal else seal
    body = mutate(body, other.body, mutations) if in_body else body
    outcome(half.take, seal.decode("latin-1"), body)


def handshakes() -> tuple[Service, ClientHandshake, Session, str]:
    service = Service()
    client = ClientHandshake(
        Ed25519PrivateKey.generate(),
        BANK,
        ephemeral=X25519PrivateKey.generate(),
        pins=service.pins,
    )
    session, reply = answer(service, client.hello)
    return service, client, session, reply


def answer(service: Service, hello: str) -> tuple[Session, str]:
    return answer_hello(
        hello, service.ring, issuer=BANK, now=NOW, lifetime=3600, random=os.urandom
    )


SERVICE, SHAKER, SESSION, REPLY_TEXT = handshakes()
TICKET = SHAKER.finish(REPLY_TEXT)[1]
OTHER_TICKET = answer(SERVICE, SHAKER.hello)[1]


@given(st.sampled_from(("hello", "reply", "ticket")), MUTATIONS)
def test_mutate_and_splice_a_handshake(
    kind: str, mutations: list[tuple[str, int, int, bytes]]
) -> None:
    """Whatever is done to a hello, a reply or a ticket, no other session comes out."""
    _, theirs, _, others = handshakes()
    kinds: dict[str, tuple[str, str, Callable[[str], object]]] = {
        "hello": (SHAKER.hello, theirs.hello, lambda text: answer(SERVICE, text)[0].binding),
        "reply": (REPLY_TEXT, others, lambda text: SHAKER.finish(text)[0]),
        "ticket": (
            TICKET,
            OTHER_TICKET,
            lambda text: open_ticket(text, SERVICE.ring, audience=BANK, now=NOW),
        ),
    }
    text, other, take = kinds[kind]
    changed = mutate(text.encode(), other.encode(), mutations).decode("latin-1")
    if outcome(take, changed) is None:
        assert take(changed) == take(text)


@given(
    st.sampled_from(("session", "seal", "body")),
    MUTATIONS,
    st.sampled_from((200, 400, 401, 302, 502)),
    st.booleans(),
)
@settings(max_examples=60)
def test_mutate_what_comes_back_to_a_client(
    part: str, mutations: list[tuple[str, int, int, bytes]], status: int, streams: bool
) -> None:
    """A client has the service's own answer, or an error of its two families."""
    driver = Driver()
    driver.service.streams = streams

    def between(send: Send, body: bytes) -> tuple[Head, bytes]:
        head, content = driver.service.answer(send, body)
        if (send.target == "/sealed/session") is (part == "session"):
            seal = head.headers.get("sealed", "")
            if part == "seal":
                seal = mutate(seal.encode(), HALVES[1].seal.encode(), mutations).decode("latin-1")
            else:
                content = mutate(content, HALVES[1].body, mutations)
            head = Head(status, {"sealed": seal} if seal else {})
        return head, content

    driver.between = between
    try:
        got = driver.run(driver.client().exchange(LOOK))
        content = got.content
        if got.rest is not None:
            content += got.rest.feed(driver.rest) + got.rest.finish()
    except (Refusal, NoAnswer):
        return
    assert (got.response.status, content) == (200, b"/accounts")


@given(st.sampled_from(HALVES), st.sampled_from(HALVES), MUTATIONS, st.integers(1, 40))
def test_go_on_with_a_stream_that_has_failed(
    half: Half, other: Half, mutations: list[tuple[str, int, int, bytes]], step: int
) -> None:
    """Failures stick: after one, a stream gives nothing more, and content only in its order."""
    opened = half._open(half.seal)
    if opened.body != "records":
        return
    opener, body = opened.open_records(), mutate(half.body, other.body, mutations)
    content, failed = b"", False
    for data in [*(body[at : at + step] for at in range(0, len(body), step)), half.body, None]:
        try:
            piece = opener.finish() if data is None else opener.feed(data)
        except Refusal:
            failed = True
            continue
        assert not failed or not piece
        content += piece
    assert CONTENT.startswith(content)


# Between sessions and services.


def test_use_the_secret_or_the_ticket_of_another_session() -> None:
    """A ticket is of no use without its own secret, and a secret without its own ticket."""
    service = Service()
    sessions = []
    for _ in range(2):
        client = ClientHandshake(
            Ed25519PrivateKey.generate(),
            BANK,
            ephemeral=X25519PrivateKey.generate(),
            pins=service.pins,
        )
        sessions.append(client.finish(answer(service, client.hello)[1]))
    (mine, _), (_, stolen) = sessions
    exchange = ClientExchange(mine.secret, stolen, BANK, random=os.urandom)
    sent = exchange.seal(TRANSFER, CONTENT, iat=NOW)
    send = Send("POST", "/transfers", (("sealed", sent.seal),), sent.body)
    head, body = service.answer(send, sent.body or b"")
    assert (head.status, json.loads(body)["type"]) == (400, "urn:flask-sealed:refused")
    assert service.done == []


def test_swap_a_token_for_the_attackers() -> None:
    """An attacker who is a client too cannot put a token of theirs on the victim's content."""
    victim = client_exchange().seal(TRANSFER, CONTENT, iat=NOW)
    headers = (("authorization", "Bearer theirs"),)
    theirs = client_exchange(attacker := os.urandom(32)).seal(
        replace(TRANSFER, headers=headers), CONTENT, iat=NOW
    )
    with pytest.raises(Refused):
        serve(theirs.seal, attacker).request.open_body(victim.body or b"")
    with pytest.raises(Refused):
        serve(victim.seal).request.open_body(theirs.body or b"")
    # The victim's ticket with the attacker's seal behind it, and the reverse.
    mine, other = victim.seal.split("."), theirs.seal.split(".")
    for part in range(5):
        mixed = [*mine[:part], other[part], *mine[part + 1 :]]
        if mixed != mine:
            for secret in (SECRET, attacker):
                assert isinstance(outcome(serve, ".".join(mixed), secret), Refused)


def test_reflect_a_request_to_a_peer_with_the_same_pre_shared_key() -> None:
    """Two services that call each other with one key: a request opens at the one it is for."""
    sent = client_exchange(audience="https://b.example").seal(TRANSFER, CONTENT, iat=NOW)
    with pytest.raises(Refused):
        serve(sent.seal, audience="https://a.example")
    serve(sent.seal, audience="https://b.example")


def test_reflect_a_stream() -> None:
    """What a client has sent does not come back to it as the answer."""
    client = client_exchange()
    up = client.seal_stream(TRANSFER, iat=NOW)
    body = up.records.finish(CONTENT)
    down = serve(up.seal).seal_stream(DONE, random=os.urandom)
    with pytest.raises(Refused):
        client.open(down.seal).open_body(body)
    with pytest.raises(Refused):
        serve(up.seal).request.open_body(down.records.finish(CONTENT))


def test_say_that_a_response_is_a_request() -> None:
    """The halves have other keys, whatever their headers say."""
    client = client_exchange()
    sent = client.seal(TRANSFER, CONTENT, iat=NOW)
    answered = serve(sent.seal).seal(DONE, CONTENT, random=os.urandom)
    request, response = sent.seal.split("."), answered.seal.split(".")
    assert isinstance(outcome(serve, ".".join([request[0], *response[1:]])), Refused)
    assert isinstance(outcome(client.open, ".".join([response[0], *request[1:]])), Refused)


def test_sign_another_pinned_servers_reply() -> None:
    """No unknown key share: a pinned server that passes on another's session gets none."""
    driver, service = Driver(), Service()
    driver.service = service
    other = Ed25519PrivateKey.generate()
    pins = [*service.pins, Key(kid="other", purpose="identity", material=other).thumbprint]

    def between(send: Send, body: bytes) -> tuple[Head, bytes]:
        head, content = service.answer(send, body)
        if send.target != "/sealed/session":
            return head, content
        reply = resign(json.loads(content)["session"], other, REPLY)
        return head, json_encode({"session": reply})

    driver.between = between
    client = driver.client(driver.sessions(pins=pins))
    with pytest.raises(Untrusted) as caught:
        driver.run(client.exchange(TRANSFER, CONTENT))
    assert caught.value.code == "refused"
    assert service.done == []


def test_put_ones_own_key_under_a_clients_hello() -> None:
    """No unknown key share: a hello that was signed anew answers nobody else's."""
    service, client, _, _ = handshakes()
    _, reply = answer(service, resign(client.hello, Ed25519PrivateKey.generate(), HELLO))
    assert isinstance(outcome(client.finish, reply), Refused)


# Keys and nonces.


class Recording:
    """AES-GCM that remembers which key met which nonce."""

    met: list[tuple[bytes, bytes]]

    def __init__(self, key: bytes) -> None:
        self._key, self._aead = key, AESGCM(key)

    def encrypt(self, nonce: bytes, data: bytes, aad: bytes | None) -> bytes:
        self.met.append((self._key, nonce))
        return self._aead.encrypt(nonce, data, aad)

    def decrypt(self, nonce: bytes, data: bytes, aad: bytes | None) -> bytes:
        return self._aead.decrypt(nonce, data, aad)


def fixed_ivs(size: int) -> bytes:
    return bytes(12) if size == 12 else os.urandom(size)


def test_make_a_key_meet_a_nonce_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key meets a nonce twice, however often messages are sent, refused, replayed and streamed;
    all IVs are the same here, so keys alone make the difference."""
    monkeypatch.setattr(Recording, "met", [], raising=False)
    for module in (exchange_module, handshake_module):
        monkeypatch.setattr(module, "AESGCM", Recording)
    world = World([("deliver", 0), ("forge", 0)], shared=False, wall=True, ahead=0)
    world.driver.stream = [b"one", b"two"]
    client = world.driver.client(clock=world.clock, random=fixed_ivs)
    for streams, stream in product((False, True), repeat=2):
        world.service.streams = streams
        world.driver.run(client.exchange(TRANSFER, None if stream else CONTENT, stream=stream))
        world.driver.run(client.exchange(LOOK))
        world.replay()
    server = world.service.exchange(world.sent[-1][0])
    for _ in range(2):
        server.seal(DONE, CONTENT, random=fixed_ivs)
        server.seal_stream(DONE, random=fixed_ivs).records.finish(b"x")
    assert len(Recording.met) > 50
    assert len(set(Recording.met)) == len(Recording.met)


def test_seal_twice_with_the_keys_of_one_exchange() -> None:
    """An exchange seals once: also after it has failed, and whatever the kind."""
    for fails in (False, True):
        client = client_exchange()
        if fails:
            with pytest.raises(ValueError):
                client.seal(replace(TRANSFER, query="x" * 6000), CONTENT, iat=NOW)
        else:
            client.seal_stream(TRANSFER, iat=NOW)
        with pytest.raises(ValueError):
            client.seal_stream(TRANSFER, iat=NOW)
        with pytest.raises(ValueError):
            client.seal(TRANSFER, CONTENT, iat=NOW)


def test_make_one_label_of_two() -> None:
    """Labels are a closed registry in which none starts another, so no keys have two meanings."""
    sources = [path.read_bytes() for path in Path(ROOT).glob("protocol/*.py")]
    texts = [
        text for source in sources for text in re.findall(rb'b"(flask-sealed/1[^"]*)"', source)
    ]
    labels = [text.decode("unicode_escape") for text in texts]
    kinds = ["request", "response", "session", "sid", "ticket", "password binding"]
    assert sorted(labels) == sorted(f"flask-sealed/1 {kind}\0" for kind in kinds)
    assert not any(one != two and two.startswith(one) for one in labels for two in labels)


def test_make_salts_alike_by_zeros() -> None:
    """HMAC fills salts up with zeros, so the labels have to keep the halves apart."""
    jti = os.urandom(16)
    request = exchange_module._Keys(SECRET, jti, exchange_module._REQUEST, b"\0\1a")
    response = request.response(jti, bytes(16))
    sealed = request.seal.encrypt(bytes(12), CONTENT, None)
    assert sealed != response.seal.encrypt(bytes(12), CONTENT, None)
    assert request.seal_records().finish(b"x") != response.seal_records().finish(b"x")


# Again, later, and by other clocks.


Action = tuple[str, int]
ACTIONS = st.tuples(
    st.sampled_from(
        ("deliver", "swallow", "hold", "forge", "hold and forge", "replay", "sleep", "wait")
    ),
    st.sampled_from((1, 15, 70, 130, 310, 700, 4000)),
)


class World:
    """A client, a service and an attacker between them who knows when the client sleeps."""

    def __init__(self, actions: list[Action], *, shared: bool, wall: bool, ahead: int) -> None:
        self.driver = Driver()
        self.service = self.driver.service
        self.actions = iter(actions)
        self.sent: list[tuple[Send, bytes]] = []
        self.driver.between = self.between
        clock = (lambda: self.service.now + ahead) if wall else None
        self.clock = Clock(lambda: self.driver.time, clock)
        keys = None
        if shared:
            self.service.pre_shared["partner"] = os.urandom(32)
            keys = PreShared("partner", self.service.pre_shared["partner"])
        self.client: Client = self.driver.client(keys, clock=self.clock)

    def between(self, send: Send, body: bytes) -> tuple[Head, bytes]:
        self.sent.append((send, body))
        kind, seconds = next(self.actions, ("deliver", 0))
        if kind in ("sleep", "wait"):
            self.service.now += seconds
            self.driver.time += seconds if kind == "wait" else 0
        if kind == "replay":
            self.replay()
        answered = None
        if not kind.startswith("hold"):
            answered = self.service.answer(send, body)
        if kind.endswith("forge"):
            return Head(401, {}), problem(SessionUnknown())
        if answered is None or kind == "swallow":
            raise ConnectionError
        return answered

    def replay(self) -> None:
        for send, body in self.sent:
            self.service.answer(send, body)


@given(
    st.lists(ACTIONS, max_size=8),
    st.booleans(),
    st.booleans(),
    st.sampled_from((-4000, 0, 600, 4000)),
    st.lists(st.sampled_from((0, 5, 60, 240, 310, 600, 4000)), max_size=4),
    st.integers(0, 3),
)
@settings(max_examples=150)
def test_make_an_operation_happen_twice(
    actions: list[Action], shared: bool, wall: bool, ahead: int, later: list[int], pauses: int
) -> None:
    """An operation happens once, whatever is lost, forged, kept and sent again; also when the
    client sleeps in between, and its own clock is wrong."""
    world = World(actions, shared=shared, wall=wall, ahead=ahead)
    request = replace(TRANSFER, op=os.urandom(16))
    with suppress(ConnectionError, NoAnswer, Refusal):
        world.driver.run(world.client.exchange(LOOK))
    started, answers = world.clock.now(), []
    for _ in range(4):
        with suppress(ConnectionError, NoAnswer, Refusal):
            flow = world.client.exchange(request, CONTENT, started=started)
            answers.append(world.driver.run(flow))
        world.service.now += 20 * pauses
    for seconds in later:
        world.service.now += seconds
        world.replay()
    done = [done for done in world.service.done if done.op == request.op]
    assert len(done) <= 1
    if any(answer.response.status == 200 for answer in answers):
        assert len(done) == 1


@pytest.mark.parametrize("shared", [True, False])
def test_keep_a_request_whose_clock_leads_until_its_time_has_come(shared: bool) -> None:
    """No seal is fresh when the service has forgotten its operation."""
    world = World([], shared=shared, wall=True, ahead=600)
    answered = world.driver.run(world.client.exchange(TRANSFER, CONTENT))
    assert answered.response.status == 200
    for _ in range(20):
        world.service.now += 60
        world.replay()
    assert len(world.service.done) == 1


@pytest.mark.parametrize("wall", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seconds", [400, 4000])
def test_swallow_an_answer_before_the_client_sleeps(
    wall: bool, shared: bool, seconds: int
) -> None:
    """An operation is given up by the time that has passed, and not by what a clock has counted.

    After 400 s the request is stale, after 4000 s the session is over too; both tell the time, and
    a client that went on with it would have the operation done twice.
    """
    world = World([], shared=shared, wall=wall, ahead=0)
    world.driver.run(world.client.exchange(TRANSFER, CONTENT))
    request = replace(TRANSFER, op=os.urandom(16))
    world.actions = iter([("swallow", 0)])
    started = world.clock.now()
    with pytest.raises(ConnectionError):
        world.driver.run(world.client.exchange(request, CONTENT, started=started))
    world.service.now += seconds
    with pytest.raises(GivenUp):
        world.driver.run(world.client.exchange(request, CONTENT, started=started))
    assert len(world.service.done) == 2
    answered = world.driver.run(world.client.exchange(TRANSFER, CONTENT))
    assert answered.response.status in (200, 409)


def test_let_a_flow_fail_at_each_of_its_steps() -> None:
    """A flow that is closed, or whose connection breaks, leaves nothing behind that can harm."""
    for steps in range(1, 5):
        for close in (True, False):
            driver = Driver()
            client, request = driver.client(), replace(TRANSFER, op=os.urandom(16))
            flow = client.exchange(request, CONTENT)
            reply: Any = None
            body = b""
            for _ in range(steps):
                step = flow.send(reply)
                if isinstance(step, Send):
                    reply, body = driver.service.answer(step, step.body or b"")
                else:
                    reply = body
            if close:
                flow.close()
            else:
                with pytest.raises(ConnectionError):
                    flow.throw(ConnectionError())
            answered = driver.run(client.exchange(request, CONTENT))
            assert answered.response.status in (200, 409)
            assert len(driver.service.done) == 1


@given(st.integers(0, 2**53 - 1))
@settings(max_examples=30)
def test_tell_a_client_an_absurd_time(seconds: int) -> None:
    """Only the service itself tells the time, and no time makes a client fail otherwise."""
    driver = Driver()
    client = driver.client()
    driver.run(client.exchange(LOOK))
    service, view = driver.service, driver.service.view
    service.view = lambda *_: (
        Response(status=400, content_type="application/problem+json"),
        problem(Stale(seconds)),
    )
    for _ in range(3):
        with suppress(NoAnswer, Refusal):
            driver.run(client.exchange(LOOK))
    service.view = view
    assert driver.run(client.exchange(LOOK)).content in (b"/accounts", problem(Stale(NOW)))


def test_forge_a_stale_or_another_problem() -> None:
    """What is not sealed sets no clock, is no answer, and is no refusal that comes sealed only."""
    driver = Driver()
    client = driver.client()
    driver.run(client.exchange(LOOK))
    for refusal in (Stale(1), Stale(NOW + 10**6)):
        driver.between = lambda *_, refusal=refusal: (Head(400, {}), problem(refusal))
        with pytest.raises(Untrusted) as caught:
            driver.run(client.exchange(LOOK))
        assert caught.value.code is None
    driver.between = None
    assert driver.run(client.exchange(LOOK)).response.status == 200
    assert driver.service.asked.count("/accounts") == 2


# Forms that are almost right, under the right keys.


def sealed_text(header: bytes | str, claims: bytes, *, tag: int = 16, iv: int = 12) -> str:
    """A request's seal as an authenticated client could write it, who writes what they like."""
    jti = os.urandom(16)
    keys = exchange_module._Keys(SECRET, jti, exchange_module._REQUEST, _named(BANK))
    text = header.encode() if isinstance(header, str) else header
    protected = b64u_encode(text.replace(b"JTI", b64u_encode(jti).encode()))
    nonce = os.urandom(iv)
    sealed = keys.seal.encrypt(nonce, claims, protected.encode())
    ciphertext, tagged = sealed[:-16], sealed[-16:][:tag]
    parts = (protected, "", b64u_encode(nonce), b64u_encode(ciphertext), b64u_encode(tagged))
    return ".".join(parts)


def _named(audience: str) -> bytes:
    return len(audience).to_bytes(2) + audience.encode()


HEADER = (
    '{"alg":"dir","enc":"A256GCM","typ":"sealed-request","kid":"kid","jti":"JTI","iat":1,'
    '"htm":"POST","target":"/transfers","body":"envelope"}'
)
CLAIMS = b'{"cty":"a"}'


def test_what_is_right() -> None:
    """The forms below are wrong in one thing only."""
    assert serve(sealed_text(HEADER, CLAIMS)).request.message.content_type == "a"
    space = f" \n{HEADER}\t"
    assert serve(sealed_text(space, b"\r\n" + CLAIMS + b" ")).request.message.content_type == "a"


@pytest.mark.parametrize("tag", [0, 1, 4, 8, 12, 15])
def test_shorten_the_tag(tag: int) -> None:
    """A tag has 16 bytes: a shorter one is guessed sooner."""
    assert isinstance(outcome(serve, sealed_text(HEADER, CLAIMS, tag=tag)), Malformed)


@pytest.mark.parametrize("iv", [8, 11, 13, 16, 32])
def test_change_the_length_of_the_iv(iv: int) -> None:
    """An IV has 12 bytes: others are hashed, and can collide."""
    assert isinstance(outcome(serve, sealed_text(HEADER, CLAIMS, iv=iv)), Malformed)


ALGORITHMS = [
    *("none", "None", "", "DIR", "dir ", "HS256", "RS256", "EdDSA", "RSA1_5", "RSA-OAEP"),
    *("RSA-OAEP-256", "A128KW", "A192KW", "A256KW", "ECDH-ES", "ECDH-ES+A128KW"),
    *("ECDH-ES+A192KW", "ECDH-ES+A256KW", "A128GCMKW", "A192GCMKW", "A256GCMKW"),
    *("PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW"),
]
ENCRYPTIONS = [
    *("none", "", "a256gcm", "A128GCM", "A192GCM", "A128CBC-HS256", "A192CBC-HS384"),
    *("A256CBC-HS512", "C20P", "XC20P"),
]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(('"dir"', json.dumps(name)) for name in ALGORITHMS),
        *(('"A256GCM"', json.dumps(name)) for name in ENCRYPTIONS),
        ('"dir"', '["dir"]'),
        ('"dir"', "null"),
        ('"dir",', '"dir","alg":"dir",'),
        ('"dir",', '"dir","\\u0061lg":"none",'),
        ('"dir",', '"dir","zip":"DEF",'),
        ('"dir",', '"dir","crit":[],'),
        ('"dir",', '"dir","crit":["iat"],'),
        ('"dir",', '"dir","epk":{},'),
        ('"dir",', '"dir","jku":"https://evil.example",'),
        ('"dir",', '"dir","p2c":1000000000,'),
        ('"dir",', '"dir","":0,'),
        ("sealed-request", "sealed-response"),
        ("sealed-request", "Sealed-Request"),
        ("sealed-request", "sealed-request\\u0000"),
        ('"kid":"kid"', '"kid":"\\ud800"'),
        ('"kid":"kid"', '"kid":"a\\u0000"'),
        ('"kid":"kid"', '"kid":"kid\\n"'),
        ('"kid":"kid"', f'"kid":"{"k" * 65}"'),
        ("JTI", "JTI="),
        ("JTI", "JTIA"),
        ("JTI", "AAAAAAAAAAAAAAAAAAAAAB"),  # stray bits
        ("JTI", ""),
        ('"iat":1', '"iat":01'),
        ('"iat":1', '"iat":-1'),
        ('"iat":1', '"iat":-0'),
        ('"iat":1', '"iat":1.0'),
        ('"iat":1', '"iat":1e3'),
        ('"iat":1', '"iat":true'),
        ('"iat":1', '"iat":null'),
        ('"iat":1', '"iat":NaN'),
        ('"iat":1', '"iat":Infinity'),
        ('"iat":1', '"iat":9007199254740992'),
        ('"iat":1', f'"iat":{"9" * 4400}'),
        ('"iat":1', '"iat":[[[[[[[[[[]]]]]]]]]]'),
        ('"iat":1', f'"iat":{"[" * 3000}'),
        ('"htm":"POST"', '"htm":"POST\\r\\nx: y"'),
        ('"htm":"POST"', '"htm":""'),
        ('"htm":"POST"', '"htm":"PÖST"'),
        ("/transfers", "transfers"),
        ("/transfers", "https://evil.example/"),
        ("/transfers", "/transfers HTTP/1.1"),
        ("/transfers", "/transfers\\u0000"),
        ("/transfers", "/tränsfers"),
        ("/transfers", "*"),
        ('"envelope"', '"ENVELOPE"'),
        ('"envelope"', "null"),
        ('"envelope"', '""'),
        ("}", "}}"),
        ("}", ",}"),
        ("}", "}\0"),
        ("}", "}{}"),
        ("{", "\ufeff{"),
        ("{", "[{"),
        ("{", "\u00a0{"),
        ('"alg"', "'alg'"),
        ('"alg"', "/**/"),
    ],
)
def test_write_an_authenticated_header_that_is_not_in_order(old: str, new: str) -> None:
    """One accepted form: no algorithm, member, number or character but the ones that are named."""
    assert HEADER.count(old) >= 1
    changed = HEADER.replace(old, new, 1) if old != "}" else HEADER[:-1] + new
    assert isinstance(outcome(serve, sealed_text(changed, CLAIMS)), Malformed)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_write_an_authenticated_seal_in_another_encoding(encoding: str) -> None:
    """Texts are UTF-8."""
    header, claims = HEADER.replace("/t", "/é/t"), CLAIMS.decode().replace("a", "é")
    assert isinstance(outcome(serve, sealed_text(header.encode(encoding), CLAIMS)), Malformed)
    assert isinstance(outcome(serve, sealed_text(HEADER, claims.encode(encoding))), Malformed)


@pytest.mark.parametrize(
    "claims",
    [
        zlib.compress(CLAIMS),
        CLAIMS[:-1],
        CLAIMS + CLAIMS,
        CLAIMS + b"\0",
        b"[" * 4000,
        b'{"a":' * 800,
        b'{"cty":"a","headers":' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"cty":"a","headers":[["accept","\\ud800"]]}',
        b'{"cty":"a","headers":[["accept","\xed\xa0\x80"]]}',
        b'{"cty":"a","headers":[["accept","\xc0\x80"]]}',
        b'{"cty":"a","headers":[["accept","\\u0000"]]}',
        b'{"cty":"a","headers":[["accept","a\\r\\nb"]]}',
        b'{"cty":"a","headers":[["accept","a\\u2028b"]]}',
        b'{"cty":"a","headers":[["accept\\u0000","a"]]}',
        b'{"cty":"a","headers":[["accept","a"],["\\u0061ccept","b"]]}',
        b'{"cty":"a","headers":[["' + b"x" * 3000 + b'","a"]]}',
        b'{"cty":"a","headers":[["accept",["a"]]]}',
        b'{"cty":"a","headers":[["accept","a","b"]]}',
        b'{"cty":"a","headers":[{"accept":"a","accept":"b"}]}',
        b'{"cty":"a","headers":{}}',
        b'{"cty":"' + b"a" * 257 + b'"}',
        b'{"cty":"a","query":""}',
        b'{"cty":"a","query":"\\u0000"}',
        b'{"cty":"a","query":"a b"}',
        b'{"cty":"a","length":9007199254740992}',
        b'{"cty":"a","length":true}',
        b'{"cty":"a","op":"AAAAAAAAAAAAAAAAAAAAAA=="}',
        b'{"cty":"a","op":"AAAAAAAAAAAAAAAAAAAAAB"}',
        b'{"cty":"a","hlen":1}',
        b'{"cty":"a","status":200}',
        b'{"cty":"a","\xf0\x9f\x94\x91":1}',
    ],
)
def test_write_authenticated_claims_that_are_not_in_order(claims: bytes) -> None:
    """One accepted form: of the encrypted payload too."""
    assert isinstance(outcome(serve, sealed_text(HEADER, claims)), Malformed)


TEXTS = st.one_of(
    st.text(max_size=30),
    st.text("aZ-_:/?#%\r\n\t\0 \x7f\x80\xa0é\u2028\ud800\U0001f511", max_size=10),
)
NAMES = st.sampled_from(("accept", "x-a", "Accept", "x_a", "a b", "a:", "")) | TEXTS


@given(
    st.dictionaries(st.sampled_from(("htm", "target", "kid")), TEXTS, max_size=1),
    st.dictionaries(st.sampled_from(("cty", "query")), st.text("a~ \r\x7fé") | TEXTS, max_size=1),
    st.lists(st.tuples(NAMES, st.text("a~ \t\x80\xff") | TEXTS), max_size=3),
)
def test_inject_into_http_as_an_authenticated_client(
    header: dict[str, str], claims: dict[str, str], headers: list[tuple[str, str]]
) -> None:
    """What a view is shown has no controls, no line breaks and no character above an octet."""
    text = json.dumps({**json.loads(HEADER), **header})
    said = json.dumps({"cty": "a", **claims, "headers": headers})
    try:
        server = RequestSeal(sealed_text(text, said.encode())).open(
            SECRET, BANK, allowed=frozenset(name for name, _ in headers)
        )
    except Refusal:
        return
    message = server.request.message
    assert message.target.startswith("/")
    assert not message.query or "?" not in message.target
    for line in (message.method, message.target, message.query or "", message.content_type or ""):
        assert all(" " <= character <= "~" for character in line)
    for name, value in message.headers:
        assert name == name.lower()
        assert "_" not in name
        assert name.isascii()
        assert name.isprintable()
        octets = value.encode("latin-1")
        assert not any(octet == 0x7F or (octet < 0x20 and octet != 0x09) for octet in octets)


@given(
    st.fixed_dictionaries(
        {"status": st.sampled_from((200, 404))},
        optional={"hlen": st.integers(0, 70_000), "length": st.integers(0, 40)},
    ),
    st.lists(st.lists(st.sampled_from(("x", "set-cookie", "A", "\r\n", "é")), max_size=3)),
    st.binary(max_size=40),
    st.binary(max_size=3).map(lambda more: bytes(len(more)) or more),
    st.sampled_from(("envelope", "records")),
    st.booleans(),
)
def test_lie_about_lengths_as_an_authenticated_server(
    claims: dict[str, Any],
    headers: list[list[str]],
    content: bytes,
    padding: bytes,
    kind: str,
    honest: bool,
) -> None:
    """No header becomes content, no content a header, and no transport header comes sealed."""
    head = json_encode(headers) if "hlen" in claims else b""
    claims = {**claims, "hlen": len(head)} if honest and head else claims
    claims = {**claims, "length": len(content)} if honest and "length" in claims else claims
    client = client_exchange()
    server = serve(client.seal(TRANSFER, CONTENT, iat=NOW).seal)
    rsalt = os.urandom(16)
    keys = server._keys.response(server._jti, rsalt)
    members = {"typ": "sealed-response", "jti": b64u_encode(server._jti), "body": kind}
    text = json_encode({**jwe.ALGORITHMS, **members, "rsalt": b64u_encode(rsalt)})
    seal = jwe.seal(keys.seal, text, json_encode(claims), iv=bytes(12))
    plaintext = head + content + padding
    if kind == "envelope":
        body = keys.seal_envelope(plaintext, bytes(12))
    else:
        body = keys.seal_records().finish(plaintext)
    try:
        opened = client.open(seal)
        got = opened.open_body(body)
    except Refusal:
        return
    length = claims.get("length", len(plaintext) - claims.get("hlen", 0))
    start = claims.get("hlen", 0)
    assert got == plaintext[start : start + length]
    assert not any(is_transport(name) for name, _ in opened.message.headers)
    assert [list(pair) for pair in opened.message.headers] == (
        json.loads(plaintext[:start]) if start else []
    )


@given(TEXTS, st.sampled_from(("/old", "/old?a", "/a//b")), st.integers(300, 308))
def test_redirect_a_client_as_the_service(location: str, target: str, status: int) -> None:
    """A redirect leads to a path of the same service, or nowhere."""
    driver, asked = Driver(), list[str]()
    with suppress(ValueError):
        Response(status=status, headers=(("location", location),))
        driver.service.view = lambda *_: (
            Response(status=status, headers=(("location", location),)),
            b"",
        )

    def between(send: Send, body: bytes) -> tuple[Head, bytes]:
        asked.append(send.target)
        return driver.service.answer(send, body)

    driver.service.pre_shared["partner"] = os.urandom(32)
    keys = PreShared("partner", driver.service.pre_shared["partner"])
    driver.between = between
    clock = Clock(lambda: driver.time, lambda: driver.service.now)
    request = Request(method="GET", target=target)
    driver.run(driver.client(keys, clock=clock).exchange(request, redirects=3))
    assert asked[0] == target
    for resource in asked:
        assert resource.startswith("/")
        assert not resource.startswith("//")
        assert resource.isascii()
        assert resource.isprintable()
        assert " " not in resource


# What a failure tells.


def flipped(text: str) -> str:
    raw = bytearray(b64u_decode(text))
    raw[0] ^= 1
    return b64u_encode(bytes(raw))


def unsigned(text: str) -> str:
    protected, payload, signature = text.split(".")
    return f"{protected}.{payload}.{flipped(signature)}"


def failures() -> dict[str, tuple[Callable[..., object], tuple[Any, ...]]]:
    """Cryptographic failures of every kind, by what was wrong."""
    client = client_exchange()
    sent = client.seal(TRANSFER, CONTENT, iat=NOW)
    protected, _, iv, ciphertext, tag = sent.seal.split(".")
    server = serve(sent.seal)
    answered = server.seal(DONE, CONTENT, random=os.urandom)
    header = b64u_encode(b64u_decode(protected).replace(b"/transfers", b"/transferz"))

    *parts, last = answered.seal.split(".")
    stream = client_exchange().seal_stream(TRANSFER, iat=NOW)
    records = bytearray(stream.records.finish(CONTENT))
    records[-1] ^= 1
    body = b64decode(json.loads(sent.body or b"")["data"].encode())
    body[-1] ^= 1
    return {
        "key": (serve, (sent.seal, os.urandom(32))),
        "audience": (serve, (sent.seal, SECRET, "https://shop.example")),
        "header": (serve, (f"{header}..{iv}.{ciphertext}.{tag}",)),
        "iv": (serve, (f"{protected}..{flipped(iv)}.{ciphertext}.{tag}",)),
        "ciphertext": (serve, (f"{protected}..{iv}.{flipped(ciphertext)}.{tag}",)),
        "tag": (serve, (f"{protected}..{iv}.{ciphertext}.{flipped(tag)}",)),
        "target": (server.check_target, ("POST", "/transferz")),
        "method": (server.check_target, ("PUT", "/transfers")),
        "body": (server.request.open_body, (b'{"data":"%b"}' % b64encode(bytes(body)),)),
        "stream": (serve(stream.seal).request.open_body, (bytes(records),)),
        "another exchange": (client_exchange().open, (answered.seal,)),
        "response": (client.open, (".".join([*parts, flipped(last)]),)),
        "hello": (answer, (SERVICE, unsigned(SHAKER.hello))),
        "reply": (SHAKER.finish, (unsigned(REPLY_TEXT),)),
        "pin": (SHAKER.finish, (resign(REPLY_TEXT, Ed25519PrivateKey.generate(), REPLY),)),
    }


def test_tell_failures_apart_by_what_they_say() -> None:
    """Cryptographic failures are one: same class, text, status, and nothing more."""
    said = set()
    for call, arguments in failures().values():
        with pytest.raises(Refusal) as caught:
            call(*arguments)
        error = caught.value
        assert error.__context__ is error.__cause__ is None
        said.add((type(error), str(error), error.args, error.detail, error.status, error.code))
        assert vars(error).keys() == {"detail"}
    assert len(said) == 1
    assert next(iter(said))[0] is Refused


def test_tell_failures_apart_by_their_time() -> None:
    """A wrong key, header, ciphertext or tag take about as long as each other."""
    cases = failures()
    names = ("key", "audience", "header", "iv", "ciphertext", "tag")
    took: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(300):
        for name in names:
            call, arguments = cases[name]
            start = time.perf_counter()
            with suppress(Refused):
                call(*arguments)
            took[name].append(time.perf_counter() - start)
    medians = [median(times) for times in took.values()]
    assert max(medians) < 2 * min(medians)


HIDDEN = "d41d8cd98f00"


def known(error: BaseException) -> str:
    """What an error report would show: texts and variables of all frames in the package."""
    shown, frame = [repr(error), repr(vars(error))], error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename.startswith(ROOT):
            shown.append(repr(frame.tb_frame.f_locals))
        frame = frame.tb_next
    assert len(shown) > 2
    return "".join(shown)


@pytest.mark.parametrize(
    "claims",
    [
        {"cty": f"{HIDDEN}\n"},
        {"query": HIDDEN},
        {"cty": "a", "query": f"{HIDDEN} "},
        {"cty": "a", "headers": [["accept", HIDDEN], ["cookie", HIDDEN]]},
        {"cty": "a", "headers": [["accept", f"{HIDDEN}\n"]]},
        {"cty": "a", "headers": [["accept", HIDDEN, ""]]},
        {"cty": "a", "query": HIDDEN, "op": "A"},
        {"cty": "a", "query": HIDDEN, "more": 1},
        {"cty": "a", "query": HIDDEN, "length": -1},
    ],
)
def test_read_a_requests_content_in_an_error_report(claims: dict[str, Any]) -> None:
    """No error knows content, not even of a request that did open."""
    with pytest.raises(Malformed) as caught:
        serve(sealed_text(HEADER, json_encode(claims)))
    assert HIDDEN not in known(caught.value)
    assert caught.value.__context__ is None


def test_read_a_secret_in_an_error_report() -> None:
    """No error knows the secret, whoever causes it."""
    secret = f"{HIDDEN}{HIDDEN}{HIDDEN}"[:32].encode()
    sent = client_exchange(secret).seal(TRANSFER, CONTENT, iat=NOW)
    with pytest.raises(Refused) as caught:
        RequestSeal(sent.seal[:-2] + ("AA" if sent.seal[-2:] != "AA" else "BA")).open(secret, BANK)
    assert HIDDEN not in known(caught.value)
    assert HIDDEN not in repr(client_exchange(secret)) + repr(serve(sent.seal, secret))


@pytest.mark.parametrize("kind", ["envelope", "records", "final"])
@pytest.mark.parametrize(
    ("claims", "plaintext"),
    [
        ({"length": 1}, HIDDEN),
        ({"hlen": 50}, HIDDEN),
        ({"hlen": 4}, f"[1]]{HIDDEN}"),
        ({"hlen": 23}, f'[["date","{HIDDEN}"]]'),
        ({"hlen": 23}, f'[["DATE","{HIDDEN}"]]'),
        ({"hlen": 16, "headers": [["etag", HIDDEN]]}, HIDDEN),
        ({"headers": [["date", HIDDEN]]}, HIDDEN),
        ({"cty": f"{HIDDEN}\n"}, HIDDEN),
        ({"cty": HIDDEN, "more": HIDDEN}, HIDDEN),
    ],
)
def test_read_a_responses_content_in_an_error_report(
    kind: str, claims: dict[str, Any], plaintext: str
) -> None:
    """No error knows content, not even of a response that did open."""
    client = client_exchange()
    server = serve(client.seal(TRANSFER, CONTENT, iat=NOW).seal)
    rsalt = os.urandom(16)
    keys = server._keys.response(server._jti, rsalt)
    form = "envelope" if kind == "envelope" else "records"
    members = {"typ": "sealed-response", "jti": b64u_encode(server._jti), "body": form}
    text = json_encode({**jwe.ALGORITHMS, **members, "rsalt": b64u_encode(rsalt)})
    seal = jwe.seal(keys.seal, text, json_encode({"status": 200, **claims}), iv=bytes(12))
    content, records = plaintext.encode(), keys.seal_records()
    body = {
        "envelope": keys.seal_envelope(content, bytes(12)),
        "records": records.seal(content) + records.finish(),
        "final": keys.seal_records().finish(content),
    }[kind]
    with pytest.raises(Refusal) as caught:
        client.open(seal).open_body(body)
    assert HIDDEN not in known(caught.value)
    assert caught.value.__context__ is None


def test_read_a_clients_content_in_an_error_report() -> None:
    """No error of a flow knows what the client sent, nor its keys."""
    driver = Driver(between=lambda *_: (Head(502, {}), b""))
    driver.service.pre_shared["partner"] = os.urandom(32)
    request = replace(TRANSFER, query=HIDDEN, headers=(("authorization", HIDDEN),))
    secret = driver.service.pre_shared["partner"]
    for content in (HIDDEN.encode(), None):
        kind = None if content is None else "text/plain"
        client = driver.client(PreShared("partner", secret))
        with pytest.raises(Untrusted) as caught:
            driver.run(client.exchange(replace(request, content_type=kind), content))
        assert HIDDEN not in known(caught.value)
        assert repr(secret) not in known(caught.value)
    assert HIDDEN not in repr(request) + repr(Response(status=200, headers=(("etag", HIDDEN),)))


# Lengths.


def test_learn_a_padded_length() -> None:
    """Contents that are padded to one length differ in nothing but the digits of numbers."""
    sizes: dict[int, set[tuple[int, int]]] = {}
    for size in range(1000, 1060):
        client = client_exchange()
        sent = client.seal(TRANSFER, b"x" * size, iat=NOW, pad=True)
        reply = serve(sent.seal).seal(DONE, b"x" * size, random=os.urandom, pad=True)
        lengths = (
            (len(sent.seal), len(sent.body or b"")),
            (len(reply.seal), len(reply.body or b"")),
        )
        for length in lengths:
            sizes.setdefault(length[1], set()).add(length)
        assert client.open(reply.seal).open_body(reply.body or b"") == b"x" * size
    assert all(len(seen) == 2 for seen in sizes.values())  # one for each half


# Work for nothing.


def test_make_a_server_derive_keys_for_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has not the form of a seal costs no cryptography, and one that has, one derivation."""
    calls = list[bytes]()

    def counted(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
        calls.append(info)
        return hkdf(secret, salt, info, length)

    monkeypatch.setattr(exchange_module, "hkdf", counted)
    for garbage in (
        "A" * 6144,
        "." * 6144,
        "A" * 10**7,
        f"{b64u_encode(b'[' * 4000)}..{'A' * 16}..{'A' * 22}",
        f"{b64u_encode(b'{' * 4000)}..{'A' * 16}..{'A' * 22}",
        f"{b64u_encode(HEADER.encode())}..{'A' * 16}..{'A' * 22}",  # JTI is none
    ):
        assert outcome(serve, garbage) is not None
    assert calls == []
    seal = client_exchange().seal(TRANSFER, CONTENT, iat=NOW).seal
    calls.clear()
    assert isinstance(outcome(serve, seal, os.urandom(32)), Refused)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        b" " * 10**6,
        b'{"data":"' + b" " * 10**6,
        b'{"data"' * 10**5,
        b'{"data":"' + b'"}' * 10**5 + b" " * 10**5,
        b'"' * 10**6,
        b'{"data":"' + b"A" * 10**6 + b'"' + b" " * 10**6,
        b"[" * 10**6,
    ],
)
def test_make_a_body_slow_to_refuse(body: bytes) -> None:
    """Refusing takes a time that grows with the body, and not with its square."""
    request = serve(client_exchange().seal(TRANSFER, CONTENT, iat=NOW).seal).request
    start = time.perf_counter()
    assert isinstance(outcome(request.open_body, body), Malformed)
    assert time.perf_counter() - start < 60  # a square would take a day
