"""The lab's own search finds markers as they are written."""

from __future__ import annotations

import base64
import os

import pytest

from .drive import condensed, is_in, new_marker


@pytest.mark.parametrize("ahead", range(6))
def test_a_marker_in_base64(ahead: int) -> None:
    for marker in (new_marker().encode(), b"40-2001"):
        text = base64.b64encode(os.urandom(ahead) + marker + os.urandom(5))
        assert is_in(marker, text)
        assert is_in(marker, b'{"a":"' + marker + b'"}')
        assert is_in(marker, marker.hex().encode())
        assert not is_in(marker, base64.b64encode(os.urandom(40)))


@pytest.mark.parametrize("ahead", range(6))
def test_what_is_condensed_has_all_markers(ahead: int) -> None:
    markers = [new_marker().encode() for _ in range(4)]
    text = base64.b64encode(os.urandom(ahead) + markers[0] + os.urandom(5))
    captured = b'{"a":"%b","b":"%b"} \n%b\t%b' % (text, markers[1].hex().encode(), *markers[2:])
    kept = condensed(captured * 100)
    assert len(kept) < len(captured)
    assert all(is_in(marker, kept) for marker in markers)
