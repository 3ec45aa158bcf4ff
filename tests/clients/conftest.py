"""A service with views of all kinds, in this process and behind a real server."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, redirect, request
from werkzeug.serving import make_server

from flask_sealed import current, sealed
from flask_sealed.protocol.keys import KeyRing
from flask_sealed.signals import handshake

from ..conftest import AUDIENCE, MakeApp
from ..http_server import running

#: What the service has done, in order.
Done = list[Any]


def add_views(app: Flask, done: Done) -> None:
    @app.route("/echo", methods=["POST", "PUT"])
    @sealed
    def echo() -> Any:
        done.append(request.get_data())
        headers = {"X-Own": "caf\xe9", "Set-Cookie": "seen=1", "ETag": '"x"'}
        return request.get_data(), 201, {**headers, "Content-Type": request.content_type}

    @app.get("/look")
    @sealed
    def look() -> Any:
        return {
            "args": request.args.to_dict(),
            "accept": request.headers.get("Accept"),
            "authorization": request.headers.get("Authorization"),
            "binding": current.binding,
            "kem": current.kem,
        }

    @app.get("/users/<name>/card")
    @sealed
    def card(name: str) -> Any:
        return {"name": name}

    @app.post("/users/<name>/card")
    @sealed
    def set_card(name: str) -> Any:
        return {"name": name}

    @app.post("/users/nobody/card")
    def no_card() -> Any:
        return {"name": None}

    @app.get("/once")
    @sealed(once=True)
    def once() -> Any:
        done.append("once")
        return {}

    add_other_views(app, done)
    add_uploads(app, done)


def add_other_views(app: Flask, done: Done) -> None:
    @app.route("/go/<int:status>", methods=["GET", "POST"])
    @sealed
    def go(status: int) -> Any:
        done.append("go")
        return redirect(request.args["to"], status)

    @app.get("/empty")
    @sealed
    def empty() -> Any:
        return "", 204

    @app.get("/pieces/<int:count>")
    @sealed
    def pieces(count: int) -> Any:
        return Response((b"%04d" % n * 250 for n in range(count)), mimetype="text/plain")

    @app.route("/clear", methods=["GET", "POST"])
    def clear() -> Any:
        done.append("clear")
        return {"binding": current.binding, "body": request.get_data(as_text=True)}

    @app.get("/lost")
    def lost() -> Any:
        return redirect("/look?a=1")


def add_uploads(app: Flask, done: Done) -> None:
    @app.post("/digest")
    @sealed
    def digest() -> Any:
        found, size = hashlib.sha256(), 0
        while piece := request.stream.read(65_536):
            found.update(piece)
            size += len(piece)
        done.append(size)
        return {"size": size, "sha256": found.hexdigest()}

    @app.post("/form")
    @sealed
    def form() -> Any:
        return {name: len(part.read()) for name, part in request.files.items()}


@pytest.fixture
def done() -> Done:
    return []


@pytest.fixture
def app(make_session_app: MakeApp, done: Done) -> Flask:
    app = make_session_app()
    add_views(app, done)
    return app


@pytest.fixture
def agreed(app: Flask) -> Iterator[list[str]]:
    """The sessions that the service has agreed on."""
    sids: list[str] = []

    def note(sender: Flask, *, sid: str, kem: bool) -> None:
        sids.append(sid)

    with handshake.connected_to(note, app):
        yield sids


@pytest.fixture
def base(app: Flask) -> Iterator[str]:
    """The application behind a server with a thread for each connection."""
    with running(make_server("127.0.0.1", 0, app, threaded=True)) as url:
        yield url


@pytest.fixture
def options(ring: KeyRing) -> dict[str, Any]:
    """What a client is given."""
    return {"audience": AUDIENCE, "pins": ring.pins(int(time.time()))}
