from __future__ import annotations

import json

from .generate import FOLDER, level3


def test_the_vectors_are_the_generators() -> None:
    assert json.loads((FOLDER / "level3.json").read_text(encoding="utf-8")) == level3()
