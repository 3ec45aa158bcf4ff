"""The lab, run once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Playwright, sync_playwright

from ..browser.conftest import CHROMIUM
from ..servers.conftest import pins
from .callers import MakeClient, calling_by_httpx, calling_by_page
from .customer import use
from .drive import Planted, drive
from .lab import Lab, Run, observe
from .proxies import standing
from .sdks import REMEDIES, SDKS


# Not for longer: see `tests/browser/conftest.py`.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory, playwright: Playwright) -> Lab:
    """Monitoring of each kind in turn, called by httpx and by one page."""
    sdks = [*SDKS, *REMEDIES]
    folders = {sdk: tmp_path_factory.mktemp(f"leaks-{n}") for n, sdk in enumerate(sdks)}
    profile = tmp_path_factory.mktemp("profile")
    with playwright.chromium.launch_persistent_context(profile, **CHROMIUM) as browser:
        lab = observe(folders, browser.new_page())
    files = (path for path in profile.rglob("*") if path.is_file())
    lab.profile = b"\n".join(path.read_bytes() for path in files)
    return lab


@dataclass(repr=False)
class Proxied:
    """What was sent through both proxies, and what each of them has kept of it."""

    sent: dict[Run, list[Planted]] = field(default_factory=dict)
    #: Those of a customer of the bank.
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture(scope="package")
def proxied(tmp_path_factory: pytest.TempPathFactory, playwright: Playwright) -> Proxied:
    """The application without monitoring, behind both proxies."""
    folder, proxied = tmp_path_factory.mktemp("proxies"), Proxied()
    with standing(folder) as proxies:
        known = pins(folder)
        call(proxied, "httpx", calling_by_httpx(proxies.tls, known, proxies.transport))
        with playwright.chromium.launch(**CHROMIUM, proxy={"server": proxies.mitm}) as browser:
            page = browser.new_page(ignore_https_errors=True)
            call(proxied, "browser", calling_by_page(proxies.tls, known, page))
    proxied.kept = proxies.kept()
    return proxied


def call(proxied: Proxied, caller: str, client: MakeClient) -> None:
    """Call all views in each way, and be a customer of the bank."""
    for path in ("open", "kept", "level3"):
        proxied.sent[caller, path] = drive(client(path), path)
    with client("kept") as customer:
        assert "163.05" in customer.get("/api/rates").text
        proxied.secrets[caller] = use(customer, live=False)
