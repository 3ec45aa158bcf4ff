"""The URI of a server of Redis. Nothing shows any of it: each part may be of a password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster", "unix")
_CERTIFICATES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_PORT = 6379
# Python's own parser takes no list of servers with an IPv6 address in it.
_FORM = re.compile(r"([A-Za-z+]+):(?://([^/?#]*))?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a Redis is."""

    tls: bool = False
    cluster: bool = False
    #: Host and port of each node.
    nodes: tuple[tuple[str, int], ...] = ()
    #: The path of a socket, instead of nodes.
    socket: str | None = None
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    #: `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile`: paths of files.
    certificates: dict[str, str] = field(default_factory=dict)


def parse_uri(uri: str) -> Place | None:
    """Read a URI.

    :returns: nothing where it is wrong, so that no error has a frame in which it stands.
    """
    form = _FORM.fullmatch(uri)
    try:
        return form and _place(form[1].lower(), form[2] or "", urlsplit(f"//host{form[3]}"))
    except ValueError:
        return None


def _place(scheme: str, authority: str, parts: SplitResult) -> Place:
    """
    :param parts: of the URI with another authority.
    """
    user, _, servers = authority.rpartition("@")
    username, _, password = user.partition(":")
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
    local = scheme == "unix"
    tls = scheme.startswith("rediss")
    cluster = scheme.endswith("+cluster")
    path = "" if local else parts.path.removeprefix("/")
    db = _number(options.pop("db", "0") if local else path or "0")
    certificates = {name: options.pop(name) for name in _CERTIFICATES if tls and name in options}
    wrong = (
        options or parts.fragment or (cluster and db) or (local and (servers or not parts.path))
    )
    if scheme not in SCHEMES or wrong or bool(user) != bool(password):
        raise ValueError("what the place of a Redis has not, or what it needs")
    return Place(
        tls=tls,
        cluster=cluster,
        nodes=() if local else _nodes(servers, cluster),
        socket=unquote(parts.path) if local else None,
        db=db,
        username=unquote(username) or None,
        password=unquote(password) or None,
        certificates=certificates,
    )


def _nodes(servers: str, cluster: bool) -> tuple[tuple[str, int], ...]:
    nodes = tuple(_node(server) for server in servers.split(","))
    if len(nodes) > 1 and not cluster:
        raise ValueError("several servers that are no cluster")
    return nodes


def _node(server: str) -> tuple[str, int]:
    parts = urlsplit(f"//{server}")
    if not parts.hostname or parts.netloc != server:
        raise ValueError("no host")
    return parts.hostname, _PORT if parts.port is None else parts.port


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("no number")
    return int(text)
