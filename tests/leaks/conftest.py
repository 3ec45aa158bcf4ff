"""Applications with monitoring, driven with markers, and what has been captured of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ..servers import process
from ..servers.conftest import pins, settings
from ..servers.process import Server
from .drive import SITUATIONS, Captured, Planted, sealed_client, send
from .sdks import SDKS
from .sink import Sink, listening

APP = "tests.leaks.app"
# All that gunicorn can say of a request, and the headers that are worth stealing.
ACCESS = (
    "%(h)s %(m)s %(U)s %(q)s %(s)s %(f)s %(a)s %({x-note}i)s %({authorization}i)s"
    " %({x-receipt}o)s %({sealed}i)s %({sealed}o)s"
)
LOG = "gunicorn's logs"


@contextmanager
def running(folder: Path, sdk: str, sink: Sink) -> Iterator[Server]:
    """The application with one kind of monitoring."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEAKS_SDK", sdk)
        patch.setenv("LEAKS_SINK", sink.base)
        for name in ("REQUEST", "RESPONSE"):
            patch.setenv(f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_{name}", ".*")
        if sdk.startswith("ddtrace"):
            _prepare_ddtrace(patch, sink, replay=sdk == "ddtrace")
        arguments = ["--access-logfile=-", f"--access-logformat={ACCESS}"]
        with process.gunicorn(
            folder, settings(folder), workers=1, kind="gthread", app=APP, arguments=arguments
        ) as server:
            yield server


def _prepare_ddtrace(patch: pytest.MonkeyPatch, sink: Sink, *, replay: bool) -> None:
    """What its own program does before it starts another."""
    spec = importlib.util.find_spec("ddtrace")
    assert spec is not None
    assert spec.origin is not None
    patch.setenv("PYTHONPATH", str(Path(spec.origin).parent / "bootstrap"))
    for name, value in {
        "TRACE_AGENT_URL": sink.base,
        "SERVICE": "lab",
        "EXCEPTION_REPLAY_ENABLED": str(replay).lower(),
        "APPSEC_ENABLED": "true",
        "TRACE_HEADER_TAGS": "x-note,authorization,x-receipt",
        "INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "REMOTE_CONFIGURATION_ENABLED": "false",
    }.items():
        patch.setenv(f"DD_{name}", value)


def drive(base: str, folder: Path, path: str) -> list[Planted]:
    """Each situation once; sealed, but below ``/open``."""
    planted = [Planted(situation) for situation in SITUATIONS]
    unsealed = path == "open"
    client = httpx.Client(base_url=base) if unsealed else sealed_client(base, pins(folder))
    with client:
        for one in planted:
            send(client, path, one)
    return planted


def observe(folder: Path, sdk: str, paths: Sequence[str]) -> dict[str, Captured]:
    """What monitoring, and the server's own logs, have kept of requests below each path."""
    with listening() as sink, running(folder, sdk, sink) as server:
        planted: dict[str, list[Planted]] = {}
        for path in paths:
            planted[path] = drive(server.base, folder, path)
            httpx.get(f"{server.base}/flush", timeout=30).raise_for_status()
    kept, log = sink.kept(), server.log.read_bytes()
    found: dict[str, Captured] = {}
    for path, requests in planted.items():
        found[path] = {(sdk, one.situation): one.found(kept) for one in requests}
        found[path] |= {(LOG, one.situation): one.found(log) for one in requests}
    return found


@pytest.fixture(scope="session")
def captured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Captured]:
    """What each kind of monitoring has kept: unsealed, sealed, and with exceptions masked."""
    total: dict[str, Captured] = {"kept": {}, "masked": {}, "open": {}}
    for number, sdk in enumerate(SDKS):
        folder = tmp_path_factory.mktemp(f"leaks-{number}")
        for path, found in observe(folder, sdk, [*total]).items():
            add(total[path], found)
    return total


def add(total: Captured, found: Captured) -> None:
    """Gunicorn's logs are those of all runs."""
    for where, fields in found.items():
        total[where] = total.get(where, set()) | fields
