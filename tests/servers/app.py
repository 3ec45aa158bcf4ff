"""The application that real servers serve in these tests.

It is configured by the environment, since it starts in processes of its own:
``SEALED_TEST_SETTINGS`` is the JSON text of its settings, ``SEALED_TEST_FOLDER`` a folder that it
shares with the test, ``SEALED_TEST_PLAIN`` leaves all sealing out, and with ``SEALED_TEST_HASTY``
stores are waited for no longer than in production.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, send_file, stream_with_context
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required

from flask_sealed import Sealed, sealed

from ..patience import wait_long

BLOCK = 64 * 1024
#: How long a view waits for the test, in seconds.
PATIENCE = 180
ANY = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]


def create_app() -> Flask:
    if "SEALED_TEST_HASTY" not in os.environ:
        wait_long()
    folder = Path(os.environ["SEALED_TEST_FOLDER"])
    app = Flask(__name__, instance_path=str(folder))
    # Paths reach the views as they came.
    app.url_map.merge_slashes = False
    app.config.update(JWT_SECRET_KEY="0f" * 32, TEST_FOLDER=folder)
    JWTManager(app)
    if "SEALED_TEST_PLAIN" in os.environ:
        add_views(app, lambda view: view)
    else:
        app.config.update(json.loads(os.environ.get("SEALED_TEST_SETTINGS", "{}")))
        Sealed(app)
        app.extensions["sealed"].clock = clock
        add_views(app, sealed)
    return app


def add_views(app: Flask, decorate: Callable[[Any], Any]) -> None:
    app.add_url_rule("/plain/ready", "ready", ready)
    if "SEALED_TEST_PLAIN" in os.environ:
        app.add_url_rule("/seal/<int:size>", "seal", seal)
    rules: list[tuple[str, Callable[..., Any], list[str]]] = [
        ("/echo", echo, ["POST", "PUT", "DELETE"]),
        ("/", what, ANY),
        ("/what", what, ANY),
        ("/what/<path:rest>", what, ANY),
        ("/login", login, ["POST"]),
        ("/me", me, ["GET", "POST"]),
        ("/transfer", transfer, ["POST"]),
        ("/held", held, ["POST"]),
        ("/pieces", pieces, ["GET"]),
        ("/events", events, ["GET"]),
        ("/broken", broken, ["GET"]),
        ("/download/<int:size>", download, ["GET"]),
        ("/file/<name>", file, ["GET"]),
        ("/upload", upload, ["POST", "PUT"]),
        ("/form", form, ["POST"]),
    ]
    for path, view, methods in rules:
        name = f"{view.__name__}:{path}".replace(".", "-")
        app.add_url_rule(path, name, decorate(view), methods=methods)


def clock() -> float:
    """The time, and the seconds that the test has set the clock forth."""
    path = Path(os.environ["SEALED_TEST_FOLDER"], "clock")
    return time.time() + (float(path.read_text() or 0) if path.exists() else 0)


def ready() -> str:
    """Not sealed: tells that the server is up."""
    return "ready"


def seal(size: int) -> Response:
    """An answer with a header as long as a seal."""
    return Response("{}", headers={"Sealed": "s" * size})


def echo() -> Any:
    return request.get_json()


def what(rest: str = "") -> dict[str, Any]:
    """What the application has understood."""
    return {
        "method": request.method,
        "script": request.script_root,
        "path": request.path,
        "query": request.query_string.decode("latin-1"),
        "args": request.args.to_dict(flat=False),
        "rest": rest,
    }


def login() -> dict[str, str]:
    return {"access_token": create_access_token(request.get_json()["user"])}


@jwt_required()
def me() -> dict[str, Any]:
    """The identity, and the JSON that came."""
    return {"user": get_jwt_identity(), "got": request.get_json(silent=True)}


def note(name: str, text: str) -> None:
    """Append to a file that the test reads, in one step."""
    path = Path(os.environ["SEALED_TEST_FOLDER"], name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{text}\n".encode())
    finally:
        os.close(descriptor)


def wait_for(name: str) -> None:
    """Wait until the test has made a file."""
    path = Path(os.environ["SEALED_TEST_FOLDER"], name)
    end = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(name)
        time.sleep(0.01)


def transfer() -> dict[str, str]:
    """Counts how often it ran."""
    note("transfers", json.dumps(request.get_json()))
    return {"state": "done"}


def held() -> dict[str, Any]:
    """Begins, and ends when the test says so."""
    note("transfers", json.dumps(request.get_json()))
    note("held", str(os.getpid()))
    wait_for("release")
    return {"state": "done"}


def produced(count: int) -> Iterator[int]:
    """Numbers, each as soon as the test has seen the one before."""
    for number in range(count):
        if number:
            wait_for(f"seen-{number - 1}")
        note("produced", str(number))
        yield number


def pieces() -> Response:
    count = int(request.args["count"])

    def generate() -> Iterator[str]:
        note("making", str(os.getpid()))
        for number in produced(count):
            yield f"{number} of {request.args['count']};"

    response = Response(stream_with_context(generate()), mimetype="text/plain")
    response.headers["X-Accel-Buffering"] = "no"  # else nginx waits for more
    return response


def events() -> Response:
    lines = (f"data: {number}\n\n" for number in produced(int(request.args["count"])))
    return Response(lines, mimetype="text/event-stream")


def broken() -> Response:
    def generate() -> Iterator[bytes]:
        yield b"x" * BLOCK
        raise RuntimeError("the view has failed halfway")

    return Response(generate(), mimetype="application/octet-stream")


def download(size: int) -> Response:
    """So many bytes."""
    block = bytes(range(256)) * (BLOCK // 256)

    def generate() -> Iterator[bytes]:
        for _ in range(size // BLOCK):
            yield block
        yield block[: size % BLOCK]

    return Response(generate(), mimetype="application/octet-stream")


def file(name: str) -> Response:
    return send_file(Path(os.environ["SEALED_TEST_FOLDER"], name), conditional=True)


def upload() -> dict[str, Any]:
    """Reads the body piece by piece."""
    digest, size = hashlib.sha256(), 0
    while piece := request.stream.read(BLOCK):
        digest.update(piece)
        size += len(piece)
    note("uploads", str(size))
    return {"sha256": digest.hexdigest(), "size": size}


def form() -> dict[str, Any]:
    sizes = {name: len(part.read()) for name, part in request.files.items()}
    note("uploads", json.dumps(sizes))
    return {"form": request.form.to_dict(), "files": sizes}
