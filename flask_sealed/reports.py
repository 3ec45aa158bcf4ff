"""What those who report an exception are shown: no variables, and no text where it is masked; and
of others' text, what does no harm where it is read.

Monitoring copies the variables of an exception's frames, and its message often quotes input.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, FunctionType, TracebackType
from typing import Any

from .errors import SealedError

#: What stands in place of the text.
MASK = "(masked by Flask-Sealed)"

# Its frame is all that is wanted of it.
_OWN_FRAME = (lambda get: get()).__code__
# What shows the source of a line is found by these.
_OF_THE_MODULE = ("__name__", "__file__", "__loader__", "__spec__")
# Attributes that monitoring takes for the message.
_TEXTS = ("message", "detail")


class MaskedError(Exception):
    """Stands in for an exception whose text cannot be taken away, such as one of an extension
    module that allows no subclass. Its text names the class."""


def printable(text: str) -> str:
    """Text that stays on its line, and cannot steer a terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and all that it came from or has in it, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def clear_variables(error: BaseException) -> None:
    """Clear the variables in all frames of an exception that have come to their end."""
    for one in chain(error):
        traceback.clear_frames(one.__traceback__)


@contextmanager
def hidden_variables(error: BaseException) -> Iterator[None]:
    """Have an exception show no variables for a while, also those of functions that still run."""
    came = [(one, one.__traceback__) for one in chain(error)]
    try:
        for one, lines in came:
            one.__traceback__ = bare(lines)
        yield
    finally:
        for one, lines in came:
            one.__traceback__ = lines


def bare(lines: TracebackType | None) -> TracebackType | None:
    """The same lines, in frames that have no variables."""
    parts: list[TracebackType] = []
    while lines is not None:
        parts.append(lines)
        lines = lines.tb_next
    following = None
    for part in reversed(parts):
        frame = _bare_frame(part.tb_frame, part.tb_lineno)
        following = TracebackType(following, frame, -1, part.tb_lineno)
    return following


def _bare_frame(frame: FrameType, line: int) -> FrameType:
    """A frame of a function that has the same name, at the same place, and has ended."""
    code = frame.f_code
    same = _OWN_FRAME.replace(
        co_filename=code.co_filename,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_firstlineno=line,
    )
    names = {name: frame.f_globals.get(name) for name in _OF_THE_MODULE}
    shown: FrameType = FunctionType(same, names)(sys._getframe)
    shown.clear()
    return shown


def masked(error: BaseException) -> BaseException:
    """An exception of the same class without its text, as are those that it came from.

    Handlers that are registered for the class still find it. Attributes stay, but for ``args``,
    notes, and what monitoring takes for the message. Exits, the end of an iterator and errors of
    this package are left as they are: they quote nothing.

    :returns: the same exception where it can be changed, else another one in its place.
    """
    came = list(chain(error))
    links = [(one.__cause__, one.__context__, one.__suppress_context__) for one in came]
    by_id = {id(one): _masked(one) for one in came}
    for one, (cause, context, suppressed) in zip(came, links, strict=True):
        shown = by_id[id(one)]
        shown.__cause__ = None if cause is None else by_id[id(cause)]
        shown.__context__ = None if context is None else by_id[id(context)]
        shown.__suppress_context__ = suppressed
    return by_id[id(error)]


def _masked(error: BaseException) -> BaseException:
    cls: Any = type(error)
    if not isinstance(error, Exception) or isinstance(error, SealedError | StopIteration):
        return error
    like = None if isinstance(error, BaseExceptionGroup) else _without_text(cls)
    if like is None:
        name = f"{cls.__module__}.{cls.__qualname__}"
        return MaskedError(f"{name} {MASK}").with_traceback(error.__traceback__)
    shown = _become(error, like)
    shown.args = (MASK,)
    state = vars(shown)
    state.pop("__notes__", None)
    state.update({name: MASK for name in _TEXTS if isinstance(state.get(name), str)})
    return shown


def _become(error: Exception, cls: type[Exception]) -> Exception:
    with suppress(TypeError):
        object.__setattr__(error, "__class__", cls)
        return error
    # Python's own classes do not allow it.
    shown: Exception = cls.__new__(cls)
    vars(shown).update(vars(error))
    return shown.with_traceback(error.__traceback__)


@functools.cache
def _without_text(cls: type[Any]) -> type[Any] | None:
    """A subclass of the same name that tells nothing; ``None`` where there can be none."""
    if "_flask_sealed_masked" in vars(cls):
        return cls
    names: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__slots__": (),
        "__str__": lambda self: MASK,  # noqa: ARG005
        "__repr__": lambda self: f"{cls.__name__}({MASK!r})",  # noqa: ARG005
        "_flask_sealed_masked": True,
    }
    names |= {text: MASK for text in _TEXTS if isinstance(getattr(cls, text, None), property)}
    with suppress(Exception):  # A class may forbid it in any way.
        make: Callable[..., type[Any]] = type(cls)
        return make(cls.__name__, (cls,), names)
    return None
