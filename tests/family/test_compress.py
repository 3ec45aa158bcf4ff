"""Flask-Compress."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import request
from flask_compress import Compress

from flask_sealed import Sealed, sealed
from flask_sealed.testing import sealed_client

from .conftest import MakeFlask, Place, orders, plain_client

GZIP = {"Accept-Encoding": "gzip"}
SECRET, GUESS = "token=9d1c4e77", "token=0a2b8f31"


@sealed
def card() -> dict[str, str]:
    return {"last4": "4242" * 500}


@sealed
def rates() -> Iterator[str]:
    return iter(["0.94 " * 1000] * 3)


def answer() -> dict[str, str]:
    """A secret beside what the caller says: such attacks need both."""
    return {"secret": SECRET, "echo": request.args["echo"]}


def test_it_is_the_ciphertext_that_is_compressed(make_flask: MakeFlask, place: Place[Any]) -> None:
    app = make_flask(COMPRESS_MIN_SIZE=1)
    place(app, lambda: Compress(app))
    app.add_url_rule("/card", view_func=card)
    client = sealed_client(app)
    client.get("/card")
    sent = {name: value for name, value in client.wire[-1].request.headers if name != "Host"}
    # The same request once more, from a client that takes gzip.
    response = plain_client(app).get("/card", headers={**sent, **GZIP})
    assert response.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(response.data)).keys() == {"data"}
    # As long as the content, though that is one word again and again.
    assert len(response.data) > 2000


def test_streams_are_left_alone(make_flask: MakeFlask, place: Place[Any]) -> None:
    app = make_flask(COMPRESS_MIN_SIZE=1)
    place(app, lambda: Compress(app))
    app.add_url_rule("/rates", view_func=rates)
    client = sealed_client(app)
    assert client.get("/rates", headers=GZIP).data == b"0.94 " * 3000
    assert "Content-Encoding" not in dict(client.wire[-1].response.headers)


@pytest.mark.parametrize("order", [0, 1])
def test_the_decorator_compresses_plaintext(make_flask: MakeFlask, order: int) -> None:
    """Why it does not belong on a sealed view: lengths tell how much of a guess is right."""
    app = make_flask(COMPRESS_MIN_SIZE=1, COMPRESS_REGISTER=False)
    compress = Compress(app)
    Sealed(app)
    _, decorate = list(orders(compress.compressed()))[order]
    app.add_url_rule("/inside", "inside", decorate(answer))
    app.add_url_rule("/without", "without", sealed(answer))

    def length(path: str, guess: str) -> int:
        client = sealed_client(app)
        client.get(path, query_string={"echo": guess}, headers=GZIP)
        return len(client.wire[-1].response.body)

    assert length("/inside", SECRET) < length("/inside", GUESS)
    assert length("/without", SECRET) == length("/without", GUESS)
