"""Requests with markers, and where the markers are found."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from flask_sealed import Refusal, Untrusted

from .app import VIEWS

#: The ways in which a request can end: the views by their names.
SITUATIONS = tuple(VIEWS)
#: What of a request and its answer has a marker of its own.
FIELDS = ("body", "header", "query", "answer", "answer header", "local")
#: By the place and the situation: the fields that were found.
Captured = dict[tuple[str, str], set[str]]
_LETTERS = "abcdefghijkmnopqrstuvwxyz"


def new_marker() -> str:
    """Letters that stand nowhere else."""
    return "".join(random.choices(_LETTERS, k=20))


@dataclass
class Planted:
    """The markers of one request."""

    situation: str
    card: str = field(default_factory=new_marker)
    note: str = field(default_factory=new_marker)
    #: What came of it: no status where the answer broke off, and whether the card came back.
    status: int = 0
    answered: bool = False

    def markers(self) -> Iterator[tuple[str, str]]:
        """Each marker's field, and the marker."""
        yield ("query" if self.situation == "query" else "body"), self.card
        yield "header", self.note
        yield "answer", self.card[::-1]
        yield "answer header", self.card[::-1].upper()
        yield "local", self.card.upper()

    def found(self, captured: bytes) -> set[str]:
        """The fields whose markers are in what was captured, in any usual writing."""
        return {name for name, marker in self.markers() if is_in(marker.encode(), captured)}


def condensed(captured: bytes) -> bytes:
    """All in which a marker may stand: what has the characters of its writings, each once."""
    return b"\n".join(set(re.findall(rb"[A-Za-z0-9+/]{20,}", captured)))


def is_in(marker: bytes, captured: bytes) -> bool:
    """As it is, in hexadecimal digits, or in base64 from any byte on."""
    writings = [marker, marker.hex().encode()]
    writings += [_in_base64(marker, start) for start in range(3)]
    return any(writing in captured for writing in writings)


def _in_base64(marker: bytes, start: int) -> bytes:
    """The characters that say the marker alone, where so many bytes go before it."""
    text = base64.b64encode(bytes(start) + marker)
    return text[-(-8 * start // 6) : 8 * (start + len(marker)) // 6]


def drive(client: httpx.Client, path: str) -> list[Planted]:
    """Each situation once, of the views below a path."""
    planted = [Planted(situation) for situation in SITUATIONS]
    with client:
        for one in planted:
            send(client, path, one)
    return planted


def send(client: httpx.Client, path: str, planted: Planted) -> None:
    """One request with markers."""
    card = planted.card
    headers = {"X-Note": planted.note, "Authorization": f"Bearer {planted.note}"}
    url = f"/{path}/{planted.situation}"
    try:
        if planted.situation == "query":
            response = client.get(url, params={"card": card}, headers=headers)
        elif planted.situation == "upload":
            files = {"file": ("card.txt", card.encode())}
            response = client.post(url, data={"card": card}, files=files, headers=headers)
        else:
            response = client.post(url, json={"card": card}, headers=headers)
    except (httpx.TransportError, Refusal, Untrusted):
        # Of an answer that breaks off, some proxies make one of their own, with the status 502.
        assert planted.situation == "broken"
        return
    planted.status = response.status_code
    planted.answered = card[::-1] in response.text
