"""The group of commands, and what they share."""

from __future__ import annotations

from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

cli = AppGroup("sealed", help="Keys and views of Flask-Sealed.")


def server_side() -> Any:
    """What the extension holds for the application."""
    side = current_app.extensions.get("sealed")
    if side is None:
        raise click.ClickException(
            "this application has no `Sealed(app)`, so none of its views is sealed"
        )
    return side
