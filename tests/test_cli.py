from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from flask_sealed import ConfigError, sealed
from flask_sealed.cli import cli
from flask_sealed.protocol.keys import level3_key

from .conftest import MakeApp

Run = Callable[..., Result]


@pytest.fixture
def shop(make_app: MakeApp) -> Flask:
    app = make_app()
    app.add_url_rule("/api/cards", "cards", sealed(lambda: "x"), methods=["GET", "POST"])
    app.add_url_rule("/api/pay", "pay", sealed(response=False)(lambda: "x"), methods=["POST"])
    app.add_url_rule("/api/old", "old", sealed(request=False)(lambda: "x"), methods=["POST"])
    app.add_url_rule("/rates", "rates", lambda: "x")
    return app


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(cli, arguments)


def test_keygen_prints_a_new_key_each_time_and_needs_no_application(tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        command = [str(Path(sys.executable).parent / "flask"), "sealed", "keygen"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "SEALED_LEVEL3_KEY" in done.stderr
        level3_key(done.stdout)
        keys.add(done.stdout)
    assert len(keys) == 2


def test_routes(shop: Flask) -> None:
    result = run(shop, "routes")
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines()]
    assert rows[0] == ["Rule", "Methods", "Endpoint", "Sealed", "Profile"]
    assert ["/api/cards", "GET,HEAD,POST", "cards", "both", "level3"] in rows
    assert ["/api/pay", "POST", "pay", "request", "level3"] in rows
    assert ["/api/old", "POST", "old", "response", "level3"] in rows
    assert ["/rates", "GET,HEAD", "rates", "no"] in rows


def test_routes_as_json(shop: Flask) -> None:
    rows = json.loads(run(shop, "routes", "--json").output)
    assert {
        "rule": "/api/cards",
        "methods": ["GET", "HEAD", "POST"],
        "endpoint": "cards",
        "sealed": "both",
        "profile": "level3",
    } in rows


@pytest.mark.parametrize(
    ("patterns", "code", "message"),
    [
        (["/api/*"], 0, ""),
        (["cards", "pay"], 0, ""),
        (["/*"], 1, "--require /*: GET,HEAD /rates is not sealed"),
        (["/api/*", "rates"], 1, "--require rates: GET,HEAD /rates is not sealed"),
        (["/apis/*"], 1, "--require /apis/*: no route matches"),
    ],
)
def test_routes_require(shop: Flask, patterns: list[str], code: int, message: str) -> None:
    options = [word for pattern in patterns for word in ("--require", pattern)]
    result = run(shop, "routes", *options)
    assert result.exit_code == code
    assert message in result.output


def test_routes_names_what_is_wrong(shop: Flask, make_app: MakeApp) -> None:
    result = run(Flask(__name__), "routes")
    assert result.exit_code == 1
    assert "no `Sealed(app)`" in result.output
    shop.add_url_rule("/own", "own", sealed(lambda: "x"), methods=["OPTIONS"])
    assert "'own' handles OPTIONS" in run(shop, "routes").output
    bare = make_app(SEALED_PROFILE=None)
    bare.add_url_rule("/x", "x", sealed(lambda: "x"))
    assert "has no profile" in run(bare, "routes").output


def test_the_command_is_found_by_flask(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from flask import Flask\nfrom flask_sealed import Sealed\napp = Flask('app')\n"
        f"app.config.update(SEALED_PROFILE='level3', SEALED_LEVEL3_KEY='{os.urandom(32).hex()}')\n"
        "Sealed(app)\n"
    )
    command = [str(Path(sys.executable).parent / "flask"), "sealed", "routes"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "/static/" in done.stdout


def test_a_config_error_is_a_sealed_error() -> None:
    assert issubclass(ConfigError, Exception)
