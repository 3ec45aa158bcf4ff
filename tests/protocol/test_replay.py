from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from flask_sealed.errors import Malformed, Replayed, Stale, Unavailable
from flask_sealed.protocol.replay import MemoryStore, check_fresh, check_once, is_safe

NOW = 1_800_000_000
OP = bytes(range(16))


@pytest.mark.parametrize("age", [-10, 0, 60])
def test_fresh(age: int) -> None:
    check_fresh(NOW - age, NOW)


@pytest.mark.parametrize("age", [-(10**9), -11, 61, 10**9])
def test_stale_tells_the_servers_time(age: int) -> None:
    with pytest.raises(Stale) as caught:
        check_fresh(NOW - age, NOW)
    assert caught.value.server_time == NOW


def test_an_operation_happens_once_until_it_cannot_be_fresh_any_more() -> None:
    store = MemoryStore(NOW - 1000)
    check_once(store, OP, iat=NOW, now=NOW)
    for later in (0, 1, 60, 299):
        with pytest.raises(Replayed):
            check_once(store, OP, iat=NOW, now=NOW + later)
    check_once(store, bytes(16), iat=NOW, now=NOW + 1)
    check_once(store, OP, iat=NOW + 300, now=NOW + 300)


def test_an_operation_needs_a_name() -> None:
    for begun in (0, NOW):
        with pytest.raises(Malformed):
            check_once(MemoryStore(begun), None, iat=NOW, now=NOW)


def test_an_unsafe_request_is_not_added_before_it_is_known_to_be_new_enough() -> None:
    store = MemoryStore(NOW)
    with pytest.raises(Unavailable):
        check_once(store, OP, iat=NOW, now=NOW)
    check_once(store, OP, iat=NOW + 131, now=NOW + 131)  # the same operation, tried again


def test_a_store_that_has_just_begun_vouches_for_nothing_older() -> None:
    store = MemoryStore(NOW)
    for iat in (0, NOW - 60, NOW, NOW + 10, NOW + 130):
        with pytest.raises(Unavailable):
            check_once(store, OP, iat=iat, now=NOW)
    check_once(store, OP, iat=NOW + 131, now=NOW + 121)


def test_no_attempt_at_an_operation_happens_after_one_that_a_lost_store_knew() -> None:
    """A client tries for 120 s, each time with a new ``iat``, and its clock may be 10 s ahead."""
    first = NOW - 1
    check_once(MemoryStore(NOW - 1000), OP, iat=first, now=first)
    after = MemoryStore(NOW)
    for attempt in range(first, first + 121):
        for ahead in (-60, 0, 10):
            with pytest.raises(Unavailable):
                check_once(after, OP, iat=attempt + ahead, now=attempt)


@pytest.mark.parametrize("early", range(-10, 61))
def test_no_operation_happens_before_and_after_a_restart(early: int) -> None:
    """Whatever the client's clock says, in the second of the restart too."""
    iat = NOW - early
    check_once(MemoryStore(NOW - 1000), OP, iat=iat, now=NOW)
    after = MemoryStore(NOW)
    for later in range(70 - early):
        with pytest.raises(Unavailable):
            check_once(after, OP, iat=iat, now=NOW + later)


def test_a_full_store_refuses_rather_than_forgets() -> None:
    store = MemoryStore(0, most=2)
    for number in range(2):
        check_once(store, bytes([number]), iat=NOW, now=NOW + number)
    for later in (1, 299):
        with pytest.raises(Unavailable):
            check_once(store, OP, iat=NOW + later, now=NOW + later)
    for number in range(2):
        with pytest.raises(Replayed):
            check_once(store, bytes([number]), iat=NOW, now=NOW + 1)
    check_once(store, OP, iat=NOW + 300, now=NOW + 300)  # the first one has expired
    with pytest.raises(Unavailable):
        check_once(store, b"more", iat=NOW + 300, now=NOW + 300)
    check_once(store, b"more", iat=NOW + 301, now=NOW + 301)


def test_what_was_taken_out_takes_room_until_it_would_be_forgotten() -> None:
    store = MemoryStore(0, most=3)
    for _ in range(3):
        assert store.add(OP, since=1, now=NOW)
        store.remove(OP, now=NOW)
    with pytest.raises(Unavailable):
        store.add(OP, since=1, now=NOW)
    assert store.add(OP, since=NOW + 1, now=NOW + 300)


def test_a_store_takes_as_many_as_it_says() -> None:
    store = MemoryStore(0, most=100)
    for number in range(100):
        assert store.add(bytes([number]), since=1, now=NOW)
    with pytest.raises(Unavailable):
        store.add(OP, since=1, now=NOW)


def test_a_store_remembers_for_300_seconds() -> None:
    store = MemoryStore(0)
    assert store.add(b"one", since=1, now=NOW)
    assert store.add(b"two", since=1, now=NOW + 10)
    assert not store.add(b"one", since=1, now=NOW + 299)
    assert store.add(b"one", since=NOW + 1, now=NOW + 300)
    assert not store.add(b"two", since=NOW + 1, now=NOW + 309)


def test_a_store_that_does_not_vouch_does_not_remember() -> None:
    store = MemoryStore(NOW)
    with pytest.raises(Unavailable):
        store.add(OP, since=NOW, now=NOW)
    assert store.add(OP, since=NOW + 1, now=NOW)


def test_a_clock_that_is_set_forth_and_back_lets_no_operation_happen_twice() -> None:
    store = MemoryStore(NOW - 1000)
    check_once(store, OP, iat=NOW, now=NOW)
    hour = NOW + 3600
    check_once(store, b"other", iat=hour, now=hour)  # forgets the first one
    with pytest.raises(Unavailable):
        check_once(store, OP, iat=NOW, now=NOW + 5)
    later = NOW + 140
    check_once(store, b"new", iat=later, now=later)
    with pytest.raises(Replayed):
        check_once(store, b"new", iat=later, now=later + 1)
    # What was added at the right time is forgotten in time, whatever was added at the wrong one.
    check_once(store, b"new", iat=later + 300, now=later + 300)


def test_forgetting_makes_a_store_no_older() -> None:
    store = MemoryStore(NOW)
    store.add(OP, since=NOW + 1, now=NOW - 50)
    assert store.add(b"other", since=NOW + 1, now=NOW + 300)
    with pytest.raises(Unavailable):
        store.add(b"third", since=NOW, now=NOW + 300)


class _Broken:
    """A store that cannot answer."""

    def add(self, op: bytes, *, since: int, now: int) -> bool:
        assert (op, since, now) == (OP, NOW - 130, NOW + 1)
        raise Unavailable("no store")

    def remove(self, op: bytes, *, now: int) -> None:
        raise Unavailable("no store")


def test_a_store_that_cannot_answer_refuses() -> None:
    with pytest.raises(Unavailable):
        check_once(_Broken(), OP, iat=NOW, now=NOW + 1)


class _SlowName(bytes):
    """Lets other threads run whenever a store looks for it."""

    def __hash__(self) -> int:
        time.sleep(1e-4)
        return super().__hash__()


def test_of_many_at_once_one_is_first() -> None:
    store, start = MemoryStore(0), Barrier(16)

    def attempts(_: int) -> list[bool]:
        start.wait(60)
        return [store.add(_SlowName([number]), since=1, now=NOW + number) for number in range(20)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(attempts, range(16)))
    assert [firsts.count(True) for firsts in zip(*answers, strict=True)] == [1] * 20


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_safe_methods(method: str) -> None:
    assert is_safe(method)
    assert not is_safe(method.lower())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", ""])
def test_all_others_are_unsafe(method: str) -> None:
    assert not is_safe(method)
