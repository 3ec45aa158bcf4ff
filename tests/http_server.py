"""HTTP servers in this process, each for as long as a ``with`` lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

from flask_sealed.protocol.flow import Send


@dataclass(frozen=True)
class Answer:
    """What goes back; a length is added."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


#: Answers a request, or closes the connection.
Take = Callable[[Send], Answer | None]


@contextmanager
def running(server: HTTPServer) -> Iterator[str]:
    """A server's URL, while it answers."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def answering(take: Take) -> Iterator[str]:
    """The URL of a server that asks a function; it has a thread for each connection."""

    class Taking(_Handler):
        def take(self) -> None:
            headers = tuple((name.lower(), value) for name, value in self.headers.items())
            answer = take(Send(self.command, self.path, headers, self.body()))
            if answer is None:
                self.close_connection = True
            else:
                self.answer(answer)

        do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = take  # noqa: N815

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Taking)) as base:
        yield base


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The head and the body are written one after the other: the body would wait for 40 ms.
    disable_nagle_algorithm = True

    def body(self) -> bytes | None:
        if self.headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        length = self.headers.get("content-length")
        return None if length is None else self.rfile.read(int(length))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def answer(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None:
        pass
