"""What was on the wire."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus


@dataclass(slots=True)
class Message:
    """A request or a response, as anyone on the way sees it."""

    #: Method and target of a request, the status of a response.
    line: str
    headers: list[tuple[str, str]]
    #: What has been sent of the body.
    body: bytes = field(default=b"", repr=False)
    #: Whether that is all.
    ended: bool = True

    def shown(self) -> Iterator[tuple[str, bytes]]:
        """All that is shown, each part with its name."""
        yield "line", " ".join((self.line, unquote(self.line), unquote_plus(self.line))).encode()
        for name, value in self.headers:
            yield f"header {name}", f"{name}: {value}".encode()
        yield "body", self.body


@dataclass(slots=True)
class Exchange:
    """A request and its response on the wire."""

    request: Message
    response: Message


# What is as long, and of these characters alone, is base64.
_BASE64 = re.compile(rb"[0-9A-Za-z+/_-]{64,}")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
# Shorter texts can stand in base64 by chance.
_LONG = 8


def _is_in(text: bytes, data: bytes) -> bool:
    if len(text) >= _LONG and text in data:
        return True
    return text in _BASE64.sub(_decoded, data)


def _decoded(found: re.Match[bytes]) -> bytes:
    text = found[0].translate(_URL_SAFE)
    return b64decode(text[: len(text) // 4 * 4])


def demand_absent(wire: Iterable[Exchange], texts: Iterable[str | bytes]) -> None:
    """Make sure that texts were not on the wire, nor in what stands there in base64.

    :raises AssertionError: where one was, with the place; or where a response has been read in
        part, so that nobody knows.
    """
    __tracebackhide__ = True
    wanted = [text.encode() if isinstance(text, str) else text for text in texts]
    if not all(wanted):
        raise ValueError("an empty text is everywhere")
    for exchange in wire:
        if not exchange.response.ended:
            raise AssertionError(
                f"the response to {exchange.request.line} has not been read to its end, nor closed"
            )
        for kind, message in (("request", exchange.request), ("response", exchange.response)):
            for part, data in message.shown():
                for text in wanted:
                    if _is_in(text, data):
                        raise AssertionError(
                            f"{text!r} was on the wire: in the {part} of the {kind} of"
                            f" {exchange.request.line}"
                        )
