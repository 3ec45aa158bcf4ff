from __future__ import annotations

import os
import tracemalloc

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed, Refusal, Refused, TooLarge
from flask_sealed.protocol.records import (
    MOST_PLAINTEXT,
    RecordOpener,
    RecordSealer,
    decode_varint,
    encode_varint,
)

KEY = AESGCM(bytes(range(32)))
NONCE = bytes(range(12))


def seal(*parts: bytes, final: bytes = b"") -> bytes:
    sealer = RecordSealer(KEY, NONCE)
    return b"".join(sealer.seal(part) for part in parts) + sealer.finish(final)


def open_(stream: bytes, step: int = 0) -> bytes:
    opener = RecordOpener(KEY, NONCE)
    step = step or max(1, len(stream))
    opened = [opener.feed(stream[at : at + step]) for at in range(0, len(stream), step)]
    return b"".join(opened) + opener.finish()


@given(st.lists(st.binary(max_size=300), max_size=6), st.binary(max_size=300), st.integers(1, 700))
def test_round_trip_in_pieces_of_any_size(parts: list[bytes], final: bytes, step: int) -> None:
    assert open_(seal(*parts, final=final), step) == b"".join(parts) + final


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("step", [0, 997, 65_552, 65_556])
def test_sizes(size: int, step: int) -> None:
    plaintext = os.urandom(size)
    assert open_(seal(plaintext, final=b"end"), step) == plaintext + b"end"


def test_a_record_can_be_read_before_the_next_is_made() -> None:
    sealer, opener = RecordSealer(KEY, NONCE), RecordOpener(KEY, NONCE)
    for event in (b"first", b"second"):
        assert opener.feed(sealer.seal(event)) == event
    assert opener.feed(sealer.finish(b"last")) == b""
    assert opener.finish() == b"last"


def test_every_flipped_bit_is_refused() -> None:
    stream = seal(b"one", b"two", final=b"three")
    for position in range(len(stream) * 8):
        flipped = bytearray(stream)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(Refusal):
            open_(bytes(flipped))


def test_every_cut_is_an_error_and_no_short_success() -> None:
    stream = seal(b"one", b"two", final=b"three")
    for length in range(len(stream)):
        with pytest.raises(Refusal):
            open_(stream[:length])


def test_records_that_are_swapped_repeated_or_lost_are_refused() -> None:
    sealer = RecordSealer(KEY, NONCE)
    one, two, end = sealer.seal(b"one"), sealer.seal(b"two"), sealer.finish()
    for stream in (two + one + end, one + one + end, one + end, two + end, end, one + two + two):
        with pytest.raises(Refusal):
            open_(stream)


def test_a_record_is_no_final_record_and_a_final_record_no_record() -> None:
    record = RecordSealer(KEY, NONCE).seal(b"one")
    with pytest.raises(Refused):
        open_(b"\0" + record[1:])
    final = RecordSealer(KEY, NONCE).finish(b"one")[1:]
    opener = RecordOpener(KEY, NONCE)
    with pytest.raises(Refused):
        opener.feed(encode_varint(len(final)) + final)


def test_failures_stick() -> None:
    opener = RecordOpener(KEY, NONCE)
    good = seal(b"one")
    with pytest.raises(Refused):
        opener.feed(b"\x11" + bytes(17))
    with pytest.raises(Refused):
        opener.feed(good)
    with pytest.raises(Refused):
        opener.finish()


def test_nothing_may_follow_the_end() -> None:
    opener = RecordOpener(KEY, NONCE)
    opener.feed(seal(b"one"))
    opener.finish()
    with pytest.raises(Malformed):
        opener.finish()
    opener = RecordOpener(KEY, NONCE)
    opener.feed(seal(b"one"))
    opener.finish()
    with pytest.raises(Malformed):
        opener.feed(b"x")


def test_lengths_that_cannot_be_are_refused_before_anything_is_kept() -> None:
    for length in (1, 16, MOST_PLAINTEXT + 17, 2**30 - 1):
        with pytest.raises(TooLarge):
            RecordOpener(KEY, NONCE).feed(encode_varint(length))
    opener = RecordOpener(KEY, NONCE)
    opener.feed(b"\0")
    for _ in range(16):
        opener.feed(bytes(4096))
    with pytest.raises(TooLarge):
        opener.feed(bytes(4096))


def test_memory_is_bounded() -> None:
    sealer, opener = RecordSealer(KEY, NONCE), RecordOpener(KEY, NONCE)
    tracemalloc.start()
    try:
        for _ in range(200):
            stream = sealer.seal(bytes(MOST_PLAINTEXT))
            for at in range(0, len(stream), 10_000):
                opener.feed(stream[at : at + 10_000])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_finished_stream_takes_no_more() -> None:
    sealer = RecordSealer(KEY, NONCE)
    sealer.finish()
    with pytest.raises(ValueError, match="finished"):
        sealer.seal(b"x")
    with pytest.raises(ValueError, match="finished"):
        sealer.finish()
    with pytest.raises(ValueError, match="65536"):
        RecordSealer(KEY, NONCE).finish(bytes(MOST_PLAINTEXT + 1))


@given(st.binary())
def test_arbitrary_bytes_raise_only_refusals(stream: bytes) -> None:
    with pytest.raises(Refusal):
        open_(stream)


@given(st.integers(0, 2**30 - 1))
def test_varints(value: int) -> None:
    encoded = encode_varint(value)
    assert decode_varint(encoded + b"x") == (value, len(encoded))
    assert all(decode_varint(encoded[:length]) is None for length in range(len(encoded)))


@pytest.mark.parametrize(
    "encoded", [b"\x40\x01", b"\x80\0\0\x01", b"\x80\0\x3f\xff", b"\xc0" + bytes(7)]
)
def test_varints_are_as_short_as_can_be(encoded: bytes) -> None:
    with pytest.raises(Malformed):
        decode_varint(encoded)
