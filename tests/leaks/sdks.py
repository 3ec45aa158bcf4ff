"""Monitoring as applications install it, each set to collect as much as it can."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from typing import Any

from flask import Flask, Response, request

Flush = Callable[[], object]
Install = Callable[[Flask, str], Flush]
#: How long anything may take until what was collected has been sent, in seconds.
SECONDS = 60


def nothing(app: Flask, sink: str) -> Flush:
    """No monitoring."""
    return lambda: None


def sentry(app: Flask, sink: str) -> Flush:
    import sentry_sdk

    sentry_sdk.init(
        dsn=sink.replace("http://", "http://key@") + "/1",
        send_default_pii=True,
        max_request_body_size="always",
        include_local_variables=True,
        traces_sample_rate=1.0,
        enable_logs=True,
        auto_enabling_integrations=True,
        transport_queue_size=1000,
        shutdown_timeout=SECONDS,
    )
    return lambda: sentry_sdk.flush(SECONDS)


def elastic(app: Flask, sink: str, *, variables: str = "all", log_stacks: bool = True) -> Flush:
    from elasticapm.contrib.flask import ElasticAPM
    from elasticapm.handlers.logging import LoggingHandler

    app.config["ELASTIC_APM"] = {
        "SERVER_URL": sink,
        "SERVICE_NAME": "lab",
        "CAPTURE_BODY": "all",
        "CAPTURE_HEADERS": True,
        "COLLECT_LOCAL_VARIABLES": variables,
        # Of every call that is traced, and not only where it takes long.
        "SPAN_STACK_TRACE_MIN_DURATION": "0ms",
        "METRICS_INTERVAL": "0s",
        "CENTRAL_CONFIG": False,
        "AUTO_LOG_STACKS": log_stacks,
        "CLOUD_PROVIDER": "none",
        "SANITIZE_FIELD_NAMES": [],
        "SERVER_TIMEOUT": f"{SECONDS}s",
        "API_REQUEST_TIME": f"{SECONDS}s",
    }
    apm = ElasticAPM(app)
    app.logger.addHandler(LoggingHandler(client=apm.client))

    def flush() -> None:
        # Its own may return at the end of an earlier one, which each exception asks for, and leave
        # the rest to be lost. What sends ends when all is sent; and then begins anew.
        transport = apm.client._transport
        thread = transport._thread
        transport.queue("close", None)
        thread.join(SECONDS)
        assert not thread.is_alive()
        transport._thread = None
        transport.start_thread(os.getpid())

    return flush


def rollbar(app: Flask, sink: str) -> Flush:
    import rollbar as client
    from rollbar.contrib import flask as contrib
    from rollbar.logger import RollbarHandler

    contrib.init(
        app,
        "token",
        "lab",
        endpoint=f"{sink}/api/1/",
        handler="blocking",
        scrub_fields=[],
        timeout=SECONDS,
    )
    app.logger.addHandler(RollbarHandler(access_token="token", environment="lab"))
    return lambda: client.wait()


def bugsnag(app: Flask, sink: str) -> Flush:
    import bugsnag as client
    from bugsnag.flask import handle_exceptions
    from bugsnag.handlers import BugsnagHandler

    client.configure(
        api_key="0f" * 16,
        endpoint=sink,
        session_endpoint=sink,
        asynchronous=False,
        send_environment=True,
        params_filters=[],
    )
    handle_exceptions(app)
    app.logger.addHandler(BugsnagHandler())
    return lambda: None


def opentelemetry(app: Flask, sink: str) -> Flush:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    spans = OTLPSpanExporter(endpoint=f"{sink}/v1/traces", timeout=SECONDS)
    provider.add_span_processor(BatchSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    logs = LoggerProvider()
    logs.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{sink}/v1/logs", timeout=SECONDS))
    )
    app.logger.addHandler(LoggingHandler(logger_provider=logs))

    def note_body(span: Any, environ: dict[str, Any]) -> None:
        if span and span.is_recording():
            span.set_attribute("http.request.query", environ.get("QUERY_STRING", ""))

    FlaskInstrumentor().instrument_app(app, request_hook=note_body)

    @app.before_request
    def note_request() -> None:
        body = request.get_data().decode("latin-1")  # it may be sealed records
        trace.get_current_span().set_attribute("http.request.body", body)

    return lambda: (
        provider.force_flush(1000 * SECONDS),
        logs.force_flush(1000 * SECONDS),
    )


def ddtrace(app: Flask, sink: str) -> Flush:
    """Its own program has started it, before the application was imported."""
    from ddtrace.debugging._exception import replay
    from ddtrace.debugging._uploader import SignalUploader
    from ddtrace.internal.rate_limiter import BudgetRateLimiterWithJitter
    from ddtrace.trace import tracer

    def flush() -> None:
        tracer.flush()
        if SignalUploader._instance is not None:
            SignalUploader._instance.periodic()
        replay.EXCEPTION_IDENT_LIMITER.clear()

    # As often as there are exceptions, and not once in a second or an hour.
    replay.GLOBAL_RATE_LIMITER = BudgetRateLimiterWithJitter(limit_rate=1000)
    return flush


def toolbar(app: Flask, sink: str) -> Flush:
    """Flask-DebugToolbar, rendered for every request as it is for pages."""
    from flask_debugtoolbar import DebugToolbarExtension

    app.config.update(
        SECRET_KEY="0f" * 32, DEBUG_TB_ENABLED=True, DEBUG_TB_INTERCEPT_REDIRECTS=False
    )
    # All panels but that of versions, which reads what is installed each time.
    panels = DebugToolbarExtension()._default_config(app)["DEBUG_TB_PANELS"]
    app.config["DEBUG_TB_PANELS"] = panels[1:]
    extension = DebugToolbarExtension(app)

    @app.after_request
    def render(response: Response) -> Response:
        came: Any = request._get_current_object()  # type: ignore[attr-defined]
        shown = extension.debug_toolbars_var.get({}).get(came)
        if shown is not None:
            for panel in shown.panels:
                panel.process_response(came, response)
            post(sink, shown.render_toolbar().encode())
        return response

    return lambda: None


def post(sink: str, body: bytes) -> None:
    connection = HTTPConnection(sink.removeprefix("http://"), timeout=SECONDS)
    connection.request("POST", "/", body)
    connection.getresponse().read()
    connection.close()


def log_file(app: Flask, sink: str) -> Flush:
    """A handler that writes down all that a record has, its request too, as many have it."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = f"{self.format(record)} {request.get_data()!r} {request.url} {request.headers}"
            post(sink, text.encode())

    app.logger.addHandler(Handler())
    return lambda: None


SDKS: dict[str, Install] = {
    "Sentry": sentry,
    "Elastic APM": elastic,
    "Rollbar": rollbar,
    "Bugsnag": bugsnag,
    "OpenTelemetry": opentelemetry,
    "ddtrace": ddtrace,
    "Flask-DebugToolbar": toolbar,
    "a log handler": log_file,
}
#: What is set in another way where sealing alone does not do.
REMEDIES: dict[str, Install] = {
    "Elastic APM, fewer stacks": partial(elastic, variables="errors", log_stacks=False),
    "ddtrace, Exception Replay off": ddtrace,
}
