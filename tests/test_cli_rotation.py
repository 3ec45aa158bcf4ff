from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from flask_sealed import Sealed
from flask_sealed.cli import cli
from flask_sealed.keyfile import create_keyring, read_keyring, update_keyring
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.keys import CLOCKS, KeyRing

from .conftest import AUDIENCE, MakeApp
from .redis_server import standing
from .test_cli import flask

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ring.json"
    create_keyring(path)
    return path


@pytest.fixture
def run(path: Path) -> Run:
    app = Flask("app")
    app.config.update(SEALED_AUDIENCE=AUDIENCE, SEALED_KEYRING=path, SEALED_RELOAD=2)
    app.config.update(SEALED_SESSION_LIFETIME=120, SEALED_REPLAY_STORE="memory://")
    Sealed(app)
    return lambda *words: app.test_cli_runner().invoke(cli, words)


def tickets(ring: KeyRing) -> list[str]:
    return [key.kid for key in ring.keys if key.purpose == "ticket"]


def pins(path: Path) -> list[str]:
    return [b64u_encode(pin) for pin in read_keyring(path).pins(int(time.time()))]


def test_a_ticket_key_is_used_when_every_worker_of_the_application_has_it(
    run: Run, path: Path
) -> None:
    (first,) = tickets(read_keyring(path))
    before = time.time()
    result = run("rotate")
    assert (result.exit_code, result.stdout) == (0, "")
    ring = read_keyring(path)
    assert tickets(ring)[0] == first
    _, second = ring.order("ticket")
    assert before + 2 + 2 * CLOCKS <= second.nbf <= before + 2 + 2 * CLOCKS + 60
    # When the last ticket under it has expired, nobody needs the old one.
    assert ring.order("ticket")[0].exp == second.nbf + 120 + CLOCKS
    # A second time changes nothing until then.
    assert run("rotate").exit_code == 0
    assert tickets(read_keyring(path)) == tickets(ring)


def test_options_say_who_uses_a_file(path: Path, tmp_path: Path) -> None:
    now = time.time()
    done = flask(tmp_path, "rotate", "--keyring", "ring.json", "--reload", "300", "--clocks", "0")
    assert done.returncode == 0, done.stderr
    assert now + 300 <= read_keyring(path).order("ticket")[-1].nbf <= now + 360
    assert flask(tmp_path, "rotate", "--keyring", "no.json").returncode == 1
    assert flask(tmp_path, "rotate", "--reload", "-1").returncode == 2


def test_after_a_leak_all_ticket_keys_go(run: Run, path: Path) -> None:
    before = tickets(read_keyring(path))
    assert run("rotate", "--now").exit_code == 0
    ring = read_keyring(path)
    assert len(tickets(ring)) == 1
    assert not {*tickets(ring)} & {*before}
    assert ring.current("ticket", int(time.time())).exp is None


def test_the_identity_and_its_pins(run: Run, path: Path) -> None:
    active, backup = pins(path)
    result = run("rotate", "--identity")
    assert result.exit_code == 0
    assert result.stdout.split() == pins(path)
    assert pins(path)[0] == backup
    assert active not in pins(path)
    # Who pins the old one alone is still answered.
    assert active in {key.kid for key in read_keyring(path).keys}
    again = run("rotate", "--identity")
    assert again.exit_code == 1
    assert isinstance(again.exception, SystemExit)
    last = run("rotate", "--identity", "--now")
    assert last.exit_code == 0
    assert last.stdout.split() == pins(path)
    identities = {key.kid for key in read_keyring(path).keys if key.purpose == "identity"}
    assert identities == {*pins(path)}


def test_without_a_backup_there_is_no_rotation(run: Run, path: Path) -> None:
    from dataclasses import replace

    update_keyring(path, lambda ring: replace(ring, backup=None))
    for words in (["rotate", "--identity"], ["rotate", "--identity", "--now"]):
        result = run(*words)
        assert (result.exit_code, "backup" in result.stderr) == (1, True)


def test_a_copy_has_what_clients_know_and_no_ticket_key(
    run: Run, path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.json"
    assert run("save", str(copy)).exit_code == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert tickets(read_keyring(copy)) == []
    assert pins(copy) == pins(path)
    assert run("save", str(copy)).exit_code == 1
    assert run("save", str(tmp_path / "no" / "copy.json")).exit_code == 1
    # In the place of the file that was lost it gets a key that is in use at once.
    copy.replace(path)
    assert run("rotate").exit_code == 0
    read_keyring(path).current("ticket", int(time.time()))


def test_what_cannot_be_rotated(make_session_app: MakeApp, make_app: MakeApp) -> None:
    for app in (make_session_app(), make_app(), Flask("bare")):
        for words in (["rotate"], ["rotate", "--identity"], ["rotate", "--now"]):
            result = app.test_cli_runner().invoke(cli, words)
            assert result.exit_code == 1
            assert isinstance(result.exception, SystemExit)
    assert make_app().test_cli_runner().invoke(cli, ["save", "copy.json"]).exit_code == 1


def test_a_keyring_in_redis(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing() as server:
        settings = {
            "SEALED_KEYRING": server.uri,
            "SEALED_KEYRING_KEY": os.urandom(32).hex(),
            "SEALED_AUDIENCE": AUDIENCE,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "app.py").write_text(
            "import os\nfrom flask import Flask\nfrom flask_sealed import Sealed\n"
            "app = Flask('app')\n"
            "app.config.update({k: v for k, v in os.environ.items() if k[:7] == 'SEALED_'})\n"
            "app.config['SEALED_REPLAY_STORE'] = 'memory://'\nSealed(app)\n"
        )
        missing = flask(tmp_path, "pins")
        assert missing.returncode != 0
        assert "flask sealed restore" in missing.stderr
        done = flask(tmp_path, "restore", "ring.json")
        assert done.stdout.split() == pins(path), done.stderr
        assert flask(tmp_path, "pins").stdout == done.stdout
        assert flask(tmp_path, "rotate").returncode == 0
        rotated = flask(tmp_path, "rotate", "--identity")
        assert rotated.stdout.split()[0] == pins(path)[1], rotated.stderr
        assert flask(tmp_path, "save", "copy.json").returncode == 0
        assert pins(tmp_path / "copy.json") == rotated.stdout.split()
        for name, wrong in (
            ("SEALED_KEYRING", "ring.json"),
            ("SEALED_KEYRING_KEY", "hidden"),
            ("SEALED_KEYRING", "redis://u:hidden@127.0.0.1:1"),
        ):
            monkeypatch.setenv(name, wrong)
            failed = flask(tmp_path, "restore", "copy.json")
            assert failed.returncode == 1
            assert "Traceback" not in failed.stderr
            assert "hidden" not in failed.stderr
            monkeypatch.setenv(name, settings[name])
        monkeypatch.delenv("SEALED_KEYRING_KEY")
        assert flask(tmp_path, "restore", "copy.json").returncode == 1
