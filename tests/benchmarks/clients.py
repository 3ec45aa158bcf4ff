"""What the clients cost, Chromium's and httpx's: ``python -m tests.benchmarks.clients``.

Sealed calls and their unsealed twins are measured in turns, against a server in this process.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask, Response, request
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from flask_sealed import Sealed, sealed
from flask_sealed.clients.httpx import SealedTransport
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.rotation import new_ring

from ..http_server import running
from .__main__ import AUDIENCE, PAYLOAD, echo

BLOCK = bytes(64 * 1024)
SIZE = 1600 * len(BLOCK)
CALLS = 1000
TURNS = 5
#: With these, a page has a clock of 5 microseconds; else of 100.
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
# The paths begin with the left one; the right one is what figures are named.
_WAYS = {"plain": "in clear", "sealed": "sealed"}

#: Figures of each measurement, sealed and in clear.
Figures = dict[str, dict[str, float]]

CONNECT = """async (options) => {
  const { connect } = await import("/sealed/client.js");
  window.api = await connect(location.origin, options);
}"""
#: Medians in milliseconds, plain and sealed.
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
  return [plain, sealed].map((times) => times.sort((a, b) => a - b)[calls >> 1]);
}"""
#: Milliseconds, bytes, and the most that the heap had in bytes.
DOWNLOAD = """async ([way, expected]) => {
  const start = performance.now();
  const ask = way === "sealed" ? api.fetch : fetch;
  const response = await ask(`/${way}/down/${expected}`, { cache: "no-store" });
  let [size, most] = [0, 0];
  for await (const { length } of response.body) {
    size += length;
    most = Math.max(most, performance.memory.usedJSHeapSize);
  }
  return [performance.now() - start, size, most];
}"""
UPLOAD = """async ([way, size]) => {
  const body = new Blob([new Uint8Array(size)]);
  const start = performance.now();
  const ask = way === "sealed" ? api.fetch : fetch;
  const { bytes } = await (await ask(`/${way}/up`, { method: "POST", body })).json();
  return [performance.now() - start, bytes, performance.memory.usedJSHeapSize];
}"""


def make_app(store: str = "memory://") -> tuple[Flask, list[str]]:
    """An application with its pins; each view is there twice, sealed and not."""
    keys = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    now = int(time.time())
    ring = new_ring(*keys, now=now, random=os.urandom)
    app = Flask(__name__)
    app.config.update(
        TESTING=True,
        SEALED_AUDIENCE=AUDIENCE,
        SEALED_KEYRING=ring.to_json().decode(),
        SEALED_REPLAY_STORE=store,
    )
    Sealed(app)
    html = '<!doctype html><link rel="icon" href="data:,">'
    app.add_url_rule("/", "page", lambda: Response(html, headers=ISOLATED))
    ways: dict[str, Callable[[Any], Any]] = {"sealed": sealed, "plain": lambda view: view}
    for name, decorate in ways.items():
        app.add_url_rule(f"/{name}", name, decorate(lambda: PAYLOAD))
        app.add_url_rule(f"/{name}/post", f"{name}-post", decorate(echo), methods=["POST"])
        app.add_url_rule(f"/{name}/down/<int:size>", f"{name}-down", decorate(down))
        app.add_url_rule(f"/{name}/up", f"{name}-up", decorate(up), methods=["POST"])
    return app, [b64u_encode(pin) for pin in ring.pins(now)]


def down(size: int) -> Response:
    pieces = (BLOCK for _ in range(size // len(BLOCK)))
    return Response(pieces, content_type="application/octet-stream")


def up() -> dict[str, int]:
    return {"bytes": sum(map(len, iter(lambda: request.stream.read(len(BLOCK)), b"")))}


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with running(make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)) as url:
        yield url


@contextmanager
def chromium() -> Iterator[Page]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--enable-precise-memory-info"]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        yield browser.new_page()
        browser.close()


def in_page(
    page: Page, *, calls: int = CALLS, size: int = SIZE, turns: int = TURNS
) -> dict[str, Figures]:
    """Milliseconds of a GET of 1 KB, in a session that is there; and what streams make."""
    app, pins = make_app()
    with serving(app) as url:
        page.goto(url)
        page.evaluate(CONNECT, {"audience": AUDIENCE, "pins": pins})
        times = dict(zip(_WAYS.values(), page.evaluate(LATENCY, calls), strict=True))
        streams = {
            name: _stream(page, script, size, turns)
            for name, script in {"download": DOWNLOAD, "upload": UPLOAD}.items()
        }
    return {"calls": {"api.fetch in Chromium, GET": times}, "streams": streams}


def _stream(page: Page, script: str, size: int, turns: int) -> dict[str, float]:
    """Megabytes a second, and the most that the page's heap had in a sealed one, in megabytes."""
    rates: dict[str, list[float]] = {name: [] for name in _WAYS.values()}
    heap = 0.0
    for _ in range(turns):
        for way, name in _WAYS.items():
            milliseconds, came, used = page.evaluate(script, [way, size])
            assert came == size
            rates[name].append(size / milliseconds / 1000)
            heap = max(heap, used / 1e6 if way == "sealed" else 0)
    return {name: median(values) for name, values in rates.items()} | {"heap": heap}


def in_httpx(*, calls: int = CALLS) -> Figures:
    """Milliseconds of a POST of 1 KB each way, by where operations are recorded."""
    with TemporaryDirectory() as folder:
        stores = {"memory": "memory://", "SQLite": f"sqlite:///{folder}/replay.sqlite"}
        return {f"httpx, POST, {name}": _posts(uri, calls) for name, uri in stores.items()}


def _posts(store: str, calls: int) -> dict[str, float]:
    app, pins = make_app(store)
    times: dict[str, list[float]] = {name: [] for name in _WAYS.values()}
    with serving(app) as url:
        transport = SealedTransport(audience=AUDIENCE, origin=url, pins=pins)
        # The one in clear has nothing of Flask-Sealed, not even its transport.
        clients = {
            "sealed": httpx.Client(transport=transport, timeout=120),
            "plain": httpx.Client(timeout=120),
        }
        for _ in range(calls):
            for way, name in _WAYS.items():
                begun = time.perf_counter()
                answer = clients[way].post(f"{url}/{way}/post", json=PAYLOAD)
                times[name].append((time.perf_counter() - begun) * 1000)
                assert answer.json() == PAYLOAD
        for client in clients.values():
            client.close()
    return {name: median(values) for name, values in times.items()}


def measured() -> dict[str, Figures]:
    with chromium() as page:
        figures = in_page(page)
    return {**figures, "calls": figures["calls"] | in_httpx()}


def main() -> None:
    figures = measured()
    print(f"{'1 KB of JSON, ms, medians':<34}{'in clear':>10}{'sealed':>10}{'ratio':>8}")
    for name, row in figures["calls"].items():
        plain, with_seal = row["in clear"], row["sealed"]
        print(f"{name:<34}{plain:>10.2f}{with_seal:>10.2f}{with_seal / plain:>8.2f}")
    print(f"\n{f'{SIZE / 1e6:.0f} MB, MB/s':<34}{'in clear':>10}{'sealed':>10}{'heap, MB':>10}")
    for name, row in figures["streams"].items():
        print(f"{name:<34}{row['in clear']:>10.0f}{row['sealed']:>10.0f}{row['heap']:>10.0f}")


if __name__ == "__main__":
    main()
