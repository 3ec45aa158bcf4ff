"""A keyring in Redis, encrypted, so that the workers of many machines rotate as one.

One key of Redis has it: ``version 8 ‖ version before 8 ‖ nonce 12 ‖ AES-256-GCM ciphertext``, with
a random nonce. The service's name and both versions are authenticated with it.

Who has Redis alone can neither read it nor make another, but can put an older ring back, and its
keys with it. So versions only grow, and a worker never goes back to one, nor to what was made from
one. A process that has just started has nothing to compare with: after a break-in, a new
``SEALED_KEYRING_KEY`` makes all that was written before useless.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis import RedisError

from .errors import ConfigError
from .keysource import TOLERANCE, Change
from .protocol.encoding import lv
from .protocol.keys import KeyRing
from .stores.redis import Server

_VERSION_BYTES = 8
_NONCE_BYTES = 12
_VERSIONS_BYTES = 2 * _VERSION_BYTES
_HEAD_BYTES = _VERSIONS_BYTES + _NONCE_BYTES
# How often a change is tried again where another one came first.
_TRIES = 20
_REPLACE = """
local there = redis.call('GET', KEYS[1]) or ''
if there ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class RedisSource:
    """A ring in one key of Redis. Threads, processes and machines may share it.

    :param server: where the key is.
    :param name: the service's, such as its audience.
    :param secret: encrypts the ring.
    """

    tolerance = TOLERANCE
    # Looks out of turn are for what anyone may send; each costs less than a handshake does.
    least = 0.0

    def __init__(self, server: Server, name: str, secret: AESGCM) -> None:
        self._server = server
        self._key = f"flask-sealed:keyring:{name}"
        self._name = lv(name.encode())
        self._secret = secret

    def __repr__(self) -> str:
        return f"<RedisSource {self._key}>"

    def read(self, known: object) -> tuple[object, KeyRing] | None:
        sealed = self._get()
        if sealed == known:
            return None
        if not sealed:
            raise ConfigError(self._missing())
        if isinstance(known, bytes) and not _follows(sealed, known):
            raise ConfigError(
                "the keyring in Redis is older than the one in use, or made from such a one:"
                " change SEALED_KEYRING_KEY, and run `flask sealed restore PATH`"
            )
        return sealed, self._open(sealed)

    def update(self, change: Change, /) -> KeyRing:
        for _ in range(_TRIES):
            sealed = self._get()
            if not sealed:
                raise ConfigError(self._missing())
            ring = change(self._open(sealed))
            if self._replace(sealed, ring, _version(sealed)):
                return ring
        raise ConfigError("others change the keyring in Redis all the time; try again")

    def put(self, ring: KeyRing) -> None:
        """Put a ring there, whatever there is now, or nothing.

        :raises ConfigError: where Redis does not answer.
        """
        while not self._replace(self._get(), ring):
            continue

    def _missing(self) -> str:
        return (
            f"there is no keyring in Redis under {self._key!r}: put a copy there with"
            " `flask sealed restore PATH`"
        )

    def _get(self) -> bytes:
        value = self._run("GET", self._key)
        if value is None:
            return b""
        if not isinstance(value, bytes) or len(value) <= _HEAD_BYTES:
            raise ConfigError(f"{self._key!r} in Redis is no keyring")
        return value

    def _replace(self, there: bytes, ring: KeyRing, before: int | None = None) -> bool:
        # As the clock goes: also after a flush it is later than what workers have seen.
        number = max(_version(there) + 1, time.time_ns() // 1000)
        versions = _pack(number) + _pack(number - 1 if before is None else before)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._secret.encrypt(nonce, ring.to_json(), self._name + versions)
        return self._run("EVAL", _REPLACE, 1, self._key, there, versions + nonce + sealed) == 1

    def _open(self, sealed: bytes) -> KeyRing:
        versions, nonce = sealed[:_VERSIONS_BYTES], sealed[_VERSIONS_BYTES:_HEAD_BYTES]
        with suppress(InvalidTag):
            return KeyRing.from_json(
                self._secret.decrypt(nonce, sealed[_HEAD_BYTES:], self._name + versions)
            )
        raise ConfigError(
            f"{self._key!r} in Redis does not open with SEALED_KEYRING_KEY: it is sealed with"
            " another key, or was changed"
        )

    def _run(self, *command: str | bytes | int) -> object:
        try:
            return self._server.run(*command)
        except (RedisError, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
        raise ConfigError(f"the keyring in Redis cannot be reached: {problem}")


def _follows(sealed: bytes, known: bytes) -> bool:
    """Whether one was made from another, or from a newer one, and so is newer."""
    before = int.from_bytes(sealed[_VERSION_BYTES:_VERSIONS_BYTES], "big")
    return before >= _version(known)


def _pack(number: int) -> bytes:
    return number.to_bytes(_VERSION_BYTES, "big")


def _version(sealed: bytes) -> int:
    return int.from_bytes(sealed[:_VERSION_BYTES], "big")
