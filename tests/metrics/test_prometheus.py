"""Counters and histograms, with the real client of Prometheus."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import flask_sealed
from flask_sealed import ConfigError, Unavailable, sealed
from flask_sealed.metrics.prometheus import KeyringCollector, SealedMetrics
from flask_sealed.protocol.keys import KeyRing
from flask_sealed.protocol.messages import Request

from ..conftest import MakeApp, MakeCaller
from ..peer import Peer

MARKER = "4242-4242"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def bank(make_session_app: MakeApp, registry: CollectorRegistry) -> Flask:
    app = make_session_app()
    app.add_url_rule("/pay", "pay", sealed(lambda: request.get_json()), methods=["POST"])
    app.add_url_rule("/soft", "soft", sealed(mode="optional")(lambda: "x"))
    app.add_url_rule("/open", "open", lambda: "x")
    SealedMetrics(app, registry=registry)
    return app


def samples(registry: CollectorRegistry) -> Samples:
    text = generate_latest(registry).decode()
    assert MARKER not in text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return samples(registry).get((f"flask_sealed_{name}", tuple(sorted(labels.items()))))


def test_what_happens_is_counted(
    bank: Flask, registry: CollectorRegistry, make_caller: MakeCaller
) -> None:
    caller = make_caller(bank, kem=True)
    for _ in range(3):
        caller.post("/pay", json=[MARKER], query=f"card={MARKER}")
    client = bank.test_client()
    client.post("/pay", json=[MARKER])
    client.get("/soft")
    client.get("/open")
    client.get("/nowhere")
    assert value(registry, "responses_total", endpoint="pay", profile="session") == 3
    assert value(registry, "refusals_total", endpoint="pay", code="sealed-required") == 1
    assert value(registry, "unsealed_requests_total", endpoint="soft") == 1
    assert value(registry, "handshakes_total", kem="yes") == 1
    assert value(registry, "handshakes_total", kem="no") is None
    assert value(registry, "request_seconds_count", endpoint="pay") == 3
    assert 0 < (value(registry, "request_seconds_sum", endpoint="pay") or 0) < 30
    assert value(registry, "request_age_seconds_bucket", endpoint="pay", le="10.0") == 3


def test_refusals_have_their_codes(
    bank: Flask, registry: CollectorRegistry, make_caller: MakeCaller
) -> None:
    caller = make_caller(bank)
    message = Request(
        method="POST", target="/pay", content_type="application/json", op=os.urandom(16)
    )
    for _ in range(2):
        caller.attempt(message, b"[1]")
    assert value(registry, "refusals_total", endpoint="pay", code="replayed") == 1
    assert value(registry, "responses_total", endpoint="pay", profile="session") == 2
    bank.test_client().post("/sealed/session", data=b"x")
    assert (
        value(registry, "refusals_total", endpoint="flask_sealed.session", code="malformed") == 1
    )


def test_the_age_of_requests_is_the_clients_clock(
    bank: Flask, registry: CollectorRegistry, make_caller: MakeCaller
) -> None:
    caller, begun = make_caller(bank), int(time.time())
    caller.get("/sealed/routes")
    caller.clock.server_time = lambda: begun  # type: ignore[method-assign]
    side = bank.extensions["sealed"]
    for seconds in (0, 25, -5):
        side.clock = lambda seconds=seconds: begun + seconds
        caller.post("/pay", json=[])
    assert value(registry, "request_age_seconds_bucket", endpoint="pay", le="20.0") == 2
    assert value(registry, "request_age_seconds_bucket", endpoint="pay", le="30.0") == 3
    assert (value(registry, "request_age_seconds_sum", endpoint="pay") or -1) >= 24


def test_labels_have_few_values_whatever_is_sent(
    bank: Flask, registry: CollectorRegistry, make_caller: MakeCaller
) -> None:
    client = bank.test_client()
    client.post("/pay")
    before = samples(registry).keys()
    for number in range(20):
        client.post(f"/pay?{number}", headers={"X-Any": str(number)})
        client.get(f"/{number}", headers={"Sealed": str(number)})
    assert samples(registry).keys() == before


def test_level3(make_app: MakeApp, peer: Peer, registry: CollectorRegistry) -> None:
    app = make_app()
    app.add_url_rule("/pay", "pay", sealed(lambda: request.get_json()), methods=["POST"])
    SealedMetrics(app, registry=registry)
    peer.send(app.test_client(), "/pay", b"[1]")
    assert value(registry, "responses_total", endpoint="pay", profile="level3") == 1
    assert value(registry, "request_age_seconds_count", endpoint="pay") is None


def test_several_applications(
    make_session_app: MakeApp, registry: CollectorRegistry, make_caller: MakeCaller
) -> None:
    metrics = SealedMetrics(registry=registry)
    apps = [make_session_app() for _ in range(3)]
    for app in apps:
        app.add_url_rule("/x", "x", sealed(lambda: "x"))
    for app in apps[:2]:
        metrics.init_app(app)
    for app in apps:
        make_caller(app).get("/x")
    assert value(registry, "responses_total", endpoint="x", profile="session") == 2


def test_what_is_set_up_wrongly(bank: Flask, make_app: MakeApp) -> None:
    with pytest.raises(ConfigError):
        SealedMetrics(Flask(__name__), registry=CollectorRegistry())
    with pytest.raises(ConfigError):
        SealedMetrics(bank, registry=CollectorRegistry())
    for app in (make_app(), Flask(__name__)):
        with pytest.raises(ConfigError):
            KeyringCollector(app)


def test_the_keyring(bank: Flask, registry: CollectorRegistry, ring: KeyRing) -> None:
    registry.register(KeyringCollector(bank))
    (ticket,) = ring.order("ticket")
    assert value(registry, "keyring_readable") == 1
    assert value(registry, "keyring_backup") == 1
    assert value(registry, "key_began_timestamp_seconds", purpose="ticket") == ticket.nbf
    assert value(registry, "key_ends_timestamp_seconds", purpose="ticket") is None
    side = bank.extensions["sealed"]

    class Other:
        def ring(self) -> KeyRing:
            raise Unavailable("")

    side.settings = replace(side.settings, keyring=Other())
    assert value(registry, "keyring_readable") == 0
    assert value(registry, "keyring_backup") is None


# ------------------------------------------------------------------------------- the dashboard

PACKAGE = Path(flask_sealed.__file__).parent
NAME = re.compile(r"flask_sealed_\w+")


def exported(bank: Flask, registry: CollectorRegistry, make_caller: MakeCaller) -> set[str]:
    """The names of all metrics, once each has a number."""
    registry.register(KeyringCollector(bank))
    make_caller(bank).post("/pay", json=[])
    bank.test_client().post("/pay")
    bank.test_client().get("/soft")
    return {name for name, _ in samples(registry)} | {"flask_sealed_key_ends_timestamp_seconds"}


def test_the_dashboard_asks_for_what_there_is(
    bank: Flask, registry: CollectorRegistry, make_caller: MakeCaller
) -> None:
    board: Any = json.loads((PACKAGE / "metrics/grafana.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    names = {name for query in queries for name in NAME.findall(query)}
    there = exported(bank, registry, make_caller)
    assert names <= there
    # Every metric is shown, counts and sums of histograms aside.
    assert {name for name in there if not name.endswith(("_count", "_sum"))} <= names
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in board["panels"])


def test_the_page_alerts_on_what_there_is(
    bank: Flask, registry: CollectorRegistry, make_caller: MakeCaller
) -> None:
    page = (PACKAGE.parent / "docs/observability.rst").read_text(encoding="utf-8")
    names = set(NAME.findall(page))
    there = exported(bank, registry, make_caller)
    bases = {re.sub(r"_(bucket|count|sum)$", "", name) for name in there}
    assert names <= there | bases
    assert bases <= names
