"""Where a keyring comes from: a file, a text, a callable of the application's, or Redis.

A worker has one :class:`LiveRing`, which looks at its source at intervals and goes on with what it
finds there, so keys change without a restart.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Protocol

from .errors import ConfigError, Unavailable
from .keyfile import faults_of, read_keyring, update_keyring
from .protocol.keys import KeyRing

#: How long a ring is used before its source is looked at again, in seconds: where a look is
#: cheap, and where a callable may ask a service that counts.
RELOAD = 1.0
RELOAD_CALLABLE = 60.0
#: How long a ring goes on when a source over the network cannot be read, in seconds.
TOLERANCE = 60.0
# How long after a failure such a source is asked again, in seconds.
_RETRY = 5

logger = logging.getLogger("flask_sealed")

Change = Callable[[KeyRing], KeyRing]


class KeySource(Protocol):
    """Where a keyring is kept."""

    #: How long a ring goes on where the source cannot be read, in seconds.
    tolerance: float
    #: The least time between two looks out of turn, in seconds.
    least: float

    def read(self, known: object) -> tuple[object, KeyRing] | None:
        """The version that is there now and its ring; ``None`` where that is the known one.

        :param known: the version that was read last; ``None`` reads in any case.
        :raises ConfigError: where it cannot be read, or is no keyring.
        """

    def update(self, change: Change, /) -> KeyRing:
        """Change the ring where it is kept.

        :param change: makes the new ring from the one that is there.
        :returns: the new ring.
        :raises ConfigError: where that is not possible.
        """


class FileSource:
    """A file that nobody else can read. A look is one ``stat``."""

    tolerance = 0.0
    least = 0.0

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<FileSource {self.path}>"

    def read(self, known: object) -> tuple[object, KeyRing] | None:
        with faults_of(self.path):
            status = self.path.stat()
        # Its owner and mode are checked again, too, when they change: `ctime` tells.
        version = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        # What is written meanwhile is another version, and read at the next look.
        return None if version == known else (version, read_keyring(self.path))

    def update(self, change: Change, /) -> KeyRing:
        return update_keyring(self.path, change)


class TextSource:
    """A ring that was given as text, such as by an environment variable: it never changes."""

    tolerance = 0.0
    least = 0.0

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def __repr__(self) -> str:
        return "<TextSource>"

    def read(self, known: object) -> tuple[object, KeyRing] | None:
        return None if known is not None else (self, self._ring)

    def update(self, _change: Change, /) -> KeyRing:
        raise ConfigError(
            "the keyring is text that was given to the application, which cannot be changed here:"
            " change a file with --keyring PATH, give its text to the application, and restart it"
        )


class CallableSource:
    """A function of the application's, such as one that asks a secret manager.

    :param call: returns the keyring, or its JSON text.
    """

    tolerance = TOLERANCE
    least = 5.0

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def __repr__(self) -> str:
        return f"<CallableSource {getattr(self._call, '__qualname__', type(self._call).__name__)}>"

    def read(self, known: object) -> tuple[object, KeyRing] | None:
        ring = self._read()
        # A ring that says the same is the same: workers remember what they opened with it.
        version = sha256(ring.to_json()).digest()
        return None if version == known else (version, ring)

    def _read(self) -> KeyRing:
        fault: object = None
        value: object = None
        try:
            value = self._call()
        except Exception as error:
            # Not its text: it may show what was read.
            fault = type(error).__name__
        if fault is not None:
            raise ConfigError(f"the callable of SEALED_KEYRING raised {fault}")
        if isinstance(value, KeyRing):
            return value
        if isinstance(value, str | bytes):
            return KeyRing.from_json(value)
        del value
        raise ConfigError("the callable of SEALED_KEYRING returned neither text nor a KeyRing")

    def update(self, _change: Change, /) -> KeyRing:
        raise ConfigError(
            "the keyring comes from a callable of the application, so it cannot be changed here:"
            " change a file with --keyring PATH, and put its text where the callable reads it"
        )


class LiveRing:
    """A keyring that follows its source. Threads may share it.

    :param source: where it is kept.
    :param reload: how long a ring is used before the source is looked at again, in seconds.
    :raises ConfigError: where it cannot be read for the first time.
    """

    def __init__(self, source: KeySource, *, reload: float) -> None:
        self.source = source
        self.reload = reload
        self._lock = Lock()
        self._version, self._ring = source.read(None) or _nothing()
        now = self._looked = time.monotonic()
        self._until = now + reload
        self._lasts = now + source.tolerance
        self._retry = now

    def __repr__(self) -> str:
        return f"<LiveRing of {self.source!r}>"

    def ring(self) -> KeyRing:
        """The keyring as it is now.

        :raises Unavailable: where the source cannot be read any more, until it can: an old ring
            would go on with keys that were taken out.
        """
        if time.monotonic() < self._until:
            return self._ring
        # Where a look may take long, others go on with the ring that they have.
        if self._lock.acquire(blocking=time.monotonic() >= self._lasts):
            try:
                if time.monotonic() >= self._until:
                    self._look()
            finally:
                self._lock.release()
        return self._ring

    def look(self) -> KeyRing:
        """The keyring, after a look out of turn: for what is not known to the one at hand.

        :raises Unavailable: as :meth:`ring`.
        """
        with self._lock:
            self._look()
            return self._ring

    def _look(self) -> None:
        now = time.monotonic()
        if now >= max(self._retry, self._looked + self.source.least):
            fault = self._read(now)
            if fault is None:
                return
            # One that may keep its callers waiting is not asked at each request.
            self._retry = now + (_RETRY if self.source.tolerance else 0)
            logger.error("the keyring cannot be read again: %s", fault)
        if now >= self._lasts:
            raise Unavailable("The service cannot read its keys.")

    def _read(self, now: float) -> str | None:
        """Read the ring, where it has changed; what is wrong, where it cannot be read."""
        self._looked = now
        try:
            found = self.source.read(self._version)
        except ConfigError as error:
            return str(error)
        if found is not None:
            self._version, self._ring = found
        self._until, self._lasts = now + self.reload, now + self.source.tolerance
        return None


def _nothing() -> tuple[object, KeyRing]:
    raise ConfigError("the source of the keyring has none")
