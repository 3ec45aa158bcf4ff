"""Ports for the servers of tests: whoever asks for one has it to itself."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import suppress

#: A node of a Redis cluster has a second port, so far above its own.
BUS = 10_000
# Below those that the system gives to connections, which come and go all the time: one of them
# could take a port between the choice of it and its use.
_PORTS = range(11_000, 21_000)
# Hypothesis sets the other generator, so that all processes would choose the same.
_chance = random.SystemRandom()
_taken: set[int] = set()
_lock = -1


def free_port() -> int:
    """One that no other test gets, in any process, until this process ends."""
    while True:
        port = _chance.choice(_PORTS)
        if port not in _taken and _reserve(port) and _is_free(port) and _is_free(port + BUS):
            _taken.add(port)
            return port


def _reserve(port: int) -> bool:
    """Lock one byte of a file that all processes share; the system forgets it with the process."""
    global _lock  # noqa: PLW0603 - closing any descriptor of the file would end all locks
    if _lock < 0:
        name = f"flask-sealed-ports-{os.geteuid()}"
        path = os.path.join(tempfile.gettempdir(), name)
        _lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with suppress(OSError):
        fcntl.lockf(_lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        return True
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
