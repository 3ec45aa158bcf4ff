"""What a request and a response say inside their seals: members, limits, and which headers."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ..errors import Malformed

#: Headers of a message: pairs of a name in lower case and a value.
Headers = tuple[tuple[str, str], ...]

#: The headers of a request that may travel sealed, unless the application adds to them. A closed
#: list: a client could smuggle anything else past a proxy that strips it.
REQUEST_HEADERS = frozenset(
    (
        "accept",
        "accept-language",
        "authorization",
        "idempotency-key",
        "x-csrf-token",
        "x-csrftoken",
        "x-xsrf-token",
    )
)
#: The headers of a response that never travel sealed: they speak to browsers and proxies.
TRANSPORT_HEADERS = frozenset(
    (
        "age",
        "alt-svc",
        "clear-site-data",
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "retry-after",
        "server",
        "set-cookie",
        "strict-transport-security",
        "timing-allow-origin",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "via",
    )
)
_CORS = "access-control-"

#: Statuses that would make browsers or proxies act or send again; outside, they travel as 200.
HIDDEN_STATUSES = frozenset((204, 205, 206, *range(300, 400), 407, 408, 421, 425))

# RFC 9110, section 5.6.2.
_LINE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+ /[!-~]*")
_TARGET = re.compile(r"/[!-~]*")
_PLAIN_PATH = re.compile(r"/[0-9A-Za-z._~/-]*")
_QUERY = re.compile(r"[!-~]+")
_TYPE = re.compile(r"[ -~]{1,256}")
# A name without upper-case letters and underscores, and a value without controls, whose characters
# stand for octets (RFC 9110, section 5.5). Names with an underscore would be the same to WSGI as
# those with a hyphen.
_HEADER = re.compile(r"[!#$%&'*+.^`|~0-9a-z-]+\0[\t\x20-\x7e\x80-\xff]*")
OP_BYTES = 16


def is_transport(name: str) -> bool:
    """Whether a response's header speaks to browsers and proxies, and so travels in clear.

    :param name: in lower case.
    """
    return name in TRANSPORT_HEADERS or name.startswith(_CORS)


@dataclass(slots=True, kw_only=True)
class Request:
    """What a client says; all of it reaches the view, none of it the network in clear but
    ``method``, ``target`` and the sizes. Its ``repr`` shows no more than the network does, and the
    content type.

    :raises ValueError: where it is no request that could be sealed.
    """

    method: str
    #: The resource, as :func:`target` writes it.
    target: str
    #: The Content-Type of the body, ``None`` where there is none.
    content_type: str | None = None
    #: A query string that the URL does not show; the target then has none.
    query: str | None = field(default=None, repr=False)
    #: Headers that travel sealed, each name once.
    headers: Headers = field(default=(), repr=False)
    #: 16 bytes, the same in all attempts at one unsafe operation.
    op: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not _LINE.fullmatch(f"{self.method} {self.target}"):
            raise ValueError("the method is no token, or the target no path with a query")
        if self.query is not None and (not _QUERY.fullmatch(self.query) or "?" in self.target):
            raise ValueError("the hidden query is none, or the target has one too")
        if self.op is not None and len(self.op) != OP_BYTES:
            raise ValueError(f"the operation's name has not {OP_BYTES} bytes")
        _check_type(self.content_type)
        if self.headers:
            _check_headers(self.headers)
            if len(dict(self.headers)) != len(self.headers):
                raise ValueError("a header stands twice")


@dataclass(slots=True, kw_only=True)
class Response:
    """What a server answers.

    :raises ValueError: where it is no response that could be sealed.
    """

    status: int
    content_type: str | None = None
    #: Headers that travel sealed, none of which is a transport header.
    headers: Headers = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError("the status is not final")
        _check_type(self.content_type)
        if self.headers:
            _check_headers(self.headers)
            if any(is_transport(name) for name, _ in self.headers):
                raise ValueError("a transport header does not travel sealed")


def check_allowed(request: Request, allowed: Set[str]) -> None:
    """Check a request's headers against the closed list.

    :raises Malformed: where one is not in it.
    """
    for name, _ in request.headers:
        if name not in allowed:
            raise Malformed("The seal has a header that may not travel sealed.")


def target(path: str, query: bytes = b"") -> str:
    """The resource that a request names: the path in one canonical percent-encoding, the query as
    it is.

    All bytes of the path but letters, digits, ``-``, ``.``, ``_``, ``~`` and ``/`` are encoded: a
    ``%3F`` in a path would otherwise be the same as the start of a query.

    :param path: percent-decoded.
    :param query: without the question mark, as it stands in the URL.
    :raises Malformed: where the path is no text that UTF-8 has, or the query not printable ASCII.
    """
    if not query and _PLAIN_PATH.fullmatch(path):
        return path
    try:
        encoded = quote(path.encode(), safe="/")
        tail = query.decode("ascii")
    except UnicodeError:
        encoded = tail = ""
    resource = f"{encoded}?{tail}" if tail else encoded
    if not _TARGET.fullmatch(resource):
        raise Malformed("The path is not UTF-8, or the query not printable ASCII.")
    return resource


def read_headers(pairs: list[Any] | None) -> Headers:
    """Headers from their JSON form, not checked further than that they are pairs of strings.

    :raises ValueError: where they are none.
    """
    if pairs is None:
        return ()
    for pair in pairs:
        if type(pair) is not list or [*map(type, pair)] != [str, str]:
            raise ValueError("a header is no pair of strings")
    return tuple(map(tuple, pairs))


def _check_type(content_type: str | None) -> None:
    if content_type is not None and not _TYPE.fullmatch(content_type):
        raise ValueError("the content type is not 1 to 256 printable ASCII characters")


def _check_headers(headers: Headers) -> None:
    for name, value in headers:
        if not _HEADER.fullmatch(f"{name}\0{value}"):
            raise ValueError("a header is not a lower-case name and a value without controls")
