"""Freshness and replay: what is too old is stale, and an unsafe operation happens once.

Clocks are arguments. A store promises what :class:`ReplayStore` says; :class:`MemoryStore`
keeps it for one process.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Protocol

from ..errors import Malformed, Replayed, Stale, Unavailable

#: How old a request may be, and how far in the future, in seconds.
OLDEST = 60
NEWEST = 10
#: How long an operation is remembered, in seconds. A client gives one up after 120 s, and its last
#: attempt stays fresh for another 60.
REMEMBERED = 300

_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


class ReplayStore(Protocol):
    """Remembers operations. All workers that share a service share one."""

    def begun(self) -> int:
        """Since when the store has remembered everything, in seconds since 1970.

        :raises Unavailable: where the store cannot answer.
        """

    def add(self, op: bytes, *, now: int, expires: int) -> bool:
        """Remember an operation until ``expires``, in one atomic step.

        :returns: ``False`` where it was remembered already.
        :raises Unavailable: where the store cannot answer, or cannot keep it.
        """


def is_safe(method: str) -> bool:
    """Whether a method is safe (RFC 9110, section 9.2.1); an unknown one is not."""
    return method in _SAFE


def check_fresh(iat: int, now: int) -> None:
    """Check when a request was sealed.

    :raises Stale: where that is too long ago, or in the future.
    """
    if not now - OLDEST <= iat <= now + NEWEST:
        raise Stale(now)


def check_once(store: ReplayStore, op: bytes | None, *, iat: int, now: int) -> None:
    """Check that an operation is seen for the first time. Call it after the seal has been
    authenticated, and before any of the view's code.

    :raises Malformed: where the operation has no name.
    :raises Replayed: where it was seen before.
    :raises Unavailable: where the store cannot tell.
    """
    if op is None:
        raise Malformed("An unsafe request needs an `op`, the same in each attempt at it.")
    if iat - NEWEST < store.begun():
        # The same operation may have been received before the store began.
        raise Unavailable("The service has just started to remember; try again in a minute.")
    if not store.add(op, now=now, expires=now + REMEMBERED):
        raise Replayed


class MemoryStore:
    """Remembers operations of one process.

    :param now: when it begins, in seconds since 1970.
    :param most: how many operations it holds; beyond that it refuses rather than forgets.
    """

    def __init__(self, now: int, most: int = 1_000_000) -> None:
        self._begun = now
        self._most = most
        self._ops: dict[bytes, int] = {}
        # In the order of their expiry, because all are kept equally long.
        self._order: deque[tuple[int, bytes]] = deque()
        self._lock = Lock()

    def begun(self) -> int:
        return self._begun

    def add(self, op: bytes, *, now: int, expires: int) -> bool:
        with self._lock:
            while self._order and self._order[0][0] <= now:
                del self._ops[self._order.popleft()[1]]
            if op in self._ops:
                return False
            if len(self._ops) >= self._most:
                raise Unavailable("The service remembers as many operations as it can hold.")
            self._ops[op] = expires
            self._order.append((expires, op))
            return True
