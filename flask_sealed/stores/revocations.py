"""Where revocations are kept: beside the operations of a replay store, and longer.

A file of operations begins anew with the machine. What is revoked stays: it is in a file of its
own, and each is forced to the disk.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TypeVar
from urllib.parse import quote

from ..protocol.revocation import Revocation
from .failure import unavailable

T = TypeVar("T")

#: How long a request waits while others write, in seconds.
_PATIENCE = 1.0
#: How long who revokes waits: that is rare, and the key or user in question is not to stay.
_REVOKING = 10.0
#: In the file's header, so that a file of another program is never touched.
_APPLICATION = 0x5EA1ED02
_TABLES = (
    "CREATE TABLE revoked (number INTEGER PRIMARY KEY, said TEXT UNIQUE NOT NULL, exp INTEGER)",
    "CREATE INDEX exp ON revoked (exp)",
)
_ADD = (
    "INSERT OR IGNORE INTO revoked"
    " SELECT max(:clock, coalesce(max(number), 0) + 1), :said, :exp FROM revoked"
)
_FORGET = "DELETE FROM revoked WHERE exp <= ?"
_SINCE = "SELECT number, said FROM revoked WHERE number >= ? ORDER BY number"
# For so long after a change, another one may look like no change at all.
_SETTLED_NS = 2 * 10**9


class MemoryRevocations:
    """Keeps revocations of one process. Threads may share it."""

    def __init__(self) -> None:
        self._all: dict[Revocation, int] = {}
        self._lock = Lock()

    def revoke(self, revocations: list[Revocation], *, now: int) -> None:
        with self._lock:
            self._all = {one: number for one, number in self._all.items() if one.exp > now}
            first = max(time.time_ns() // 1000, max(self._all.values(), default=0) + 1)
            for number, one in enumerate(revocations, first):
                self._all.setdefault(one, number)

    def since(self, number: int) -> list[tuple[int, Revocation]]:
        with self._lock:
            return [(at, one) for one, at in self._all.items() if at >= number]


class SqliteRevocations:
    """Keeps revocations in a file. Threads and processes of one machine may share it.

    Each call opens the file and closes it again: revocations are rare, and that nothing is new is
    seen by its times.

    :param path: the file; made with the mode 0600 when the first one is revoked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # What the file was like when it was read last, as of which number, and what was in it.
        self._last: tuple[object, int, list[tuple[int, Revocation]]] | None = None

    def revoke(self, revocations: list[Revocation], *, now: int) -> None:
        _answer(lambda: self._revoke(revocations, now))

    def since(self, number: int) -> list[tuple[int, Revocation]]:
        return _answer(lambda: self._since(number))

    def _revoke(self, revocations: list[Revocation], now: int) -> None:
        if not self._path.exists():
            self._make()
        with self._open(_REVOKING) as connection:
            connection.execute(_FORGET, (now,))
            for one in revocations:
                values = {"clock": time.time_ns() // 1000, "said": one.to_text(), "exp": one.exp}
                connection.execute(_ADD, values)

    def _since(self, number: int) -> list[tuple[int, Revocation]]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return []
        state = status.st_ino, status.st_size, status.st_mtime_ns
        last = self._last
        if last is not None and last[:2] == (state, number):
            return last[2]
        settled = time.time_ns() - status.st_mtime_ns > _SETTLED_NS
        with self._open(_PATIENCE) as connection:
            rows = connection.execute(_SINCE, (number,)).fetchall()
        found = [(at, Revocation.from_text(said)) for at, said in rows]
        self._last = (state, number, found) if settled else None
        return found

    @contextmanager
    def _open(self, patience: float) -> Iterator[sqlite3.Connection]:
        uri = f"file:{quote(str(self._path))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=patience)) as connection:
            if connection.execute("PRAGMA application_id").fetchone() != (_APPLICATION,):
                raise OSError("it is the database of another program")
            with connection:
                yield connection

    def _make(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, temporary = tempfile.mkstemp(dir=self._path.parent)
        os.close(number)
        try:
            with closing(sqlite3.connect(temporary)) as connection:
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.commit()
            # A link never replaces anything: whose comes second fails.
            with suppress(FileExistsError):
                os.link(temporary, self._path)
        finally:
            os.unlink(temporary)


def _answer(work: Callable[[], T]) -> T:
    try:
        return work()
    except (sqlite3.Error, OSError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise unavailable(problem)
