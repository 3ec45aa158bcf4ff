from __future__ import annotations

from importlib import import_module

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from .generate import FILES, FOLDER, text_of
from .make.recorded import RECORDED, Recorded
from .reading import load

# What tests/protocol/test_envelope.py reads.
ELSEWHERE = {"level3"}


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_the_generators(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == text_of(name)


def test_every_file_has_a_part_of_the_generator() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(FILES)


@pytest.mark.parametrize("name", sorted(FILES.keys() - ELSEWHERE))
@pytest.mark.parametrize("half", ["valid", "invalid"])
def test_every_case_is_run(name: str, half: str) -> None:
    """The tests of a file run as many cases as the file has."""
    test = getattr(import_module(f".test_{name}", __package__), f"test_{half}")
    (mark,) = test.pytestmark
    names = [case["name"] for case in mark.args[1]]
    assert names == [case["name"] for case in load(name)[half]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", FILES)
def test_refusals_are_as_many(name: str) -> None:
    valid, invalid = load(name)["valid"], load(name)["invalid"]
    assert 0 < len(valid) <= len(invalid)
    assert all("refusal" in case for case in invalid)
    assert not any("refusal" in case for case in valid)


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.json")) < 430_000


def test_what_is_recorded_is_written_as_the_generator_does() -> None:
    assert (FOLDER / "fixed.py").read_text(encoding="utf-8") == RECORDED.source()


def test_what_is_made_anew_stays_the_same_from_then_on() -> None:
    key, kem = generate_private_key(SECP256R1()), MLKEM768PrivateKey.generate()
    made = Recorded()
    with pytest.raises(ValueError):
        made.sign(key, b"new")
    made.forget()
    assert made.sign(key, b"new") == made.sign(key, b"new")
    secret, ciphertext = made.encapsulate(kem)
    assert kem.decapsulate(ciphertext) == secret
    assert made.encapsulate(kem) == (secret, ciphertext)
