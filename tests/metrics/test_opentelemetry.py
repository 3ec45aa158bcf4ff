"""Attributes of spans, with the real SDK and Flask's instrumentation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, request
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flask_sealed import ConfigError, sealed
from flask_sealed.metrics.opentelemetry import SealedTelemetry
from flask_sealed.protocol.messages import Request

from ..conftest import MakeApp, MakeCaller

MARKER = "4242-4242"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def bank(make_session_app: MakeApp, exporter: InMemorySpanExporter) -> Iterator[Flask]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = make_session_app()
    app.add_url_rule("/pay", "pay", sealed(lambda: request.get_json()), methods=["POST"])
    app.add_url_rule("/soft", "soft", sealed(mode="optional")(lambda: "x"))
    app.add_url_rule("/open", "open", lambda: "x")
    instrumentor: Any = FlaskInstrumentor()
    instrumentor.instrument_app(app, tracer_provider=provider)
    SealedTelemetry(app)
    yield app
    instrumentor.uninstrument_app(app)


def said(exporter: InMemorySpanExporter) -> list[dict[str, Any]]:
    """What the spans say of seals, the earliest first; nothing else of a request is in them."""
    spans: tuple[ReadableSpan, ...] = exporter.get_finished_spans()
    exporter.clear()
    assert MARKER not in "".join(span.to_json() for span in spans)
    name = "flask_sealed."
    return [
        {
            key.removeprefix(name): value
            for key, value in (span.attributes or {}).items()
            if key.startswith(name)
        }
        for span in spans
    ]


SEALED = {"sealed": True, "profile": "session"}


def test_sealed(bank: Flask, exporter: InMemorySpanExporter, make_caller: MakeCaller) -> None:
    caller = make_caller(bank, kem=True)
    assert caller.post("/pay", json=[MARKER], query=f"card={MARKER}").json() == [MARKER]
    assert said(exporter) == [{"kem": True}, SEALED]


def test_refused_and_why(
    bank: Flask, exporter: InMemorySpanExporter, make_caller: MakeCaller
) -> None:
    bank.test_client().post("/pay", json=[MARKER])
    assert said(exporter) == [{"refused": "sealed-required"}]
    caller = make_caller(bank)
    caller.post("/pay", json=[])
    said(exporter)
    message = Request(
        method="POST", target="/pay", content_type="application/json", op=os.urandom(16)
    )
    for _ in range(2):
        caller.attempt(message, b"[1]")
    assert said(exporter) == [SEALED, {"refused": "replayed", **SEALED}]


def test_let_through_and_others(bank: Flask, exporter: InMemorySpanExporter) -> None:
    client = bank.test_client()
    client.get("/soft")
    client.get("/open")
    assert said(exporter) == [{"unsealed": True}, {}]


def test_without_a_span_nothing_is_said(
    make_session_app: MakeApp, make_caller: MakeCaller
) -> None:
    app = make_session_app()
    app.add_url_rule("/x", "x", sealed(lambda: "x"))
    SealedTelemetry().init_app(app)
    assert make_caller(app).get("/x").content == b"x"


def test_what_is_set_up_wrongly(bank: Flask) -> None:
    with pytest.raises(ConfigError):
        SealedTelemetry(Flask(__name__))
    with pytest.raises(ConfigError):
        SealedTelemetry(bank)
