"""requests: an adapter that seals the requests of one service.

Calling code stays as it is: responses look as if they had never been sealed.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator, Mapping
from http.client import responses as reasons
from threading import Lock
from typing import Any, Unpack, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import UnrewindableBodyError
from requests.structures import CaseInsensitiveDict
from requests.utils import rewind_body
from urllib3 import HTTPHeaderDict, HTTPResponse

from ..errors import ConfigError
from ..protocol.flow import Answer, Head, Send
from ..protocol.records import MOST_PLAINTEXT, RecordSealer
from .service import (
    Call,
    Clear,
    Operation,
    Options,
    Pass,
    Pieces,
    Seal,
    Service,
    drive,
    head_of,
    headers_of,
)

_MARK = "_sealed_mark"
_REDIRECTED = "sealed-redirect"
_BODY_METHODS = frozenset(("POST", "PUT", "PATCH"))


class SealedAdapter(BaseAdapter):
    """Seals what a :class:`requests.Session` sends to one service, and opens the answers.

    Mount it at ``https://``: at the beginning of a longer URL, another spelling of the same
    address would pass it by. Threads may share it. Pools and retries are those of the inner
    adapter.

    A response has in its attribute ``sealed`` how it came, a
    :class:`~flask_sealed.clients.service.Seal`, where it came sealed.

    :param adapter: sends what is sealed; one of requests' own where left out.
    :param options: as :class:`~flask_sealed.clients.service.Options` has them, but
        ``hide_query=False``: a redirect's query, which came sealed, would be shown.
    :raises ConfigError: where one of them is wrong.
    """

    def __init__(self, *, adapter: HTTPAdapter | None = None, **options: Unpack[Options]) -> None:
        super().__init__()
        if not options.get("hide_query", True):
            raise ConfigError("with requests, queries travel sealed; leave hide_query away")
        self._service = Service(**options)
        self._inner = adapter or HTTPAdapter()
        self._lock = Lock()

    def close(self) -> None:
        self._inner.close()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - the session reads what is not to stream
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request, sealed where its route is.

        :raises requests.RequestException: where the connection failed.
        :raises NoAnswer: where nothing came that could be trusted.
        :raises Refusal: where the answer does not open, or does not belong to the request.
        :raises ConfigError: where the request is for another service.
        """
        more = {"timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies}
        wire = _Wire(self._inner, request, {**more, "stream": True})
        url = urlsplit(request.url or "")
        if not self._service.is_at(url.scheme, url.hostname or "", url.port):
            wire.send(Pass(None))
            return wire.received()
        try:
            outcome = drive(self._service.call(_call(request)), wire, self._lock)
            if isinstance(outcome, Answer):
                response = self._opened(request, wire, outcome)
            else:
                response = _clear(wire.received(), outcome)
        except BaseException:
            wire.close()
            raise
        # What authentication sends again goes through here, too.
        response.connection = cast("HTTPAdapter", self)
        return response

    def _opened(
        self, request: requests.PreparedRequest, wire: _Wire, answer: Answer
    ) -> requests.Response:
        """The answer as if it had never been sealed."""
        content: io.RawIOBase | io.BytesIO = _Content(answer, wire)
        if answer.rest is None:
            wire.close()
            content = io.BytesIO(answer.content)
        outer = wire.received()
        raw = _Raw(
            body=content,
            headers=HTTPHeaderDict(headers_of(answer, wire.headers, request.method or "")),
            status=answer.response.status,
            reason=reasons.get(answer.response.status),
            version=outer.raw.version,
            preload_content=False,
            decode_content=False,
            # Cookies travel in clear, and are taken from there.
            original_response=outer.raw._original_response,
            request_method=request.method,
        )
        response = self._inner.build_response(request, raw)
        if response.is_redirect:
            # The request of a redirect is a copy, and of all that is our own it keeps this alone.
            request.hooks = {**request.hooks, _REDIRECTED: []}
        seal = Seal(answer.sid, outer.status_code, wire.headers)
        response.sealed = seal  # type: ignore[attr-defined]
        return response


def mark(
    request: requests.PreparedRequest,
    *,
    operation: Operation | None = None,
    sealed: bool | None = None,
) -> requests.PreparedRequest:
    """Say more of one request. It does not hold for where a redirect leads.

    :param operation: the operation that this is an attempt at.
    :param sealed: whether it is sealed, whatever the service's list of routes says.
    :returns: the same request.
    """
    setattr(request, _MARK, {"operation": operation, "sealed": sealed})
    return request


class _Wire(Pieces):
    """Sends by the inner adapter, and reads what came."""

    def __init__(
        self, inner: HTTPAdapter, request: requests.PreparedRequest, more: dict[str, Any]
    ) -> None:
        self._inner = inner
        self._request = request
        self._more = more
        self._body = _Body(request)
        self._response: requests.Response | None = None
        #: The headers that came last.
        self.headers: tuple[tuple[str, str], ...] = ()

    def received(self) -> requests.Response:
        """The answer that came last."""
        if self._response is None:
            raise RuntimeError("nothing was sent")
        return self._response

    def send(self, step: Send | Pass) -> Head:
        self.close()
        response = self._inner.send(self._prepare(step), **self._more)
        self._response = response
        # Without what a proxy may have encoded it with.
        self._pieces = response.iter_content(MOST_PLAINTEXT)
        self.headers = tuple(
            (name.lower(), value) for name, value in response.raw.headers.iteritems()
        )
        return head_of(response.status_code, self.headers)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()

    def _prepare(self, step: Send | Pass) -> requests.PreparedRequest:
        request = self._request
        if isinstance(step, Pass):
            if step.seal is None:
                return request
            request = request.copy()
            request.headers["Sealed"] = step.seal
            return request
        request = request.copy()
        agent = request.headers.get("User-Agent")
        url = urlsplit(request.url or "")
        request.method = step.method
        request.url = f"{url.scheme}://{url.netloc}{step.target}"
        headers: CaseInsensitiveDict[str | bytes] = CaseInsensitiveDict(step.headers)
        if agent is not None:
            headers.setdefault("User-Agent", agent)
        request.headers = headers
        request.body = step.body
        if step.records is not None:
            request.body = _records(self._body, step.records)
            headers["Transfer-Encoding"] = "chunked"
        elif step.body is not None or step.method in _BODY_METHODS:
            headers["Content-Length"] = str(len(step.body or b""))
        return request


class _Body:
    """The caller's content as a stream, as often as it can be had."""

    def __init__(self, request: requests.PreparedRequest) -> None:
        self._request = request
        self._taken = False

    def __iter__(self) -> Iterator[bytes]:
        content = _known(self._request)
        if content is not None:
            return (
                content[at : at + MOST_PLAINTEXT] for at in range(0, len(content), MOST_PLAINTEXT)
            )
        if self._taken:
            # A file or an iterator that has been read says nothing, or little.
            rewind_body(self._request)
        self._taken = True
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        body: Any = self._request.body
        read = getattr(body, "read", None)
        pieces = iter(body) if read is None else iter(lambda: read(MOST_PLAINTEXT) or None, None)
        size = 0
        for piece in pieces:
            data = piece.encode() if isinstance(piece, str) else piece
            size += len(data)
            yield data
        length = _length(self._request)
        if length is not None and size != length:
            raise UnrewindableBodyError("the content is not as long as its Content-Length")


def _records(body: _Body, records: RecordSealer) -> Generator[bytes]:
    """A body on its way: sealed piece by piece."""
    for piece in body:
        if piece:
            yield records.seal(piece)
    yield records.finish()


class _Content(io.RawIOBase):
    """An answer's content: opened as it is read, and never complete where it was cut."""

    def __init__(self, answer: Answer, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire
        self._pieces = wire.content(answer)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self) -> None:
        super().close()
        self._wire.close()


class _Raw(HTTPResponse):
    """What a response is read from."""

    def stream(
        self, amt: int | None = MOST_PLAINTEXT, decode_content: bool | None = None
    ) -> Generator[bytes]:
        """The content in pieces as they come: a live answer does not wait for ``amt`` bytes."""
        if "content-encoding" in self.headers:
            yield from super().stream(amt, decode_content)
            return
        while piece := self.read(amt or MOST_PLAINTEXT, decode_content=False):
            yield piece


def _call(request: requests.PreparedRequest) -> Call:
    path, _, query = request.path_url.partition("?")
    content = _known(request)
    said: dict[str, Any] = getattr(request, _MARK, {})
    return Call(
        method=request.method or "",
        path=path,
        query=query,
        headers=tuple((name.lower(), _text(value)) for name, value in request.headers.items()),
        content=content,
        stream=content is None and request.body is not None,
        length=_length(request),
        redirected=_REDIRECTED in request.hooks,
        **said,
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _known(request: requests.PreparedRequest) -> bytes | None:
    """The content where it is there; ``None`` for a stream, and where there is none."""
    body: Any = request.body
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, bytes | bytearray) else None


def _length(request: requests.PreparedRequest) -> int | None:
    text = str(request.headers.get("Content-Length", ""))
    return int(text) if text.isascii() and text.isdigit() else None


def _clear(response: requests.Response, clear: Clear) -> requests.Response:
    if clear.content is not None:
        response.close()
        response._content = clear.content
        response._content_consumed = True
    return response
