"""The Level 3 profile on Flask: one static key, ``{"data": …}`` in both directions.

The envelope is always ``application/json``. Content of another type names it in the header
``Sealed-Content-Type``, and the value is the envelope's associated data, so that a changed or
removed header is refused; for JSON there is no header and no associated data, as in the article.
"""

from __future__ import annotations

import os
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Request, Response
from werkzeug.datastructures import Headers

from .bodies import may_have_body, read_body
from .config import ProfileName
from .errors import ConfigError, Malformed, SealedRequired
from .policy import Policy
from .protocol import envelope
from .responses import BY_THE_PROXY, JSON, NO_STORE, close, made_of, whole_content
from .window import Inside, Window

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
_UNSEALABLE = {
    "content-encoding": "the encoding would be taken for the envelope's; leave the content as is",
    "content-range": "it is a part, and a part has no tag; send the whole",
    **BY_THE_PROXY,
}
_NOT_KEPT = frozenset(_REPLACED | _UNSEALABLE.keys())
_JSON_TYPE = ("Content-Type", JSON)
_LONGEST_TYPE = 256
_NO_TYPE = f"not 1 to {_LONGEST_TYPE} ASCII characters"


class Level3:
    """The profile, for one application.

    :param key: the static key.
    :param most: the most bytes of a request's body, as it travels, and of a streamed response,
        which is read whole: an envelope has its tag at the start.
    """

    name: ProfileName = "level3"

    def __init__(self, key: AESGCM, most: int) -> None:
        self._key = key
        self._most = most

    def open_request(self, window: Window, request: Request, policy: Policy) -> None:
        """Open the body of a request, where it has to be sealed; without one, where its method
        needs none, there is nothing to seal.

        :raises Refusal: where the request is not sealed, or does not open.
        """
        inside = self._open(request) if policy.request else None
        if inside is not None:
            window.hold(inside)

    def _open(self, request: Request) -> Inside | None:
        environ = request.environ
        bodiless = request.method in _BODILESS
        if bodiless and not may_have_body(environ):
            return None
        body = read_body(request, self._most)
        if bodiless and not body:
            return None
        if environ.get("CONTENT_TYPE") != JSON and request.mimetype != JSON:
            raise SealedRequired(
                "This view takes sealed requests only: send Content-Type: application/json and"
                ' {"data": "<base64 of iv, tag and ciphertext>"}.'
            )
        content_type = environ.get(_TYPE_VARIABLE)
        if content_type is None:
            return Inside(body=envelope.open_(self._key, body), content_type=JSON)
        plaintext = envelope.open_(self._key, body, aad=_associated(content_type))
        return Inside(body=plaintext, content_type=content_type)

    def seal_response(self, context: Any, window: Window, response: Response) -> None:  # noqa: ARG002
        """Seal a response in place.

        :raises ConfigError: where the response cannot be sealed in this profile.
        """
        content_type, headers = _split(response.headers)
        response.status_code = response.status_code  # without a reason phrase of the view's own
        sealed = b""
        if response.status_code in _EMPTY:
            close(response)
        else:
            aad = b""
            if content_type != JSON:
                aad = content_type.encode()
                headers += _type_headers(context.request, content_type)
            sealed = self._seal(_content(response, self._most), aad)
            headers += (_JSON_TYPE, ("Content-Length", str(len(sealed))))
        response.headers = made_of(*headers, NO_STORE)
        response.response = [sealed]

    def json_response(self, window: Window, context: Any, value: Any) -> Response:  # noqa: ARG002
        """What Flask makes of a dictionary or a list, sealed.

        It comes to the same as sealing Flask's own response, which this saves.
        """
        text = context.app.json.dumps(value, separators=(",", ":"))
        sealed = self._seal(f"{text}\n".encode(), b"")
        headers = made_of(_JSON_TYPE, ("Content-Length", str(len(sealed))), NO_STORE)
        response: Response = context.app.response_class([sealed], headers=headers)
        return response

    def _seal(self, plaintext: bytes, aad: bytes) -> bytes:
        return envelope.seal(self._key, plaintext, iv=os.urandom(12), aad=aad)


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
    if response.is_streamed and response.mimetype == "text/event-stream":
        raise ConfigError("level3 seals whole responses, so it cannot seal a live event stream")
    content = whole_content(response, most)
    if content is None:
        raise ConfigError(
            f"level3 seals whole responses, and this one streams more than {most} bytes;"
            " raise SEALED_MAX_BODY, or send less"
        )
    return content


def _associated(content_type: str) -> bytes:
    if not _is_type(content_type):
        raise Malformed(f"{TYPE_HEADER} is {_NO_TYPE}.")
    return content_type.encode()


def _is_type(content_type: str) -> bool:
    # Without a single character it would be the same associated data as no header is.
    return 1 <= len(content_type) <= _LONGEST_TYPE and content_type.isascii()
