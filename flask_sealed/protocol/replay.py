"""Freshness and replay: what is too old is stale, and an unsafe operation happens once.

Clocks are arguments. A store promises what :class:`ReplayStore` says; :class:`MemoryStore`
keeps it for one process.
"""

from __future__ import annotations

from contextlib import suppress
from heapq import heappop, heappush
from threading import Lock
from typing import Protocol

from ..errors import Malformed, Replayed, Stale, Unavailable

#: How old a request may be, and how far in the future, in seconds.
OLDEST = 60
NEWEST = 10
#: How long a client goes on trying one operation, in seconds.
GIVE_UP = 120
#: How long an operation is remembered, in seconds: a client's last attempt at it, made before it
#: gave up, stays fresh for another 60.
REMEMBERED = 300
#: What a store says that has begun too late to tell.
JUST_BEGUN = "The service has just started to remember; try again in three minutes."

_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


class ReplayStore(Protocol):
    """Remembers operations. All workers that share a service share one.

    It knows since when it has remembered everything: since its beginning, or since it was told of
    the last operation that it has forgotten. When it may have lost some, it begins anew.
    """

    def add(self, op: bytes, *, since: int, now: int) -> bool:
        """Remember an operation for :data:`REMEMBERED` seconds or more, if it has remembered
        everything for long enough. Both checks and the memory are one atomic step.

        :param op: the operation's name, 16 bytes.
        :param since: seconds since 1970; the store must have begun before.
        :param now: likewise; what was added :data:`REMEMBERED` seconds ago may be forgotten.
        :returns: ``False`` where it was remembered already.
        :raises Unavailable: where the store began at ``since`` or later, and then it does not
            remember the operation; or cannot answer, or cannot keep it.
        """

    def remove(self, op: bytes, *, now: int) -> None:
        """Take an operation out that the caller has added, and that nothing was done of.

        :param op: the operation's name.
        :param now: what it was added with.
        :raises Unavailable: where the store cannot answer; it may then remember it for longer.
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
    # An earlier attempt may have been received as long before this one as a client goes on trying,
    # and its clock may be ahead; and in the store's first second, before the store.
    if not store.add(op, since=iat - GIVE_UP - NEWEST, now=now):
        raise Replayed


def take_back(store: ReplayStore, op: bytes | None, *, now: int) -> None:
    """Let an operation be tried again, where its message broke before anything was done. Call it
    only where :func:`check_once` has let this very attempt pass, and the view can run no more.

    :param op: the operation's name, ``None`` where there was none to remember.
    :param now: what :func:`check_once` was given.
    """
    # Where the store cannot answer, the operation stays used up: its outcome is unknown.
    with suppress(Unavailable):
        if op is not None:
            store.remove(op, now=now)


class MemoryStore:
    """Remembers operations of one process.

    Threads may share it.

    :param now: when it begins, in seconds since 1970.
    :param most: how many operations it holds; beyond that it refuses rather than forgets.
    """

    def __init__(self, now: int, most: int = 1_000_000) -> None:
        self._begun = now
        self._most = most
        # Each operation, and when it was added.
        self._ops: dict[bytes, int] = {}
        # The same by time, with what was taken out since; a heap, because clocks are set back too.
        self._ages: list[tuple[int, bytes]] = []
        self._lock = Lock()

    def add(self, op: bytes, *, since: int, now: int) -> bool:
        with self._lock:
            self._forget(now)
            if since <= self._begun:
                raise Unavailable(JUST_BEGUN)
            if op in self._ops:
                return False
            if len(self._ages) >= self._most:
                raise Unavailable("The service remembers as many operations as it can hold.")
            self._ops[op] = now
            heappush(self._ages, (now, op))
            return True

    def remove(self, op: bytes, *, now: int) -> None:
        with self._lock:
            if self._ops.get(op) == now:
                del self._ops[op]

    def _forget(self, now: int) -> None:
        while self._ages and self._ages[0][0] <= now - REMEMBERED:
            added, op = heappop(self._ages)
            if self._ops.get(op) == added:  # It may have been taken out, and added anew.
                del self._ops[op]
            # Should the clock be set back, what was forgotten too early could be fresh again.
            self._begun = max(self._begun, added)
