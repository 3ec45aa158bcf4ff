"""What goes wrong: each does it once, and mends it where that does not mend itself."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flask_sealed.errors import ConfigError
from flask_sealed.keyfile import update_keyring
from flask_sealed.protocol.rotation import rotate_identity, rotate_tickets

from ..redis_server import RedisServer
from ..servers.process import Server


def kill_a_worker(server: Server) -> None:
    """As the kernel does when memory is short."""
    with suppress(ProcessLookupError, IndexError):
        os.kill(random.choice(server.workers()), signal.SIGKILL)


def restart_redis(redis: RedisServer) -> None:
    """It forgets everything."""
    redis.kill()
    time.sleep(0.3)
    redis.start()


def hang_redis(redis: RedisServer) -> None:
    with redis.hanging():
        time.sleep(1)


def rotate_keys(keyring: Path) -> None:
    """The tickets' key, and the identity's where every worker has the backup."""
    now = int(time.time())
    update_keyring(keyring, lambda ring: rotate_tickets(ring, now=now, random=os.urandom))
    with suppress(ConfigError):
        backup = Ed25519PrivateKey.generate()
        update_keyring(keyring, lambda ring: rotate_identity(ring, backup, now=now))


def step_the_clock(folder: Path, seconds: int) -> None:
    """The server's clock is set, and set back."""
    (folder / "clock").write_text(str(seconds))
    time.sleep(1)
    (folder / "clock").write_text("0")


def fill_the_disk(server: Server) -> None:
    """No worker can write to any file."""
    workers = server.workers()
    for size in (0, resource.RLIM_INFINITY):
        for worker in workers:
            with suppress(ProcessLookupError):
                resource.prlimit(worker, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        time.sleep(1 if size == 0 else 0)
