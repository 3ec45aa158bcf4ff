from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed
from flask_sealed.protocol.encoding import (
    Members,
    b64decode,
    b64encode,
    b64u_decode,
    b64u_encode,
    json_decode,
    json_encode,
    lv,
)


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


@given(st.binary())
def test_base64url_is_the_standard_librarys_without_padding(data: bytes) -> None:
    text = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert b64u_encode(data) == text
    assert b64u_decode(text) == data


@pytest.mark.parametrize(
    "text",
    [
        "QQ==",
        "QUI=",
        "QUJD====",
        "QQ\0",
        "QR",
        "Q",
        "Q+",
        "Q/",
        "A+AA",
        "AA/A",
        "Q Q",
        "QQ\n",
        "Ä",
        "!!",
        "\ud800",
    ],
)
def test_only_the_canonical_form_of_base64url_is_decoded(text: str) -> None:
    with pytest.raises(Malformed):
        b64u_decode(text)


@given(st.text("AQgw-_+/=\n", max_size=9))
def test_base64url_has_one_form_for_each_value(text: str) -> None:
    standard = text.translate({ord("-"): "+", ord("_"): "/"}) + "=" * (-len(text) % 4)
    try:
        decoded = base64.b64decode(standard, validate=True)
    except ValueError:
        decoded = b""
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == text:
        assert b64u_decode(text) == decoded
    else:
        with pytest.raises(Malformed):
            b64u_decode(text)


def test_a_length_can_be_demanded() -> None:
    assert b64u_decode("AAAA", 3) == bytes(3)
    for length in (2, 4):
        with pytest.raises(Malformed):
            b64u_decode("AAAA", length)


def test_length_prefixes() -> None:
    assert lv(b"") == b"\0\0"
    assert lv(b"x" * 258) == b"\1\2" + b"x" * 258


def test_json_objects_are_closed_sets() -> None:
    members = Members({"a": int}, {"b": str})
    assert json_decode(b' {"a":1}\r\n\t', members) == {"a": 1}
    assert json_decode(json_encode({"a": 1, "b": "é"}), members) == {"a": 1, "b": "é"}
    assert json_decode(b'{"a":9007199254740991}', members) == {"a": 2**53 - 1}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[1]",
        b"null",
        b'{"a":"1"}',
        b'{"a":true}',
        b'{"a":1.0}',
        b'{"a":-1}',
        b'{"a":-0}',
        b'{"a":9007199254740992}',
        b'{"a":1,"b":null}',
        b'{"b":"x"}',
        b'{"a":1,"b":"\n"}',
        b'\xa0{"a":1}',
        b'{"a":1e3}',
        b'{"a":NaN}',
        b'{"a":1,"a":1}',
        b'{"a":1,"c":1}',
        b'{"a":1} x',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1,"b":"\xff"}',
        b'{"a":1,"b":"\\ud800"}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":' + b"1" * 5000 + b"}",
        b'{"a":' + b"[" * 50_000,
    ],
)
def test_other_json_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        json_decode(text, Members({"a": int}, {"b": str}))


def test_numbers_are_limited_everywhere() -> None:
    members = Members({"a": list})
    assert json_decode(b'{"a":[9007199254740991]}', members) == {"a": [2**53 - 1]}
    for number in (b"9007199254740992", b"-1", b"1" * 5000):
        with pytest.raises(Malformed):
            json_decode(b'{"a":[%b]}' % number, members)


@given(st.binary())
def test_arbitrary_bytes_are_json_or_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        json_decode(text, Members({"a": int}))
