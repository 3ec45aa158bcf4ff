"""The bank with a page in Angular, once that is built: ``flask --app examples.angular run``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, current_app, send_from_directory

from examples import bank
from examples.bank.page import pins

DIST = Path(__file__).parent / "dist"

page = Blueprint("angular", __name__, url_prefix="/angular")


def create_app(
    config: Mapping[str, Any] | None = None, *, instance_path: str | Path | None = None
) -> Flask:
    """Make the bank, with the application that ``ng build`` has made at ``/angular/``.

    :param config: settings that go before the bank's own.
    :param instance_path: the folder of the bank's keys and its database.
    """
    app = bank.create_app(config, instance_path=instance_path)
    app.register_blueprint(page)
    return app


@page.get("/", defaults={"name": "index.html"})
@page.get("/<name>")
def built(name: str) -> Response:
    """A file of the built application."""
    return send_from_directory(DIST, name)


@page.get("/settings.json")
def settings() -> dict[str, Any]:
    """What the application has to know of the bank. Nothing of that is secret."""
    return {"audience": current_app.config["SEALED_AUDIENCE"], "pins": pins(current_app)}
