"""The bank that is attacked, twice in one process: sealed, and below ``/twin`` the same unsealed.

It is configured by the environment, as ``tests/servers/app.py`` is. The file ``clock`` in the
shared folder has the seconds by which the sealed application's clock is ahead.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, Response, make_response, request, session
from flask_compress import Compress
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt_identity,
    verify_jwt_in_request,
)
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_sealed import Sealed, sealed

from ..patience import wait_long
from ..servers.app import note

TWIN = "/twin"
#: What nobody but its owner may see.
SECRET = "4929-1814-7071-3360"
#: How much the twin keeps of each new session: what a server has that keeps sessions.
KEPT = 64 * 1024
#: What a caller of the view `checked` must know, and how long a careless comparison takes for each
#: character that is right, in seconds.
PASSWORD = "swordfish"
CARELESS = 0.0002

_kept: list[bytes] = []


def create_app() -> Flask:
    """The sealed application, with the twin below it."""
    wait_long()
    app = _make("tests.attacks.sealed")
    app.config.update(json.loads(os.environ["SEALED_TEST_SETTINGS"]))
    Sealed(app)
    app.extensions["sealed"].clock = clock
    _add_views(app, sealed)
    app.add_url_rule("/clear/account", "clear-account", account)
    twin = _make("tests.attacks.twin")
    _add_views(twin, lambda view: view)
    twin.add_url_rule("/session", "session", keep, methods=["POST"])
    twin.add_url_rule("/checked", "checked", checked, methods=["POST"])
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {TWIN: twin})  # type: ignore[method-assign]
    return app


def clock() -> float:
    """The time that the sealed application goes by."""
    path = Path(os.environ["SEALED_TEST_FOLDER"], "clock")
    return time.time() + (float(path.read_text()) if path.exists() else 0)


def _make(name: str) -> Flask:
    app = Flask(name, instance_path=os.environ["SEALED_TEST_FOLDER"])
    app.config.update(
        SECRET_KEY="0f" * 32,
        JWT_SECRET_KEY="0f" * 32,
        COMPRESS_MIMETYPES=["application/json"],
        COMPRESS_MIN_SIZE=0,
    )
    JWTManager(app)
    Compress(app)
    app.after_request(_say_who)
    return app


def _say_who(response: Response) -> Response:
    """In clear, so that a test can tell the workers from each other."""
    response.headers["Server-Worker"] = str(os.getpid())
    return response


def _add_views(app: Flask, decorate: Callable[[Any], Any]) -> None:
    app.add_url_rule("/plain/ready", "ready", lambda: "ready")
    rules: list[tuple[str, Callable[..., Any], list[str]]] = [
        ("/login", login, ["POST"]),
        ("/refresh", refresh, ["POST"]),
        ("/account", account, ["GET"]),
        ("/limits", limits, ["GET"]),
        ("/statement", statement, ["GET"]),
        ("/transfer", transfer, ["POST"]),
        ("/refund", transfer, ["POST", "DELETE"]),
        ("/upload", upload, ["POST"]),
        ("/search", search, ["GET"]),
        ("/welcome", welcome, ["GET"]),
        ("/unpack", unpack, ["POST"]),
        ("/cookie", cookie, ["POST"]),
        ("/by-cookie", by_cookie, ["GET", "POST"]),
    ]
    for path, view, methods in rules:
        app.add_url_rule(path, path[1:], decorate(view), methods=methods)


def login() -> dict[str, str]:
    user = request.get_json()["user"]
    return {"access": create_access_token(user), "refresh": create_refresh_token(user)}


def refresh() -> dict[str, str]:
    verify_jwt_in_request(refresh=True)
    return {"access": create_access_token(get_jwt_identity())}


def account() -> dict[str, str]:
    verify_jwt_in_request()
    return {"user": get_jwt_identity(), "card": SECRET, "at": repr(time.time())}


def limits() -> dict[str, str]:
    verify_jwt_in_request()
    return {"user": get_jwt_identity(), "limit": "100"}


def statement() -> dict[str, Any]:
    return {"args": request.args}


def transfer() -> dict[str, str]:
    """Moves money each time it runs."""
    body = request.get_json(silent=True)
    note("moved", json.dumps([request.method, request.full_path, body]))
    return {"state": "done"}


def upload() -> dict[str, int]:
    """Keeps what comes, for whoever uploads it to look at."""
    content = request.stream.read()
    note("uploaded", json.dumps(content.decode("latin-1")))
    return {"size": len(content)}


def search() -> dict[str, str]:
    """Reflects what was asked for beside a secret."""
    return {"for": request.args["for"], "card": f"card={SECRET};"}


def welcome() -> Response:
    """Trusts a header that caches do not look at."""
    host = request.headers.get("X-Forwarded-Host", "bank.example")
    response = make_response({"script": f"https://{host}/app.js"})
    response.headers["Cache-Control"] = "public, max-age=60"
    return response


def unpack() -> dict[str, int]:
    """Believes what the request says of its encoding."""
    data = request.get_data()
    if request.headers.get("Content-Encoding") == "gzip":
        data = gzip.decompress(data)
    note("unpacked", str(len(data)))
    return {"size": len(data)}


def cookie() -> dict[str, str]:
    session["user"] = request.get_json()["user"]
    return {}


def by_cookie() -> Any:
    """Believes in cookies alone."""
    if "user" not in session:
        return {"error": "log in first"}, 401
    if request.method == "POST":
        body = json.loads(request.get_data())
        note("moved", json.dumps([session["user"], body]))
    return {"user": session["user"], "card": SECRET}


def keep() -> dict[str, str]:
    """A session as many servers keep it."""
    _kept.append(bytes(KEPT))
    return {"session": str(len(_kept))}


def checked() -> Any:
    """Compares character by character, up to the first that is wrong."""
    right = _careless(request.get_data(as_text=True))
    return {"right": right}, 200 if right else 400


def _careless(given: str) -> bool:
    for one, other in zip(given, PASSWORD, strict=False):
        if one != other:
            return False
        time.sleep(CARELESS)
    return len(given) == len(PASSWORD)
