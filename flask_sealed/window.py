"""Where plaintext lives: the request that the view sees, and no one else.

Flask, its hooks and signals, error handlers and every monitoring SDK hold the request as it came:
ciphertext. A view runs inside a *window*, in which the context's request is a clone that has the
plaintext instead. What is particular to the insides of Flask and Werkzeug stands here alone.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from copy import copy
from io import BytesIO
from typing import IO, Any

import flask.globals
from flask import Flask, Request, Response
from werkzeug.datastructures import EnvironHeaders, Headers
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_input_stream

from .errors import ConfigError

# Flask 3.2 merged the request context into the application context, where `request` is read-only.
_context: ContextVar[Any]
if hasattr(flask.globals, "_cv_request"):
    _context, _REQUEST = flask.globals._cv_request, "request"
else:
    _context, _REQUEST = flask.globals._cv_app, "_request"

#: The context that holds the current request; a LookupError where there is none.
current_context: Callable[[], Any] = _context.get

# More digits make no length that anyone could send.
_DIGITS = 19

_WINDOW = "_flask_sealed_window"

# What a request object remembers of its body, of the headers that describe it, and of hidden ones.
_REMEMBERED_CONDITIONS = frozenset(
    (
        "if_match",
        "if_modified_since",
        "if_none_match",
        "if_range",
        "if_unmodified_since",
        "range",
    )
)
_REMEMBERED = _REMEMBERED_CONDITIONS | {
    "_cached_data",
    "_cached_json",
    "_parsed_content_type",
    "content_length",
    "content_type",
    "data",
    "files",
    "form",
    "json",
    "mimetype",
    "mimetype_params",
    "stream",
    "values",
}

# Outer headers that are not shown to a sealed view: a range or a condition would be answered with
# a part or a fingerprint of the plaintext, and anyone on the way can add a method override.
_HIDDEN = frozenset(
    (
        "HTTP_IF_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_RANGE",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_RANGE",
        "HTTP_X_HTTP_METHOD",
        "HTTP_X_HTTP_METHOD_OVERRIDE",
        "HTTP_X_METHOD_OVERRIDE",
    )
)


class Window:
    """One sealed request: its opened body until the view takes it, and whether the view runs.

    :param request: the request as it came; it holds its window from now on.
    :param seals_response: whether the view's response leaves the window sealed.
    """

    #: The request as it came, while the view, or what belongs to it, runs.
    outside: Request | None = None
    #: The response that is as it shall leave: sealed, or a refusal.
    settled: Response | None = None
    _body: bytes | None = None
    _content_type = ""
    _inside: Request | None = None

    def __init__(self, request: Request, seals_response: bool) -> None:
        self.seals_response = seals_response
        # Not through the request's `__dict__`: CPython would make it a slower object.
        setattr(request, _WINDOW, self)

    def __repr__(self) -> str:
        size = "no body" if self._body is None else f"{len(self._body)} bytes"
        return f"<Window {'open' if self.outside else 'closed'}, {size}>"

    def hold(self, body: bytes, content_type: str) -> None:
        """Keep the opened body of the request and its Content-Type, until the view runs."""
        self._body = body
        self._content_type = content_type

    @staticmethod
    def of(request: Request) -> Window | None:
        """The window of a request, or of a view's clone of it."""
        window: Window | None = getattr(request, _WINDOW, None)
        return window

    def enter(self, context: Any) -> None:
        """Make the plaintext request the context's request, until :meth:`leave`."""
        request = outside = getattr(context, _REQUEST)
        if self._inside is not None:
            request = self._inside
        elif self._body is not None:
            request = self._take_clone(request)
        elif not request.environ.keys().isdisjoint(_HIDDEN):
            request = _clone(request, None, "")
        self.outside = outside
        setattr(context, _REQUEST, request)

    def leave(self, context: Any) -> None:
        """Make the request as it came the context's request again, and close the view's."""
        request, outside = getattr(context, _REQUEST), self.outside
        setattr(context, _REQUEST, outside)
        # The request holds the window: a reference back would keep both, until some day the
        # garbage collector comes.
        self.outside = None
        if request is not outside and self._inside is None and "files" in vars(request):
            request.close()  # Flask closes the files of the other request only

    def _take_clone(self, request: Request) -> Request:
        body, self._body = self._body, None
        return _clone(request, body, self._content_type)

    def run_outside(self, context: Any, work: Callable[[], None]) -> None:
        """Do something with the request as it came, while the window is open."""
        inside = getattr(context, _REQUEST)
        setattr(context, _REQUEST, self.outside)
        try:
            work()
        finally:
            setattr(context, _REQUEST, inside)

    def stream(self, context: Any, response: Response) -> None:
        """Let a streamed response, which is generated after the view has returned, run in here."""
        self._inside = getattr(context, _REQUEST)
        response.response = _WindowedIterator(self, context, response.response)

    def end_stream(self) -> None:
        """Let go of the view's request, once its response has been generated."""
        if self._inside is not None:
            self._inside.close()
            self._inside = None


def own_response(response: Response) -> Response:
    """The same response as an object of its own.

    The application may keep a response and return it again, and sealing changes it.
    """
    own = copy(response)
    own.headers = Headers(response.headers)
    own._on_close = list(response._on_close)
    return own


def made_of(*headers: tuple[str, str]) -> Headers:
    """Headers, of those that have been a response's headers before or are constants.

    So none of them has a line break, which is all that the public way would check again.
    """
    made = Headers()
    made._list = list(headers)
    return made


def read_body(request: Request, limit: int) -> bytes | None:
    """The body of a request as it came, which stays readable for everyone.

    :param limit: the most bytes that are read.
    :returns: ``None`` where there are more.
    :raises werkzeug.exceptions.BadRequest: where the connection ended too early.
    """
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


def _clone(request: Request, body: bytes | None, content_type: str) -> Request:
    environ = request.environ.copy()
    if not environ.keys().isdisjoint(_HIDDEN):
        for name in _HIDDEN:
            environ.pop(name, None)
    # Werkzeug's own back reference would lead from the clone to the original.
    environ.pop("werkzeug.request", None)
    clone = request.__class__.__new__(request.__class__)
    state = vars(clone)
    state.update(vars(request), environ=environ, headers=EnvironHeaders(environ))
    forgotten = _REMEMBERED_CONDITIONS if body is None else _REMEMBERED
    for name in forgotten.intersection(state):
        del state[name]
    if body is not None:
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["CONTENT_TYPE"] = content_type
        state["_cached_data"] = body
    return clone


class _WindowedIterator:
    """A response's iterable, every step of which runs inside the window."""

    def __init__(self, window: Window, context: Any, iterable: Any) -> None:
        self._window = window
        # Popped by the time of the steps; `stream_with_context` pushes this same one again.
        self._context = context
        self._iterable = iterable
        self._iterator: Iterator[Any] = iter(iterable)

    def __iter__(self) -> _WindowedIterator:
        return self

    def __next__(self) -> Any:
        try:
            return self._run(self._iterator.__next__)
        except StopIteration:
            raise
        except BaseException:
            self._window.end_stream()
            raise

    def close(self) -> None:
        close = getattr(self._iterable, "close", None)
        try:
            if close is not None:
                self._run(close)
        finally:
            self._window.end_stream()

    def _run(self, work: Callable[[], Any]) -> Any:
        self._window.enter(self._context)
        try:
            return work()
        except BaseException as error:
            hide_locals(self._context.app, error)
            raise
        finally:
            self._window.leave(self._context)


def current_window() -> Window | None:
    """The open window that the caller runs in, if it does."""
    context = _context.get(None)
    window: Window | None = getattr(getattr(context, _REQUEST, None), _WINDOW, None)
    return window if window is not None and window.outside else None


def demand_window(view: str) -> None:
    """Refuse to run a sealed view outside of a window.

    :param view: its name.
    :raises ConfigError: when the current request, if there is one, has no open window.
    """
    if current_window() is None:
        raise ConfigError(
            f"the sealed view {view} was called outside of a sealed request. Is there a"
            " `Sealed(app)`? Does a decorator above `@sealed` drop the function's attributes"
            " (give it `functools.wraps`, or put `@sealed` above it)? From other code, call a"
            " function that is not a view."
        )


def after_request_functions(context: Any) -> list[Callable[[Response], Response]]:
    """What is registered with ``after_this_request``, to be read and changed."""
    functions: list[Callable[[Response], Response]] = context._after_request_functions
    return functions


def open_first(app: Flask, hook: Callable[[], Response | None]) -> None:
    """Register a hook before all others that run before a request."""
    app.before_request_funcs.setdefault(None, []).insert(0, hook)


def seal_first(app: Flask, hook: Callable[[Response], Response]) -> None:
    """Move a hook before all others of the application that run after a request."""
    hooks = app.after_request_funcs[None]
    hooks.remove(hook)
    hooks.append(hook)  # Flask runs them from the last to the first.


def hide_locals(app: Flask, error: BaseException) -> None:
    """Clear the local variables in all frames of an exception and of those it came from.

    Monitoring copies them. In debug mode they stay, for the debugger.
    """
    if app.debug:
        return
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        waiting += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def guard_logging() -> None:
    """Show filters and handlers of log records the request as it came, inside a window too.

    Monitoring handlers read the current request when they handle a record. The one place where
    records are dispatched is patched, once in a process; it does nothing where no window is open.
    """
    dispatch = logging.Logger.handle
    if getattr(dispatch, "_flask_sealed", False):
        return

    @functools.wraps(dispatch)
    def handle(self: logging.Logger, record: logging.LogRecord) -> None:
        window = current_window()
        if window is None:
            dispatch(self, record)
        else:
            window.run_outside(current_context(), functools.partial(dispatch, self, record))

    handle._flask_sealed = True  # type: ignore[attr-defined]
    logging.Logger.handle = handle  # type: ignore[method-assign]
