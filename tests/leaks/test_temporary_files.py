"""Files of forms that came sealed: Werkzeug puts large ones, opened, into the temporary folder.

The documentation says so, and what to do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from flask import request

from flask_sealed import sealed
from flask_sealed.testing import sealed_client

from ..conftest import MakeApp
from .drive import new_marker


@pytest.mark.parametrize(("size", "is_kept"), [(400_000, False), (600_000, True)])
def test_files_of_forms(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_session_app: MakeApp,
    size: int,
    is_kept: bool,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    app = make_session_app()
    seen: list[bool] = []

    @app.post("/upload")
    @sealed
    def upload() -> str:
        marker = request.files["file"].read(20)
        seen.extend(marker in content for content in opened_in(tmp_path))
        return "kept"

    files = {"file": ("card.txt", new_marker().encode() * (size // 20))}
    form = httpx.Request("POST", "http://bank.example", files=files)
    kind = form.headers["content-type"]
    answer = sealed_client(app).post("/upload", data=form.read(), content_type=kind)
    assert answer.text == "kept"
    assert seen == [True] * is_kept


def opened_in(folder: Path) -> Iterator[bytes]:
    """What is in the files of a folder that this process has open. They have no names."""
    for descriptor in os.listdir("/proc/self/fd"):
        path = Path("/proc/self/fd", descriptor)
        with suppress(FileNotFoundError):  # that of the list itself
            if path.readlink().is_relative_to(folder):
                yield path.read_bytes()
