"""What a browser writes down on its own disk: its profile, with cache, history and storage."""

from __future__ import annotations

import pytest

from .drive import SITUATIONS, condensed
from .lab import Lab
from .sdks import SDKS


def left(lab: Lab, path: str) -> dict[str, set[str]]:
    """The situations in which something was found there."""
    kept = condensed(lab.profile)
    found: dict[str, set[str]] = {situation: set() for situation in SITUATIONS}
    for sdk in SDKS:
        for one in lab.sent[("browser", path), sdk]:
            found[one.situation] |= one.found(kept)
    return {situation: fields for situation, fields in found.items() if fields}


@pytest.mark.parametrize("path", ["kept", "masked", "level3"])
def test_sealed(lab: Lab, path: str) -> None:
    """No answer is kept in the cache, nor the URL with its query."""
    assert left(lab, path) == {}


def test_control(lab: Lab) -> None:
    """Answers to GET are kept where nothing seals them."""
    assert left(lab, "open") == {"query": {"query", "answer", "answer header"}}
