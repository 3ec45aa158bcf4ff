"""Every row of what must be rejected is shown: by vectors, or by tests that it names."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.docs.shown import marks

from .generate import FILES
from .reading import Case, load
from .rows import ROWS, Row

BOTH, SERVER, CLIENT = {"server", "client"}, {"server"}, {"client"}
# By the role of a case, its half, or its kind; by its file, where it has none of these.
_SIDES = (
    dict.fromkeys(("server", "request", "compared", "ticket"), SERVER)
    | dict.fromkeys(("client", "response"), CLIENT)
    | dict.fromkeys(("base64url", "base64", "json", "written", "records"), BOTH)
)


def sides(file: str, case: Case) -> set[str]:
    """Who opens a case."""
    said = (case.get(member) for member in ("role", "half", "kind"))
    return _SIDES[next(filter(None, said), file)]


VECTORS: defaultdict[str, list[tuple[str, Case]]] = defaultdict(list)
for file in sorted(FILES.keys() - {"level3"}):
    for case in load(file)["invalid"]:
        VECTORS[case["row"]].append((file, case))


def test_every_vector_has_a_row_that_there_is() -> None:
    assert VECTORS.keys() <= ROWS.keys()


@pytest.mark.parametrize(("name", "row"), ROWS.items(), ids=ROWS)
def test_every_row_is_shown(name: str, row: Row) -> None:
    """All who must refuse it have vectors, and nobody else; or there are none, and a test."""
    shown: set[str] = set().union(*(sides(*vector) for vector in VECTORS[name]))
    assert shown == row.who if shown else marks(row.fault)


@pytest.mark.parametrize(("name", "row"), ROWS.items(), ids=ROWS)
def test_every_vector_is_refused_as_its_row_says(name: str, row: Row) -> None:
    assert {case["refusal"] for _, case in VECTORS[name]} <= {row.refusal}
