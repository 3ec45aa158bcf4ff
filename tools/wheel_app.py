"""What a user would write; run where only the wheel is, and type-checked there."""

import base64
import json
import os
from importlib.metadata import files

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, request

from flask_sealed import Sealed, current, sealed
from flask_sealed.testing import SealedClient


def make_app(**settings: str) -> Flask:
    app = Flask(__name__)
    app.testing = True
    app.config.update(settings)
    app.test_client_class = SealedClient
    Sealed(app)

    @app.route("/card", methods=["GET", "POST"])
    @sealed
    def card() -> dict[str, str | None]:
        if request.method == "POST":
            return {"last4": request.get_json()["last4"], "profile": current.profile}
        return {"last4": "4242"}

    return app


def check_sessions() -> None:
    client = make_app().test_client()
    answer = client.post("/card", json={"last4": "4242"})
    assert answer.json == {"last4": "4242", "profile": "session"}, answer.data


def check_level3() -> None:
    key = os.environ["SEALED_KEY"]
    app = make_app(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=key)
    app.test_client_class = None
    answer = app.test_client().get("/card").data
    raw = base64.b64decode(json.loads(answer)["data"])
    cipher = AESGCM(bytes.fromhex(key))
    assert b"4242" not in answer
    assert json.loads(cipher.decrypt(raw[:12], raw[28:] + raw[12:28], None)) == {"last4": "4242"}


def check_files() -> None:
    names = {str(file) for file in files("flask-sealed") or ()}
    assert {"flask_sealed/py.typed", "flask_sealed/js/sealed.js"} <= names


if __name__ == "__main__":
    check_sessions()
    check_level3()
    check_files()
    print("The wheel works in an empty environment.")
