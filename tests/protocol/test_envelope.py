from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed, Refusal, Refused, TooLarge
from flask_sealed.protocol import envelope

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "level3.json").read_text())
KEY = AESGCM(bytes.fromhex(VECTORS["key"]))
IV = bytes(range(12))


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_valid_vectors(vector: dict[str, str]) -> None:
    plaintext, aad = bytes.fromhex(vector["plaintext"]), vector["aad"].encode()
    sealed = vector["envelope"].encode()
    assert envelope.seal(KEY, plaintext, iv=bytes.fromhex(vector["iv"]), aad=aad) == sealed
    assert envelope.open_(KEY, sealed, aad=aad) == plaintext


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda vector: vector["name"])
def test_invalid_vectors(vector: dict[str, str]) -> None:
    with pytest.raises(Refusal) as caught:
        envelope.open_(KEY, vector["envelope"].encode(), aad=vector["aad"].encode())
    assert caught.value.code == vector["refusal"]


@given(st.binary(), st.binary(), st.binary(min_size=12, max_size=12), st.binary(min_size=32))
def test_round_trip(plaintext: bytes, aad: bytes, iv: bytes, key: bytes) -> None:
    aead = AESGCM(key[:32])
    sealed = envelope.seal(aead, plaintext, iv=iv, aad=aad)
    assert list(json.loads(sealed)) == ["data"]
    assert envelope.open_(aead, sealed, aad=aad) == plaintext


@pytest.mark.parametrize("size", [n + d for n in (48 * 1024, 96 * 1024) for d in range(-3, 4)])
def test_sizes_around_the_slices_of_large_messages(size: int) -> None:
    plaintext = os.urandom(size)
    sealed = envelope.seal(KEY, plaintext, iv=IV)
    raw = KEY.encrypt(IV, plaintext, None)
    expected = base64.b64encode(IV + raw[-16:] + raw[:-16])
    assert sealed == b'{"data":"' + expected + b'"}'
    assert envelope.open_(KEY, sealed) == plaintext


def test_the_json_may_have_white_space() -> None:
    compact = json.loads(envelope.seal(KEY, b"{}", iv=IV))
    for text in (
        json.dumps(compact),
        json.dumps(compact, indent=2),
        f"\r\n\t {json.dumps(compact)} ",
    ):
        assert envelope.open_(KEY, text.encode()) == b"{}"


@given(st.binary())
def test_arbitrary_bytes_raise_only_refusals(text: bytes) -> None:
    with pytest.raises(Refusal):
        envelope.open_(KEY, text)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_arbitrary_json_raises_only_refusals(value: Any) -> None:
    for document in (value, {"data": value}):
        with pytest.raises(Refusal):
            envelope.open_(KEY, json.dumps(document).encode())


def test_every_flipped_bit_of_the_sealed_bytes_is_refused_alike() -> None:
    raw = base64.b64decode(json.loads(envelope.seal(KEY, b'{"amount": 5}', iv=IV))["data"])
    for position in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(Refused, match="did not open") as caught:
            envelope.open_(KEY, b'{"data":"%b"}' % base64.b64encode(flipped))
        assert caught.value.__context__ is None


def test_every_changed_or_missing_character_is_refused() -> None:
    sealed = envelope.seal(KEY, b"{}", iv=IV)
    for position in range(len(sealed)):
        for replacement in (b"", b"?", b"A" if sealed[position] != ord("A") else b"B"):
            with pytest.raises(Refusal):
                envelope.open_(KEY, sealed[:position] + replacement + sealed[position + 1 :])


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[1:],
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw[:12] + raw[28:] + raw[12:28],  # the tag at the end
        lambda raw: raw[:12] + raw[12:24] + raw[28:],  # a tag of 12 bytes
        lambda raw: raw + raw,
    ],
)
def test_cut_grown_and_reordered_messages_are_refused(change: Callable[[bytes], bytes]) -> None:
    raw = base64.b64decode(json.loads(envelope.seal(KEY, b"x" * 40, iv=IV))["data"])
    with pytest.raises(Refused):
        envelope.open_(KEY, b'{"data":"%b"}' % base64.b64encode(change(raw)))


def test_another_key_and_other_associated_data_are_refused() -> None:
    sealed = envelope.seal(KEY, b"{}", iv=IV, aad=b"text/html")
    for key, aad in ((AESGCM(os.urandom(32)), b"text/html"), (KEY, b""), (KEY, b"text/htm")):
        with pytest.raises(Refused):
            envelope.open_(key, sealed, aad=aad)


@pytest.mark.parametrize("size", [0, 1, 27])
def test_what_has_no_room_for_iv_and_tag_is_malformed(size: int) -> None:
    with pytest.raises(Malformed):
        envelope.open_(KEY, b'{"data":"%b"}' % base64.b64encode(bytes(size)))
    with pytest.raises(Refused):
        envelope.open_(KEY, b'{"data":"%b"}' % base64.b64encode(bytes(28)))


def test_more_than_the_library_takes_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    assert envelope._MOST_CHARACTERS % 4 == 0
    assert envelope._MOST_CHARACTERS // 4 * 3 == 2**31 - 2
    monkeypatch.setattr(envelope, "_MOST_CHARACTERS", 40)
    longest = envelope.seal(KEY, b"xy", iv=IV)
    assert envelope.open_(KEY, longest) == b"xy"
    for size in (3, 1000):
        with pytest.raises(TooLarge):
            envelope.open_(KEY, envelope.seal(KEY, bytes(size), iv=IV))
    with pytest.raises(TooLarge):  # and not Malformed: none of it is decoded
        envelope.open_(KEY, b'{"data":"%b"}' % (b"?" * 41))


def test_backslashes_are_malformed_and_not_interpreted() -> None:
    with pytest.raises(Malformed):
        envelope.open_(KEY, rb'{"data":"\u0041AAA"}')
