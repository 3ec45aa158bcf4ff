"""Where monitoring sends what it has collected: a server in this process that keeps all."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote_to_bytes

import brotli

from flask_sealed.protocol.flow import Send

from ..http_server import Answer, answering

# What clients of one kind ask before they send.
_INFO = {"endpoints": ["/v0.4/traces", "/v0.5/traces", "/debugger/v2/input"], "version": "7.60.0"}
_ANSWER = Answer(200, (("content-type", "application/json"),), json.dumps(_INFO).encode())


class Sink:
    """What has come."""

    def __init__(self) -> None:
        #: Where it comes.
        self.base = ""
        self._kept: list[bytes] = []
        self._failures: list[Exception] = []

    def take(self, came: Send) -> Answer:
        encoding = dict(came.headers).get("content-encoding", "")
        body = came.body or b""
        try:
            body = _plain(body, encoding)
        except Exception as error:
            self._failures.append(error)
        self._kept.append(f"{came.target}\n{came.headers}".encode() + unquote_to_bytes(body))
        return _ANSWER

    def kept(self) -> bytes:
        """All of it, uncompressed.

        :raises Exception: where some of it could not be.
        """
        for failure in self._failures:
            raise failure
        return b"\n".join(self._kept)


@contextmanager
def listening() -> Iterator[Sink]:
    """One to which is sent until the block ends."""
    sink = Sink()
    with answering(sink.take) as sink.base:
        yield sink


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
