"""One service as all clients see it: which requests are sealed, and what becomes of each.

It is a generator, as the protocol's flow is, so that blocking and asynchronous clients share it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, Protocol, Required, TypedDict, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..errors import ConfigError, Malformed, SessionUnknown
from ..protocol.exchange import ClientExchange
from ..protocol.flow import (
    MOST_PROBLEM,
    Answer,
    Client,
    Clock,
    Given,
    Head,
    Key,
    KeySource,
    PreShared,
    Read,
    ReadSome,
    Send,
    Sessions,
    untrusted,
)
from ..protocol.handshake import Random
from ..protocol.jwk import SigningKey
from ..protocol.messages import OP_BYTES, REQUEST_HEADERS, Headers, Request, is_transport
from ..protocol.password import PasswordSession
from ..protocol.replay import is_safe
from .identity import binding_key, kem_key, origin_of, origin_text, read_origin, read_pins
from .routes import Route, Routes, check_path, resource

#: The most bytes of a body that goes as an envelope; a longer one goes as records.
MOST_ENVELOPE = 1024 * 1024
_ANY_BODY = "application/octet-stream"
_PROBLEM = "application/problem+json"
# How long a list of routes is believed, in seconds, should the session last longer.
_LIST_LASTS = 3600
# They speak of the body as it travels, and that is another one.
_OF_THE_BODY = frozenset(("content-length", "content-type", "transfer-encoding", "sealed"))
_OF_THE_CONNECTION = frozenset(
    ("connection", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade")
)

T = TypeVar("T")


class Options(TypedDict, total=False):
    """What every client of a service is given, as keyword arguments.

    One of ``pins``, ``unpinned``, ``psk`` and ``session`` has to be there.
    """

    #: The name of the service, as its ``SEALED_AUDIENCE`` has it.
    audience: Required[str]
    #: Scheme, host and port of the service; where left out, the audience is that, too.
    origin: str
    #: The lines that ``flask sealed pins`` prints, 1 to 4.
    pins: Sequence[str | bytes]
    #: Whether any key of the service is believed: safe from those who only read.
    unpinned: bool
    #: The name and the 32 bytes of a pre-shared key, in place of sessions.
    psk: tuple[str, bytes]
    #: A session that came under a password: what
    #: :func:`~flask_sealed.clients.open_password_session` answers. Weaker than pins.
    session: PasswordSession
    #: The client's own key, or the path of its file; made anew where left out.
    binding: SigningKey | str | Path
    #: The service's ``SEALED_PREFIX``, with the path that it is mounted at.
    prefix: str
    #: The service's ``SEALED_HEADERS``: more request headers that travel sealed.
    headers: Collection[str]
    #: Whether the queries of sealed requests are sealed, too, and so not in the URL.
    hide_query: bool
    #: Whether the length of bodies is hidden, up to 12 %.
    pad: bool
    #: Headers with which a request to a view that is not sealed goes with a proof.
    prove_with: Collection[str]
    #: What becomes of requests to other origins.
    others: Literal["refuse", "clear"]


class Turn(Enum):
    """Steps beside the flow's: what needs one client at a time, such as a handshake."""

    TAKE = auto()
    GIVE = auto()


@dataclass(frozen=True, slots=True)
class Pass:
    """A step: the caller's request is to be sent as it is; the driver answers with a Head."""

    #: A seal that proves who sends it.
    seal: str | None


@dataclass(frozen=True, slots=True)
class Clear:
    """The answer to a request that was passed on: it is the last one that came."""

    #: Its body, where that has been read.
    content: bytes | None = field(default=None, repr=False)


ServiceFlow = Generator[Send | Read | ReadSome | Pass | Turn, Any, T]


class Operation:
    """One operation of the application, over all attempts at it.

    An attempt whose answer was lost is made again with the same object. The service then does it
    once, or answers that it has been done: status 409, ``urn:flask-sealed:replayed``.
    """

    def __init__(self) -> None:
        # Where a redirect leads it is another operation: the first view has answered.
        self._attempts: dict[tuple[str, str], tuple[bytes, float]] = {}

    def attempt(self, method: str, target: str, clock: Clock) -> tuple[bytes, float]:
        """The operation's name, and when it was tried first, on the client's clock."""
        new = os.urandom(OP_BYTES), clock.now()
        return self._attempts.setdefault((method, target), new)


@dataclass(slots=True, kw_only=True)
class Call:
    """A request as the caller has made it."""

    method: str
    #: As they stand in the request line.
    path: str
    query: str = field(default="", repr=False)
    #: Names in lower case.
    headers: Headers = field(default=(), repr=False)
    #: The body, ``None`` where there is none or it is a stream.
    content: bytes | None = field(default=None, repr=False)
    stream: bool = False
    #: The number of bytes of the stream, where it is known.
    length: int | None = None
    #: What the caller says of the route; ``None`` leaves it to the service's list.
    sealed: bool | None = None
    #: Whether a sealed redirect led here: it came sealed, and goes on so.
    redirected: bool = False
    #: The same of the query; ``None`` leaves it to the client.
    hide_query: bool | None = None
    operation: Operation | None = None

    def joined(self) -> dict[str, str]:
        """The headers by their names."""
        return _joined(self.headers)

    def outer(self, inner: frozenset[str]) -> Headers:
        """The headers that travel in clear."""
        return tuple(
            pair for pair in self.headers if pair[0] not in inner and pair[0] not in _OF_THE_BODY
        )


class Service:
    """What a client holds for one service. Threads may share it; event loops may not.

    The parameters are those of :class:`Options`, and for tests these.

    :param clock: the server's time.
    :param random: makes random bytes.
    :raises ConfigError: where one of them is wrong.
    """

    def __init__(
        self,
        *,
        audience: str,
        origin: str | None = None,
        pins: Sequence[str | bytes] | None = None,
        unpinned: bool = False,
        psk: tuple[str, bytes] | None = None,
        session: PasswordSession | None = None,
        binding: SigningKey | str | Path | None = None,
        prefix: str = "/sealed",
        headers: Collection[str] = (),
        hide_query: bool = True,
        pad: bool = False,
        prove_with: Collection[str] = ("authorization",),
        others: Literal["refuse", "clear"] = "refuse",
        clock: Clock | None = None,
        random: Random = os.urandom,
    ) -> None:
        self._origin = read_origin(audience if origin is None else origin)
        self._inner = REQUEST_HEADERS | {name.lower() for name in headers}
        self._hide_query = hide_query
        self._pad = pad
        self._prove_with = {name.lower() for name in prove_with}
        self._others = others
        self._list_target = f"{prefix}/routes"
        self._audience = audience
        self._clock = clock or Clock(time.monotonic, time.time)
        self._random = random
        self._keys: PreShared | Given | Sessions
        given = psk or session
        if given is not None:
            if pins is not None or unpinned or binding is not None or (psk and session):
                raise ConfigError(
                    "with a pre-shared key or a session under a password there are no pins and no"
                    " binding key, and one of them is enough"
                )
            self._keys = (
                PreShared(*given) if isinstance(given, tuple) else Given(given, self._clock)
            )
        else:
            self._keys = Sessions(
                audience,
                binding=_binding(binding),
                pins=read_pins(pins, unpinned=unpinned),
                prefix=prefix,
                kem=kem_key(),
            )
        self._client = self._make_client(_InTurn(self._keys))
        # For what is done while others wait already.
        self._own_client = self._make_client(self._keys)
        # The list of routes, the key that it came by, and until when it is believed.
        self._list: tuple[Key, float, Routes] | None = None

    def __repr__(self) -> str:
        return f"<Service {self._audience!r}>"

    def _make_client(self, keys: KeySource) -> Client:
        return Client(
            self._audience,
            keys=keys,
            clock=self._clock,
            random=self._random,
            origin=origin_text(self._origin),
        )

    def is_at(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether a request is for this service; one for others is to be passed on.

        :raises ConfigError: where it is for others, and those are refused.
        """
        if origin_of(scheme, host, port) == self._origin:
            return True
        if self._others == "clear":
            return False
        raise ConfigError(
            f"a request to {scheme}://{host} does not go through a client of"
            f" {origin_text(self._origin)}: use another client for it, or others='clear'"
        )

    def call(self, call: Call) -> ServiceFlow[Answer | Clear]:
        """Send a request, sealed where its route is, and take the answer.

        :raises NoAnswer: where nothing came that could be trusted.
        :raises Refusal: where the answer does not open, or does not belong to the request.
        :raises ConfigError: where the route is sealed in Level 3, which this is no client of.
        :raises ValueError: where it is no request that could be sealed.
        """
        check_path(call.path)
        sealed, once = call.sealed, False
        if sealed is None and call.method != "OPTIONS":
            route = yield from self._route(call)
            sealed = route is not None or call.redirected
            once = route is not None and route.once
        if sealed:
            return (yield from self._send_sealed(call, once=once))
        return (yield from self._pass(call))

    def _route(self, call: Call) -> ServiceFlow[Route | None]:
        routes = self._believed()
        if routes is None:
            yield Turn.TAKE
            routes = self._believed()
            if routes is None:
                routes = yield from self._fetch_list()
            yield Turn.GIVE
        route = routes.find(call.method, call.path)
        if route is not None and route.profile != "session":
            raise ConfigError(
                f"the view at {route.path} has the profile {route.profile}, and this is a client"
                " of the profile session; use one of its own for it"
            )
        return route

    def _believed(self) -> Routes | None:
        """The list of routes, where it came in the current session."""
        if self._list is None:
            return None
        key, until, routes = self._list
        current = self._keys.current(self._clock) is key
        return routes if current and self._clock.now() < until else None

    def _fetch_list(self, *, op: bytes | None = None) -> ServiceFlow[Routes]:
        """Ask for the list of routes. A forged one would lead requests out in clear, so it comes
        sealed or not at all."""
        request = Request(method="GET", target=self._list_target, op=op)
        answer = yield from self._own_client.exchange(request)
        if answer.response.status != HTTPStatus.OK:
            status = answer.response.status
            raise Malformed(f"The service answers its list of routes with the status {status}.")
        content, rest = answer.content, answer.rest
        while rest is not None:
            piece = yield ReadSome()
            content += rest.feed(piece) if piece else rest.finish()
            rest = rest if piece else None
        routes = Routes(content)
        key = yield from self._keys.get(self._clock)
        self._list = key, self._clock.now() + _LIST_LASTS, routes
        return routes

    def _send_sealed(self, call: Call, *, once: bool) -> ServiceFlow[Answer]:
        request = self._request(call)
        started = None
        if once or call.operation is not None or not is_safe(call.method):
            if call.operation is None:
                request.op = self._random(OP_BYTES)
            else:
                request.op, started = call.operation.attempt(
                    call.method, request.target, self._clock
                )
        stream = call.stream or len(call.content or b"") > MOST_ENVELOPE
        return (
            yield from self._client.exchange(
                request,
                None if stream else call.content or None,
                stream=stream,
                length=call.length if call.stream else len(call.content or b""),
                pad=self._pad,
                headers=call.outer(self._inner),
                started=started,
            )
        )

    def _request(self, call: Call) -> Request:
        headers = call.joined()
        if "content-encoding" in headers:
            raise ValueError("a sealed request has no Content-Encoding; leave it to the seal")
        hides = self._hide_query if call.hide_query is None else call.hide_query
        has_body = call.stream or bool(call.content)
        return Request(
            method=call.method,
            target=resource(call.path, "" if hides else call.query),
            content_type=(headers.get("content-type") or _ANY_BODY) if has_body else None,
            query=(call.query or None) if hides else None,
            headers=tuple(pair for pair in headers.items() if pair[0] in self._inner),
        )

    def _pass(self, call: Call) -> ServiceFlow[Clear]:
        """Pass a request on in clear, with a proof where it may have a token that needs one."""
        names = {name for name, _ in call.headers}
        if call.method == "OPTIONS" or names.isdisjoint(self._prove_with):
            yield Pass(None)
            return Clear()
        op = None if is_safe(call.method) else self._random(OP_BYTES)
        for again in (False, True):
            key, seal = yield from self._prove(call, op)
            head: Head = yield Pass(seal)
            unknown = head.status == SessionUnknown.status
            if again or call.stream or not unknown or head.headers.get("content-type") != _PROBLEM:
                break
            content = yield Read(MOST_PROBLEM)
            # Forged or not, a new handshake tells; the operation keeps its name.
            if untrusted(head.status, content).code != SessionUnknown.code:
                return Clear(content)
            if not self._keys.forget(key):
                return Clear(content)
        return Clear()

    def _prove(self, call: Call, op: bytes | None) -> ServiceFlow[tuple[Key, str]]:
        """A seal for a view that is not sealed: it says who sends the request, and no more."""
        key = yield from _InTurn(self._keys).get(self._clock)
        if op is not None and not self._clock.is_told:
            # What the client's own clock says could be too late by much, and be sent once more
            # then. To name an operation makes the service tell its time.
            yield from self._fetch_list(op=self._random(OP_BYTES))
        exchange = ClientExchange(key.secret, key.kid, self._audience, random=self._random)
        request = Request(method=call.method, target=resource(call.path, call.query), op=op)
        return key, exchange.seal(request, iat=self._clock.server_time()).seal


class _InTurn:
    """Keys that one flow agrees on while the others wait for it."""

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys

    def get(self, clock: Clock) -> ServiceFlow[Key]:
        key = self._keys.current(clock)
        if key is None:
            yield Turn.TAKE
            key = yield from self._keys.get(clock)
            yield Turn.GIVE
        return key

    def current(self, clock: Clock) -> Key | None:
        return self._keys.current(clock)

    def forget(self, key: Key) -> bool:
        return self._keys.forget(key)


def _binding(given: SigningKey | str | Path | None) -> SigningKey:
    if isinstance(given, str | Path):
        return binding_key(given)
    return given or Ed25519PrivateKey.generate()


class Wire(Protocol):
    """Sends requests, one after the other, and reads the last one's answer."""

    def send(self, step: Send | Pass) -> Head:
        """Send a request; the answer before is of no use any more."""

    def read(self, most: int) -> bytes:
        """The answer's body to its end, or its first bytes."""

    def read_some(self) -> bytes:
        """Some of the answer's body, none at its end."""


class Pieces:
    """What all wires read an answer's body from: pieces of it, empty ones among them."""

    _pieces: Iterator[bytes] = iter(())

    def read(self, most: int) -> bytes:
        """The body to its end, or its first bytes."""
        whole = bytearray()
        while len(whole) < most and (piece := self.read_some()):
            whole += piece
        return bytes(whole[:most])

    def read_some(self) -> bytes:
        """Some of the body, none at its end."""
        return next((piece for piece in self._pieces if piece), b"")

    def content(self, answer: Answer) -> Generator[bytes]:
        """An answer's content: opened as it is read, and never complete where it was cut."""
        if answer.content:
            yield answer.content
        rest = answer.rest
        if rest is None:
            return
        while piece := self.read_some():
            if content := rest.feed(piece):
                yield content
        if content := rest.finish():
            yield content


class Lock(Protocol):
    """A lock of the standard library."""

    def acquire(self) -> object:
        """Wait for it."""

    def release(self) -> None:
        """Let others have it."""


def drive(flow: ServiceFlow[T], wire: Wire, lock: Lock) -> T:
    """Do what a flow asks for, until its result is there."""
    reply: object = None
    held = False
    try:
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            reply = None
            if isinstance(step, Send | Pass):
                reply = wire.send(step)
            elif isinstance(step, Read):
                reply = wire.read(step.most + 1)
            elif isinstance(step, ReadSome):
                reply = wire.read_some()
            elif step is Turn.TAKE:
                lock.acquire()
                held = True
            else:
                lock.release()
                held = False
    finally:
        flow.close()
        if held:
            lock.release()


def head_of(status: int, headers: Headers) -> Head:
    """The start of an answer, for a flow.

    :param headers: names in lower case.
    """
    return Head(status, _joined(headers))


def _joined(headers: Headers) -> dict[str, str]:
    joined = dict(headers)
    if len(joined) == len(headers):
        return joined
    return {
        name: ", ".join([value for known, value in headers if known == name]) for name in joined
    }


def headers_of(answer: Answer, outer: Headers, method: str) -> list[tuple[str, str]]:
    """The headers of an answer as if it had never been sealed.

    :param outer: those that came with it in clear, names in lower case; only what the seal leaves
        out counts.
    """
    headers = [
        pair for pair in outer if pair[0] not in _OF_THE_CONNECTION and is_transport(pair[0])
    ]
    if answer.response.content_type is not None:
        headers.append(("content-type", answer.response.content_type))
    length = answer.length
    if length is None and answer.rest is None and answer.content and method != "HEAD":
        length = len(answer.content)
    if length is not None:
        headers.append(("content-length", str(length)))
    return [*headers, *answer.response.headers]


@dataclass(frozen=True, slots=True)
class Seal:
    """How an answer came: for logs and for debugging, and nothing to be believed."""

    #: The name of the session; ``None`` with a pre-shared key. It tells nothing of its keys.
    sid: str | None
    #: The status and the headers outside of the seal.
    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
