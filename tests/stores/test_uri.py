from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flask_sealed.errors import ConfigError, Unavailable
from flask_sealed.protocol.replay import MemoryStore
from flask_sealed.stores import open_store
from flask_sealed.stores.redis import RedisStore
from flask_sealed.stores.sqlite import SqliteStore
from flask_sealed.stores.uri import Place, parse_uri

from .conftest import LATER


def test_memory(tmp_path: Path) -> None:
    store = open_store("memory://", folder=tmp_path, name="x", clock=lambda: LATER)
    assert isinstance(store, MemoryStore)
    with pytest.raises(Unavailable):
        store.add(b"1", since=LATER, now=LATER)
    assert store.add(b"1", since=LATER + 1, now=LATER)


def test_a_file_in_the_instance_folder(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    store = open_store("sqlite:///replay.sqlite", folder=folder, name="x", clock=lambda: 0)
    assert isinstance(store, SqliteStore)
    assert (folder / "replay.sqlite").stat().st_size > 0
    # Nothing is open yet when workers fork.
    opened = {os.path.realpath(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")}
    assert str(folder / "replay.sqlite") not in opened


def test_a_file_anywhere(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/replay.sqlite"
    assert uri.startswith("sqlite:////")
    open_store(uri, folder="/nowhere", name="x", clock=lambda: 0)
    assert (tmp_path / "replay.sqlite").stat().st_size > 0


def test_a_redis_is_not_asked_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    for uri in ("redis://192.0.2.1", "redis+cluster://192.0.2.1:1,192.0.2.2:2"):
        assert isinstance(open_store(uri, folder="/", name="x", clock=lambda: 0), RedisStore)
    assert asked == []


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("redis://host", Place(nodes=(("host", 6379),))),
        ("redis://host/", Place(nodes=(("host", 6379),))),
        ("redis://host:7/3", Place(nodes=(("host", 7),), db=3)),
        ("redis://:pw@host", Place(nodes=(("host", 6379),), password="pw")),
        (
            "redis://us%40er:p%3A%2Fw@h:1",
            Place(nodes=(("h", 1),), username="us@er", password="p:/w"),
        ),
        ("redis://[::1]:7", Place(nodes=(("::1", 7),))),
        (
            "rediss://h?ssl_ca_certs=/a&ssl_certfile=/b&ssl_keyfile=/c",
            Place(
                tls=True,
                nodes=(("h", 6379),),
                certificates={"ssl_ca_certs": "/a", "ssl_certfile": "/b", "ssl_keyfile": "/c"},
            ),
        ),
        (
            "redis+cluster://u:p@a:1,b,[::1]:3",
            Place(
                cluster=True,
                nodes=(("a", 1), ("b", 6379), ("::1", 3)),
                username="u",
                password="p",
            ),
        ),
        ("rediss+cluster://a", Place(tls=True, cluster=True, nodes=(("a", 6379),))),
        ("unix:///a%20b/c?db=2", Place(socket="/a b/c", db=2)),
        ("unix://:pw@/a", Place(socket="/a", password="pw")),
    ],
)
def test_places(uri: str, place: Place) -> None:
    assert parse_uri(uri) == place


WRONG = [
    "",
    "geheim",
    "geheim://x",
    "memory://geheim",
    "memory:",
    "sqlite://",
    "sqlite:///",
    "sqlite:geheim",
    "sqlite://geheim/x",
    "redis:",
    "redis://",
    "redis:/geheim",
    "redis://:geheim@",
    "redis://geheim@host",
    "redis://user:@host",
    "redis://user:gehe/im@host",
    "redis://user:gehe#im@host",
    "redis://user:gehe?im@host",
    "redis://user:geheim@host:geheim",
    "redis://user:geheim@host:99999",
    "redis://user:geheim@host:-1",
    "redis://user:geheim@host/geheim",
    "redis://user:geheim@host/-1",
    "redis://user:geheim@host/²",
    "redis://user:geheim@[host",
    "redis://user:geheim@a,b",
    "redis://user:geheim@host?db=1",
    "redis://user:geheim@host?ssl_ca_certs=/geheim",
    "rediss://user:geheim@host?ssl_cert_reqs=none",
    "rediss://user:geheim@host?socket_timeout=60",
    "redis+cluster://user:geheim@a,,b",
    "redis+cluster://user:geheim@a/1",
    "redis+sentinel://user:geheim@a",
    "redis+unix://user:geheim@a",
    "unix://geheim",
    "unix://geheim/x",
    "unix:///x?geheim",
    "unix:///x?db=geheim",
]


@pytest.mark.parametrize("uri", WRONG)
def test_what_is_wrong_is_told_without_the_password(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(uri, folder=tmp_path, name="x", clock=lambda: 0)
    assert "://" in str(caught.value)
    assert caught.value.__context__ is None
    shown = str(caught.value)
    trace = caught.tb.tb_next
    while trace is not None:
        shown += repr(trace.tb_frame.f_locals)
        trace = trace.tb_next
    for part in ("geheim", "gehe", "im@"):
        assert part not in shown
    assert not list(tmp_path.iterdir())


def test_a_place_does_not_show_its_password() -> None:
    assert "geheim" not in repr(parse_uri("redis://geheim:geheim@host"))


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError):
        open_store("sqlite:///file/replay.sqlite", folder=tmp_path, name="x", clock=lambda: 0)


def test_without_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_sealed.stores.find_spec", lambda _: None)
    with pytest.raises(ConfigError):
        open_store("redis://user:geheim@host", folder="/", name="x", clock=lambda: 0)


def test_redis_py_is_not_imported_for_other_stores() -> None:
    script = (
        "import sys, flask_sealed.stores as stores\n"
        "stores.open_store('memory://', folder='/', name='x', clock=lambda: 0)\n"
        "print('redis' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"False\n"
