"""The list of sealed routes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.routing import BaseConverter

from flask_sealed import sealed

from .conftest import MakeApp, MakeCaller
from .driver import FlaskWire, SealedCaller


class Pair(BaseConverter):
    regex = r"[^>]+/[^>]+"
    part_isolating = False

    def __init__(self, rules: Any, pattern: str) -> None:
        super().__init__(rules)


def rows(caller: SealedCaller) -> dict[str, list[dict[str, Any]]]:
    listed: dict[str, list[dict[str, Any]]] = {}
    for row in caller.get("/sealed/routes").json()["routes"]:
        listed.setdefault(row["path"], []).append(row)
    return listed


def test_routes(make_session_app: MakeApp, make_caller: MakeCaller, peer: Any) -> None:
    app = make_session_app(SEALED_LEVEL3_KEY=peer.secret.hex())
    app.url_map.converters["pair"] = Pair
    for number, rule in enumerate(
        (
            "/a/<name>",
            "/b/<int:number>/<float:other>.json",
            "/c/<path:rest>",
            "/d/<any(x, y):one>",
            '/e/<pair("[^>]+"):both>/end',
            "/f/é {x}/<string(length=2):code>",
        )
    ):
        app.add_url_rule(rule, f"view{number}", sealed(lambda **_: "x"))
    app.add_url_rule("/kem", "kem", sealed(once=True, kem=True)(lambda: "x"), methods=["PUT"])
    app.add_url_rule("/old", "old", sealed(profile="level3", request=False)(lambda: "x"))
    app.add_url_rule("/open", "open", lambda: "x")
    caller = make_caller(app)
    listed = rows(caller)
    assert caller.raw.head.headers["sealed"]
    assert set(listed) == {
        *("/a/{name}", "/b/{number}/{other}.json", "/c/{+rest}", "/d/{one}", "/e/{+both}/end"),
        *("/f/%C3%A9%20%7Bx%7D/{code}", "/kem", "/old", "/sealed/routes"),
    }
    usual = {"profile": "session", "request": True, "response": True, "once": False, "kem": False}
    usual["optional"] = False
    assert listed["/a/{name}"] == [
        usual | {"path": "/a/{name}", "methods": ["GET", "HEAD"]},
    ]
    assert listed["/kem"] == [
        usual | {"path": "/kem", "methods": ["PUT"], "once": True, "kem": True}
    ]
    assert listed["/old"][0]["profile"] == "level3"
    assert listed["/old"][0]["request"] is False


def test_routes_whose_last_slash_may_be_left_away(
    make_session_app: MakeApp, make_caller: MakeCaller
) -> None:
    app = make_session_app()
    app.add_url_rule("/", "root", sealed(lambda: "x"), strict_slashes=False)
    app.add_url_rule("/a/", "a", sealed(lambda: "x"), strict_slashes=False)
    app.add_url_rule("/b/<name>", "b", sealed(lambda name: name), strict_slashes=False)
    app.add_url_rule("/c/", "c", sealed(lambda: "x"))
    caller = make_caller(app)
    listed = {"/", "/a", "/a/", "/b/{name}", "/b/{name}/", "/c/", "/sealed/routes"}
    assert set(rows(caller)) == listed
    for path in ("/", "/a", "/a/", "/b/x", "/b/x/", "/c/"):
        assert caller.get(path).content == b"x"


def test_routes_of_public_paths(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app(SEALED_PUBLIC_PATHS={"/v1/": "/api/", "/sealed/": "/sealed/"})
    app.add_url_rule("/v1/<name>", "seen", sealed(lambda name: name))
    app.add_url_rule("/internal", "unseen", sealed(lambda: "x"))
    assert set(rows(make_caller(app))) == {"/api/{name}", "/sealed/routes"}


@pytest.mark.parametrize("rule", ["/<name>/x", "/v<int:number>/x", "/<path:rest>"])
def test_a_list_that_cannot_name_a_view_that_clients_reach_is_none(
    make_session_app: MakeApp, make_caller: MakeCaller, rule: str
) -> None:
    app = make_session_app(SEALED_PUBLIC_PATHS={"/v1/": "/api/", "/sealed/": "/sealed/"})
    app.add_url_rule(rule, "open", lambda **_: "x")
    caller = make_caller(app)
    assert set(rows(caller)) == {"/sealed/routes"}
    app = make_session_app(SEALED_PUBLIC_PATHS={"/v1/": "/api/", "/sealed/": "/sealed/"})
    app.add_url_rule(rule, "seen", sealed(lambda **_: "x"))
    assert make_caller(app).get("/sealed/routes").status == 500


def test_routes_of_an_application_that_is_mounted(
    make_session_app: MakeApp, make_caller: MakeCaller
) -> None:
    app = make_session_app()
    app.add_url_rule("/cards/<name>", "cards", sealed(lambda name: name))
    app.wsgi_app = DispatcherMiddleware(Flask("none"), {"/api": app.wsgi_app})  # type: ignore[method-assign]
    caller = make_caller(app, prefix="/api/sealed")
    listed = caller.get("/api/sealed/routes").json()["routes"]
    assert {row["path"] for row in listed} == {"/api/cards/{name}", "/api/sealed/routes"}
    assert caller.get("/api/cards/x").content == b"x"


@pytest.mark.parametrize("matching", ["host", "subdomain"])
def test_routes_are_those_of_the_host_of_sealed_views(
    make_session_app: MakeApp, make_caller: MakeCaller, peer: Any, matching: str
) -> None:
    app = make_session_app(
        matching,
        SEALED_HOST="api.localhost" if matching == "host" else "api",
        SEALED_LEVEL3_KEY=peer.secret.hex(),
    )
    old = sealed(profile="level3")(lambda **_: "x")
    for host, path, view in (
        ("api", "/a/<name>", sealed(lambda name: name)),
        ("api", "/a/open", lambda: "up"),
        ("www", "/a/other", lambda: "up"),
        ("www", "/there", old),
        ("<tenant>", "/anywhere", old),
    ):
        where: dict[str, Any] = {matching: f"{host}.localhost" if matching == "host" else host}
        app.add_url_rule(path, path, view, **where)
    caller = make_caller(app)
    caller.wire = FlaskWire(app, HTTP_HOST="api.localhost")
    profiles = {path: row[0]["profile"] for path, row in rows(caller).items()}
    assert profiles == {
        "/sealed/routes": "session",
        "/a/{name}": "session",
        "/a/open": "clear",
        "/anywhere": "level3",
    }


def test_views_in_clear_that_a_template_matches_are_exceptions(
    make_session_app: MakeApp, make_caller: MakeCaller
) -> None:
    app = make_session_app(SEALED_PUBLIC_PATHS={"/v1/": "/api/", "/sealed/": "/sealed/"})
    app.add_url_rule("/v1/<name>", "one", sealed(lambda name: name))
    app.add_url_rule("/v1/files/<path:name>", "file", sealed(lambda name: name), methods=["PUT"])
    app.add_url_rule("/v1/health", "health", lambda: "up", methods=["GET", "POST"])
    app.add_url_rule("/v1/files/n.d/é", "put", lambda: "up", methods=["PUT"])
    app.add_url_rule("/v1/own", "own", sealed(lambda: "own"))
    app.add_url_rule("/v1/<int:number>", "number", lambda number: str(number))
    app.add_url_rule("/v1/a/b", "deeper", lambda: "up")
    app.add_url_rule("/health", "unseen", lambda: "up")
    clear = {
        path: [row["methods"] for row in listed]
        for path, listed in rows(make_caller(app)).items()
        if listed[0]["profile"] == "clear"
    }
    assert clear == {"/api/health": [["GET", "HEAD"]], "/api/files/n.d/%C3%A9": [["PUT"]]}
