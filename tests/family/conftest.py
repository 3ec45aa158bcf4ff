"""Applications that have other extensions beside a `Sealed`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any, TypeVar

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_sealed import Sealed, sealed
from flask_sealed.protocol.keys import KeyRing

T = TypeVar("T")
Decorator = Callable[[Any], Any]

MakeFlask = Callable[..., Flask]
Place = Callable[[Flask, Callable[[], T]], T]


@pytest.fixture
def make_flask(ring: KeyRing) -> MakeFlask:
    """Makes applications whose settings are complete, and which have no `Sealed` yet."""

    def make(cls: type[Flask] = Flask, **settings: object) -> Flask:
        app = cls("tests.app")
        app.config.update(
            TESTING=True,
            SECRET_KEY="k" * 32,
            SEALED_AUDIENCE="https://bank.example",
            SEALED_KEYRING=ring.to_json().decode(),
            SEALED_REPLAY_STORE="memory://",
        )
        app.config.update(settings)
        return app

    return make


@pytest.fixture
def sealing() -> Sealed:
    """The `Sealed` that `place` gives to applications."""
    return Sealed()


@pytest.fixture(params=["sealed first", "sealed last"])
def place(request: pytest.FixtureRequest, sealing: Sealed) -> Place[Any]:
    """Gives an application a `Sealed`, and what another function makes, before or after it."""

    def both(app: Flask, other: Callable[[], T]) -> T:
        if request.param == "sealed first":
            sealing.init_app(app)
            return other()
        made = other()
        sealing.init_app(app)
        return made

    return both


def orders(*decorators: Decorator) -> Iterator[tuple[str, Decorator]]:
    """All orders of ``@sealed`` and other decorators, each with a name."""
    for number, order in enumerate(permutations((sealed, *decorators))):
        yield f"order{number}", _stack(order)


def _stack(order: tuple[Decorator, ...]) -> Decorator:
    def decorate(view: Any) -> Any:
        for decorator in reversed(order):
            view = decorator(view)
        return view

    return decorate


def plain_client(app: Flask) -> FlaskClient:
    """Flask's own client, which seals nothing."""
    return FlaskClient(app, app.response_class)
