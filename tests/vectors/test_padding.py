from __future__ import annotations

from flask_sealed.protocol.exchange import padded_length

from .reading import Case, every, refused, run
from .roles import serve, take


def padme(case: Case) -> None:
    assert list(map(padded_length, case["lengths"])) == case["padded"]


def content(case: Case) -> bytes:
    return {"request": serve, "response": take}[case["half"]](case)


def opened(case: Case) -> None:
    assert content(case) == case.hex("content")
    assert case.hex("plaintext").find(case.hex("content")) >= 0


def is_refused(case: Case) -> None:
    with refused(case):
        content(case)


@every("padding", "valid")
def test_valid(case: Case) -> None:
    run(case, {"padme": padme, "opened": opened}[case["kind"]])


@every("padding", "invalid")
def test_invalid(case: Case) -> None:
    run(case, is_refused)
