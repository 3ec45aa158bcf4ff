"""What every store promises."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_sealed.errors import Refusal, Replayed, Unavailable
from flask_sealed.protocol.replay import (
    GIVE_UP,
    NEWEST,
    OLDEST,
    ReplayStore,
    check_once,
    take_back,
)

from .conftest import LATER, MakeStore

OP = bytes(range(16))


@pytest.mark.parametrize("op", [OP, bytes(16), b"\xff" * 16, b"0\n\r\n$*:1234\x00\x80\xfe\"'"])
def test_an_operation_happens_once(store: ReplayStore, op: bytes) -> None:
    check_once(store, op, iat=LATER, now=LATER)
    for later in (0, 1, 60, 299):
        with pytest.raises(Replayed):
            check_once(store, op, iat=LATER + later, now=LATER + later)
    check_once(store, op[::-1] if op != op[::-1] else OP, iat=LATER, now=LATER)


def test_what_is_not_vouched_for_is_not_remembered(store: ReplayStore) -> None:
    assert store.add(bytes(16), since=LATER, now=LATER)
    with pytest.raises(Unavailable):
        store.add(OP, since=int(time.time()) - 100, now=LATER)
    assert store.add(OP, since=LATER, now=LATER) is True
    assert store.add(OP, since=LATER, now=LATER) is False


def test_a_new_store_vouches_for_nothing_that_could_have_been_before_it(
    make_store: MakeStore,
) -> None:
    now = int(time.time())
    store = make_store()
    for iat in (now - OLDEST, now, now + NEWEST, now + GIVE_UP):
        with pytest.raises(Unavailable):
            check_once(store, OP, iat=iat, now=now)


def test_every_number_of_seconds_is_understood(store: ReplayStore) -> None:
    most = 2**53 - 1
    with pytest.raises(Unavailable):
        store.add(OP, since=-130, now=LATER)
    assert store.add(OP, since=most, now=most)
    assert not store.add(OP, since=most, now=most)


def test_a_clock_that_is_set_forth_and_back_lets_no_operation_happen_twice(
    store: ReplayStore,
) -> None:
    many = [os.urandom(16) for _ in range(100)]
    for op in many:
        check_once(store, op, iat=LATER, now=LATER)
    for _ in range(100):
        check_once(store, os.urandom(16), iat=LATER + 3600, now=LATER + 3600)
    for later in (0, 120):
        for op in many:
            with pytest.raises((Replayed, Unavailable)):
                check_once(store, op, iat=LATER + later, now=LATER + later)


def test_a_clock_that_was_ahead_lets_no_operation_happen_twice(store: ReplayStore) -> None:
    check_once(store, OP, iat=LATER + 3600, now=LATER + 3600)
    with pytest.raises(Replayed):
        check_once(store, OP, iat=LATER, now=LATER)


def test_what_was_taken_out_may_be_tried_again_and_is_remembered_as_long(
    store: ReplayStore,
) -> None:
    others = [os.urandom(16) for _ in range(100)]
    check_once(store, OP, iat=LATER, now=LATER)
    check_once(store, others[0], iat=LATER, now=LATER)
    take_back(store, OP, now=LATER)
    check_once(store, OP, iat=LATER + 100, now=LATER + 100)
    take_back(store, None, now=LATER + 100)
    take_back(store, os.urandom(16), now=LATER)  # another time, or never added
    with pytest.raises(Replayed):
        check_once(store, others[0], iat=LATER + 100, now=LATER + 100)
    for op in others[1:]:  # which forgets what was added first
        check_once(store, op, iat=LATER + 310, now=LATER + 310)
    with pytest.raises(Replayed):
        check_once(store, OP, iat=LATER + 310, now=LATER + 310)


_attempts = st.lists(
    st.tuples(
        st.integers(0, 3),  # which operation
        st.one_of(  # how the clock goes on
            st.integers(0, 200), st.sampled_from([-3600, -301, -299, 299, 300, 301, 600, 3600])
        ),
        st.integers(-OLDEST, NEWEST),  # the client's clock
        st.booleans(),  # whether its body breaks
    ),
    max_size=40,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(attempts=_attempts)
def test_no_operation_happens_twice_while_its_client_tries(
    make_store: MakeStore, attempts: list[tuple[int, int, int, bool]]
) -> None:
    """Whatever the server's clock does."""
    store, now = make_store(), LATER
    done: dict[int, int] = {}
    for number, seconds, ahead, breaks in attempts:
        now += seconds
        try:
            check_once(store, bytes([number]) * 16, iat=now + ahead, now=now)
        except Refusal:
            continue
        if breaks:
            take_back(store, bytes([number]) * 16, now=now)
            continue
        assert now + ahead > done.get(number, 0) + GIVE_UP
        done[number] = now + ahead


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pauses=st.lists(st.integers(0, 100), max_size=60))
def test_new_operations_are_never_refused(make_store: MakeStore, pauses: list[int]) -> None:
    """While the clock goes forward, forgetting hinders nobody."""
    store, now = make_store(), LATER
    for pause in pauses:
        now += pause
        check_once(store, os.urandom(16), iat=now - OLDEST, now=now)


def test_of_many_threads_one_is_first(store: ReplayStore) -> None:
    start = Barrier(8)

    def attempts(_: int) -> list[bool]:
        start.wait(60)
        return [store.add(bytes([n]) * 16, since=LATER, now=LATER + n) for n in range(20)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempts, range(8)))
    assert [firsts.count(True) for firsts in zip(*answers, strict=True)] == [1] * 20
