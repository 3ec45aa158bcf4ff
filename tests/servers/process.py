"""Starts a server in a process of its own, waits until it answers, and ends that process only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ..ports import free_port

ROOT = Path(__file__).parents[2]
APP = "tests.servers.app"
FACTORY = "create_app"
#: How long a server may take to start, in seconds.
START = 120
#: How long it may take to end before it is killed, in seconds.
END = 60


@dataclass
class Server:
    """A server that runs."""

    base: str
    pid: int
    #: What it has written.
    log: Path
    #: What it shares with the test, for applications of these tests.
    folder: Path = field(default_factory=Path)

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def workers(self) -> list[int]:
        """The processes that answer: its children, or itself where it has none."""
        tasks = Path(f"/proc/{self.pid}/task")
        children = [
            int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()
        ]
        return children or [self.pid]

    def memory(self) -> dict[int, int]:
        """The resident bytes of each worker."""
        return {pid: memory(pid) for pid in self.workers()}

    def peaks(self) -> dict[int, int]:
        """The most resident bytes that each worker has had since :meth:`reset_peaks`."""
        return {pid: memory(pid, "VmHWM") for pid in self.workers()}

    def reset_peaks(self) -> None:
        for pid in self.workers():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def notes(self, name: str) -> list[str]:
        """What the application has noted."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


def memory(pid: int, name: str = "VmRSS") -> int:
    """A number of bytes that the kernel knows of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


@contextmanager
def running(
    command: Sequence[str], port: int, folder: Path, environ: Mapping[str, str], path: str
) -> Iterator[Server]:
    """A server, until the block ends."""
    log = folder / f"{Path(command[0]).name}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environ},
        )
    try:
        _wait(process, port, path, log)
        yield Server(f"http://127.0.0.1:{port}", process.pid, log, folder)
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=START)
        with suppress(OSError, HTTPException):
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                connection.close()
                return
        connection.close()
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not answer: {log.read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environ(folder: Path, settings: Mapping[str, object] | None) -> dict[str, str]:
    environ = {"SEALED_TEST_FOLDER": str(folder), "PYTHONUNBUFFERED": "1"}
    if settings is None:
        return environ | {"SEALED_TEST_PLAIN": "1"}
    return environ | {"SEALED_TEST_SETTINGS": json.dumps(settings)}


def gunicorn(
    folder: Path,
    settings: Mapping[str, object] | None,
    *,
    workers: int = 2,
    kind: str = "sync",
    threads: int = 4,
    preload: bool = False,
    script_name: str = "",
    arguments: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    app: str = APP,
) -> AbstractContextManager[Server]:
    """gunicorn.

    :param settings: those of the application; ``None`` leaves all sealing out.
    :param environ: more of its environment.
    :param app: the module that makes the application.
    :param kind: the class of its workers, ``sync`` or ``gthread``.
    """
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}"]
    command += [f"--workers={workers}", f"--worker-class={kind}", "--worker-tmp-dir=/dev/shm"]
    command += [f"--threads={threads}"] if kind == "gthread" else []
    command += ["--preload"] if preload else []
    names = {"SCRIPT_NAME": script_name} if script_name else {}
    names |= _environ(folder, settings) | dict(environ or {})
    command += [*arguments, f"{app}:{FACTORY}()"]
    return running(command, port, folder, names, f"{script_name}/plain/ready")


def waitress(
    folder: Path,
    settings: Mapping[str, object] | None,
    *,
    script_name: str = "",
    app: str = APP,
) -> AbstractContextManager[Server]:
    """waitress: one process, four threads."""
    port = free_port()
    command = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}"]
    command += [f"--url-prefix={script_name}"] if script_name else []
    command += ["--call", f"{app}:{FACTORY}"]
    environ = _environ(folder, settings)
    return running(command, port, folder, environ, f"{script_name}/plain/ready")


def development(
    folder: Path, settings: Mapping[str, object] | None, *, app: str = APP
) -> AbstractContextManager[Server]:
    """``flask run``: one process, a thread for each request."""
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", f"{app}:{FACTORY}"]
    command += ["run", "--host=127.0.0.1", f"--port={port}", "--no-reload"]
    return running(command, port, folder, _environ(folder, settings), "/plain/ready")


# Debian has it where only root looks for programs.
NGINX = "/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else "nginx"
#: What it has to be told where it is no service of the machine, with a name for its files.
NGINX_ALONE = """
    access_log off;
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi;
    scgi_temp_path {folder}/{name}-scgi;
"""
_NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    {alone}
    # By default nginx takes bodies of 1 MiB.
    client_max_body_size 0;
    {http}
    upstream up {{
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://up{path};
            proxy_set_header Host $http_host;
            proxy_http_version 1.1;
            {lines}
        }}
    }}
}}
"""


def nginx(
    folder: Path,
    *upstreams: Server,
    path: str = "",
    lines: Sequence[str] = (),
    http: Sequence[str] = (),
) -> AbstractContextManager[Server]:
    """nginx in front of servers.

    :param path: the path that ``proxy_pass`` names: with one, nginx writes the request's path
        anew; without, it passes the path on as it came.
    :param lines: more of its configuration, such as ``proxy_request_buffering off;``.
    :param http: likewise, of what goes before all places, such as ``log_format``.
    """
    port = free_port()
    config = folder / f"nginx-{port}.conf"
    config.write_text(
        _NGINX.format(
            # Started by root, its workers would be another user's, who may not write here.
            user="user root root;" if os.geteuid() == 0 else "",
            folder=folder,
            alone=NGINX_ALONE.format(folder=folder, name="nginx"),
            port=port,
            servers=" ".join(f"server 127.0.0.1:{server.port};" for server in upstreams),
            path=path,
            lines="\n".join(lines),
            http="\n".join(http),
        )
    )
    command = [NGINX, "-p", str(folder), "-c", str(config), "-e", "stderr"]
    return running(command, port, folder, {}, "/plain/ready")
