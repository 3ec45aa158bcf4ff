"""The example bank's page in a browser: what its customer sees, and what the wire carries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, Request, Route, expect

PDF = b"%PDF-1.7 passport"
# A quote is in no base64, so ciphertext cannot hold these by chance.
MARKERS = ('"4242"', "cardLast4", '"balance"', "analytical-engine", "%PDF", "passport", "40-2001")

_LOWEST_CONTRAST = (Path(__file__).parent / "fixtures" / "contrast.js").read_text("utf-8")


class Wire:
    """What a page says on its console, and the calls that it makes."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("requestfinished", lambda request: self.requests.append(request))

    def bodies(self, path: str) -> list[str]:
        """Request and response bodies of the calls to a path, as they travelled."""
        bodies: list[str] = []
        for request in self.requests:
            if request.url.endswith(path):
                response = request.response()
                assert response is not None
                bodies += filter(None, (request.post_data, response.text()))
        return bodies


@pytest.fixture
def wire(page: Page, bank_url: str) -> Iterator[Wire]:
    wire = Wire(page)
    page.goto(bank_url)
    yield wire
    assert wire.complaints == []


def log_in(page: Page, password: str = "analytical-engine") -> None:
    page.get_by_label("Customer", exact=True).fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def seen(page: Page) -> Page:
    log_in(page)
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    return page


def transfer(page: Page, payee: str, amount: str) -> None:
    page.get_by_label("To account").fill(payee)
    page.get_by_label("Amount in euros").fill(amount)
    page.get_by_role("button", name="Send money").click()


def upload(page: Page, content: bytes) -> None:
    page.get_by_label("PDF, PNG or JPEG").set_input_files(
        {"name": "passport.pdf", "mimeType": "application/pdf", "buffer": content}
    )
    page.get_by_role("button", name="Upload").click()


def test_the_warning_is_the_first_thing_to_see(page: Page, wire: Wire) -> None:
    warning = page.get_by_role("complementary", name="The key ships with this page")
    expect(warning).to_be_in_viewport(ratio=1)
    expect(warning).to_contain_text("Anyone who opens DevTools can read it.")


def test_a_customer_sees_plain_things_and_the_wire_ciphertext(page: Page, wire: Wire) -> None:
    seen(page)
    expect(page.get_by_role("main")).to_contain_text("€24,573.10")
    expect(page.get_by_role("main")).to_contain_text("4242")
    transfer(page, "40-2001", "73,1")
    expect(page.locator("#transfer-status")).to_contain_text("Sent €73.10 to 40-2001.")
    expect(page.locator("#accounts")).to_contain_text("€24,500.00")
    upload(page, PDF)
    expect(page.locator("#kyc-status")).to_contain_text("passport.pdf, 17 bytes")
    page.get_by_role("button", name="Show rates").click()
    expect(page.get_by_role("row", name="USD")).to_be_visible()

    for path in ("login", "accounts", "payment-details", "transfers", "kyc"):
        bodies = wire.bodies(f"/api/{path}")
        assert bodies
        for body in bodies:
            assert list(json.loads(body)) == ["data"]
            assert not any(marker in body for marker in MARKERS)
    assert '"USD":1.0864' in wire.bodies("/api/rates")[0]


def test_the_panel_shows_both_ends(page: Page, wire: Wire) -> None:
    seen(page)
    call = page.locator("#calls > li").first
    expect(call).to_contain_text("GET /api/payment-details")
    component = call.locator(".component").get_by_role("group", name="Response")
    travels = call.get_by_role("group", name="Response on the wire")
    expect(component).to_contain_text('"cardLast4": "4242"')
    shown = travels.inner_text()
    assert shown == wire.bodies("/api/payment-details")[0]
    assert list(json.loads(shown)) == ["data"]
    expect(call.get_by_role("group", name="Headers")).to_contain_text("authorization: Bearer ey")
    upload(page, PDF)
    expect(page.locator("#calls > li").first).to_contain_text("sealed-content-type: multipart/")
    page.get_by_role("button", name="Show rates").click()
    expect(page.locator("#calls > li").first).to_contain_text("In clear")


def test_the_panel_keeps_passwords_for_itself(page: Page, wire: Wire) -> None:
    seen(page)
    expect(page.locator("#calls")).not_to_contain_text("analytical-engine")


def test_errors_are_told_in_words(page: Page, wire: Wire) -> None:
    log_in(page, "wrong")
    expect(page.locator("#login-status")).to_have_text(
        "The customer name or the password is wrong."
    )
    seen(page)
    for payee, amount, words in (
        ("40-2001", "1000000", "There is not enough money on the account."),
        ("40-9999", "1", "There is no account 40-9999"),
        ("40-1001", "1", "Both accounts are the same."),
        ("40-2001", "a lot", "Write the amount in euros and cents"),
    ):
        transfer(page, payee, amount)
        expect(page.locator("#transfer-status")).to_contain_text(words)
    upload(page, b"MZ")
    expect(page.locator("#kyc-status")).to_contain_text("neither a PDF nor a PNG nor a JPEG")
    expect(page.locator("#accounts")).to_contain_text("€24,573.10")
    expected, wire.complaints[:] = list(wire.complaints), []
    # The browser itself notes each status above 399.
    assert all(text.startswith("Failed to load resource") for text in expected)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"data": "%s"}' % ("A" * 80), "did not open"),
        ('{"accessToken": "made up", "fullName": "Eve"}', "should have been sealed"),
    ],
)
def test_forged_answers_are_not_believed(page: Page, wire: Wire, body: str, words: str) -> None:
    def forge(route: Route) -> None:
        route.fulfill(body=body, content_type="application/json")

    page.route("**/api/login", forge)
    log_in(page)
    expect(page.locator("#login-status")).to_contain_text(words)
    expect(page.get_by_label("Password")).to_be_visible()


def test_an_unreachable_bank_is_told_in_words(page: Page, wire: Wire) -> None:
    page.route("**/api/login", lambda route: route.abort())
    log_in(page)
    expect(page.locator("#login-status")).to_have_text(
        "The bank cannot be reached. Please try again."
    )
    wire.complaints.clear()


def test_the_keyboard_is_enough(page: Page, wire: Wire) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the bank")).to_be_focused()
    for text in ("ada", "analytical-engine"):
        page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    title = page.get_by_role("heading", name="Accounts")
    expect(title).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Log out")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Customer", exact=True)).to_be_focused()
    expect(page.locator("#customer")).to_be_hidden()
    expect(page.locator("#login-status")).to_have_text("You have logged out.")


def test_the_token_is_nowhere_but_in_memory(page: Page, wire: Wire) -> None:
    seen(page)
    stored = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie.length]")
    assert stored == [0, 0, 0]
    page.reload()
    expect(page.get_by_label("Password")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_scrolls_sideways(page: Page, wire: Wire, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    seen(page)
    upload(page, PDF)
    expect(page.locator("#kyc-status")).to_contain_text("SHA-256")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(page: Page, wire: Wire, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert page.evaluate(_LOWEST_CONTRAST)[0] >= 4.5
    seen(page)
    page.get_by_role("button", name="Show rates").click()
    expect(page.get_by_role("row", name="USD")).to_be_visible()
    transfer(page, "40-2001", "a lot")
    expect(page.locator("#transfer-status")).to_have_class("status error")
    lowest, where = page.evaluate(_LOWEST_CONTRAST)
    assert lowest >= 4.5, where


def test_each_field_has_a_name(page: Page, wire: Wire) -> None:
    seen(page)
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select')].filter(it => !it.labels.length).length"
    )
    assert unnamed == 0
    for landmark in ("banner", "main", "complementary", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)
