from __future__ import annotations

import os
import re
import sys
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed, Refusal, Refused, TooLarge
from flask_sealed.protocol import records
from flask_sealed.protocol.records import (
    MOST_PLAINTEXT,
    RecordOpener,
    RecordSealer,
    decode_varint,
    encode_varint,
)

KEY = AESGCM(bytes(range(32)))
NONCE = bytes(range(12))
HEADER = "80010010"  # the varint of a full record
SENTENCE = re.compile(r"[A-Z][^A-Z]+\.")


def seal(*parts: bytes, final: bytes = b"") -> bytes:
    sealer = RecordSealer(KEY, NONCE)
    return b"".join(sealer.seal(part) for part in parts) + sealer.finish(final)


def open_in_steps(stream: bytes, step: int, length: int | None = None) -> bytes:
    opener = RecordOpener(KEY, NONCE, length=length)
    opened = [opener.feed(stream[at : at + step]) for at in range(0, len(stream), step)]
    return b"".join(opened) + opener.finish()


def open_(stream: bytes, *, length: int | None = None) -> bytes:
    """Open a stream whole, byte by byte and in other pieces: with one outcome."""
    steps = {max(1, len(stream)), 2, 5, 19, 20} | ({1} if len(stream) < 2000 else {10_007})
    outcomes: list[bytes | type[Refusal]] = []
    for step in steps:
        try:
            outcomes.append(open_in_steps(stream, step, length))
        except Refusal as refusal:
            outcomes.append(type(refusal))
    assert len(set(outcomes)) == 1
    if isinstance(outcomes[0], bytes):
        return outcomes[0]
    open_in_steps(stream, max(1, len(stream)), length)
    raise AssertionError


def encrypted(number: int, plaintext: bytes, aad: bytes = b"") -> bytes:
    """A record's ciphertext, made without the code that is tested."""
    nonce = bytes(a ^ b for a, b in zip(NONCE, number.to_bytes(12), strict=True))
    return KEY.encrypt(nonce, plaintext, aad)


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (1, "11"),
        (47, "3f"),
        (48, "4040"),
        (16_367, "7fff"),
        (16_368, "80004000"),
        (65_536, HEADER),
    ],
)
def test_the_format(size: int, header: str) -> None:
    sealer = RecordSealer(KEY, NONCE)
    for number in range(3):
        sealed = encrypted(number, bytes(size))
        assert sealer.seal(bytes(size)) == bytes.fromhex(header) + sealed
    assert sealer.finish(b"end") == b"\0" + encrypted(3, b"end", b"final")


def test_more_than_a_record_holds_becomes_several() -> None:
    plaintext = os.urandom(2 * MOST_PLAINTEXT + 5)
    sealer = RecordSealer(KEY, NONCE)
    pieces = (plaintext[:MOST_PLAINTEXT], plaintext[MOST_PLAINTEXT : 2 * MOST_PLAINTEXT])
    full = (bytes.fromhex(HEADER) + encrypted(n, piece) for n, piece in enumerate(pieces))
    assert sealer.seal(plaintext) == b"".join(full) + b"\x15" + encrypted(2, plaintext[-5:])


def test_nothing_makes_no_record() -> None:
    sealer = RecordSealer(KEY, NONCE)
    assert sealer.seal(b"") == b""
    assert sealer.finish() == b"\0" + encrypted(0, b"", b"final")


@given(st.lists(st.binary(max_size=300), max_size=6), st.binary(max_size=300), st.integers(1, 700))
def test_round_trip_in_pieces_of_any_size(parts: list[bytes], final: bytes, step: int) -> None:
    assert open_in_steps(seal(*parts, final=final), step) == b"".join(parts) + final


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=4), st.lists(st.integers(1, 60)))
def test_each_piece_gives_what_has_become_whole(parts: list[bytes], steps: list[int]) -> None:
    stream, opener = seal(*parts, final=b"end"), RecordOpener(KEY, NONCE)
    ends = list(accumulate(1 + len(part) + 16 for part in parts))
    opened, at = b"", 0
    for step in (*steps, len(stream)):
        opened += opener.feed(stream[at : at + step])
        at += step
        assert opened == b"".join(parts[: sum(end <= at for end in ends)])
    assert opener.finish() == b"end"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_sizes(size: int) -> None:
    plaintext = os.urandom(size)
    stream = seal(plaintext, final=plaintext[:MOST_PLAINTEXT])
    for step in (997, 65_535, 65_552, 65_556, 65_557, 500_000):
        assert open_in_steps(stream, step) == plaintext + plaintext[:MOST_PLAINTEXT]


def test_a_record_can_be_read_before_the_next_is_made() -> None:
    sealer, opener = RecordSealer(KEY, NONCE), RecordOpener(KEY, NONCE)
    for event in (b"first", b"second"):
        assert opener.feed(sealer.seal(event)) == event
    assert opener.feed(sealer.finish(b"last")) == b""
    assert opener.feed(b"") == b""
    assert opener.finish() == b"last"


def test_every_flipped_bit_is_refused() -> None:
    stream = seal(b"one", b"two", final=b"three")
    for position in range(len(stream) * 8):
        flipped = bytearray(stream)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(Refusal):
            open_(bytes(flipped))


def test_no_flipped_bit_gives_other_plaintext() -> None:
    stream = seal(b"one", b"two", final=b"three")
    for position in range(len(stream) * 8):
        flipped = bytearray(stream)
        flipped[position // 8] ^= 1 << position % 8
        opener, opened = RecordOpener(KEY, NONCE), b""
        with suppress(Refusal):
            for byte in flipped:
                opened += opener.feed(bytes([byte]))
        assert b"onetwo".startswith(opened)


def test_every_cut_is_an_error_and_no_short_success() -> None:
    stream = seal(b"one", b"two", final=b"three")
    for length in range(len(stream)):
        with pytest.raises(Refusal):
            open_(stream[:length])


@pytest.mark.parametrize("kept", [0, 1, 18, 20, 21, 41, 56])
def test_a_stream_without_its_final_record_is_malformed(kept: int) -> None:
    with pytest.raises(Malformed):
        open_(seal(b"one", b"two")[:kept])


@pytest.mark.parametrize("trailing", [b"\0", b"x", bytes(20), bytes(70_000)])
def test_what_follows_the_final_record_spoils_it(trailing: bytes) -> None:
    with pytest.raises(TooLarge if len(trailing) > MOST_PLAINTEXT else Refused):
        open_(seal(b"one", final=b"two") + trailing)


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


def test_another_key_and_another_base_nonce_are_refused() -> None:
    stream = seal(b"one")
    for key, nonce in ((AESGCM(bytes(32)), NONCE), (KEY, bytes(12))):
        with pytest.raises(Refused):
            RecordOpener(key, nonce).feed(stream)


@pytest.mark.parametrize("size", [0, 11, 13])
def test_a_base_nonce_has_12_bytes(size: int) -> None:
    for make in (RecordSealer, RecordOpener):
        with pytest.raises(ValueError, match="12 bytes"):
            make(KEY, bytes(size))


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [(b"\x11" + bytes(17), Refused), (b"\xff", TooLarge), (b"\x40\0", Malformed)],
)
def test_failures_stick(bad: bytes, refusal: type[Refusal]) -> None:
    opener = RecordOpener(KEY, NONCE)
    seen = []
    for data in (bad, seal(b"one"), b"", None, None, b"x"):
        with pytest.raises(refusal) as caught:
            opener.finish() if data is None else opener.feed(data)
        seen.append(caught.value)
    assert len({error.detail for error in seen}) == 1
    assert SENTENCE.fullmatch(seen[-1].detail)
    # One error that is raised again and again would grow, and keep what its frames know.
    assert len({id(error) for error in seen}) == len(seen)


def test_an_error_knows_no_plaintext_and_has_no_context() -> None:
    stream = seal(b"one", b"two")
    for bad in (b"\x11" + bytes(17), b"\x01", b"\xff"):
        opener = RecordOpener(KEY, NONCE)
        for _ in range(2):
            with pytest.raises(Refusal) as caught:
                opener.feed(stream[:40] + bad)
            assert caught.value.__context__ is None
            known = [
                repr(entry.frame.f_locals)
                for entry in caught.traceback
                if str(entry.path) == records.__file__
            ]
            assert known
            assert "one" not in "".join(known)


def test_nothing_is_kept_after_a_failure_or_after_the_end() -> None:
    full = seal(bytes(MOST_PLAINTEXT), final=bytes(MOST_PLAINTEXT))
    broken = full[:65_600] + b"x" + full[65_601:]
    for stream in (full, broken):
        opener = RecordOpener(KEY, NONCE)
        tracemalloc.start()
        try:
            for at in range(0, len(stream), 1000):
                opener.feed(stream[at : at + 1000])
            try:
                opener.finish()
            except Refused:
                assert stream is broken
            assert tracemalloc.get_traced_memory()[0] < 10_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("call", [RecordOpener.finish, lambda opener: opener.feed(b"x")])
def test_nothing_may_follow_the_end(call: Callable[[RecordOpener], bytes]) -> None:
    opener = RecordOpener(KEY, NONCE)
    opener.feed(seal(b"one"))
    opener.finish()
    for _ in range(2):
        with pytest.raises(Malformed) as caught:
            call(opener)
        assert SENTENCE.fullmatch(caught.value.detail)


@pytest.mark.parametrize("length", [1, 15, 16])
def test_a_record_without_plaintext_has_to_be_the_final_one(length: int) -> None:
    with pytest.raises(Malformed):
        RecordOpener(KEY, NONCE).feed(encode_varint(length))
    sealed = encrypted(0, b"")
    with pytest.raises(Malformed):
        open_(encode_varint(16) + sealed)


@pytest.mark.parametrize(
    "start",
    [encode_varint(MOST_PLAINTEXT + 17), encode_varint(2**30 - 1), b"\xc0", b"\xff" * 9],
)
def test_too_large_a_record_is_refused_before_anything_is_kept(start: bytes) -> None:
    with pytest.raises(TooLarge):
        RecordOpener(KEY, NONCE).feed(start)


def test_too_large_a_final_record_is_refused_before_it_is_kept() -> None:
    opener = RecordOpener(KEY, NONCE)
    opener.feed(b"\0" + bytes(65_552))
    with pytest.raises(TooLarge):
        opener.feed(b"x")
    with pytest.raises(TooLarge):
        RecordOpener(KEY, NONCE).feed(b"\0" + bytes(65_553))


PARTS = (b"one", b"two", b"three")


@pytest.mark.parametrize("count", range(4))
def test_a_stream_of_the_length_that_it_has_to_have(count: int) -> None:
    for final in (b"", b"end"):
        stream = seal(*PARTS[:count], final=final)
        plaintext = b"".join(PARTS[:count]) + final
        assert open_(stream, length=len(plaintext)) == plaintext
        for length in (*range(len(plaintext)), len(plaintext) + 1, 2**53 - 1):
            with pytest.raises(Refused):
                open_(stream, length=length)


def test_more_than_the_length_is_refused_as_soon_as_it_is_seen() -> None:
    stream = seal(b"one", b"two", final=b"end")
    for length, seen in ((2, 1), (5, 21), (8, 60)):
        opener = RecordOpener(KEY, NONCE, length=length)
        opener.feed(stream[: seen - 1])
        with pytest.raises(Refused):
            opener.feed(stream[seen - 1 : seen])


def test_less_than_the_length_is_refused_at_the_end_only() -> None:
    opener = RecordOpener(KEY, NONCE, length=7)
    assert opener.feed(seal(b"one", final=b"two")) == b"one"
    with pytest.raises(Refused):
        opener.finish()


def test_a_stream_has_2_to_the_32_records_at_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    four, three = seal(b"a", b"b", b"c", final=b"d"), seal(b"a", b"b", final=b"c")
    monkeypatch.setattr(records, "_MOST_RECORDS", 3)
    assert open_(three) == b"abc"
    with pytest.raises(TooLarge):
        open_(four)
    sealer = RecordSealer(KEY, NONCE)
    sealer.seal(b"a")
    sealer.seal(b"b")
    sealer.seal(b"c")
    for _ in range(2):
        with pytest.raises(TooLarge):
            sealer.seal(b"d")
    with pytest.raises(TooLarge):
        sealer.finish()


def test_threads_that_seal_at_once_share_no_nonce() -> None:
    sealer, sealed = RecordSealer(KEY, NONCE), []

    def work() -> None:
        for _ in range(300):
            try:
                sealed.append(sealer.seal(b"same"))
            except ValueError:  # another thread is at it
                continue

    threads = [threading.Thread(target=work) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(set(sealed)) == len(sealed) > 0


def test_memory_is_bounded() -> None:
    sealer, opener, opened = RecordSealer(KEY, NONCE), RecordOpener(KEY, NONCE), 0
    tracemalloc.start()
    try:
        for _ in range(64 * 16):  # 64 MiB
            record = sealer.seal(bytes(MOST_PLAINTEXT))
            for at in range(0, len(record), 16_384):
                opened += len(opener.feed(record[at : at + 16_384]))
        assert opened == 64 * 2**20
        assert tracemalloc.get_traced_memory()[1] < 8 * MOST_PLAINTEXT
    finally:
        tracemalloc.stop()


def test_many_small_pieces_take_no_memory_of_their_own() -> None:
    opener, stream = RecordOpener(KEY, NONCE), seal(bytes(MOST_PLAINTEXT))
    tracemalloc.start()
    try:
        for at in range(0, 60_000, 3):
            opener.feed(stream[at : at + 3])
        assert tracemalloc.get_traced_memory()[1] < 2 * MOST_PLAINTEXT + 20_000
    finally:
        tracemalloc.stop()


def test_a_finished_stream_takes_no_more() -> None:
    sealer = RecordSealer(KEY, NONCE)
    sealer.finish()
    with pytest.raises(ValueError, match="finished"):
        sealer.seal(b"x")
    with pytest.raises(ValueError, match="finished"):
        sealer.seal(b"")
    with pytest.raises(ValueError, match="finished"):
        sealer.finish()


def test_a_final_record_that_is_too_large_is_the_callers_mistake() -> None:
    sealer = RecordSealer(KEY, NONCE)
    with pytest.raises(ValueError, match="65536"):
        sealer.finish(bytes(MOST_PLAINTEXT + 1))
    assert open_(sealer.finish(bytes(MOST_PLAINTEXT))) == bytes(MOST_PLAINTEXT)


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
    ("value", "encoded"),
    # The examples of RFC 9000, section A.1, and the edges.
    [
        (494_878_333, "9d7f3e7d"),
        (15_293, "7bbd"),
        (37, "25"),
        (0, "00"),
        (63, "3f"),
        (64, "4040"),
        (16_383, "7fff"),
        (16_384, "80004000"),
        (2**30 - 1, "bfffffff"),
    ],
)
def test_known_varints(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded
    assert decode_varint(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


@pytest.mark.parametrize("encoded", ["4000", "4025", "403f", "80000001", "80003fff"])
def test_varints_are_as_short_as_can_be(encoded: str) -> None:
    with pytest.raises(Malformed):
        decode_varint(bytes.fromhex(encoded))


@pytest.mark.parametrize("encoded", ["c0", "c2197c5eff14e88c", "ff"])
def test_varints_of_8_bytes_are_too_large(encoded: str) -> None:
    with pytest.raises(TooLarge):
        decode_varint(bytes.fromhex(encoded))
