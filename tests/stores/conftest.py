from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from flask_sealed.errors import Unavailable
from flask_sealed.protocol.replay import ReplayStore
from flask_sealed.stores import open_store

from ..redis_server import RedisServer

#: A clock that is far enough ahead of every store's beginning, whenever its test is run.
LATER = int(time.time()) + 100_000

_names = count()


def begun(store: ReplayStore) -> ReplayStore:
    """A store that has begun: some begin when they are asked for the first time."""
    with suppress(Unavailable):
        store.add(b"0" * 16, since=0, now=int(time.time()))
    return store


MakeStore = Callable[[], ReplayStore]


@pytest.fixture(params=["memory", "sqlite", "redis", "unix"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStore]:
    """Makes stores of one kind; each is new, and has begun."""
    uris = {"memory": "memory://"}
    if request.param in ("redis", "unix"):
        server: RedisServer = request.getfixturevalue("redis_server")
        uris.update(redis=server.uri, unix=f"unix://{server.socket}")
    made: list[ReplayStore] = []

    def make() -> ReplayStore:
        name = f"test {next(_names)}"
        uri = uris.get(request.param, f"sqlite:///{name}")
        made.append(open_store(uri, folder=tmp_path, name=name))
        return begun(made[-1])

    yield make
    for store in made:
        getattr(store, "close", lambda: None)()


@pytest.fixture
def store(make_store: MakeStore) -> ReplayStore:
    return make_store()
