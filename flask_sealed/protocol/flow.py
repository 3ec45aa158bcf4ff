"""The client's side as a generator: it yields what is to be sent, and is sent what came back.

A driver does the I/O, in whichever way its library has: see :meth:`Client.exchange`. Handshakes,
the one retry that the protocol has, redirects and all checks of the answer are here, once for all
drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..errors import (
    ConfigError,
    GivenUp,
    HttpsRequired,
    Malformed,
    Refused,
    SealedRequired,
    SessionUnknown,
    Stale,
    TooLarge,
    TooSlow,
    Unavailable,
    Untrusted,
)
from .encoding import Members, json_decode, json_encode
from .exchange import ClientExchange, Opened, StreamOpener
from .handshake import ClientHandshake, Ephemeral, Random
from .jwk import SigningKey
from .keys import Key as NamedKey
from .messages import OP_BYTES, Headers, Request, Response, target
from .password import PasswordSession
from .records import RecordSealer
from .replay import GIVE_UP, is_safe

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

RECORDS_TYPE = "application/vnd.flask-sealed.records"
#: The longest that a handshake's reply may take: it gives the clock, in seconds.
SLOWEST_REPLY = 10
#: How much earlier than it ends a session is renewed, in seconds.
_EARLIER = 60
# What two clocks of a machine may differ by without its having slept, in seconds.
_NOTICED = 1
#: The most bytes that are read of an answer in clear.
MOST_PROBLEM = 64 * 1024
#: The most bytes of either message of a handshake.
MOST_REPLY = 16 * 1024
_MOST_ENVELOPE = 64 * 1024 * 1024
# Statuses that lead elsewhere, and those of them that keep the method (RFC 9110, section 15.4).
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_KEEP_METHOD = frozenset((307, 308))
_CODE = "urn:flask-sealed:"
# The refusals that a service answers in clear.
_CODES = frozenset(
    refusal.code
    for refusal in (
        SealedRequired,
        Malformed,
        Refused,
        SessionUnknown,
        TooLarge,
        HttpsRequired,
        Unavailable,
    )
)


@dataclass(frozen=True, slots=True)
class Send:
    """A request to be sent; the driver answers with a :class:`Head`.

    The HTTP library must not follow redirects of it, nor send it again on its own. What has not
    been read of an earlier answer is not read any more.
    """

    method: str
    #: The path and query, as they stand in the request line. Not a reference to be resolved: one
    #: that starts with ``//`` would name another host.
    target: str
    #: Headers to be set, in place of others of these names.
    headers: Headers = field(repr=False)
    #: The body, ``None`` where there is none or it is a stream.
    body: bytes | None = field(default=None, repr=False)
    #: Seals the body's stream, where it is one: the driver sends what it makes of the content.
    records: RecordSealer | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Head:
    """What came back, its body not read yet."""

    status: int
    #: The headers, by their names in lower case; several of one name joined by a comma.
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Read:
    """The answer's body is to be read to its end; the driver answers with the bytes, or with the
    first ``most`` and one more of them."""

    most: int


@dataclass(frozen=True, slots=True)
class ReadSome:
    """Some of the answer's body is to be read; the driver answers with bytes, none at its end."""


Step = Send | Read | ReadSome
T = TypeVar("T")
#: Yields steps, is sent what they ask for, and returns its result.
Flow = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Key:
    """What exchanges are sealed with, and until when."""

    kid: str
    secret: bytes = field(repr=False)
    #: When it has to be renewed, on the client's own clock; ``None`` for never.
    until: float | None = None
    #: The name of the session; ``None`` for a pre-shared key.
    sid: str | None = None


class KeySource(Protocol):
    """Where a client's keys come from."""

    def get(self, clock: Clock) -> Generator[Any, Any, Key]:
        """The key for the next exchange. Steps of its own reach the driver, too."""

    def current(self, clock: Clock) -> Key | None:
        """The same, ``None`` where it has to be agreed on first."""

    def forget(self, key: Key) -> bool:
        """Do not use a key any more.

        :returns: whether there can be another one.
        """


class Clock:
    """The server's time as far as a client knows it, and how long things take.

    Both decide whether an operation can happen twice, so each errs to one side. The server's time
    comes from the server and goes on by ``monotonic``: it may lag, which the server notices, but
    never leads. A request from the future would be fresh when the server has forgotten its
    operation. What :meth:`now` tells may lead, but not lag: it counts the seconds that
    ``monotonic`` has missed while the machine slept, as far as ``wall`` or the server tells them.

    Threads may share it.

    :param monotonic: seconds that only ever go up, such as :func:`time.monotonic`.
    :param wall: the client's own seconds since 1970, such as :func:`time.time`. Where it is left
        out, an operation is given up when the server's time shows that the machine has slept.
    """

    def __init__(
        self, monotonic: Callable[[], float], wall: Callable[[], float] | None = None
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        # How far the wall clock was ahead of the other one, and what that one has missed.
        self._ahead = self._difference()
        self._missed = 0.0
        # What the server has told last, and when that was by both clocks.
        self._told: tuple[int, float, float] | None = None
        self._lock = Lock()

    def now(self) -> float:
        """Seconds that go up while the machine sleeps, too."""
        with self._lock:
            return self._now()

    def set(self, server_time: int) -> None:
        """Take the time from the server, in seconds since 1970."""
        with self._lock:
            now = self._now()
            if self._told is not None:
                told, _, when = self._told
                missed = server_time - told - (now - when)
                if missed > SLOWEST_REPLY:  # What was told before may have come as late.
                    self._missed += missed
                    now += missed
            self._told = server_time, self._monotonic(), now

    @property
    def is_told(self) -> bool:
        """Whether the server has told its time."""
        return self._told is not None

    def server_time(self) -> int:
        """The server's time, in seconds since 1970; the wall clock's until it is told."""
        if self._told is not None:
            told, when, _ = self._told
            return int(told + self._monotonic() - when)
        return 0 if self._wall is None else int(self._wall())

    def _now(self) -> float:
        ahead = self._difference()
        if ahead - self._ahead > _NOTICED:
            self._missed += ahead - self._ahead
        self._ahead = ahead
        return self._monotonic() + self._missed

    def _difference(self) -> float:
        return 0.0 if self._wall is None else self._wall() - self._monotonic()


class Sessions:
    """Sessions, agreed on by handshakes when needed.

    :param audience: the name of the service, as it is configured.
    :param binding: the client's own signing key, which outlives sessions.
    :param pins: the thumbprints of the identity keys that the service may answer with, 32 bytes
        each, 1 to 4; ``None`` for *unpinned* sessions, which are safe from those who only read.
    :param prefix: the path below which the service answers handshakes.
    :param ephemeral: makes a key for one handshake.
    :param kem: likewise, where the client has ML-KEM-768.
    """

    def __init__(
        self,
        audience: str,
        *,
        binding: SigningKey,
        pins: Sequence[bytes] | None,
        prefix: str = "/sealed",
        ephemeral: Callable[[], Ephemeral] = X25519PrivateKey.generate,
        kem: Callable[[], MLKEM768PrivateKey] | None = None,
    ) -> None:
        self._audience = audience
        self._binding = binding
        self._pins = pins
        self._target = f"{prefix}/session"
        self._ephemeral = ephemeral
        self._kem = kem
        self._key: Key | None = None

    def get(self, clock: Clock) -> Flow[Key]:
        """The current session's key, after a handshake where there is none."""
        key = self.current(clock)
        if key is None:
            self._key = key = yield from self._agree(clock)
        return key

    def current(self, clock: Clock) -> Key | None:
        """The current session's key, ``None`` where there has to be a handshake first."""
        key = self._key
        over = key is None or (key.until is not None and clock.now() >= key.until)
        return None if over else key

    def forget(self, key: Key) -> bool:
        if self._key is key:
            self._key = None
        return True

    def _agree(self, clock: Clock) -> Flow[Key]:
        handshake = ClientHandshake(
            self._binding,
            self._audience,
            ephemeral=self._ephemeral(),
            kem=None if self._kem is None else self._kem(),
            pins=self._pins,
        )
        start = clock.now()
        body = json_encode({"hello": handshake.hello})
        head = yield Send("POST", self._target, (("content-type", "application/json"),), body)
        text = yield Read(MOST_REPLY)
        took = clock.now() - start
        if head.status != HTTPStatus.OK:
            raise untrusted(head.status, text)
        if took > SLOWEST_REPLY:
            raise TooSlow(took)
        if len(text) > MOST_REPLY:
            raise TooLarge(f"A reply to a handshake has {MOST_REPLY} bytes at the most.")
        session, ticket = handshake.finish(json_decode(text, _SESSION)["session"])
        clock.set(session.iat)
        lifetime = session.exp - session.iat
        until = clock.now() + max(lifetime - _EARLIER, lifetime / 2)
        return Key(ticket, session.secret, until, session.sid)


class PreShared:
    """A pre-shared key, for services that call each other.

    :param kid: its name, 64 characters at the most.
    :param secret: 32 random bytes.
    :raises ConfigError: where they are none, or ones that others can know.
    """

    def __init__(self, kid: str, secret: bytes) -> None:
        fault = None
        try:
            NamedKey(kid=kid, purpose="psk", material=secret)
        except ConfigError as error:
            fault = str(error)
        if fault is not None:
            secret = b""  # Error reports show the variables of frames.
            raise ConfigError(fault)
        self._key = Key(kid, secret)

    def get(self, clock: Clock) -> Flow[Key]:  # noqa: ARG002  # as the protocol has it
        """The key."""
        yield from ()
        return self._key

    def current(self, clock: Clock) -> Key:  # noqa: ARG002
        """The key."""
        return self._key

    def forget(self, key: Key) -> bool:  # noqa: ARG002
        return False


class Given:
    """A session that was agreed on in another way, such as under a password. When it is over, its
    user has to log in again.

    :param session: one that has just come from the service: when it was made is the time there.
    :param clock: is told that time.
    """

    def __init__(self, session: PasswordSession, clock: Clock) -> None:
        clock.set(session.iat)
        until = clock.now() + session.exp - session.iat
        self._key = Key(session.ticket, session.secret, until)
        self._until = until

    def get(self, clock: Clock) -> Flow[Key]:
        """The session's key.

        :raises SessionUnknown: where it is over.
        """
        yield from ()
        key = self.current(clock)
        if key is None:
            raise SessionUnknown
        return key

    def current(self, clock: Clock) -> Key | None:
        """The session's key, ``None`` where it is over."""
        return self._key if clock.now() < self._until else None

    def forget(self, key: Key) -> bool:  # noqa: ARG002
        return False


@dataclass(slots=True)
class Answer:
    """What the service has answered: everything in it came sealed."""

    response: Response
    #: The content, or what has been read of it so far.
    content: bytes = field(repr=False)
    #: Opens the rest of the body, ``None`` where there is no more.
    rest: StreamOpener | None = field(default=None, repr=False)
    #: The number of bytes of the content, where the service says it.
    length: int | None = None
    #: The target that answered, and its hidden query: other ones after redirects.
    target: str = ""
    query: str | None = field(default=None, repr=False)
    #: The name of the session; ``None`` with a pre-shared key.
    sid: str | None = None


class Client:
    """A client of one service. Several exchanges may be under way at once.

    :param audience: the name of the service, as it is configured.
    :param keys: :class:`Sessions` or a :class:`PreShared` key.
    :param clock: the server's time.
    :param random: makes random bytes, such as :func:`os.urandom`.
    :param origin: scheme, host and port of the service, for redirects.
    :param most: the most bytes of an envelope that is read.
    """

    def __init__(
        self,
        audience: str,
        *,
        keys: KeySource,
        clock: Clock,
        random: Random,
        origin: str,
        most: int = _MOST_ENVELOPE,
    ) -> None:
        self._audience = audience
        self._keys = keys
        self._clock = clock
        self._random = random
        self._origin = origin
        self._most = most

    def exchange(
        self,
        request: Request,
        content: bytes | None = None,
        *,
        stream: bool = False,
        length: int | None = None,
        pad: bool = False,
        headers: Headers = (),
        redirects: int = 0,
        started: float | None = None,
    ) -> Flow[Answer]:
        """Send a request sealed, and take its answer.

        A driver sends ``None`` first, as to every generator, then answers each step. It throws
        what goes wrong with the connection into the generator, or closes it. To try again after a
        lost answer, it starts another exchange with the same ``request.op`` and ``started``.

        :param request: an unsafe one is given an ``op`` where it has none.
        :param content: the body, ``None`` where there is none.
        :param stream: whether the body comes as a stream instead; a step may ask for it twice.
        :param length: the number of bytes of the stream, where it is known.
        :param pad: whether the body's length is hidden, up to 12 %.
        :param headers: headers in clear beside the seal.
        :param redirects: how many redirects are followed, within the service.
        :param started: when the operation was tried first, on the client's clock.
        :raises NoAnswer: where nothing came that could be trusted.
        :raises Refusal: where the answer does not open, or does not belong to the request.
        """
        if request.op is None and not is_safe(request.method):
            request = replace(request, op=self._random(OP_BYTES))
        sending = _Sending(request, content, stream, length, pad, headers)
        del request, content  # Error reports show the variables of frames.
        answer = yield from self._send(sending, started)
        while redirects and (elsewhere := _redirected(sending, answer, self._origin)):
            redirects, sending = redirects - 1, elsewhere
            if sending.request.op is not None:
                # Another operation: the service has seen the first one.
                sending.request = replace(sending.request, op=self._random(OP_BYTES))
            answer = yield from self._send(sending, None)
        return answer

    def _send(self, sending: _Sending, started: float | None) -> Flow[Answer]:
        """Send a request, once more where the session is unknown or the clock was off."""
        again = adjusted = False
        while True:
            key = yield from self._keys.get(self._clock)
            # After the handshake, which may tell that the machine has slept.
            started = self._demand_time(sending.request, started)
            exchange = ClientExchange(key.secret, key.kid, self._audience, random=self._random)
            blind = sending.request.op is not None and not self._clock.is_told
            iat = self._clock.server_time()
            head = yield sending.ask_time(exchange) if blind else sending.seal(exchange, iat)
            seal = head.headers.get("sealed")
            if seal is None:
                error = untrusted(head.status, (yield Read(MOST_PROBLEM)))
                # Forged or not, a new handshake tells; the operation keeps its name, so nothing
                # happens twice.
                if again or error.code != SessionUnknown.code or not self._keys.forget(key):
                    raise error
                again = True
                continue
            answer = yield from self._open(exchange.open(seal))
            if adjusted or not self._adjust(answer):
                if blind and answer.response.status < HTTPStatus.BAD_REQUEST:
                    raise Refused  # Nothing was asked for that could have been done.
                answer.target, answer.query = sending.request.target, sending.request.query
                answer.sid = key.sid
                return answer
            adjusted = True

    def _adjust(self, answer: Answer) -> bool:
        """Take the time from the service, where it found the request stale."""
        server_time = _server_time(answer)
        if server_time is not None:
            self._clock.set(server_time)
        return server_time is not None

    def _demand_time(self, request: Request, started: float | None) -> float:
        """When an operation was tried first.

        :raises GivenUp: where that is so long ago that the service may have forgotten it.
        """
        now = self._clock.now()
        if started is None:
            return now
        if request.op is not None and now - started > GIVE_UP:
            raise GivenUp(now - started)
        return started

    def _open(self, opened: Opened[Response]) -> Flow[Answer]:
        if opened.body != "records":
            body = yield Read(self._most)
            if len(body) > self._most:
                raise TooLarge(f"This client takes envelopes of {self._most} bytes at the most.")
            content = opened.open_body(body)
            return Answer(opened.message, content, length=opened.length)
        rest: StreamOpener | None = opened.open_records()
        content = b""
        while rest is not None and not rest.has_headers:
            piece = yield ReadSome()
            content += rest.feed(piece) if piece else rest.finish()
            rest = rest if piece else None
        return Answer(opened.message, content, rest, opened.length)


@dataclass(slots=True)
class _Sending:
    """A request with its body, as often as it has to be sealed."""

    request: Request
    content: bytes | None = field(repr=False)
    stream: bool
    length: int | None
    pad: bool
    #: Headers in clear.
    outer: Headers = field(repr=False)
    #: Whether the service, and not the caller, says where it goes.
    followed: bool = False

    def seal(self, exchange: ClientExchange, iat: int) -> Send:
        """Seal it once.

        :raises ValueError: where the seal would not pass common proxies, by the caller's fault.
        :raises TooLarge: likewise, by a redirect's.
        """
        try:
            return self._seal(exchange, iat)
        except ValueError:
            if not self.followed:
                raise
        raise TooLarge("The redirect leads to a target that is too long to be sealed.")

    def ask_time(self, exchange: ClientExchange) -> Send:
        """Seal its method and target only, at a time that every service finds stale.

        A client's own clock may be ahead by much. Whoever kept what was sealed by it could send it
        again when its time has come, and the service has forgotten the operation.
        """
        request = replace(self.request, content_type=None, query=None, headers=())
        return _Sending(request, None, False, None, False, self.outer)._seal(exchange, 0)

    def _seal(self, exchange: ClientExchange, iat: int) -> Send:
        method, resource = self.request.method, self.request.target
        if self.stream:
            seal, _, records = exchange.seal_stream(self.request, iat=iat, length=self.length)
            kind = ("content-type", RECORDS_TYPE)
            return Send(method, resource, (*self.outer, ("sealed", seal), kind), None, records)
        seal, body = exchange.seal(self.request, self.content, iat=iat, pad=self.pad)
        headers: Headers = (*self.outer, ("sealed", seal))
        if body is not None:
            headers += (("content-type", "application/json"),)
        return Send(method, resource, headers, body)


_SESSION = Members({"session": str})
_PROBLEM = Members({"type": str, "title": str, "status": int, "detail": str}, {"server_time": int})


def untrusted(status: int, body: bytes) -> Untrusted:
    """An unsealed answer, and the refusal that it claims to be."""
    try:
        kind = json_decode(body, _PROBLEM)["type"]
    except Malformed:
        kind = ""
    known = kind.removeprefix(_CODE) if kind.startswith(_CODE) else ""
    return Untrusted(status, known if known in _CODES else None)


def _server_time(answer: Answer) -> int | None:
    """The server's time, where it found the request stale."""
    response = answer.response
    if (response.status, response.content_type) != (Stale.status, "application/problem+json"):
        return None
    try:
        problem = json_decode(answer.content, _PROBLEM)
    except Malformed:
        return None  # an application's own
    return problem.get("server_time") if problem["type"] == _CODE + Stale.code else None


def _redirected(sending: _Sending, answer: Answer, origin: str) -> _Sending | None:
    """The request that a redirect asks for; ``None`` where the answer is none, or leads out of the
    service, or to what is no target."""
    status = answer.response.status
    location = dict(answer.response.headers).get("location")
    if status not in _REDIRECTS or location is None:
        return None
    request = _located(sending.request, location, origin)
    if request is None:
        return None
    keeps = status in _KEEP_METHOD or request.method in ("GET", "HEAD")
    if keeps or (status != HTTPStatus.SEE_OTHER and request.method != "POST"):
        return replace(sending, request=request, followed=True)
    request = replace(request, method="GET", content_type=None, op=None)
    return _Sending(request, None, False, None, False, sending.outer, followed=True)


def _located(request: Request, location: str, origin: str) -> Request | None:
    """The request with the target that a Location names, where it is one within the service."""
    try:
        url = urlsplit(urljoin(origin + request.target, location))
        path = unquote(url.path or "/", errors="surrogateescape")
        # The query came sealed. It is shown only where the request's own was.
        shown = "?" in request.target
        resource = target(path, url.query.encode() if shown else b"")
        request = replace(request, target=resource, query=None if shown else url.query or None)
    except (ValueError, Malformed):
        return None
    # HTTP libraries may take what two slashes start for a host.
    inside = f"{url.scheme}://{url.netloc}" == origin and not resource.startswith("//")
    return request if inside else None
