from __future__ import annotations

from flask_sealed.protocol.messages import target

from .reading import Case, every, refused, run
from .roles import open_request


def resource(case: Case) -> str:
    """The path as WSGI's users know it: what is no UTF-8 is there as lone surrogates."""
    path = case.hex("path_bytes").decode(errors="surrogateescape") if "path_bytes" in case else ""
    query = case.hex("query_bytes") if "query_bytes" in case else case["query"].encode()
    return target(path or case["path"], query)


def written(case: Case) -> None:
    assert resource(case) == case["target"]


def compared(case: Case) -> None:
    open_request(case).check_target(case["method"], resource(case))


def unwritable(case: Case) -> None:
    with refused(case):
        resource(case)


def different(case: Case) -> None:
    exchange, routed = open_request(case), resource(case)
    with refused(case):
        exchange.check_target(case["method"], routed)


@every("target", "valid")
def test_valid(case: Case) -> None:
    run(case, {"written": written, "compared": compared}[case["kind"]])


@every("target", "invalid")
def test_invalid(case: Case) -> None:
    run(case, {"written": unwritable, "compared": different}[case["kind"]])
