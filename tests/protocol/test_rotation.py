from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_sealed.errors import ConfigError, SessionUnknown
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode
from flask_sealed.protocol.handshake import MOST_LIFETIME, Session, open_ticket, seal_ticket
from flask_sealed.protocol.jwk import thumbprint
from flask_sealed.protocol.keys import CLOCKS, Key, KeyRing
from flask_sealed.protocol.rotation import (
    OVERLAP,
    RELOAD,
    new_ring,
    replace_identity,
    replace_tickets,
    rotate_identity,
    rotate_tickets,
    without_tickets,
)

NOW = 1_800_000_000
DAY = 24 * 3600
# Signing keys are slow to make, and any will do.
KEYS = [Ed25519PrivateKey.generate() for _ in range(12)]
RING = new_ring(KEYS[0], KEYS[1], now=NOW, random=os.urandom)
PINS = [thumbprint(key.public_key()) for key in KEYS]
#: When a key that is made now is in use.
WAIT = RELOAD + 2 * CLOCKS


def tickets(ring: KeyRing, now: int, *, reload: int = RELOAD) -> KeyRing:
    return rotate_tickets(ring, now=now, random=os.urandom, reload=reload)


def names(ring: KeyRing) -> list[str]:
    return [key.kid for key in ring.keys if key.purpose == "ticket"]


def test_a_new_ring_is_of_use_at_once_and_on_every_clock() -> None:
    for now in (NOW - CLOCKS, NOW, NOW + 10 * 365 * DAY):
        assert RING.current("identity", now).material is KEYS[0]
        assert len(b64u_decode(RING.current("ticket", now).kid)) == 8
        assert [*RING.pins(now)] == PINS[:2]
    assert [key.kid for key in RING.of("identity", NOW)] == [b64u_encode(pin) for pin in PINS[:2]]
    assert len(RING.keys) == 3


def test_every_new_ring_has_its_own_ticket_key() -> None:
    ring = new_ring(KEYS[0], KEYS[1], now=NOW, random=os.urandom)
    assert ring.current("ticket", NOW).kid != RING.current("ticket", NOW).kid


def test_a_ticket_key_is_used_when_all_have_it_and_goes_when_none_needs_it() -> None:
    first = RING.current("ticket", NOW)
    ring = tickets(RING, NOW + DAY)
    assert ring.current("ticket", NOW + DAY + WAIT - 1).material == first.material
    second = ring.current("ticket", NOW + DAY + WAIT)
    assert second.material != first.material
    end = NOW + DAY + WAIT + MOST_LIFETIME + CLOCKS
    assert ring.get("ticket", first.kid, end - 1) is not None
    assert ring.get("ticket", first.kid, end) is None
    assert names(tickets(ring, end - 1))[:2] == [first.kid, second.kid]
    assert names(tickets(ring, end))[:1] == [second.kid]
    assert ring.current("ticket", NOW + 10 * 365 * DAY) is second


def test_nothing_changes_while_a_ticket_key_is_on_its_way() -> None:
    ring = tickets(RING, NOW)
    assert len(names(ring)) == 2
    assert tickets(ring, NOW + WAIT - 1).to_json() == ring.to_json()
    assert len(names(tickets(ring, NOW + WAIT))) == 3


def ending(exp: int) -> KeyRing:
    """A ring whose ticket key has an end of its own."""
    keys = (replace(key, exp=exp) if key.purpose == "ticket" else key for key in RING.keys)
    return replace(RING, keys=tuple(keys))


@pytest.mark.parametrize("before", [1, WAIT, DAY // 4])
def test_a_rotation_does_not_make_a_key_last_longer_and_leaves_no_gap(before: int) -> None:
    end = NOW + DAY
    ring = tickets(ending(end), end - before)
    assert {key.exp for key in ring.keys if key.purpose == "ticket"} == {end, None}
    for now in (end - before, end - 1, end, end + WAIT):
        assert ring.current("ticket", now).exp in (None, end)


@pytest.mark.parametrize("late", [0, 1, DAY])
def test_without_a_ticket_key_that_can_be_used_the_new_one_is_used_at_once(late: int) -> None:
    ring = tickets(ending(NOW + DAY), NOW + DAY + late)
    assert len(names(ring)) == 1
    assert ring.current("ticket", NOW + DAY + late - CLOCKS).kid == names(ring)[0]


def test_a_key_that_was_followed_does_not_come_back() -> None:
    def psk(kid: str, nbf: int, exp: int | None) -> Key:
        return Key(kid=kid, purpose="psk", material=os.urandom(32), nbf=nbf, exp=exp)

    ring = RING
    for key in (psk("a", 0, None), psk("b", NOW, NOW + 10), psk("c", NOW + 5, None)):
        ring = ring.add(key, activate=True)
    assert [key.kid for key in tickets(ring, NOW + 10).order("psk")] == ["c"]
    ring = RING
    for key in (psk("a", 0, None), psk("b", NOW, NOW + 10)):
        ring = ring.add(key, activate=True)
    ring = tickets(ring, NOW + 10)
    assert ring.get("psk", "a", NOW + 10) is not None
    with pytest.raises(ConfigError):
        ring.current("psk", NOW + 10)


def test_the_backup_becomes_the_identity_key_and_the_old_one_stays_for_a_while() -> None:
    ring = rotate_identity(RING, KEYS[2], now=NOW)
    assert ring.current("identity", NOW).material is KEYS[1]
    assert [*ring.pins(NOW)] == PINS[1:3]
    assert ring.backup == b64u_encode(PINS[2])
    assert [key.material for key in ring.of("identity", NOW + OVERLAP - 1)] == [
        KEYS[1],
        KEYS[0],
        KEYS[2],
    ]
    assert [key.material for key in ring.of("identity", NOW + OVERLAP)] == [KEYS[1], KEYS[2]]
    assert KeyRing.from_json(ring.to_json()).to_json() == ring.to_json()


def test_a_backup_may_be_of_the_other_kind() -> None:
    p256 = generate_private_key(SECP256R1())
    ring = rotate_identity(RING, p256, now=NOW)
    ring = rotate_identity(ring, KEYS[2], now=NOW + WAIT)
    assert ring.current("identity", NOW + WAIT).material is p256


def test_a_backup_that_workers_may_not_have_yet_does_not_become_active() -> None:
    ring = rotate_identity(RING, KEYS[2], now=NOW)
    with pytest.raises(ConfigError):
        rotate_identity(ring, KEYS[3], now=NOW + WAIT - 1)
    ring = rotate_identity(ring, KEYS[3], now=NOW + WAIT)
    assert ring.current("identity", NOW + WAIT).material is KEYS[2]
    # A clock that is behind goes on with the one before.
    assert ring.current("identity", NOW + WAIT - 1).material is KEYS[1]


def test_without_a_backup_there_is_no_rotation() -> None:
    with pytest.raises(ConfigError):
        rotate_identity(replace(RING, backup=None), KEYS[2], now=NOW)
    keys = tuple(replace(key, exp=NOW) if key.kid == RING.backup else key for key in RING.keys)
    expired = replace(RING, keys=keys)
    with pytest.raises(ConfigError):
        rotate_identity(expired, KEYS[2], now=NOW)
    ring = tickets(expired, NOW)
    assert ring.backup is None
    assert [*ring.pins(NOW)] == PINS[:1]


def test_a_ring_that_has_only_a_backup_gets_its_identity_key() -> None:
    ring = rotate_identity(KeyRing(RING.keys[1:2], backup=RING.backup), KEYS[2], now=NOW)
    assert ring.current("identity", NOW).material is KEYS[1]
    assert [*ring.pins(NOW)] == PINS[1:3]


@dataclass(frozen=True)
class History:
    """What a file has had in it, since when."""

    versions: list[tuple[int, KeyRing]]
    reload: int

    def read(self, at: int, age: int) -> KeyRing:
        """What a worker has at a time, when it read the file so long ago."""
        return [ring for written, ring in self.versions if written <= max(NOW, at - age)][-1]

    def moments(self) -> list[int]:
        """When something begins or ends."""
        found = {NOW}
        for written, ring in self.versions:
            found.add(written)
            found.update(key.nbf for key in ring.keys if key.nbf > NOW)
            found.update(key.exp for key in ring.keys if key.exp is not None)
        return sorted(found)


# Clocks lie this far from the true time, and so from each other twice as far.
OFF = CLOCKS // 2
SKEW = st.sampled_from([-OFF, 0, OFF])


def gaps(reload: int) -> st.SearchStrategy[int]:
    """Times between rotations: some short, some of a day, some when a key has just expired."""
    expired = MOST_LIFETIME + reload + 3 * CLOCKS
    return (
        st.integers(0, 900)
        | st.integers(0, 2 * DAY)
        | st.just(DAY)
        | st.integers(expired - 2 * CLOCKS, expired + 2 * CLOCKS)
    )


@st.composite
def histories(draw: st.DrawFn, *, identity: bool = False) -> History:
    reload = draw(st.sampled_from([0, 1, 60, 300]))
    time = NOW
    ring = new_ring(KEYS[0], KEYS[1], now=time + draw(SKEW), random=os.urandom)
    versions = [(time, ring)]
    for backup in KEYS[2 : 2 + draw(st.integers(0, 6))]:
        time += draw(gaps(reload))
        clock = time + draw(SKEW)
        if identity:
            try:
                ring = rotate_identity(ring, backup, now=clock, reload=reload, overlap=DAY)
            except ConfigError:
                continue
        else:
            ring = tickets(ring, clock, reload=reload)
        time += draw(st.sampled_from([0, CLOCKS]))  # until it is written
        versions.append((time, ring))
    return History(versions, reload)


@dataclass(frozen=True)
class Worker:
    history: History
    #: How far its clock is ahead.
    skew: int
    #: How long ago it has read the file.
    age: int

    def ring(self, at: int) -> KeyRing:
        return self.history.read(at, self.age)


def workers(history: History) -> list[Worker]:
    return [Worker(history, skew, age) for skew in (-OFF, OFF) for age in (0, history.reload)]


@settings(deadline=None)  # many corners
@given(histories())
def test_every_ticket_that_has_not_expired_opens_at_every_worker(history: History) -> None:
    everyone = workers(history)
    offsets = (-CLOCKS, -OFF, 0, OFF, CLOCKS)
    for moment, offset, maker in product(history.moments(), offsets, everyone):
        at = max(NOW, moment + offset)
        key = maker.ring(at).current("ticket", at + maker.skew)
        for opener in everyone:
            # At once, and in the last second in which the opener takes the longest ticket.
            last = at + maker.skew + MOST_LIFETIME - 1 - opener.skew
            for later in (at, last):
                found = opener.ring(later).get("ticket", key.kid, later + opener.skew)
                assert found is not None
                assert found.material == key.material


@given(histories(), st.data())
def test_tickets_open_at_any_time_while_keys_rotate(history: History, data: st.DataObject) -> None:
    maker, opener = (data.draw(st.sampled_from(workers(history))) for _ in range(2))
    at = data.draw(st.integers(NOW, history.moments()[-1] + DAY))
    clock = at + maker.skew
    lifetime = data.draw(st.integers(1, MOST_LIFETIME))
    later = data.draw(st.integers(at, at + lifetime))
    session = Session(
        secret=bytes(32), binding=bytes(32), iat=clock, exp=clock + lifetime, kem=False
    )
    key = maker.ring(at).current("ticket", clock)
    ticket = seal_ticket(session, key, random=os.urandom, audience="bank")
    if later + opener.skew < session.exp:
        assert (
            open_ticket(ticket, opener.ring(later), now=later + opener.skew, audience="bank")
            == session
        )
    else:
        with pytest.raises(SessionUnknown):
            open_ticket(ticket, opener.ring(later), now=later + opener.skew, audience="bank")


@given(histories(identity=True), st.data())
def test_clients_are_answered_by_a_key_that_they_pin(
    history: History, data: st.DataObject
) -> None:
    since, ring = data.draw(st.sampled_from(history.versions))
    published = ring.pins(since + data.draw(SKEW))
    assert 2 <= len(published) <= 3
    pins = {b64u_encode(pin) for pin in published}
    later = since + data.draw(st.integers(0, 2 * CLOCKS) | st.integers(0, DAY - CLOCKS))
    for worker in workers(history):
        ring, clock = worker.ring(later), later + worker.skew
        assert pins & {key.kid for key in ring.of("identity", clock)}
        # And those who pin nothing are answered too.
        assert ring.current("identity", clock).purpose == "identity"


def test_ticket_keys_can_be_replaced_at_once() -> None:
    ring = tickets(RING, NOW)
    replaced = replace_tickets(ring, now=NOW + 5, random=os.urandom)
    assert len(names(replaced)) == 1
    assert set(names(replaced)).isdisjoint(names(ring))
    # On every clock.
    for now in (NOW + 5 - CLOCKS, NOW + 5 + CLOCKS):
        assert replaced.current("ticket", now).exp is None
    assert [key for key in replaced.keys if key.purpose == "identity"] == [
        key for key in ring.keys if key.purpose == "identity"
    ]
    assert replaced.backup == ring.backup


def test_the_identity_can_be_replaced_at_once() -> None:
    ring = rotate_identity(RING, KEYS[2], now=NOW)
    # The new backup, which workers would get later, is in use at once.
    replaced = replace_identity(ring, KEYS[3], now=NOW)
    for now in (NOW - CLOCKS, NOW + CLOCKS):
        assert replaced.current("identity", now).material is KEYS[2]
    assert [*replaced.pins(NOW)] == [PINS[2], PINS[3]]
    assert {key.kid for key in replaced.of("identity", NOW)} == {
        b64u_encode(pin) for pin in PINS[2:4]
    }
    assert names(replaced) == names(ring)
    with pytest.raises(ConfigError):
        replace_identity(replace(ring, backup=None), KEYS[3], now=NOW)


def test_a_copy_has_no_ticket_keys_and_works_once_it_has_one() -> None:
    copy = without_tickets(tickets(RING, NOW))
    assert names(copy) == []
    assert [*copy.pins(NOW)] == PINS[:2]
    ring = tickets(copy, NOW)
    assert ring.current("ticket", NOW).kid in names(ring)


def test_sessions_that_are_shorter_need_the_old_key_for_less_long() -> None:
    first = RING.current("ticket", NOW)
    ring = rotate_tickets(RING, now=NOW, random=os.urandom, reload=1, clocks=0, lifetime=60)
    assert ring.current("ticket", NOW + 1).kid != first.kid
    assert ring.get("ticket", first.kid, NOW + 60) is not None
    assert ring.get("ticket", first.kid, NOW + 61) is None


def test_on_one_machine_keys_can_follow_each_other_each_second() -> None:
    ring, used = RING, set()
    for now in range(NOW, NOW + 10):
        ring = rotate_tickets(ring, now=now, random=os.urandom, reload=1, clocks=0)
        ring = rotate_identity(
            ring, Ed25519PrivateKey.generate(), now=now, reload=1, clocks=0, overlap=DAY
        )
        used.add((ring.current("ticket", now).kid, ring.current("identity", now).kid))
        ring = KeyRing.from_json(ring.to_json())
    assert len(used) == 10
