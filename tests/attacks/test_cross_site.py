"""Requests that another site has the victim's browser send.

Property: a page of another site cannot have the bank act for the victim, nor read anything. The
attacker has the victim open a page; the browser adds the victim's cookies. Here the test is that
browser: it sends what the Fetch standard lets a page send, and asks first where it has to. Answer:
a sealed view takes no request without a seal, and a header that a page of another site cannot set
without being allowed to carries the seal. Tokens are bound to a key that the other page has not.

Where cookies alone say who is calling, and CORS lets other sites in, a seal is no protection: see
the last test. That is what CSRF tokens are for, and they can travel sealed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.messages import Request

from ..driver import HttpWire, Outer
from .app import SECRET, TWIN
from .conftest import Bank

ORIGIN = "https://evil.example"
ORDER = b'{"to": "eve"}'
# What a page may send to another site unasked (Fetch, section 2.2.2).
SIMPLE_HEADERS = frozenset(("accept", "accept-language", "content-language", "content-type"))
SIMPLE_TYPES = frozenset(
    ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
)
SIMPLE_METHODS = frozenset(("GET", "HEAD", "POST"))


class NotAllowed(Exception):
    """The browser has not sent it, or not shown the answer."""


@dataclass
class Browser:
    """The victim's, with a page of another site open."""

    base: str
    cookie: str

    def fetch(self, send: Send) -> Outer:
        """Send a request of the page.

        :raises NotAllowed: where the server has not agreed to it.
        """
        if not self._is_simple(send):
            self._ask(send)
        sent = (*send.headers, ("origin", ORIGIN), ("cookie", self.cookie))
        return HttpWire(self.base).send(Send(send.method, send.target, sent, send.body))

    def read(self, outer: Outer) -> bytes:
        """What the page may read of an answer."""
        if outer.head.headers.get("access-control-allow-origin") not in {ORIGIN, "*"}:
            raise NotAllowed
        return outer.read()

    def _is_simple(self, send: Send) -> bool:
        headers = dict(send.headers)
        return (
            send.method in SIMPLE_METHODS
            and headers.keys() <= SIMPLE_HEADERS
            and headers.get("content-type", "text/plain") in SIMPLE_TYPES
        )

    def _ask(self, send: Send) -> None:
        wanted = sorted(name for name, _ in send.headers if name not in SIMPLE_HEADERS)
        lines = (
            ("origin", ORIGIN),
            ("access-control-request-method", send.method),
            ("access-control-request-headers", ",".join(wanted)),
        )
        outer = HttpWire(self.base).send(Send("OPTIONS", send.target, lines))
        outer.read()
        allowed = outer.head.headers.get("access-control-allow-headers", "").lower()
        if not all(name in allowed for name in wanted):
            raise NotAllowed


def cookie_of(outer: Outer) -> str:
    return str(outer.head.headers["set-cookie"].partition(";")[0])


@pytest.fixture
def browser(bank: Bank) -> Browser:
    """The victim has logged in to the bank, with a cookie."""
    caller = bank.caller()
    assert caller.post("/cookie", json={"user": "ada"}).status == 200
    return Browser(bank.server.base, cookie_of(caller.raw))


@pytest.mark.parametrize("kind", sorted(SIMPLE_TYPES))
def test_a_form(bank: Bank, browser: Browser, kind: str) -> None:
    """Whatever a form of another site can send."""
    for body in (ORDER, b'{"data":"' + b"A" * 80 + b'"}', b"to=eve"):
        outer = browser.fetch(Send("POST", "/by-cookie", (("content-type", kind),), body))
        assert outer.status == 400
    assert bank.server.notes("moved") == []


def test_a_seal_in_the_query_or_the_body(bank: Bank, browser: Browser) -> None:
    """Where a form could put one."""
    attempt = bank.caller().prepare(
        Request(method="POST", target="/by-cookie", content_type="application/json"), ORDER
    )
    seal = dict(attempt.send.headers)["sealed"]
    text = (("content-type", "text/plain"),)
    body = b"Sealed: " + seal.encode() + b"\r\n\r\n" + (attempt.send.body or b"")
    for send in (
        Send("POST", f"/by-cookie?Sealed={seal}", text, attempt.send.body),
        Send("POST", "/by-cookie", text, body),
    ):
        assert browser.fetch(send).status == 400
    assert bank.server.notes("moved") == []


def test_a_script(bank: Bank, browser: Browser) -> None:
    """It can seal in a session of its own, and may not send that."""
    attempt = bank.caller().prepare(
        Request(method="POST", target="/by-cookie", content_type="application/json"), ORDER
    )
    with pytest.raises(NotAllowed):
        browser.fetch(attempt.send)
    assert bank.server.notes("moved") == []


def test_reading(browser: Browser) -> None:
    """As a script, an image or a fetch: there is nothing to be read."""
    outer = browser.fetch(Send("GET", "/by-cookie", ()))
    with pytest.raises(NotAllowed):
        browser.read(outer)
    assert SECRET.encode() not in outer.read()


def test_a_token_for_another_page(bank: Bank) -> None:
    """A page that was given a token by mistake has not the key that it is bound to."""
    token = bank.caller().post("/login", json={"user": "ada"}).json()["access"]
    eve = bank.caller()
    assert eve.get("/account", headers={"authorization": f"Bearer {token}"}).status == 401


def test_control(bank: Bank) -> None:
    """Unsealed, a form moves the victim's money."""
    login = bank.twin().post("/cookie", json={"user": "ada"})
    login.read()
    browser = Browser(bank.server.base, cookie_of(login))
    text = (("content-type", "text/plain"),)
    assert browser.fetch(Send("POST", f"{TWIN}/by-cookie", text, ORDER)).status == 200
    assert bank.server.notes("moved") == [json.dumps(["ada", {"to": "eve"}])]
    assert SECRET.encode() in browser.fetch(Send("GET", f"{TWIN}/by-cookie", ())).read()


def test_what_remains(bank: Bank, browser: Browser) -> None:
    """A page that the bank's CORS lets in can use the victim's cookie in a session of its own."""
    attempt = bank.caller().prepare(
        Request(method="POST", target="/by-cookie", content_type="application/json"), ORDER
    )
    headers = (*attempt.send.headers, ("cookie", browser.cookie))
    outer = bank.wire.send(Send("POST", "/by-cookie", headers, attempt.send.body))
    assert attempt.open(outer)[0].status == 200
    assert bank.server.notes("moved") == [json.dumps(["ada", {"to": "eve"}])]
