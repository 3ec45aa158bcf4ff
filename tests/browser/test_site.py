"""The documentation as its readers have it: every link leads somewhere, and the search finds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from os.path import normpath
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, expect
from sphinx.cmd.build import build_main

from ..http_server import running

DOCS = Path(__file__).parents[2] / "docs"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert (
        build_main(["-q", "-b", "html", "-d", f"{folder}/trees", str(DOCS), f"{folder}/html"]) == 0
    )
    return folder / "html"


@pytest.fixture
def url(site: Path) -> Iterator[str]:
    files = partial(_Quiet, directory=str(site))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), files)) as url:
        yield url


def test_every_link_leads_somewhere(site: Path) -> None:
    pages = {str(path.relative_to(site)): path.read_text("utf-8") for path in site.rglob("*.html")}
    places = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    broken = []
    for name, text in pages.items():
        for link in map(unescape, re.findall(r'<a [^>]*href="([^"]+)"', text)):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, place = unquote(link).partition("#")
            target = normpath(Path(name).parent / path) if path else name
            if target in pages:
                known = not place or place in places[target]
            else:
                known = (site / target).is_file()
            if not known:
                broken.append((name, link))
    # Those of the documentation, and those of the tests that they name.
    assert len(pages) > 80
    assert broken == []


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("revoke session", "Revocation"),
        ("SEALED_AUDIENCE", "Configuration"),
        ("padme", "protocol"),
    ],
)
def test_the_search_finds(page: Page, url: str, words: str, title: str) -> None:
    page.goto(f"{url}/search.html?q={words.replace(' ', '+')}")
    results = page.locator("ul.search a")
    expect(results.filter(has_text=title).first).to_be_visible()


@pytest.mark.parametrize("name", ["index", "tutorial", "threats", "benchmarks", "configuration"])
def test_nothing_scrolls_sideways_on_a_phone(page: Page, url: str, name: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{url}/{name}.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
