"""The fixture in a project of its own, with pytest-flask and without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest
from flask import Flask
from flask_sealed import Sealed, sealed
from flask_sealed.testing import SealedClient

@pytest.fixture
def app(tmp_path):
    app = Flask("app", instance_path=str(tmp_path))
    app.config["TESTING"] = True
    Sealed(app)
    app.get("/card")(sealed(card))
    app.test_client_class = SealedClient
    return app

def card():
    return {"card": "4242"}

def test_the_fixture(sealed_client):
    assert sealed_client.get("/card").json == {"card": "4242"}
    sealed_client.assert_not_on_wire("4242")
"""
WITH_PYTEST_FLASK = """
def test_its_client(client):
    assert client.get("/card").json == {"card": "4242"}
    client.assert_not_on_wire("4242")
"""


@pytest.mark.parametrize("more", ["", WITH_PYTEST_FLASK], ids=["alone", "pytest-flask"])
def test_the_fixture(tmp_path: Path, more: str) -> None:
    (tmp_path / "test_it.py").write_text(TESTS + more)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [f"--rootdir={tmp_path}", *([] if more else ["-p", "no:flask"])]
    run = subprocess.run(
        [*command, str(tmp_path / "test_it.py")], cwd=ROOT, capture_output=True, check=False
    )
    assert run.returncode == 0, run.stdout.decode()
