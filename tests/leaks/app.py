"""The application of the lab: the example bank, and views of the lab's own.

Each of these is there sealed below ``/kept``, sealed and with exceptions masked below ``/masked``,
sealed with Level 3 below ``/level3``, and not sealed below ``/open``.

``SEALED_TEST_SETTINGS`` has its settings, as in ``tests/servers/app.py``. ``LEAKS_SDK`` names the
monitoring that is installed, and ``LEAKS_SINK`` is where it sends what it collects.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
from flask import (
    Flask,
    Response,
    abort,
    current_app,
    make_response,
    request,
    send_file,
    send_from_directory,
    stream_with_context,
)

import flask_sealed
from examples.bank import auth, db, keys, ledger, page
from examples.bank.api import api
from flask_sealed import Sealed, sealed
from flask_sealed.window import Window

from .hooks import wait_for_others
from .sdks import REMEDIES, SDKS, nothing

#: What each view is made into, by what its path begins with.
PATHS: dict[str, Callable[[Callable[[], Any]], Callable[[], Any]]] = {
    "open": lambda view: view,
    "kept": sealed,
    "masked": sealed,
    "level3": sealed(profile="level3"),
}
_PAGE = Path(__file__).with_name("page.js")
_JS = Path(flask_sealed.__file__).parent / "js"


def create_app() -> Flask:
    app = Flask("examples.bank", instance_path=os.environ["SEALED_TEST_FOLDER"])
    app.config.update(json.loads(os.environ["SEALED_TEST_SETTINGS"]), SEALED_HEADERS=["x-note"])
    install = (SDKS | REMEDIES).get(os.environ.get("LEAKS_SDK", ""), nothing)
    flush = install(app, os.environ.get("LEAKS_SINK", ""))
    add_bank(app)
    for name, view in VIEWS.items():
        for path, decorate in PATHS.items():
            rule, endpoint = f"/{path}/{name}", f"{path}-{name}"
            app.add_url_rule(rule, endpoint, decorate(view), methods=["GET", "POST"])
    app.add_url_rule("/plain/ready", "ready", lambda: "ready")
    app.add_url_rule("/lab/page.js", "page", lambda: send_file(_PAGE))
    app.add_url_rule("/js/<path:path>", "js", lambda path: send_from_directory(_JS, path))

    @app.before_request
    def mask() -> None:
        """As the setting does, for a part of the views."""
        window = Window.of(request)
        if window is not None and request.path.startswith("/masked/"):
            window.mask = True

    @app.get("/flush")
    def flush_all() -> str:
        wait_for_others()
        flush()
        return "flushed"

    return app


def add_bank(app: Flask) -> None:
    """All that the bank consists of, in its own order."""
    # Who watches no more is noticed sooner, and the server can end.
    ledger._LOOK, ledger._SIGN_OF_LIFE = 0.05, 1
    keys.provide(app)
    db.init_app(app)
    auth.init_app(app)
    Sealed(app)
    page.init_app(app)
    app.register_blueprint(api)


def answer(card: str, status: int = 200) -> Response:
    """What is answered has the card backwards: markers of their own."""
    response = make_response({"answer": card[::-1]}, status)
    response.headers["X-Receipt"] = card[::-1].upper()
    return response


def card_of_body() -> str:
    return str(request.get_json()["card"])


def success() -> Response:
    local = card_of_body().upper()
    assert local
    return answer(card_of_body())


def refused() -> Response:
    abort(422, description=card_of_body()[::-1])


def crash() -> Response:
    local = card_of_body().upper()
    if local:
        raise RuntimeError("the ledger is closed")
    return answer(local)


def caught() -> Response:
    """Reports an exception itself, as many views do."""
    card = card_of_body()
    local = card.upper()
    try:
        close_ledger(local)
    except RuntimeError:
        current_app.logger.exception("could not pay")
    return answer(card, 500)


def close_ledger(local: str) -> None:
    if local:
        raise RuntimeError("the ledger is closed")


def logged() -> Response:
    """Reports something in words of its own that say nothing."""
    card = card_of_body()
    local = card.upper()
    assert local
    current_app.logger.error("the ledger is slow")
    return answer(card)


def said() -> Response:
    """Logs the card itself."""
    card = card_of_body()
    current_app.logger.error("cannot read the card %s", card)
    return answer(card)


def quoted() -> Response:
    """Converts what is no number: the error's message quotes it."""
    return answer(str(int(card_of_body())))


def asked() -> Response:
    """Asks another service, which is away, with the card in the URL."""
    card = card_of_body()
    with suppress(httpx.ConnectError):
        httpx.get("http://127.0.0.1:9/ledger", params={"card": card})
    return answer(card)


def stored() -> Response:
    """Makes SQL of the card."""
    card = card_of_body()
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"SELECT '{card}'")
    return answer(card)


def stream() -> Response:
    card = card_of_body()

    def generate() -> Iterator[str]:
        for _ in range(3):
            yield card[::-1]

    response = Response(stream_with_context(generate()), mimetype="text/plain")
    response.headers["X-Receipt"] = card[::-1].upper()
    return response


def broken() -> Response:
    """A stream that ends with an exception."""
    card = card_of_body()

    def generate() -> Iterator[str]:
        local = card.upper()
        yield card[::-1]
        if local:
            raise RuntimeError("the ledger is closed")

    return Response(stream_with_context(generate()), mimetype="text/plain")


def upload() -> Response:
    card = request.form["card"]
    assert request.files["file"].read().decode() == card
    return answer(card)


def query() -> Response:
    return answer(request.args["card"])


VIEWS: dict[str, Callable[[], Any]] = {
    view.__name__: view
    for view in (
        success,
        refused,
        crash,
        caught,
        logged,
        said,
        quoted,
        asked,
        stored,
        stream,
        broken,
        upload,
        query,
    )
}
