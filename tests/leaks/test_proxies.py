"""Proxies that decrypt TLS, and keep what passes, have ciphertext."""

from __future__ import annotations

import pytest

from .callers import CALLERS
from .conftest import Proxied
from .drive import Planted, is_in
from .lab import LOG
from .proxies import PLACES

called_by = pytest.mark.parametrize("caller", CALLERS)
kept_by = pytest.mark.parametrize("place", PLACES)


def passes(one: Planted, place: str) -> set[str]:
    """What each of them has of a request that nothing seals."""
    asked = {"header", "query" if one.situation == "query" else "body"}
    answered = {"answer", "answer header"}
    if one.situation in {"crash", "quoted", "broken", "refused"}:
        answered = set()
    return {
        "nginx's log": asked | answered - {"answer"},
        "nginx's answers": answered,
        "mitmproxy's flows": asked | answered,
        LOG: asked - {"body"} | answered - {"answer"},
    }[place]


def told(one: Planted, place: str) -> set[str]:
    """The server's own log has what views say and exceptions quote."""
    return {"body"} if one.situation in {"said", "quoted"} and place == LOG else set()


@called_by
@kept_by
def test_sealed(proxied: Proxied, caller: str, place: str) -> None:
    kept = proxied.kept[place]
    for one in proxied.sent[caller, "kept"]:
        assert one.found(kept) == told(one, place), one.situation
    if place != "nginx's answers":
        assert b"/kept/success" in kept


@called_by
@kept_by
def test_level3(proxied: Proxied, caller: str, place: str) -> None:
    """Bodies are sealed, and nothing else is."""
    for one in proxied.sent[caller, "level3"]:
        clear = passes(one, place) - {"body", "answer"}
        assert one.found(proxied.kept[place]) == clear | told(one, place), one.situation


@called_by
@kept_by
def test_control(proxied: Proxied, caller: str, place: str) -> None:
    """Unsealed, each of them has all that passes it."""
    for one in proxied.sent[caller, "open"]:
        assert passes(one, place) <= one.found(proxied.kept[place]), one.situation


@called_by
@kept_by
def test_a_customer_of_the_bank(proxied: Proxied, caller: str, place: str) -> None:
    for name, secret in proxied.secrets[caller].items():
        assert not is_in(secret.encode(), proxied.kept[place]), name


def test_control_of_the_bank(proxied: Proxied) -> None:
    """The one public view of the bank is seen; so are the paths of all others."""
    for place in ("nginx's answers", "mitmproxy's flows"):
        assert b"163.05" in proxied.kept[place]
    for place in ("nginx's log", "mitmproxy's flows"):
        assert b"/api/transfers" in proxied.kept[place]
