"""Sessions under a password: the JWE, and what is refused before any work is done."""

from __future__ import annotations

import itertools
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe as joserfc_jwe
from joserfc.jwk import OctKey

from flask_sealed.errors import ConfigError, Malformed, Refusal, Refused, TooLarge
from flask_sealed.protocol import password as module
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode, json_encode
from flask_sealed.protocol.handshake import open_ticket
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.password import (
    PasswordSession,
    new_password_session,
    open_password_session,
    seal_password_session,
)

NOW = 1_800_000_000
AUDIENCE = "https://bank.example"
WORDS = "correct horse battery"
ALGORITHMS = ["PBES2-HS512+A256KW", "A256GCM"]


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    key = Key(kid=b64u_encode(os.urandom(8)), purpose="ticket", material=os.urandom(32))
    return KeyRing().add(key, activate=True)


@pytest.fixture(scope="module")
def session(ring: KeyRing) -> PasswordSession:
    return new_password_session(ring, audience=AUDIENCE, now=NOW, lifetime=3600, random=os.urandom)


@pytest.fixture(scope="module")
def sealed(session: PasswordSession) -> str:
    return seal_password_session(session, WORDS, random=os.urandom)


def open_(sealed: str, words: str = WORDS, audience: str = AUDIENCE) -> PasswordSession:
    return open_password_session(sealed, words, audience=audience)


def test_the_ticket_is_of_the_same_session(ring: KeyRing, session: PasswordSession) -> None:
    opened = open_ticket(session.ticket, ring, audience=AUDIENCE, now=NOW)
    assert (opened.secret, opened.iat, opened.exp) == (session.secret, NOW, NOW + 3600)
    assert opened.kem is False
    again = new_password_session(
        ring, audience=AUDIENCE, now=NOW, lifetime=3600, random=os.urandom
    )
    other = open_ticket(again.ticket, ring, audience=AUDIENCE, now=NOW)
    assert other.binding != opened.binding
    assert opened.binding not in (opened.secret, bytes(32))


def test_it_opens_with_the_password(session: PasswordSession, sealed: str) -> None:
    assert open_(sealed) == session
    assert session.ticket not in sealed
    assert session.ticket not in repr(session)
    assert seal_password_session(session, WORDS, random=os.urandom) != sealed


def test_characters_that_unicode_holds_for_one(session: PasswordSession) -> None:
    sealed = seal_password_session(session, "caf\u00e9", random=os.urandom)
    assert open_(sealed, "cafe\u0301") == session


@pytest.mark.parametrize("words", ["correct horse", "", "Correct horse battery"])
def test_another_password(sealed: str, words: str) -> None:
    with pytest.raises(Refused if words else ConfigError) as caught:
        open_(sealed, words)
    assert caught.value.__context__ is None


def test_another_audience(sealed: str) -> None:
    with pytest.raises(Refused):
        open_(sealed, audience="https://other.example")


def test_an_empty_password_seals_nothing(session: PasswordSession) -> None:
    with pytest.raises(ConfigError):
        seal_password_session(session, "", random=os.urandom)


def test_peers_open_it(session: PasswordSession, sealed: str) -> None:
    key = OctKey.import_key({"kty": "oct", "k": b64u_encode(WORDS.encode())})
    theirs = joserfc_jwe.decrypt_compact(sealed, key, algorithms=ALGORITHMS).plaintext
    assert theirs is not None
    assert json.loads(theirs)["ticket"] == session.ticket


def test_theirs_open_here(session: PasswordSession, sealed: str) -> None:
    header = json.loads(b64u_decode(sealed.partition(".")[0]))
    key = OctKey.import_key({"kty": "oct", "k": b64u_encode(WORDS.encode())})
    text = joserfc_jwe.decrypt_compact(sealed, key, algorithms=ALGORITHMS).plaintext
    assert text is not None
    theirs = joserfc_jwe.encrypt_compact(header, text, key, algorithms=ALGORITHMS)
    assert open_(theirs) == session


def changed(sealed: str, **members: Any) -> str:
    protected, rest = sealed.split(".", 1)
    header = json.loads(b64u_decode(protected)) | members
    kept = {name: value for name, value in header.items() if value is not None}
    return f"{b64u_encode(json_encode(kept))}.{rest}"


@pytest.mark.parametrize(
    "members",
    [
        {"p2c": 209_999},
        {"p2c": 1_000_001},
        {"p2c": 2**53},
        {"p2c": "210000"},
        {"p2c": None},
        {"p2s": "AAAA"},
        {"p2s": b64u_encode(bytes(17))},
        {"p2s": None},
        {"alg": "PBES2-HS256+A128KW"},
        {"alg": "dir"},
        {"enc": "A128GCM"},
        {"typ": "sealed-request"},
        {"typ": None},
        {"zip": "DEF"},
        {"crit": ["p2c"]},
        {"kid": "1"},
    ],
    ids=str,
)
def test_another_header_costs_no_work(
    sealed: str, members: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_wrapping_key", None)
    with pytest.raises(Malformed):
        open_(changed(sealed, **members))


def test_more_work_than_here_is_done(session: PasswordSession, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "ITERATIONS", 250_000)
    sealed = seal_password_session(session, WORDS, random=os.urandom)
    monkeypatch.undo()
    assert open_(sealed) == session


def test_every_changed_character_is_refused(
    sealed: str, session: PasswordSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The work is the same each time.
    known = itertools.repeat(module._wrapping_key(WORDS, *_work(sealed)))
    monkeypatch.setattr(module, "_wrapping_key", lambda *_: next(known))
    assert open_(sealed) == session
    for at, character in enumerate(sealed):
        for other in {"A", "b", "."} - {character}:
            with pytest.raises((Refused, Malformed)):
                open_(sealed[:at] + other + sealed[at + 1 :])
    for end in range(len(sealed)):
        with pytest.raises((Refused, Malformed)):
            open_(sealed[:end])


def _work(sealed: str) -> tuple[bytes, int]:
    header = json.loads(b64u_decode(sealed.partition(".")[0]))
    return b64u_decode(header["p2s"]), header["p2c"]


@pytest.mark.parametrize(
    "change",
    [
        {"exp": NOW},
        {"ticket": "A"},
        {"secret": "AAAA"},
        {"iat": -1},
        {"more": 1},
        {"aud": None},
    ],
    ids=str,
)
def test_a_content_that_is_none(
    session: PasswordSession, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    def other(value: dict[str, Any]) -> bytes:
        members = value | change if "secret" in value else value
        return json_encode(
            {name: member for name, member in members.items() if member is not None}
        )

    monkeypatch.setattr(module, "json_encode", other)
    sealed = seal_password_session(session, WORDS, random=os.urandom)
    monkeypatch.undo()
    with pytest.raises(Malformed):
        open_(sealed)


def test_too_long() -> None:
    with pytest.raises(TooLarge):
        open_("A" * 2049)


@given(st.text(max_size=300))
@settings(max_examples=200)
def test_arbitrary_text_raises_only_refusals(text: str) -> None:
    with pytest.raises(Refusal):
        open_(text)
