"""A page that knows nothing of sealing, and a service worker that seals for it:
``flask --app examples.service_worker run --debug``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, redirect, render_template_string, request
from werkzeug.wrappers import Response as AnyResponse

from flask_sealed import Sealed, sealed
from flask_sealed.protocol.encoding import b64u_encode

_WORKER = """\
import {{ sealedWorker }} from "/sealed/client-sw.js";

sealedWorker({{ audience: "clinic", pins: {pins}, paths: ["/records/"] }});
"""
_PORTRAIT = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">'
    '<circle cx="32" cy="32" r="30" fill="{colour}"/><title>{name}</title></svg>'
)


def create_app(
    config: Mapping[str, Any] | None = None, *, instance_path: str | Path | None = None
) -> Flask:
    """Make the clinic.

    :param config: settings that go before its own.
    :param instance_path: the folder of its keyring; ``instance`` beside this file where left out.
    """
    folder = Path(instance_path or Path(__file__).parent / "instance").resolve()
    app = Flask(__name__, instance_path=str(folder))
    app.config.update({"SEALED_AUDIENCE": "clinic", **(config or {})})
    Sealed(app)
    app.add_url_rule("/", "index", index)
    app.add_url_rule("/sw.js", "worker", worker)
    app.add_url_rule("/records/ada", "record", sealed(record))
    app.add_url_rule("/records/ada/portrait.svg", "portrait", sealed(portrait))
    app.add_url_rule("/records/ada/notes", "notes", sealed(notes), methods=["POST"])
    app.add_url_rule("/records/ada/export.csv", "export", sealed(export))
    app.extensions["notes"] = []
    return app


def index() -> str:
    """The page. Its script is in ``static``, and calls ``fetch`` as any page does."""
    return render_template_string((Path(__file__).parent / "page.html").read_text("utf-8"))


def worker() -> Response:
    """The service worker, with this service's pins written into it.

    Who can change it on its way can change the pins too; see the documentation.
    """
    ring = current_app.extensions["sealed"].settings.keyring.ring()
    pins = [b64u_encode(pin) for pin in ring.pins(int(time.time()))]
    return Response(_WORKER.format(pins=pins), content_type="text/javascript; charset=utf-8")


def record() -> dict[str, Any]:
    taken: list[str] = current_app.extensions["notes"]
    return {"name": "Ada Lovelace", "diagnosis": "migraine", "notes": taken}


def portrait() -> Response:
    picture = _PORTRAIT.format(colour="#14557d", name="Ada Lovelace")
    return Response(picture, content_type="image/svg+xml")


def notes() -> AnyResponse:
    """Takes a form, and leads back to the page."""
    current_app.extensions["notes"].append(request.form["note"])
    return redirect("/")


def export() -> Response:
    lines = (f"2026-{month:02},migraine\r\n" for month in range(1, 13))
    headers = {"Content-Disposition": "attachment; filename=ada.csv"}
    return Response(lines, content_type="text/csv; charset=utf-8", headers=headers)
