"""`connect` of sealed.js in a real browser, against a live application."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response, redirect, request
from flask_cors import CORS
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required
from playwright.sync_api import BrowserContext, Page, expect

from flask_sealed import current, password_session, sealed
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.keys import KeyRing
from tests.conftest import AUDIENCE, MakeApp

from .conftest import Serve

MARKER = "4242-marker"
#: Runs a function's body in the page, with `sealed` (the module), `api` (connected) and `arg`.
Run = Callable[..., Any]

RUN = """async ([source, options, arg]) => {
  const sealed = await import("/sealed/client.js");
  const api = window.api ??= await sealed.connect(location.origin, options);
  const run = new (async () => {}).constructor("sealed", "api", "arg", source);
  return run(sealed, api, arg);
}"""
_ANY = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@pytest.fixture
def app(make_session_app: MakeApp) -> Flask:
    app = make_session_app(SEALED_HEADERS=["last-event-id"], JWT_SECRET_KEY="0f" * 32)
    JWTManager(app)
    add_views(app)
    return app


@pytest.fixture
def url(app: Flask, serve: Serve) -> str:
    return serve(app)


@pytest.fixture
def pins(ring: KeyRing) -> list[str]:
    return [b64u_encode(pin) for pin in ring.pins(int(time.time()))]


@pytest.fixture
def run(page: Page, url: str, pins: list[str]) -> Run:
    page.goto(url)
    return runner(page, pins)


def runner(page: Page, pins: list[str]) -> Run:
    def run(source: str, arg: object = None, **options: object) -> Any:
        given = {"audience": AUDIENCE, "pins": pins, "headers": ["last-event-id"], **options}
        return page.evaluate(RUN, [source, given, arg])

    return run


def add_views(app: Flask) -> None:
    app.add_url_rule("/", "page", lambda: '<!doctype html><link rel="icon" href="data:,">')
    app.add_url_rule("/twin", "twin", lambda: {"cardLast4": MARKER})

    @app.get("/card")
    @sealed
    def card() -> dict[str, str]:
        return {"cardLast4": MARKER}

    @app.get("/who")
    @sealed
    def who() -> dict[str, Any]:
        return {"binding": current.binding, "kem": current.kem}

    app.add_url_rule("/soft", "soft", sealed(mode="optional")(lambda: {"sealed": bool(current)}))
    for name, view in (("echo", echo), ("form", form), ("moved", moved), ("events", events)):
        app.add_url_rule(f"/{name}", name, sealed(view), methods=_ANY)
    app.add_url_rule("/download/<int:size>", "download", sealed(download))
    seen = threading.Event()
    app.add_url_rule("/cut", "cut", sealed(lambda: cut(seen)))

    @app.get("/seen")
    def has_seen() -> str:
        seen.set()
        return ""

    app.add_url_rule("/status/<int:status>", "status", sealed(lambda status: ("", status)))
    app.add_url_rule("/many", "many", sealed(lambda: Response(["text"], headers=MANY)))
    app.add_url_rule("/login", "login", sealed(login), methods=["POST"])
    app.add_url_rule("/me", "me", sealed(jwt_required()(me)))
    app.add_url_rule("/offers", "offers", jwt_required()(me), methods=["GET", "POST"])


MANY = {f"x-{number}": "v" * 90 for number in range(40)}


def echo() -> Response:
    """What the view has understood."""
    seen = {
        "method": request.method,
        "query": request.query_string.decode(),
        "type": request.content_type,
        "body": request.get_data(as_text=True),
        "authorization": request.headers.get("Authorization"),
        "outside": request.headers.get("X-Outside"),
        "cookie": request.cookies.get("theme"),
    }
    return Response(json.dumps(seen), 201, {"x-inside": MARKER}, mimetype="application/json")


def form() -> dict[str, Any]:
    files = {name: digest(file.read()) for name, file in request.files.items()}
    return {"form": request.form.to_dict(), "files": files, "length": request.content_length}


def moved() -> Any:
    return redirect(request.args["to"], int(request.args.get("code", "302")))


def download(size: int) -> Response:
    def pieces() -> Iterator[bytes]:
        for at in range(0, size, 65_536):
            yield b"x" * min(65_536, size - at)

    return Response(pieces(), content_type="application/octet-stream")


def cut(seen: threading.Event) -> Response:
    """Breaks, as soon as the page has seen the first piece where it wants to."""
    waits = "held" in request.args

    def pieces() -> Iterator[bytes]:
        yield b"first"
        if waits:
            seen.wait(60)
        raise ConnectionError

    return Response(pieces(), content_type="text/plain")


def events() -> Response:
    last = int(request.headers.get("Last-Event-ID", "0"))

    def pieces() -> Iterator[str]:
        yield "retry: 10\n\n"
        yield f"id: {last + 1}\ndata: {MARKER}\ndata: Zo\u00eb {last}\n\n"
        yield ": a comment\n\nevent: price\r\ndata:7\r\n\r\n"

    return Response(pieces(), content_type="text/event-stream")


def login() -> dict[str, str]:
    return {"token": create_access_token(request.get_json()["user"])}


def me() -> dict[str, str]:
    return {"user": get_jwt_identity()}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class TestResponses:
    def test_json_is_that_of_fetch(self, run: Run) -> None:
        done = run("""
          const [sealed_, plain] = [await api.fetch("/card"), await fetch("/twin")];
          const type = (one) => one.headers.get("content-type");
          const of = async (one) => [one.ok, one.status, type(one), await one.json()];
          const { url, redirected } = sealed_;
          const same = sealed_ instanceof Response;
          return [await of(sealed_), await of(plain), same, url, redirected];
        """)
        assert done[0] == done[1] == [True, 200, "application/json", {"cardLast4": MARKER}]
        assert done[2] is True
        assert done[3].endswith("/card")
        assert done[4] is False

    def test_forms_of_reading(self, run: Run) -> None:
        done = run("""
          const response = await api.fetch("/card");
          const clone = response.clone();
          const blob = await (await api.fetch("/card")).blob();
          return [await response.text(), await clone.text(), await blob.text(), blob.type];
        """)
        assert len(set(done[:3])) == 1
        assert done[3] == "application/json"

    @pytest.mark.parametrize("status", [201, 204, 205, 304, 401, 404, 407, 421, 425, 500])
    def test_status(self, run: Run, status: int) -> None:
        assert run("return (await api.fetch(`/status/${arg}`)).status", status) == status

    def test_headers_that_do_not_fit_into_the_seal(self, run: Run) -> None:
        done = run("""
          const response = await api.fetch("/many");
          return [response.headers.get("x-39"), await response.text()];
        """)
        assert done == ["v" * 90, "text"]

    def test_a_stream_comes_in_pieces(self, run: Run) -> None:
        done = run("""
          const response = await api.fetch("/download/1000000");
          let [size, pieces] = [0, 0];
          for await (const { length } of response.body) [size, pieces] = [size + length, ++pieces];
          return [size, pieces > 1];
        """)
        assert done == [1_000_000, True]

    def test_a_stream_that_is_cut_is_no_short_one(self, run: Run) -> None:
        done = run("""
          const isError = (error) => error instanceof Error;
          const whole = await api.fetch("/cut").then((r) => r.text()).catch(isError);
          const reader = (await api.fetch("/cut?held")).body.getReader();
          const first = new TextDecoder().decode((await reader.read()).value);
          await fetch("/seen");
          return [whole, first, await reader.read().catch((error) => error.code)];
        """)
        assert done == [True, "first", "no-answer"]


class TestRequests:
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    def test_methods(self, run: Run, method: str) -> None:
        done = run("return (await api.fetch('/echo?a=b', { method: arg })).json()", method)
        assert (done["method"], done["query"], done["body"]) == (method, "a=b", "")

    def test_head(self, run: Run) -> None:
        done = run("""
          const response = await api.fetch("/card", { method: "HEAD" });
          return [response.status, response.headers.get("content-type"), await response.text()];
        """)
        assert done == [200, "application/json", ""]

    @pytest.mark.parametrize(
        ("body", "content_type", "seen"),
        [
            ("'Zoë'", "text/plain;charset=UTF-8", "Zoë"),
            ("new URLSearchParams({ a: 'b c' })", "application/x-www-form-urlencoded", "a=b+c"),
            ("new Blob(['x'], { type: 'text/x' })", "text/x", "x"),
            ("Uint8Array.of(65)", "application/octet-stream", "A"),
            ("''", "text/plain;charset=UTF-8", ""),
        ],
    )
    def test_bodies(self, run: Run, body: str, content_type: str, seen: str) -> None:
        done = run(f"return (await api.fetch('/echo', {{ method: 'POST', body: {body} }})).json()")
        assert done["type"].partition(";charset")[0] == content_type.partition(";charset")[0]
        assert done["body"] == seen

    def test_a_request_object(self, run: Run) -> None:
        done = run("""
          const headers = { "content-type": "application/json" };
          const init = { method: "PUT", body: "{}", headers };
          return (await api.fetch(new Request("/echo", init))).json();
        """)
        assert (done["method"], done["type"], done["body"]) == ("PUT", "application/json", "{}")

    def test_headers(self, run: Run, context: BrowserContext, url: str) -> None:
        context.add_cookies([{"name": "theme", "value": "dark", "url": url}])
        done = run("""
          const headers = { authorization: "Basic eA==", "x-outside": "y" };
          return (await api.fetch("/echo", { headers })).json();
        """)
        assert (done["authorization"], done["outside"], done["cookie"]) == (
            "Basic eA==",
            "y",
            "dark",
        )

    def test_credentials(self, run: Run, context: BrowserContext, url: str) -> None:
        context.add_cookies([{"name": "theme", "value": "dark", "url": url}])
        done = run("return (await api.fetch('/echo', { credentials: 'omit' })).json()")
        assert done["cookie"] is None

    def test_form_data(self, run: Run) -> None:
        done = run("""
          const body = new FormData();
          body.set("name", "Zoë");
          body.set("passport", new File([new Uint8Array(20_000_000).fill(7)], "p.pdf"));
          return (await api.fetch("/form", { method: "POST", body })).json();
        """)
        assert done["form"] == {"name": "Zoë"}
        assert done["files"] == {"passport": digest(b"\7" * 20_000_000)}
        assert done["length"] > 20_000_000

    def test_a_stream(self, run: Run) -> None:
        done = run("""
          const body = new Blob(["stream"]).stream();
          return (await api.fetch("/echo", { method: "POST", body, duplex: "half" })).json();
        """)
        assert done["body"] == "stream"

    def test_aborted(self, run: Run) -> None:
        done = run("""
          const name = (error) => error.name;
          const early = api.fetch("/card", { signal: AbortSignal.abort() }).catch(name);
          const controller = new AbortController();
          const response = await api.fetch("/download/100000000", { signal: controller.signal });
          const reader = response.body.getReader();
          await reader.read();
          controller.abort();
          const rest = async () => { for (;;) if ((await reader.read()).done) return "done"; };
          const late = await rest().catch(name);
          return [await early, late, (await api.fetch("/card")).status];
        """)
        assert done == ["AbortError", "AbortError", 200]


class TestRedirects:
    def test_followed(self, run: Run) -> None:
        done = run("""
          const response = await api.fetch("/moved?to=/echo%3Fa=b", { method: "POST", body: "x" });
          return [response.redirected, response.url, await response.json()];
        """)
        assert done[0] is True
        assert done[1].endswith("/echo?a=b")
        assert (done[2]["method"], done[2]["body"]) == ("GET", "")

    def test_with_its_body(self, run: Run) -> None:
        done = run("""
          const init = { method: "POST", body: "x" };
          return (await api.fetch("/moved?code=307&to=/echo", init)).json();
        """)
        assert (done["method"], done["body"]) == ("POST", "x")

    @pytest.mark.parametrize("to", ["https://elsewhere.example/echo", "/twin", "//echo"])
    def test_out_of_what_is_sealed(self, run: Run, to: str) -> None:
        done = run(
            """
          const response = await api.fetch(`/moved?to=${encodeURIComponent(arg)}`);
          return [response.status, response.headers.get("location")];
        """,
            to,
        )
        assert done == [302, to]

    def test_manual_and_error(self, run: Run) -> None:
        done = run("""
          const response = await api.fetch("/moved?to=/echo", { redirect: "manual" });
          const refused = api.fetch("/moved?to=/echo", { redirect: "error" });
          const code = await refused.catch((error) => error.code);
          return [response.status, response.headers.get("location"), code];
        """)
        assert done == [302, "/echo", "redirected"]


class TestTokens:
    def test_bound_to_the_key_that_reloads_and_tabs_share(
        self, run: Run, page: Page, context: BrowserContext, url: str, pins: list[str]
    ) -> None:
        token = run("""
          const init = { method: "POST", body: JSON.stringify({ user: "ada" }),
                         headers: { "content-type": "application/json" } };
          return (await (await api.fetch("/login", init)).json()).token;
        """)
        asks = """
          const headers = { authorization: `Bearer ${arg}` };
          const of = async (path, init) => {
            const response = await api.fetch(path, { headers, ...init });
            return (await response.json()).user;
          };
          const post = { method: "POST", body: "x" };
          return [await of("/me"), await of("/offers"), await of("/offers", post)];
        """
        assert run(asks, token) == ["ada"] * 3
        page.reload()
        assert run(asks, token) == ["ada"] * 3
        other = context.new_page()
        other.goto(url)
        assert runner(other, pins)(asks, token) == ["ada"] * 3
        keys = "return (await (await api.fetch('/who')).json()).binding"
        assert run(keys) == runner(other, pins)(keys)

    def test_the_key_cannot_be_taken(self, run: Run) -> None:
        done = run("""
          const open = indexedDB.open("flask-sealed", 1);
          await new Promise((resolve) => (open.onsuccess = resolve));
          const get = open.result.transaction("bindings").objectStore("bindings").getAll();
          await new Promise((resolve) => (get.onsuccess = resolve));
          const [{ privateKey }, { secret }] = get.result;
          const take = (form, key) => crypto.subtle.exportKey(form, key).catch(({ name }) => name);
          const taken = [await take("pkcs8", privateKey), await take("raw", secret)];
          return [get.result.length, privateKey.extractable, secret.extractable, ...taken];
        """)
        assert done[:3] == [2, False, False]
        assert set(done[3:]) <= {"InvalidAccessError", "NotSupportedError"}

    def test_a_thief(self, run: Run, browser: Any, url: str, pins: list[str]) -> None:
        token = run("""
          const init = { method: "POST", body: JSON.stringify({ user: "ada" }),
                         headers: { "content-type": "application/json" } };
          return (await (await api.fetch("/login", init)).json()).token;
        """)
        with closing(browser.new_context()) as other:
            page = other.new_page()
            page.goto(url)
            done = runner(page, pins)(
                """
              const headers = { authorization: `Bearer ${arg}` };
              const of = async (path) => (await api.fetch(path, { headers })).status;
              return [await of("/me"), await of("/offers")];
            """,
                token,
            )
        assert done == [401, 401]


#: After all that the page has begun to write into the client's database.
WRITTEN = """await new Promise((resolve, reject) => {
  const opening = indexedDB.open("flask-sealed", 1);
  opening.onerror = reject;
  opening.onsuccess = () => {
    const after = opening.result.transaction("bindings", "readwrite");
    after.objectStore("bindings").count();
    after.oncomplete = resolve;
    opening.result.close();
  };
});"""


class TestKeptSessions:
    CARD = f"const {{ status }} = await api.fetch('/card'); {WRITTEN} return status"
    MADE = ("session", "client-agreement.js")

    @pytest.fixture
    def made(self, context: BrowserContext, run: Run) -> list[str]:
        """What was asked for to agree on sessions, after a first page has one."""
        run(self.CARD)
        made: list[str] = []
        context.on("request", lambda request: made.append(request.url.rpartition("/")[2]))
        return made

    @pytest.fixture
    def again(
        self, run: Run, page: Page, context: BrowserContext, url: str, pins: list[str]
    ) -> Callable[..., None]:
        """A later page, and another tab."""

        def again(**options: object) -> None:
            page.reload()
            assert run(self.CARD, **options) == 200
            other = context.new_page()
            other.goto(url)
            assert runner(other, pins)(self.CARD, **options) == 200

        return again

    def test_make_no_other(self, made: list[str], again: Callable[..., None]) -> None:
        again()
        assert "card" in made
        assert not set(made) & set(self.MADE)

    @pytest.mark.parametrize(
        ("options", "handshakes"), [({"keep": False}, 2), ({"pins": None, "unpinned": True}, 1)]
    )
    def test_are_of_their_options(
        self, made: list[str], again: Callable[..., None], options: Any, handshakes: int
    ) -> None:
        again(**options)
        assert made.count("session") == handshakes

    def test_are_forgotten(self, run: Run, made: list[str], again: Callable[..., None]) -> None:
        run("await api.forget()")
        again()
        assert made.count("session") == 1


class TestEvents:
    EVENTS = """
      const source = api.eventSource("/events");
      const seen = [];
      source.onopen = () => seen.push("open");
      source.addEventListener("price", (event) => seen.push(event.data));
      await new Promise((resolve) => {
        source.onmessage = ({ data, lastEventId }) => {
          seen.push([data, lastEventId]);
          if (lastEventId === "2") resolve();
        };
      });
      source.close();
      return [seen, source.readyState, source.retry];
    """

    def test_come_and_go_on(self, run: Run) -> None:
        seen, state, retry = run(self.EVENTS)
        first, second = [f"{MARKER}\nZoë 0", "1"], [f"{MARKER}\nZoë 1", "2"]
        assert seen == ["open", first, "7", "open", second]
        assert (state, retry) == (2, 10)

    def test_what_is_no_event_stream(self, run: Run) -> None:
        done = run("""
          const source = api.eventSource("/card");
          return new Promise((resolve) => {
            source.onerror = ({ error }) => resolve([error.code, source.readyState]);
          });
        """)
        assert done == ["config", 2]


#: For the names of algorithms: a platform without them.
WITHOUT = """{
  const { generateKey } = SubtleCrypto.prototype;
  SubtleCrypto.prototype.generateKey = function (algorithm, ...rest) {
    if (NAMES.includes(algorithm.name)) {
      return Promise.reject(new DOMException("no", "NotSupportedError"));
    }
    return generateKey.call(this, algorithm, ...rest);
  };
}"""

SWITCHED_OFF = {
    "Curve25519": WITHOUT.replace("NAMES", '["X25519", "Ed25519"]'),
    "ML-KEM": WITHOUT.replace("NAMES", '["ML-KEM-768"]'),
    "IndexedDB": "Object.defineProperty(window, 'indexedDB', { value: undefined });",
    "base64 of bytes": "delete Uint8Array.fromBase64; delete Uint8Array.prototype.toBase64;",
    "iterable streams": "delete ReadableStream.prototype[Symbol.asyncIterator];",
    "Request.body": "Object.defineProperty(Request.prototype, 'body', { get() {} });",
}


HAS_KEM = """crypto.subtle.generateKey({ name: "ML-KEM-768" }, false, ["decapsulateBits"])
  .then(() => true, () => false)"""


@pytest.mark.parametrize("feature", SWITCHED_OFF)
def test_without(page: Page, url: str, pins: list[str], feature: str) -> None:
    page.add_init_script(SWITCHED_OFF[feature])
    page.goto(url)
    done = runner(page, pins)("""
      const get = async (path, init) => (await api.fetch(path, init)).json();
      const { body } = await get("/echo", { method: "POST", body: "x" });
      return [await get("/who"), body, (await api.fetch("/card")).status];
    """)
    assert done[0]["kem"] is page.evaluate(HAS_KEM)
    assert done[1:] == ["x", 200]


class TestParts:
    def test_load_when_they_are_used(self, page: Page, url: str, pins: list[str]) -> None:
        loaded: list[str] = []
        page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
        page.goto(url)
        run = runner(page, pins)
        post = "await (await api.fetch('/echo', { method: 'POST', body: 'x' })).json();"
        run(f"await (await api.fetch('/card')).json(); {post}")
        core = ["client.js", "client-agreement.js"]
        assert [name for name in loaded if name.startswith("client")] == core
        run("await (await api.fetch('/download/100000')).text();")
        run("await (await api.fetch('/moved?to=/card')).text();")
        run(TestEvents.EVENTS)
        parts = ["client-transfers.js", "client-detours.js", "client-eventstream.js"]
        assert [name for name in loaded if name.startswith("client-")] == [*core[1:], *parts]

    def test_that_do_not_come_are_no_answer(self, run: Run, page: Page) -> None:
        run("")
        page.route("**/client-*.js", lambda route: route.abort())
        done = run("""
          const code = (error) => error.code;
          const download = await api.fetch("/download/100000").catch(code);
          const source = api.eventSource("/events");
          const event = await new Promise((resolve) => (source.onerror = resolve));
          return [download, event.error.code, source.readyState];
        """)
        assert done == ["no-answer", "no-answer", 2]

    def test_are_asked_for_again(self, page: Page, url: str, pins: list[str]) -> None:
        """Where the browser does so; others keep one that failed until the page is reloaded."""

        def connect() -> str:
            return str(
                page.evaluate(
                    """async (options) => {
                      const { connect } = await import("/sealed/client.js");
                      return connect(location.origin, options).then(() => "", ({ code }) => code);
                    }""",
                    {"audience": AUDIENCE, "pins": pins},
                )
            )

        page.goto(url)
        page.route("**/client-*.js", lambda route: route.abort())
        other = "import('/sealed/client-detours.js').then(() => true, () => false)"
        assert connect() == "no-answer"
        assert not page.evaluate(other)
        page.unroute("**/client-*.js")
        assert connect() == ("" if page.evaluate(other) else "no-answer")
        page.reload()
        assert connect() == ""


class TestRefusals:
    def test_pins_of_somebody_else(self, page: Page, url: str) -> None:
        page.goto(url)
        done = page.evaluate(
            """async (options) => {
              const { connect } = await import("/sealed/client.js");
              return connect(location.origin, options).catch(({ code, claims }) => [code, claims]);
            }""",
            {"audience": AUDIENCE, "pins": [b64u_encode(bytes(32))]},
        )
        assert done == ["no-answer", "refused"]

    @pytest.mark.parametrize(
        "options", [{"pins": None}, {"pins": ["x"]}, {"pins": "x" * 43}, {"unpinned": True}]
    )
    def test_options_that_are_not_right(self, page: Page, url: str, options: Any) -> None:
        page.goto(url)
        done = page.evaluate(
            """async (options) => {
              const { connect } = await import("/sealed/client.js");
              if (options.pins === null) delete options.pins;
              const given = { audience: "a", pins: ["A".repeat(43)], ...options };
              if (options.pins === undefined && !options.unpinned) delete given.pins;
              return connect(location.origin, given).catch((error) => error.code);
            }""",
            options,
        )
        assert done == "config"

    def test_unpinned_is_said(self, run: Run, page: Page) -> None:
        done = page.evaluate(
            """async (audience) => {
              const { connect } = await import("/sealed/client.js");
              const api = await connect(location.origin, { audience, unpinned: true });
              return (await api.fetch("/card")).status;
            }""",
            AUDIENCE,
        )
        assert done == 200

    def test_an_answer_in_clear(self, run: Run, page: Page) -> None:
        page.route("**/card", lambda route: route.fulfill(json={"cardLast4": "forged"}))
        assert run("return api.fetch('/card').catch((error) => error.code)") == "no-answer"

    def test_a_view_that_would_answer_in_clear_too(self, run: Run, page: Page) -> None:
        assert run("return (await api.fetch('/soft')).json()") == {"sealed": True}

        def strip(route: Any) -> None:
            route.continue_(headers={**route.request.headers, "sealed": None})

        page.route("**/soft", strip)
        assert run("return (await fetch('/soft')).json()") == {"sealed": False}
        assert run("return api.fetch('/soft').catch((error) => error.code)") == "no-answer"

    def test_another_origin(self, run: Run) -> None:
        asks = "return api.fetch('https://elsewhere.example/').catch((error) => error.code)"
        assert run(asks) == "config"


class Eavesdropper:
    """Passes bytes on to a server, and keeps them."""

    def __init__(self, port: int) -> None:
        self.seen = bytearray()
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *sockets: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=sockets))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += here, there
                self._start(self._pass, here, there)
                self._start(self._pass, there, here)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.seen += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()


def test_an_eavesdropper_sees_no_content(page: Page, url: str, pins: list[str]) -> None:
    with closing(Eavesdropper(urlsplit(url).port or 0)) as eavesdropper:
        page.goto(eavesdropper.url)
        run = runner(page, pins)
        run("""
          const [marker, body] = ["4242-marker", new FormData()];
          body.set("note", marker);
          await (await api.fetch("/card")).json();
          const headers = { authorization: marker };
          await api.fetch("/echo", { method: "POST", body: marker, headers });
          await api.fetch("/form", { method: "POST", body });
          await api.fetch(`/echo?q=${marker}`, { sealQuery: true });
          const moved = { redirect: "follow", sealQuery: true };
          await api.fetch(`/moved?to=${encodeURIComponent(`/echo?q=${marker}`)}`, moved);
        """)
        run(TestEvents.EVENTS)
        assert b"POST /echo " in eavesdropper.seen
        assert MARKER.encode() not in eavesdropper.seen
        run("return (await api.fetch('/twin')).status")
        assert MARKER.encode() in eavesdropper.seen


def test_a_strict_content_security_policy(
    page: Page, app: Flask, serve: Serve, pins: list[str]
) -> None:
    policy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:"
    options = json.dumps({"audience": AUDIENCE, "pins": pins})
    script = f"""
      import {{ connect }} from "/sealed/client.js";
      const api = await connect(location.origin, {options});
      document.title = (await (await api.fetch("/card")).json()).cardLast4;
    """
    app.add_url_rule("/main.js", "script", lambda: Response(script, mimetype="text/javascript"))
    script_tag = '<script type="module" src="/main.js"></script>'
    html = f'<!doctype html><link rel="icon" href="data:,">{script_tag}'
    headers = {"Content-Security-Policy": policy}
    app.add_url_rule("/strict", "strict", lambda: Response(html, headers=headers))
    page.goto(serve(app) + "/strict")
    expect(page).to_have_title(MARKER)


def test_a_page_of_another_origin(page: Page, app: Flask, serve: Serve, pins: list[str]) -> None:
    site = Flask("tests.site")
    site.add_url_rule("/", "page", lambda: '<!doctype html><link rel="icon" href="data:,">')
    origin = serve(site)
    CORS(app, origins=[origin], allow_headers=["content-type", "sealed"])
    page.goto(origin)
    done = page.evaluate(
        """async ([url, options]) => {
          const { connect } = await import(`${url}/sealed/client.js`);
          const api = await connect(url, options);
          const headers = { authorization: "Basic eA==", "content-type": "application/json" };
          const posted = await api.fetch("/echo", { method: "POST", body: "{}", headers });
          return [(await api.fetch("/many")).headers.get("x-1"), await posted.json()];
        }""",
        [serve(app), {"audience": AUDIENCE, "pins": pins}],
    )
    assert done[0] == "v" * 90
    assert (done[1]["authorization"], done[1]["body"]) == ("Basic eA==", "{}")


_PASSWORD = """async ([audience, words]) => {
  const { connect } = await import("/sealed/client.js");
  const { openPasswordSession } = await import("/sealed/client-password.js");
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify("caf\\u00e9 au lait");
  const sealed = await (await fetch("/password", { method: "POST", headers, body })).text();
  const session = await openPasswordSession(sealed, words, { audience });
  const api = await connect(location.origin, { audience, session });
  const codes = [];
  const wrong = [[sealed, "tea", audience], [sealed, words, "x"], [`A${sealed}`, words, audience]];
  for (const [text, given, of] of wrong) {
    await openPasswordSession(text, given, { audience: of }).catch(({ code }) => codes.push(code));
  }
  return { card: await (await api.fetch("/card")).json(), codes };
}"""


def test_a_session_under_a_password(page: Page, app: Flask, serve: Serve) -> None:
    def login() -> str:
        return password_session(request.get_json())

    app.add_url_rule("/password", "password", login, methods=["POST"])
    page.goto(serve(app))
    answer = page.evaluate(_PASSWORD, [AUDIENCE, "cafe\u0301 au lait"])
    assert answer == {"card": {"cardLast4": MARKER}, "codes": ["refused", "refused", "malformed"]}
