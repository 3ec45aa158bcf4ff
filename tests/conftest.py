"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from flask import Flask
from hypothesis import settings

from flask_sealed import Sealed

from .peer import Peer

# A machine that is busy with something else makes no test fail.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

MakeApp = Callable[..., Flask]


@pytest.fixture
def peer() -> Peer:
    return Peer(os.urandom(32))


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
