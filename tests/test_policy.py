"""Which views are sealed: every way to write a view, every order of decorators."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from flask.views import MethodView, View
from werkzeug.routing import Rule

from flask_sealed import ConfigError, Sealed, Untrusted, sealed
from flask_sealed.config import ProfileName
from flask_sealed.protocol.keys import KeyRing
from flask_sealed.protocol.messages import Request

from .conftest import AUDIENCE, PSK, MakeApp, MakeCaller
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


@pytest.mark.parametrize("hosts", [("a", "b"), ("", "a"), ("<tenant>",)])
@pytest.mark.parametrize("matching", ["host", "subdomain"])
def test_no_header_decides_which_sealed_view_is_reached(
    make_session_app: MakeApp, matching: str, hosts: tuple[str, ...]
) -> None:
    app = make_session_app(matching, SEALED_HOST="a", PROPAGATE_EXCEPTIONS=True)
    for number, host in enumerate(hosts):
        where: dict[str, Any] = {matching: host}
        app.add_url_rule("/x", f"x{number}", sealed(lambda **_: "x"), **where)
    with pytest.raises(ConfigError):
        app.test_client().post("/")


@pytest.mark.parametrize("matching", ["host", "subdomain", "none"])
def test_one_host_of_all_sealed_views(
    make_session_app: MakeApp, peer: Peer, matching: str
) -> None:
    settings = {"PROPAGATE_EXCEPTIONS": True, "SEALED_LEVEL3_KEY": peer.secret.hex()}
    if matching != "none":
        settings["SEALED_HOST"] = "b"
    app = make_session_app(matching, **settings)
    kind = "subdomain" if matching == "none" else matching
    for number, host in enumerate(("a", "b")):
        where: dict[str, Any] = {kind: host}
        app.add_url_rule("/open", f"open{number}", lambda: "x", **where)
        app.add_url_rule("/old", f"old{number}", sealed(profile="level3")(answer), **where)
    app.add_url_rule("/x", "x", sealed(lambda: "x"), **where)
    assert app.test_client().post("/").status_code == 404


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


def test_a_view_that_names_its_profile(
    make_session_app: MakeApp, make_caller: MakeCaller, peer: Peer
) -> None:
    app = make_session_app(SEALED_LEVEL3_KEY=peer.secret.hex())
    app.add_url_rule("/old", "old", sealed(profile="level3")(answer))
    app.add_url_rule("/new", "new", sealed(answer))
    assert peer.json(app.test_client().get("/old")) == ANSWER
    caller = make_caller(app)
    assert caller.get("/new").json() == ANSWER
    # Neither is answered in the other's way.
    assert problem(app.test_client().get("/new")) == "sealed-required"
    with pytest.raises(Untrusted):
        caller.get("/old")
    assert b"4242" not in caller.raw.body


def test_a_session_view_in_a_level3_application(
    make_app: MakeApp, make_caller: MakeCaller, peer: Peer, ring: KeyRing
) -> None:
    app = make_app(SEALED_AUDIENCE=AUDIENCE, SEALED_KEYRING=ring.to_json().decode())
    app.add_url_rule("/old", "old", sealed(answer))
    app.add_url_rule("/new", "new", sealed(profile="session")(answer))
    assert peer.json(app.test_client().get("/old")) == ANSWER
    assert make_caller(app).get("/new").json() == ANSWER


@pytest.mark.parametrize(
    ("settings", "profile", "said"),
    [
        ({}, "session", ["'view'", "SEALED_KEYRING"]),
        (
            {"SEALED_PROFILE": "session", "SEALED_LEVEL3_KEY": None},
            "level3",
            ["'view'", "SEALED_LEVEL3_KEY"],
        ),
    ],
)
def test_a_view_that_names_a_profile_without_its_keys(
    make_app: MakeApp,
    ring: KeyRing,
    settings: dict[str, Any],
    profile: ProfileName,
    said: list[str],
) -> None:
    if settings:
        settings |= {"SEALED_AUDIENCE": AUDIENCE, "SEALED_KEYRING": ring.to_json().decode()}
        settings |= {"SEALED_REPLAY_STORE": "memory://"}
    app = make_app(**settings)
    app.add_url_rule("/view", "view", sealed(profile=profile)(answer))
    app.testing = True
    with pytest.raises(ConfigError) as caught:
        app.test_client().get("/view")
    assert not [words for words in said if words not in str(caught.value)]


@pytest.mark.parametrize(
    "more", [{"request": False}, {"response": False}], ids=["request", "response"]
)
def test_sessions_seal_both_directions(make_session_app: MakeApp, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        sealed(profile="session", **more)
    with pytest.raises(ConfigError):
        Sealed().blueprint(Blueprint("b", "b"), profile="session", **more)
    app = make_session_app()
    app.add_url_rule("/view", "view", sealed(**more)(answer))
    app.testing = True
    with pytest.raises(ConfigError) as caught:
        app.test_client().get("/view")
    assert "'view'" in str(caught.value)


@pytest.mark.parametrize("name", ["once", "kem", "pad"])
def test_level3_has_no_once_kem_and_pad(make_app: MakeApp, name: str) -> None:
    demand: dict[str, Any] = {name: True}
    with pytest.raises(ConfigError):
        sealed(profile="level3", **demand)
    app = make_app()
    app.add_url_rule("/view", "view", sealed(**demand)(answer))
    app.testing = True
    with pytest.raises(ConfigError) as caught:
        app.test_client().get("/view")
    assert "'view'" in str(caught.value)


def test_once(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app()
    app.add_url_rule("/once", "once", sealed(once=True)(answer))
    app.add_url_rule("/often", "often", sealed(answer))
    caller = make_caller(app)
    op = os.urandom(16)
    assert caller.get("/once", op=op).json() == ANSWER
    outer, again = caller.attempt(Request(method="GET", target="/once", op=op))
    assert (outer.status, again.open(outer)[0].status) == (409, 409)
    nameless, _ = caller.attempt(Request(method="GET", target="/once"))
    assert nameless.status == 400
    assert b"4242" not in nameless.read()
    attempt = caller.prepare(Request(method="GET", target="/often"))
    for _ in range(2):
        assert attempt.json(caller.deliver(attempt.send)) == ANSWER


@pytest.mark.kem
def test_kem(make_session_app: MakeApp, make_caller: MakeCaller, ring: KeyRing) -> None:
    app = make_session_app()
    app.add_url_rule("/kem", "kem", sealed(kem=True)(answer))
    assert make_caller(app, kem=True).get("/kem").json() == ANSWER
    key = next(ring.of("psk", 0)).material
    assert isinstance(key, bytes)
    for caller in (make_caller(app), make_caller(app, psk=(PSK, key))):
        outer, _ = caller.attempt(Request(method="GET", target="/kem"))
        assert outer.json()["type"] == "urn:flask-sealed:refused"


def test_pad(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app()
    app.add_url_rule("/pad/<int:size>", "pad", sealed(pad=True)(lambda size: "x" * size))
    app.add_url_rule("/bare/<int:size>", "bare", sealed(lambda size: "x" * size))
    caller = make_caller(app)

    def size(path: str, length: int) -> int:
        assert caller.get(f"/{path}/{length}").content == b"x" * length
        return len(caller.raw.body)

    assert len({size("pad", length) for length in range(1000, 1024, 7)}) == 1
    assert len({size("bare", length) for length in range(1000, 1024, 7)}) > 1


@pytest.mark.kem
def test_blueprints_demand_too(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app, bp = make_session_app(), Blueprint("bp", __name__)
    bp.add_url_rule("/kem", view_func=answer)
    bp.add_url_rule("/own", "own", sealed(lambda: ANSWER))
    Sealed().blueprint(bp, kem=True)
    app.register_blueprint(bp)
    caller = make_caller(app)
    outer, _ = caller.attempt(Request(method="GET", target="/kem"))
    assert outer.status == 400
    assert caller.get("/own").json() == ANSWER
    assert make_caller(app, kem=True).get("/kem").json() == ANSWER


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
