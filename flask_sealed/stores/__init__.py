"""Replay stores behind a URI, as ``SEALED_REPLAY_STORE`` has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ..errors import ConfigError
from ..protocol.replay import MemoryStore, ReplayStore
from ..protocol.revocation import RevocationStore
from .revocations import MemoryRevocations, SqliteRevocations
from .sqlite import SqliteStore
from .uri import Place, parse_uri

_SQLITE = "sqlite:///"
_WRONG = (
    "it is not the URI of a replay store; write sqlite:///replay.sqlite (in the instance folder),"
    " sqlite:////var/lib/service/replay.sqlite, memory://, redis://user:password@host:6379/0,"
    " rediss://… for TLS, redis+cluster://host1:6379,host2:6379 or unix:///path/of/socket?db=0; in"
    " a password, write all but letters and digits as %2F and so on"
)


def open_store(
    uri: str, *, folder: str | Path, name: str, clock: Callable[[], float] = time.time
) -> ReplayStore:
    """Open a replay store. A Redis is not connected to before it is needed.

    :param uri: ``memory://``, ``sqlite:///path`` (four slashes before an absolute path),
        ``redis://``, ``rediss://``, ``redis+cluster://``, ``rediss+cluster://`` or ``unix://``.
    :param folder: what the path of a file is relative to.
    :param name: the service's, such as its audience. In one Redis, services of different names
        know nothing of each other.
    :param clock: tells the seconds since 1970 at which a new store in memory or in a file begins.
    :raises ConfigError: for a URI that is wrong, a file that cannot be used, or where redis-py is
        not installed, with what to write instead. It shows nothing of the URI of a Redis.
    """
    if uri == "memory://":
        return MemoryStore(int(clock()))
    path = _path(uri, folder)
    if path is not None:
        return _open_sqlite(path, clock)
    place = parse_uri(uri)
    # Error reports show the variables of frames.
    del uri
    return _open_redis(_demand_redis(place), f"flask-sealed:ops:{name}")


def open_revocations(uri: str, *, folder: str | Path, name: str) -> RevocationStore:
    """Open the store of revocations that is beside a replay store.

    The parameters, and what is raised, are those of :func:`open_store`.
    """
    if uri == "memory://":
        return MemoryRevocations()
    path = _path(uri, folder)
    if path is not None:
        return SqliteRevocations(path.with_name(f"{path.stem}-revoked{path.suffix}"))
    place = _demand_redis(parse_uri(uri))
    from .redis import RedisRevocations, open_server  # noqa: PLC0415 - an optional dependency

    return RedisRevocations(open_server(place), f"flask-sealed:revoked:{name}")


def _path(uri: str, folder: str | Path) -> Path | None:
    """The path of a file, where the URI names one."""
    if uri.startswith(_SQLITE) and len(uri) > len(_SQLITE):
        return Path(folder).absolute() / uri.removeprefix(_SQLITE)
    return None


def _demand_redis(place: Place | None) -> Place:
    if place is None:
        raise ConfigError(_WRONG)
    if find_spec("redis") is None:
        raise ConfigError("Redis needs redis-py; write: pip install flask-sealed[redis]")
    return place


def _open_sqlite(path: Path, clock: Callable[[], float]) -> SqliteStore:
    store = SqliteStore(path, clock=clock)
    store.check()
    return store


def _open_redis(place: Place, key: str) -> ReplayStore:
    from .redis import open_redis  # noqa: PLC0415 - an optional dependency

    return open_redis(place, key)
