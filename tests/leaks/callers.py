"""Who calls the lab's application: httpx, and a page in a browser."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Page

from flask_sealed.clients.httpx import SealedTransport
from flask_sealed.protocol.encoding import b64u_encode

from ..peer import Peer
from ..servers.conftest import AUDIENCE

CALLERS = ("httpx", "browser")
#: Makes a client that seals as the views below a path ask for it.
MakeClient = Callable[[str], httpx.Client]
#: For an answer, in seconds.
PATIENCE = 180
#: The key of all Level 3 views of the lab.
LEVEL3 = Peer(os.urandom(32))
_JSON = "application/json"
_TYPE = "sealed-content-type"
_BEGIN = """async (given) => {
    const { begin } = await import("/lab/page.js");
    window.call = await begin(given);
}"""


def calling_by_httpx(
    base: str,
    pins: tuple[bytes, ...],
    transport: Callable[[], httpx.BaseTransport] = httpx.HTTPTransport,
) -> MakeClient:
    """Clients of httpx.

    :param base: where the server is.
    :param pins: its identity keys.
    :param transport: makes what they send with.
    """

    def sealing(path: str) -> httpx.BaseTransport:
        if path == "open":
            return transport()
        if path == "level3":
            return Level3Transport(transport())
        return SealedTransport(
            audience=AUDIENCE,
            origin=base,
            pins=pins,
            headers=["x-note"],
            transport=transport(),
        )

    return lambda path: httpx.Client(base_url=base, transport=sealing(path), timeout=PATIENCE)


def calling_by_page(base: str, pins: tuple[bytes, ...], page: Page) -> MakeClient:
    """Clients that have all sent by a page's own code, in the same way.

    :param page: it is loaded from the server.
    """
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(f"{base}/plain/ready")
    key = base64.b64encode(LEVEL3.secret).decode()
    shown = [b64u_encode(pin) for pin in pins]
    page.evaluate(_BEGIN, {"audience": AUDIENCE, "pins": shown, "key": key})
    return lambda path: httpx.Client(base_url=base, transport=PageTransport(page, path))


class Level3Transport(httpx.BaseTransport):
    """Seals the body of each request as Level 3 has it, nothing else, and opens the answers."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def close(self) -> None:
        self._inner.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(_sealed(request) if request.read() else request)
        aad = response.headers.get(_TYPE, "").encode()
        content = LEVEL3.unseal(response.read(), aad)
        return httpx.Response(response.status_code, content=content)


def _sealed(request: httpx.Request) -> httpx.Request:
    headers = request.headers.copy()
    content_type = headers["content-type"]
    del headers["content-length"]
    aad = b""
    if content_type != _JSON:
        headers[_TYPE], aad = content_type, content_type.encode()
    headers["content-type"] = _JSON
    content = LEVEL3.seal(request.content, aad)
    return httpx.Request(request.method, request.url, headers=headers, content=content)


class PageTransport(httpx.BaseTransport):
    """Has all sent by the page that is open, as the views below a path ask for it."""

    def __init__(self, page: Page, path: str) -> None:
        self._page = page
        self._path = path

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        names = ("authorization", "content-type", "x-note")
        sent: dict[str, Any] = {
            "method": request.method,
            "headers": {name: request.headers[name] for name in names if name in request.headers},
            "body": base64.b64encode(request.read()).decode() or None,
        }
        target = request.url.raw_path.decode()
        script = "([path, url, init]) => window.call(path, url, init)"
        answer = self._page.evaluate(script, [self._path, target, sent])
        if answer is None:
            raise httpx.ReadError("the page had no answer")
        status, text = answer
        return httpx.Response(status, text=text)
