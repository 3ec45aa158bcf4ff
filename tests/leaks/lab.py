"""Applications with monitoring of each kind, and what has been captured of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from playwright.sync_api import Page

from ..servers import process
from ..servers.conftest import pins, settings
from ..servers.process import Server
from . import hooks
from .app import PATHS
from .callers import (
    CALLERS,
    LEVEL3,
    PATIENCE,
    MakeClient,
    calling_by_httpx,
    calling_by_page,
)
from .customer import use
from .drive import Captured, Planted, condensed, drive, is_in
from .sdks import SDKS
from .sink import listening

#: Who called, and what the views' path begins with.
Run = tuple[str, str]
RUNS: tuple[Run, ...] = tuple((caller, path) for caller in CALLERS for path in PATHS)
APP = "tests.leaks.app"
# All that gunicorn can say of a request, and the headers that are worth stealing.
ACCESS = (
    "%(h)s %(m)s %(U)s %(q)s %(s)s %(f)s %(a)s %({x-note}i)s %({authorization}i)s"
    " %({x-receipt}o)s %({sealed}i)s %({sealed}o)s"
)
LOG = "gunicorn's logs"
PLACES = (*SDKS, LOG)


def running(folder: Path, sdk: str = "", sink: str = "") -> AbstractContextManager[Server]:
    """The application with one kind of monitoring, or none."""
    environ = {"LEAKS_SDK": sdk, "LEAKS_SINK": sink}
    for name in ("REQUEST", "RESPONSE"):
        environ[f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_{name}"] = ".*"
    if sdk.startswith("ddtrace"):
        environ |= _ddtrace(sink, replay=sdk == "ddtrace")
    return process.gunicorn(
        folder,
        settings(folder, SEALED_LEVEL3_KEY=LEVEL3.secret.hex()),
        workers=1,
        kind="gthread",
        arguments=[
            *("--access-logfile=-", f"--access-logformat={ACCESS}"),
            f"--config=python:{hooks.__name__}",
        ],
        environ=environ,
        app=APP,
    )


def _ddtrace(sink: str, *, replay: bool) -> dict[str, str]:
    """What its own program does before it starts another."""
    spec = importlib.util.find_spec("ddtrace")
    assert spec is not None
    assert spec.origin is not None
    options = {
        "TRACE_AGENT_URL": sink,
        "SERVICE": "lab",
        "EXCEPTION_REPLAY_ENABLED": str(replay).lower(),
        "APPSEC_ENABLED": "true",
        "TRACE_HEADER_TAGS": "x-note,authorization,x-receipt",
        "INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "REMOTE_CONFIGURATION_ENABLED": "false",
        # What it cannot capture or send in time it leaves out.
        "DYNAMIC_INSTRUMENTATION_CAPTURE_TIMEOUT_MS": "60000",
        "APPSEC_WAF_TIMEOUT": "60000",
        "TRACE_AGENT_TIMEOUT_SECONDS": "60",
    }
    environ = {f"DD_{name}": value for name, value in options.items()}
    return environ | {"PYTHONPATH": str(Path(spec.origin).parent / "bootstrap")}


# It would be megabytes in the report of each test that fails.
@dataclass(repr=False)
class Lab:
    """What each place has kept, of each run."""

    captured: dict[Run, Captured] = field(default_factory=dict)
    #: What was sent, and what came of it, by the kind of monitoring.
    sent: dict[tuple[Run, str], list[Planted]] = field(default_factory=dict)
    #: The names of a customer's secrets that were found, by the kind of monitoring.
    told: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    #: All that was kept.
    kept: dict[str, bytes] = field(default_factory=dict)
    #: All that the browser has written down on its disk.
    profile: bytes = b""

    def add(self, run: Run, place: str, sent: Iterable[Planted], kept: bytes) -> None:
        """Gunicorn's logs are those of all kinds of monitoring."""
        captured = self.captured.setdefault(run, {})
        for one in sent:
            where = place, one.situation
            captured[where] = captured.get(where, set()) | one.found(kept)


class Observed:
    """The application with one kind of monitoring, from its start to its end."""

    def __init__(self, sdk: str, folder: Path) -> None:
        self.sdk = sdk
        self._folder = folder
        self._stack = ExitStack()
        self._sent: dict[Run, list[Planted]] = {}
        self._secrets: dict[str, dict[str, str]] = {}

    def start(self) -> None:
        """Start the application, and call it by httpx."""
        self._sink = self._stack.enter_context(listening())
        starting = running(self._folder, self.sdk, self._sink.base)
        self._server = self._stack.enter_context(starting)
        self._call("httpx", calling_by_httpx(self._server.base, pins(self._folder)))

    def browse(self, page: Page) -> None:
        """Call it by a page."""
        if self.sdk in SDKS:
            self._call("browser", calling_by_page(self._server.base, pins(self._folder), page))

    def end(self) -> None:
        self._stack.close()

    def _call(self, caller: str, client: MakeClient) -> None:
        """Call all views in each way, and be a customer of the bank."""
        for path in PATHS if self.sdk in SDKS else ["masked"]:
            self._sent[caller, path] = drive(client(path), path)
            self._flush()
        with client("kept") as customer:
            self._secrets[caller] = use(customer, live=True)
        self._flush()

    def _flush(self) -> None:
        httpx.get(f"{self._server.base}/flush", timeout=PATIENCE).raise_for_status()

    def tell(self, lab: Lab) -> None:
        """What has been found, after the end."""
        for place, kept in ((self.sdk, self._sink.kept()), (LOG, self._server.log.read_bytes())):
            lab.kept[place] = lab.kept.get(place, b"") + kept
            short = condensed(kept)
            for run, sent in self._sent.items():
                lab.add(run, place, sent, short)
            for caller, secrets in self._secrets.items():
                found = {name for name, secret in secrets.items() if is_in(secret.encode(), kept)}
                lab.told[caller, place] = lab.told.get((caller, place), set()) | found
        lab.sent |= {(run, self.sdk): sent for run, sent in self._sent.items()}


def observe(folders: Mapping[str, Path], page: Page) -> Lab:
    """Run the lab. While the page calls one application, others start and end.

    :param folders: one for each kind of monitoring.
    """
    observed = [Observed(sdk, folder) for sdk, folder in folders.items()]
    lab = Lab()
    with ThreadPoolExecutor(2) as beside:
        starts = [beside.submit(one.start) for one in observed]
        ends = []
        try:
            for one, start in zip(observed, starts, strict=True):
                start.result()
                one.browse(page)
                ends.append(beside.submit(one.end))
        finally:
            wait(starts)
            ends += [beside.submit(one.end) for one in observed[len(ends) :]]
    for one, end in zip(observed, ends, strict=True):
        end.result()
        one.tell(lab)
    return lab
