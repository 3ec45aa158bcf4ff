"""What all profiles do with Flask's responses."""

from __future__ import annotations

from copy import copy

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import Headers

JSON = "application/json"
NO_STORE = ("Cache-Control", "no-store, no-transform")
_LATER = "the front server would send a file in clear; set USE_X_SENDFILE = False"
#: Response headers with which the content is not what would be sealed, and what to do about it.
BY_THE_PROXY = dict.fromkeys(("x-accel-redirect", "x-lighttpd-send-file", "x-sendfile"), _LATER)


def own_response(response: Response) -> Response:
    """The same response as an object of its own.

    The application may keep a response and return it again, and sealing changes it.
    """
    own = copy(response)
    own.headers = Headers(response.headers)
    own._on_close = list(response._on_close)
    return own


def made_of(*headers: tuple[str, str]) -> Headers:
    """Headers, of those that have been a response's headers before or are constants.

    So none of them has a line break, which is all that the public way would check again.
    """
    made = Headers()
    made._list = list(headers)
    return made


def whole_content(response: Response, most: int) -> bytes | None:
    """All of a response's content, also of one that streams.

    :param most: the most bytes that are read of one that streams.
    :returns: ``None`` where that has more.
    """
    if not response.is_streamed and not response.direct_passthrough:
        return response.get_data()
    response.direct_passthrough = False
    pieces, size = [], 0
    try:
        for piece in response.iter_encoded():
            size += len(piece)
            if size > most:
                return None
            pieces.append(piece)
    finally:
        close(response)
    return b"".join(pieces)


def close(response: Response) -> None:
    """Let go of what a response's content comes from."""
    getattr(response.response, "close", _nothing)()


def _nothing() -> None:
    """Iterables without a `close` have nothing to close."""


def makes_usual_json(app: Flask) -> bool:
    """Whether an application makes of a dictionary what Flask does by default."""
    provider = app.json
    return (
        type(app).make_response is Flask.make_response
        and app.response_class is Response
        and isinstance(provider, DefaultJSONProvider)
        and type(provider).response is DefaultJSONProvider.response
        and provider.mimetype == JSON
        and (not app.debug if provider.compact is None else provider.compact)
    )
