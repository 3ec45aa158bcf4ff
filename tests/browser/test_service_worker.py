"""The service worker in a browser: a page that knows nothing of sealing is sealed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, redirect, request
from playwright.sync_api import BrowserContext, Page, expect
from werkzeug.wrappers import Response as AnyResponse

from examples.service_worker import create_app
from flask_sealed import sealed

from .conftest import Serve

#: Whether the worker has kept its session, which it does beside everything else.
KEPT = """() => new Promise((resolve, reject) => {
  const opening = indexedDB.open("flask-sealed", 1);
  opening.onerror = reject;
  opening.onsuccess = () => {
    const names = opening.result.transaction("bindings").objectStore("bindings").getAllKeys();
    names.onsuccess = () => resolve(names.result.some(Array.isArray));
    opening.result.close();
  };
})"""
MARKERS = ("migraine", "Lovelace", "4242-note", "note=")


class Tap:
    """Keeps all that goes over the wire, as WSGI has it."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self.seen: list[str] = []
        #: Changes the answers to a path.
        self.tampers: dict[str, bytes] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        told: list[Any] = []
        path = environ["PATH_INFO"]
        with closing(self.app(environ, lambda *said: told.extend(said))) as pieces:
            answer = b"".join(pieces)
        sent = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
        self.seen.append(f"{path} {environ['QUERY_STRING']} {sent} {body!r} {told} {answer!r}")
        if path in self.tampers:
            answer = self.tampers[path]
            told[1] = [("Content-Type", "application/json")]
        start_response(told[0], [pair for pair in told[1] if pair[0] != "Content-Length"])
        yield answer

    def of(self, path: str) -> list[str]:
        return [seen for seen in self.seen if seen.startswith(f"{path} ")]


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = create_app({"TESTING": True}, instance_path=tmp_path)
    ways = ["POST", "PUT"]
    app.add_url_rule("/records/moved/<int:code>/<path:to>", "moved", sealed(moved), methods=ways)
    app.add_url_rule("/records/echo", "echo", sealed(echo), methods=[*ways, "GET"])
    app.add_url_rule("/clear", "clear", echo, methods=[*ways, "GET"])
    app.add_url_rule("/records/open", "open", echo, methods=["POST"])
    app.add_url_rule("/records/live", "live", sealed(live))
    app.add_url_rule("/records/held", "held", sealed(held))
    return app


def live() -> Response:
    return Response(iter(["data: 4242-note\n\n", "data: x\n\n"]), mimetype="text/event-stream")


def held() -> str:
    time.sleep(20)  # Longer than a busy browser takes to see that its patience is over.
    return "4242-note"


def moved(code: int, to: str) -> AnyResponse:
    return redirect(f"/{to}", code)


def echo() -> dict[str, str]:
    return {"method": request.method, "content": request.get_data(as_text=True)}


@pytest.fixture
def tap(app: Flask) -> Tap:
    tap = Tap(app.wsgi_app)
    app.wsgi_app = tap  # type: ignore[method-assign]
    return tap


@pytest.fixture
def url(app: Flask, tap: Tap, serve: Serve) -> str:
    return serve(app)


@pytest.fixture
def clinic(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.locator("#name")).to_have_text("Ada Lovelace")
    return page


def check(tap: Tap) -> None:
    for seen in tap.seen:
        if not seen.startswith(("/ ", "/static/", "/sw.js", "/sealed/client")):
            for marker in MARKERS:
                assert marker not in seen, seen[:300]


def test_fetch_and_images(clinic: Page, tap: Tap) -> None:
    expect(clinic.locator("#diagnosis")).to_have_text("migraine")
    width = "document.querySelector('#portrait').naturalWidth"
    clinic.wait_for_function(f"{width} === 64")
    assert tap.of("/records/ada")
    assert tap.of("/records/ada/portrait.svg")
    check(tap)


def test_forms_and_the_redirect_that_follows(clinic: Page, tap: Tap, url: str) -> None:
    clinic.get_by_label("Note").fill("4242-note")
    clinic.get_by_role("button", name="Add").click()
    expect(clinic.locator("#notes")).to_contain_text("4242-note")
    assert clinic.url == f"{url}/"
    (posted,) = tap.of("/records/ada/notes")
    assert "200 OK" in posted  # a sealed redirect is none outside
    check(tap)


def test_downloads(clinic: Page, tap: Tap) -> None:
    with clinic.expect_download() as waiting:
        clinic.get_by_role("link", name="Export").click()
    assert waiting.value.suggested_filename == "ada.csv"
    assert Path(waiting.value.path()).read_text().count("migraine") == 12
    check(tap)


def test_xml_http_request_with_a_token_in_its_headers(clinic: Page, tap: Tap) -> None:
    status = clinic.evaluate(
        """() => new Promise((resolve) => {
          const request = new XMLHttpRequest();
          request.open("GET", "/records/ada?reason=4242-note");
          request.setRequestHeader("Authorization", "Bearer 4242-note");
          request.onload = () => resolve([request.status, JSON.parse(request.responseText).name]);
          request.send();
        })"""
    )
    assert status == [200, "Ada Lovelace"]
    (asked,) = (seen for seen in tap.of("/records/ada") if "reason" in seen)
    assert "Bearer" not in asked


def test_navigations_to_a_sealed_view(clinic: Page, tap: Tap, url: str) -> None:
    clinic.goto(f"{url}/records/ada")
    assert "migraine" in clinic.content()
    check(tap)


def test_another_visit(context: BrowserContext, clinic: Page, tap: Tap, url: str) -> None:
    other = context.new_page()
    other.goto(url)
    expect(other.locator("#name")).to_have_text("Ada Lovelace")
    check(tap)


@pytest.mark.parametrize("body", [b'{"name": "Eve"}', b""])
def test_an_answer_in_clear_is_none(clinic: Page, tap: Tap, url: str, body: bytes) -> None:
    tap.tampers["/records/ada"] = body
    failed = clinic.evaluate("fetch('/records/ada').then(() => '', (error) => error.name)")
    assert failed == "TypeError"
    response = clinic.goto(f"{url}/records/ada")
    assert response is not None
    assert response.status == 502
    assert "no-answer" in clinic.content()


def test_nothing_goes_out_in_clear_without_the_list(page: Page, tap: Tap, url: str) -> None:
    tap.tampers["/sealed/routes"] = b'{"routes": []}'
    page.goto(url)
    expect(page.locator("#status")).to_have_text("One moment…")
    page.wait_for_function("navigator.serviceWorker.controller")
    send = "fetch('/records/ada/notes', {method: 'POST', body: 'note=4242-note'})"
    assert page.evaluate(f"{send}.then(() => '', (error) => error.name)") == "TypeError"
    assert tap.of("/records/ada/notes") == []
    check(tap)


def send(page: Page, method: str, path: str) -> Any:
    """What a script has of it: JSON, or the name of the error."""
    return page.evaluate(
        """([method, path]) => fetch(path, { method, body: "note=4242-note" })
          .then((response) => response.json()).catch((error) => error.name)""",
        [method, path],
    )


@pytest.mark.parametrize(("method", "code"), [("POST", 307), ("POST", 308), ("PUT", 302)])
def test_content_is_not_sent_on_in_clear(clinic: Page, tap: Tap, method: str, code: int) -> None:
    assert send(clinic, method, f"/records/moved/{code}/clear") == "TypeError"
    assert tap.of("/clear") == []
    on = send(clinic, method, f"/records/moved/{code}/records/echo")
    assert on == {"method": method, "content": "note=4242-note"}
    check(tap)


@pytest.mark.parametrize(("method", "code"), [("POST", 302), ("POST", 303), ("PUT", 303)])
def test_redirects_without_content(clinic: Page, tap: Tap, method: str, code: int) -> None:
    there = send(clinic, method, f"/records/moved/{code}/clear")
    assert there == {"method": "GET", "content": ""}
    check(tap)


def test_a_form_is_not_sent_on_in_clear(clinic: Page, tap: Tap) -> None:
    form = "document.forms[0]"
    clinic.evaluate(f"{form}.action = '/records/moved/307/clear'; {form}.note.value = '4242-note'")
    with clinic.expect_navigation():
        clinic.get_by_role("button", name="Add").click()
    assert "redirected" in clinic.content()
    assert tap.of("/clear") == []
    check(tap)


ELSEWHERE = """<form method="post" action="{action}" enctype="text/plain">
<input name="a" value="b"></form><script>document.forms[0].submit()</script>"""


@pytest.mark.parametrize("policy", ["no-referrer", "unsafe-url"])
def test_a_form_of_another_site_is_not_sealed(
    context: BrowserContext, clinic: Page, tap: Tap, url: str, policy: str
) -> None:
    """From the worker it would come with all cookies, and as from a page of the service's own."""
    context.add_cookies([{"name": "who", "value": "ada", "url": url, "sameSite": "Strict"}])
    evil = context.new_page()

    def post(path: str) -> None:
        page = ELSEWHERE.format(action=url + path)
        headers = {"Content-Type": "text/html", "Referrer-Policy": policy}
        context.route("http://evil.example/", lambda it: it.fulfill(body=page, headers=headers))
        evil.goto("http://evil.example/")
        evil.wait_for_url(url + path)

    post("/records/echo")
    assert "cross-site" in evil.content()
    assert tap.of("/records/echo") == []
    # What is not sealed is as it is without a worker.
    post("/records/open")
    (came,) = tap.of("/records/open")
    assert "cross-site" in came
    assert "who=ada" not in came
    assert "'a=b" in came


def test_a_client_of_the_pages_own_goes_beside_it(clinic: Page, tap: Tap) -> None:
    done = clinic.evaluate(
        """async () => {
          const { connect } = await import("/sealed/client.js");
          const api = await connect(location.origin, { audience: "clinic", unpinned: true });
          return (await api.fetch("/records/echo", { method: "POST", body: "4242-note" })).json();
        }"""
    )
    assert done == {"method": "POST", "content": "4242-note"}
    check(tap)


def test_other_addresses_are_left_alone(clinic: Page, tap: Tap) -> None:
    assert clinic.evaluate("fetch('/static/page.js').then(({ status }) => status)") == 200
    assert clinic.evaluate("fetch('/nothing').then(({ status }) => status)") == 404
    assert "HTTP_SEALED" not in "".join(tap.of("/nothing") + tap.of("/static/page.js"))


def test_streams_events_and_aborting(clinic: Page, tap: Tap, app: Flask) -> None:
    done = clinic.evaluate(
        """async () => {
          const body = new Blob(["note=4242-note\\n".repeat(20_000)]);
          const sent = await fetch("/records/echo", { method: "POST", body });
          const { length } = (await sent.json()).content;
          const events = await (await fetch("/records/live")).text();
          const signal = AbortSignal.timeout(100);
          const slow = await fetch("/records/held", { signal }).catch((error) => error.name);
          return [length, events, slow];
        }"""
    )
    assert done == [15 * 20_000, "data: 4242-note\n\ndata: x\n\n", "TimeoutError"]
    check(tap)


def test_a_worker_that_the_browser_has_ended(
    context: BrowserContext, clinic: Page, tap: Tap
) -> None:
    """It starts anew with the next request, in the session that was kept, and caches nothing."""
    assert len(tap.of("/sealed/session")) == 1
    clinic.wait_for_function(KEPT)
    browser = context.new_cdp_session(clinic)
    browser.send("ServiceWorker.enable")
    browser.send("ServiceWorker.stopAllWorkers")
    assert send(clinic, "POST", "/records/echo")["content"] == "note=4242-note"
    assert len(tap.of("/sealed/session")) == 1
    assert len(tap.of("/sealed/routes")) == 2
    assert clinic.evaluate("caches.keys()") == []
    check(tap)


def test_a_forced_reload_leaves_the_worker_out(
    context: BrowserContext, clinic: Page, tap: Tap
) -> None:
    """So the page waits, and sends nothing in clear."""
    browser = context.new_cdp_session(clinic)
    without = "if (!navigator.serviceWorker.controller) sessionStorage.setItem('without', 'it')"
    context.add_init_script(without)
    clinic.clock.install()
    browser.send("Page.reload", {"ignoreCache": True})
    clinic.wait_for_function("sessionStorage.getItem('without')")
    expect(clinic.locator("#status")).to_have_text("One moment…")
    clinic.clock.fast_forward(3000)
    expect(clinic.locator("#name")).to_have_text("Ada Lovelace")
    assert all("HTTP_SEALED" in seen for seen in tap.of("/records/ada"))
    check(tap)
