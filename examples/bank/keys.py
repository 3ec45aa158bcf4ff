"""The bank's secrets: files that it makes once, which only its own user can read."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from flask import Flask


def provide(app: Flask) -> None:
    """Set the bank's secrets from files in the instance folder, where they are not set."""
    folder = Path(app.instance_path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for setting, name in (("SEALED_LEVEL3_KEY", "level3.key"), ("JWT_SECRET_KEY", "jwt.key")):
        if setting not in app.config:
            app.config[setting] = (
                make_once(folder / name, _write_secret).read_text("ascii").strip()
            )


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
