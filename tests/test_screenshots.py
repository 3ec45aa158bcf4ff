"""The pictures that README.rst and docs/ show."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PAGES = (REPOSITORY / "README.rst", REPOSITORY / "docs" / "bank.rst")


def test_every_picture_is_shown_small_and_told_in_words() -> None:
    pictures = set((REPOSITORY / "docs" / "_static").glob("bank*.png"))
    shown: set[Path] = set()
    for page in PAGES:
        text = page.read_text("utf-8")
        for image in re.findall(r"\.\. (?:image|figure):: (\S+\.png)\n((?:    .*\n)+)", text):
            assert ":alt: " in image[1]
            shown.add((page.parent / image[0]).resolve())
    assert shown == pictures
    assert all(picture.stat().st_size <= 200_000 for picture in pictures)
