from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

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
    with pytest.raises(Malformed):
        check_once(MemoryStore(0), None, iat=NOW, now=NOW)


def test_a_store_that_has_just_begun_vouches_for_nothing_older() -> None:
    store = MemoryStore(NOW)
    for iat in (NOW - 60, NOW, NOW + 9):
        with pytest.raises(Unavailable):
            check_once(store, OP, iat=iat, now=NOW)
    check_once(store, OP, iat=NOW + 10, now=NOW + 10)


def test_a_full_store_refuses_rather_than_forgets() -> None:
    store = MemoryStore(0, most=2)
    for number in range(2):
        check_once(store, bytes([number]), iat=NOW, now=NOW)
    with pytest.raises(Unavailable):
        check_once(store, OP, iat=NOW, now=NOW)
    with pytest.raises(Replayed):
        check_once(store, b"\0", iat=NOW, now=NOW)
    check_once(store, OP, iat=NOW + 300, now=NOW + 300)


def test_of_many_at_once_one_is_first() -> None:
    store = MemoryStore(0)
    with ThreadPoolExecutor(16) as pool:
        firsts = list(pool.map(lambda _: store.add(OP, now=NOW, expires=NOW + 300), range(200)))
    assert firsts.count(True) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_safe_methods(method: str) -> None:
    assert is_safe(method)
    assert not is_safe(method.lower())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", ""])
def test_all_others_are_unsafe(method: str) -> None:
    assert not is_safe(method)
