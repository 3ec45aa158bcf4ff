from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask, Response

from flask_sealed import current, sealed
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.jwk import thumbprint
from flask_sealed.protocol.keys import KeyRing
from flask_sealed.protocol.messages import Request

from .conftest import PSK, MakeApp, MakeCaller
from .peer import Peer

NOTHING = [False, None, None, None, False]


def tell(**_: Any) -> list[object]:
    return [bool(current), current.profile, current.sid, current.binding, current.kem]


def with_views(app: Flask) -> Flask:
    app.add_url_rule("/sealed-view", "view", sealed(tell))
    app.add_url_rule("/open", "open", tell)
    return app


@pytest.mark.kem
def test_in_a_session(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = with_views(make_session_app())
    binding = Ed25519PrivateKey.generate()
    jkt = b64u_encode(thumbprint(binding.public_key()))
    sids = set()
    for kem in (False, True):
        told = make_caller(app, binding=binding, kem=kem).get("/sealed-view").json()
        assert told == [True, "session", told[2], jkt, kem]
        sids.add(told[2])
    assert len(sids) == 2


def test_with_a_pre_shared_key(
    make_session_app: MakeApp, make_caller: MakeCaller, ring: KeyRing
) -> None:
    key = next(ring.of("psk", 0)).material
    assert isinstance(key, bytes)
    caller = make_caller(with_views(make_session_app()), psk=(PSK, key))
    assert caller.get("/sealed-view").json() == [True, "session", None, f"psk:{PSK}", False]


def test_a_proof_at_an_open_view(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = with_views(make_session_app())
    caller = make_caller(app)
    outer, _ = caller.attempt(Request(method="GET", target="/open"))
    told = outer.json()
    assert told == [True, None, told[2], told[3], False]
    assert caller.get("/sealed-view").json()[2:4] == told[2:4]
    assert app.test_client().get("/open").json == NOTHING


def test_in_level3(make_app: MakeApp, peer: Peer) -> None:
    app = with_views(make_app())
    app.add_url_rule("/one-way", "one", sealed(response=False)(tell))
    client = app.test_client()
    told = [True, "level3", None, None, False]
    assert peer.json(client.get("/sealed-view")) == told
    assert client.get("/one-way").json == told
    assert client.get("/open").json == NOTHING


def test_where_nothing_is_sealed(make_app: MakeApp) -> None:
    assert tell() == NOTHING
    assert "none" in repr(current)
    with make_app().app_context():
        assert tell() == NOTHING
    app = with_views(Flask(__name__))
    assert app.test_client().get("/open").json == NOTHING


def test_it_shows_no_name(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app()
    app.add_url_rule("/view", "view", sealed(lambda: [repr(current), current.sid]))
    text, sid = make_caller(app).get("/view").json()
    assert "session" in text
    assert sid not in text


def test_a_request_that_is_refused_has_none(make_session_app: MakeApp) -> None:
    app = make_session_app()
    seen: list[bool] = []

    @app.after_request
    def look(response: Response) -> Response:
        seen.append(bool(current))
        return response

    app.add_url_rule("/view", "view", sealed(lambda: "x"))
    app.test_client().get("/view")
    app.test_client().get("/view", headers={"Sealed": "x"})
    assert seen == [False, False]
