"""The fuzzer's target for a second, without its guide: :mod:`tests.fuzz`."""

from __future__ import annotations

import random
import time

import pytest

from flask_sealed.errors import Refused
from flask_sealed.protocol import jwe

from . import target

SEEDS = target.GOOD


def name(seed: bytes) -> str:
    return target.PARSERS[seed[0]][0].__name__


def test_every_parser_has_a_seed() -> None:
    assert {seed[0] for seed in SEEDS} == set(range(len(target.PARSERS)))


@pytest.mark.parametrize("seed", SEEDS, ids=name)
def test_seeds_are_accepted(seed: bytes) -> None:
    assert target.run(seed)


@pytest.mark.parametrize("seed", SEEDS, ids=name)
def test_cut_seeds_raise_only_refusals(seed: bytes) -> None:
    accepted = sum(
        target.run(seed[:length]) for length in range(0, len(seed), 1 + len(seed) // 99)
    )
    assert accepted < 99


def test_mutated_seeds_raise_only_refusals() -> None:
    number = random.randrange(2**32)
    chance, refused, end = random.Random(number), 0, time.monotonic() + 1
    # On a busy machine, the second may be over before the first of them.
    while not refused or time.monotonic() < end:
        data = target.mutate(chance.choice(SEEDS), chance)
        try:
            refused += not target.run(data)
        except Exception as error:
            error.add_note(f"the input was {data!r}, the random seed {number}")
            raise
    assert refused


def test_what_is_no_refusal_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str, most: int) -> jwe.Parsed:
        raise KeyError(most)

    monkeypatch.setattr(jwe, "parse", broken)
    with pytest.raises(KeyError):
        target.run(b"\0a.b.c")


def test_a_refusal_with_a_context_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def chained(_: str, most: int) -> jwe.Parsed:
        try:
            raise KeyError(most)
        except KeyError:
            raise Refused  # noqa: B904

    monkeypatch.setattr(jwe, "parse", chained)
    with pytest.raises(AssertionError):
        target.run(b"\0a.b.c")
