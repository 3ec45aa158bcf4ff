"""Keys rotate under load, and no request is lost."""

from __future__ import annotations

from pathlib import Path

from ..benchmarks.rotation import run


def test_rotation_under_load(tmp_path: Path) -> None:
    rotated, leaked = run(tmp_path, seconds=3, workers=3, kind="gthread")
    assert rotated.failures == leaked.failures == {}
    assert rotated.requests > 20
    # Neither kind of rotation ends a session.
    assert {*rotated.handshakes.values()} == {1}
    # The first one, and one after all ticket keys were gone.
    assert {*leaked.handshakes.values()} == {2}
