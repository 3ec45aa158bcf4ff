"""Bodies of requests as servers hand them over: whether there is one, the whole of it, or pieces.

What is particular to WSGI servers stands here alone.
"""

from __future__ import annotations

from io import BytesIO
from typing import IO, Any

from flask import Request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from .errors import Malformed, TooLarge

# More digits make no length that anyone could send.
_DIGITS = 19
_CHUNKED = "HTTP_TRANSFER_ENCODING"
_TERMINATED = "wsgi.input_terminated"
_HTTP1 = ("HTTP/1.1", "HTTP/1.0")


def check_framing(environ: dict[str, Any]) -> None:
    """Refuse a request that tells its length in two ways: servers differ in which one they take.

    :raises Malformed: where it does.
    """
    if _CHUNKED in environ and environ.get("CONTENT_LENGTH"):
        raise Malformed("A request has a Content-Length or a Transfer-Encoding, not both.")


def may_have_body(environ: dict[str, Any]) -> bool:
    """Whether there can be a body, so that it has to be looked for.

    HTTP/1 announces a body by one of two headers. Later versions need not; and where the end of
    the input can be told, there might be one that nobody announces any more.
    """
    announced = environ.get("CONTENT_LENGTH") or _CHUNKED in environ
    readable = environ.get("SERVER_PROTOCOL") not in _HTTP1 or _TERMINATED in environ
    return bool(announced or readable)


def read_body(request: Request, most: int) -> bytes:
    """The whole body of a request as it came, which stays readable for everyone.

    :param most: the most bytes that are read; the application's own limit may be lower.
    :raises TooLarge: where there are more.
    :raises Malformed: where the connection ended too early, or the length is told in two ways.
    """
    check_framing(request.environ)
    limit = min(most, request.max_content_length or most)
    try:
        body = _read(request, limit)
    except RequestEntityTooLarge:
        body = None
    except Exception:  # Each server has errors of its own for a body that does not come.
        raise Malformed("The connection ended before the whole body had arrived.") from None
    if body is None:
        raise TooLarge(f"This service takes {limit} bytes at the most.")
    return body


def demand_no_body(request: Request) -> None:
    """Refuse a body where there must be none.

    :raises Malformed: where there is one.
    """
    if not may_have_body(request.environ):
        return
    try:
        empty = not read_body(request, 0)
    except TooLarge:
        empty = False
    if not empty:
        raise Malformed("The seal has no body, and one came.")


def body_stream(request: Request) -> IO[bytes]:
    """The body of a request as a stream of any length."""
    body: bytes | None = getattr(request, "_cached_data", None)
    if body is not None:  # A hook of the application has read it already.
        return BytesIO(body)
    return get_input_stream(request.environ)


def _read(request: Request, limit: int) -> bytes | None:
    body: bytes | None = getattr(request, "_cached_data", None)
    if body is not None:
        return body if len(body) <= limit else None
    length = request.environ.get("CONTENT_LENGTH", "")
    if not (length.isascii() and length.isdigit() and len(length) < _DIGITS):
        # Chunked: the stream just ends at a limit, so one byte more than allowed is asked for.
        request.stream = get_input_stream(request.environ, max_content_length=limit + 1)
        body = request.get_data()
        return body if len(body) <= limit else None
    if int(length) > limit:
        return None
    # What `get_data` does, without the stream that it makes to count the bytes.
    request._cached_data = body = _read_exactly(request.environ["wsgi.input"], int(length))
    request.stream = BytesIO()  # It has been read: who asked the server for more would wait.
    return body


def _read_exactly(stream: IO[bytes], length: int) -> bytes:
    parts: list[bytes] = []
    missing = length
    while missing > 0:
        part = _read_some(stream, missing)
        if not part:
            raise ClientDisconnected
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _read_some(stream: IO[bytes], most: int) -> bytes:
    try:
        return stream.read(most)
    except Exception:  # Each server has errors of its own for a connection that broke.
        return b""
