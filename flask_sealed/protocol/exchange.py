"""An exchange: one request and its response, sealed under keys of their own.

Every half has a *seal*, which says what the message is, and mostly a *body*. The client's side is
:class:`ClientExchange`, the server's :class:`ServerExchange`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from dataclasses import replace
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import ConfigError, Malformed, Refusal, Refused, TooLarge
from . import envelope, jwe
from .encoding import Members, b64u_decode, b64u_encode, json_decode, json_encode, json_text, lv
from .handshake import MOST_AUDIENCE, TICKET_CHARACTERS, Random
from .hkdf import hkdf
from .keys import MOST_KID
from .messages import (
    OP_BYTES,
    REQUEST_HEADERS,
    Request,
    Response,
    check_allowed,
    read_headers,
)
from .records import RecordOpener, RecordSealer

Body = Literal["envelope", "records"]

SECRET_BYTES = 32
JTI_BYTES = 16
_RSALT_BYTES = 16
# How many random bytes the seal of a response takes.
_SEAL_RANDOM = _RSALT_BYTES + jwe.IV_BYTES
_NONCE_BYTES = 12
#: The most characters of a seal: what common proxies let through in a header.
MOST_REQUEST_SEAL = 6 * 1024
MOST_RESPONSE_SEAL = 2 * 1024
#: The most bytes of a response's headers where they stand in its body.
MOST_HEADERS = 64 * 1024

_KID = re.compile(rf"[0-9A-Za-z_-]{{{TICKET_CHARACTERS}}}|[!-~]{{1,{MOST_KID}}}")

Message = TypeVar("Message", Request, Response)
Result = TypeVar("Result")

_REQUEST = b"flask-sealed/1 request\0"
_RESPONSE = b"flask-sealed/1 response\0"
_ENVELOPE_AAD = b"envelope"


class _Keys:
    """What one half of an exchange is sealed with.

    :param half: the label of the half.
    :param audience: the audience, with its length ahead.
    """

    __slots__ = ("_audience", "_body_key", "_half", "_salt", "_secret", "seal")

    def __init__(self, secret: bytes, salt: bytes, half: bytes, audience: bytes) -> None:
        self._secret = secret
        self._salt = salt
        self._half = half
        self._audience = audience
        # Without the nonce behind them, which only records need.
        bits = hkdf(secret, salt, half + audience, 2 * SECRET_BYTES)
        self.seal = AESGCM(bits[:SECRET_BYTES])
        self._body_key = bits[SECRET_BYTES:]

    def response(self, jti: bytes, rsalt: bytes) -> _Keys:
        """The keys of a response to the request whose keys these are."""
        return _Keys(self._secret, jti + rsalt, _RESPONSE, self._audience)

    def seal_envelope(self, plaintext: bytes, iv: bytes) -> bytes:
        return envelope.seal(self._body(), plaintext, iv=iv, aad=_ENVELOPE_AAD)

    def open_envelope(self, data: bytes) -> bytes:
        return envelope.open_(self._body(), data, aad=_ENVELOPE_AAD)

    def seal_records(self) -> RecordSealer:
        return RecordSealer(self._body(), self._nonce())

    def open_records(self, length: int | None) -> RecordOpener:
        return RecordOpener(self._body(), self._nonce(), length=length)

    def _body(self) -> AESGCM:
        return AESGCM(self._body_key)

    def _nonce(self) -> bytes:
        keys = 2 * SECRET_BYTES
        info = self._half + self._audience
        return hkdf(self._secret, self._salt, info, keys + _NONCE_BYTES)[keys:]


def _audience(audience: str) -> bytes:
    """The name of a service as it stands in the keys: its length ahead."""
    name = audience.encode()
    if not 1 <= len(name) <= MOST_AUDIENCE:
        raise ConfigError(f"an audience has 1 to {MOST_AUDIENCE} bytes")
    return lv(name)


class SealedMessage(NamedTuple):
    """One sealed half of an exchange."""

    #: The compact JWE of the ``Sealed`` header.
    seal: str
    #: The envelope, ``None`` where there is no body.
    body: bytes | None


class SealedStream(NamedTuple):
    """One sealed half of an exchange, whose body comes later."""

    #: The compact JWE of the ``Sealed`` header.
    seal: str
    #: Bytes that the body starts with.
    head: bytes
    #: Seals what follows.
    records: RecordSealer


def padded_length(length: int) -> int:
    """The Padmé length of so many bytes: at most 12 % more, and one of few.

    Source: Nikitin et al., Reducing Metadata Leakage from Encrypted Files and Communication with
    PURBs (2019), algorithm 1.
    """
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask


class Opened(Generic[Message]):
    """An opened seal, and what opens the body that belongs to it."""

    __slots__ = ("_headers_length", "_keys", "body", "length", "message")

    #: What the peer says. The headers of a response may only be there once its body is open.
    message: Message
    #: How the body is sealed, ``None`` where there is none.
    body: Body | None
    #: The number of bytes of the content, ``None`` where the peer does not say it.
    length: int | None

    def __init__(
        self, message: Message, keys: _Keys, header: dict[str, Any], claims: dict[str, Any]
    ) -> None:
        self.message = message
        self.body = header.get("body")
        self.length = claims.get("length")
        self._headers_length: int = claims.get("hlen", 0)
        self._keys = keys

    def __repr__(self) -> str:
        return f"<Opened {type(self.message).__name__}, body {self.body}>"

    def open_body(self, data: bytes) -> bytes:
        """Open a body that came whole, in either form.

        :param data: what came as the body; none of it may come without a body in the seal.
        :returns: the content.
        :raises Refusal: where it is not the body that the seal speaks of.
        """
        if self.body == "records":
            opener = self.open_records()
            return opener.feed(data) + opener.finish()
        if self.body is None:
            if data:
                raise Malformed("The seal has no body, and one came.")
            return b""
        if self.length is None and not self._headers_length:
            return self._keys.open_envelope(data)
        return _forgetting(self._content, self._keys.open_envelope(data))

    def open_records(self) -> StreamOpener:
        """Open a body that comes as a stream.

        :raises Malformed: where the seal speaks of another body.
        """
        if self.body != "records":
            raise Malformed("The seal has no record stream.")
        length = None if self.length is None else self._headers_length + self.length
        records = self._keys.open_records(length)
        return StreamOpener(records, self._headers_length, self._take_headers)

    def _content(self, plaintext: bytes) -> bytes:
        """What is left of an envelope's plaintext without padding and headers."""
        if self.length is not None:
            plaintext = _unpadded(plaintext, self._headers_length + self.length)
        if not self._headers_length:
            return plaintext
        if len(plaintext) < self._headers_length:
            raise Refused
        self._take_headers(plaintext[: self._headers_length])
        return plaintext[self._headers_length :]

    def _take_headers(self, text: bytes) -> None:
        headers = json_decode(b'{"headers":%b}' % text, _HEADERS)["headers"]
        try:
            self.message = replace(self.message, headers=read_headers(headers))
        except ValueError as error:
            raise _disorder(error) from None


class StreamOpener:
    """Opens a body that comes as a stream of records, in bounded memory.

    :param records: opens the records.
    :param headers_length: how many bytes of headers stand ahead of the content.
    :param take_headers: is given those, once they are there.
    """

    def __init__(
        self, records: RecordOpener, headers_length: int, take_headers: Callable[[bytes], None]
    ) -> None:
        self._records = records
        self._headers_length = headers_length
        self._headers = bytearray()
        #: Whether the headers of the response are known.
        self.has_headers = headers_length == 0
        self._take_headers = take_headers

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the stream.

        :returns: the content of the records that have become whole.
        :raises Refusal: where a record does not open, or there is more than the seal says.
        """
        return _forgetting(self._take, self._records.feed(data))

    def finish(self) -> bytes:
        """Tell that the stream has ended.

        :returns: the content of the final record.
        :raises Refusal: where the stream was cut, or is shorter than the seal says.
        """
        return _forgetting(self._take_last, self._records.finish())

    def _take_last(self, plaintext: bytes) -> bytes:
        content = self._take(plaintext)
        if not self.has_headers:
            raise Refused
        return content

    def _take(self, plaintext: bytes) -> bytes:
        if self.has_headers:
            return plaintext
        missing = self._headers_length - len(self._headers)
        self._headers += plaintext[:missing]
        if len(self._headers) == self._headers_length:
            self._take_headers(bytes(self._headers))
            self.has_headers = True
        return plaintext[missing:]


class ClientExchange:
    """A client's side of one attempt at a request.

    :param secret: the 32 bytes that client and server share.
    :param kid: the ticket of the session, or the name of a pre-shared key.
    :param audience: the service that the client means to reach.
    :param random: makes random bytes, such as :func:`os.urandom`.
    """

    def __init__(self, secret: bytes, kid: str, audience: str, *, random: Random) -> None:
        self._kid = kid
        self._random = random
        self._jti = random(JTI_BYTES)
        self._keys = _Keys(secret, self._jti, _REQUEST, _audience(audience))
        self._sealed = False

    def __repr__(self) -> str:
        return "<ClientExchange>"

    def seal(
        self, request: Request, content: bytes | None = None, *, iat: int, pad: bool = False
    ) -> SealedMessage:
        """Seal a request whose content is there.

        :param content: the bytes of the body, ``None`` where there is none.
        :param iat: the time, in seconds since 1970, on the server's clock as far as it is known.
        :param pad: whether the body's length is hidden, up to 12 %.
        :raises ValueError: where the seal would not pass common proxies.
        """
        if content is None:
            return SealedMessage(self._seal(request, iat, None, None), None)
        seal = self._seal(request, iat, "envelope", len(content) if pad else None)
        padded = _padded(content) if pad else content
        iv = self._random(envelope.IV_BYTES)
        return SealedMessage(seal, self._keys.seal_envelope(padded, iv))

    def seal_stream(
        self, request: Request, *, iat: int, length: int | None = None
    ) -> SealedStream:
        """Seal a request whose content comes as a stream.

        :param length: the number of bytes of the content, where it is known.
        :raises ValueError: where the seal would not pass common proxies.
        """
        return SealedStream(
            self._seal(request, iat, "records", length), b"", self._keys.seal_records()
        )

    def open(self, seal: str) -> Opened[Response]:
        """Open the seal of the response.

        :raises Refusal: where it does not belong to this request, or does not open.
        """
        parsed = jwe.parse(seal, MOST_RESPONSE_SEAL)
        header = json_decode(parsed.header, _RESPONSE_HEADER)
        _check_header(header, "sealed-response")
        rsalt = b64u_decode(header["rsalt"], _RSALT_BYTES)
        if b64u_decode(header["jti"], JTI_BYTES) != self._jti:
            raise Refused
        keys = self._keys.response(self._jti, rsalt)
        return _forgetting(_read_response, keys, header, jwe.open_(keys.seal, parsed))

    def _seal(self, request: Request, iat: int, body: Body | None, length: int | None) -> str:
        header: dict[str, object] = {
            **jwe.ALGORITHMS,
            "typ": "sealed-request",
            "kid": self._kid,
            "jti": b64u_encode(self._jti),
            "iat": iat,
            "htm": request.method,
            "target": request.target,
        }
        if self._sealed:
            raise ValueError("an exchange seals one request; its keys would meet a nonce again")
        self._sealed = True
        if body is not None:
            header["body"] = body
        if (request.content_type is None) is not (body is None):
            raise ValueError("a request has a content type exactly where it has a body")
        claims: dict[str, object] = {}
        _put(claims, "cty", request.content_type)
        _put(claims, "query", request.query)
        _put(claims, "headers", request.headers or None)
        _put(claims, "length", length)
        _put(claims, "op", None if request.op is None else b64u_encode(request.op))
        iv = self._random(jwe.IV_BYTES)
        seal = jwe.seal(self._keys.seal, json_encode(header), json_encode(claims), iv=iv)
        if len(seal) > MOST_REQUEST_SEAL:
            raise ValueError(
                f"the request's seal would have {len(seal)} characters, and {MOST_REQUEST_SEAL}"
                " pass common proxies; send less in the target, the hidden query and the headers"
            )
        return seal


class RequestSeal:
    """A request's seal, of which nothing is authenticated yet.

    :param seal: the value of the ``Sealed`` header.
    :raises Refusal: where it has not the form of a request's seal.
    """

    __slots__ = ("_header", "_jti", "_parsed", "body", "kid")

    def __init__(self, seal: str) -> None:
        self._parsed = jwe.parse(seal, MOST_REQUEST_SEAL)
        self._header = _read_request_header(self._parsed.header)
        self._jti = b64u_decode(self._header["jti"], JTI_BYTES)
        #: Names the one secret that may open it.
        self.kid: str = self._header["kid"]
        #: How the body is sealed, ``None`` where there is none.
        self.body: Body | None = self._header.get("body")

    def __repr__(self) -> str:
        return "<RequestSeal>"

    def open(
        self, secret: bytes, audience: str, *, allowed: Set[str] = REQUEST_HEADERS
    ) -> ServerExchange:
        """Open the seal.

        :param secret: the secret that ``kid`` names, and no other.
        :param audience: the name of this service.
        :param allowed: the headers that may travel sealed.
        :raises Refusal: where it does not open, or its content is not in order.
        """
        keys = _Keys(secret, self._jti, _REQUEST, _audience(audience))
        del secret  # Error reports show the variables of frames.
        header, parsed = self._header, self._parsed
        # Not named here: the error of content that is not in order would know it.
        opened = _forgetting(_read_request, keys, header, jwe.open_(keys.seal, parsed), allowed)
        return ServerExchange(opened, header, self._jti, keys)


class ServerExchange:
    """A server's side of an exchange, once the request's seal has been opened."""

    __slots__ = ("_header", "_jti", "_keys", "iat", "request")

    def __init__(
        self, opened: Opened[Request], header: dict[str, Any], jti: bytes, keys: _Keys
    ) -> None:
        self.request = opened
        #: When the client sealed the request, in seconds since 1970.
        self.iat: int = header["iat"]
        self._header = header
        self._jti = jti
        self._keys = keys

    def __repr__(self) -> str:
        return f"<ServerExchange {self.request.message.method}>"

    def check_target(self, method: str, resource: str) -> None:
        """Compare what was sealed with what the application really routes on.

        :param resource: as :func:`~flask_sealed.protocol.messages.target` writes it.
        :raises Refused: where they differ.
        """
        message = self.request.message
        if message.method != method or message.target != resource:
            raise Refused

    def seal(
        self,
        response: Response,
        content: bytes | None = None,
        *,
        random: Random,
        pad: bool = False,
        length: int | None = None,
    ) -> SealedMessage:
        """Seal a response whose content is there, under keys that no other response has.

        Headers that do not fit the seal go ahead of the content.

        :param content: the bytes of the body, ``None`` where there is none.
        :param pad: whether the body's length is hidden, up to 12 %.
        :param length: without a body, the number of bytes that it would have: what HEAD asks for.
        :raises ValueError: where the headers fit neither.
        """
        body: Body | None = None if content is None else "envelope"
        if content is not None and pad:
            length = len(content)
        # All in one call: each is one of the system.
        bits = random(_SEAL_RANDOM if content is None else _SEAL_RANDOM + envelope.IV_BYTES)
        seal, keys, head = self._seal(response, bits, body, length)
        if content is None:
            return SealedMessage(seal, None)
        plaintext = head + content
        return SealedMessage(
            seal, keys.seal_envelope(_padded(plaintext) if pad else plaintext, bits[_SEAL_RANDOM:])
        )

    def seal_stream(
        self, response: Response, *, random: Random, length: int | None = None
    ) -> SealedStream:
        """Seal a response whose content comes as a stream, under keys that no other response has.

        :param length: the number of bytes of the content, where it is known.
        :raises ValueError: where there are more headers than a client takes.
        """
        seal, keys, head = self._seal(response, random(_SEAL_RANDOM), "records", length)
        records = keys.seal_records()
        return SealedStream(seal, records.seal(head), records)

    def _seal(
        self, response: Response, bits: bytes, body: Body | None, length: int | None
    ) -> tuple[str, _Keys, bytes]:
        """The seal, its keys, and the headers that go ahead of the content.

        :param bits: random bytes: the response's salt, then the seal's IV.
        """
        rsalt, iv = bits[:_RSALT_BYTES], bits[_RSALT_BYTES:_SEAL_RANDOM]
        keys = self._keys.response(self._jti, rsalt)
        # Written by hand, since this is on everyone's way: nothing in it needs to be escaped.
        header = (
            f'{_RESPONSE_START}"jti":"{self._header["jti"]}","rsalt":"{b64u_encode(rsalt)}"'
            + (f',"body":"{body}"}}' if body else "}")
        )
        claims = f'{{"status":{response.status}'
        if response.content_type is not None:
            claims += f',"cty":{json_text(response.content_type)}'
        if length is not None:
            claims += f',"length":{length}'
        head = b""
        if response.headers:
            text = json_text(response.headers)
            head = text.encode()
            if body is None or len(head) <= _MOST_SEALED_HEADERS:
                claims += f',"headers":{text}'
                head = b""
            else:
                claims += f',"hlen":{len(head)}'
        seal = jwe.seal(keys.seal, header.encode(), f"{claims}}}".encode(), iv=iv)
        if len(seal) > MOST_RESPONSE_SEAL or len(head) > MOST_HEADERS:
            raise ValueError("the response has more headers than can be sealed")
        return seal, keys, head


# What is left of a response's seal for headers beside the longest of everything else.
_MOST_SEALED_HEADERS = 768

# A request's header as clients mostly write it; JSON that needs no parser.
_USUAL_HEADER = re.compile(
    r'\{"alg":"dir","enc":"A256GCM","typ":"sealed-request",'
    rf'"kid":"([\w-]{{{TICKET_CHARACTERS}}}|[!#-\[\]-~]{{1,{MOST_KID}}})",'
    r'"jti":"([\w-]+)","iat":([1-9][0-9]{,14}),'
    r'"htm":"([!#-\[\]-~]+)","target":"([!#-\[\]-~]+)"'
    r'(?:,"body":"(envelope|records)")?\}',
    re.ASCII,
)
_RESPONSE_START = '{"alg":"dir","enc":"A256GCM","typ":"sealed-response",'
_REQUEST_HEADER = Members(
    {
        "alg": str,
        "enc": str,
        "typ": str,
        "kid": str,
        "jti": str,
        "iat": int,
        "htm": str,
        "target": str,
    },
    {"body": str},
)
_RESPONSE_HEADER = Members(
    {"alg": str, "enc": str, "typ": str, "jti": str, "rsalt": str}, {"body": str}
)
_REQUEST_CLAIMS = Members(
    {}, {"cty": str, "query": str, "headers": list, "length": int, "op": str}
)
_RESPONSE_CLAIMS = Members(
    {"status": int}, {"cty": str, "headers": list, "hlen": int, "length": int}
)
_HEADERS = Members({"headers": list})


def _read_request_header(text: bytes) -> dict[str, Any]:
    # What the pattern takes, the parser and the checks below take too, with the same outcome.
    usual = _USUAL_HEADER.fullmatch(text.decode("latin-1"))
    if usual is not None:
        kid, jti, iat, htm, target, body = usual.groups()
        header = {"kid": kid, "jti": jti, "iat": int(iat), "htm": htm, "target": target}
        if body:
            header["body"] = body
        return header
    header = json_decode(text, _REQUEST_HEADER)
    _check_header(header, "sealed-request")
    if not _KID.fullmatch(header["kid"]):
        raise Malformed("The seal names no key.")
    return header


def _read_request(
    keys: _Keys, header: dict[str, Any], content: bytes, allowed: Set[str]
) -> Opened[Request]:
    claims = json_decode(content, _REQUEST_CLAIMS)
    has_body = "body" in header
    if has_body is not ("cty" in claims) or ("length" in claims and not has_body):
        raise Malformed("A request has a content type exactly where it has a body.")
    op = claims.get("op")
    try:
        request = Request(
            method=header["htm"],
            target=header["target"],
            content_type=claims.get("cty"),
            query=claims.get("query"),
            headers=read_headers(claims.get("headers")),
            op=None if op is None else b64u_decode(op, OP_BYTES),
        )
    except ValueError as error:
        raise _disorder(error) from None
    check_allowed(request, allowed)
    return Opened(request, keys, header, claims)


def _read_response(keys: _Keys, header: dict[str, Any], content: bytes) -> Opened[Response]:
    claims = json_decode(content, _RESPONSE_CLAIMS)
    _check_headers_length(header, claims)
    try:
        response = Response(
            status=claims["status"],
            content_type=claims.get("cty"),
            headers=read_headers(claims.get("headers")),
        )
    except ValueError as error:
        raise _disorder(error) from None
    return Opened(response, keys, header, claims)


def _forgetting(step: Callable[..., Result], *parts: Any) -> Result:
    """Do something with what has been opened.

    :raises Refusal: a new one where it raises one: error reports show the variables of an error's
        frames and of its context's, and those of the first know the content.
    """
    again: Callable[[], Refusal]
    try:
        return step(*parts)
    except Refused:
        again = Refused
    except Refusal as refusal:
        again = partial(type(refusal), refusal.detail)
    del step, parts
    raise again()


def _check_header(header: dict[str, Any], kind: str) -> None:
    fixed = (header["alg"], header["enc"], header["typ"]) == ("dir", "A256GCM", kind)
    if not fixed or header.get("body", "envelope") not in ("envelope", "records"):
        raise Malformed(f"The seal is no {kind}.")


def _check_headers_length(header: dict[str, Any], claims: dict[str, Any]) -> None:
    length = claims.get("hlen")
    if length is None:
        return
    if length > MOST_HEADERS:
        raise TooLarge(f"A response has {MOST_HEADERS} bytes of headers at the most.")
    if length == 0 or "headers" in claims or "body" not in header:
        raise Malformed("The headers of a response stand in its seal or in its body.")


def _disorder(error: ValueError) -> Malformed:
    return Malformed(f"The seal is not in order: {error}.")


def _padded(plaintext: bytes) -> bytes:
    return plaintext.ljust(padded_length(len(plaintext)), b"\0")


def _unpadded(plaintext: bytes, length: int) -> bytes:
    padding = len(plaintext) - length
    if len(plaintext) not in (length, padded_length(length)) or padding != plaintext.count(
        b"\0", length
    ):
        raise Refused
    return plaintext[:length]


def _put(claims: dict[str, object], name: str, value: object | None) -> None:
    if value is not None:
        claims[name] = value
