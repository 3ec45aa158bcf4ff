"""A Level 3 client as the article has it, written without the package under test."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask.testing import FlaskClient
from werkzeug.test import TestResponse


class Peer:
    """Holds the key; seals requests and opens responses.

    :param secret: the 32-byte key.
    """

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._key = AESGCM(secret)

    def seal(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        iv = os.urandom(12)
        sealed = self._key.encrypt(iv, plaintext, aad)
        data = base64.b64encode(iv + sealed[-16:] + sealed[:-16]).decode()
        return json.dumps({"data": data}).encode()

    def open(self, response: TestResponse) -> bytes:
        """The plaintext of a sealed response."""
        assert response.mimetype == "application/json"
        assert response.content_length == len(response.data)
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        return self.unseal(response.data, response.headers.get("Sealed-Content-Type", "").encode())

    def unseal(self, envelope: bytes, aad: bytes = b"") -> bytes:
        """The plaintext of an envelope."""
        body = json.loads(envelope)
        assert list(body) == ["data"]
        raw = base64.b64decode(body["data"], validate=True)
        return self._key.decrypt(raw[:12], raw[28:] + raw[12:28], aad)

    def json(self, response: TestResponse) -> Any:
        """The JSON value of a sealed response."""
        assert "Sealed-Content-Type" not in response.headers
        return json.loads(self.open(response))

    def send(
        self,
        client: FlaskClient,
        path: str,
        plaintext: bytes,
        *,
        content_type: str | None = None,
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> TestResponse:
        """Send a sealed request."""
        aad, extra = b"", dict(headers or {})
        if content_type is not None:
            aad = content_type.encode()
            extra["Sealed-Content-Type"] = content_type
        return client.open(
            path,
            method=method,
            data=self.seal(plaintext, aad),
            content_type="application/json",
            headers=extra,
        )


def problem(response: TestResponse) -> str:
    """The code of a refusal, whose form is checked."""
    assert response.mimetype == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    body = json.loads(response.data)
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == response.status_code
    prefix, _, code = body["type"].rpartition(":")
    assert prefix == "urn:flask-sealed"
    return str(code)
