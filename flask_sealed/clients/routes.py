"""A service's list of sealed routes, and which of them a request is for.

Where it is not clear, a request counts as one for a sealed route: it then goes sealed, and an
answer in clear is refused. What goes in clear by mistake cannot be taken back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from ..errors import Malformed
from ..protocol.encoding import Members, json_decode
from ..protocol.messages import target

_LIST = Members({"routes": list})
_VARIABLE = re.compile(r"\{(\+?)\w+\}")
_SLASHES = re.compile("/+")
_REMEMBERED = 1024
_DOTS = frozenset((".", ".."))
_ROW = {"path": str, "methods": list, "profile": str, "once": bool}


@dataclass(frozen=True, slots=True)
class Route:
    """What a sealed route demands."""

    path: str
    methods: frozenset[str]
    profile: str
    once: bool


class Routes:
    """The sealed routes of a service.

    :param text: the list as the service answers it, opened.
    :raises Malformed: where it is none.
    """

    def __init__(self, text: bytes) -> None:
        self._fixed: dict[str, list[Route]] = {}
        self._templates: list[tuple[re.Pattern[str], Route]] = []
        # What would match a template, and is in clear.
        self._clear: set[tuple[str, str]] = set()
        for row in json_decode(text, _LIST)["routes"]:
            route = _read(row)
            if route.profile == "clear":
                self._clear.update((method, route.path) for method in route.methods)
            elif "{" in route.path:
                self._templates.append((_pattern(route.path), route))
            else:
                self._fixed.setdefault(_merged(unquote(route.path)), []).append(route)

        # Programs ask for the same paths again and again.
        self.find = lru_cache(_REMEMBERED)(self._find)

    def _find(self, method: str, path: str) -> Route | None:
        """The sealed route that a request may be for, ``None`` where there is none.

        :param path: as it stands in the request line, without the query.
        """
        if (method, path) in self._clear:  # in no other spelling
            return None
        routes = (route for route in self._matching(path) if method in route.methods)
        return min(routes, key=_first, default=None)

    def _matching(self, path: str) -> Iterator[Route]:
        decoded = unquote(path)
        yield from self._fixed.get(_merged(decoded), ())
        if self._templates:
            # An encoded slash is one to most servers, and a part of the segment to the caller.
            whole = {quote(decoded, safe="/"), _requoted(path)}
            forms = whole | {_merged(form) for form in whole}
            for pattern, route in self._templates:
                if any(map(pattern.fullmatch, forms)):
                    yield route


def resource(path: str, query: str = "") -> str:
    """The target of a request.

    :param path: as it stands in the request line.
    :param query: likewise.
    :raises ValueError: where it is none that a server and a proxy understand alike.
    """
    decoded = unquote(path or "/", errors="surrogateescape")
    if not _DOTS.isdisjoint(decoded.split("/")):
        raise ValueError(
            "the path has segments of dots, which proxies resolve, and servers do not"
        )
    try:
        return target(decoded, query.encode())
    except Malformed as error:
        fault = str(error)
    raise ValueError(fault)


def check_path(path: str) -> str:
    """A path, percent-decoded.

    :raises ValueError: where proxies and servers could take it for two resources.
    """
    decoded = unquote(path or "/", errors="surrogateescape")
    if not _DOTS.isdisjoint(decoded.split("/")):
        raise ValueError(
            "the path has segments of dots, which proxies resolve, and servers do not"
        )
    return decoded


def _first(route: Route) -> tuple[bool, bool]:
    """Of several routes, the one to seal for: then the view of another refuses at the worst."""
    return route.profile != "session", not route.once


def _read(row: Any) -> Route:
    members = row if isinstance(row, dict) else {}
    if any(type(members.get(name)) is not kind for name, kind in _ROW.items()):
        raise Malformed("The service's list of routes is none.")
    methods = frozenset(method for method in members["methods"] if isinstance(method, str))
    return Route(members["path"], methods, members["profile"], members["once"])


def _pattern(template: str) -> re.Pattern[str]:
    """A URI template (RFC 6570) as an expression; empty values and more slashes match too."""
    expression, at = "", 0
    template = template.rstrip("/")
    for variable in _VARIABLE.finditer(template):
        expression += re.escape(template[at : variable.start()])
        expression += ".*" if variable[1] else "[^/]*"
        at = variable.end()
    return re.compile(expression + re.escape(template[at:]) + "/*", re.DOTALL)


def _merged(path: str) -> str:
    return _SLASHES.sub("/", path).rstrip("/")


def _requoted(path: str) -> str:
    return "/".join(quote(unquote(part), safe="") for part in path.split("/"))
