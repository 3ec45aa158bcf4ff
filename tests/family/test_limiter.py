"""Flask-Limiter."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from flask_sealed import current, sealed
from flask_sealed.testing import SealedClient, sealed_client

from .conftest import MakeFlask, Place, orders, plain_client


# Not `app`, for which pytest-flask would push one context for all requests of a test.
@pytest.fixture
def flask_app(make_flask: MakeFlask) -> Flask:
    return make_flask()


Limit = Callable[..., Limiter]


@pytest.fixture
def limit(flask_app: Flask, place: Place[Limiter]) -> Limit:
    def make(key: Callable[[], Any] = get_remote_address, **more: Any) -> Limiter:
        return place(
            flask_app, lambda: Limiter(key, app=flask_app, storage_uri="memory://", **more)
        )

    return make


def authorization() -> Any:
    return request.headers.get("Authorization")


def card() -> dict[str, str]:
    return {"last4": "4242"}


def statuses(client: SealedClient, path: str, user: str, count: int = 2) -> list[int]:
    headers = {"Authorization": user}
    return [client.get(path, headers=headers).status_code for _ in range(count)]


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("key", [authorization, get_remote_address, lambda: current.binding])
def test_a_limit_of_a_view(flask_app: Flask, limit: Limit, order: int, key: Any) -> None:
    """It is checked where the decorator stands, inside the seal, and counts once."""
    limiter = limit(headers_enabled=True)
    _, decorate = list(orders(limiter.limit("1/hour", key_func=key)))[order]
    flask_app.add_url_rule("/card", "card", decorate(card))
    client = sealed_client(flask_app)
    assert statuses(client, "/card", "Ada") == [200, 429]
    # What the client is told is sealed; proxies may know when to try again.
    assert b"1 per 1 hour" not in client.wire[-1].response.body
    assert "Retry-After" in dict(client.wire[-1].response.headers)
    others = [200, 429] if key is not get_remote_address else [429, 429]
    assert statuses(sealed_client(flask_app), "/card", "Eve") == others


@pytest.mark.parametrize("scope", ["application", "blueprint"])
def test_limits_outside_of_the_view(
    flask_app: Flask, limit: Limit, scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of all views and of blueprints are checked in a hook, which sees nothing sealed: with
    a key in there they are no limits at all, and with the sender's key they are."""
    caplog.set_level(logging.ERROR)
    keys: dict[str, Callable[[], Any]] = {"sealed": authorization}
    rule = ["2/hour"] if scope == "application" else []
    limiter = limit(lambda: keys["sealed"](), default_limits=rule)
    blueprint = Blueprint("cards", __name__)
    blueprint.add_url_rule("/card", "card", sealed(card))
    if scope == "blueprint":
        limiter.limit("2/hour")(blueprint)
    flask_app.register_blueprint(blueprint)
    assert statuses(sealed_client(flask_app), "/card", "Ada", 3) == [200, 200, 200]
    assert caplog.records
    keys["sealed"] = lambda: current.binding or get_remote_address()
    for _ in range(2):
        assert statuses(sealed_client(flask_app), "/card", "Ada", 3) == [200, 200, 429]


def test_handshakes_are_limited_by_address(flask_app: Flask, limit: Limit) -> None:
    limit(default_limits=["2/hour"])
    codes = [plain_client(flask_app).post("/sealed/session", data=b"{}") for _ in range(3)]
    assert [one.status_code for one in codes] == [400, 400, 429]


def test_refusals_are_not_counted(flask_app: Flask, limit: Limit) -> None:
    """A request that is not sealed as it has to be is answered before any limit is asked."""
    limit(default_limits=["1/hour"])
    flask_app.add_url_rule("/card", "card", sealed(card))
    codes = [plain_client(flask_app).get("/card").status_code for _ in range(3)]
    assert codes == [400, 400, 400]
    client = sealed_client(flask_app)
    assert [client.get("/card").status_code for _ in range(2)] == [200, 429]
