"""Requests written byte by byte, for what no HTTP library would send."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from flask_sealed.protocol.flow import Send

from ..servers.process import Server

#: How long a server may take for anything, in seconds.
PATIENCE = 60
CHUNKED = "Transfer-Encoding: chunked"
# How long it may be before the next answer on a connection, in seconds.
_QUIET = 0.2


@dataclass(frozen=True)
class Said:
    """All that came back on a connection."""

    text: bytes

    @property
    def statuses(self) -> list[int]:
        """Those of all answers, in their order."""
        lines = [line for line in self.text.split(b"\r\n") if line.startswith(b"HTTP/1.")]
        return [int(line.split()[1]) for line in lines]


def head(send: Send, *lines: str) -> bytes:
    """A request's head.

    :param lines: more of it, such as ``Content-Length: 5``.
    """
    headers = [f"{name}: {value}" for name, value in send.headers]
    text = [f"{send.method} {send.target} HTTP/1.1", "host: bank.example", *headers, *lines]
    return "\r\n".join([*text, "", ""]).encode()


def chunks(*pieces: bytes) -> bytes:
    """A chunked body (RFC 9112, section 7.1)."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def say(server: Server, *pieces: bytes) -> Said:
    """Send bytes on one connection, and read until the server ends it or has no more to say."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                connection.sendall(piece)
        return Said(b"".join(_received(connection)))


def _received(connection: socket.socket) -> Iterable[bytes]:
    with suppress(ConnectionResetError, TimeoutError):
        while piece := connection.recv(65_536):
            yield piece
            connection.settimeout(_QUIET)
