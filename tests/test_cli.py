from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

import flask_sealed
from flask_sealed import sealed
from flask_sealed.cli import cli
from flask_sealed.keyfile import read_keyring
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.keys import KeyRing, level3_key

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


def flask(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "flask"), "sealed", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(flask_sealed.__file__).parents[1])}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_keygen_prints_a_new_key_each_time_and_needs_no_application(tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        done = flask(tmp_path, "keygen")
        assert "SEALED_LEVEL3_KEY" in done.stderr
        level3_key(done.stdout)
        keys.add(done.stdout)
    assert len(keys) == 2


def test_routes(shop: Flask) -> None:
    result = run(shop, "routes")
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines()]
    assert rows[0] == ["Rule", "Methods", "Endpoint", "Sealed", "Profile", "Demands"]
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
        "demands": [],
    } in rows


def test_routes_of_sessions_say_what_they_demand(make_session_app: MakeApp) -> None:
    app = make_session_app()
    app.add_url_rule("/pay", "pay", sealed(lambda: "x"), methods=["POST"])
    app.add_url_rule("/once", "once", sealed(once=True, pad=True)(lambda: "x"))
    app.add_url_rule("/kem", "kem", sealed(kem=True)(lambda: "x"))
    rows = [line.split() for line in run(app, "routes").output.splitlines()]
    assert ["/pay", "POST", "pay", "both", "session"] in rows
    assert ["/once", "GET,HEAD", "once", "both", "session", "once,pad"] in rows
    assert ["/kem", "GET,HEAD", "kem", "both", "session", "kem"] in rows
    assert ["/sealed/routes", "GET,HEAD", "flask_sealed.routes", "both", "session"] in rows
    assert ["/sealed/session", "POST", "flask_sealed.session", "no"] in rows
    listed = json.loads(run(app, "routes", "--json").output)
    assert {row["rule"]: row["demands"] for row in listed}["/once"] == ["once", "pad"]


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


def test_what_is_sealed_optionally_is_not_sealed(make_session_app: MakeApp) -> None:
    app = make_session_app()
    app.add_url_rule("/card", "card", sealed(mode="optional")(lambda: "x"))
    assert run(app, "routes", "--require", "/sealed/routes").exit_code == 0
    result = run(app, "routes", "--require", "/card")
    assert result.exit_code == 1
    assert "optional" in result.output


def test_routes_names_what_is_wrong(shop: Flask, make_app: MakeApp) -> None:
    result = run(Flask(__name__), "routes")
    assert result.exit_code == 1
    assert "no `Sealed(app)`" in result.output
    shop.add_url_rule("/own", "own", sealed(lambda: "x"), methods=["OPTIONS"])
    assert "'own' handles OPTIONS" in run(shop, "routes").output
    bare = make_app()
    bare.add_url_rule("/x", "x", sealed(profile="session")(lambda: "x"))
    result = run(bare, "routes")
    assert result.exit_code == 1
    assert "SEALED_KEYRING" in result.output


def test_keygen_makes_a_keyring_and_prints_its_pins(tmp_path: Path) -> None:
    done = flask(tmp_path, "keygen", "--keyring", "ring.json")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "ring.json"
    assert path.stat().st_mode & 0o777 == 0o600
    pins = read_keyring(path).pins(int(time.time()))
    assert done.stdout.split() == [b64u_encode(pin) for pin in pins]
    assert len(pins) == 2
    assert "SEALED_KEYRING" in done.stderr
    assert [*tmp_path.iterdir()] == [path]


def test_keygen_leaves_a_file_that_is_there_alone(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    for content in (b"", b"mine"):
        path.write_bytes(content)
        path.chmod(0o644)
        done = flask(tmp_path, "keygen", "--keyring", "ring.json")
        assert (done.returncode, done.stdout) == (1, "")
        assert "ring.json" in done.stderr
        assert "Traceback" not in done.stderr
        assert path.read_bytes() == content
    link = tmp_path / "link.json"
    link.symlink_to("nowhere.json")
    assert flask(tmp_path, "keygen", "--keyring", "link.json").returncode == 1
    assert link.is_symlink()
    assert not (tmp_path / "nowhere.json").exists()
    nowhere = flask(tmp_path, "keygen", "--keyring", "no/ring.json")
    assert (nowhere.returncode, "no/ring.json" in nowhere.stderr) == (1, True)


def test_pins(make_session_app: MakeApp, make_app: MakeApp, ring: KeyRing) -> None:
    result = run(make_session_app(), "pins")
    assert result.exit_code == 0
    assert result.output.split() == [b64u_encode(pin) for pin in ring.pins(int(time.time()))]
    for app in (make_app(), Flask(__name__)):
        result = run(app, "pins")
        assert (result.exit_code, "this application has no" in result.output) == (1, True)


def test_an_application_without_a_keyring_is_told_the_command(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from flask import Flask\nfrom flask_sealed import Sealed\napp = Flask('app')\n"
        "app.config.update(SEALED_AUDIENCE='bank', SEALED_KEYRING='ring.json')\nSealed(app)\n"
    )
    done = flask(tmp_path, "routes")
    assert done.returncode != 0
    command = re.search(r"`flask sealed (keygen --keyring .+?)`", done.stderr)
    assert command is not None
    (tmp_path / "instance").mkdir()
    assert flask(tmp_path, *shlex.split(command[1])).returncode == 0
    assert flask(tmp_path, "routes").returncode == 0


def test_the_command_is_found_by_flask(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from flask import Flask\nfrom flask_sealed import Sealed\napp = Flask('app')\n"
        f"app.config.update(SEALED_PROFILE='level3', SEALED_LEVEL3_KEY='{os.urandom(32).hex()}')\n"
        "Sealed(app)\n"
    )
    assert "/static/" in flask(tmp_path, "routes").stdout
