from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, request

from flask_sealed import sealed, signals
from flask_sealed.protocol.messages import Request

from .conftest import MakeApp, MakeCaller
from .peer import Peer

Sent = list[tuple[str, object, dict[str, Any]]]
NAMES = ("sealed", "refused", "handshake", "replayed", "unsealed")


@pytest.fixture
def sent() -> Iterator[Sent]:
    """What was sent, with the body as receivers see it."""
    collected: Sent = []
    receivers = []
    for name in NAMES:

        def receive(sender: object, name: str = name, **more: Any) -> None:
            assert b"4242" not in (request.get_data() if name != "refused" else b"")
            collected.append((name, sender, more))

        receivers.append((getattr(signals, name), receive))
        receivers[-1][0].connect(receive)
    yield collected
    for signal, receive in receivers:
        signal.disconnect(receive)


def pay(app: Flask) -> Flask:
    app.add_url_rule("/pay", "pay", sealed(lambda: request.get_json()), methods=["POST"])
    return app


@pytest.mark.kem
def test_a_session(make_session_app: MakeApp, make_caller: MakeCaller, sent: Sent) -> None:
    app = pay(make_session_app())
    assert make_caller(app, kem=True).post("/pay", json=["4242"]).json() == ["4242"]
    sid = sent[0][2]["sid"]
    assert isinstance(sid, str)
    assert sent == [
        ("handshake", app, {"sid": sid, "kem": True}),
        ("sealed", app, {"endpoint": "pay", "profile": "session", "sid": sid}),
    ]


def test_level3(make_app: MakeApp, peer: Peer, sent: Sent) -> None:
    app = pay(make_app())
    peer.send(app.test_client(), "/pay", b'["4242"]')
    assert sent == [("sealed", app, {"endpoint": "pay", "profile": "level3", "sid": None})]


def test_errors_are_sealed_too(
    make_session_app: MakeApp, make_caller: MakeCaller, sent: Sent
) -> None:
    app = pay(make_session_app())
    assert make_caller(app).post("/pay", data=b"4242").status == 415
    assert [name for name, *_ in sent] == ["handshake", "sealed"]


def test_a_replay(
    make_session_app: MakeApp,
    make_caller: MakeCaller,
    sent: Sent,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    app = pay(make_session_app())
    caller = make_caller(app)
    asked = Request(
        method="POST", target="/pay", content_type="application/json", op=os.urandom(16)
    )
    caller.attempt(asked, b'["4242"]')
    sid = sent[0][2]["sid"]
    sent.clear()
    caller.attempt(asked, b'["4242"]')
    assert sent == [
        ("refused", app, {"endpoint": "pay", "code": "replayed", "sid": sid}),
        ("replayed", app, {"endpoint": "pay", "sid": sid}),
        ("sealed", app, {"endpoint": "pay", "profile": "session", "sid": sid}),
    ]
    [record] = [one for one in caplog.records if one.name == "flask_sealed"]
    assert record.levelno == logging.INFO
    assert record.args == ("pay", "replayed", sid)
    assert "4242" not in caplog.text


def test_what_is_refused_in_clear_is_not_sealed(
    make_session_app: MakeApp, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = pay(make_session_app())
    app.test_client().post("/pay", data="4242")
    assert sent[0][2] == {"endpoint": "pay", "code": "sealed-required", "sid": None}
    assert [name for name, *_ in sent] == ["refused"]
    assert "sealed-required" in caplog.text
    assert "4242" not in caplog.text


def test_a_hello_that_is_refused(make_session_app: MakeApp, sent: Sent) -> None:
    app = make_session_app()
    app.test_client().post("/sealed/session", data="{}")
    more = {"endpoint": "flask_sealed.session", "code": "malformed", "sid": None}
    assert sent == [("refused", app, more)]
