"""The session profile on Flask: flask-sealed/1, with sessions or pre-shared keys.

Nothing of a session is kept here: whatever worker gets a request opens it with the keyring alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from io import BufferedReader
from typing import Any

from flask import Request, Response
from werkzeug.datastructures import Headers
from werkzeug.urls import iri_to_uri

from .bodies import body_stream, check_framing, demand_no_body, read_body
from .config import ProfileName, Settings
from .errors import ConfigError, Malformed, Refusal, Refused, SealedRequired, SessionUnknown
from .keysource import LiveRing
from .policy import Policy
from .protocol.exchange import RequestSeal, ServerExchange
from .protocol.flow import RECORDS_TYPE
from .protocol.handshake import TICKET_CHARACTERS, Session
from .protocol.keys import KeyRing
from .protocol.messages import HIDDEN_STATUSES, is_transport
from .protocol.messages import Response as MessageResponse
from .protocol.records import MOST_PLAINTEXT
from .protocol.replay import ReplayStore, check_fresh, check_once, is_safe, take_back
from .protocol.tickets import Tickets
from .responses import BY_THE_PROXY, JSON, NO_STORE, close, made_of, whole_content
from .revocation import Revocations
from .streams import Download, Upload
from .targets import routed_resource
from .window import HIDDEN, Inside, Proof, Window

SEAL = "HTTP_SEALED"
_LENGTH = "Content-Length"
_JSON_TYPE = ("Content-Type", JSON)
_JSON_MESSAGE = MessageResponse(status=200, content_type=JSON)
# Beside the transport headers: the seal says it in another way, or a front server heeds it, which
# would not see a sealed one.
_OUTSIDE = frozenset(("content-length", "x-accel-buffering"))
# What only the server can say of the body that leaves.
_FRAMING = frozenset(
    ("connection", "content-length", "keep-alive", "trailer", "transfer-encoding")
)
# Request headers that say nothing when they are not sealed, so the outer ones may stand in.
_HARMLESS = frozenset(("accept", "accept-language"))
# Nobody has authenticated these; and Werkzeug's own wrapper of files can be read by anyone.
_NOT_SHOWN = frozenset(
    (
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "HTTP_CONTENT_ENCODING",
        "HTTP_TRANSFER_ENCODING",
        "wsgi.file_wrapper",
    )
)
_URIS = frozenset(("location", "content-location"))
# Statuses whose responses have no content (RFC 9110, section 15).
_EMPTY = frozenset((204, 205, 304))
_TOO_MANY = "this response has more headers than can be sealed; a client takes 64 KiB"

Header = tuple[str, str]

logger = logging.getLogger("flask_sealed")


class SessionProfile:
    """The profile, for one application.

    :param settings: what the application has set.
    :param keyring: its keys.
    :param store: remembers operations.
    :param revocations: what is not accepted any more.
    :param now: tells the seconds since 1970.
    """

    name: ProfileName = "session"

    def __init__(
        self,
        settings: Settings,
        keyring: LiveRing,
        store: ReplayStore,
        revocations: Revocations,
        now: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._keyring = keyring
        self._store = store
        self._revocations = revocations
        self._now = now
        ring = keyring.ring()
        self._tickets = ring, Tickets(ring, settings.audience)
        #: The request headers that may travel sealed, in lower case.
        self.headers = settings.headers
        self._hidden = HIDDEN | _NOT_SHOWN | {_variable(name) for name in settings.headers}
        self._hidden -= {_variable(name) for name in _HARMLESS}

    def allow(self, header: str) -> None:
        """Let a request header travel sealed, and say nothing when it is not.

        :param header: its name in lower case.
        """
        self.headers |= {header}
        self._hidden |= {_variable(header)}

    def open_request(self, window: Window, request: Request, policy: Policy) -> None:
        """Open a request, with every check but those that a stream makes while it is read.

        :raises Refusal: where it is not sealed, does not open, or is not to be acted on.
        """
        seal = _demand_seal(request)
        exchange, proof, now = self._open(seal, request, self.headers)
        proof.belong_to(request)
        window.exchange, window.pad = exchange, policy.pad
        if policy.kem and (proof.session is None or not proof.session.kem):
            raise Refused
        self._check_new(exchange, now, once=policy.once)
        try:
            inside = self._inside(exchange, request)
        except Refusal:
            # The body of a request that was received for the first time is damaged, cut or too
            # large: nothing was done, and its sender may try again. It was not opened first: a
            # body that is held back could outlive the memory of its operation, and replays would
            # have the server wait for theirs.
            take_back(self._store, exchange.request.message.op, now=now)
            raise
        window.hold(inside)

    def prove(self, request: Request) -> None:
        """Open a seal that came to a view that is not sealed: it proves who sent the request.

        :raises Refusal: where it does not open, says more than that, or is not to be acted on.
        """
        seal = _demand_seal(request)
        if seal.body is not None:
            raise Malformed("This view is not sealed, and takes no sealed body.")
        exchange, proof, now = self._open(seal, request, frozenset())
        if exchange.request.message.query is not None:
            raise Malformed("This view is not sealed, and takes no hidden query.")
        self._check_new(exchange, now, once=False)
        proof.belong_to(request)

    def _open(
        self, seal: RequestSeal, request: Request, allowed: frozenset[str]
    ) -> tuple[ServerExchange, Proof, int]:
        """The opened seal, who made it, and the reading of the clock that all checks go by."""
        now = self._now()
        audience = self._settings.audience
        secret, proof = self._key(seal.kid, now)
        exchange = seal.open(secret, audience, allowed=allowed)
        resource = routed_resource(request.environ, self._settings.public_paths)
        exchange.check_target(request.method, resource)
        return exchange, proof, now

    def _key(self, kid: str, now: int) -> tuple[bytes, Proof]:
        """The secret that a seal was made with, and whose it is."""
        ring = self._keyring.ring()
        if len(kid) == TICKET_CHARACTERS:
            session = self._session(kid, ring, now)
            proof = Proof(session=session)
            self._demand_unrevoked(proof, now)
            return session.secret, proof
        key = ring.get("psk", kid, now) or self._keyring.look().get("psk", kid, now)
        if key is None or not isinstance(key.material, bytes):
            raise Refused
        proof = Proof(psk=kid)
        self._demand_unrevoked(proof, now)
        return key.material, proof

    def _demand_unrevoked(self, proof: Proof, now: int) -> None:
        if proof.session is not None:
            self._revocations.demand_session(proof.session, now)
        else:
            self._revocations.demand_key(proof.binding, now)

    def _session(self, ticket: str, ring: KeyRing, now: int) -> Session:
        with suppress(SessionUnknown):
            return self._tickets_of(ring).open(ticket, now)
        # Another worker may have read a key already that is too new for this one's ring.
        newer = self._keyring.look()
        if newer is ring:
            raise SessionUnknown
        return self._tickets_of(newer).open(ticket, now)

    def _tickets_of(self, ring: KeyRing) -> Tickets:
        """The memory for the tickets of a ring; a new ring has a new one."""
        known, tickets = self._tickets
        if known is not ring:
            tickets = Tickets(ring, self._settings.audience)
            self._tickets = ring, tickets
        return tickets

    def _check_new(self, exchange: ServerExchange, now: int, *, once: bool) -> None:
        check_fresh(exchange.iat, now)
        message = exchange.request.message
        if once or message.op is not None or not is_safe(message.method):
            check_once(self._store, message.op, iat=exchange.iat, now=now)

    def _inside(self, exchange: ServerExchange, request: Request) -> Inside:
        opened = exchange.request
        message = opened.message
        inside = Inside(query=message.query, headers=message.headers, hidden=self._hidden)
        if opened.body is not None:
            inside.content_type = message.content_type or ""
            if opened.body == "envelope":
                inside.body = opened.open_body(read_body(request, self._settings.max_body))
            else:
                check_framing(request.environ)
                upload = Upload(partial(body_stream, request), opened.open_records())
                inside.body, inside.length = BufferedReader(upload, 65_536), opened.length
        else:
            demand_no_body(request)
        return inside

    def seal_response(self, context: Any, window: Window, response: Response) -> None:
        """Seal a response in place.

        :raises ConfigError: where it cannot be sealed.
        """
        exchange = _demand_exchange(window)
        content_type, headers, sealed_headers = _split(response.headers)
        status: int = response.status_code
        empty = status in _EMPTY
        body: Any = []
        message = _message(status, None if empty else content_type, sealed_headers)
        if empty or context.request.method == "HEAD":
            length = None if empty else _length(response)
            seal = _seal_head(exchange, message, length)
            close(response)
        elif _is_small(response):
            content = whole_content(response, MOST_PLAINTEXT)
            seal, body = _seal(exchange, message, content, pad=window.pad)
            headers += (_JSON_TYPE, (_LENGTH, str(len(body[0]))))
        else:
            if window.outside is not None:
                window.stream(context, response)
            request: Request = context.request
            # Without the window, which holds the response.
            asked = request.endpoint, Proof.of(request), window.demands
            goes_on = partial(self._goes_on, *asked)
            seal, body = _seal_stream(exchange, message, response, goes_on)
            headers += _stream_headers(content_type)
        if message.status in HIDDEN_STATUSES:
            status = HTTPStatus.OK
        response.status_code = status  # also: without a reason phrase of the view's own
        response.headers = made_of(*headers, *_common(context.request, seal))
        response.direct_passthrough = False
        response.response = body

    def _goes_on(
        self,
        endpoint: str | None,
        proof: Proof | None,
        demands: tuple[Callable[[int], object], ...],
    ) -> bool:
        """Whether a stream goes on: nothing that its request was accepted for has been revoked."""
        now = self._now()
        try:
            if proof is not None:
                self._demand_unrevoked(proof, now)
            for demand in demands:
                demand(now)
        except Refusal as refusal:
            sid = None if proof is None else proof.sid
            logger.info("ended a stream of %s: %s, session %s", endpoint, refusal.code, sid)
            return False
        return True

    def json_response(self, window: Window, context: Any, value: Any) -> Response:
        """What Flask makes of a dictionary or a list, sealed.

        It comes to the same as sealing Flask's own response, which this saves.
        """
        text = context.app.json.dumps(value, separators=(",", ":"))
        exchange = _demand_exchange(window)
        seal, body = _seal(exchange, _JSON_MESSAGE, f"{text}\n".encode(), pad=window.pad)
        length = (_LENGTH, str(len(body[0])))
        headers = made_of(_JSON_TYPE, length, *_common(context.request, seal))
        response: Response = context.app.response_class(body, headers=headers)
        return response


def _variable(header: str) -> str:
    """A header's name as WSGI has it."""
    return "HTTP_" + header.upper().replace("-", "_")


def _demand_seal(request: Request) -> RequestSeal:
    seal = request.environ.get(SEAL)
    if seal is None:
        raise SealedRequired(
            "This view takes sealed requests only: use a client of Flask-Sealed, which adds the"
            " header Sealed."
        )
    return RequestSeal(seal)


def _demand_exchange(window: Window) -> ServerExchange:
    if window.exchange is None:
        raise ConfigError("the request was not opened, so there is no key to seal the answer with")
    return window.exchange


def _split(headers: Headers) -> tuple[str | None, list[Header], list[Header]]:
    """A response's Content-Type, the headers that stay in clear, and those that are sealed.

    :raises ConfigError: where one of them keeps the response from being sealed.
    """
    content_type, clear, sealed = None, [], []
    for header in headers:
        name = header[0].lower()
        if name == "content-type":
            content_type = header[1] or None
        elif name in _OUTSIDE or is_transport(name):
            if name not in _FRAMING:
                clear.append(header)
        elif name in BY_THE_PROXY:
            raise ConfigError(
                f"a response with {header[0]} cannot be sealed: {BY_THE_PROXY[name]}"
            )
        elif name in _URIS:
            # As Werkzeug does, but only with what leaves in clear.
            sealed.append((name, iri_to_uri(header[1])))
        else:
            sealed.append((name, header[1]))
    return content_type, clear, sealed


def _message(status: int, content_type: str | None, headers: list[Header]) -> MessageResponse:
    try:
        return MessageResponse(status=status, content_type=content_type, headers=tuple(headers))
    except ValueError as error:
        fault = str(error)
    raise ConfigError(f"this response cannot be sealed: {fault}")


def _seal(
    exchange: ServerExchange, message: MessageResponse, content: bytes | None, *, pad: bool
) -> tuple[str, list[bytes]]:
    if content is None:
        raise ConfigError("this response has more bytes than its Content-Length says")
    try:
        seal, body = exchange.seal(message, content, random=os.urandom, pad=pad)
    except ValueError:
        raise ConfigError(_TOO_MANY) from None
    return seal, [body or b""]


def _seal_stream(
    exchange: ServerExchange,
    message: MessageResponse,
    response: Response,
    goes_on: Callable[[], bool],
) -> tuple[str, Download]:
    try:
        stream = exchange.seal_stream(message, random=os.urandom, length=response.content_length)
    except ValueError:
        raise ConfigError(_TOO_MANY) from None
    live = not response.direct_passthrough  # A file is there already.
    return stream.seal, Download(response.response, stream, live=live, goes_on=goes_on)


def _seal_head(exchange: ServerExchange, message: MessageResponse, length: int | None) -> str:
    try:
        return exchange.seal(message, random=os.urandom, length=length).seal
    except ValueError:  # There is no body that could have what the seal has no room for.
        message.status, message.headers = HTTPStatus.INTERNAL_SERVER_ERROR, ()
    return exchange.seal(message, random=os.urandom).seal


def _length(response: Response) -> int | None:
    if response.content_length is not None or response.is_streamed:
        return response.content_length
    return len(response.get_data())


def _is_small(response: Response) -> bool:
    """Whether a response is there, or is soon: what tells a short length is not live."""
    streams = response.is_streamed or response.direct_passthrough
    length: int | None = response.content_length
    return not streams or (length is not None and length <= MOST_PLAINTEXT)


def _common(request: Request, seal: str) -> Iterator[Header]:
    yield "Sealed", seal
    yield NO_STORE
    if "HTTP_ORIGIN" in request.environ:
        # Where CORS lets a script of another origin read the response, it needs this one too.
        yield "Access-Control-Expose-Headers", "Sealed"


def _stream_headers(content_type: str | None) -> Iterator[Header]:
    yield "Content-Type", RECORDS_TYPE
    if content_type is not None and content_type.startswith("text/event-stream"):
        # Nginx knows an event stream by its type, which is sealed, and would wait for more.
        yield "X-Accel-Buffering", "no"
