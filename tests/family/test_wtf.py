"""Flask-WTF."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request
from flask_wtf import CSRFProtect, FlaskForm
from flask_wtf.csrf import generate_csrf
from werkzeug.http import parse_cookie
from wtforms import StringField
from wtforms.validators import InputRequired

from flask_sealed import Sealed, sealed
from flask_sealed.testing import SealedClient, sealed_client

from ..conftest import MakeCaller
from .conftest import MakeFlask, Place, plain_client

Protected = tuple[Flask, CSRFProtect]


class Transfer(FlaskForm):  # type: ignore[misc]
    to = StringField(validators=[InputRequired()])


def token() -> dict[str, str]:
    return {"token": generate_csrf()}


def transfer() -> dict[str, Any]:
    return {"to": request.get_json()["to"]}


def form() -> Any:
    filled = Transfer()
    return {"to": filled.to.data} if filled.validate_on_submit() else (filled.errors, 422)


@pytest.fixture
def protected(make_flask: MakeFlask, place: Place[CSRFProtect]) -> Protected:
    """Flask-WTF as its own documentation sets it up."""
    app = make_flask()
    csrf = place(app, lambda: CSRFProtect(app))
    app.add_url_rule("/token", view_func=sealed(token))
    app.add_url_rule("/transfer", view_func=sealed(transfer), methods=["POST"])
    app.add_url_rule("/form", view_func=sealed(form), methods=["POST"])
    app.add_url_rule("/clear", "clear", transfer, methods=["POST"])
    return app, csrf


def headers(client: SealedClient) -> dict[str, str]:
    return {"X-CSRFToken": client.get("/token").get_json()["token"]}


TO = {"to": "40-2001"}


def test_a_handshake_needs_no_token(protected: Protected) -> None:
    app, _ = protected
    assert plain_client(app).post("/clear", json=TO).status_code == 400
    assert sealed_client(app).get("/token").status_code == 200


def test_tokens_in_sealed_headers(protected: Protected) -> None:
    client = sealed_client(protected[0])
    response = client.post("/transfer", json=TO, headers=headers(client))
    assert response.json == TO
    client.assert_not_on_wire("X-CSRFToken")


def test_tokens_in_sealed_forms(protected: Protected) -> None:
    client = sealed_client(protected[0])
    good = headers(client)["X-CSRFToken"]
    assert client.post("/form", data={**TO, "csrf_token": good}).json == TO
    assert client.post("/form", data=TO, headers={"X-CSRFToken": good}).json == TO
    assert client.post("/form", data={"csrf_token": good}).status_code == 422
    client.assert_not_on_wire("40-2001")


def test_without_the_right_token(protected: Protected) -> None:
    client, other = sealed_client(protected[0]), sealed_client(protected[0])
    assert client.post("/transfer", json=TO).status_code == 400
    assert client.post("/form", data=TO).status_code == 400
    assert client.post("/transfer", json=TO, headers=headers(other)).status_code == 400
    assert client.get("/sealed/routes").status_code == 200


def test_a_token_beside_the_seal_is_none(protected: Protected, make_caller: MakeCaller) -> None:
    browser = sealed_client(protected[0])
    outer = headers(browser)
    cookie = parse_cookie(dict(browser.wire[-1].response.headers)["Set-Cookie"])
    caller = make_caller(protected[0])
    wire: Any = caller.wire
    wire.client.set_cookie("session", cookie["session"])
    assert caller.post("/transfer", json=TO, outer=outer).status == 400
    assert caller.post("/transfer", json=TO, headers=outer).json() == TO


def test_views_in_clear_are_checked_as_ever(protected: Protected) -> None:
    client = sealed_client(protected[0])
    assert client.post("/clear", json=TO).status_code == 400
    assert client.post("/clear", json=TO, headers=headers(client)).json == TO


def test_the_referrer_is_checked_too(protected: Protected) -> None:
    client = sealed_client(protected[0])
    https = {"base_url": "https://localhost"}
    sent = {"X-CSRFToken": client.get("/token", **https).get_json()["token"]}
    assert client.post("/transfer", json=TO, headers=sent, **https).status_code == 400
    sent["Referer"] = "https://localhost/page"
    assert client.post("/transfer", json=TO, headers=sent, **https).json == TO


@pytest.mark.parametrize("exempt_first", [True, False])
def test_an_exempt_view(protected: Protected, exempt_first: bool) -> None:
    app, csrf = protected
    view = sealed(csrf.exempt(hook)) if exempt_first else csrf.exempt(sealed(hook))
    app.add_url_rule("/hook", view_func=view, methods=["POST"])
    assert sealed_client(app).post("/hook").json == {}


def hook() -> dict[str, str]:
    return {}


def test_a_hook_of_the_application_that_checks(make_flask: MakeFlask, place: Place[Any]) -> None:
    app = make_flask(WTF_CSRF_CHECK_DEFAULT=False)
    csrf = place(app, lambda: CSRFProtect(app))
    app.add_url_rule("/token", view_func=sealed(token))
    app.add_url_rule("/transfer", view_func=sealed(transfer), methods=["POST"])
    app.add_url_rule("/free", "free", sealed(transfer), methods=["POST"])

    @app.before_request
    def check() -> None:
        if request.path != "/free":
            csrf.protect()

    client = sealed_client(app)
    assert client.post("/transfer", json=TO).status_code == 400
    assert client.post("/transfer", json=TO, headers=headers(client)).json == TO
    assert client.post("/free", json=TO).json == TO


def test_a_view_that_checks_itself(make_flask: MakeFlask, place: Place[Any]) -> None:
    app = make_flask(WTF_CSRF_CHECK_DEFAULT=False)
    csrf = place(app, lambda: CSRFProtect(app))
    app.add_url_rule("/token", view_func=sealed(token))

    @app.post("/transfer")
    @sealed
    def view() -> Any:
        csrf.protect()
        return transfer()

    client = sealed_client(app)
    assert client.post("/transfer", json=TO).status_code == 400
    assert client.post("/transfer", json=TO, headers=headers(client)).json == TO


def test_one_object_for_applications_with_a_sealed_and_without(make_flask: MakeFlask) -> None:
    csrf = CSRFProtect()
    with_, without, again = make_flask(), Flask("without"), make_flask()
    without.secret_key = "k" * 32
    for app in (with_, without, again):
        csrf.init_app(app)
        app.add_url_rule("/token", "token", token)
        app.add_url_rule("/transfer", "transfer", transfer, methods=["POST"])
    for app in (with_, again):
        Sealed(app)
        assert sealed_client(app).get("/sealed/routes").status_code == 200
    for app in (with_, without, again):
        client = app.test_client()
        assert client.post("/transfer", json=TO).status_code == 400
        sent = {"X-CSRFToken": client.get("/token").get_json()["token"]}
        assert client.post("/transfer", json=TO, headers=sent).json == TO


def test_what_goes_wrong_is_sealed(protected: Protected) -> None:
    app, _ = protected

    @app.errorhandler(400)
    def told(error: Any) -> Any:
        return {"told": error.description}, 400

    client = sealed_client(app)
    assert "CSRF" in client.post("/transfer", json=TO).get_json()["told"]
    client.assert_not_on_wire("CSRF")


def test_a_check_is_postponed_once(protected: Protected, make_flask: MakeFlask) -> None:
    """Also where one object serves several applications that have a `Sealed`."""
    app, csrf = protected
    other = make_flask()
    csrf.init_app(other)
    Sealed(other)
    for site in (app, other):
        assert sealed_client(site).get("/sealed/routes").status_code == 200
    assert not hasattr(csrf.protect.__wrapped__, "__wrapped__")
