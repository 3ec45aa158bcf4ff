"""All that goes over the wire of an application, as WSGI has it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Call:
    """One request and what has been answered so far; streams go on while they are recorded."""

    path: str
    query: str
    request: str
    sent: bytes
    response: list[tuple[str, str]] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)

    def everything(self) -> str:
        """Addresses, headers and bodies of both directions."""
        bodies = self.sent.decode("latin-1"), bytes(self.received).decode("latin-1")
        return "\n".join((self.path, self.query, self.request, *bodies, str(self.response)))


class Recorder:
    """Put it in the place of an application's ``wsgi_app``."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app
        self.calls: list[Call] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
        call = Call(environ["PATH_INFO"], environ["QUERY_STRING"], str(headers), sent)
        self.calls.append(call)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            call.response = headers
            return start_response(status, headers, *more)

        with closing(self._app({**environ, "wsgi.input": io.BytesIO(sent)}, start)) as pieces:
            for piece in pieces:
                call.received += piece
                yield piece
