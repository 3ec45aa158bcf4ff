"""Monitoring of every kind, installed one by one, keeps no plaintext of sealed views."""

from __future__ import annotations

from pathlib import Path

import pytest

from .callers import CALLERS, LEVEL3
from .drive import SITUATIONS, Captured, is_in
from .lab import LOG, PLACES, RUNS, Lab
from .sdks import REMEDIES, SDKS
from .table import table

PAGE = Path(__file__).parents[2] / "docs/leaks.rst"
# What no library can take away, and what the page says of it.
SAID = {"said": {"body"}}
QUOTED = {"quoted": {"body"}}
ASKED = {"asked": {"body"}}
TRACED = ASKED | {"stored": {"body"}}
STACK = {"body", "local"}
REMAINS: dict[str, dict[str, set[str]]] = {
    **dict.fromkeys(PLACES, SAID | QUOTED),
    "Sentry": SAID | QUOTED | ASKED,
    "Elastic APM": SAID | QUOTED | TRACED | {"caught": STACK, "logged": STACK},
    "ddtrace": QUOTED | TRACED | {"refused": {"answer"}},
    "Flask-DebugToolbar": SAID,
}
# Of a customer of the bank, likewise: what `abort` is told, and the variables of what runs while
# a statement of SQL does.
ABORTED = {"a wrong account"}
TOLD: dict[str, set[str]] = {
    "Elastic APM": ABORTED
    | {"a password", "the payer", "the payee", "a wrong name", "a document and its name"},
    "ddtrace": ABORTED,
    "ddtrace, Exception Replay off": ABORTED,
}
#: What Level 3 does not seal.
CLEAR = {"header", "query", "answer header"}

called_by = pytest.mark.parametrize("caller", CALLERS)
kept_by = pytest.mark.parametrize("place", PLACES)


def left(captured: Captured, place: str) -> dict[str, set[str]]:
    """The situations in which something was found there."""
    found = {situation: captured[place, situation] for situation in SITUATIONS}
    return {situation: fields for situation, fields in found.items() if fields}


@called_by
@kept_by
def test_sealed(lab: Lab, caller: str, place: str) -> None:
    assert left(lab.captured[caller, "kept"], place) == REMAINS[place]


@called_by
@kept_by
def test_with_exceptions_masked(lab: Lab, caller: str, place: str) -> None:
    """What the view says itself is left, and nothing else."""
    remains = {name: fields for name, fields in REMAINS[place].items() if name != "quoted"}
    assert left(lab.captured[caller, "masked"], place) == remains


@called_by
@kept_by
def test_level3(lab: Lab, caller: str, place: str) -> None:
    """Bodies as in sessions; headers and queries as without sealing."""
    unsealed = lab.captured[caller, "open"]
    for situation in SITUATIONS:
        found = lab.captured[caller, "level3"][place, situation]
        assert found - CLEAR == REMAINS[place].get(situation, set()), situation
        # A stream is read whole before it is answered, so one that fails is any failure.
        like = "crash" if situation == "broken" else situation
        assert found & CLEAR == unsealed[place, like] & CLEAR, situation


@pytest.mark.parametrize("remedy", REMEDIES)
def test_remedies(lab: Lab, remedy: str) -> None:
    said = {} if remedy.startswith("ddtrace") else SAID
    assert left(lab.captured["httpx", "masked"], remedy) == said | TRACED


@called_by
@kept_by
def test_control(lab: Lab, caller: str, place: str) -> None:
    """Unsealed, each of them keeps something."""
    assert left(lab.captured[caller, "open"], place)


@called_by
def test_every_field_is_found_somewhere(lab: Lab, caller: str) -> None:
    captured = lab.captured[caller, "open"]
    for situation in SITUATIONS:
        fields = set().union(*(captured[place, situation] for place in PLACES))
        assert {"header"} <= fields
        assert fields & {"body", "query"}


@pytest.mark.parametrize("run", RUNS, ids="-".join)
@pytest.mark.parametrize("sdk", SDKS)
def test_each_call_was_answered(lab: Lab, run: tuple[str, str], sdk: str) -> None:
    """What was never opened, or refused, would leave nothing either."""
    statuses = {one.situation: one.status for one in lab.sent[run, sdk]}
    failed = {"refused": 422, "crash": 500, "caught": 500, "quoted": 500}
    # Level 3 reads the whole of a stream before it answers.
    failed["broken"] = 500 if run[1] == "level3" else 0
    assert statuses == dict.fromkeys(SITUATIONS, 200) | failed
    silent = {one.situation for one in lab.sent[run, sdk] if not one.answered}
    assert silent == {"crash", "quoted", "broken"}


@called_by
@kept_by
def test_a_customer_of_the_bank(lab: Lab, caller: str, place: str) -> None:
    assert lab.told[caller, place] == TOLD.get(place, set())


@pytest.mark.parametrize("remedy", REMEDIES)
def test_remedies_in_the_bank(lab: Lab, remedy: str) -> None:
    assert lab.told["httpx", remedy] == TOLD.get(remedy, set())


@pytest.mark.parametrize("place", ["Sentry", "Elastic APM", "OpenTelemetry", "ddtrace", LOG])
def test_control_of_the_bank(lab: Lab, place: str) -> None:
    """Its sealed views are seen by all that write down each request."""
    assert b"/api/transfers" in lab.kept[place]


@kept_by
def test_the_key_of_level_3(lab: Lab, place: str) -> None:
    assert not is_in(LEVEL3.secret, lab.kept[place])
    assert not is_in(LEVEL3.secret.hex().encode(), lab.kept[place])


@called_by
@pytest.mark.parametrize("path", ["open", "kept", "masked", "level3"])
def test_the_page_says_so(lab: Lab, caller: str, path: str) -> None:
    made = table(lab.captured[caller, path])
    assert made in PAGE.read_text(), f"docs/leaks.rst needs this table:\n\n{made}\n"
