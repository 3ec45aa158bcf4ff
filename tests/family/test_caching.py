"""Flask-Caching."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from flask import Flask
from flask.views import MethodView
from flask_caching import Cache
from flask_restx import Api, Resource

from flask_sealed import ConfigError, Sealed, current, sealed
from flask_sealed.testing import sealed_client

from .conftest import MakeFlask, Place, orders, plain_client

SIMPLE = {"CACHE_TYPE": "SimpleCache"}


# Not `app`, for which pytest-flask would push one context for all requests of a test.
@pytest.fixture
def flask_app(make_flask: MakeFlask) -> Flask:
    return make_flask()


@pytest.fixture
def cache(flask_app: Flask, place: Place[Cache]) -> Cache:
    return place(flask_app, lambda: Cache(flask_app, config=SIMPLE))


def balance() -> dict[str, str | None]:
    return {"of": current.binding}


def refused(flask_app: Flask) -> None:
    """The application answers nothing at all until it is mended."""
    flask_app.add_url_rule("/other", "other", lambda: "in clear")
    for _ in range(2):
        with pytest.raises(ConfigError):
            plain_client(flask_app).get("/other")


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", ["cached", "memoize"])
def test_a_cached_view_cannot_be_sealed(
    flask_app: Flask, cache: Cache, order: int, name: str
) -> None:
    _, decorate = list(orders(getattr(cache, name)(60)))[order]
    flask_app.add_url_rule("/balance", "balance", decorate(balance))
    refused(flask_app)


@pytest.mark.parametrize("order", [0, 1])
def test_a_cached_method(flask_app: Flask, cache: Cache, order: int) -> None:
    _, decorate = list(orders(cache.cached(60)))[order]
    view: Any = type("Balance", (MethodView,), {"get": decorate(lambda self: balance())})
    flask_app.add_url_rule("/balance", view_func=view.as_view("balance"))
    refused(flask_app)


def test_a_cached_class(flask_app: Flask, cache: Cache) -> None:
    class Balance(MethodView):
        decorators: ClassVar = [sealed, cache.cached(60)]

        def get(self) -> Any:
            return balance()

    flask_app.add_url_rule("/balance", view_func=Balance.as_view("balance"))
    refused(flask_app)


def test_a_cached_resource_of_restx(flask_app: Flask, cache: Cache) -> None:
    class Balance(Resource):  # type: ignore[misc]
        method_decorators = (cache.cached(60),)

        def get(self) -> Any:
            return balance()

    Api(flask_app).add_resource(sealed(Balance), "/balance")
    refused(flask_app)


def test_methods_beside_a_sealed_one_may_be_cached(flask_app: Flask, cache: Cache) -> None:
    class Rates(MethodView):
        @cache.cached(60)
        def get(self) -> Any:
            return {"rate": "0.94"}

        @sealed
        def post(self) -> Any:
            return balance()

    flask_app.add_url_rule("/rates", view_func=Rates.as_view("rates"))
    client = sealed_client(flask_app)
    for _ in range(2):
        assert client.get("/rates").json == {"rate": "0.94"}
    answers = [one.post("/rates").json for one in (client, sealed_client(flask_app))]
    assert answers[0] != answers[1]


def test_what_a_view_calls_may_be_cached(flask_app: Flask, cache: Cache) -> None:
    asked = []

    @cache.memoize(60)
    def rate(currency: str) -> str:
        asked.append(currency)
        return "0.94"

    @flask_app.get("/balance")
    @sealed
    def view() -> Any:
        return {**balance(), "rate": rate("EUR")}

    answers = [sealed_client(flask_app).get("/balance").get_json() for _ in range(2)]
    assert [one["rate"] for one in answers] == ["0.94", "0.94"]
    assert answers[0]["of"] != answers[1]["of"]
    assert asked == ["EUR"]


def test_why(make_flask: MakeFlask) -> None:
    """Without a seal, one caller is handed what another one got."""
    app = make_flask()
    cache = Cache(app, config=SIMPLE)
    Sealed(app)
    numbers = iter(range(2))
    app.add_url_rule("/number", "number", cache.cached(60)(lambda: {"number": next(numbers)}))
    assert [plain_client(app).get("/number").json for _ in range(2)] == [{"number": 0}] * 2
    assert b"number" in str(cache.cache._cache).encode()
