from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed
from flask_sealed.protocol.encoding import b64decode, b64encode


@given(st.binary())
def test_round_trip_is_the_standard_librarys(data: bytes) -> None:
    assert b64encode(data) == base64.b64encode(data)
    assert b64decode(base64.b64encode(data)) == data
    assert b64decode(memoryview(base64.b64encode(data))) == data


@pytest.mark.parametrize(
    "text",
    [
        b"QQ",
        b"QQ=",
        b"QR==",  # stray bits
        b"QUJ=",  # stray bits
        b"QUI==",
        b"=QQ=",
        b"QQ==QQ==",
        b"QQ==\n",
        b" QQ==",
        b"Q Q==",
        b"-_-_",
        b"QQ\x00=",
        b"====",
        b"A",
        "Ä===".encode(),
        b"\xff\xfe\xfd\xfc",
    ],
)
def test_only_the_canonical_form_is_decoded(text: bytes) -> None:
    with pytest.raises(Malformed):
        b64decode(text)


@given(st.binary())
def test_anything_is_canonical_or_malformed(text: bytes) -> None:
    try:
        decoded = b64decode(text)
    except Malformed:
        return
    assert base64.b64encode(decoded) == text
