"""The real Sentry SDK, with a capturing transport, sees no plaintext of a sealed view."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from flask import Flask, request
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from flask_sealed import sealed

from .conftest import MakeApp, MakeCaller
from .peer import Peer

MARKER = "4242-marker"
PLAINTEXT = b'{"card":"4242-marker"}'


class Capturing(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent += [repr(item.headers) + item.get_bytes().decode() for item in envelope.items]


@pytest.fixture
def captured() -> Iterator[list[str]]:
    transport = Capturing()
    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=transport,
        send_default_pii=True,
        max_request_body_size="always",
        traces_sample_rate=1.0,
        auto_enabling_integrations=True,
    )
    yield transport.sent
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)


def handle(card: dict[str, str]) -> Any:
    """A view's work: local variables hold the plaintext, deep in the stack too."""
    number = card["card"]
    if request.args.get("what") == "unhandled":
        raise RuntimeError("the ledger is closed")
    if request.args.get("what") == "logged":
        logging.getLogger("bank").error("the ledger is slow")
    return {"number": number}


def bank(make_app: MakeApp) -> Flask:
    app = make_app()

    @app.post("/sealed")
    @sealed
    def sealed_view() -> Any:
        return handle(request.get_json())

    @app.post("/control")
    def control() -> Any:
        return handle(request.get_json())

    return app


@pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated")
@pytest.mark.parametrize("what", ["unhandled", "logged", "normal"])
def test_sentry(make_app: MakeApp, peer: Peer, captured: list[str], what: str) -> None:
    client = bank(make_app).test_client()
    response = peer.send(client, f"/sealed?what={what}", PLAINTEXT)
    assert response.status_code == (500 if what == "unhandled" else 200)
    sentry_sdk.flush()
    events = [
        json.loads(text[text.index("}") + 1 :]) for text in captured if '"transaction"' in text
    ]
    assert len(events) == (1 if what == "normal" else 2)  # a transaction, and an error
    assert not any(MARKER in text for text in captured)
    assert all('"data"' in text for text in captured if '"request"' in text)
    captured.clear()

    client.post(f"/control?what={what}", data=PLAINTEXT, content_type="application/json")
    sentry_sdk.flush()
    assert any(MARKER in text for text in captured)


@pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated")
@pytest.mark.parametrize("what", ["unhandled", "logged", "normal"])
def test_sentry_in_a_session(
    make_session_app: MakeApp, make_caller: MakeCaller, captured: list[str], what: str
) -> None:
    caller = make_caller(bank(make_session_app))
    query = f"what={what}&card={MARKER}"
    for more in ({"data": PLAINTEXT}, {"content_iter": [PLAINTEXT]}):
        kind = "application/json"
        reply = caller.post("/sealed", query=query, content_type=kind, **more)
        assert reply.status == (500 if what == "unhandled" else 200)
    sentry_sdk.flush()
    events = [text for text in captured if '"transaction"' in text]
    assert len(events) == 1 + 2 * (1 if what == "normal" else 2)  # the handshake is one
    assert not any(MARKER in text or "card=" in text for text in captured)
