"""Operations in a file of SQLite, for all workers of one machine.

The journal is a rollback journal and not a write-ahead log: a log belongs to its file by its name
only, so a file that is deleted or exchanged under running workers would be mixed with another's
log.

Nothing is forced to the disk, where the system has a boot id. What a crash of the machine may lose
is answered otherwise: a file of another boot is not used any more, but replaced, and its store
begins anew. Systems without a boot id force each operation to the disk.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

from ..errors import ConfigError, Unavailable
from ..protocol.replay import JUST_BEGUN, REMEMBERED
from .failure import unavailable

#: How long a worker waits for others, in seconds.
_PATIENCE = 1.0
# How often it looks whether they are done, in seconds.
_STEP = 0.0001
#: Every so many operations, a connection forgets up to twice as many.
_BATCH = 32
#: In the file's header, so that a file of another program is never touched.
_APPLICATION = 0x5EA1ED01
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# `life` has one row: whose file this is, and since when it remembers everything. Operations are
# kept by the five minutes in which they were added: so old ones lie together, and are deleted
# cheaply. `age` has all such five minutes: two, or some more after clocks were set.
_TABLES = (
    "CREATE TABLE life (name TEXT PRIMARY KEY, begun INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE age (age INTEGER PRIMARY KEY)",
    "CREATE TABLE op (age INTEGER, name BLOB, PRIMARY KEY (age, name)) WITHOUT ROWID",
)
_ADD = (
    "INSERT INTO op SELECT :age, :op"
    " WHERE EXISTS (SELECT 1 FROM life WHERE name = :life AND begun < :since)"
    " AND EXISTS (SELECT 1 FROM age WHERE age = :age)"
    " AND NOT EXISTS (SELECT 1 FROM age CROSS JOIN op"
    " WHERE op.age = age.age AND op.name = :op)"
)
_BEGUN = "SELECT begun FROM life WHERE name = ?"
_SEEN = "SELECT 1 FROM age CROSS JOIN op WHERE op.age = age.age AND op.name = ?"
_REMOVE = "DELETE FROM op WHERE age = ? AND name = ?"
_NEW_AGE = "INSERT OR IGNORE INTO age VALUES (?)"
_OLD = f"SELECT age, name FROM op WHERE age < ? ORDER BY age, name LIMIT {2 * _BATCH}"  # noqa: S608
_NEWEST_OLD = f"SELECT max(age) FROM ({_OLD})"  # noqa: S608
_RAISE = "UPDATE life SET begun = max(begun, ?)"
_FORGET = f"DELETE FROM op WHERE (age, name) IN ({_OLD})"  # noqa: S608
_FORGET_AGES = (
    "DELETE FROM age WHERE age < ? AND NOT EXISTS (SELECT 1 FROM op WHERE op.age = age.age)"
)

T = TypeVar("T")

#: What a process has of its parent's after a fork: neither used nor closed, since closing could
#: take the parent's locks and journal away.
_inherited: list[object] = []


class SqliteStore:
    """Remembers operations in a file. Threads and processes of one machine may share it.

    Each thread that is at work has a connection of its own, opened when it is needed.

    :param path: the file; made on first use with the mode 0600, its folder too.
    :param clock: tells the seconds since 1970.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = os.path.abspath(path)
        self._clock = clock
        self._idle: tuple[int, list[_File]] = (os.getpid(), [])

    def check(self) -> None:
        """Open the file once, and close it again, so that nothing is open when workers fork.

        :raises ConfigError: where that is not possible.
        """
        try:
            _open(self._path, self._clock).close()
        except (sqlite3.Error, OSError) as error:
            problem = str(error)
        else:
            return
        raise ConfigError(
            f"{self._path} cannot keep operations ({problem}); name a file of its own, in a folder"
            " of this machine that the server's user may write to"
        )

    def add(self, op: bytes, *, since: int, now: int) -> bool:
        begun, added = self._do(_File.add, op, since, now)
        if begun is not None and since <= begun:
            raise Unavailable(JUST_BEGUN)
        return added

    def remove(self, op: bytes, *, now: int) -> None:
        self._do(_File.remove, op, now)

    def close(self) -> None:
        """Close what is idle."""
        idle = self._own()
        while idle:
            idle.pop().close()

    def _do(self, work: Callable[..., T], *values: object) -> T:
        """Have a connection do something.

        :raises Unavailable: where it cannot.
        """
        try:
            file = self._take()
            try:
                answer = work(file, *values)
            except BaseException:
                file.close()
                raise
        except (sqlite3.Error, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            self._own().append(file)
            return answer
        raise unavailable(problem)

    def _own(self) -> list[_File]:
        if self._idle[0] != os.getpid():
            _inherited.append(self._idle)
            self._idle = (os.getpid(), [])
        return self._idle[1]

    def _take(self) -> _File:
        """A connection to the file that is at the path now.

        Looking each time is what makes it safe to delete the file: an operation is written only to
        a file that was at its path when ``now`` was read already, or later; so a new file begins
        after all that went to the old one.
        """
        idle, here = self._own(), _place(self._path)
        # Another thread may take the last one meanwhile.
        with suppress(IndexError):
            while True:
                file = idle.pop()
                if file.place == here:
                    return file
                file.close()
        return _open(self._path, self._clock)


class _Connection(sqlite3.Connection):
    """Closed when nobody has its store any more; else Python warns, since its version 3.13."""

    def __del__(self) -> None:
        # What could not be opened cannot be closed.
        with suppress(sqlite3.ProgrammingError):
            self.close()


class _File:
    """One connection.

    :param place: of the file, when it was opened.
    """

    def __init__(self, path: str, place: str | None) -> None:
        self.place = place
        self._life = f"{_boot()} {place}"
        self._calls = 0
        self._connection = sqlite3.connect(
            f"file:{quote(path)}?mode=rw",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )

    def close(self) -> None:
        self._connection.close()

    def prepare(self, now: int) -> bool:
        """Make the tables, where there are none.

        :returns: whether the store in the file is of this place and boot.
        """
        run = self._run
        run("PRAGMA journal_mode = PERSIST")
        # The tables are on the disk before anything else: so after a crash, whatever else is lost,
        # the file is known as this program's, and as of another boot.
        run("PRAGMA synchronous = FULL")
        if run("PRAGMA application_id").fetchone() != (_APPLICATION,):
            self._make(now)
        if _boot():
            run("PRAGMA synchronous = OFF")
        ours = run(_BEGUN, (self._life,)).fetchone() is not None
        # From here on `_run` waits. Before, SQLite has to: where it cannot look at what is new in
        # the file, it goes by what it knows.
        run("PRAGMA busy_timeout = 0")
        return ours

    def _make(self, now: int) -> None:
        run = self._run
        with self._transaction():
            if run("PRAGMA application_id").fetchone() == (_APPLICATION,):
                return
            if run("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                raise OSError("it is the database of another program")
            for table in _TABLES:
                run(table)
            run("INSERT INTO life VALUES (?, ?)", (self._life, now))
            run(f"PRAGMA application_id = {_APPLICATION}")

    def add(self, op: bytes, since: int, now: int) -> tuple[int | None, bool]:
        """Add an operation.

        :returns: since when the store remembers everything, where that matters, and whether it was
            added.
        """
        age = now // REMEMBERED
        if self._calls % _BATCH == 0:
            self._forget(age - 1)
        self._calls += 1
        return self._try(age, op, since) or self._try(age, op, since) or self._lost()

    def remove(self, op: bytes, now: int) -> None:
        """Take an operation out."""
        self._run(_REMOVE, (now // REMEMBERED, op))

    def _try(self, age: int, op: bytes, since: int) -> tuple[int | None, bool] | None:
        """Try to add an operation. Where its five minutes are new, that is recorded instead."""
        run = self._run
        values = {"age": age, "op": op, "life": self._life, "since": since}
        if run(_ADD, values).rowcount == 1:
            return None, True
        (begun,) = run(_BEGUN, (self._life,)).fetchone() or self._lost()
        # That the five minutes are known by now says nothing: others may have recorded them since.
        if since <= begun or run(_SEEN, (op,)).fetchone():
            return begun, False
        run(_NEW_AGE, (age,))
        return None

    def _lost(self) -> NoReturn:
        raise OSError("the file was changed by another program")

    def _forget(self, age: int) -> None:
        run = self._run
        if run(_NEWEST_OLD, (age,)).fetchone() == (None,):
            return
        with self._transaction():
            (newest,) = run(_NEWEST_OLD, (age,)).fetchone()
            if newest is not None:
                # Should the clock be set back, what was forgotten too early could be fresh again.
                run(_RAISE, ((newest + 1) * REMEMBERED - 1,))
                run(_FORGET, (age,))
                run(_FORGET_AGES, (age,))

    def _run(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        """Run a statement, after others that write.

        SQLite itself would wait for milliseconds each time; what others do takes a part of one.
        """
        end = None
        while True:
            try:
                return self._connection.execute(sql, values)
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                end = end or now + _PATIENCE
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or now >= end:
                    raise
            time.sleep(_STEP)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._run)


class _Transaction:
    """All or nothing, with the lock for writing from the start: so nobody waits for another in a
    circle."""

    def __init__(self, run: Callable[[str], object]) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._run("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._run("COMMIT" if kind is None else "ROLLBACK")


def _open(path: str, clock: Callable[[], float]) -> _File:
    """Open the file, and make it where there is none, or where it is of another boot or place."""
    for _ in range(5):
        place = _place(path)
        if place is None:
            _create(path)
            continue
        file = _File(path, place)
        try:
            ours = file.prepare(int(clock()))
            moved = _place(path) != place
        except BaseException:
            file.close()
            raise
        if ours and not moved:
            return file
        file.close()
        if not ours and not moved:
            # Copies and what is left of another boot may have lost operations. Who has it open
            # sees that it is gone.
            with suppress(FileNotFoundError):
                os.unlink(path)
    raise OSError("others replace the file all the time; is it shared with another machine?")


def _create(path: str) -> None:
    """Make an empty file. SQLite itself deletes an old journal beside an empty file."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    number, temporary = tempfile.mkstemp(dir=folder)
    os.close(number)
    try:
        # Not opened by its name: closing it would drop the locks that SQLite has on it in this
        # process. A link never replaces anything: whose comes second fails.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)


def _place(path: str) -> str | None:
    """Which file is at a path."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return f"{status.st_dev} {status.st_ino}"


def _boot() -> str:
    """The system's boot id; empty where it has none."""
    try:
        return _BOOT_ID.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
