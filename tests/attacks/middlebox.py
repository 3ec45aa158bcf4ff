"""Where most attackers stand: a proxy that ends TLS, sees what passes, and may change it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from flask_sealed.protocol.flow import Send

from ..driver import HttpWire

# Each connection has its own.
_HOP = frozenset(("connection", "content-length", "host", "keep-alive", "transfer-encoding"))


@dataclass(frozen=True)
class Answer:
    """An answer as it passes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def seal(self) -> str | None:
        return next((value for name, value in self.headers if name.lower() == "sealed"), None)


class Middlebox:
    """A proxy in this process, for as long as a ``with`` lasts.

    :param server: what it stands before, as ``http://127.0.0.1:PORT``.
    """

    def __init__(self, server: str) -> None:
        self._wire = HttpWire(server)
        #: All that has passed, as it came from either side.
        self.seen: list[tuple[Send, Answer]] = []
        #: May change a request, or answer in the server's place.
        self.on_request: Callable[[Send], Send | Answer] = lambda send: send
        #: May change an answer.
        self.on_answer: Callable[[Send, Answer], Answer] = lambda _, answer: answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def forward(self, send: Send) -> Answer:
        """Pass a request on, or one of the attacker's own."""
        outer = self._wire.send(send)
        body = outer.read()
        outer.close()
        headers = tuple(pair for pair in outer.headers if pair[0].lower() not in _HOP)
        return Answer(outer.status, headers, body)

    def take(self, send: Send) -> Answer:
        """What comes back for a request that came."""
        passed = self.on_request(send)
        if isinstance(passed, Answer):
            return passed
        answer = self.forward(passed)
        self.seen.append((send, answer))
        return self.on_answer(send, answer)

    def __enter__(self) -> Middlebox:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        box = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = self.headers.get("content-length")
                headers = tuple(
                    (name.lower(), value)
                    for name, value in self.headers.items()
                    if name.lower() not in _HOP
                )
                body = None if length is None else self.rfile.read(int(length))
                answer = box.take(Send(self.command, self.path, headers, body))
                self.send_response_only(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_DELETE = do_OPTIONS = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler
