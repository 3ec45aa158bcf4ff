"""The client of flask-sealed/1 in a real browser: a handshake and an exchange over HTTP."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask, Response, request, send_from_directory
from playwright.sync_api import Page

import flask_sealed
from flask_sealed.protocol import messages
from flask_sealed.protocol.encoding import b64u_encode, json_encode
from flask_sealed.protocol.exchange import RequestSeal
from flask_sealed.protocol.handshake import answer_hello, open_ticket
from flask_sealed.protocol.keys import Key, KeyRing

from .conftest import Serve
from .test_client import HAS_KEM

BANK = "https://bank.example"
NOW = 1_800_000_000
MANY = tuple((f"x-{number}", "v" * 90) for number in range(40))

EXCHANGE = """
  async ({ audience, pin, curve, kem, now }) => {
    const names = ["parts/handshake.js", "core/exchange.js", "parts/records.js"];
    const modules = await Promise.all(names.map((name) => import(`/js/${name}`)));
    const sealed = Object.assign({}, ...modules);
    const algorithm = curve === "P-256" ? { name: "ECDSA", namedCurve: curve } : "Ed25519";
    const binding = await crypto.subtle.generateKey(algorithm, false, ["sign", "verify"]);
    const pins = [Uint8Array.from(atob(pin), (character) => character.charCodeAt(0))];
    const ecdh = curve === "P-256" ? { name: "ECDH", namedCurve: curve } : { name: curve };
    const make = (algorithm, usage) => crypto.subtle.generateKey(algorithm, false, [usage]);
    const ephemeral = await make(ecdh, "deriveBits");
    const kemPair = kem ? await make({ name: "ML-KEM-768" }, "decapsulateBits") : null;
    const own = { pins, ephemeral, kem: kemPair };
    const handshake = await sealed.sayHello(audience, binding, own);
    const post = async (path, options) => {
      const response = await fetch(path, { method: "POST", ...options });
      const body = new Uint8Array(await response.arrayBuffer());
      return { status: response.status, seal: response.headers.get("sealed"), body };
    };
    const json = { "content-type": "application/json" };
    const hello = sealed.helloBody(handshake);
    const reply = await post("/sealed/session", { body: hello, headers: json });
    const keys = await sealed.finishHandshake(handshake, { ...reply, took: 1 });
    const asked = { method: "POST", target: "/echo", contentType: "text/plain" };
    const content = new TextEncoder().encode("Zoë");
    const options = { iat: now, pad: true };
    const { seal, body, exchange } = await sealed.sealRequest(keys, asked, content, options);
    const answer = await post("/echo", { body, headers: { ...json, sealed: seal } });
    const opened = await sealed.openResponse(exchange, answer.seal);
    const stream = opened.body === "records" && (await sealed.openStream(opened));
    const pieces = stream
      ? [...(await stream.push(answer.body)), ...(await stream.finish())]
      : [await sealed.openBody(opened, answer.body)];
    const answered = await new Blob(pieces).text();
    return { status: opened.status, headers: opened.headers, answered, kem: keys.kem };
  }
"""


def service(ring: KeyRing, *, streams: bool) -> Flask:
    """An application that answers hellos and sealed requests by the core of the protocol alone."""
    app = Flask("tests.protocol")
    modules = Path(flask_sealed.__file__).parent / "js"
    app.add_url_rule("/", "page", lambda: "<title>page</title>")
    app.add_url_rule("/js/<path:name>", "js", lambda name: send_from_directory(modules, name))

    @app.post("/sealed/session")
    def session() -> Response:
        hello = request.get_json()["hello"]
        settings: dict[str, Any] = {"issuer": BANK, "lifetime": 3600, "random": os.urandom}
        _, reply = answer_hello(hello, ring, now=NOW, **settings)
        return Response(json_encode({"session": reply}), mimetype="application/json")

    @app.post("/echo")
    def echo() -> Response:
        seal = RequestSeal(request.headers["Sealed"])
        exchange = seal.open(open_ticket(seal.kid, ring, audience=BANK, now=NOW).secret, BANK)
        content = exchange.request.open_body(request.get_data())
        response = messages.Response(status=303, content_type="text/plain", headers=MANY)
        if streams:
            made = exchange.seal_stream(response, random=os.urandom)
            body = made.head + made.records.seal(content) + made.records.finish()
            return Response(body, headers={"Sealed": made.seal})
        answer = exchange.seal(response, content, random=os.urandom, pad=True)
        return Response(answer.body, headers={"Sealed": answer.seal})

    return app


@pytest.mark.parametrize("curve", ["X25519", "P-256"])
@pytest.mark.parametrize("kem", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_exchange(serve: Serve, page: Page, curve: str, kem: bool, streams: bool) -> None:
    identity = Key(kid="id", purpose="identity", material=Ed25519PrivateKey.generate())
    ticket = Key(kid=b64u_encode(os.urandom(8)), purpose="ticket", material=os.urandom(32))
    ring = KeyRing().add(identity, activate=True).add(ticket, activate=True)
    page.goto(serve(service(ring, streams=streams)))
    kem = kem and page.evaluate(HAS_KEM)  # Older browsers have none.
    asked = {"audience": BANK, "pin": b64encode(identity.thumbprint).decode(), "now": NOW}
    done = page.evaluate(EXCHANGE, {**asked, "curve": curve, "kem": kem})
    assert (done["status"], done["answered"], done["kem"]) == (303, "Zoë", kem)
    assert done["headers"] == list(map(list, MANY))
