"""A small client for tests: drives the protocol's flow over a Flask application or over HTTP, and
shows what went over the wire."""

from __future__ import annotations

import io
import json as jsonlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPResponse
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from werkzeug.test import EnvironBuilder

from flask_sealed.clients.identity import kem_key
from flask_sealed.protocol.exchange import ClientExchange
from flask_sealed.protocol.flow import (
    RECORDS_TYPE,
    Answer,
    Client,
    Clock,
    Flow,
    Head,
    KeySource,
    PreShared,
    Read,
    Send,
    Sessions,
)
from flask_sealed.protocol.jwk import SigningKey
from flask_sealed.protocol.messages import OP_BYTES, Headers, Request, Response
from flask_sealed.protocol.replay import is_safe

T = TypeVar("T")
Pairs = Mapping[str, str] | Iterable[tuple[str, str]]

_PIECE = 64 * 1024
# What is kept of an answer's body for tests to look at.
_KEPT = 1024 * 1024


class Outer:
    """An answer as it came over the wire.

    :param pieces: the body as it comes.
    :param close: drops what has not been read.
    """

    def __init__(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        pieces: Iterator[bytes],
        close: Callable[[], object],
    ) -> None:
        self.status = status
        self.headers = list(headers)
        self.close = close
        #: What has been read of the body, up to 1 MiB.
        self.body = b""
        self._pieces = pieces
        self._held = b""

    def __del__(self) -> None:
        self.close()  # what a test has not read, and a flow does not

    @property
    def head(self) -> Head:
        joined: dict[str, str] = {}
        for name, value in self.headers:
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        return Head(self.status, joined)

    def read_some(self) -> bytes:
        """Bytes of the body as soon as there are any; none at its end."""
        piece, self._held = self._held, b""
        while not piece:
            following = next(self._pieces, None)
            if following is None:
                self.close()
                return b""
            piece = following
        if len(self.body) < _KEPT:
            self.body += piece
        return piece

    def read(self, most: int | None = None) -> bytes:
        """The body to its end, or its first bytes."""
        whole = io.BytesIO()
        while (most is None or whole.tell() < most) and (piece := self.read_some()):
            whole.write(piece)
        return whole.getvalue()[:most]

    def json(self) -> Any:
        return jsonlib.loads(self.read())


class Wire(Protocol):
    """Sends requests. What an earlier answer has left unread stays readable."""

    def send(self, send: Send, pieces: Iterable[bytes] | None = None) -> Outer:
        """Send a request.

        :param pieces: its body where it is a stream, as it goes over the wire.
        """


class FlaskWire:
    """A Flask application in this process, by its test client.

    :param chunked: whether a body that is a stream comes without its length.
    :param environ: more of the WSGI environment.
    """

    def __init__(self, app: Flask, *, chunked: bool = True, **environ: object) -> None:
        self.client = app.test_client()
        self._chunked = chunked
        self._environ = environ

    def send(self, send: Send, pieces: Iterable[bytes] | None = None) -> Outer:
        environ = EnvironBuilder(
            method=send.method,
            headers=list(send.headers),
            environ_base=self.client.environ_base,
            base_url="http://localhost/",
        ).get_environ()
        path, _, query = send.target.partition("?")
        environ |= {
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "REQUEST_URI": send.target,
            "RAW_URI": send.target,
            **self._body(send.body, pieces),
            **self._environ,
        }
        content, status, headers = self.client.run_wsgi_app(environ, buffered=False)
        close = getattr(content, "close", lambda: None)
        return Outer(int(status.partition(" ")[0]), headers, iter(content), close)

    def _body(self, body: bytes | None, pieces: Iterable[bytes] | None) -> dict[str, object]:
        if pieces is not None and self._chunked:
            stream = io.BufferedReader(_Pieces(pieces))
            return {
                "wsgi.input": stream,
                "wsgi.input_terminated": True,
                "HTTP_TRANSFER_ENCODING": "chunked",
            }
        if pieces is not None:
            body = b"".join(pieces)
        if body is None:
            return {}
        return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a stream to read from, taken as they are asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


class HttpWire:
    """A server on this machine. Each request has its own connection, so threads may share it.

    :param base: ``http://127.0.0.1:PORT``.
    :param timeout: how long the server may take for anything, in seconds.
    """

    def __init__(self, base: str, *, timeout: float = 120) -> None:
        self._host = base.removeprefix("http://")
        self._timeout = timeout

    def send(self, send: Send, pieces: Iterable[bytes] | None = None) -> Outer:
        connection = HTTPConnection(self._host, timeout=self._timeout)
        try:
            self._send(connection, send, pieces)
            response = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        pieces = _pieces(response)
        if response.length is not None and response.length <= _PIECE:
            # gunicorn waits for the client to close, so what is short is read at once.
            pieces = iter([b"".join(pieces)])
            connection.close()
        return Outer(response.status, response.getheaders(), pieces, connection.close)

    def _send(
        self, connection: HTTPConnection, send: Send, pieces: Iterable[bytes] | None
    ) -> None:
        connection.putrequest(send.method, send.target, skip_accept_encoding=True)
        for name, value in send.headers:
            connection.putheader(name, value)
        if pieces is not None:
            connection.putheader("transfer-encoding", "chunked")
        elif send.body is not None:
            connection.putheader("content-length", str(len(send.body)))
        # A server that refuses answers before it has read the body, and may not read it at all.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(send.body)
            for piece in pieces or ():
                if piece:
                    connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            if pieces is not None:
                connection.send(b"0\r\n\r\n")


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    while piece := response.read1(_PIECE):
        yield piece
    if response.length:
        raise EOFError("the answer ended before its Content-Length")


@dataclass
class Attempt:
    """One sealed attempt at a request, made by hand: change ``send`` to be the attacker."""

    exchange: ClientExchange
    send: Send

    def open(self, outer: Outer) -> tuple[Response, bytes]:
        """Open the answer to it.

        :raises Refusal: where it does not open.
        """
        opened = self.exchange.open(outer.head.headers["sealed"])
        content = opened.open_body(outer.read())
        return opened.message, content

    def json(self, outer: Outer) -> Any:
        return jsonlib.loads(self.open(outer)[1])


class Reply:
    """What the service has answered, opened."""

    def __init__(self, answer: Answer, raw: Outer) -> None:
        self.answer = answer
        #: How it came over the wire.
        self.raw = raw
        self.status = answer.response.status
        self.content_type = answer.response.content_type
        #: The headers that came sealed.
        self.headers: list[tuple[str, str]] = list(answer.response.headers)
        self._first, self._rest = answer.content, answer.rest

    @property
    def content(self) -> bytes:
        """The whole content."""
        if self._rest is not None:
            self._first = b"".join(self.stream())
        return self._first

    def json(self) -> Any:
        return jsonlib.loads(self.content)

    def stream(self) -> Iterator[bytes]:
        """The content as it comes, once.

        :raises Refusal: where it is not what the service has sealed, or was cut.
        """
        first, rest = self._first, self._rest
        self._first, self._rest = b"", None
        if first:
            yield first
        while rest is not None and (piece := self.raw.read_some()):
            if content := rest.feed(piece):
                yield content
        if rest is not None and (last := rest.finish()):
            yield last


class SealedCaller:
    """A client of one service.

    :param audience: the service's name.
    :param ring_pins: the thumbprints of its identity keys, ``None`` for unpinned sessions.
    :param kem: whether the client has ML-KEM-768.
    :param psk: the name and the 32 bytes of a pre-shared key, in place of sessions.
    :param binding: the client's own key, Ed25519 or P-256.
    :param clock: the machine's where left out.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        audience: str,
        ring_pins: Sequence[bytes] | None = None,
        kem: bool = False,
        psk: tuple[str, bytes] | None = None,
        prefix: str = "/sealed",
        origin: str = "https://bank.example",
        binding: SigningKey | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.wire = wire
        self.audience = audience
        self.clock = clock or Clock(time.monotonic, time.time)
        self.binding = binding or Ed25519PrivateKey.generate()
        self.keys: KeySource = (
            PreShared(*psk)
            if psk
            else Sessions(
                audience,
                binding=self.binding,
                pins=ring_pins,
                prefix=prefix,
                kem=kem_key() if kem else None,
            )
        )
        self._client = Client(
            audience, keys=self.keys, clock=self.clock, random=os.urandom, origin=origin
        )
        #: All that was sent, and what came back, handshakes included.
        self.sent: list[Send] = []
        self.raws: list[Outer] = []

    @property
    def raw(self) -> Outer:
        """The last answer as it came over the wire."""
        return self.raws[-1]

    def request(
        self,
        method: str,
        target: str,
        *,
        json: object = None,
        data: bytes | None = None,
        content_type: str | None = None,
        query: str | None = None,
        headers: Pairs = (),
        content_iter: Iterable[bytes] | None = None,
        length: int | None = None,
        pad: bool = False,
        op: bytes | None = None,
        redirects: int = 0,
        started: float | None = None,
        line: str | None = None,
        outer: Pairs = (),
    ) -> Reply:
        """Send a request sealed and open its answer.

        :param content_iter: the content as a stream; a list where it may have to be sent twice.
        :param length: how many bytes the stream has, where the seal is to say it.
        :param line: what stands in the request line in place of ``target``.
        :param outer: headers in clear beside the seal.
        """
        if json is not None:
            data, content_type = jsonlib.dumps(json).encode(), content_type or "application/json"
        if content_type is None and (data is not None or content_iter is not None):
            content_type = "application/octet-stream"
        request = Request(
            method=method,
            target=target,
            content_type=content_type,
            query=query,
            headers=_pairs(headers),
            op=op,
        )
        flow = self._client.exchange(
            request,
            data,
            stream=content_iter is not None,
            length=length,
            pad=pad,
            redirects=redirects,
            started=started,
        )
        return Reply(self._run(flow, content_iter, line, _pairs(outer)), self.raw)

    def get(self, target: str, **more: Any) -> Reply:
        return self.request("GET", target, **more)

    def post(self, target: str, **more: Any) -> Reply:
        return self.request("POST", target, **more)

    def prepare(
        self,
        request: Request,
        content: bytes | None = None,
        *,
        iat: int | None = None,
        pad: bool = False,
        length: int | None = None,
        stream: bool = False,
    ) -> Attempt:
        """Seal a request without sending it, after a handshake where there is no session yet.

        :param iat: when it says it was sealed; the server's time where left out.
        """
        key = self._run(self.keys.get(self.clock))
        if request.op is None and not is_safe(request.method):
            request = replace(request, op=os.urandom(OP_BYTES))
        exchange = ClientExchange(key.secret, key.kid, self.audience, random=os.urandom)
        iat = self.clock.server_time() if iat is None else iat
        if stream:
            seal, _, records = exchange.seal_stream(request, iat=iat, length=length)
            outer: Headers = (("sealed", seal), ("content-type", RECORDS_TYPE))
            return Attempt(exchange, Send(request.method, request.target, outer, None, records))
        seal, body = exchange.seal(request, content, iat=iat, pad=pad)
        outer = (("sealed", seal),)
        if body is not None:
            outer += (("content-type", "application/json"),)
        return Attempt(exchange, Send(request.method, request.target, outer, body))

    def attempt(
        self, request: Request, content: bytes | None = None, *, iat: int | None = None
    ) -> tuple[Outer, Attempt]:
        """Seal a request by hand and send it: no second try, no check of the answer."""
        attempt = self.prepare(request, content, iat=iat)
        return self.deliver(attempt.send), attempt

    def deliver(self, send: Send, pieces: Iterable[bytes] | None = None) -> Outer:
        """Send what is sealed already, or never was.

        :param pieces: the body's stream as it goes over the wire.
        """
        self.sent.append(send)
        self.raws.append(self.wire.send(send, pieces))
        return self.raw

    def _run(
        self,
        flow: Flow[T],
        content: Iterable[bytes] | None = None,
        line: str | None = None,
        outer: Headers = (),
    ) -> T:
        reply: Any = None
        try:
            while True:
                step = flow.send(reply)
                if isinstance(step, Send):
                    if any(name == "sealed" for name, _ in step.headers):
                        # Not a handshake.
                        headers = step.headers + outer
                        step = replace(step, target=line or step.target, headers=headers)
                    reply = self.deliver(step, _sealed(step, content or ())).head
                elif isinstance(step, Read):
                    reply = self.raw.read(step.most + 1)
                else:
                    reply = self.raw.read_some()
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        finally:
            flow.close()


def _sealed(send: Send, content: Iterable[bytes]) -> Generator[bytes] | None:
    """The body's stream as it goes over the wire."""
    records = send.records
    if records is None:
        return None

    def sealed() -> Generator[bytes]:
        for piece in content:
            yield records.seal(piece)
        yield records.finish()

    return sealed()


def _pairs(headers: Pairs) -> Headers:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return tuple((name.lower(), value) for name, value in pairs)
