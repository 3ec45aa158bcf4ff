"""Some seconds of load and faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from .run import soak
from .world import SEEN


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_nothing_happens_that_must_not(tmp_path: Path, store: str) -> None:
    record = soak(tmp_path, store=store, seconds=6, pause=0.3)
    outcomes = record.outcomes
    # All were at work, and there were faults that they noticed.
    for done in SEEN:
        assert outcomes[done] > 0, outcomes
    assert sum(outcomes.values()) > outcomes["transfer done"]
