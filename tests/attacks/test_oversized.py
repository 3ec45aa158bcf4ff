"""More than a server can hold: bodies, records, seals, nested JSON.

Property: what nobody has authenticated costs the bank next to nothing, and what a client of it has
sealed costs no more than its limits say. The attacker is anyone who can reach the bank; in half of
the tests they have a session of their own. Answer: a limit stands before each parser, the seal is
opened before the body is read, and a record's length is judged before the record is kept.
"""

from __future__ import annotations

import json
import os

import pytest

from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.messages import Request

from .app import TWIN
from .conftest import TRANSFER, Bank, code
from .raw import CHUNKED, chunks, head, say

MIB = 1024 * 1024
UPLOAD = Request(method="POST", target="/upload", content_type="text/plain")
JSON = (("content-type", "application/json"),)
HUGE = "Content-Length: 99999999999"
#: By how many bytes a worker may grow for an envelope, and for records.
MOST = 48 * MIB
MOST_OF_RECORDS = 10 * MIB


def growth(bank: Bank, idle: dict[int, int]) -> int:
    """By how many bytes a worker was above its idle memory at the most."""
    return max(peak - idle[pid] for pid, peak in bank.server.peaks().items())


@pytest.fixture
def idle(bank: Bank) -> dict[int, int]:
    bank.caller().post("/transfer", json={})
    bank.server.reset_peaks()
    return bank.server.memory()


def test_a_body_that_nobody_sealed(bank: Bank) -> None:
    """The answer is there before a byte of it."""
    send = Send("POST", "/transfer", JSON)
    assert say(bank.server, head(send, HUGE)).statuses == [400]
    forged = Send("POST", "/transfer", (*JSON, ("sealed", b64u_encode(os.urandom(3000)))))
    assert say(bank.server, head(forged, HUGE)).statuses == [400]
    assert say(bank.server, head(forged, CHUNKED)).statuses == [400]


def test_a_body_that_its_seal_says_nothing_of(bank: Bank) -> None:
    """In a session of the attacker's own: a length is judged by what it says."""
    attempt = bank.caller().prepare(TRANSFER, b"{}")
    assert say(bank.server, head(attempt.send, HUGE)).statuses == [413]


def test_an_envelope_without_end(bank: Bank, idle: dict[int, int]) -> None:
    attempt = bank.caller().prepare(TRANSFER, b"{}")
    body = chunks(*[b"x" * MIB] * 24)
    assert say(bank.server, head(attempt.send, CHUNKED), body).statuses == [413]
    assert growth(bank, idle) < MOST


def record(size: int, content: bytes) -> bytes:
    """A record of so many bytes, as it says (RFC 9000, section 16)."""
    if size < 2**30:
        return (size | 2 << 30).to_bytes(4) + content
    return (size | 3 << 62).to_bytes(8) + content


@pytest.mark.parametrize("size", [65_553, 2**20, 2**30, 2**62 - 1])
def test_a_record_that_says_that_it_is_huge(bank: Bank, idle: dict[int, int], size: int) -> None:
    attempt = bank.caller().prepare(UPLOAD, stream=True)
    body = chunks(record(size, b"x" * MIB))
    assert say(bank.server, head(attempt.send, CHUNKED), body).statuses == [400]
    assert growth(bank, idle) < MOST_OF_RECORDS


def test_a_record_that_is(bank: Bank, idle: dict[int, int]) -> None:
    """Under a length that is allowed, nothing of which is authentic."""
    attempt = bank.caller().prepare(UPLOAD, stream=True)
    body = chunks(*[record(65_552, b"x" * 65_552) * 16] * 24)
    assert say(bank.server, head(attempt.send, CHUNKED), body).statuses == [400]
    assert growth(bank, idle) < MOST_OF_RECORDS


def test_a_final_record_without_end(bank: Bank, idle: dict[int, int]) -> None:
    """The one record that does not say how long it is."""
    attempt = bank.caller().prepare(UPLOAD, stream=True)
    body = chunks(b"\0", *[b"x" * MIB] * 24)
    assert say(bank.server, head(attempt.send, CHUNKED), body).statuses == [400]
    assert growth(bank, idle) < MOST_OF_RECORDS


@pytest.mark.parametrize("size", [6 * 1024 + 1, 7000, 8000])
def test_a_seal(bank: Bank, size: int) -> None:
    outer = bank.wire.send(Send("GET", "/statement", (("sealed", "a" * size),)))
    assert code(outer) in {"malformed", "too-large"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"hello":"' + b"a" * 16_400 + b'"}',
        b'{"hello":' + b"[" * 8000 + b"]" * 8000 + b"}",
        b'{"hello":' + b"9" * 15_000 + b"}",
        b'{"hello":"' + b"\\ud800" * 2000 + b'"}',
        b"{" + b",".join(b'"%d":0' % number for number in range(1500)) + b"}",
    ],
)
def test_a_hello(bank: Bank, body: bytes) -> None:
    outer = bank.plain().post("/sealed/session", data=body, headers=JSON)
    assert code(outer) in {"malformed", "too-large"}


def test_nested_json_in_a_seals_header(bank: Bank) -> None:
    """It is parsed before anything is authenticated."""
    header = b64u_encode(b'{"alg":' + b"[" * 2000 + b"]" * 2000 + b"}")
    seal = ".".join([header, "", b64u_encode(bytes(12)), "YQ", b64u_encode(bytes(16))])
    outer = bank.wire.send(Send("GET", "/statement", (("sealed", seal),)))
    assert code(outer) == "malformed"


def test_an_envelope_that_is_nested(bank: Bank) -> None:
    attempt = bank.caller().prepare(TRANSFER, b"{}")
    body = b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    said = say(bank.server, head(attempt.send, f"Content-Length: {len(body)}"), body)
    assert said.statuses == [400]


def test_control(bank: Bank, idle: dict[int, int]) -> None:
    """Unsealed, the bank holds what anyone sends."""
    send = Send("POST", f"{TWIN}/unpack", JSON)
    size = 64 * MIB
    body = bytes(size)
    assert say(bank.server, head(send, f"Content-Length: {size}"), body).statuses == [200]
    assert growth(bank, idle) > MOST
    assert bank.server.notes("unpacked") == [json.dumps(size)]
