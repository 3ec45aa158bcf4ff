"""A client's flow against a service that answers in this process, and an attacker between them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from flask_sealed.errors import (
    ConfigError,
    GivenUp,
    Malformed,
    NoAnswer,
    Refusal,
    Refused,
    Replayed,
    SessionUnknown,
    Stale,
    TooLarge,
    TooSlow,
    Untrusted,
)
from flask_sealed.protocol.encoding import b64u_encode, json_encode
from flask_sealed.protocol.exchange import RequestSeal, ServerExchange
from flask_sealed.protocol.flow import (
    Answer,
    Client,
    Clock,
    Flow,
    Head,
    KeySource,
    PreShared,
    Read,
    ReadSome,
    Send,
    Sessions,
)
from flask_sealed.protocol.handshake import ClientHandshake, answer_hello, open_ticket
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.messages import HIDDEN_STATUSES, Headers, Request, Response
from flask_sealed.protocol.replay import MemoryStore, check_fresh, check_once, is_safe

BANK = "https://bank.example"
NOW = 1_800_000_000
TRANSFER = Request(method="POST", target="/transfers", content_type="application/json")
LOOK = Request(method="GET", target="/accounts")
PROBLEM = "application/problem+json"
T = TypeVar("T")


def ticket_key() -> Key:
    return Key(kid=b64u_encode(os.urandom(8)), purpose="ticket", material=os.urandom(32))


def problem(refusal: Refusal) -> bytes:
    members: dict[str, object] = {
        "type": f"urn:flask-sealed:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
    }
    if isinstance(refusal, Stale):
        members["server_time"] = refusal.server_time
    return json_encode(members)


@dataclass
class Service:
    """Answers sealed requests as a server does."""

    ring: KeyRing = field(
        default_factory=lambda: (
            KeyRing()
            .add(
                Key(kid="id", purpose="identity", material=Ed25519PrivateKey.generate()),
                activate=True,
            )
            .add(ticket_key(), activate=True)
        )
    )
    now: float = NOW
    view: Callable[[Request, bytes], tuple[Response, bytes | None]] = lambda request, content: (
        Response(status=200, content_type="text/plain", headers=(("etag", "x"),)),
        content or request.target.encode(),
    )
    streams: bool = False
    store: MemoryStore = field(default_factory=lambda: MemoryStore(NOW - 1000))
    asked: list[str] = field(default_factory=list)
    done: list[Request] = field(default_factory=list)
    pre_shared: dict[str, bytes] = field(default_factory=dict)

    @property
    def pins(self) -> list[bytes]:
        return [key.thumbprint for key in self.ring.of("identity", NOW)]

    def answer(self, send: Send, body: bytes) -> tuple[Head, bytes]:
        self.asked.append(send.target)
        try:
            if send.target == "/sealed/session":
                return self._session(json.loads(body)["hello"])
            return self._sealed(send, body)
        except Refusal as refusal:
            return Head(refusal.status, {"content-type": PROBLEM}), problem(refusal)

    def _session(self, hello: str) -> tuple[Head, bytes]:
        settings: dict[str, Any] = {"issuer": BANK, "lifetime": 3600, "random": os.urandom}
        _, reply = answer_hello(hello, self.ring, now=int(self.now), **settings)
        return Head(200, {}), json_encode({"session": reply})

    def exchange(self, send: Send) -> ServerExchange:
        """Open a request's seal."""
        seal = RequestSeal(dict(send.headers)["sealed"])
        now = int(self.now)
        secret = self.pre_shared.get(seal.kid)
        if secret is None:
            secret = open_ticket(seal.kid, self.ring, audience=BANK, now=now).secret
        exchange = seal.open(secret, BANK)
        exchange.check_target(send.method, send.target)
        return exchange

    def _sealed(self, send: Send, body: bytes) -> tuple[Head, bytes]:
        exchange, now = self.exchange(send), int(self.now)
        message = exchange.request.message
        try:
            check_fresh(exchange.iat, now)
            if not is_safe(message.method):
                check_once(self.store, message.op, iat=exchange.iat, now=now)
        except Refusal as refusal:
            response = Response(status=refusal.status, content_type=PROBLEM)
            return self.seal(exchange, response, problem(refusal))
        response, content = self.view(message, exchange.request.open_body(body))
        self.done.append(message)
        return self.seal(exchange, response, content)

    def seal(
        self, exchange: ServerExchange, response: Response, content: bytes | None
    ) -> tuple[Head, bytes]:
        status = 200 if response.status in HIDDEN_STATUSES else response.status
        if self.streams and content is not None:
            stream = exchange.seal_stream(response, random=os.urandom, length=len(content))
            sealed = stream.head + stream.records.seal(content) + stream.records.finish()
            return Head(status, {"sealed": stream.seal}), sealed
        message = exchange.seal(response, content, random=os.urandom)
        return Head(status, {"sealed": message.seal}), message.body or b""


Between = Callable[[Send, bytes], tuple[Head, bytes]]


@dataclass
class Driver:
    """Drives flows without a network.

    :param between: what stands in the service's place; the service itself where left out.
    """

    service: Service = field(default_factory=Service)
    time: float = 5000.0
    between: Between | None = None
    stream: list[bytes] = field(default_factory=list)
    delay: float = 0.0
    #: What a flow has left unread.
    rest: bytes = b""

    def run(self, flow: Flow[T]) -> T:
        reply: Any = None
        body: Iterator[int] = iter(())
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as stop:
                self.rest = bytes(body)
                return stop.value  # type: ignore[no-any-return]
            if isinstance(step, Send):
                reply, content = (self.between or self.service.answer)(step, self._body(step))
                body = iter(content)
                self.time += self.delay
            elif isinstance(step, Read):
                reply = bytes(body)[: step.most + 1]
            else:
                assert isinstance(step, ReadSome)
                reply = bytes(islice(body, 50))

    def _body(self, send: Send) -> bytes:
        if send.records is None:
            return send.body or b""
        return b"".join(map(send.records.seal, self.stream)) + send.records.finish()

    def client(self, keys: KeySource | None = None, **settings: Any) -> Client:
        keys = keys or self.sessions()
        clock = settings.pop("clock", None) or Clock(lambda: self.time)
        settings = {"origin": BANK, "random": os.urandom, **settings}
        return Client(BANK, keys=keys, clock=clock, **settings)

    def sessions(self, **settings: Any) -> Sessions:
        settings = {"pins": self.service.pins, **settings}
        return Sessions(BANK, binding=Ed25519PrivateKey.generate(), **settings)


def resumed(flow: Flow[T], reply: bytes) -> Flow[T]:
    """A flow that waits for a reply, as one that a driver can run from its start."""
    step = flow.send(reply)
    while True:
        try:
            step = flow.send((yield step))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


def everything(answer: Answer) -> bytes:
    assert answer.rest is None
    return answer.content


def test_one_handshake_for_many_exchanges() -> None:
    driver = Driver()
    client = driver.client()
    answer = driver.run(client.exchange(TRANSFER, b"{}"))
    assert answer.response == Response(
        status=200, content_type="text/plain", headers=(("etag", "x"),)
    )
    assert everything(answer) == b"{}"
    assert answer.target == "/transfers"
    assert everything(driver.run(client.exchange(LOOK))) == b"/accounts"
    assert driver.service.asked == ["/sealed/session", "/transfers", "/accounts"]
    sent, looked = driver.service.done
    assert sent.op is not None
    assert looked.op is None


def test_an_unsafe_request_is_not_sealed_by_the_clients_own_clock() -> None:
    driver = Driver()
    driver.service.pre_shared["partner"] = os.urandom(32)
    keys = PreShared("partner", driver.service.pre_shared["partner"])
    for wall in (None, lambda: driver.service.now):
        driver.service.asked.clear()
        client = driver.client(keys, clock=Clock(lambda: driver.time, wall))
        for _ in range(2):
            assert everything(driver.run(client.exchange(TRANSFER, b"x"))) == b"x"
        # The first one, without content, asks for the time.
        assert driver.service.asked == ["/transfers"] * 3
    assert len(driver.service.done) == 4


@pytest.mark.parametrize(("status", "error"), [(200, Refused), (399, Refused), (404, None)])
def test_what_was_only_asked_for_the_time_has_done_nothing(
    status: int, error: type[Refusal] | None
) -> None:
    driver = Driver()
    driver.service.pre_shared["partner"] = os.urandom(32)
    keys = PreShared("partner", driver.service.pre_shared["partner"])
    exchange = driver.service.exchange

    def careless(send: Send, body: bytes) -> tuple[Head, bytes]:
        return driver.service.seal(exchange(send), Response(status=status), None)

    driver.between = careless
    flow = driver.client(keys).exchange(TRANSFER, b"x")
    if error is None:
        assert driver.run(flow).response.status == status
    else:
        with pytest.raises(error):
            driver.run(flow)


@pytest.mark.parametrize(
    ("kid", "secret"),
    [
        ("", os.urandom(32)),
        ("x" * 65, os.urandom(32)),
        ("a b", os.urandom(32)),
        ("partner", b""),
        ("partner", os.urandom(31)),
        ("partner", bytes(32)),
        ("partner", b"correct horse battery staple 123"),
    ],
)
def test_what_is_no_pre_shared_key(kid: str, secret: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        PreShared(kid, secret)
    known = [repr(entry.frame.f_locals) for entry in caught.traceback[1:]]
    assert known
    assert not secret or repr(secret) not in "".join(known)


@pytest.mark.parametrize("pins", [True, False])
def test_all_kinds_of_sessions(pins: bool) -> None:
    driver = Driver()
    sessions = driver.sessions(
        kem=MLKEM768PrivateKey.generate, prefix="/sealed", **({} if pins else {"pins": None})
    )
    assert everything(driver.run(driver.client(sessions).exchange(LOOK))) == b"/accounts"


def test_a_pre_shared_key_needs_no_handshake() -> None:
    driver = Driver()
    secret = os.urandom(32)
    driver.service.pre_shared["partner"] = secret
    clock = Clock(lambda: driver.time, lambda: driver.service.now)
    keys = PreShared("partner", secret)
    assert keys.current(clock).kid == "partner"
    client = driver.client(keys, clock=clock)
    assert everything(driver.run(client.exchange(LOOK))) == b"/accounts"
    assert driver.service.asked == ["/accounts"]


def test_a_session_is_renewed_before_it_ends() -> None:
    driver = Driver()
    client = driver.client()
    for seconds, handshakes in ((0, 1), (3500, 1), (100, 2)):
        driver.time += seconds
        driver.service.now += seconds
        driver.run(client.exchange(LOOK))
        assert driver.service.asked.count("/sealed/session") == handshakes


def test_an_unknown_session_is_agreed_on_anew_with_the_same_operation() -> None:
    driver = Driver()
    client = driver.client()
    driver.run(client.exchange(LOOK))
    identity = driver.service.ring.current("identity", NOW)
    driver.service.ring = KeyRing().add(identity, activate=True).add(ticket_key(), activate=True)
    request = replace(TRANSFER, op=os.urandom(16))
    assert everything(driver.run(client.exchange(request, b"x"))) == b"x"
    assert driver.service.done[-1].op == request.op
    assert driver.service.asked[-3:] == ["/transfers", "/sealed/session", "/transfers"]


def test_a_flow_does_not_throw_away_the_session_that_another_has_just_agreed_on() -> None:
    driver = Driver()
    sessions = driver.sessions()
    client = driver.client(sessions)
    driver.run(client.exchange(LOOK))
    flows = [client.exchange(LOOK) for _ in range(2)]
    sends = [next(flow) for flow in flows]  # both under the first session
    identity = driver.service.ring.current("identity", NOW)
    driver.service.ring = KeyRing().add(identity, activate=True).add(ticket_key(), activate=True)
    for flow, send in zip(flows, sends, strict=True):
        assert isinstance(send, Send)
        head, body = driver.service.answer(send, b"")
        assert head.status == SessionUnknown.status
        assert isinstance(flow.send(head), Read)
        assert everything(driver.run(resumed(flow, body))) == b"/accounts"
    assert driver.service.asked[1:] == [
        *("/accounts", "/accounts", "/sealed/session", "/accounts"),
        *("/accounts", "/accounts"),
    ]


def test_a_session_that_stays_unknown_is_reported() -> None:
    driver = Driver()
    client = driver.client()
    service = driver.service

    def between(send: Send, body: bytes) -> tuple[Head, bytes]:
        if send.target == "/sealed/session":
            return service.answer(send, body)
        return Head(401, {}), problem(SessionUnknown())

    driver.between = between
    with pytest.raises(Untrusted) as caught:
        driver.run(client.exchange(LOOK))
    assert (caught.value.status, caught.value.code) == (401, "session-unknown")
    assert service.asked == ["/sealed/session"] * 2


def test_a_forged_refusal_after_a_swallowed_answer_makes_nothing_happen_twice() -> None:
    driver = Driver()
    client = driver.client()
    service = driver.service
    swallowed: list[object] = []

    def between(send: Send, body: bytes) -> tuple[Head, bytes]:
        answer = service.answer(send, body)
        if send.target == "/transfers" and not swallowed:
            swallowed.append(answer)
            return Head(401, {}), problem(SessionUnknown())
        return answer

    driver.between = between
    answer = driver.run(client.exchange(TRANSFER, b"{}"))
    assert answer.response.status == Replayed.status
    assert json.loads(everything(answer))["type"] == "urn:flask-sealed:replayed"
    assert len(service.done) == 1


def test_a_forged_refusal_costs_a_pre_shared_key_nothing() -> None:
    driver = Driver(between=lambda *_: (Head(401, {}), problem(SessionUnknown())))
    keys = PreShared("partner", os.urandom(32))
    with pytest.raises(Untrusted):
        driver.run(driver.client(keys).exchange(LOOK))


def test_the_same_operation_can_be_tried_again() -> None:
    driver = Driver()
    client = driver.client()
    request = replace(TRANSFER, op=os.urandom(16))
    started = driver.time
    flow = client.exchange(request, b"x", started=started)
    flow.send(None)
    flow.close()  # the connection broke
    assert everything(driver.run(client.exchange(request, b"x", started=started))) == b"x"
    answer = driver.run(client.exchange(request, b"x", started=started))
    assert answer.response.status == 409
    driver.time += 121
    with pytest.raises(GivenUp):
        driver.run(client.exchange(request, b"x", started=started))
    assert len(driver.service.done) == 1


def test_a_clock_that_is_off_is_set_once() -> None:
    driver = Driver()
    client = driver.client(clock=Clock(lambda: driver.time, lambda: driver.service.now))
    driver.run(client.exchange(LOOK))
    driver.service.now += 500  # the client's machine slept
    assert everything(driver.run(client.exchange(TRANSFER, b"x"))) == b"x"
    assert driver.service.asked[-2:] == ["/transfers"] * 2
    driver.run(client.exchange(LOOK))
    assert driver.service.asked[-2:] == ["/transfers", "/accounts"]


def test_a_clock_that_stays_off_is_told_as_it_is() -> None:
    driver = Driver()
    client = driver.client()
    service = driver.service

    def between(send: Send, body: bytes) -> tuple[Head, bytes]:
        service.now += 500
        return service.answer(send, body)

    driver.between = between
    answer = driver.run(client.exchange(LOOK))
    assert answer.response.status == Stale.status
    assert service.asked.count("/accounts") == 2


@pytest.mark.parametrize(
    "content",
    [b"{}", b"\xff", json_encode({"server_time": 1}), problem(Replayed()), problem(Malformed(""))],
)
def test_an_applications_own_problems_set_no_clock(content: bytes) -> None:
    driver = Driver()
    driver.service.view = lambda *_: (Response(status=400, content_type=PROBLEM), content)
    assert everything(driver.run(driver.client().exchange(LOOK))) == content
    assert driver.service.asked.count("/accounts") == 1


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b'{"balance":1000000}', None),
        (302, b"", None),
        (502, b"<html>Bad Gateway</html>", None),
        (400, problem(Refused()), "refused"),
        (401, problem(Replayed()), None),
        (400, b'{"type":"urn:flask-sealed:x","title":"","status":400,"detail":""}', None),
        (400, b'{"type":"about:refused","title":"","status":400,"detail":""}', None),
        (500, b"x" * 100_000, None),
    ],
)
def test_an_unsealed_answer_is_never_data(status: int, body: bytes, code: str | None) -> None:
    driver = Driver()
    client = driver.client()
    driver.run(client.exchange(LOOK))
    driver.between = lambda *_: (Head(status, {"location": "https://evil.example"}), body)
    with pytest.raises(Untrusted) as caught:
        driver.run(client.exchange(LOOK))
    assert (caught.value.status, caught.value.code) == (status, code)
    assert isinstance(caught.value, NoAnswer)


@pytest.mark.parametrize("seal", ["", "x", "a.b.c.d.e", "a..b.c.d, a..b.c.d"])
def test_a_broken_seal_is_refused(seal: str) -> None:
    driver = Driver()
    client = driver.client()
    driver.run(client.exchange(LOOK))
    driver.between = lambda *_: (Head(200, {"sealed": seal}), b"")
    with pytest.raises(Refusal):
        driver.run(client.exchange(LOOK))


def test_an_answer_to_another_request_is_refused() -> None:
    driver = Driver()
    client = driver.client()
    service = driver.service
    answers: list[tuple[Head, bytes]] = []

    def between(send: Send, body: bytes) -> tuple[Head, bytes]:
        answers.append(service.answer(send, body))
        return answers[1] if len(answers) > 2 else answers[-1]

    driver.between = between
    driver.run(client.exchange(LOOK))
    with pytest.raises(Refused):
        driver.run(client.exchange(LOOK))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"{}", Malformed),
        (200, b'{"session":"x"}', Malformed),
        (200, b" " * 20_000, TooLarge),
        (403, b"", Untrusted),
        (400, problem(Refused()), Untrusted),
    ],
)
def test_a_handshake_that_fails(status: int, body: bytes, error: type[Exception]) -> None:
    driver = Driver(between=lambda *_: (Head(status, {}), body))
    with pytest.raises(error):
        driver.run(driver.client().exchange(LOOK))


def test_another_services_identity_is_refused() -> None:
    driver = Driver()
    with pytest.raises(Untrusted) as caught:  # the service has no such identity
        driver.run(driver.client(driver.sessions(pins=[bytes(32)])).exchange(LOOK))
    assert caught.value.code == "refused"


def test_a_reply_that_another_service_has_signed_is_refused() -> None:
    driver, attacker = Driver(), Service()
    settings: dict[str, Any] = {"issuer": BANK, "lifetime": 60, "random": os.urandom, "now": NOW}

    def between(send: Send, body: bytes) -> tuple[Head, bytes]:
        # The client's hello names its pins; the attacker makes one of its own that names none.
        hello = ClientHandshake(
            Ed25519PrivateKey.generate(), BANK, ephemeral=X25519PrivateKey.generate(), pins=None
        ).hello
        _, reply = answer_hello(hello, attacker.ring, **settings)
        return Head(200, {}), json_encode({"session": reply})

    driver.between = between
    with pytest.raises(Refused):
        driver.run(driver.client().exchange(LOOK))


def test_a_reply_that_comes_late_is_discarded() -> None:
    driver = Driver(delay=10.5)
    with pytest.raises(TooSlow):
        driver.run(driver.client().exchange(LOOK))


def test_streams_up_and_down() -> None:
    driver = Driver(stream=[b"one", b"two" * 50_000])
    driver.service.streams = True
    client = driver.client()
    content = b"one" + b"two" * 50_000
    for length in (None, len(content)):
        answer = driver.run(client.exchange(TRANSFER, stream=True, length=length))
        assert answer.rest is not None
        assert answer.content + answer.rest.feed(driver.rest) == content
        assert answer.rest.finish() == b""
        assert answer.length == len(content)


def test_headers_ahead_of_a_stream_are_waited_for() -> None:
    driver = Driver()
    headers: Headers = tuple((f"x-{number}", "y" * 50) for number in range(30))
    response = Response(status=200, headers=headers)
    driver.service.view = lambda *_: (response, b"content")
    answer = driver.run(driver.client().exchange(LOOK))
    assert answer.response == response
    assert everything(answer) == b"content"
    driver.service.streams = True
    answer = driver.run(driver.client().exchange(LOOK))
    assert answer.response == response
    assert answer.rest is not None
    assert answer.content + answer.rest.feed(driver.rest) + answer.rest.finish() == b"content"


def test_a_stream_that_ends_in_its_headers_is_cut() -> None:
    driver = Driver()
    driver.service.streams = True
    headers: Headers = tuple((f"x-{number}", "y" * 50) for number in range(30))
    driver.service.view = lambda *_: (Response(status=200, headers=headers), b"content")
    service = driver.service

    def between(send: Send, body: bytes) -> tuple[Head, bytes]:
        head, content = service.answer(send, body)
        return head, content if send.target == "/sealed/session" else content[:500]

    driver.between = between
    with pytest.raises(Malformed):
        driver.run(driver.client().exchange(LOOK))


def test_an_envelope_is_not_read_without_end() -> None:
    driver = Driver()
    client = driver.client(most=1000)
    request = replace(LOOK, headers=(("accept", "*/*"),))
    driver.service.view = lambda *_: (Response(status=200), bytes(400))
    assert len(everything(driver.run(client.exchange(request)))) == 400
    driver.service.view = lambda *_: (Response(status=200), bytes(1000))
    with pytest.raises(TooLarge):
        driver.run(client.exchange(request))


def redirecting(driver: Driver, status: int, location: str | None) -> None:
    def view(request: Request, content: bytes) -> tuple[Response, bytes | None]:
        if request.target == "/old" or (request.target == "/transfers" and location):
            headers: Headers = () if location is None else (("location", location),)
            return Response(status=status, headers=headers), None
        resource = request.target + (f" {request.query}" if request.query else "")
        return Response(status=200), f"{request.method} {resource}".encode() + content

    driver.service.view = view


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target", "query"),
    [
        ("/new", "/new", None),
        ("new?a=b#c", "/new", "a=b"),
        ("https://bank.example/ä%20b", "/%C3%A4%20b", None),
        ("https://bank.example", "/", None),
        ("https:new", "/new", None),
        ("/%252F%2f%3F?%2f", "/%252F/%3F", "%2f"),
        ("/a/../b/%2e%2e/c", "/b/../c", None),
    ],
)
def test_sealed_redirects_are_followed(
    status: int, location: str, target: str, query: str | None
) -> None:
    driver = Driver()
    redirecting(driver, status, location)
    client = driver.client()
    request = Request(method="GET", target="/old", query="hidden")
    answer = driver.run(client.exchange(request, redirects=1))
    resource = target + (f" {query}" if query else "")
    assert everything(answer) == f"GET {resource}".encode()
    assert (answer.target, answer.query) == (target, query)
    answer = driver.run(client.exchange(TRANSFER, b"!", redirects=1))
    keeps = status in (307, 308)
    assert everything(answer) == f"{'POST' if keeps else 'GET'} {resource}{'!' * keeps}".encode()
    ops = [request.op for request in driver.service.done if request.method == "POST"]
    assert len(set(ops)) == len(ops)


def test_a_redirects_query_is_shown_where_the_requests_own_was() -> None:
    driver = Driver()
    redirecting(driver, 302, "/new?b")
    driver.service.view, view = (
        (
            lambda request, content: (
                view(replace(request, target="/old"), content)
                if request.target == "/old?a"
                else view(request, content)
            )
        ),
        driver.service.view,
    )
    for asked, target, query in (("/old?a", "/new?b", None), ("/old", "/new", "b")):
        request = Request(method="GET", target=asked)
        answer = driver.run(driver.client().exchange(request, redirects=1))
        assert (answer.target, answer.query) == (target, query)


def test_a_safe_request_with_an_operation_is_another_one_after_a_redirect() -> None:
    driver = Driver()
    redirecting(driver, 302, "/new")
    request = Request(method="GET", target="/old", op=os.urandom(16))
    driver.run(driver.client().exchange(request, redirects=1))
    old, new = driver.service.done
    assert (old.op, new.target) == (request.op, "/new")
    assert new.op not in (None, old.op)


def test_a_redirect_to_more_than_can_be_sealed_is_too_large() -> None:
    driver = Driver()
    driver.service.view = lambda *_: (
        Response(status=302, headers=(("location", f"/{'x' * 6000}"),)),
        b"",
    )
    with pytest.raises(TooLarge):
        driver.run(driver.client().exchange(LOOK, redirects=1))
    long = Request(method="GET", target=f"/{'x' * 6000}")
    with pytest.raises(ValueError):
        driver.run(driver.client().exchange(long, redirects=1))


def test_other_methods_than_post_are_kept() -> None:
    driver = Driver()
    redirecting(driver, 301, "/new")
    request = replace(TRANSFER, method="PUT", target="/old")
    answer = driver.run(driver.client().exchange(request, b"!", redirects=1))
    assert everything(answer) == b"PUT /new!"


@pytest.mark.parametrize(
    "location",
    [
        None,
        "https://evil.example/",
        "http://bank.example/",
        "https://user@bank.example/",
        "https://bank.example:8443/",
        "//evil.example/",
        "https://[",
        "https://bank.example.evil.example/",
        "https://bank.example@evil.example/",
        "https://bank.example:443/",
        "https://bank.example//evil.example/",
        "/.//evil.example/",
        "/%2fevil.example/",
        "javascript:/",
        "/%ff",
        "/\xff?\xff",
        "/?a b",
    ],
)
def test_redirects_out_of_the_service_are_not_followed(location: str | None) -> None:
    driver = Driver()
    redirecting(driver, 302, location)
    answer = driver.run(
        driver.client().exchange(Request(method="GET", target="/old"), redirects=5)
    )
    assert answer.response.status == 302
    assert len(driver.service.done) == 1


def test_redirects_are_followed_as_often_as_asked() -> None:
    driver = Driver()
    redirecting(driver, 302, "/old")
    client = driver.client()
    for redirects in (0, 1, 3):
        driver.service.done.clear()
        request = Request(method="GET", target="/old")
        assert driver.run(client.exchange(request, redirects=redirects)).response.status == 302
        assert len(driver.service.done) == redirects + 1


def test_what_goes_wrong_with_the_connection_comes_through() -> None:
    driver = Driver()
    flow = driver.client().exchange(LOOK)
    flow.send(None)
    with pytest.raises(ConnectionError):
        flow.throw(ConnectionError())


def test_repr_shows_no_secret() -> None:
    driver = Driver()
    client = driver.client()
    flow = client.exchange(replace(TRANSFER, headers=(("authorization", "Bearer x"),)), b"1234")
    steps = [flow.send(None)]
    assert "1234" not in repr(steps)
    assert "hello" not in repr(steps)


def test_a_clock_counts_the_seconds_that_the_machine_slept() -> None:
    monotonic, wall = [5.0], [1000.0]
    clock = Clock(lambda: monotonic[0], lambda: wall[0])
    assert clock.now() == 5
    for ticks, passed in ((1, 1), (0, 3600), (1, 1.5), (0, -7000), (0, 100)):
        monotonic[0] += ticks
        wall[0] += passed
        clock.now()
    # Half a second is no sleep, and a clock that is set back takes none away.
    assert clock.now() == 5 + 2 + 3600 + 100


def test_a_clock_tells_no_time_that_leads_the_servers() -> None:
    monotonic, wall = [5.0], [1000.0]
    clock = Clock(lambda: monotonic[0], lambda: wall[0])
    assert (clock.is_told, clock.server_time()) == (False, 1000)
    clock.set(NOW)
    wall[0] += 600
    monotonic[0] += 1.5
    assert (clock.is_told, clock.server_time()) == (True, NOW + 1)
    clock.set(NOW - 50)
    assert clock.server_time() == NOW - 50


@pytest.mark.parametrize(("ahead", "missed"), [(3600, 3600), (11, 11), (10, 0), (-3600, 0)])
def test_what_the_server_tells_counts_as_passed(ahead: int, missed: int) -> None:
    clock = Clock(lambda: 5.0)
    assert clock.server_time() == 0
    clock.set(NOW)
    assert clock.now() == 5
    clock.set(NOW + ahead)
    assert clock.now() == 5 + missed
    clock.set(NOW + ahead)
    assert clock.now() == 5 + missed
    assert clock.server_time() == NOW + ahead
