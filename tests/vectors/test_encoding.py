from __future__ import annotations

from flask_sealed.protocol.encoding import (
    Members,
    b64decode,
    b64encode,
    b64u_decode,
    b64u_encode,
    json_decode,
    json_encode,
)

from .reading import Case, every, refused, run

TYPES = {"string": str, "integer": int, "array": list, "object": dict}


def members(case: Case) -> Members:
    required, optional = (
        {name: TYPES[kind] for name, kind in case[part].plain().items()}
        for part in ("required", "optional")
    )
    return Members(required, optional)


def encoded(case: Case) -> bytes:
    return case.hex("encoded") if "encoded" in case else case["text"].encode()


def base64url(case: Case) -> None:
    assert b64u_decode(case["text"], case.get("length")) == case.hex("bytes")
    assert b64u_encode(case.hex("bytes")) == case["text"]


def base64(case: Case) -> None:
    assert b64decode(case["text"].encode()) == case.hex("bytes")
    assert b64encode(case.hex("bytes")).decode() == case["text"]


def json(case: Case) -> None:
    value = json_decode(encoded(case), members(case))
    assert value == case["value"].plain()
    assert json_decode(json_encode(value), members(case)) == value


def no_base64url(case: Case) -> None:
    with refused(case):
        b64u_decode(case["text"], case.get("length"))


def no_base64(case: Case) -> None:
    with refused(case):
        b64decode(case["text"].encode())


def no_json(case: Case) -> None:
    with refused(case):
        json_decode(encoded(case), members(case))


@every("encoding", "valid")
def test_valid(case: Case) -> None:
    run(case, {"base64url": base64url, "base64": base64, "json": json}[case["kind"]])


@every("encoding", "invalid")
def test_invalid(case: Case) -> None:
    run(case, {"base64url": no_base64url, "base64": no_base64, "json": no_json}[case["kind"]])
