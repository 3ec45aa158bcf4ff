"""Takes the pictures of the bank that README.rst and docs/ show: ``make screenshots``.

They go into ``docs/_static/``. Each is of the real page, in a bank of its own.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import make_server

from examples.bank import create_app

FOLDER = Path(__file__).parent.parent / "docs" / "_static"
MOST_BYTES = 200_000


def main(folder: Path = FOLDER) -> list[Path]:
    """Take them all.

    :returns: where they are.
    """
    with serving() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        pictures = [*_on_desktop(browser, url, folder), *_on_phone(browser, url, folder)]
        browser.close()
    for picture in pictures:
        if picture.stat().st_size > MOST_BYTES:
            raise SystemExit(f"{picture} has more than {MOST_BYTES} bytes")
    return pictures


def _on_desktop(browser: Browser, url: str, folder: Path) -> Iterator[Path]:
    page = _bank(browser, url, width=1180, height=900)
    page.get_by_label("Search all").fill("40-2001")
    yield _picture(page, folder / "bank.png", top="body")
    yield _call(page, folder / "bank-seal.png", "POST /api/transfers")
    page.get_by_label("PDF, PNG or JPEG").set_input_files(
        {
            "name": "passport.pdf",
            "mimeType": "application/pdf",
            "buffer": b"%PDF-1.7".ljust(150_000),
        }
    )
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("The bank has passport.pdf").wait_for()
    yield _call(page, folder / "bank-records.png", "POST /api/kyc", part="Request: body")
    page.close()


def _on_phone(browser: Browser, url: str, folder: Path) -> Iterator[Path]:
    page = _bank(browser, url, width=390, height=844)
    yield _picture(page, folder / "bank-phone.png", top="#customer")
    yield _picture(page, folder / "bank-phone-wire.png", top=".watch")
    page.close()


def _bank(browser: Browser, url: str, *, width: int, height: int) -> Page:
    """The page after a login and a transfer."""
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="light", reduced_motion="reduce"
    )
    page.goto(url)
    page.get_by_label("Customer", exact=True).fill("ada")
    page.get_by_label("Password").fill("analytical-engine")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("To account").fill("40-2001")
    page.get_by_label("Amount in euros").fill("12.50")
    page.get_by_role("button", name="Send money").click()
    page.get_by_text("Sent €12.50").wait_for()
    return page


def _call(page: Page, path: Path, name: str, part: str = "") -> Path:
    """A call of the panel, or a part of it."""
    call = page.locator("#calls > li", has_text=name).first
    shown = call.locator("section", has=page.get_by_role("heading", name=part)) if part else call
    shown.screenshot(path=path)
    return path


def _picture(page: Page, path: Path, *, top: str) -> Path:
    """What a window shows, from an element downwards."""
    page.evaluate("top => document.querySelector(top).scrollIntoView()", top)
    page.screenshot(path=path)
    return path


@contextmanager
def serving() -> Iterator[str]:
    """A new bank, at a URL of this machine."""
    with tempfile.TemporaryDirectory() as instance:
        server = make_server("127.0.0.1", 0, create_app(instance_path=instance), threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


if __name__ == "__main__":
    main()
