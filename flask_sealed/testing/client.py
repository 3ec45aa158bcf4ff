"""A Flask test client that seals requests and opens responses, as the views demand it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Any
from urllib.parse import quote

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import EnvironHeaders, Headers
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from ..clients.service import (
    Call,
    Clear,
    Operation,
    Pass,
    Pieces,
    Service,
    drive,
    head_of,
    headers_of,
)
from ..config import demand_level3_key
from ..errors import ConfigError
from ..level3 import TYPE_HEADER
from ..policy import Policy
from ..protocol import envelope
from ..protocol.flow import Answer, Clock, Head, Send, untrusted
from ..responses import JSON
from ..targets import routed_resource
from .clock import TestClock
from .wire import Exchange, Message, demand_absent

_ORIGIN = "http://localhost"
_PRESERVE = "werkzeug.debug.preserve_context"
_BODY = frozenset(("CONTENT_LENGTH", "CONTENT_TYPE"))

Parts = tuple[Iterable[bytes], str, Headers]


def sealed_client(app: Flask, *, use_cookies: bool = True) -> SealedClient:
    """A test client of an application that seals and opens.

    :raises ConfigError: where the application has no ``Sealed``.
    """
    return SealedClient(app, app.response_class, use_cookies=use_cookies)


class SealedClient(FlaskClient):
    """A test client for ``app.test_client_class``: tests stay as they are.

    Views are called as they demand it: in a session, in Level 3, or in clear. Each client has a
    binding key and a session of its own. Responses look as if they had never been sealed.

    :raises ConfigError: where the application has no ``Sealed``.
    """

    #: Makes the client's random bytes. A test may set another before the first request.
    random: Callable[[int], bytes] = staticmethod(os.urandom)
    #: Whether the queries of sealed requests are sealed, too.
    hide_query: bool = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "sealed" not in self.application.extensions:
            raise ConfigError("this application has no `Sealed`; its test client cannot seal")
        self._side = self.application.extensions["sealed"]
        self._service: Service | None = None
        self._lock = Lock()
        #: What was on the wire since the last :meth:`clear_wire`, handshakes included.
        self.wire: list[Exchange] = []

    @property
    def clock(self) -> TestClock:
        """The application's clock, and that of all its test clients: it says what is fresh, and
        when sessions and keys end. It is not the clock of other packages."""
        owner = getattr(self._side.clock, "__self__", None)
        if not isinstance(owner, TestClock):
            owner = TestClock()
            self._side.clock = owner.time
        return owner

    def clear_wire(self) -> None:
        """Forget what was on the wire."""
        self.wire.clear()

    def assert_not_on_wire(self, *texts: str | bytes) -> None:
        """Make sure that texts were in no request and no response, as anyone on the way sees them.

        :raises AssertionError: where one was.
        """
        __tracebackhide__ = True
        demand_absent(self.wire, texts)

    def run_wsgi_app(self, environ: dict[str, Any], buffered: bool = False) -> Parts:
        """Send one request; redirects come here one by one.

        :raises NoAnswer: where a sealed view answers in clear.
        :raises Refusal: where an answer does not open.
        """
        content, status, headers = self._run_as_demanded(environ)
        return ([_whole(content)] if buffered else content), status, headers

    def _run_as_demanded(self, environ: dict[str, Any]) -> Parts:
        policy = self._policy(environ)
        if policy is None or not self._side.settings.enabled:
            return self._run(environ, sealed=False, once=False)
        if self._side.profile(policy).name == "level3":
            return self._run_level3(environ, policy)
        return self._run(environ, sealed=True, once=policy.once)

    def exchange(self, environ: dict[str, Any]) -> Parts:
        """Send a request as it is, and keep what was on the wire."""
        query = environ.get("QUERY_STRING")
        line = f"{environ['REQUEST_METHOD']} {quote(environ['PATH_INFO'].encode('latin-1'))}"
        message = Message(
            line + (f"?{query}" if query else ""),
            list(EnvironHeaders(environ)),
            _content(environ) or b"",
        )
        content, status, headers = super().run_wsgi_app(environ)
        answer = Message(status, list(headers))
        self.wire.append(Exchange(message, answer))
        kept = _Kept(content, answer)
        # What is there is on the wire, whether the test reads it or not.
        return ([_whole(kept)] if "Content-Length" in headers else kept), status, headers

    def _policy(self, environ: dict[str, Any]) -> Policy | None:
        app = self.application
        request = app.request_class({**environ, "wsgi.input": io.BytesIO()})
        adapter = app.create_url_adapter(request)
        if adapter is None:
            return None
        try:
            request.url_rule = adapter.match(return_rule=True)[0]
        except HTTPException:  # redirects among them
            return None
        policy: Policy | None = self._side.policy(app, request)
        return policy

    def _run(self, environ: dict[str, Any], *, sealed: bool, once: bool) -> Parts:
        """Send a request in a session, or in clear with a proof where it has a token."""
        if self._side.settings.keyring is None:
            return self.exchange(environ)
        if self._service is None:
            self._service = self._make_service()
        content = _content(environ)
        wire = _Wire(self, environ, content)
        target = routed_resource(environ, self._side.settings.public_paths)
        path, _, query = target.partition("?")
        call = Call(
            method=environ["REQUEST_METHOD"],
            path=path,
            query=query,
            headers=tuple((name.lower(), value) for name, value in EnvironHeaders(environ)),
            content=content,
            sealed=sealed,
            hide_query=self.hide_query,
            operation=Operation() if once else None,
        )
        outcome = drive(self._service.call(call), wire, self._lock)
        if isinstance(outcome, Clear):
            return wire.clear(outcome)
        return wire.opened(outcome)

    def _make_service(self) -> Service:
        self._side.prepare(self.application)
        settings = self._side.settings
        clock = self.clock
        return Service(
            audience=settings.audience,
            origin=_ORIGIN,
            pins=settings.keyring.ring().pins(int(clock.time())),
            prefix=settings.prefix,
            headers=self._side.headers,
            clock=Clock(clock.time, clock.time),
            random=self.random,
        )

    def host_of_handshakes(self) -> str:
        """The host of the extension's own views; empty where all hosts have them."""
        app, host = self.application, self._side.settings.host
        if app.url_map.host_matching:
            return str(host)
        name = app.config["SERVER_NAME"] if app.subdomain_matching else None
        return f"{host}.{name}".lstrip(".") if name else ""

    def _run_level3(self, environ: dict[str, Any], policy: Policy) -> Parts:
        key = demand_level3_key(self._side.settings.level3_key)
        content = _content(environ)
        sent = environ
        if policy.request and content:
            kind = environ.get("CONTENT_TYPE") or "application/octet-stream"
            aad = b"" if kind == JSON else kind.encode("latin-1")
            sealed = envelope.seal(key, content, iv=self.random(12), aad=aad)
            sent = _with_body(environ, sealed) | {"CONTENT_TYPE": JSON}
            if aad:
                sent["HTTP_SEALED_CONTENT_TYPE"] = kind
        parts, status, headers = self.exchange(sent)
        if not policy.response:
            return parts, status, headers
        body = _whole(parts)
        if not body:
            return [], status, headers
        if headers.get("Content-Type") != JSON:
            raise untrusted(int(status.partition(" ")[0]), body)
        kind = headers.pop(TYPE_HEADER, JSON)
        opened = envelope.open_(key, body, aad=b"" if kind == JSON else kind.encode())
        headers["Content-Type"], headers["Content-Length"] = kind, str(len(opened))
        return [opened], status, headers


class _Wire(Pieces):
    """The application in this process."""

    def __init__(
        self, client: SealedClient, environ: dict[str, Any], content: bytes | None
    ) -> None:
        self._client = client
        self._environ = environ
        self._content = content
        self._parts: Parts = ([], "", Headers())

    def send(self, step: Send | Pass) -> Head:
        self.close()
        if isinstance(step, Pass):
            environ = _with_body(self._environ, self._content)
            if step.seal is not None:
                environ["HTTP_SEALED"] = step.seal
        else:
            environ = self._sealed(step)
        self._parts = self._client.exchange(environ)
        self._pieces = iter(self._parts[0])
        return head_of(int(self._parts[1].partition(" ")[0]), self._headers())

    def close(self) -> None:
        _close(self._parts[0])

    def clear(self, clear: Clear) -> Parts:
        """The answer to a request that went in clear."""
        content, status, headers = self._parts
        if clear.content is None:
            return content, status, headers
        self.close()
        return [clear.content], status, headers

    def opened(self, answer: Answer) -> Parts:
        """The answer as if it had never been sealed."""
        code = answer.response.status
        status = f"{code} {HTTP_STATUS_CODES.get(code, 'Unknown').upper()}"
        method = self._environ["REQUEST_METHOD"]
        headers = Headers(headers_of(answer, self._headers(), method))
        if answer.rest is not None:
            return _Opened(answer, self), status, headers
        self.close()
        return [answer.content], status, headers

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return tuple((name.lower(), value) for name, value in self._parts[2])

    def _sealed(self, step: Send) -> dict[str, Any]:
        """The environment of a request that is sealed, or of a handshake."""
        body = step.body
        if step.records is not None:
            body = step.records.seal(self._content or b"") + step.records.finish()
        kept = {name: value for name, value in self._environ.items() if not _is_said(name)}
        environ = _with_body(kept, body)
        if all(name != "sealed" for name, _ in step.headers):
            # A handshake is no request of the test's: its contexts are not kept.
            environ.pop(_PRESERVE, None)
            host = self._client.host_of_handshakes() or self._environ.get("HTTP_HOST", "")
            environ |= {"PATH_INFO": step.target, "HTTP_HOST": host, "RAW_URI": step.target}
        # Not the target's path: clients may see another one.
        path, query = environ["RAW_URI"].partition("?")[0], step.target.partition("?")[2]
        environ["RAW_URI"] = environ["REQUEST_URI"] = f"{path}?{query}" if query else path
        environ["REQUEST_METHOD"], environ["QUERY_STRING"] = step.method, query
        for name, value in step.headers:
            variable = name.upper().replace("-", "_")
            environ[variable if variable in _BODY else f"HTTP_{variable}"] = value
        return environ


class _Kept:
    """A body as the application makes it; what has been sent is kept."""

    def __init__(self, content: Iterable[bytes], message: Message) -> None:
        self._content = content
        self._pieces = iter(content)
        self._message = message
        message.ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._message.ended = True
            raise
        self._message.body += piece
        return piece

    def close(self) -> None:
        self._message.ended = True
        _close(self._content)


class _Opened:
    """A body that is opened as it comes."""

    def __init__(self, answer: Answer, wire: _Wire) -> None:
        self._wire = wire
        self._pieces = wire.content(answer)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._wire.close()


def _is_said(name: str) -> bool:
    """Whether a variable of WSGI comes from the request's headers."""
    return name.startswith("HTTP_") or name in _BODY


def _content(environ: dict[str, Any]) -> bytes | None:
    """A request's body. It can be read again: a redirect may take it along."""
    content: bytes = environ["wsgi.input"].read()
    environ["wsgi.input"] = io.BytesIO(content)
    return content or None


def _with_body(environ: dict[str, Any], body: bytes | None) -> dict[str, Any]:
    """The environment with another body."""
    changed = {**environ, "wsgi.input": io.BytesIO(body or b"")}
    changed.pop("HTTP_TRANSFER_ENCODING", None)
    changed["CONTENT_LENGTH"] = str(len(body or b""))
    return changed


def _whole(content: Iterable[bytes]) -> bytes:
    try:
        return b"".join(content)
    finally:
        _close(content)


def _close(content: Iterable[bytes]) -> None:
    getattr(content, "close", lambda: None)()
