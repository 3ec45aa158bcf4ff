"""A small bank whose sensitive views are sealed: ``flask --app examples.bank run``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from flask_sealed import Sealed

from . import auth, db, docs, keys, page
from .api import api

sealing = Sealed()


def create_app(
    config: Mapping[str, Any] | None = None, *, instance_path: str | Path | None = None
) -> Flask:
    """Make the bank. At the first start it makes its own keys and database.

    :param config: settings that go before the bank's own, such as ``TESTING``.
    :param instance_path: the folder of the keys and the database; ``instance`` beside this file
        where it is left out.
    """
    folder = Path(instance_path or Path(__file__).parent / "instance").resolve()
    app = Flask(__name__, instance_path=str(folder))
    app.config.from_mapping(
        SEALED_AUDIENCE="quayside-bank",
        SEALED_MAX_BODY=8 * 1024 * 1024,
        JWT_ERROR_MESSAGE_KEY="error",
    )
    app.config.update(config or {})
    keys.provide(app)
    db.init_app(app)
    auth.init_app(app)
    sealing.init_app(app)
    page.init_app(app)
    docs.init_app(app)
    app.register_blueprint(api)
    return app
