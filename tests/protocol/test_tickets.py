"""The memory for tickets: it makes them quick, and opens nothing that the key would not open."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed, SessionUnknown
from flask_sealed.protocol import tickets as module
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode
from flask_sealed.protocol.handshake import Session, open_ticket, seal_ticket
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.tickets import Tickets

NOW = 1_800_000_000
BANK = "https://bank.example"
SHOP = "https://shop.example"


def ticket_key(**times: int) -> Key:
    kid = b64u_encode(os.urandom(8))
    return Key(kid=kid, purpose="ticket", material=os.urandom(32), **times)


KEY = ticket_key()
RING = KeyRing().add(KEY, activate=True)


def session(**changes: Any) -> Session:
    values = {"binding": os.urandom(32), "iat": NOW, "exp": NOW + 3600, "kem": False}
    return Session(**{"secret": os.urandom(32), **values, **changes})


def seal(what: Session, key: Key = KEY, audience: str = BANK) -> str:
    return seal_ticket(what, key, audience=audience, random=os.urandom)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tickets that were really opened."""
    seen: list[str] = []

    def spy(ticket: str, ring: KeyRing, *, audience: str, now: int) -> Session:
        seen.append(ticket)
        return open_ticket(ticket, ring, audience=audience, now=now)

    monkeypatch.setattr(module, "open_ticket", spy)
    return seen


def test_a_ticket_is_opened_once(opened: list[str]) -> None:
    one, other, tickets = session(), session(kem=True), Tickets(RING, BANK)
    names = seal(one), seal(other)
    for _ in range(3):
        assert [tickets.open(name, NOW) for name in names] == [one, other]
    assert opened == [*names]


def test_a_remembered_session_begins_and_ends_as_any(opened: list[str]) -> None:
    what, tickets = session(), Tickets(RING, BANK)
    ticket = seal(what)
    assert tickets.open(ticket, NOW - 10) == what
    assert tickets.open(ticket, what.exp - 1) == what
    assert len(opened) == 1
    for now in (what.exp, NOW - 11):
        with pytest.raises(SessionUnknown):
            tickets.open(ticket, now)
    assert tickets.open(ticket, NOW) == what  # the clock was set back


@pytest.mark.parametrize("seconds", [1, 30, 59])
def test_it_ends_within_a_minute_of_the_last_sweep_too(seconds: int) -> None:
    what, tickets = session(exp=NOW + seconds), Tickets(RING, BANK)
    ticket = seal(what)
    assert tickets.open(ticket, NOW) == what
    with pytest.raises(SessionUnknown):
        tickets.open(ticket, NOW + seconds)
    assert "0 remembered" in repr(tickets)


def test_a_remembered_ticket_ends_with_its_key(opened: list[str]) -> None:
    key, what = ticket_key(nbf=NOW, exp=NOW + 100), session()
    tickets, ticket = Tickets(RING.add(key), BANK), seal(what, key)
    for now in (NOW - 10, NOW, NOW + 99):
        assert tickets.open(ticket, now) == what
    assert len(opened) == 1
    for now in (NOW + 100, NOW - 11):
        with pytest.raises(SessionUnknown):
            tickets.open(ticket, now)


def test_what_is_over_is_forgotten_without_being_seen_again() -> None:
    ending = ticket_key(exp=NOW + 20)
    tickets = Tickets(RING.add(ending), BANK)
    for exp, key in ((NOW + 10, KEY), (NOW + 30, KEY), (NOW + 3000, ending), (NOW + 3000, KEY)):
        tickets.open(seal(session(exp=exp), key), NOW)
    last = seal(session())
    tickets.open(last, NOW + 59)
    assert "5 remembered" in repr(tickets)
    tickets.open(last, NOW + 60)
    assert "2 remembered" in repr(tickets)


def test_it_forgets_after_a_clock_was_set_back_too() -> None:
    tickets = Tickets(RING, BANK)
    tickets.open(seal(session(iat=NOW + 5000, exp=NOW + 6000)), NOW + 5000)
    tickets.open(seal(session()), NOW)
    assert "1 remembered" in repr(tickets)


def test_a_memory_belongs_to_a_ring_and_a_service() -> None:
    what = session()
    ticket = seal(what)
    namesake = Key(kid=KEY.kid, purpose="ticket", material=os.urandom(32))
    assert Tickets(RING, BANK).open(ticket, NOW) == what
    for other in (
        Tickets(RING, SHOP),
        Tickets(KeyRing().add(ticket_key(), activate=True), BANK),
        Tickets(KeyRing().add(namesake, activate=True), BANK),
    ):
        for _ in range(2):
            with pytest.raises(SessionUnknown):
                other.open(ticket, NOW)
        assert "0 remembered" in repr(other)


def test_the_ticket_that_was_not_seen_for_the_longest_is_pushed_out(opened: list[str]) -> None:
    tickets = Tickets(RING, BANK, most=2)
    one, two, three = (seal(session()) for _ in range(3))
    for ticket in (one, two, one, three, one, two, three):
        tickets.open(ticket, NOW)
    # `three` pushed `two` out and not `one`, which had been seen again; then `two` pushed `three`.
    assert opened == [one, two, three, two, three]
    assert "2 remembered" in repr(tickets)


def test_every_changed_character_of_a_remembered_ticket_is_refused() -> None:
    what, tickets = session(), Tickets(RING, BANK)
    ticket = seal(what)
    assert tickets.open(ticket, NOW) == what
    for position, character in enumerate(ticket):
        for other in ("A" if character != "A" else "B", "", character * 2, "=", "é"):
            with pytest.raises((SessionUnknown, Malformed)):
                tickets.open(ticket[:position] + other + ticket[position + 1 :], NOW)
    assert "1 remembered" in repr(tickets)
    assert tickets.open(ticket, NOW) == what


TICKET = seal(session())


@given(st.binary(min_size=122, max_size=122), st.integers(0, 122))
def test_what_is_not_authenticated_is_not_remembered(raw: bytes, kept: int) -> None:
    tickets = Tickets(RING, BANK)
    changed = b64u_decode(TICKET)[:kept] + raw[kept:]
    if changed != b64u_decode(TICKET):
        for _ in range(2):
            with pytest.raises(SessionUnknown):
                tickets.open(b64u_encode(changed), NOW)
        assert "0 remembered" in repr(tickets)


def test_a_session_that_is_over_is_not_remembered() -> None:
    tickets, what = Tickets(RING, BANK), session()
    for now in (what.exp, NOW - 11):
        with pytest.raises(SessionUnknown):
            tickets.open(seal(what), now)
    assert "0 remembered" in repr(tickets)


def test_threads_share_a_memory() -> None:
    sessions = [session() for _ in range(8)]
    tickets, names = Tickets(RING, BANK, most=4), [seal(one) for one in sessions]

    def work(start: int) -> None:
        for number in range(start, start + 400):
            which = number * 5 % 8
            assert tickets.open(names[which], NOW + number % 200) == sessions[which]

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, start) for start in range(8)]:
            done.result()
    assert "4 remembered" in repr(tickets)


def test_no_secret_is_shown() -> None:
    tickets, what = Tickets(RING, BANK), session()
    ticket = seal(what)
    assert tickets.open(ticket, NOW).sid == what.sid
    shown = repr(tickets) + repr(tickets.open(ticket, NOW))
    assert BANK in shown
    assert repr(what.secret) not in shown
    assert ticket not in shown
    assert what.sid not in shown


def test_what_follows_from_a_session_is_worked_out_once() -> None:
    what = session()
    assert what.sid is what.sid
    assert what.jkt is what.jkt
    assert b64u_decode(what.jkt) == what.binding
    assert replace(what, binding=bytes(32)).jkt == "A" * 43
    assert what == replace(what)  # what is kept beside the members does not count
