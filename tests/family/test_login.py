"""Flask-Login."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, abort, request
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user

from flask_sealed import Sealed, sealed
from flask_sealed.testing import SealedClient, sealed_client

from ..conftest import MakeCaller
from .conftest import MakeFlask, Place, orders, plain_client


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


# Not `app`, for which pytest-flask would push one context for all requests of a test.
@pytest.fixture
def flask_app(make_flask: MakeFlask, place: Place[LoginManager]) -> Flask:
    app = make_flask()
    manager = place(app, lambda: LoginManager(app))

    @manager.request_loader
    def by_token(came: Any) -> User | None:
        name = came.headers.get("Authorization")
        return User(name) if name else None

    @manager.user_loader
    def by_session(name: str) -> User:
        return User(name)

    for name, decorate in orders(login_required):
        app.add_url_rule(f"/{name}", name, decorate(me))
    return app


def me() -> dict[str, Any]:
    return {"user": current_user.get_id()}


PATHS = "/order0", "/order1"
ADA = {"Authorization": "ada"}


def users(client: SealedClient, **more: Any) -> list[Any]:
    answers = [client.get(path, **more) for path in PATHS]
    return [
        one.get_json()["user"] if one.status_code == 200 else one.status_code for one in answers
    ]


def test_the_loader_reads_what_is_sealed(flask_app: Flask) -> None:
    client = sealed_client(flask_app)
    assert users(client, headers=ADA) == ["ada", "ada"]
    client.assert_not_on_wire("Authorization: ada")
    assert users(client) == [401, 401]


def test_a_hook_that_asks_for_the_user_first(flask_app: Flask) -> None:
    """It sees nobody, and that is not kept for the view."""
    seen = []
    flask_app.before_request(lambda: seen.append(current_user.get_id()))
    assert users(sealed_client(flask_app), headers=ADA) == ["ada", "ada"]
    assert set(seen) == {None}


def test_an_outer_header_makes_nobody_of_a_sealed_request(
    flask_app: Flask, make_caller: MakeCaller
) -> None:
    """Whoever is on the way could have Ada's transfer made in the name of another."""
    seen = []
    flask_app.before_request(lambda: seen.append(current_user.get_id()))
    caller = make_caller(flask_app)
    outer = {"authorization": "eve"}
    assert [caller.get(path, outer=outer).status for path in PATHS] == [401, 401]
    inner = caller.get("/order0", headers=ADA, outer=outer)
    assert inner.json() == {"user": "ada"}
    assert "eve" in seen


def test_hooks_after_the_view_see_its_user(flask_app: Flask) -> None:
    seen = []

    @flask_app.after_request
    def see(response: Any) -> Any:
        seen.append(current_user.get_id())
        return response

    assert users(sealed_client(flask_app), headers=ADA) == ["ada", "ada"]
    assert seen[-2:] == ["ada", "ada"]


# Flask-Login asks for the time as Python would not have it any more since its version 3.12.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:flask_login.login_manager")
@pytest.mark.parametrize("remember", [True, False])
def test_a_login_in_the_session(flask_app: Flask, remember: bool) -> None:
    """The session's cookie is signed, and never sealed."""

    @flask_app.post("/login")
    @sealed
    def login() -> Any:
        login_user(User(request.get_json()["user"]), remember=remember)
        return {}

    flask_app.before_request(lambda: current_user.get_id() and None)
    client = sealed_client(flask_app)
    client.post("/login", json={"user": "ada"})
    headers = str(client.wire[-1].response.headers)
    assert ("remember_token=ada|" in headers) is remember
    assert users(client) == ["ada", "ada"]


def demand_login() -> None:
    if not current_user.is_authenticated:
        abort(401)


def test_a_login_demanded_by_a_hook(flask_app: Flask, sealing: Sealed) -> None:
    """It refuses everyone, handshakes too; before views it refuses who is not logged in."""
    flask_app.add_url_rule("/all", "all", sealed(me))
    flask_app.before_request(demand_login)
    assert plain_client(flask_app).post("/sealed/session", data=b"{}").status_code == 401
    flask_app.before_request_funcs[None].remove(demand_login)
    sealing.before_view(demand_login)
    client = sealed_client(flask_app)
    assert client.get("/all").status_code == 401
    assert client.get("/all", headers=ADA).json == {"user": "ada"}
    assert client.get("/sealed/routes").status_code == 200
