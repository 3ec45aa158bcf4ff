"""What the browser's client costs, in Chromium: ``python -m tests.benchmarks.browser``.

Sealed calls and their unsealed twins are measured in turns, against a server in this process.
With ``--latency``, no uploads and downloads.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask, Response, request
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from flask_sealed import Sealed, sealed
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.rotation import new_ring

AUDIENCE = "https://bank.example"
BLOCK = bytes(64 * 1024)
SIZE = 1600 * len(BLOCK)
CALLS = 1000
ROUNDS = 5
#: With these, a page has a clock of 5 microseconds; else of 100.
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}

CONNECT = """async (options) => {
  const { connect } = await import("/sealed/client.js");
  window.api = await connect(location.origin, options);
}"""
#: Medians in milliseconds, sealed and plain.
LATENCY = """async (calls) => {
  const [sealed, plain] = [[], []];
  const time = async (times, ask) => {
    const start = performance.now();
    await (await ask()).json();
    times.push(performance.now() - start);
  };
  for (let call = 0; call < calls; call++) {
    await time(sealed, () => api.fetch("/sealed"));
    await time(plain, () => fetch("/plain", { cache: "no-store" }));
  }
  return [sealed, plain].map((times) => times.sort((a, b) => a - b)[calls >> 1]);
}"""
#: Milliseconds, and the most that the heap had in bytes.
DOWNLOAD = """async (path) => {
  const start = performance.now();
  const ask = path.includes("sealed") ? api.fetch : fetch;
  const response = await ask(path, { cache: "no-store" });
  let [size, most] = [0, 0];
  for await (const { length } of response.body) {
    size += length;
    most = Math.max(most, performance.memory.usedJSHeapSize);
  }
  return [performance.now() - start, most, size];
}"""
UPLOAD = """async ([path, size]) => {
  const body = new Blob([new Uint8Array(size)]);
  const start = performance.now();
  const ask = path.includes("sealed") ? api.fetch : fetch;
  const { bytes } = await (await ask(path, { method: "POST", body })).json();
  return [performance.now() - start, 0, bytes];
}"""


def make_app() -> tuple[Flask, list[str]]:
    """An application with its pins; each view is there twice, sealed and not."""
    keys = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    now = int(time.time())
    ring = new_ring(*keys, now=now, random=os.urandom)
    app = Flask(__name__)
    app.config.update(
        TESTING=True,
        SEALED_AUDIENCE=AUDIENCE,
        SEALED_KEYRING=ring.to_json().decode(),
        SEALED_REPLAY_STORE="memory://",
    )
    Sealed(app)
    html = '<!doctype html><link rel="icon" href="data:,">'
    app.add_url_rule("/", "page", lambda: Response(html, headers=ISOLATED))
    ways: dict[str, Callable[[Any], Any]] = {"sealed": sealed, "plain": lambda view: view}
    for name, decorate in ways.items():
        app.add_url_rule(f"/{name}", name, decorate(lambda: {"filler": "x" * 1000}))
        app.add_url_rule(f"/{name}/down", f"{name}-down", decorate(down))
        app.add_url_rule(f"/{name}/up", f"{name}-up", decorate(up), methods=["POST"])
    return app, [b64u_encode(pin) for pin in ring.pins(now)]


def down() -> Response:
    pieces = (BLOCK for _ in range(SIZE // len(BLOCK)))
    return Response(pieces, content_type="application/octet-stream")


def up() -> dict[str, int]:
    return {"bytes": sum(map(len, iter(lambda: request.stream.read(len(BLOCK)), b"")))}


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()


def show(name: str, measured: list[Any]) -> None:
    milliseconds, heap, size = measured
    assert size == SIZE
    used = f", heap at most {heap / 1e6:.0f} MB" if heap else ""
    print(f"{name:>14}: {size / milliseconds / 1000:.0f} MB/s{used}")


def show_latency(page: Page) -> None:
    with_seal, plain = page.evaluate(LATENCY, CALLS)
    adds = with_seal - plain
    print(
        f"1 KB of JSON, median of {CALLS}: {with_seal:.2f} ms, plain {plain:.2f}: {adds:.2f} more"
    )


def show_streams(page: Page) -> None:
    for _ in range(ROUNDS):
        for name in ("plain/down", "sealed/down"):
            show(name, page.evaluate(DOWNLOAD, f"/{name}"))
    for _ in range(ROUNDS):
        for name in ("plain/up", "sealed/up"):
            show(name, page.evaluate(UPLOAD, [f"/{name}", SIZE]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", action="store_true", help="only of small calls, in rounds")
    only_latency = parser.parse_args().latency
    app, pins = make_app()
    with serving(app) as url, sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--enable-precise-memory-info"]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        page = browser.new_page()
        page.goto(url)
        page.evaluate(CONNECT, {"audience": AUDIENCE, "pins": pins})
        for _ in range(ROUNDS if only_latency else 1):
            show_latency(page)
        if not only_latency:
            show_streams(page)
        browser.close()


if __name__ == "__main__":
    main()
