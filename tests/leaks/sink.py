"""Where monitoring sends what it has collected: a server in this process that keeps all."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote_to_bytes

import brotli

# What clients of one kind ask before they send.
_INFO = {"endpoints": ["/v0.4/traces", "/v0.5/traces", "/debugger/v2/input"], "version": "7.60.0"}


class Sink:
    """For as long as a ``with`` lasts."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._kept: list[bytes] = []
        self._failures: list[Exception] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def kept(self) -> bytes:
        """All that has come, uncompressed.

        :raises Exception: where some of it could not be.
        """
        for failure in self._failures:
            raise failure
        return b"\n".join(self._kept)

    def __enter__(self) -> Sink:
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
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def take(self) -> None:
                body = self._body()
                try:
                    body = _plain(body, self.headers.get("content-encoding", ""))
                except Exception as error:
                    sink._failures.append(error)
                sink._kept.append(f"{self.path}\n{self.headers}".encode() + unquote_to_bytes(body))
                text = json.dumps(_INFO).encode()
                self.send_response_only(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = take  # noqa: N815

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding") == "chunked":
                    pieces = []
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        pieces.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(pieces)
                return self.rfile.read(int(self.headers.get("content-length", 0)))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


def _plain(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    if encoding == "br":
        return bytes(brotli.decompress(body))
    if encoding:
        raise ValueError(f"nobody has taught the sink {encoding}")
    return body
