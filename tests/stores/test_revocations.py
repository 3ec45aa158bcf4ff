from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from flask_sealed.errors import ConfigError, Unavailable
from flask_sealed.protocol.revocation import Kind, Revocation, RevocationStore
from flask_sealed.stores import open_revocations

from ..redis_server import RedisServer

NOW = int(time.time())
_names = count()

Open = Callable[[], RevocationStore]


def one(name: str, *, kind: Kind = "user", exp: int = NOW + 100_000) -> Revocation:
    return Revocation(kind=kind, name=name, at=NOW, exp=exp)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a store; each time the same one."""
    name = f"test {next(_names)}"
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return lambda: open_revocations(server.uri, folder=tmp_path, name=name)
    if request.param == "sqlite":
        return lambda: open_revocations("sqlite:///replay.db", folder=tmp_path, name=name)
    store = open_revocations("memory://", folder=tmp_path, name=name)
    return lambda: store


@pytest.fixture
def store(reopen: Open) -> RevocationStore:
    return reopen()


def said(found: list[tuple[int, Revocation]]) -> list[Revocation]:
    return [revocation for _, revocation in found]


def test_what_is_added_is_there_for_all(store: RevocationStore, reopen: Open) -> None:
    assert store.since(0) == reopen().since(0) == []
    all_kinds = [one("ada"), one("a b", kind="key"), one("é\n", kind="session")]
    store.revoke(all_kinds[:1], now=NOW)
    store.revoke(all_kinds[1:], now=NOW)
    for other in (store, reopen()):
        assert said(other.since(0)) == all_kinds


def test_numbers_grow_and_tell_what_is_new(store: RevocationStore, reopen: Open) -> None:
    store.revoke([one("ada"), one("bob")], now=NOW)
    numbers = [number for number, _ in store.since(0)]
    assert numbers == sorted({*numbers})
    for _ in range(3):
        assert said(store.since(numbers[-1])) == [one("bob")]
    assert store.since(numbers[-1] + 1) == []
    reopen().revoke([one("cid")], now=NOW)
    assert said(store.since(numbers[-1])) == [one("bob"), one("cid")]


def test_what_is_there_keeps_its_number(store: RevocationStore) -> None:
    store.revoke([one("ada"), one("bob")], now=NOW)
    before = store.since(0)
    store.revoke([one("ada")], now=NOW)
    assert store.since(0) == before


def test_what_is_over_is_forgotten(store: RevocationStore) -> None:
    store.revoke([one("ada", exp=NOW + 10), one("bob")], now=NOW)
    store.revoke([one("cid")], now=NOW + 9)
    assert len(store.since(0)) == 3
    store.revoke([one("dan")], now=NOW + 10)
    assert said(store.since(0)) == [one("bob"), one("cid"), one("dan")]


def test_many_at_once(reopen: Open) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: reopen().revoke([one(str(number))], now=NOW), range(40)))
    found = reopen().since(0)
    assert {revocation.name for revocation in said(found)} == {*map(str, range(40))}
    assert len({number for number, _ in found}) == 40


def test_numbers_grow_over_a_loss(tmp_path: Path, redis_server: RedisServer) -> None:
    """What is added after a flush has higher numbers than what was there before."""
    uris = ("sqlite:///r.db", redis_server.uri)
    for uri in uris:
        name = f"test {next(_names)}"
        store = open_revocations(uri, folder=tmp_path, name=name)
        store.revoke([one("ada")], now=NOW)
        ((before, _),) = store.since(0)
        for path in tmp_path.glob("r-revoked*"):
            path.unlink()
        with redis_server.client() as client:
            client.flushall()
        assert store.since(0) == []
        store.revoke([one("ada")], now=NOW)
        ((after, _),) = store.since(0)
        assert after > before


def test_services_know_nothing_of_each_other(redis_server: RedisServer, tmp_path: Path) -> None:
    names = (f"test {next(_names)}", f"test {next(_names)}")
    first, second = (open_revocations(redis_server.uri, folder=tmp_path, name=n) for n in names)
    first.revoke([one("ada")], now=NOW)
    assert second.since(0) == []


def test_a_file_is_for_its_user_only(tmp_path: Path) -> None:
    store = open_revocations("sqlite:///sub/replay.db", folder=tmp_path, name="bank")
    assert [*tmp_path.iterdir()] == []
    store.revoke([one("ada")], now=NOW)
    (path,) = (tmp_path / "sub").iterdir()
    assert path.name == "replay-revoked.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_was_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_revocations("sqlite:///replay.db", folder=tmp_path, name="bank")
    store.revoke([one("ada")], now=NOW)
    path = tmp_path / "replay-revoked.db"
    long_ago = time.time() - 60
    os.utime(path, (long_ago, long_ago))
    found = store.since(0)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *_, **__: pytest.fail("read"))
        assert store.since(0) == found
    store.revoke([one("bob")], now=NOW)
    assert len(store.since(0)) == 2


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "replay-revoked.db"
    store = open_revocations("sqlite:///replay.db", folder=tmp_path, name="bank")
    for content in (b"", b"x" * 5000):
        path.write_bytes(content)
        with pytest.raises(Unavailable):
            store.revoke([one("ada")], now=NOW)
        with pytest.raises(Unavailable) as caught:
            store.since(0)
        assert caught.value.__context__ is None
        assert path.read_bytes() == content
    path.unlink()
    store.revoke([one("ada")], now=NOW)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE revoked SET said = 'nonsense'")
    with pytest.raises(Unavailable):
        store.since(0)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = open_revocations("sqlite:///file/replay.db", folder=tmp_path, name="bank")
    with pytest.raises(Unavailable):
        store.revoke([one("ada")], now=NOW)


def test_a_redis_that_is_down_or_has_something_else(
    redis_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    down = open_revocations("redis://user:hidden@127.0.0.1:1", folder=tmp_path, name="bank")
    name = f"test {next(_names)}"
    other = open_revocations(redis_server.uri, folder=tmp_path, name=name)
    with redis_server.client() as client:
        client.zadd(f"{{flask-sealed:revoked:{name}}}", {"nonsense": 1})
    with pytest.raises(Unavailable):
        other.since(0)
    with redis_server.client() as client:
        client.set(f"{{flask-sealed:revoked:{name}}}", "text")
    for store in (down, other):
        with pytest.raises(Unavailable) as caught:
            store.since(0)
        assert caught.value.__context__ is None
        with pytest.raises(Unavailable):
            store.revoke([one("ada")], now=NOW)
    assert "hidden" not in caplog.text


def test_a_wrong_uri(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_revocations("redis://pass/word@host", folder=tmp_path, name="bank")
