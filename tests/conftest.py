"""Fixtures that all tests share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from hypothesis import HealthCheck, settings

from flask_sealed import Sealed
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.rotation import new_ring

from .clock import Ticks
from .driver import FlaskWire, SealedCaller
from .patience import wait_long
from .peer import Peer
from .redis_server import RedisServer, standing

# A machine that is busy with something else makes no test fail.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
wait_long()

MakeApp = Callable[..., Flask]
MakeCaller = Callable[..., SealedCaller]
AUDIENCE = "https://bank.example"
PSK = "ledger"


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    """The monotonic clock, which stands still."""
    clock = Ticks()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis that many tests share, each with keys of its own."""
    with standing() as server:
        yield server


@pytest.fixture
def peer() -> Peer:
    return Peer(os.urandom(32))


@pytest.fixture(scope="session")
def ring() -> KeyRing:
    """A keyring with an identity key, its backup, a ticket key and a pre-shared key."""
    keys = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    ring = new_ring(*keys, now=int(time.time()), random=os.urandom)
    return ring.add(Key(kid=PSK, purpose="psk", material=os.urandom(32)))


def make_flask(matching: str) -> Flask:
    """An application that tells hosts or subdomains apart, or neither."""
    app = Flask(
        "tests.app",
        static_folder=None if matching == "host" else "static",
        host_matching=matching == "host",
        subdomain_matching=matching == "subdomain",
    )
    if matching == "subdomain":
        # Not for hosts: before its version 3.1, Flask takes it for the host of each request.
        app.config["SERVER_NAME"] = "localhost"
    return app


def two_hosts(matching: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What rules of such an application say of their host: of one, and of another."""
    end = ".localhost" if matching == "host" else ""
    return {matching: f"api{end}"}, {matching: f"www{end}"}


@pytest.fixture
def make_session_app(ring: KeyRing) -> MakeApp:
    """Makes applications with a `Sealed` in the session profile, as they run in production."""

    def make(matching: str = "none", **settings: object) -> Flask:
        app = make_flask(matching)
        app.config.update(
            SEALED_AUDIENCE=AUDIENCE,
            SEALED_KEYRING=ring.to_json().decode(),
            SEALED_REPLAY_STORE="memory://",
        )
        app.config.update(settings)
        # As if it had begun long ago.
        app.debug, debug = True, app.debug
        Sealed(app)
        app.debug = debug
        return app

    return make


@pytest.fixture
def make_caller(ring: KeyRing) -> MakeCaller:
    """Makes clients of an application that have pinned its identity keys."""

    def make(app: Flask, **more: Any) -> SealedCaller:
        pins = ring.pins(int(time.time()))
        return SealedCaller(FlaskWire(app), audience=AUDIENCE, ring_pins=pins, **more)

    return make


@pytest.fixture
def make_app(peer: Peer) -> MakeApp:
    """Makes applications with a `Sealed` in the Level 3 profile, as they run in production."""

    def make(**settings: object) -> Flask:
        app = Flask("tests.app")
        app.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=peer.secret.hex())
        app.config.update(settings)
        Sealed(app)
        return app

    return make
