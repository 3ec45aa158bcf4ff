from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from flask_jwt_extended import JWTManager

from flask_sealed.cli import cli
from flask_sealed.protocol.revocation import LASTS, SESSION_LASTS, Revocation
from flask_sealed.stores import open_revocations

from .conftest import AUDIENCE, MakeApp

FILE = "sqlite:///replay.db"


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(cli, ["revoke", *words])


@pytest.fixture
def bank(make_session_app: MakeApp, tmp_path: Path) -> Flask:
    app = make_session_app(SEALED_REPLAY_STORE=f"sqlite:///{tmp_path}/replay.db")
    app.config["JWT_SECRET_KEY"] = "0f" * 32
    JWTManager(app)
    return app


def kept(folder: Path) -> list[Revocation]:
    return [one for _, one in open_revocations(FILE, folder=folder, name=AUDIENCE).since(0)]


def test_everything_at_once(bank: Flask, tmp_path: Path) -> None:
    result = run(bank, "--session", "s", "--key", "k", "--user", "u")
    assert (result.exit_code, result.stdout) == (0, "")
    lasts = {(one.kind, one.name): one.exp - one.at for one in kept(tmp_path)}
    assert lasts == {("session", "s"): SESSION_LASTS, ("key", "k"): LASTS, ("user", "u"): LASTS}
    assert run(bank, "--key", "k2", "--days", "0.5").exit_code == 0
    (last,) = [one for one in kept(tmp_path) if one.name == "k2"]
    assert last.exp - last.at == 12 * 3600


def test_what_cannot_be_revoked(
    bank: Flask, tmp_path: Path, make_app: MakeApp, make_session_app: MakeApp
) -> None:
    for words in ([], ["--user", ""], ["--key", "x" * 2000]):
        result = run(bank, *words)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
    assert run(bank, "--key", "k", "--days", "0").exit_code == 2
    assert kept(tmp_path) == []
    for other in (Flask("bare"), make_app(), make_session_app()):
        assert run(other, "--key", "k").exit_code == 1
    without = make_session_app(SEALED_REPLAY_STORE=f"sqlite:///{tmp_path}/replay.db")
    assert run(without, "--user", "ada").exit_code == 1
    assert run(without, "--key", "k").exit_code == 0


def test_a_store_that_cannot_keep_it(bank: Flask, tmp_path: Path) -> None:
    (tmp_path / "replay-revoked.db").write_bytes(b"another program's")
    result = run(bank, "--key", "k")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
