"""Which views are sealed: every way to write a view, every order of decorators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from flask.views import MethodView, View
from werkzeug.routing import Rule

from flask_sealed import ConfigError, Sealed, sealed

from .conftest import MakeApp
from .peer import Peer, problem

ANSWER = {"card": "4242"}


def subclass(name: str, base: Any, **members: Any) -> Any:
    return type(name, (base,), members)


def passing(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return inner


def losing(view: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return inner


def answer() -> dict[str, str]:
    return ANSWER


async def answer_async() -> dict[str, str]:
    return ANSWER


class Whole(MethodView):
    def get(self) -> dict[str, str]:
        return ANSWER

    def post(self) -> Any:
        return request.get_json()


class Dispatching(View):
    def dispatch_request(self) -> dict[str, str]:
        return ANSWER


class Single(MethodView):
    def get(self) -> dict[str, str]:
        return ANSWER

    @sealed
    def post(self) -> Any:
        return request.get_json()


class Overriding(Single):
    def post(self) -> Any:
        return {"from": "a subclass"}


@pytest.mark.parametrize(
    "view",
    [
        sealed(answer),
        sealed()(answer),
        sealed(profile="level3")(answer),
        sealed(answer_async),
        sealed(passing(answer)),
        passing(sealed(answer)),
        passing(passing(sealed(passing(answer)))),
        sealed(losing(answer)),
        sealed(sealed(answer)),
        sealed(subclass("SealedWhole", Whole)).as_view("whole"),
        sealed(subclass("SealedDispatching", Dispatching)).as_view("dispatching"),
        sealed(Whole.as_view("function")),
        subclass("Decorated", Whole, decorators=[sealed]).as_view("decorated"),
        subclass("Child", sealed(subclass("Parent", Whole)), decorators=[passing]).as_view("c"),
    ],
)
def test_sealed_views(make_app: MakeApp, peer: Peer, view: Callable[..., Any]) -> None:
    app = make_app()
    app.add_url_rule("/view", "view", view)
    client = app.test_client()
    for _ in range(2):
        response = client.get("/view")
        assert b"4242" not in response.data
        assert peer.json(response) == ANSWER
    assert client.head("/view").content_length == len(response.data)


def test_single_methods(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    app.add_url_rule("/single", view_func=Single.as_view("single"))
    client = app.test_client()
    assert client.get("/single").json == ANSWER
    assert peer.json(peer.send(client, "/single", b'{"a":1}')) == {"a": 1}
    assert problem(client.post("/single", json={"a": 1})) == "malformed"


def test_a_method_that_overrides_a_sealed_one_is_sealed(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    app.add_url_rule("/single", view_func=Overriding.as_view("single"))
    client = app.test_client()
    assert peer.json(peer.send(client, "/single", b"{}")) == {"from": "a subclass"}
    assert problem(client.post("/single", data="x")) == "sealed-required"


def test_views_with_url_values_and_two_rules(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()

    @app.get("/a/<int:number>", endpoint="same")
    @app.get("/b/<int:number>", endpoint="same")
    @sealed
    def view(number: int) -> dict[str, int]:
        return {"number": number}

    client = app.test_client()
    assert peer.json(client.get("/a/1")) == {"number": 1}
    assert peer.json(client.get("/b/2")) == {"number": 2}


def test_a_lost_mark_fails_closed(make_app: MakeApp) -> None:
    app = make_app()
    app.add_url_rule("/lost", "lost", losing(sealed(answer)))
    app.add_url_rule("/async", "async", losing(sealed(answer_async)))
    marked = sealed(subclass("Marked", Whole))
    app.add_url_rule("/class", "class", losing(marked.as_view("class")))
    client = app.test_client()
    for path in ("/lost", "/class"):
        response = client.get(path)
        assert response.status_code == 500
        assert b"4242" not in response.data


def test_without_the_extension_sealed_views_fail_closed() -> None:
    app = Flask(__name__)
    app.add_url_rule("/view", "view", sealed(answer))
    bp = Blueprint("bp", __name__)
    bp.add_url_rule("/bp", view_func=answer)
    Sealed().blueprint(bp)
    app.register_blueprint(bp)
    client = app.test_client()
    for path in ("/view", "/bp"):
        assert client.get(path).status_code == 500


def test_a_sealed_function_refuses_to_be_called_from_elsewhere(make_app: MakeApp) -> None:
    app = make_app()
    view = sealed(answer)
    app.add_url_rule("/open", "open", losing(view))
    app.add_url_rule("/sealed", "sealed", view)
    with pytest.raises(ConfigError, match="outside of a sealed request"):
        view()
    assert app.test_client().get("/open").status_code == 500
    with app.test_request_context("/sealed"), pytest.raises(ConfigError, match="its hooks"):
        app.view_functions["sealed"]()


def test_blueprints(make_app: MakeApp, peer: Peer) -> None:
    parent, child = Blueprint("parent", __name__), Blueprint("child", __name__)
    other = Blueprint("other", __name__)
    for bp in (parent, child, other):
        bp.add_url_rule(f"/{bp.name}", view_func=answer)
    child.add_url_rule("/own", "own", sealed(request=False)(lambda: ANSWER), methods=["POST"])
    seal = Sealed()
    seal.blueprint(parent)
    parent.register_blueprint(child)
    app = make_app()
    app.register_blueprint(parent, name="renamed")
    app.register_blueprint(other)
    client = app.test_client()
    assert peer.json(client.get("/parent")) == ANSWER
    assert peer.json(client.get("/child")) == ANSWER
    assert client.get("/other").json == ANSWER
    assert peer.json(client.post("/own", json={})) == ANSWER  # its own mark goes before


def test_views_of_a_sealed_blueprint_that_come_too_late_fail_closed(make_app: MakeApp) -> None:
    app, bp = make_app(), Blueprint("bp", __name__)
    Sealed().blueprint(bp)
    app.extensions["sealed"].prepare(app)  # as the first request does
    bp.add_url_rule("/late", view_func=answer)
    app.register_blueprint(bp)
    response = app.test_client().get("/late")
    assert response.status_code == 500
    assert b"4242" not in response.data
    assert app.test_client().options("/late").status_code == 200


def test_a_rule_for_all_methods_cannot_be_sealed(make_app: MakeApp) -> None:
    app = make_app(PROPAGATE_EXCEPTIONS=True)
    app.view_functions["all"] = Overriding.as_view("all")
    app.url_map.add(Rule("/all", endpoint="all"))
    with pytest.raises(ConfigError, match="'/all' of a sealed view takes all methods"):
        app.test_client().post("/all", data="x")


def test_a_rule_without_a_view_harms_no_other(make_app: MakeApp, peer: Peer) -> None:
    app, bp = make_app(), Blueprint("bp", __name__)
    Sealed().blueprint(bp)
    bp.add_url_rule("/none", "none")
    bp.add_url_rule("/view", view_func=answer)
    app.register_blueprint(bp)
    assert peer.json(app.test_client().get("/view")) == ANSWER
    assert app.test_client().get("/none").status_code == 500


def test_automatic_options_stay_in_clear(make_app: MakeApp) -> None:
    app = make_app()
    app.add_url_rule("/view", "view", sealed(answer), methods=["GET", "POST"])
    response = app.test_client().options("/view")
    assert response.status_code == 200
    assert response.allow == {"GET", "HEAD", "POST", "OPTIONS"}


def test_an_options_handler_cannot_be_sealed(make_app: MakeApp) -> None:
    app = make_app()
    app.add_url_rule("/view", "view", sealed(answer), methods=["GET", "OPTIONS"])
    app.add_url_rule("/other", "other", answer)
    app.testing = True
    for path in ("/view", "/other", "/view"):
        with pytest.raises(ConfigError, match="'view' handles OPTIONS"):
            app.test_client().get(path)


def test_a_view_without_any_profile(make_app: MakeApp) -> None:
    app = make_app(SEALED_PROFILE=None)
    app.add_url_rule("/view", "view", sealed(answer))
    app.testing = True
    with pytest.raises(ConfigError, match="SEALED_PROFILE"):
        app.test_client().get("/view")


def test_a_view_that_names_its_profile(make_app: MakeApp, peer: Peer) -> None:
    app = make_app(SEALED_PROFILE=None)
    app.add_url_rule("/view", "view", sealed(profile="level3")(answer))
    assert peer.json(app.test_client().get("/view")) == ANSWER


def test_a_view_that_names_a_profile_without_its_key(make_app: MakeApp) -> None:
    app = make_app(SEALED_PROFILE=None, SEALED_LEVEL3_KEY=None)
    app.add_url_rule("/view", "view", sealed(profile="level3")(answer))
    app.testing = True
    with pytest.raises(ConfigError, match="SEALED_LEVEL3_KEY is not set"):
        app.test_client().get("/view")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sealed(request=False, response=False), "seals nothing"),
        (lambda: sealed(profile="level4"), "'level4' is no profile"),  # type: ignore[call-overload]
        (lambda: sealed(sealed(request=False)(answer)), "sealed twice"),
        (lambda: sealed(dict), "no flask View"),
        (lambda: sealed("text"), "is none"),  # type: ignore[call-overload]
        (
            lambda: Sealed().blueprint(Blueprint("b", "b"), request=False, response=False),
            "nothing",
        ),
    ],
)
def test_mistakes_are_told_where_they_are_made(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_view_stays_itself() -> None:
    view = sealed(answer)
    assert view.__name__ == "answer"
    assert vars(view)["__wrapped__"] is answer
