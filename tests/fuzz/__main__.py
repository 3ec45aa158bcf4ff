"""Coverage-guided fuzzing for a minute, or with other options of libFuzzer: ``make fuzz``."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["flask_sealed"]):
    from . import target

FOLDER = Path("build/fuzz")
OPTIONS = (
    "-max_total_time=60",
    "-timeout=10",
    "-rss_limit_mb=2048",
    "-max_len=8192",
    # Else it drops the good messages whose code others reach too.
    "-keep_seed=1",
    f"-artifact_prefix={FOLDER}/",
)


def take(data: bytes) -> None:
    target.run(data)


def mutate(data: bytes, most: int, number: int) -> bytes:
    """As libFuzzer does, mostly for the same parser; but every third time something near to one of
    the good messages, since libFuzzer on its own soon leaves the long ones alone."""
    chance = random.Random(number)
    if chance.random() < 1 / 3:
        return target.mutate(chance.choice(target.GOOD), chance)[:most]
    if not data or chance.random() < 0.1:
        return bytes(atheris.Mutate(data, most))
    return data[:1] + bytes(atheris.Mutate(data[1:], most - 1))


def main() -> None:
    corpus = FOLDER / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.GOOD):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *OPTIONS, *sys.argv[1:], str(corpus)], take, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
