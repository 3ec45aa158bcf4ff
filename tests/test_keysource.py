from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from flask_sealed import ConfigError, Unavailable, keysource
from flask_sealed.keyfile import read_keyring, write_keyring
from flask_sealed.keysource import (
    RELOAD,
    RELOAD_CALLABLE,
    TOLERANCE,
    CallableSource,
    FileSource,
    LiveRing,
    TextSource,
)
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.jwk import secret_bytes
from flask_sealed.protocol.keys import KeyRing

from .clock import Ticks
from .test_keyfile import ring


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "ring.json"
    write_keyring(path, ring())
    return path


def same(one: KeyRing, other: KeyRing) -> bool:
    return one.to_json() == other.to_json()


def put(path: Path) -> KeyRing:
    """Replace a ring, as who rotates keys does."""
    made = ring()
    write_keyring(path, made)
    return made


def overwrite(path: Path) -> KeyRing:
    """Write a ring of the same size into the same file, at what looks like the same time."""
    made, before = ring(), path.stat()
    path.write_bytes(made.to_json())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_ino == before.st_ino
    return made


@pytest.mark.parametrize("change", [put, overwrite])
def test_a_ring_follows_its_file(
    written: Path, ticks: Ticks, change: Callable[[Path], KeyRing]
) -> None:
    file = LiveRing(FileSource(written), reload=60)
    first = file.ring()
    for _ in range(2):
        second = change(written)
        ticks.now += 59.9
        assert same(file.ring(), first)
        ticks.now += 0.1
        assert same(file.ring(), second)
        first = second


def test_a_file_that_has_not_changed_is_not_read_again(
    written: Path, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LiveRing(FileSource(written), reload=60)
    ticks.now += 60
    kept = file.ring()
    monkeypatch.setattr(keysource, "read_keyring", lambda path: pytest.fail("read"))
    for _ in range(3):
        ticks.now += 60
        assert file.ring() is kept


def test_a_link_to_another_file_is_followed(written: Path, ticks: Ticks) -> None:
    link, other = written.with_name("link.json"), written.with_name("other.json")
    link.symlink_to(written)
    file = LiveRing(FileSource(link), reload=60)
    write_keyring(other, made := ring())
    link.unlink()
    link.symlink_to(other)
    ticks.now += 60
    assert same(file.ring(), made)


def remove(path: Path) -> None:
    path.unlink()


def widen(path: Path) -> None:
    path.chmod(0o646)


def spoil(path: Path) -> None:
    path.write_bytes(b"{}")


@pytest.mark.parametrize("fault", [remove, widen, spoil])
def test_a_file_that_cannot_be_read_again_until_it_can(
    written: Path,
    ticks: Ticks,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[Path], None],
) -> None:
    file = LiveRing(FileSource(written), reload=60)
    ticks.now += 60
    file.ring()
    fault(written)
    file.ring()
    ticks.now += 60
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            file.ring()
        assert caught.value.__context__ is None
    assert {record.name for record in caplog.records} == {"flask_sealed"}
    assert {record.levelname for record in caplog.records} == {"ERROR"}
    made = ring()
    write_keyring(written, made)
    written.chmod(0o600)
    assert same(file.ring(), made)


def test_a_ring_without_a_file_stays(ticks: Ticks) -> None:
    kept = ring()
    file = LiveRing(TextSource(kept), reload=60)
    ticks.now += 1e9
    assert file.ring() is kept


def test_it_shows_no_secret(written: Path) -> None:
    file = LiveRing(FileSource(written), reload=60)
    assert str(written) in repr(file)
    for key in file.ring().keys:
        assert b64u_encode(secret_bytes(key.material)) not in repr(file)


def test_threads_share_a_ring(
    written: Path, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LiveRing(FileSource(written), reload=60)
    made = put(written)
    ticks.now += 60
    reads: list[Path] = []
    read = read_keyring

    def slow(path: Path) -> KeyRing:
        reads.append(path)
        time.sleep(0.05)
        return read(path)

    monkeypatch.setattr(keysource, "read_keyring", slow)
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: file.ring(), range(32)))
    assert len(reads) == 1
    assert all(same(one, made) for one in rings)


def test_a_look_out_of_turn_finds_what_is_new(written: Path, ticks: Ticks) -> None:
    live = LiveRing(FileSource(written), reload=60)
    first = live.ring()
    assert live.look() is first
    second = put(written)
    assert live.ring() is first
    assert same(live.look(), second)
    assert same(live.ring(), second)
    written.unlink()
    with pytest.raises(Unavailable):
        live.look()


class Manager:
    """A secret manager, which can be down."""

    def __init__(self) -> None:
        self.value: object = ring().to_json().decode()
        self.calls = 0
        self.down = False

    def __call__(self) -> object:
        self.calls += 1
        if self.down:
            raise OSError("no route to the secret 4711")
        return self.value


def test_a_callable_returns_text_or_a_ring(ticks: Ticks) -> None:
    manager = Manager()
    live = LiveRing(CallableSource(manager), reload=60)
    first = live.ring()
    for value in (manager.value, first.to_json(), first):
        manager.value = value
        ticks.now += 60
        # Workers remember what they have opened with a ring, so the same stays the same object.
        assert live.ring() is first
    assert manager.calls == 4
    manager.value = changed = ring()
    ticks.now += 59
    assert live.ring() is first
    ticks.now += 1
    assert live.ring() is changed


@pytest.mark.parametrize("value", [None, 1, "", "{}", b"\xff", "sealed-keyring.json"])
def test_a_callable_that_returns_no_ring(value: object) -> None:
    with pytest.raises(ConfigError):
        LiveRing(CallableSource(lambda: value), reload=60)


def test_what_a_callable_raises_is_told_without_its_text(ticks: Ticks) -> None:
    manager = Manager()
    manager.down = True
    with pytest.raises(ConfigError) as caught:
        CallableSource(manager).read(None)
    assert "OSError" in str(caught.value)
    assert "4711" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_callable_that_fails_is_waited_for_but_not_for_ever(ticks: Ticks) -> None:
    manager = Manager()
    source = CallableSource(manager)
    source.least = 0.0  # as Redis
    live = LiveRing(source, reload=10)
    kept = live.ring()
    manager.down = True
    ticks.now += 10
    assert live.ring() is kept
    calls = manager.calls
    assert live.ring() is live.look() is kept
    assert manager.calls == calls  # not at each request
    ticks.now += TOLERANCE - 10 - 0.1
    assert live.ring() is kept
    ticks.now += 0.1
    for _ in range(3):
        with pytest.raises(Unavailable):
            live.ring()
    with pytest.raises(Unavailable):
        live.look()
    assert manager.calls == calls + 1
    manager.down = False
    ticks.now += 5
    assert live.ring() is kept


def test_nobody_waits_for_another_who_asks_a_slow_callable(ticks: Ticks) -> None:
    asked, answer = Event(), Event()
    manager = Manager()

    def slow() -> object:
        asked.set()
        assert answer.wait(60)
        return manager()

    source = CallableSource(manager)
    live = LiveRing(source, reload=10)
    first = live.ring()
    manager.value = second = ring()
    source._call = slow
    ticks.now += 10
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(live.ring)
        assert asked.wait(60)
        assert live.ring() is first
        answer.set()
        assert waiting.result(60) is second
    assert live.ring() is second


def test_looks_out_of_turn_do_not_ask_a_callable_at_each_request(ticks: Ticks) -> None:
    manager = Manager()
    live = LiveRing(CallableSource(manager), reload=60)
    for _ in range(10):
        live.look()
    assert manager.calls == 1
    ticks.now += 5
    live.look()
    assert manager.calls == 2


def test_what_cannot_be_changed_here(written: Path) -> None:
    for source in (TextSource(ring()), CallableSource(Manager())):
        with pytest.raises(ConfigError) as caught:
            source.update(lambda ring: ring)
        assert "--keyring" in str(caught.value)
    changed = ring()
    FileSource(written).update(lambda _: changed)
    assert same(read_keyring(written), changed)


def test_sources_show_no_secret(written: Path) -> None:
    kept = ring()
    for source in (TextSource(kept), CallableSource(kept.to_json), FileSource(written)):
        for key in kept.keys:
            assert b64u_encode(secret_bytes(key.material)) not in repr(source)


def test_where_a_look_is_cheap_it_is_made_each_second() -> None:
    assert (RELOAD, RELOAD_CALLABLE) == (1, 60)
