"""What a user would write, run in an environment that has only the wheel."""

import base64
import json
import os
from importlib.metadata import files

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask

from flask_sealed import Sealed, sealed

app = Flask(__name__)
app.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=os.environ["SEALED_KEY"])
Sealed(app)


@app.get("/card")
@sealed
def card() -> dict[str, str]:
    return {"last4": "4242"}


def main() -> None:
    answer = app.test_client().get("/card").data
    raw = base64.b64decode(json.loads(answer)["data"])
    key = AESGCM(bytes.fromhex(os.environ["SEALED_KEY"]))
    assert b"4242" not in answer
    assert json.loads(key.decrypt(raw[:12], raw[28:] + raw[12:28], None)) == {"last4": "4242"}
    names = {str(file) for file in files("flask-sealed") or ()}
    assert "flask_sealed/py.typed" in names
    print("The wheel works in an empty environment.")


if __name__ == "__main__":
    main()
