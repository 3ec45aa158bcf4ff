"""The example bank's page in a browser: what its customer sees, and what the wire carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from examples.bank import create_app

from .conftest import Serve
from .recorder import Call, Recorder

PDF = b"%PDF-1.7 passport"
# A quote is in no base64, so ciphertext cannot hold these by chance.
MARKERS = ('"4242"', "cardLast4", '"balance"', "analytical-engine", "%PDF", "passport", "40-2001")
SEALED = ("login", "accounts", "payment-details", "transfers", "statement", "kyc")

_LOWEST_CONTRAST = (Path(__file__).parent / "fixtures" / "contrast.js").read_text("utf-8")

_AXE = (Path(__file__).parents[1] / "js/node_modules/axe-core/axe.min.js").read_text("utf-8")
_VIOLATIONS = (
    "axe.run().then((found) => found.violations.map(({ id, nodes }) => [id, nodes[0].html]))"
)


class Wire:
    """What a page says on its console, and the calls that it makes."""

    def __init__(self, page: Page, recorder: Recorder) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._recorder = recorder
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))

    def calls(self, path: str) -> list[Call]:
        """The calls to a path, as they travelled."""
        return [call for call in self._recorder.calls if call.path.endswith(path)]

    def bodies(self, path: str) -> list[bytes]:
        """Request and response bodies of the calls to a path."""
        return [
            body for call in self.calls(path) for body in (call.sent, bytes(call.received)) if body
        ]

    def everything(self) -> str:
        """All that travelled to and from the sealed views: addresses, headers and bodies."""
        calls = (call for call in self._recorder.calls if call.path.startswith("/api/"))
        return "\n".join(call.everything() for call in calls if call.path != "/api/rates")


@pytest.fixture
def wire(page: Page, bank_url: str, recorder: Recorder) -> Iterator[Wire]:
    wire = Wire(page, recorder)
    page.goto(bank_url)
    yield wire
    assert wire.complaints == []


def log_in(page: Page, password: str = "analytical-engine", *, name: str = "ada") -> None:
    page.get_by_label("Customer", exact=True).fill(name)
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


def test_what_it_protects_is_the_first_thing_to_see(page: Page, wire: Wire) -> None:
    warning = page.get_by_role("complementary", name="No key ships with this page")
    expect(warning).to_be_in_viewport(ratio=1)
    expect(warning).to_contain_text("Does not protect against someone who changes this page")


def test_a_customer_sees_plain_things_and_the_wire_ciphertext(page: Page, wire: Wire) -> None:
    seen(page)
    expect(page.get_by_role("main")).to_contain_text("€24,573.10")
    expect(page.get_by_role("main")).to_contain_text("4242")
    transfer(page, "40-2001", "73,1")
    expect(page.locator("#transfer-status")).to_contain_text("Sent €73.10 to 40-2001.")
    expect(page.locator("#accounts")).to_contain_text("€24,500.00")
    page.get_by_role("button", name="Show the statement").click()
    expect(page.locator("#statement")).to_contain_text("40-2001, -€73.10")
    upload(page, PDF)
    expect(page.locator("#kyc-status")).to_contain_text("passport.pdf, 17 bytes")
    page.get_by_role("button", name="Show rates").click()
    expect(page.get_by_role("row", name="USD")).to_be_visible()

    for path in SEALED:
        assert wire.bodies(f"/api/{path}")
    everything = wire.everything()
    for marker in (*MARKERS, "account=", "Bearer", "authorization"):
        assert marker not in everything
    assert b'"USD":1.0864' in wire.bodies("/api/rates")[0]


def call(page: Page, name: str) -> Locator:
    """A call in the panel, opened."""
    found = page.locator("#calls > li", has_text=name).first
    found.locator("details").evaluate("details => { details.open = true; }")
    return found


def both(call: Locator, part: str) -> tuple[Locator, Locator]:
    """What the page sees and what the wire carries of a part of a call."""
    sides = ("what the page sees", "what the wire carries")
    seen, carried = (call.get_by_role("group", name=f"{part}, {side}") for side in sides)
    return seen, carried


def test_the_panel_shows_seals_and_envelopes_from_both_ends(page: Page, wire: Wire) -> None:
    seen(page)
    card = call(page, "GET /api/payment-details")
    claims, seal = both(card, "Request: seal")
    expect(claims).to_contain_text('"authorization"')
    for member in ('"typ": "sealed-request"', '"htm": "GET"', '"target": "/api/payment-details"'):
        expect(seal).to_contain_text(member)
    expect(seal).not_to_contain_text("Bearer")
    claims, seal = both(card, "Response: seal")
    expect(claims).to_contain_text('"status": 200')
    expect(seal).to_contain_text('"typ": "sealed-response"')
    plain, carried = both(card, "Response: body")
    expect(plain).to_contain_text('"cardLast4": "4242"')
    expect(carried).to_have_text(wire.bodies("/api/payment-details")[0].decode())
    headers = both(card, "Headers in clear")[1]
    expect(headers).to_contain_text("GET /api/payment-details")
    expect(headers).not_to_contain_text("authorization")


def test_the_panel_shows_records_beside_their_plaintext(page: Page, wire: Wire) -> None:
    seen(page)
    upload(page, PDF.ljust(100_000))
    plain, carried = both(call(page, "POST /api/kyc"), "Request: body")
    expect(plain).to_contain_text("passport.pdf")
    expect(carried).to_contain_text("Record 1: 65,552 bytes of ciphertext, 65,536 bytes of plain")
    expect(carried).to_contain_text("Last record:")


def test_a_statement_comes_in_records_and_is_saved(page: Page, wire: Wire) -> None:
    seen(page)
    transfer(page, "40-2001", "73,1")
    expect(page.locator("#transfer-status")).to_contain_text("Sent")
    page.get_by_role("button", name="Show the statement").click()
    plain, carried = both(call(page, "GET /api/statement"), "Response: body")
    expect(plain).to_contain_text(",40-2001,-7310")
    expect(carried).to_contain_text("Record 2: ")
    expect(carried).to_contain_text("Last record: 16 bytes of ciphertext, 0 bytes of plaintext")
    claims, seal = both(call(page, "GET /api/statement"), "Request: seal")
    expect(claims).to_contain_text('"query": "account=40-1001"')
    expect(seal).to_contain_text('"target": "/api/statement"')
    with page.expect_download() as download:
        page.get_by_role("link", name="Save the statement as CSV").click()
    assert download.value.suggested_filename == "statement-40-1001.csv"
    assert download.value.path().read_text().endswith(",40-2001,-7310\n")


def test_the_panel_shows_the_handshake(page: Page, wire: Wire) -> None:
    # The last call of the start: each folds those before it.
    expect(call(page, "GET /sealed/routes")).to_contain_text("the client has asked on its own")
    handshake = call(page, "POST /sealed/session")
    hello = handshake.get_by_role("group", name="Hello, what the wire carries")
    expect(hello).to_contain_text('"aud": "quayside-bank"')
    reply = handshake.get_by_role("group", name="Reply, what the wire carries")
    expect(reply).to_contain_text('"iss": "quayside-bank"')


def test_what_is_in_clear_is_called_so(page: Page, wire: Wire) -> None:
    page.get_by_role("button", name="Show rates").click()
    rates = call(page, "GET /api/rates")
    expect(rates).to_contain_text("In clear")
    expect(both(rates, "Response: body")[1]).to_contain_text('"USD":1.0864')


def test_balances_change_when_somebody_else_pays(
    page: Page, wire: Wire, bank_url: str, context: BrowserContext
) -> None:
    seen(page)
    expect(page.locator("#accounts")).to_contain_text("€24,573.10")
    other = context.new_page()
    other.goto(bank_url)
    log_in(other, "nanoseconds", name="grace")
    transfer(other, "40-1001", "26,90")
    expect(page.locator("#accounts")).to_contain_text("€24,600.00")


def test_an_eavesdropper_has_addresses_and_sizes_and_nothing_else(page: Page, wire: Wire) -> None:
    seen(page)
    transfer(page, "40-2001", "1")
    expect(page.locator("#transfer-status")).to_contain_text("Sent")
    page.get_by_role("button", name="Show rates").click()
    expect(page.get_by_role("row", name="USD")).to_be_visible()
    expect(page.locator("#seen-rows tr")).to_have_count(8)
    expect(page.get_by_role("row", name="POST /api/transfers")).to_contain_text("201")
    search = page.get_by_role("searchbox", name="Search all that was captured")
    for text, hits in (
        ("40-2001", "none"),
        ("4242", "none"),
        ("analytical-engine", "none"),
        ("1.0864", "1"),
        ("/api/transfers", "1"),
        ("quayside-bank", "1"),  # in the handshake: whom the client means to reach
    ):
        search.fill(text)
        expect(page.locator("#seen-status")).to_contain_text(f"is in {hits} of the 8 calls")


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


def test_forged_answers_are_not_believed(page: Page, wire: Wire) -> None:
    def forge(route: Route) -> None:
        body = '{"accessToken": "made up", "fullName": "Eve"}'
        route.fulfill(body=body, content_type="application/json")

    page.route("**/api/login", forge)
    log_in(page)
    expect(page.locator("#login-status")).to_contain_text("was not sealed")
    expect(page.get_by_label("Password")).to_be_visible()


def test_an_answer_that_was_changed_is_not_believed(page: Page, wire: Wire) -> None:
    def change(route: Route) -> None:
        answer = route.fetch()
        body = answer.body().replace(b'"data":"', b'"data":"AAAA')
        route.fulfill(response=answer, body=body)

    page.route("**/api/login", change)
    log_in(page)
    expect(page.locator("#login-status")).to_contain_text("somebody has changed it")


def test_another_bank_is_not_believed(
    page: Page, wire: Wire, serve: Serve, tmp_path: Path
) -> None:
    other = serve(create_app(instance_path=tmp_path / "other"))

    def lead_there(route: Route) -> None:
        route.fulfill(response=route.fetch(url=f"{other}/sealed/session"))

    page.route("**/sealed/session", lead_there)
    page.reload()
    log_in(page)
    expect(page.locator("#login-status")).to_have_class("status error")
    expect(page.get_by_label("Password")).to_be_visible()
    wire.complaints.clear()


def test_an_unreachable_bank_is_told_in_words(page: Page, wire: Wire) -> None:
    page.route("**/api/login", lambda route: route.abort())
    with page.expect_console_message():
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
    assert len(wire.calls("/api/logout")) == 1


def test_a_page_that_cannot_tell_the_bank_forgets_the_token(page: Page, wire: Wire) -> None:
    seen(page)
    page.route("**/api/logout", lambda route: route.abort())
    with page.expect_console_message():
        page.get_by_role("button", name="Log out").click()
    expect(page.locator("#login-status")).to_have_text(
        "You have logged out here. The bank could not be told."
    )
    expect(page.locator("#customer")).to_be_hidden()
    wire.complaints.clear()


def test_the_token_is_nowhere_but_in_memory(page: Page, wire: Wire) -> None:
    seen(page)
    stored = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie.length]")
    assert stored == [0, 0, 0]
    kept = page.evaluate("indexedDB.databases().then((all) => all.length)")
    assert kept <= 1  # the client's binding key and session, which no script can take out
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


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_wrong(page: Page, wire: Wire, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.evaluate(_AXE + ";0")
    assert page.evaluate(_VIOLATIONS) == []
    seen(page)
    page.get_by_role("button", name="Show rates").click()
    expect(page.get_by_role("row", name="USD")).to_be_visible()
    page.get_by_role("button", name="Show the statement").click()
    expect(page.locator("#statement-status")).to_contain_text("no bookings yet")
    assert page.evaluate(_VIOLATIONS) == []


def test_each_field_has_a_name(page: Page, wire: Wire) -> None:
    seen(page)
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select')].filter(it => !it.labels.length).length"
    )
    assert unnamed == 0
    for landmark in ("banner", "main", "complementary", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)
