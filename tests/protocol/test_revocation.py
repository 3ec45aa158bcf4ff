from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.protocol.handshake import MOST_LIFETIME, Session
from flask_sealed.protocol.keys import CLOCKS
from flask_sealed.protocol.revocation import (
    KINDS,
    MOST_NAME,
    SESSION_LASTS,
    Kind,
    Revocation,
    Revoked,
)

NOW = 1_800_000_000
SESSION = Session(
    secret=os.urandom(32), binding=os.urandom(32), iat=NOW, exp=NOW + 3600, kem=False
)
OTHER = Session(secret=os.urandom(32), binding=os.urandom(32), iat=NOW, exp=NOW + 3600, kem=False)

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MOST_NAME)
times = st.integers(0, 2**53)


def one(kind: Kind, name: str, *, at: int = NOW, exp: int = NOW + 100) -> Revocation:
    return Revocation(kind=kind, name=name, at=at, exp=exp)


def revoked(*revocations: Revocation) -> Revoked:
    known = Revoked()
    for revocation in revocations:
        known.add(revocation)
    return known


@given(kind=st.sampled_from(KINDS), name=names, at=times, exp=times)
def test_text(kind: Kind, name: str, at: int, exp: int) -> None:
    revocation = one(kind, name, at=at, exp=exp)
    assert Revocation.from_text(revocation.to_text()) == revocation


@pytest.mark.parametrize(
    "text", ["", "user 1 2", "user 1 2 ", "user x 2 a", "admin 1 2 a", "user"]
)
def test_other_texts(text: str) -> None:
    with pytest.raises(ValueError):
        Revocation.from_text(text)


@pytest.mark.parametrize("name", ["", "x" * (MOST_NAME + 1), "\ud800"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError):
        one("user", name)


def test_a_session() -> None:
    known = revoked(one("session", SESSION.sid))
    assert known.has_session(SESSION, NOW)
    assert not known.has_session(OTHER, NOW)
    assert not known.has_key(SESSION.jkt, NOW)
    assert known.has_session(SESSION, NOW + 99)
    assert not known.has_session(SESSION, NOW + 100)


def test_a_key_with_all_its_sessions() -> None:
    known = revoked(one("key", SESSION.jkt), one("session", OTHER.sid))
    assert known.has_session(SESSION, NOW)
    assert known.has_key(SESSION.jkt, NOW)
    assert not known.has_key(OTHER.jkt, NOW)
    assert not known.has_key(SESSION.jkt, NOW + 100)
    assert not revoked(one("tokens", SESSION.jkt)).has_session(SESSION, NOW)


def test_tokens_that_were_made_before() -> None:
    known = revoked(one("user", "ada"), one("tokens", "key"))
    named: list[tuple[Kind, str]] = [("user", "ada"), ("tokens", "key")]
    for kind, name in named:
        assert known.has_token(kind, name, NOW - 1000, NOW)
        assert known.has_token(kind, name, NOW, NOW)  # nobody knows which was first
        assert known.has_token(kind, name, NOW + 0.9, NOW)
        assert not known.has_token(kind, name, NOW + 1, NOW)
        for iat in (None, "1", float("nan"), [NOW + 5]):
            assert known.has_token(kind, name, iat, NOW)
    assert not known.has_token("user", "key", NOW, NOW)
    assert not known.has_token("user", "Ada", NOW, NOW)
    assert not known.has_token("user", "ada", NOW, NOW + 100)


def test_of_two_the_later_counts() -> None:
    first, second = one("user", "ada", exp=NOW + 500), one("user", "ada", at=NOW + 10)
    for order in ((first, second), (second, first)):
        known = revoked(*order)
        assert known.has_token("user", "ada", NOW + 10, NOW + 20)
        assert known.has_token("user", "ada", NOW, NOW + 499)
        assert [*known] == [one("user", "ada", at=NOW + 10, exp=NOW + 500)]


def test_what_is_over_is_forgotten() -> None:
    known = revoked(one("user", "ada"), one("key", "key", exp=NOW + 500))
    known.forget(NOW + 99)
    assert len([*known]) == 2
    known.forget(NOW + 99 + 60)
    assert [*known] == [one("key", "key", exp=NOW + 500)]
    assert "key" not in repr(known)


def test_a_session_is_remembered_for_as_long_as_any_ticket_lasts() -> None:
    assert SESSION_LASTS >= MOST_LIFETIME + CLOCKS


def test_what_is_over_is_looked_for_now_and_then() -> None:
    known = revoked(one("session", "a", exp=NOW + 1), one("session", "b", exp=NOW + 200))
    known.forget(NOW)
    known.forget(NOW + 59)
    assert len([*known]) == 2
    known.forget(NOW + 60)
    assert [revocation.name for revocation in known] == ["b"]
    known.forget(NOW - 10_000)  # a clock that was set back
    assert [revocation.name for revocation in known] == ["b"]
