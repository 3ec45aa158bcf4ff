"""The bank's secrets: files that it makes once, which only its own user can read.

A demonstration starts without any command. A real bank makes its keyring once, with ``flask sealed
keygen --keyring``, and hands it to its servers.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from flask import Flask

from flask_sealed.keyfile import create_keyring
from flask_sealed.stores.sqlite import SqliteStore


def provide(app: Flask) -> None:
    """Set the bank's secrets from files in the instance folder, where they are not set."""
    folder = Path(app.instance_path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if "JWT_SECRET_KEY" not in app.config:
        path = make_once(folder / "jwt.key", _write_secret)
        app.config["JWT_SECRET_KEY"] = path.read_text("ascii").strip()
    if "SEALED_KEYRING" not in app.config:
        keyring, operations = folder / "keyring.json", folder / "operations.sqlite3"
        if not keyring.exists():
            # A store that has just begun refuses transfers for two minutes, since it cannot know
            # what was done before. Before there were keys, nothing was.
            SqliteStore(operations, clock=lambda: 0).check()
        create_keyring(keyring)
        app.config["SEALED_KEYRING"] = keyring
        app.config["SEALED_REPLAY_STORE"] = f"sqlite:///{operations}"


def make_once(path: Path, write: Callable[[Path], None]) -> Path:
    """Make a file with mode 0600, unless it is there.

    Several processes may start at once: each writes a file of its own, and the link, which never
    replaces anything, decides which one counts. So nobody ever reads a file that is half written.

    :param write: fills the file at the path that it is given.
    :returns: the path.
    """
    if path.exists():
        return path
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600, O_EXCL
    os.close(handle)
    try:
        write(Path(name))
        os.link(name, path)
    except FileExistsError:
        pass  # Another process was faster, and its file is whole.
    finally:
        os.unlink(name)
    return path


def _write_secret(path: Path) -> None:
    path.write_text(secrets.token_hex(32) + "\n", "ascii")
