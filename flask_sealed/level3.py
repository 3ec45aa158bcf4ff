"""The Level 3 profile on Flask: one static key, ``{"data": …}`` in both directions.

The envelope is always ``application/json``. Content of another type names it in the header
``Sealed-Content-Type``, and the value is the envelope's associated data, so that a changed or
removed header is refused; for JSON there is no header and no associated data, as in the article.
"""

from __future__ import annotations

import os
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, Request, Response
from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge

from .errors import ConfigError, Malformed, SealedRequired, TooLarge
from .protocol import envelope
from .window import made_of, read_body

JSON = "application/json"
TYPE_HEADER = "Sealed-Content-Type"
_TYPE_VARIABLE = "HTTP_SEALED_CONTENT_TYPE"

# Methods whose requests usually have no content (RFC 9110, section 9.3): without any, there is
# nothing to seal.
_BODILESS = frozenset(("GET", "HEAD", "DELETE", "OPTIONS", "TRACE"))
# Statuses whose responses have no content (RFC 9110, section 15).
_EMPTY = frozenset((*range(100, 200), 204, 205, 304))
# Response headers that sealing replaces, and those that it leaves out: they are a fingerprint of
# the plaintext, or speak of a part of it.
_REPLACED = {
    "cache-control",
    "content-length",
    "content-type",
    "accept-ranges",
    "content-digest",
    "content-md5",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
}
# Response headers with which the content is not what would be sealed.
_BY_THE_PROXY = "the front server would send a file in clear; set USE_X_SENDFILE = False"
_UNSEALABLE = {
    "content-encoding": "the encoding would be taken for the envelope's; leave the content as is",
    "content-range": "it is a part, and a part has no tag; send the whole",
    "x-accel-redirect": _BY_THE_PROXY,
    "x-lighttpd-send-file": _BY_THE_PROXY,
    "x-sendfile": _BY_THE_PROXY,
}
_NOT_KEPT = frozenset(_REPLACED | _UNSEALABLE.keys())
_JSON_TYPE = ("Content-Type", JSON)
_NO_STORE = ("Cache-Control", "no-store, no-transform")
_LONGEST_TYPE = 256
_NO_TYPE = f"not 1 to {_LONGEST_TYPE} ASCII characters"
_CHUNKED = "HTTP_TRANSFER_ENCODING"
_TERMINATED = "wsgi.input_terminated"
_HTTP1 = ("HTTP/1.1", "HTTP/1.0")


class Level3:
    """The profile, for one application.

    :param key: the static key.
    :param most: the most bytes of a request's body, as it travels, and of a streamed response,
        which is read whole: an envelope has its tag at the start.
    """

    def __init__(self, key: AESGCM, most: int) -> None:
        self._key = key
        self._most = most

    def open_request(self, request: Request) -> tuple[bytes, str] | None:
        """Open the body of a request.

        :returns: the plaintext and its Content-Type; ``None`` where the request has no body, and
            its method needs none.
        :raises Refusal: where the request is not sealed, or does not open.
        """
        environ = request.environ
        bodiless = request.method in _BODILESS
        if bodiless:
            # HTTP/1 announces a body by one of two headers. Later versions need not; and where the
            # end of the input can be told, there might be one that nobody announces any more.
            announced = environ.get("CONTENT_LENGTH") or _CHUNKED in environ
            readable = environ.get("SERVER_PROTOCOL") not in _HTTP1 or _TERMINATED in environ
            if not (announced or readable):
                return None
        if _CHUNKED in environ and environ.get("CONTENT_LENGTH"):
            raise Malformed("A request has a Content-Length or a Transfer-Encoding, not both.")
        body = _read(request, self._most)
        if bodiless and not body:
            return None
        if environ.get("CONTENT_TYPE") != JSON and request.mimetype != JSON:
            raise SealedRequired(
                "This view takes sealed requests only: send Content-Type: application/json and"
                ' {"data": "<base64 of iv, tag and ciphertext>"}.'
            )
        content_type = environ.get(_TYPE_VARIABLE)
        if content_type is None:
            return envelope.open_(self._key, body), JSON
        return envelope.open_(self._key, body, aad=_associated(content_type)), content_type

    def seal_response(self, request: Request, response: Response) -> None:
        """Seal a response in place.

        :raises ConfigError: where the response cannot be sealed in this profile.
        """
        content_type, headers = _split(response.headers)
        response.status_code = response.status_code  # without a reason phrase of the view's own
        sealed = b""
        if response.status_code in _EMPTY:
            getattr(response.response, "close", _nothing)()
        else:
            aad = b""
            if content_type != JSON:
                aad = content_type.encode()
                headers += _type_headers(request, content_type)
            sealed = self._seal(_content(response, self._most), aad)
            headers += (_JSON_TYPE, ("Content-Length", str(len(sealed))))
        response.headers = made_of(*headers, _NO_STORE)
        response.response = [sealed]

    def json_response(self, app: Flask, value: dict[str, Any] | list[Any]) -> Response:
        """What Flask makes of a dictionary or a list, sealed.

        It comes to the same as sealing Flask's own response, which this saves.
        """
        text = app.json.dumps(value, separators=(",", ":"))
        sealed = self._seal(f"{text}\n".encode(), b"")
        headers = made_of(_JSON_TYPE, ("Content-Length", str(len(sealed))), _NO_STORE)
        return app.response_class([sealed], headers=headers)

    def _seal(self, plaintext: bytes, aad: bytes) -> bytes:
        return envelope.seal(self._key, plaintext, iv=os.urandom(12), aad=aad)


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


def _split(headers: Headers) -> tuple[str, list[tuple[str, str]]]:
    """A response's Content-Type, and the headers that stay.

    :raises ConfigError: where one of them keeps the response from being sealed.
    """
    content_type, kept = "application/octet-stream", []
    for header in headers:
        name = header[0].lower()
        if name not in _NOT_KEPT:
            kept.append(header)
        elif name == "content-type":
            content_type = header[1] or content_type
        elif name in _UNSEALABLE:
            why = _UNSEALABLE[name]
            raise ConfigError(f"level3 cannot seal a response with {header[0]}: {why}")
    return content_type, kept


def _type_headers(request: Request, content_type: str) -> list[tuple[str, str]]:
    if not _is_type(content_type):
        raise ConfigError(f"level3 cannot seal a response whose Content-Type is {_NO_TYPE}")
    headers = [(TYPE_HEADER, content_type)]
    if "HTTP_ORIGIN" in request.environ:
        # Where CORS lets a script of another origin read the response, it needs this one too.
        headers.append(("Access-Control-Expose-Headers", TYPE_HEADER))
    return headers


def _content(response: Response, most: int) -> bytes:
    content = response.response
    if isinstance(content, list):
        return response.get_data()
    if response.mimetype == "text/event-stream":
        raise ConfigError("level3 seals whole responses, so it cannot seal a live event stream")
    response.direct_passthrough = False
    chunks, size = [], 0
    try:
        for chunk in response.iter_encoded():
            size += len(chunk)
            if size > most:
                raise ConfigError(
                    f"level3 seals whole responses, and this one streams more than {most} bytes;"
                    " raise SEALED_MAX_BODY, or send less"
                )
            chunks.append(chunk)
    finally:
        getattr(content, "close", _nothing)()
    return b"".join(chunks)


def _nothing() -> None:
    """Iterables without a `close` have nothing to close."""


def _associated(content_type: str) -> bytes:
    if not _is_type(content_type):
        raise Malformed(f"{TYPE_HEADER} is {_NO_TYPE}.")
    return content_type.encode()


def _is_type(content_type: str) -> bool:
    # Without a single character it would be the same associated data as no header is.
    return 1 <= len(content_type) <= _LONGEST_TYPE and content_type.isascii()


def _read(request: Request, most: int) -> bytes:
    limit = min(most, request.max_content_length or most)
    try:
        body = read_body(request, limit)
    except RequestEntityTooLarge:
        body = None
    except Exception:  # Each server has errors of its own for a body that does not come.
        raise Malformed("The connection ended before the whole body had arrived.") from None
    if body is None:
        raise TooLarge(f"This service takes {limit} bytes at the most.")
    return body
