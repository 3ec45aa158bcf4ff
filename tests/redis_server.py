"""Real servers of Redis, on this machine's loopback and gone with the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import redis

from .ports import free_port

_START_SECONDS = 60


class RedisServer:
    """One ``redis-server`` in a folder of its own. It keeps nothing unless it is told to.

    :param options: as on its command line, such as ``("--requirepass", "secret")``.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    def client(self) -> redis.Redis:
        """A client of the socket, for what tests do to the server."""
        return redis.Redis(unix_socket_path=str(self.socket), protocol=2)

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "please install redis-server, or run tools/setup test"
        self.socket.unlink(missing_ok=True)
        basic = ["--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", str(self.socket)]
        quiet = ["--dir", str(self.folder), "--save", "", "--logfile", str(self.folder / "log")]
        self._process = subprocess.Popen(
            [program, *basic, *quiet, *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            log = self.folder / "log"
            said = log.read_text() if log.exists() else ""
            assert self._process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.02)

    def kill(self) -> None:
        """End it without a chance to write anything."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(60)
            self._process = None

    def signal(self, number: int) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It takes connections, and does not answer."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def has_begun(self) -> bool:
        """Whether there is a store."""
        with self.client() as client:
            return bool(client.keys("flask-sealed:ops:*"))

    def age(self) -> None:
        """Let the one store that there is have begun long ago."""
        with self.client() as client:
            (key,) = client.keys("flask-sealed:ops:*")
            ((life, _),) = client.zrange(key, 0, 0, withscores=True)
            client.zincrby(key, 1000, life)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _answers(self) -> bool:
        # A socket is there before the server has read its dump.
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                answer = connection.recv(100)
        except OSError:
            return False
        return answer.startswith((b"+PONG", b"-NOAUTH"))


@contextmanager
def standing() -> Iterator[RedisServer]:
    """A server in a folder that is gone with it."""
    # The path of a socket has at most 107 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="sealed-") as folder,
        RedisServer(Path(folder)) as server,
    ):
        yield server
