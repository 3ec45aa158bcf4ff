"""Servers of each kind, in front of one application."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flask_sealed.keyfile import create_keyring
from flask_sealed.stores.sqlite import SqliteStore

from ..driver import HttpWire, SealedCaller
from . import process
from .process import Server

AUDIENCE = "https://bank.example"
MOUNTED = "/mounted"

Start = Callable[..., Server]


class Service:
    """A server, what it shares with the test, and clients of it."""

    def __init__(self, server: Server, pins: tuple[bytes, ...]) -> None:
        self.server = server
        self.pins = pins
        self.wire = HttpWire(server.base)

    def caller(self, **more: Any) -> SealedCaller:
        more = {"origin": self.server.base, **more}
        return SealedCaller(self.wire, audience=AUDIENCE, ring_pins=self.pins, **more)


def settings(folder: Path, **more: object) -> dict[str, object]:
    """The application's settings, and a keyring."""
    ring = folder / "keyring.json"
    create_keyring(ring)
    store = folder / "replay.db"
    # Old enough: a new one refuses unsafe operations for two minutes.
    SqliteStore(store, clock=lambda: time.time() - 1000).check()
    return {
        "SEALED_AUDIENCE": AUDIENCE,
        "SEALED_KEYRING": str(ring),
        "SEALED_REPLAY_STORE": f"sqlite:///{store}",
        **more,
    }


def pins(folder: Path) -> tuple[bytes, ...]:
    return create_keyring(folder / "keyring.json").pins(int(time.time()))


def mounted(given: dict[str, object] | None) -> dict[str, object] | None:
    """The settings of an application that a proxy mounts below a path that clients do not see."""
    return given and {**given, "SEALED_PUBLIC_PATHS": {f"{MOUNTED}/": "/"}}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:
        yield lambda starting: stack.enter_context(starting)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


KINDS: dict[str, Callable[[ExitStack, Path, dict[str, object] | None], Server]] = {
    "gunicorn": lambda stack, folder, given: stack.enter_context(process.gunicorn(folder, given)),
    "gunicorn, preloaded, with threads": lambda stack, folder, given: stack.enter_context(
        process.gunicorn(folder, given, kind="gthread", preload=True)
    ),
    "waitress": lambda stack, folder, given: stack.enter_context(process.waitress(folder, given)),
    "development server": lambda stack, folder, given: stack.enter_context(
        process.development(folder, given)
    ),
    "nginx": lambda stack, folder, given: stack.enter_context(
        process.nginx(folder, stack.enter_context(process.gunicorn(folder, given)))
    ),
    "nginx, unbuffered": lambda stack, folder, given: stack.enter_context(
        process.nginx(
            folder,
            stack.enter_context(process.gunicorn(folder, given, kind="gthread")),
            lines=["proxy_request_buffering off;", "proxy_buffering off;"],
        )
    ),
    "nginx with a path": lambda stack, folder, given: stack.enter_context(
        process.nginx(
            folder,
            stack.enter_context(process.gunicorn(folder, mounted(given), script_name=MOUNTED)),
            path=f"{MOUNTED}/",
        )
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def plain(request: pytest.FixtureRequest, folder: Path) -> Iterator[Server]:
    """Each kind of server in turn, without any sealing."""
    with ExitStack() as stack:
        yield KINDS[request.param](stack, folder, None)


@pytest.fixture(scope="module", params=KINDS)
def service(request: pytest.FixtureRequest, folder: Path) -> Iterator[Service]:
    """Each kind of server in turn."""
    with ExitStack() as stack:
        server = KINDS[request.param](stack, folder, settings(folder))
        yield Service(server, pins(folder))
