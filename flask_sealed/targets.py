"""The resource that a request is routed on, as the seal has to name it.

A middlebox must not lead a seal to another view than the client meant. So forwarded headers have
no say, nor has what else the network may add: it is the server's own reading of the request line,
and what the application mounted below it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from .errors import Malformed, Refused
from .protocol.messages import target

Paths = tuple[tuple[str, str], ...]

_MOUNTING = frozenset(("HTTP_SCRIPT_NAME", "HTTP_X_SCRIPT_NAME"))
_PREFIX = "HTTP_X_FORWARDED_PREFIX"
# What `ProxyFix` leaves; it never changes `PATH_INFO`.
_PROXY_FIX = "werkzeug.proxy_fix.orig"


def routed_resource(environ: dict[str, Any], public_paths: Paths) -> str:
    """The resource that the application routes on, as clients see it.

    :param public_paths: beginnings of paths as the application sees them, and as clients do.
    :returns: as :func:`~flask_sealed.protocol.messages.target` writes it.
    :raises Malformed: where the path is not UTF-8, or the query not printable ASCII.
    :raises Refused: where it cannot be told, or is none that clients see.
    """
    path = _routed_path(environ)
    if not path.isascii():
        path = _decode(path)
    if public_paths:
        path = _public(path, public_paths)
    # Latin-1 is how WSGI carries bytes (PEP 3333).
    return target(path, environ.get("QUERY_STRING", "").encode("latin-1", "replace"))


def mount(environ: dict[str, Any]) -> str:
    """Where the application is mounted: what its paths begin with, as servers see them.

    :raises Malformed: as :func:`routed_resource`.
    :raises Refused: likewise.
    """
    path = _routed_path(environ)
    return _decode(path[: len(path) - len(environ.get("PATH_INFO", ""))])


def public_path(path: str, public_paths: Paths) -> str | None:
    """A path of the application as clients see it; ``None`` where they cannot."""
    for inside, outside in public_paths:
        if path.startswith(inside):
            return outside + path[len(inside) :]
    return None if public_paths else path


def _routed_path(environ: dict[str, Any]) -> str:
    """The percent-decoded path of the request line, in WSGI's encoding.

    ``SCRIPT_NAME`` is not asked: ``ProxyFix`` takes it from a header. What the request line has
    ahead of ``PATH_INFO`` is where the application is mounted.
    """
    info: str = environ.get("PATH_INFO", "")
    line = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if line is None:
        return _mounted(environ) + info
    path = line.partition("?")[0]
    if path == info and "%" not in path:
        return info
    if not path.startswith("/"):
        # The absolute form: a scheme and a host (RFC 9112, section 3.2.2).
        path = "/" + path.partition("://")[2].partition("/")[2]
    path = unquote_to_bytes(path.encode("latin-1", "replace")).decode("latin-1")
    # What servers take for a fragment is no part of what is routed (RFC 9112, section 3.2).
    if not path.endswith(info) or "#" in line:
        raise Refused
    if len(path) > len(info) and _mounted_by_header(environ):
        raise Refused
    return path


def _mounted_by_header(environ: dict[str, Any]) -> bool:
    """Whether a header can have told where ``PATH_INFO`` begins.

    Gunicorn takes it from ``SCRIPT_NAME``, and a middleware that is copied often from
    ``X-Script-Name``, or from ``X-Forwarded-Prefix`` where there is no ``ProxyFix``: so anyone on
    the way could lead the rest of the path to another view.
    """
    name = environ.get("SCRIPT_NAME", "").strip("/")
    if not name:
        return False
    copied = name in environ.get(_PREFIX, "") and _PROXY_FIX not in environ
    return copied or not environ.keys().isdisjoint(_MOUNTING)


def _mounted(environ: dict[str, Any]) -> str:
    """``SCRIPT_NAME`` where no header can have told it."""
    name: str = environ.get("SCRIPT_NAME", "")
    original = environ.get(_PROXY_FIX, {}).get("SCRIPT_NAME", name)
    told = original != name and _PREFIX in environ
    if told or _mounted_by_header(environ):
        raise Refused
    return name


def _public(path: str, public_paths: Paths) -> str:
    public = public_path(path, public_paths)
    if public is None:
        raise Refused
    return public


def _decode(path: str) -> str:
    try:
        return path.encode("latin-1").decode()
    except UnicodeError:
        pass
    raise Malformed("The path is not UTF-8.")
