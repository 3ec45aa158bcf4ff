from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed, Refusal, Refused, TooLarge
from flask_sealed.protocol import jwe
from flask_sealed.protocol.encoding import b64u_encode, json_encode

KEY = AESGCM(bytes(range(32)))
IV = bytes(range(12))
HEADER = json_encode({**jwe.ALGORITHMS, "typ": "sealed-request"})
SEAL = jwe.seal(KEY, HEADER, b'{"a":1}', iv=IV)


def open_(compact: str) -> bytes:
    return jwe.open_(KEY, jwe.parse(compact, 6144))


@given(st.binary(), st.binary(min_size=12, max_size=12))
def test_round_trip(plaintext: bytes, iv: bytes) -> None:
    assert open_(jwe.seal(KEY, HEADER, plaintext, iv=iv)) == plaintext


def test_the_header_names_the_algorithms() -> None:
    header = json.loads(jwe.parse(SEAL, 6144).header)
    assert header == {"alg": "dir", "enc": "A256GCM", "typ": "sealed-request"}


def test_every_changed_missing_or_doubled_character_is_refused() -> None:
    for position in range(len(SEAL)):
        for other in ("", "A" if SEAL[position] != "A" else "B", SEAL[position] * 2, "=", ","):
            with pytest.raises(Refusal):
                open_(SEAL[:position] + other + SEAL[position + 1 :])


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p[:4],
        lambda p: [*p, "AA"],
        lambda p: [p[0], "AA", *p[2:]],
        lambda p: [*p[:2], b64u_encode(bytes(8)), *p[3:]],
        lambda p: [*p[:2], b64u_encode(bytes(16)), *p[3:]],
        lambda p: [*p[:4], b64u_encode(bytes(4))],
        lambda p: [*p[:4], b64u_encode(bytes(12))],
        lambda p: [p[0] + "=", *p[1:]],
        lambda p: [p[0], *p[1:3], p[3] + " ", p[4]],
    ],
)
def test_other_forms_are_malformed(change: Callable[[list[str]], list[str]]) -> None:
    with pytest.raises(Malformed):
        open_(".".join(change(SEAL.split("."))))


def test_another_key_is_refused_without_a_context() -> None:
    with pytest.raises(Refused) as caught:
        jwe.open_(AESGCM(os.urandom(32)), jwe.parse(SEAL, 6144))
    assert caught.value.__context__ is None


def test_a_seal_may_have_as_many_characters_as_are_said_and_no_more() -> None:
    assert jwe.open_(KEY, jwe.parse(SEAL, len(SEAL))) == b'{"a":1}'
    with pytest.raises(TooLarge):
        jwe.parse(SEAL, len(SEAL) - 1)


@given(st.text())
def test_arbitrary_text_raises_only_refusals(text: str) -> None:
    with pytest.raises(Refusal):
        open_(text)
