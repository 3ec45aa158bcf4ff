"""Operations in Redis, for workers of many machines.

Everything is in one key, a sorted set: operations by when they were added, and since when it
remembers everything. So whatever takes operations away takes that away too: a flush, an eviction,
a key that is deleted or renamed. There is no expiry, so Redis's clock forgets nothing, and
policies that evict what expires do not touch it.

What Redis itself may lose, it loses when it is started again, or when a replica takes over. Both
change the id of the run or that of the replication; the set has the ids that it belongs to, and
under others it begins anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from redis import RedisError
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.credentials import UsernamePasswordCredentialProvider as Credentials
from redis.exceptions import NoScriptError
from redis.retry import Retry

from ..errors import Unavailable
from ..protocol.replay import JUST_BEGUN, REMEMBERED
from ..protocol.revocation import Revocation
from .failure import unavailable
from .uri import Place

#: How long a worker waits to be connected, and for an answer, in seconds.
_PATIENCE = 0.5
#: How far the clocks of workers may differ, in seconds.
_CLOCKS = 10
#: So many old operations are forgotten in one call, when there are so many.
_BATCH = 16

_AGAIN, _FIRST, _JUST_BEGUN = 0, 1, 2
# Scores are seconds since 1970. The one member below zero is the name of the life that this server
# has, with its beginning: its rank is 0. What a former life remembers is kept: it does no harm.
_SCRIPT = f"""
local key, op, since, now = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local replication = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if not (run and replication) then
  return redis.error_reply('ERR INFO has no run_id or no master_replid')
end
local life = run .. replication
local begun = redis.call('ZSCORE', key, life)
if begun then
  begun = -begun
else
  begun = math.max(now, tonumber(redis.call('TIME')[1])) + {_CLOCKS}
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(0')
  redis.call('ZADD', key, -begun, life)
end
local old = redis.call(
  'ZRANGEBYSCORE', key, 0, now - {REMEMBERED}, 'WITHSCORES', 'LIMIT', {_BATCH - 1}, 1
)[2]
if old then
  if tonumber(old) > begun then
    begun = tonumber(old)
    redis.call('ZADD', key, -begun, life)
  end
  redis.call('ZREMRANGEBYRANK', key, 1, {_BATCH})
end
if since <= begun then
  return {_JUST_BEGUN}
end
return redis.call('ZADD', key, 'NX', now, op)
"""
# Microseconds since 1970, in all digits: Lua itself would write fewer.
_REVOKE = """
local now = ARGV[1]
for _, said in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 256)) do
  redis.call('ZREM', KEYS[1], said)
  redis.call('ZREM', KEYS[2], said)
end
local time = redis.call('TIME')
local number = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if last and tonumber(last) >= number then
  number = tonumber(last) + 1
end
for index = 2, #ARGV, 2 do
  if redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', number), ARGV[index]) == 1 then
    redis.call('ZADD', KEYS[2], ARGV[index + 1], ARGV[index])
    number = number + 1
  end
end
return 1
"""
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


class Connected(Protocol):
    """What is used of a connection of redis-py, which has no types there."""

    def send_command(self, *command: str | bytes | int) -> object: ...
    def read_response(self) -> object: ...
    def can_read(self, timeout: float) -> bool: ...
    def disconnect(self) -> object: ...


class Clustered(Protocol):
    """Likewise of the client of a cluster."""

    def execute_command(self, *command: str | bytes | int) -> object: ...


class Server(Protocol):
    """Runs commands."""

    def run(self, *command: str | bytes | int) -> object:
        """Run one command.

        :raises RedisError, OSError: where there is no answer, or it is an error.
        """


def _ask(server: Server, *command: str | bytes | int) -> object:
    """A server's answer to one command.

    :raises Unavailable: where there is none.
    """
    try:
        return server.run(*command)
    except (RedisError, OSError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise unavailable(problem)


class RedisStore:
    """Remembers operations in one key of Redis. Threads, processes and machines may share it.

    :param server: where the key is.
    :param key: its name; services that have different ones know nothing of each other.
    """

    def __init__(self, server: Server, key: str) -> None:
        self._server = server
        self._key = key

    def add(self, op: bytes, *, since: int, now: int) -> bool:
        answer: object = None
        try:
            answer = self._run(op, since, now)
            problem = f"it is no Redis: {answer!r}"
        except (RedisError, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
        if answer == _JUST_BEGUN:
            raise Unavailable(JUST_BEGUN)
        if answer in (_AGAIN, _FIRST):
            return answer == _FIRST
        raise unavailable(problem)

    def remove(self, op: bytes, *, now: int) -> None:  # noqa: ARG002 - another store needs it
        _ask(self._server, "ZREM", self._key, op)

    def _run(self, op: bytes, since: int, now: int) -> object:
        arguments = (1, self._key, op, since, now)
        with suppress(NoScriptError):
            return self._server.run("EVALSHA", _SHA, *arguments)
        return self._server.run("EVAL", _SCRIPT, *arguments)


class RedisRevocations:
    """Keeps revocations in two keys of Redis: by their numbers, and by when they are over.

    :param server: where the keys are.
    :param key: what their names begin with.
    """

    def __init__(self, server: Server, key: str) -> None:
        self._server = server
        # The braces keep both on one node of a cluster.
        self._numbers, self._ends = f"{{{key}}}", f"{{{key}}}:exp"

    def revoke(self, revocations: list[Revocation], *, now: int) -> None:
        said: list[str | int] = []
        for one in revocations:
            said += (one.to_text(), one.exp)
        _ask(self._server, "EVAL", _REVOKE, 2, self._numbers, self._ends, now, *said)

    def since(self, number: int) -> list[tuple[int, Revocation]]:
        command = "ZRANGEBYSCORE", self._numbers, number, "+inf", "WITHSCORES"
        answer = _ask(self._server, *command)
        problem = f"it is no Redis: {type(answer).__name__}"
        if isinstance(answer, list):
            try:
                return [_numbered(*pair) for pair in zip(*[iter(answer)] * 2, strict=True)]
            except (ValueError, AttributeError):
                problem = f"{self._numbers!r} has something else than revocations"
        raise unavailable(problem)


def _numbered(said: bytes, number: bytes) -> tuple[int, Revocation]:
    return int(float(number)), Revocation.from_text(said.decode())


class Node:
    """One server.

    Its connections are lent to one thread at a time. Nothing is tried again: an operation whose
    answer was lost may have been recorded.
    """

    def __init__(self, connect: Callable[[], Connected]) -> None:
        self._connect = connect
        self._idle: tuple[int, list[Connected]] = (os.getpid(), [])

    def run(self, *command: str | bytes | int) -> object:
        connection = self._take()
        try:
            connection.send_command(*command)
            answer = connection.read_response()
        except NoScriptError:
            self._own().append(connection)
            raise
        except BaseException:
            connection.disconnect()
            raise
        self._own().append(connection)
        return answer

    def _own(self) -> list[Connected]:
        if self._idle[0] != os.getpid():
            # The parent goes on using its connections; closing them here does not end them there.
            self._idle = (os.getpid(), [])
        return self._idle[1]

    def _take(self) -> Connected:
        idle = self._own()
        # Another thread may take the last one meanwhile.
        with suppress(IndexError):
            while True:
                connection = idle.pop()
                if not _ended(connection):
                    return connection
                connection.disconnect()
        return self._connect()


class Cluster:
    """A cluster: the key is on one of its nodes. It is looked for on first use."""

    def __init__(self, connect: Callable[[], Clustered]) -> None:
        self._connect = connect
        self._client: Clustered | None = None

    def run(self, *command: str | bytes | int) -> object:
        client = self._client or self._connect()
        try:
            answer = client.execute_command(*command)
        except NoScriptError:
            self._client = client
            raise
        except BaseException:
            # The next one asks anew which node has the key.
            self._client = None
            raise
        self._client = client
        return answer


# These have no types in redis-py.
_unix: Callable[..., Connected] = UnixDomainSocketConnection
_node: Callable[..., ClusterNode] = ClusterNode


def open_server(place: Place) -> Server:
    """What runs commands at a place. Nothing is connected yet."""
    if place.cluster:
        return Cluster(lambda: _cluster(place))
    return Node(lambda: _connection(place))


def open_redis(place: Place, key: str) -> RedisStore:
    """A store at a place. Nothing is connected yet."""
    return RedisStore(open_server(place), key)


def _ended(connection: Connected) -> bool:
    """Whether the server has closed an idle connection, or said what nobody asked for."""
    try:
        return bool(connection.can_read(timeout=0))
    except (RedisError, OSError):
        return True


def _settings(place: Place) -> dict[str, Any]:
    settings: dict[str, Any] = {"socket_timeout": _PATIENCE, "protocol": 2}
    if place.password is not None:
        settings["credential_provider"] = Credentials(place.username, place.password)
    return settings


def _connection(place: Place) -> Connected:
    settings = _settings(place) | {"db": place.db, "retry": Retry(NoBackoff(), 0)}
    if place.socket is not None:
        return _unix(path=place.socket, **settings)
    kind: type[Connection] = Connection
    if place.tls:
        kind, settings = SSLConnection, settings | place.certificates
    host, port = place.nodes[0]
    return kind(host=host, port=port, socket_connect_timeout=_PATIENCE, **settings)


def _cluster(place: Place) -> Clustered:
    settings = _settings(place)
    if place.tls:
        settings.update(ssl=True, **place.certificates)
    return RedisCluster(
        startup_nodes=[_node(host, port) for host, port in place.nodes],
        socket_connect_timeout=_PATIENCE,
        retry=Retry(NoBackoff(), 0),
        **settings,
    )
