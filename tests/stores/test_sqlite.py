from __future__ import annotations

import gc
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_sealed.errors import ConfigError, Replayed, Unavailable
from flask_sealed.protocol.replay import check_once
from flask_sealed.stores import sqlite
from flask_sealed.stores.sqlite import SqliteStore

from ..patience import AS_SHIPPED
from .conftest import LATER

OP = bytes(range(16))
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "instance" / "replay.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path)
    yield made
    made.close()


@pytest.fixture
def other(path: Path) -> Iterator[SqliteStore]:
    """Another worker's."""
    made = SqliteStore(path)
    yield made
    made.close()


def run(script: str, *arguments: object) -> str:
    """What a process of its own prints."""
    begin = (
        "import os, sqlite3, sys\nfrom flask_sealed.stores.sqlite import SqliteStore\n"
        "from tests.patience import wait_long\nwait_long()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", begin + script, *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert not done.stderr
    return done.stdout


def test_only_the_servers_user_can_read_the_files(store: SqliteStore, path: Path) -> None:
    store.check()
    assert store.add(OP, since=LATER, now=LATER)
    assert sorted(one.name for one in path.parent.iterdir()) == [
        "replay.sqlite",
        "replay.sqlite-journal",
    ]
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_operations_outlive_the_process(store: SqliteStore, other: SqliteStore) -> None:
    check_once(store, OP, iat=LATER, now=LATER)
    store.close()
    with pytest.raises(Replayed):
        check_once(other, OP, iat=LATER, now=LATER)


_RACE = """
path, workers, rounds = sys.argv[1], 8, 100
go, results = os.pipe(), os.pipe()
if sys.argv[2] == "old":
    store = SqliteStore(path, clock=lambda: 0)
    for n in range(1000):
        store.add(n.to_bytes(16), since=1, now=100)
    store.close()
for worker in range(workers):
    if os.fork() == 0:
        store = SqliteStore(path, clock=lambda: 0)
        os.close(go[1])
        os.read(go[0], 1)
        firsts = [store.add(bytes([n]) * 16, since=900, now=1000) for n in range(rounds)]
        os.write(results[1], bytes(firsts))
        os._exit(0)
os.close(go[0])
os.close(go[1])  # all go
for worker in range(workers):
    assert os.wait()[1] == 0
answers = os.read(results[0], 10**6)
assert len(answers) == workers * rounds
print(*(sum(answers[n::rounds]) for n in range(rounds)))
"""


@pytest.mark.parametrize("what", ["new", "old"])
def test_of_many_processes_one_is_first(path: Path, what: str) -> None:
    """They make the file at once, too; and they forget what is old while others add."""
    assert run(_RACE, path, what).split() == ["1"] * 100


_FORK = """
store = SqliteStore(sys.argv[1], clock=lambda: 0)
assert store.add(b"before", since=1, now=1000)
for name in (b"child 1", b"child 2"):
    if os.fork() == 0:
        assert not store.add(b"before", since=1, now=1000)
        assert store.add(name, since=1, now=1000)
        sys.exit(0)
    assert store.add(b"parent of " + name, since=1, now=1000)
    assert os.wait()[1] == 0
    assert not store.add(name, since=1, now=1000)
    assert not store.add(b"parent of " + name, since=1, now=1000)
print(len(store._own()))
"""


def test_of_two_that_begin_five_minutes_at_once_both_are_first(
    store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is between its steps when the other comes."""

    class Between(str):
        __slots__ = ()

    class Connection(sqlite._Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            done = super().execute(sql, *values)
            if isinstance(sql, Between) and not added:
                added.append(False)
                added.append(other.add(bytes(16), since=LATER, now=LATER))
            return done

    added: list[bool] = []
    other.check()
    monkeypatch.setattr(sqlite, "_ADD", Between(sqlite._ADD))
    monkeypatch.setattr(sqlite, "_Connection", Connection)
    assert store.add(OP, since=LATER, now=LATER)
    assert added == [False, True]
    assert not store.add(OP, since=LATER, now=LATER)
    assert not store.add(bytes(16), since=LATER, now=LATER)


def test_a_store_that_nobody_has_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection(sqlite._Connection):
        def close(self) -> None:
            closed.append(self)
            super().close()

    closed: list[sqlite3.Connection] = []
    monkeypatch.setattr(sqlite, "_Connection", Connection)
    store = SqliteStore(path, clock=lambda: 0)
    assert store.add(OP, since=1, now=LATER)
    assert not closed
    del store
    gc.collect()
    assert len(closed) == 1


def test_a_worker_does_not_use_its_parents_connection(path: Path) -> None:
    """Such as gunicorn's with --preload."""
    assert run(_FORK, path) == "1\n"


_KILLED = """
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = PERSIST")
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM op")
for number in range(5000):
    connection.execute("INSERT INTO op VALUES (?, ?)", (int(sys.argv[2]), os.urandom(16)))
os.kill(os.getpid(), 9)
"""


def test_a_worker_that_is_killed_while_it_writes(store: SqliteStore, path: Path) -> None:
    check_once(store, OP, iat=LATER, now=LATER)
    size = path.stat().st_size
    with pytest.raises(subprocess.CalledProcessError):
        run(_KILLED, path, LATER // 300)
    assert path.stat().st_size > size  # it had begun to write
    with pytest.raises(Replayed):
        check_once(store, OP, iat=LATER, now=LATER)
    assert path.stat().st_size == size
    check_once(store, bytes(16), iat=LATER, now=LATER)


def test_a_locked_file_refuses_soon(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_once(store, OP, iat=LATER, now=LATER)
    monkeypatch.setattr(sqlite, "_PATIENCE", AS_SHIPPED[sqlite.__name__])

    def took() -> float:
        start = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            check_once(store, bytes(16), iat=LATER, now=LATER)
        assert caught.value.__context__ is None
        return time.monotonic() - start

    with sqlite3.connect(path, isolation_level=None) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        # One time at least: the machine may be busy with something else at others.
        assert any(took() < 2 for _ in range(5))
        locker.execute("COMMIT")
    locker.close()
    with pytest.raises(Replayed):
        check_once(store, OP, iat=LATER, now=LATER)
    check_once(store, bytes(16), iat=LATER, now=LATER)


_NO_WRITING = """
from flask_sealed import ConfigError
from flask_sealed.errors import Unavailable
if os.geteuid() == 0:
    os.setuid(65534)
store = SqliteStore(sys.argv[1])
for what in (store.check, lambda: store.add(bytes(16), since=2**40, now=2**40)):
    try:
        what()
    except Exception as error:
        print(type(error).__name__, error.__context__)
"""


@pytest.mark.parametrize("what", ["the file", "the folder", "nothing is there"])
def test_a_file_that_cannot_be_written(what: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "replay.sqlite"
        if what != "nothing is there":
            store = SqliteStore(path)
            store.check()
            path.chmod(0o444)
        Path(folder).chmod(0o555 if what != "the file" else 0o777)
        script = f"import logging; logging.disable()\n{_NO_WRITING}"
        assert run(script, path) in ("ConfigError None\nUnavailable None\n", "Unavailable None\n")


_FULL = """
import logging, resource
logging.disable()
from flask_sealed.errors import Unavailable
store = SqliteStore(sys.argv[1], clock=lambda: 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, -1))
answers = []
for number in range(3000):
    try:
        answers.append(store.add(number.to_bytes(16), since=1, now=1000))
    except Unavailable as error:
        assert error.__context__ is None
        break
done = len(answers)
print(all(answers), done > 100, done < 3000)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
print(any(store.add(number.to_bytes(16), since=1, now=1000) for number in range(done)))
print(store.add(done.to_bytes(16), since=1, now=1000))
"""


def test_a_full_disk_refuses_rather_than_forgets(path: Path) -> None:
    assert run(_FULL, path) == "True True True\nFalse\nTrue\n"


def test_a_file_that_is_deleted_under_workers(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    now = int(time.time())
    store.add(OP, since=LATER, now=LATER)
    other.check()
    path.unlink()
    for one in (other, store):
        with pytest.raises(Unavailable):
            check_once(one, OP, iat=now, now=now)
    for first, second, op in ((store, other, b"one" * 5), (other, store, b"two" * 5)):
        check_once(first, op, iat=LATER, now=LATER)
        with pytest.raises(Replayed):
            check_once(second, op, iat=LATER, now=LATER)


def test_a_new_file_begins_when_it_is_made(path: Path) -> None:
    """Not when the request came that makes it: it may have waited."""
    clock = [LATER + 50.9]
    store = SqliteStore(path, clock=lambda: clock[0])
    with pytest.raises(Unavailable):
        store.add(OP, since=LATER + 50, now=LATER)
    assert store.add(OP, since=LATER + 51, now=LATER)
    clock[0] += 100
    store.close()
    assert store.add(bytes(16), since=LATER + 51, now=LATER)
    store.close()


def _begins_anew(store: SqliteStore) -> None:
    with pytest.raises(Unavailable):
        store.add(OP, since=int(time.time()) - 60, now=LATER)
    assert store.add(OP, since=LATER, now=LATER)


def _long_ago(path: Path) -> None:
    """A file that has remembered everything for long."""
    old = SqliteStore(path, clock=lambda: 0)
    assert old.add(OP, since=1, now=LATER)
    assert not old.add(OP, since=1, now=LATER)
    old.close()


def test_a_copy_begins_anew(store: SqliteStore, path: Path) -> None:
    _long_ago(path)
    shutil.copy(path, path.with_name("backup"))
    path.with_name("backup").replace(path)
    _begins_anew(store)


def test_a_file_of_another_boot_begins_anew(
    store: SqliteStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _long_ago(path)
    monkeypatch.setattr(sqlite, "_BOOT_ID", tmp_path / "boot")
    (tmp_path / "boot").write_text("another\n")
    _begins_anew(store)


def test_what_is_forced_to_the_disk(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything, where a crash of the machine cannot be told."""

    def forced() -> int:
        file = SqliteStore(path)._take()
        ((level,),) = file._connection.execute("PRAGMA synchronous")
        file.close()
        return int(level)

    off, full = 0, 2
    monkeypatch.setattr(sqlite, "_BOOT_ID", tmp_path / "boot")
    assert forced() == full
    (tmp_path / "boot").write_text("one\n")
    assert forced() == off


def test_an_empty_file_begins_anew(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    _begins_anew(store)


def test_a_journal_that_is_left_of_a_deleted_file(store: SqliteStore, path: Path) -> None:
    check_once(store, OP, iat=LATER, now=LATER)
    store.close()
    with pytest.raises(subprocess.CalledProcessError):
        run(_KILLED, path, LATER // 300)
    path.unlink()
    assert path.with_name("replay.sqlite-journal").stat().st_size > 4096
    _begins_anew(store)


def test_a_broken_file_refuses(
    store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _long_ago(path)
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(Unavailable) as caught:
        store.add(OP, since=LATER, now=LATER)
    assert caught.value.__context__ is None
    with pytest.raises(ConfigError):
        store.check()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "not a database" in caplog.text


@pytest.mark.parametrize("table", ["op", "life", "age"])
@pytest.mark.parametrize("when", ["between", "while it is open"])
def test_a_table_that_is_gone_refuses(
    store: SqliteStore, path: Path, table: str, when: str
) -> None:
    _long_ago(path)
    if when != "between":
        assert not store.add(OP, since=1, now=LATER)
    with sqlite3.connect(path) as vandal:
        vandal.execute(f"DROP TABLE {table}")
    vandal.close()
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.add(OP, since=LATER, now=LATER)


def test_a_life_that_is_gone_refuses(store: SqliteStore, path: Path) -> None:
    _long_ago(path)
    assert not store.add(OP, since=1, now=LATER)
    with sqlite3.connect(path) as vandal:
        vandal.execute("DELETE FROM life")
    vandal.close()
    with pytest.raises(Unavailable):
        store.add(bytes(16), since=LATER, now=LATER)
    _begins_anew(store)


def test_the_database_of_another_program_is_left_alone(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as program:
        program.execute("CREATE TABLE accounts (name)")
    program.close()
    content = path.read_bytes()
    with pytest.raises(ConfigError):
        store.check()
    with pytest.raises(Unavailable):
        store.add(OP, since=LATER, now=LATER)
    assert path.read_bytes() == content


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    with pytest.raises(ConfigError):
        store.check()
    with pytest.raises(Unavailable):
        store.add(OP, since=LATER, now=LATER)


@pytest.mark.parametrize("name", ["a b", "50%25?mode=ro", "#é"])
def test_a_path_may_have_any_characters(tmp_path: Path, name: str) -> None:
    store = SqliteStore(tmp_path / name)
    _begins_anew(store)
    store.close()
    assert (tmp_path / name).stat().st_size > 0


def test_the_file_does_not_grow(store: SqliteStore, path: Path) -> None:
    with pytest.raises(Unavailable):
        store.add(OP, since=0, now=LATER)
    sizes = []
    for number in range(8):
        for step in range(400):
            now = LATER + number * 400 + step
            assert store.add(os.urandom(16), since=now - 200, now=now)
        sizes.append(path.stat().st_size)
    assert sizes[-1] <= sizes[2] + 3 * 4096


def test_operations_are_not_logged(
    store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database")
    with pytest.raises(Unavailable) as caught:
        store.add(b"a name of an op", since=LATER, now=LATER)
    assert "a name" not in caplog.text + caught.value.detail
    assert str(path) not in caught.value.detail
