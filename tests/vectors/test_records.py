from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flask_sealed.protocol.records import RecordOpener, RecordSealer

from .reading import Case, every, refused, run


def feed(case: Case, data: bytes, sizes: Sequence[int]) -> bytes:
    """Open a stream that comes in pieces, the rest of it in one."""
    key, nonce = AESGCM(case.hex("key")), case.hex("base_nonce")
    opener = RecordOpener(key, nonce, length=case.get("length"))
    plaintext, start = b"", 0
    for size in (*sizes, len(data)):
        plaintext += opener.feed(data[start : start + size])
        start += size
    return plaintext + opener.finish()


def ways(case: Case, data: bytes) -> list[Sequence[int]]:
    """How a stream may come: whole, as the case hints at, byte by byte."""
    byte_by_byte = [1] * min(len(data), 2000)
    return [[], case.get("pieces", []), byte_by_byte]


def opens(case: Case) -> None:
    key, nonce = AESGCM(case.hex("key")), case.hex("base_nonce")
    records = [bytes.fromhex(record) for record in case["records"]]
    sealer = RecordSealer(key, nonce)
    stream = b"".join(map(sealer.seal, records[:-1])) + sealer.finish(records[-1])
    if "stream" in case:
        assert stream == case.hex("stream")
        check_parts(key, case, records)
    else:
        assert hashlib.sha256(stream).hexdigest() == case["stream_sha256"]
    for sizes in ways(case, stream):
        assert feed(case, stream, sizes) == b"".join(records)


def check_parts(key: AESGCM, case: Case, records: list[bytes]) -> None:
    stream = case.hex("stream")
    for number, plaintext in enumerate(records):
        nonce, ciphertext = (
            bytes.fromhex(case[name][number]) for name in ("nonces", "ciphertexts")
        )
        aad = b"final" if number == len(records) - 1 else b""
        assert key.decrypt(nonce, ciphertext, aad) == plaintext
        assert ciphertext in stream


def is_refused(case: Case) -> None:
    stream = case.hex("stream")
    for sizes in ways(case, stream):
        with refused(case):
            feed(case, stream, sizes)


@every("records", "valid")
def test_valid(case: Case) -> None:
    run(case, opens)


@every("records", "invalid")
def test_invalid(case: Case) -> None:
    run(case, is_refused)
