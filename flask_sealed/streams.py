"""Record streams at a view: an upload that it reads, a response that it makes."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from werkzeug.exceptions import BadRequest, ClientDisconnected, HTTPException

from .errors import Refusal
from .protocol.exchange import SealedStream, StreamOpener
from .protocol.records import MOST_PLAINTEXT

_PIECE = 64 * 1024
# How often it is asked whether a response that is being sent may go on, in seconds.
_ASK = 1.0


class Upload(io.RawIOBase):
    """The content of a record stream, opened as the view reads it, in bounded memory.

    A stream that was cut or changed raises in the read, and in every later one: what has been read
    until then is authentic, but never looks complete.

    :param open_source: gives the records as they come, when the first are read: until then, others
        may have read them.
    :param opener: opens them.
    """

    def __init__(self, open_source: Callable[[], IO[bytes]], opener: StreamOpener) -> None:
        self._open_source = open_source
        self._source: IO[bytes] | None = None
        self._opener = opener
        self._opened = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as :meth:`io.RawIOBase.readinto`.

        :raises werkzeug.exceptions.BadRequest: where the stream was cut or changed.
        """
        while not self._opened and not self._ended:
            self._opened = memoryview(self._more())
        size = min(len(buffer), len(self._opened))
        buffer[:size] = self._opened[:size]
        self._opened = self._opened[size:]
        return size

    def _more(self) -> bytes:
        fault: HTTPException
        try:
            if self._source is None:
                self._source = self._open_source()
            piece = self._source.read(_PIECE)
            if piece:
                return self._opener.feed(piece)
            opened = self._opener.finish()
        except HTTPException as error:  # Werkzeug's own: cut, or too large
            fault = type(error)()
        except Refusal:
            fault = BadRequest("The upload was cut or changed on its way.")
        except Exception:  # Each server has errors of its own for a connection that broke.
            fault = ClientDisconnected()
        else:
            self._ended = True
            return opened
        raise fault


class Download:
    """A response's iterable as a record stream: every piece is sealed when it is there.

    :param iterable: the pieces, of bytes or text, as the application makes them.
    :param sealing: seals them.
    :param live: whether each piece is sent at once; else they are made full records.
    :param goes_on: whether what comes may still be sent, asked once a second at most. Where not,
        the stream ends without its final record: to its client it was cut.
    """

    def __init__(
        self, iterable: Any, sealing: SealedStream, *, live: bool, goes_on: Callable[[], bool]
    ) -> None:
        self._iterable = iterable
        self._iterator: Iterator[Any] = iter(iterable)
        self._records = sealing.records
        self._head = sealing.head
        self._live = live
        self._goes_on = goes_on
        self._ask = time.monotonic() + _ASK
        self._ended = False

    def __iter__(self) -> Download:
        return self

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        head, self._head = self._head, b""
        if head:
            return head
        # Until this step has come to its end: after one that raised, an iterator says that it is
        # over, and the final record would make a whole of what broke off.
        self._ended = True
        piece = self._next()
        if not piece:
            return self._records.finish()
        if not self._may_go_on():
            raise StopIteration
        self._ended = False
        return self._records.seal(piece)

    def _may_go_on(self) -> bool:
        moment = time.monotonic()
        if moment < self._ask:
            return True
        self._ask = moment + _ASK
        return self._goes_on()

    def _next(self) -> bytes:
        """The next content; no bytes at the end."""
        pieces: list[bytes] = []
        size = 0
        for piece in self._iterator:
            content = piece.encode() if isinstance(piece, str) else piece
            pieces.append(content)
            size += len(content)
            if size >= (1 if self._live else MOST_PLAINTEXT):
                break
        return b"".join(pieces)

    def close(self) -> None:
        close = getattr(self._iterable, "close", None)
        if close is not None:
            close()
