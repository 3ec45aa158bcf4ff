"""The example in Angular in a browser, over the bank: what its customer sees, and what travels."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Response, expect

from examples.angular import create_app
from tests.examples.angular import build

from .conftest import Serve

PDF = b"%PDF-1.7 passport " + bytes(500_000)
# A quote is in no base64, so ciphertext cannot hold these by chance.
MARKERS = ('"4242"', "cardLast4", '"balance"', "analytical-engine", "%PDF", "passport", "40-2001")


class Wire:
    """What travels to and from the bank's views, and what the page complains about."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("requestfinished", self._keep)

    def _keep(self, request: Request) -> None:
        if "/api/" in request.url:
            self.requests.append(request)

    def paths(self, count: int) -> list[str]:
        """How the requests' paths end, once there are so many: the page may have its answer
        before the browser tells that it has come."""
        while len(self.requests) < count:
            self._page.wait_for_event("requestfinished")
        return [request.url.rpartition("/")[2] for request in self.requests]

    def text(self) -> str:
        texts: list[str] = []
        for request in self.requests:
            response = request.response()
            assert isinstance(response, Response)
            assert "sealed" in request.headers
            assert "sealed" in response.headers
            assert "authorization" not in request.headers
            bodies = (request.post_data_buffer or b"") + response.body()
            texts += [request.url, str(request.headers), bodies.decode("latin-1")]
        return "\n".join(texts)


@pytest.fixture
def wire(page: Page, serve: Serve, instance: Path, tmp_path: Path) -> Wire:
    build()
    shutil.copy2(instance / "bank.sqlite3", tmp_path)
    wire = Wire(page)
    page.goto(serve(create_app(instance_path=tmp_path)) + "/angular/")
    return wire


def log_in(page: Page, password: str = "analytical-engine") -> None:
    page.get_by_label("Customer").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_all_that_a_customer_does(page: Page, wire: Wire) -> None:
    log_in(page)
    expect(page.get_by_text("Welcome, Ada Lovelace.")).to_be_visible()
    expect(page.get_by_text("•••• 4242")).to_be_visible()
    page.get_by_role("button", name="Transfer").click()
    expect(page.get_by_text("Transfer 1 is done. 24548.1 euros are left.")).to_be_visible()
    document = {"name": "passport.pdf", "mimeType": "application/pdf", "buffer": PDF}
    page.get_by_label("PDF, PNG or JPEG").set_input_files(document)  # type: ignore[arg-type]
    expect(page.get_by_text(f"passport.pdf is kept: {len(PDF)} bytes")).to_be_visible()
    expect(page.get_by_label("Sent")).to_have_js_property("value", 1)
    paths = ["login", "payment-details", "transfers", "kyc"]
    assert wire.paths(len(paths)) == paths
    text = wire.text()
    assert [marker for marker in MARKERS if marker in text] == []
    assert wire.complaints == []


def test_the_bank_says_no(page: Page, wire: Wire) -> None:
    log_in(page, "wrong")
    expect(page.get_by_role("alert")).to_have_text("The customer name or the password is wrong.")
    log_in(page)
    page.get_by_label("To", exact=True).fill("40-9999")
    page.get_by_role("button", name="Transfer").click()
    expect(page.get_by_text("There is no account 40-9999")).to_be_visible()
    # What a browser says of a status outside: that of the sealed answer travels too.
    assert all("the server responded with a status of" in one for one in wire.complaints)


def test_somebody_else_answers(page: Page, wire: Wire) -> None:
    page.route("**/api/payment-details", lambda route: route.fulfill(json={"cardLast4": "1111"}))
    log_in(page)
    expect(page.get_by_text("no answer that can be trusted")).to_be_visible()
    assert "1111" not in page.inner_text("main")
