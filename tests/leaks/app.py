"""The application of the lab: each view sealed below ``/kept``, sealed and with exceptions masked
below ``/masked``, and not sealed below ``/open``.

``SEALED_TEST_SETTINGS`` has its settings, as in ``tests/servers/app.py``. ``LEAKS_SDK`` names the
monitoring that is installed, and ``LEAKS_SINK`` is where it sends what it collects.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, Response, abort, current_app, make_response, request, stream_with_context

from flask_sealed import Sealed, sealed
from flask_sealed.window import Window

from .sdks import REMEDIES, SDKS, nothing


def create_app() -> Flask:
    app = Flask(__name__, instance_path=os.environ["SEALED_TEST_FOLDER"])
    app.config.update(json.loads(os.environ["SEALED_TEST_SETTINGS"]), SEALED_HEADERS=["x-note"])
    install = (SDKS | REMEDIES).get(os.environ.get("LEAKS_SDK", ""), nothing)
    flush = install(app, os.environ.get("LEAKS_SINK", ""))
    Sealed(app)
    for path, view in VIEWS.items():
        for kind in ("kept", "masked", "open"):
            decorated = view if kind == "open" else sealed(view)
            rule, endpoint = f"/{kind}/{path}", f"{kind}-{path}"
            app.add_url_rule(rule, endpoint, decorated, methods=["GET", "POST"])
    app.add_url_rule("/plain/ready", "ready", lambda: "ready")

    @app.before_request
    def mask() -> None:
        """As the setting does, for a part of the views."""
        window = Window.of(request)
        if window is not None and request.path.startswith("/masked/"):
            window.mask = True

    @app.get("/flush")
    def flush_all() -> str:
        flush()
        return "flushed"

    return app


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
        ledger(local)
    except RuntimeError:
        current_app.logger.exception("could not pay")
    return answer(card, 500)


def ledger(local: str) -> None:
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
        stream,
        broken,
        upload,
        query,
    )
}
