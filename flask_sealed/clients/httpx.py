"""httpx: a transport that seals the requests of one service.

Calling code stays as it is: responses look as if they had never been sealed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from threading import Lock
from types import TracebackType
from typing import Unpack

import anyio
import httpx

from ..protocol.flow import Answer, Head, Read, ReadSome, Send
from ..protocol.records import MOST_PLAINTEXT, RecordSealer
from .service import (
    Call,
    Clear,
    Options,
    Pass,
    Pieces,
    Seal,
    Service,
    ServiceFlow,
    Turn,
    drive,
    head_of,
    headers_of,
)

_Headers = list[tuple[bytes, bytes]]
_Pairs = tuple[tuple[str, str], ...]
# Said by the server of what travelled, or set anew.
_NOT_KEPT = frozenset((b"content-encoding", b"content-length", b"transfer-encoding"))
_REDIRECTED = "seal_redirected"
_BODY_METHODS = frozenset(("POST", "PUT", "PATCH"))


class SealedTransport(httpx.BaseTransport):
    """Seals what an :class:`httpx.Client` sends to one service, and opens the answers.

    Threads may share it. Timeouts, pools, proxies and certificates are those of the inner
    transport. What is particular to one request stands in its ``extensions``: ``sealed`` (whether
    it is sealed, whatever the service's list of routes says), ``seal_query`` (whether its query
    is), and ``seal_operation``, an :class:`~flask_sealed.clients.Operation`.

    A response has in its ``extensions["sealed"]`` how it came, a
    :class:`~flask_sealed.clients.service.Seal`, where it came sealed.

    :param transport: sends what is sealed; httpx's own where left out.
    :param options: as :class:`~flask_sealed.clients.service.Options` has them.
    :raises ConfigError: where one of them is wrong.
    """

    def __init__(
        self, *, transport: httpx.BaseTransport | None = None, **options: Unpack[Options]
    ) -> None:
        self._service = Service(**options)
        self._inner = transport or httpx.HTTPTransport()
        self._lock = Lock()

    def __enter__(self) -> SealedTransport:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._inner.__exit__(exc_type, exc_value, traceback)

    def close(self) -> None:
        self._inner.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, sealed where its route is.

        :raises httpx.TransportError: where the connection failed.
        :raises NoAnswer: where nothing came that could be trusted.
        :raises Refusal: where the answer does not open, or does not belong to the request.
        :raises ConfigError: where the request is for another service.
        """
        if not _is_ours(self._service, request):
            return self._inner.handle_request(request)
        wire = _Wire(self._inner, request)
        try:
            outcome = drive(self._service.call(_call(request)), wire, self._lock)
            if isinstance(outcome, Clear):
                if outcome.content is not None:
                    wire.close()
                return _clear(request, wire.received(), outcome)
            if outcome.rest is None:
                wire.close()
            return _opened(request, wire, outcome, _OpenedStream(outcome, wire))
        except BaseException:
            wire.close()
            raise


class AsyncSealedTransport(httpx.AsyncBaseTransport):
    """The same for an :class:`httpx.AsyncClient`, with asyncio and Trio. It belongs to one event
    loop, as the client does.

    :param transport: sends what is sealed; httpx's own where left out.
    :param options: as :class:`~flask_sealed.clients.service.Options` has them.
    :raises ConfigError: where one of them is wrong.
    """

    def __init__(
        self, *, transport: httpx.AsyncBaseTransport | None = None, **options: Unpack[Options]
    ) -> None:
        self._service = Service(**options)
        self._inner = transport or httpx.AsyncHTTPTransport()
        self._lock = anyio.Lock()

    async def __aenter__(self) -> AsyncSealedTransport:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As :meth:`SealedTransport.handle_request`."""
        if not _is_ours(self._service, request):
            return await self._inner.handle_async_request(request)
        wire = _AsyncWire(self._inner, request)
        try:
            outcome = await self._drive(self._service.call(_call(request)), wire)
            if isinstance(outcome, Clear):
                if outcome.content is not None:
                    await wire.close()
                return _clear(request, wire.received(), outcome)
            if outcome.rest is None:
                await wire.close()
            return _opened(request, wire, outcome, _AsyncOpenedStream(outcome, wire))
        except BaseException:
            await wire.close()
            raise

    async def _drive(self, flow: ServiceFlow[Answer | Clear], wire: _AsyncWire) -> Answer | Clear:
        """As :func:`~flask_sealed.clients.service.drive`."""
        reply: object = None
        held = False
        try:
            while True:
                try:
                    step = flow.send(reply)
                except StopIteration as stop:
                    outcome: Answer | Clear = stop.value
                    return outcome
                reply = None
                if isinstance(step, Send | Pass):
                    reply = await wire.send(step)
                elif isinstance(step, Read):
                    reply = await wire.read(step.most + 1)
                elif isinstance(step, ReadSome):
                    reply = await wire.read_some()
                elif step is Turn.TAKE:
                    await self._lock.acquire()
                    held = True
                else:
                    self._lock.release()
                    held = False
        finally:
            flow.close()
            if held:
                self._lock.release()


class _Sender:
    """What both wires know: the caller's request, and what came last."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request
        self._body = _Body(request)
        self._response: httpx.Response | None = None
        #: The headers that came last.
        self.headers: _Pairs = ()

    def received(self) -> httpx.Response:
        """The answer that came last."""
        if self._response is None:
            raise RuntimeError("nothing was sent")
        return self._response

    def _prepare(self, step: Send | Pass) -> httpx.Request:
        """What the inner transport is to send."""
        request = self._request
        if isinstance(step, Pass):
            if step.seal is None:
                return request
            headers = [*request.headers.raw, (b"Sealed", step.seal.encode())]
            return _made(request, request.method, request.url, headers, request.stream)
        stream: httpx.SyncByteStream | httpx.AsyncByteStream
        stream, framing = httpx.ByteStream(step.body or b""), []
        if step.records is not None:
            stream = _Records(self._body, step.records)
            framing = [(b"Transfer-Encoding", b"chunked")]
        elif step.body is not None or step.method in _BODY_METHODS:
            framing = [(b"Content-Length", b"%d" % len(step.body or b""))]
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in step.headers]
        if all(name != b"host" for name, _ in headers):
            # A handshake, or the list of routes: of the caller's request they say nothing else.
            headers += (
                (name, value) for name, value in request.headers.raw if _is_of_client(name)
            )
        url = _located(request.url, step.target)
        return _made(request, step.method, url, headers + framing, stream)

    def _take(self, response: httpx.Response) -> Head:
        self._response = response
        self.headers = _texts(response.headers)
        return head_of(response.status_code, self.headers)


class _Wire(_Sender, Pieces):
    def __init__(self, inner: httpx.BaseTransport, request: httpx.Request) -> None:
        super().__init__(request)
        self._inner = inner

    def send(self, step: Send | Pass) -> Head:
        self.close()
        response = self._inner.handle_request(self._prepare(step))
        self._pieces = _pieces(response)
        return self._take(response)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()


class _AsyncWire(_Sender):
    def __init__(self, inner: httpx.AsyncBaseTransport, request: httpx.Request) -> None:
        super().__init__(request)
        self._inner = inner
        self._pieces: AsyncIterator[bytes] | None = None

    async def send(self, step: Send | Pass) -> Head:
        await self.close()
        response = await self._inner.handle_async_request(self._prepare(step))
        self._pieces = _async_pieces(response)
        return self._take(response)

    async def read(self, most: int) -> bytes:
        whole = bytearray()
        while len(whole) < most and (piece := await self.read_some()):
            whole += piece
        return bytes(whole[:most])

    async def read_some(self) -> bytes:
        if self._pieces is not None:
            async for piece in self._pieces:
                if piece:
                    return piece
        return b""

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()


class _Body:
    """The caller's content as a stream, as often as it can be had."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request
        self._content = _known(request)
        self._length = _length(request)
        self._taken = 0

    def _take(self) -> None:
        # A file or an iterator that has been read says nothing, or little: that would be a body.
        if self._taken and self._length is None:
            raise httpx.StreamConsumed
        self._taken += 1

    def __iter__(self) -> Iterator[bytes]:
        if self._content is not None:
            yield from _slices(self._content)
            return
        self._take()
        if not isinstance(self._request.stream, httpx.SyncByteStream):
            raise TypeError("an httpx.Client takes no content that comes asynchronously")
        size = 0
        for piece in self._request.stream:
            size += len(piece)
            yield piece
        self._check(size)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._content is not None:
            for piece in _slices(self._content):
                yield piece
            return
        self._take()
        if not isinstance(self._request.stream, httpx.AsyncByteStream):
            raise TypeError("an httpx.AsyncClient takes content that comes asynchronously")
        size = 0
        async for piece in self._request.stream:
            size += len(piece)
            yield piece
        self._check(size)

    def _check(self, size: int) -> None:
        if self._length is not None and size != self._length:
            if self._taken > 1:
                raise httpx.StreamConsumed
            raise httpx.LocalProtocolError("the content is not as long as its Content-Length")


class _Records(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body on its way: sealed piece by piece."""

    def __init__(self, body: _Body, records: RecordSealer) -> None:
        self._body = body
        self._records = records

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            if piece:
                yield self._records.seal(piece)
        yield self._records.finish()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            if piece:
                yield self._records.seal(piece)
        yield self._records.finish()


class _OpenedStream(httpx.SyncByteStream):
    """An answer's content, opened as it is read."""

    def __init__(self, answer: Answer, wire: _Wire) -> None:
        self._answer = answer
        self._wire = wire

    def __iter__(self) -> Iterator[bytes]:
        return self._wire.content(self._answer)

    def close(self) -> None:
        self._wire.close()


class _AsyncOpenedStream(httpx.AsyncByteStream):
    """The same, asynchronously."""

    def __init__(self, answer: Answer, wire: _AsyncWire) -> None:
        self._answer = answer
        self._wire = wire

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._answer.content:
            yield self._answer.content
        rest = self._answer.rest
        if rest is None:
            return
        while piece := await self._wire.read_some():
            if content := rest.feed(piece):
                yield content
        if content := rest.finish():
            yield content

    async def aclose(self) -> None:
        await self._wire.close()


def _is_ours(service: Service, request: httpx.Request) -> bool:
    url = request.url
    return service.is_at(url.scheme, url.host, url.port)


def _call(request: httpx.Request) -> Call:
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    content = _known(request)
    extensions = request.extensions
    return Call(
        method=request.method,
        path=path,
        query=query,
        headers=_texts(request.headers),
        content=content,
        stream=content is None,
        length=None if content is not None else _length(request),
        sealed=extensions.get("sealed"),
        redirected=extensions.get(_REDIRECTED, False),
        hide_query=extensions.get("seal_query"),
        operation=extensions.get("seal_operation"),
    )


def _pieces(response: httpx.Response) -> Iterator[bytes]:
    """The body, without what a proxy may have encoded it with."""
    stream = response.stream
    if "content-encoding" in response.headers or not isinstance(stream, httpx.SyncByteStream):
        return response.iter_bytes()
    return iter(stream)


def _async_pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    stream = response.stream
    if "content-encoding" in response.headers or not isinstance(stream, httpx.AsyncByteStream):
        return response.aiter_bytes()
    return aiter(stream)


def _is_of_client(name: bytes) -> bool:
    return name.lower() in (b"host", b"user-agent")


def _texts(headers: httpx.Headers) -> _Pairs:
    """Headers with names in lower case, whose characters stand for octets."""
    return tuple(
        [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers.raw]
    )


def _known(request: httpx.Request) -> bytes | None:
    """The content where it is there; ``None`` for a stream."""
    if isinstance(request.stream, httpx.ByteStream):
        return request.read()
    return None


def _length(request: httpx.Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _slices(content: bytes) -> Iterable[bytes]:
    return (content[at : at + MOST_PLAINTEXT] for at in range(0, len(content), MOST_PLAINTEXT))


def _located(url: httpx.URL, target: str) -> httpx.URL:
    """The URL of a target at the same service."""
    raw = target.encode("ascii")
    if url.raw_path == raw:
        return url
    url = url.copy_with(raw_path=raw)
    if url.raw_path != raw:
        raise ValueError("the path does not stay as it is in a URL")
    return url


def _made(
    request: httpx.Request,
    method: str,
    url: httpx.URL,
    headers: _Headers,
    stream: httpx.SyncByteStream | httpx.AsyncByteStream,
) -> httpx.Request:
    return httpx.Request(
        method, url, headers=headers, stream=stream, extensions=request.extensions
    )


def _clear(request: httpx.Request, response: httpx.Response, clear: Clear) -> httpx.Response:
    if response.has_redirect_location:
        # It was said of this view, and not of the one that a redirect leads to.
        request.extensions.pop("sealed", None)
    if clear.content is None:
        return response
    headers = [pair for pair in response.headers.raw if pair[0].lower() not in _NOT_KEPT]
    stream = httpx.ByteStream(clear.content)
    return httpx.Response(
        response.status_code, headers=headers, stream=stream, extensions=response.extensions
    )


def _opened(
    request: httpx.Request,
    wire: _Sender,
    answer: Answer,
    stream: httpx.SyncByteStream | httpx.AsyncByteStream,
) -> httpx.Response:
    """The answer as if it had never been sealed."""
    outer = wire.received()
    seal = Seal(answer.sid, outer.status_code, wire.headers)
    extensions = {**outer.extensions, "sealed": seal}
    extensions.pop("reason_phrase", None)  # of the status outside
    response = httpx.Response(
        answer.response.status,
        headers=[
            (name.encode("ascii"), value.encode("latin-1"))
            for name, value in headers_of(answer, wire.headers, request.method)
        ],
        stream=httpx.ByteStream(answer.content) if answer.rest is None else stream,
        extensions=extensions,
    )
    if response.has_redirect_location:
        # httpx hands the extensions on to the next request.
        request.extensions.pop("sealed", None)
        request.extensions[_REDIRECTED] = True
        if "?" not in answer.target:
            # The new URL's query came sealed, and goes on so.
            request.extensions["seal_query"] = True
    return response
