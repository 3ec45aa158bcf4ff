"""Where plaintext lives: the request that the view sees, and no one else.

Flask, its hooks and signals, error handlers and every monitoring SDK hold the request as it came:
ciphertext. A view runs inside a *window*, in which the context's request is a clone that has the
plaintext instead. What is particular to the insides of Flask and Werkzeug stands here alone.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, TypeVar

import flask.globals
from flask import Flask, Request, Response
from werkzeug.datastructures import EnvironHeaders
from werkzeug.utils import cached_property

from .errors import ConfigError
from .protocol.handshake import Session
from .reports import bare, clear_variables, hidden_variables, masked

if TYPE_CHECKING:
    from .profile import Profile
    from .protocol.exchange import ServerExchange

# Flask 3.2 merged the request context into the application context, where `request` is read-only.
_context: ContextVar[Any]
if hasattr(flask.globals, "_cv_request"):
    _context, _REQUEST = flask.globals._cv_request, "request"
else:
    _context, _REQUEST = flask.globals._cv_app, "_request"

#: The context that holds the current request; a LookupError where there is none.
current_context: Callable[[], Any] = _context.get

_WINDOW = "_flask_sealed_window"
_PROOF = "_flask_sealed_proof"
_OUTSIDE = "_flask_sealed_outside"

R = TypeVar("R")

#: Outer headers that are not shown to a sealed view, as WSGI names them: a range or a condition
#: would be answered with a part or a fingerprint of the plaintext, and anyone on the way can add a
#: method override.
HIDDEN = frozenset(
    (
        "HTTP_IF",
        "HTTP_IF_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_RANGE",
        "HTTP_IF_SCHEDULE_TAG_MATCH",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_RANGE",
        "HTTP_X_HTTP_METHOD",
        "HTTP_X_HTTP_METHOD_OVERRIDE",
        "HTTP_X_METHOD_OVERRIDE",
    )
)


@dataclass(slots=True, kw_only=True)
class Inside:
    """What the view's request has in place of what came; its ``repr`` shows sizes only."""

    #: The content, whole or as a stream; ``None`` leaves the body as it came.
    body: bytes | IO[bytes] | None = None
    content_type: str = ""
    #: The number of bytes of a stream, where it is known.
    length: int | None = None
    #: A query string in place of the URL's.
    query: str | None = None
    #: Headers that came sealed: pairs of a name in lower case and a value.
    headers: tuple[tuple[str, str], ...] = ()
    #: The outer headers that are not shown, as WSGI names them.
    hidden: frozenset[str] = HIDDEN

    def __repr__(self) -> str:
        size = f"{len(self.body)} bytes" if isinstance(self.body, bytes) else "no whole body"
        return f"<Inside, {size}>"

    def changes(self, request: Request) -> bool:
        """Whether the view's request is another one than came."""
        return (
            self.body is not None
            or self.query is not None
            or bool(self.headers)
            or not request.environ.keys().isdisjoint(self.hidden)
        )


_AS_IT_CAME = Inside()
_IN_CLEAR = Inside(hidden=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who sent a request: whoever has the secret that its seal was opened with."""

    #: The name of the pre-shared key, ``None`` in a session.
    psk: str | None = None
    #: The session, ``None`` with a pre-shared key.
    session: Session | None = None

    @property
    def binding(self) -> str:
        """What tokens are bound to: the thumbprint of the client's binding key (RFC 7638), as
        base64url, or ``psk:`` and the name of the pre-shared key."""
        return f"psk:{self.psk}" if self.session is None else self.session.jkt

    @property
    def sid(self) -> str | None:
        """The session's name, for logs."""
        return None if self.session is None else self.session.sid

    @staticmethod
    def of(request: Request) -> Proof | None:
        """The proof that came with a request; a view's clone of it has it too."""
        proof: Proof | None = getattr(request, _PROOF, None)
        return proof

    def belong_to(self, request: Request) -> None:
        """Let a request have this proof."""
        setattr(request, _PROOF, self)


class Window:
    """One sealed request: what came inside it until the view takes it, and whether the view runs.

    :param request: the request as it came; it holds its window from now on.
    :param profile: seals the view's response as it leaves the window; ``None`` leaves it in clear.
    """

    #: The request as it came, while the view, or what belongs to it, runs.
    outside: Request | None = None
    #: The response that is as it shall leave: sealed, or a refusal.
    settled: Response | None = None
    #: The name of the profile that the view is sealed in, one direction at least.
    sealed_in: str | None = None
    #: Whether receivers of signals know that the response was sealed.
    told = False
    #: What seals the response, where that follows from the request.
    exchange: ServerExchange | None = None
    #: Whether the length of the response's content is hidden.
    pad = False
    #: Whether the request came in clear, and is answered so: the view's mode is optional.
    clear = False
    #: What has to be done before the view, as soon as its request is there.
    owed: tuple[Callable[[], object], ...] = ()
    #: What the request was accepted for, beside its seal: each raises a refusal where that is no
    #: more so at some time, in seconds since 1970.
    demands: tuple[Callable[[int], object], ...] = ()
    #: Whether exceptions leave without their text.
    mask = False
    _holds: Inside | None = None
    _inside: Request | None = None

    def __init__(self, request: Request, profile: Profile | None) -> None:
        self.profile = profile
        # Not through the request's `__dict__`: CPython would make it a slower object.
        setattr(request, _WINDOW, self)

    def __repr__(self) -> str:
        return f"<Window {'open' if self.outside else 'closed'}, {self._holds or 'nothing'}>"

    def hold(self, inside: Inside) -> None:
        """Keep what the view's request will have, until the view runs."""
        self._holds = inside

    @staticmethod
    def of(request: Request) -> Window | None:
        """The window of a request, or of a view's clone of it."""
        window: Window | None = getattr(request, _WINDOW, None)
        return window

    def admit(self) -> None:
        """Let the view run: the request has been accepted."""
        if self._holds is None:
            self._holds = _AS_IT_CAME

    def let_through(self) -> None:
        """Let the view see a request that came in clear as it came, and answer it in clear."""
        self.clear, self.profile = True, None
        self._holds = _IN_CLEAR

    @property
    def waits(self) -> bool:
        """Whether the request has been accepted, and its view has not begun."""
        return self._holds is not None

    def demand_admitted(self) -> None:
        """Refuse to run a view for a request that was refused, or once more: it would be given the
        request as it came.

        :raises ConfigError: where the request was not accepted, or a view has run already.
        """
        if self._holds is None:
            raise ConfigError(
                "a sealed view was called for a request that was refused, or for which one has run"
                " already: from a handler of errors, call a function that is not a view"
            )

    def enter(self, context: Any) -> None:
        """Make the plaintext request the context's request, until :meth:`leave`."""
        request = outside = getattr(context, _REQUEST)
        if self._inside is not None:
            request = self._inside
        elif self._holds is not None:
            inside, self._holds = self._holds, None
            if inside.changes(request):
                request = _clone(request, inside)
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

    def stream(self, context: Any, response: Response) -> None:
        """Let a streamed response, which is generated after the view has returned, run in here."""
        self._inside = getattr(context, _REQUEST)
        response.response = _WindowedIterator(self, context, response.response)

    def end_stream(self) -> None:
        """Let go of the view's request, once its response has been generated."""
        if self._inside is not None:
            self._inside.close()
            self._inside = None


def _clone(request: Request, inside: Inside) -> Request:
    environ = request.environ.copy()
    for name in inside.hidden & environ.keys():
        del environ[name]
    # Werkzeug's own back reference would lead from the clone to the original.
    environ.pop("werkzeug.request", None)
    cls: Any = request.__class__
    clone: Request = cls.__new__(cls)
    state = vars(clone)
    state.update(vars(request), environ=environ, headers=EnvironHeaders(environ))
    state[_OUTSIDE] = request
    forgotten = _derived(cls).intersection(state)
    for name in forgotten - _READ if inside.body is None else forgotten:
        del state[name]
    for name, value in inside.headers:
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    if inside.query is not None:
        environ["QUERY_STRING"] = inside.query
        state["query_string"] = inside.query.encode()
    _put_body(environ, state, inside)
    return clone


def _put_body(environ: dict[str, Any], state: dict[str, Any], inside: Inside) -> None:
    body = inside.body
    if body is None:
        return
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ.pop("CONTENT_LENGTH", None)
    environ["CONTENT_TYPE"] = inside.content_type
    if isinstance(body, bytes):
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        state["_cached_data"] = body
    else:
        environ["wsgi.input"] = body
        environ["wsgi.input_terminated"] = True
        state.pop("_cached_data", None)
        if inside.length is not None:
            environ["CONTENT_LENGTH"] = str(inside.length)


# What a request object has read of its body, and cannot read again; all else that it remembers
# follows from this, its headers and its URL.
_READ = frozenset(("data", "files", "form", "stream"))
_OF_BODY = _READ | {"_cached_json", "_parsed_content_type", "content_length"}


@functools.cache
def _derived(request_class: type[Any]) -> frozenset[str]:
    """What a request object works out once and remembers."""
    names = set(_OF_BODY)
    for cls in request_class.__mro__:
        names |= {
            name
            for name, value in vars(cls).items()
            if isinstance(value, cached_property | functools.cached_property)
        }
    return frozenset(names)


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
            fault = leaving(self._context.app, error, mask=self._window.mask)
            if fault is error:
                raise
        finally:
            self._window.leave(self._context)
        raise fault


def current_request() -> Request | None:
    """The current request, where there is one; as the context has it, not Flask's proxy."""
    request: Request | None = getattr(_context.get(None), _REQUEST, None)
    return request


def current_window() -> Window | None:
    """The open window that the caller runs in, if it does."""
    context = _context.get(None)
    window: Window | None = getattr(getattr(context, _REQUEST, None), _WINDOW, None)
    return window if window is not None and window.outside else None


def demand_window(view: str, *, clear: bool) -> None:
    """Refuse to run a sealed view outside of a window.

    :param view: its name.
    :param clear: whether it may also run for a request that came in clear.
    :raises ConfigError: when the current request, if there is one, has no open window.
    """
    window = current_window()
    if window is not None and window.clear and not clear:
        raise ConfigError(
            f"the sealed view {view} was called by a view whose mode is optional, for a request in"
            " clear; call a function that is not a view"
        )
    if window is None:
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
    if not app.debug:
        clear_variables(error)


def leaving(app: Flask, error: BaseException, *, mask: bool) -> BaseException:
    """An exception as it may leave the window: without variables, and without its text where that
    is masked. In debug mode it is left as it is.

    :returns: what is to be raised in its place, mostly the same.
    """
    hide_locals(app, error)
    return masked(error) if mask and not app.debug else error


def outside(work: Callable[..., R]) -> Callable[..., R]:
    """Have something see the request as it came, wherever it is called.

    A view's request outlives its window in threads that have a copy of the context. And the view
    may have others that share its context, which must not see the request as it came meanwhile: so
    this shows another context, in this thread or task alone.
    """

    @functools.wraps(work)
    def guarded(*args: Any, **kwargs: Any) -> R:
        context = _context.get(None)
        inside = getattr(context, _REQUEST, None)
        came: Request | None = getattr(inside, _OUTSIDE, None)
        if came is None:
            return work(*args, **kwargs)
        shown = copy(context)
        setattr(shown, _REQUEST, came)
        token = _context.set(shown)
        try:
            return work(*args, **kwargs)
        finally:
            _context.reset(token)

    return guarded


def leaving_view(error: BaseException) -> BaseException:
    """The same for a view that is about to end, with its decorators still to come."""
    context = current_context()
    window = Window.of(getattr(context, _REQUEST))
    return leaving(context.app, error, mask=window is not None and window.mask)


def guard_teardown(app: Flask) -> None:
    """Show functions and signals of a context's end the request as it came.

    The context of a streamed response ends with its last piece, inside the window; that of a
    thread ends on its own. Flask asks the application, so that is where it is told.
    """
    for name in ("do_teardown_request", "do_teardown_appcontext"):
        setattr(app, name, outside(getattr(app, name)))


def guard_logging() -> None:
    """Show filters and handlers of log records the request as it came, inside a window too, and
    exceptions without variables.

    Monitoring handlers read the current request when they handle a record, and copy the variables
    of the frames of its exception. The one place where records are dispatched is patched, once in
    a process; it does nothing where no window is open.
    """
    if getattr(logging.Logger.handle, "_flask_sealed", False):
        return
    dispatch = outside(logging.Logger.handle)

    def handle(logger: logging.Logger, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not _hides():
            dispatch(logger, record)
            return
        record.exc_info = type(error), error, bare(error.__traceback__)
        with hidden_variables(error):
            dispatch(logger, record)

    handle._flask_sealed = True  # type: ignore[attr-defined]
    logging.Logger.handle = handle  # type: ignore[assignment, method-assign]


def _hides() -> bool:
    """Whether what the caller knows is to be hidden: it runs in a window, or belongs to one."""
    context = _context.get(None)
    if context is None or context.app.debug:
        return False
    belongs = getattr(getattr(context, _REQUEST, None), _OUTSIDE, None) is not None
    return belongs or current_window() is not None
