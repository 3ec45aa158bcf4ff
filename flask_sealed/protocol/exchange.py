"""An exchange: one request and its response, sealed under keys of their own.

Every half has a *seal*, which says what the message is, and mostly a *body*. The client's side is
:class:`ClientExchange`, the server's :class:`ServerExchange`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import Malformed, Refused, TooLarge
from . import envelope, jwe
from .encoding import b64u_decode, b64u_encode, json_decode, json_encode, lv
from .records import RecordOpener, RecordSealer

Body = Literal["envelope", "records"]
Random = Callable[[int], bytes]
Headers = list[tuple[str, str]]

SECRET_BYTES = 32
JTI_BYTES = 16
OP_BYTES = 16
_RSALT_BYTES = 16
_NONCE_BYTES = 12
#: The most characters of a seal: what common proxies let through in a header.
MOST_REQUEST_SEAL = 6 * 1024
MOST_RESPONSE_SEAL = 2 * 1024

# A token (RFC 9110, section 5.6.2) without upper-case letters, and a value without controls.
_HEADER = re.compile(r"[!#$%&'*+.^`|~0-9a-z-]+\0[\t\x20-\x7e\x80-\uffff]*")

Message = TypeVar("Message")

_ENVELOPE_AAD = b"envelope"
_HASH = SHA256()


@dataclass(frozen=True, slots=True)
class _Keys:
    """What one half of an exchange is sealed with."""

    seal: AESGCM
    body: AESGCM = field(repr=False)
    nonce: bytes = field(repr=False)


def _derive(secret: bytes, salt: bytes, half: bytes, audience: str) -> _Keys:
    info = b"flask-sealed/1 " + half + b"\0" + lv(audience.encode())
    bits = HKDF(_HASH, 2 * SECRET_BYTES + _NONCE_BYTES, salt, info).derive(secret)
    return _Keys(AESGCM(bits[:32]), AESGCM(bits[32:64]), bits[64:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client says; all of it reaches the view, none of it the network in clear but
    ``method``, ``target`` and the sizes.

    :raises ValueError: where it is no request that could be sealed.
    """

    method: str
    #: The resource, as :func:`target` writes it.
    target: str
    #: The Content-Type of the body, ``None`` where there is none.
    content_type: str | None = None
    #: A query string that the URL does not show.
    query: str | None = None
    #: Headers that travel sealed; names in lower case.
    headers: Headers = field(default_factory=list)
    #: 16 bytes, the same in all attempts at one unsafe operation.
    op: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a server answers."""

    status: int
    content_type: str | None = None
    #: Headers that travel sealed; names in lower case.
    headers: Headers = field(default_factory=list)


def target(path: str, query: bytes = b"") -> str:
    """The resource that a request names: the path in one canonical percent-encoding, the query as
    it is.

    All bytes of the path but letters, digits, ``-``, ``.``, ``_``, ``~`` and ``/`` are encoded: a
    ``%3F`` in a path would otherwise be the same as the start of a query.

    :param path: percent-decoded.
    :param query: without the question mark, as it stands in the URL.
    :raises Malformed: where the path is no text that UTF-8 has, or the query not ASCII.
    """
    try:
        encoded = quote(path.encode(), safe="/")
        tail = query.decode("ascii")
    except UnicodeError:
        encoded = tail = ""
    if not encoded:
        raise Malformed("The path is not UTF-8, or the query not ASCII.")
    return f"{encoded}?{tail}" if tail else encoded


@dataclass(frozen=True, slots=True)
class Opened(Generic[Message]):
    """An opened seal, and what opens the body that belongs to it."""

    message: Message
    #: How the body is sealed, ``None`` where there is none.
    body: Body | None
    _keys: _Keys = field(repr=False)

    def open_body(self, data: bytes) -> bytes:
        """Open a body that came whole, in either form.

        :param data: what came as the body; none of it may come without a body in the seal.
        :raises Refusal: where it is not the body that the seal speaks of.
        """
        if self.body == "envelope":
            return envelope.open_(self._keys.body, data, aad=_ENVELOPE_AAD)
        if self.body == "records":
            opener = self.open_records()
            return opener.feed(data) + opener.finish()
        if data:
            raise Malformed("The seal has no body, and one came.")
        return b""

    def open_records(self) -> RecordOpener:
        """Open a body that comes as a stream.

        :raises Malformed: where the seal speaks of another body.
        """
        if self.body != "records":
            raise Malformed("The seal has no record stream.")
        return RecordOpener(self._keys.body, self._keys.nonce)


class ClientExchange:
    """A client's side of one attempt at a request.

    :param secret: the 32 bytes that client and server share.
    :param kid: the ticket of the session, or the name of a pre-shared key.
    :param audience: the service that the client means to reach.
    :param random: makes random bytes, such as :func:`os.urandom`.
    """

    def __init__(self, secret: bytes, kid: str, audience: str, *, random: Random) -> None:
        self._secret = secret
        self._kid = kid
        self._audience = audience
        self._random = random
        self._jti = random(JTI_BYTES)
        self._keys = _derive(secret, self._jti, b"request", audience)

    def seal_request(self, request: Request, *, iat: int, body: Body | None = None) -> str:
        """The seal of a request.

        :param iat: the time, in seconds since 1970, on the server's clock as far as it is known.
        :param body: how the body is sealed, ``None`` where there is none.
        :raises TooLarge: where the seal would not pass common proxies.
        """
        header: dict[str, object] = {
            "typ": "sealed-request",
            "kid": self._kid,
            "jti": b64u_encode(self._jti),
            "iat": iat,
            "htm": request.method,
            "target": request.target,
        }
        if body is not None:
            header["body"] = body
        claims: dict[str, object] = {}
        _put(claims, "cty", request.content_type)
        _put(claims, "query", request.query)
        _put(claims, "headers", request.headers or None)
        _put(claims, "op", None if request.op is None else b64u_encode(request.op))
        iv = self._random(jwe.IV_BYTES)
        seal = jwe.seal(self._keys.seal, header, json_encode(claims), iv=iv)
        if len(seal) > MOST_REQUEST_SEAL:
            raise TooLarge(f"A request's seal has {MOST_REQUEST_SEAL} characters at the most.")
        return seal

    def seal_body(self, plaintext: bytes) -> bytes:
        """The request's body as an envelope."""
        return _seal_envelope(self._keys, plaintext, self._random)

    def seal_records(self) -> RecordSealer:
        """The request's body as a stream of records."""
        return RecordSealer(self._keys.body, self._keys.nonce)

    def open_response(self, seal: str) -> Opened[Response]:
        """Open the seal of the response.

        :raises Refusal: where it does not belong to this request, or does not open.
        """
        parsed = jwe.parse(seal, MOST_RESPONSE_SEAL)
        header = json_decode(parsed.header, _RESPONSE_HEADER, _BODY)
        _check_header(header, "sealed-response")
        if b64u_decode(header["jti"], JTI_BYTES) != self._jti:
            raise Refused
        salt = self._jti + b64u_decode(header["rsalt"], _RSALT_BYTES)
        keys = _derive(self._secret, salt, b"response", self._audience)
        claims = json_decode(jwe.open_(keys.seal, parsed), {"status": int}, _RESPONSE_CLAIMS)
        if not 200 <= claims["status"] <= 599:
            raise Malformed("The response has no status.")
        response = Response(
            status=claims["status"],
            content_type=claims.get("cty"),
            headers=_read_headers(claims),
        )
        return Opened(response, header.get("body"), keys)


@dataclass(frozen=True, slots=True)
class RequestSeal:
    """A request's seal, of which nothing is authenticated yet: whose key is needed to open it."""

    kid: str
    _parsed: jwe.Parsed = field(repr=False)
    _header: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, seal: str) -> RequestSeal:
        """Take a seal apart.

        :raises Refusal: where it has not the form of a request's seal.
        """
        parsed = jwe.parse(seal, MOST_REQUEST_SEAL)
        header = json_decode(parsed.header, _REQUEST_HEADER, _BODY)
        _check_header(header, "sealed-request")
        return cls(header["kid"], parsed, header)

    def open(self, secret: bytes, audience: str) -> ServerExchange:
        """Open the seal.

        :param secret: the secret that ``kid`` names, and no other.
        :param audience: the name of this service.
        :raises Refusal: where it does not open, or its content is not in order.
        """
        jti = b64u_decode(self._header["jti"], JTI_BYTES)
        keys = _derive(secret, jti, b"request", audience)
        claims = json_decode(jwe.open_(keys.seal, self._parsed), {}, _REQUEST_CLAIMS)
        op = claims.get("op")
        request = Request(
            method=self._header["htm"],
            target=self._header["target"],
            content_type=claims.get("cty"),
            query=claims.get("query"),
            headers=_read_headers(claims),
            op=None if op is None else b64u_decode(op, OP_BYTES),
        )
        opened = Opened(request, self._header.get("body"), keys)
        return ServerExchange(opened, self._header["iat"], jti, secret, audience)


class ServerExchange:
    """A server's side of an exchange, once the request's seal has been opened."""

    def __init__(
        self, opened: Opened[Request], iat: int, jti: bytes, secret: bytes, audience: str
    ) -> None:
        self.request = opened
        #: When the client sealed the request, in seconds since 1970.
        self.iat = iat
        self._jti = jti
        self._secret = secret
        self._audience = audience

    def __repr__(self) -> str:
        return f"<ServerExchange {self.request.message.method}>"

    def check_target(self, method: str, resource: str) -> None:
        """Compare what was sealed with what the application really routes on.

        :param resource: as :func:`target` writes it.
        :raises Refused: where they differ.
        """
        message = self.request.message
        if message.method != method or message.target != resource:
            raise Refused

    def seal_response(
        self, response: Response, *, random: Random, body: Body | None = None
    ) -> SealedResponse:
        """Seal a response, under keys that no other response has.

        :param body: how the body is sealed, ``None`` where there is none.
        :raises TooLarge: where the seal would not pass common proxies.
        """
        rsalt = random(_RSALT_BYTES)
        keys = _derive(self._secret, self._jti + rsalt, b"response", self._audience)
        header: dict[str, object] = {
            "typ": "sealed-response",
            "jti": b64u_encode(self._jti),
            "rsalt": b64u_encode(rsalt),
        }
        if body is not None:
            header["body"] = body
        claims: dict[str, object] = {"status": response.status}
        _put(claims, "cty", response.content_type)
        _put(claims, "headers", response.headers or None)
        seal = jwe.seal(keys.seal, header, json_encode(claims), iv=random(jwe.IV_BYTES))
        if len(seal) > MOST_RESPONSE_SEAL:
            raise TooLarge(f"A response's seal has {MOST_RESPONSE_SEAL} characters at the most.")
        return SealedResponse(seal, keys, random)


class SealedResponse:
    """A response whose seal is made; its body may follow."""

    def __init__(self, seal: str, keys: _Keys, random: Random) -> None:
        self.seal = seal
        self._keys = keys
        self._random = random

    def seal_body(self, plaintext: bytes) -> bytes:
        """The body as an envelope."""
        return _seal_envelope(self._keys, plaintext, self._random)

    def seal_records(self) -> RecordSealer:
        """The body as a stream of records."""
        return RecordSealer(self._keys.body, self._keys.nonce)


_REQUEST_HEADER: dict[str, type] = {
    "alg": str,
    "enc": str,
    "typ": str,
    "kid": str,
    "jti": str,
    "iat": int,
    "htm": str,
    "target": str,
}
_RESPONSE_HEADER: dict[str, type] = {"alg": str, "enc": str, "typ": str, "jti": str, "rsalt": str}
_BODY: dict[str, type] = {"body": str}
_REQUEST_CLAIMS: dict[str, type] = {"cty": str, "query": str, "headers": list, "op": str}
_RESPONSE_CLAIMS: dict[str, type] = {"cty": str, "headers": list}


def _check_header(header: dict[str, Any], kind: str) -> None:
    fixed = (header["alg"], header["enc"], header["typ"]) == ("dir", "A256GCM", kind)
    if not fixed or header.get("body", "envelope") not in ("envelope", "records"):
        raise Malformed(f"The seal is no {kind}.")


def _read_headers(claims: dict[str, Any]) -> Headers:
    headers: Headers = []
    for pair in claims.get("headers", ()):
        if not (isinstance(pair, list) and len(pair) == 2 and _HEADER.fullmatch(_joined(pair))):
            raise Malformed("A header in the seal is not a lower-case name and a value.")
        headers.append((pair[0], pair[1]))
    return headers


def _joined(pair: list[Any]) -> str:
    return "\0".join(pair) if all(isinstance(part, str) for part in pair) else ""


def _put(claims: dict[str, object], name: str, value: object | None) -> None:
    if value is not None:
        claims[name] = value


def _seal_envelope(keys: _Keys, plaintext: bytes, random: Random) -> bytes:
    return envelope.seal(keys.body, plaintext, iv=random(envelope.IV_BYTES), aad=_ENVELOPE_AAD)
