"""Proxies that decrypt TLS, and keep what passes, have ciphertext."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import sync_playwright

from flask_sealed.protocol.encoding import b64u_encode

from ..servers.conftest import AUDIENCE, pins
from .conftest import LOG, running
from .drive import SITUATIONS, Planted, sealed_client, send
from .proxies import PLACES, Proxies, standing
from .sink import listening


@dataclass
class Captures:
    """What was sent, and what each of the proxies has kept of it."""

    kept: list[Planted]
    open: list[Planted]
    #: By a page: sealed, and not.
    page: tuple[Planted, Planted]
    places: dict[str, bytes]


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Captures:
    folder = tmp_path_factory.mktemp("proxies")
    with listening() as sink, standing(folder, running(folder, "", sink)) as proxies:
        sealing = sealed_client(proxies.tls, pins(folder), proxies.transport())
        kept = drive(sealing, "kept")
        plain = httpx.Client(base_url=proxies.tls, transport=proxies.transport())
        clear, page = drive(plain, "open"), browse(proxies)
    return Captures(kept, clear, page, proxies.kept())


def drive(client: httpx.Client, path: str) -> list[Planted]:
    """Each situation once."""
    planted = [Planted(situation) for situation in SITUATIONS]
    with client:
        for one in planted:
            send(client, path, one)
    return planted


def browse(proxies: Proxies) -> tuple[Planted, Planted]:
    """A page that sends one request sealed, and the same in clear; past mitmproxy."""
    sealed, clear = Planted("success"), Planted("success")
    pinned = [b64u_encode(pin) for pin in pins(proxies.folder)]
    arguments = [AUDIENCE, pinned, sealed.card, sealed.note, clear.card, clear.note]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        page = browser.new_page()
        page.goto(f"{proxies.plain}/plain/ready")
        got = page.evaluate(_SCRIPT, arguments)
        browser.close()
    assert got == [{"answer": sealed.card[::-1]}, {"answer": clear.card[::-1]}]
    return sealed, clear


_SCRIPT = """
async ([audience, pins, sealedCard, sealedNote, card, note]) => {
    const { connect } = await import("/sealed/client.js");
    const api = await connect(location.origin, { audience, pins, headers: ["x-note"] });
    const ask = async (fetch, path, card, note) => {
        const response = await fetch(path, {
            method: "POST",
            headers: { "Content-Type": "application/json", "X-Note": note },
            body: JSON.stringify({ card }),
        });
        return response.json();
    };
    return [
        await ask(api.fetch, "/kept/success", sealedCard, sealedNote),
        await ask((...rest) => fetch(...rest), "/open/success", card, note),
    ];
}
"""


@pytest.mark.parametrize("place", PLACES)
def test_sealed(captures: Captures, place: str) -> None:
    for one in [*captures.kept, captures.page[0]]:
        # The server's own log has what views say and exceptions quote.
        told = one.situation in {"said", "quoted"} and place == LOG
        assert one.found(captures.places[place]) == ({"body"} if told else set()), one.situation
    if place != "nginx's answers":
        assert b"/kept/success" in captures.places[place]


@pytest.mark.parametrize("place", PLACES)
def test_control(captures: Captures, place: str) -> None:
    """Unsealed, each of them has all that passes it."""
    for one in captures.open:
        asked = {"header", "query" if one.situation == "query" else "body"}
        answered = {"answer", "answer header"}
        if one.situation in {"crash", "quoted", "broken", "refused"}:
            answered = set()
        found = one.found(captures.places[place])
        expected = {
            "nginx's log": asked | answered - {"answer"},
            "nginx's answers": answered,
            "mitmproxy's flows": asked | answered,
            LOG: {"header"} | answered - {"answer"},
        }
        assert expected[place] <= found, one.situation
    seen = captures.page[1].found(captures.places[place])
    assert bool(seen) is (place != "mitmproxy's flows")
