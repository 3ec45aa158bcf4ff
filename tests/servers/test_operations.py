"""The configuration of nginx that the page on operations shows, in front of gunicorn."""

from __future__ import annotations

import os
import re
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flask_sealed.protocol.flow import Send

from ..ports import free_port
from . import process
from .conftest import Service, Start, pins, settings
from .process import Server

PAGE = Path(__file__).parents[2] / "docs" / "operations.rst"
# What else a configuration has to say where nginx is no service of the machine.
CONFIG = """
{user}
daemon off;
pid {folder}/shown.pid;
error_log stderr warn;
events {{}}
http {{
    {alone}
    {shown}
}}
"""
PIECE = bytes(64 * 1024)
#: What it lets through at once, by address.
BURST = 20


def as_shown(start: Start, folder: Path) -> Server:
    found = re.search(r"\.\. code-block:: nginx\n\n((?:    .*\n|\n)+)", PAGE.read_text("utf-8"))
    assert found
    shown = textwrap.dedent(found[1])
    server = start(process.gunicorn(folder, settings(folder), kind="gthread"))
    port = free_port()
    shown = shown.replace("http://127.0.0.1:5000", server.base)
    shown = shown.replace("server {", f"server {{\n    listen 127.0.0.1:{port};")
    config = folder / "shown.conf"
    user = "user root root;" if os.geteuid() == 0 else ""
    alone = process.NGINX_ALONE.format(folder=folder, name="shown")
    config.write_text(CONFIG.format(user=user, folder=folder, alone=alone, shown=shown))
    command = [process.NGINX, "-p", str(folder), "-c", str(config), "-e", "stderr"]
    return start(process.running(command, port, folder, {}, "/plain/ready"))


def test_the_proxy_that_is_shown(start: Start, tmp_path: Path) -> None:
    proxy = as_shown(start, tmp_path)
    caller = Service(proxy, pins(tmp_path)).caller()
    # More than nginx takes by default.
    sent = caller.post("/upload", content_iter=[PIECE] * 32)
    assert sent.json()["size"] == 32 * len(PIECE)
    wire, hello = Service(proxy, ()).wire, Send("POST", "/sealed/session", (), b"{}")
    statuses: list[int] = []
    with ThreadPoolExecutor(4) as threads:
        # On a machine that is busy with something else, they may come one by one at first.
        for _ in range(10):
            statuses += threads.map(lambda _: wire.send(hello).status, range(3 * BURST))
            if 503 in statuses:
                break
    assert 503 in statuses
    assert statuses.count(400) >= BURST // 2
    assert caller.get("/what").status == 200
