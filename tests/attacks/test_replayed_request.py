"""A captured request sent again, to move the money twice.

Property: an operation happens once. The attacker stands at a proxy and has the whole request, byte
for byte. Answer: the request names its operation inside the seal, all workers share one memory of
operations, which outlives them, and a request is taken in the minute after it was sealed only.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from ..driver import Attempt, Outer, SealedCaller
from .conftest import BODY, TRANSFER, Bank, at_each_worker, set_clock
from .middlebox import Middlebox

SENT = '["POST", "/transfer?", {"to": "bob", "amount": 1}]'


def capture(caller: SealedCaller) -> Attempt:
    attempt = caller.prepare(TRANSFER, BODY)
    assert caller.deliver(attempt.send).status == 200
    return attempt


def replay(bank: Bank, attempt: Attempt, times: int = 4) -> set[int]:
    """Send it again and again: the statuses inside the seals, 0 for an answer in clear."""
    return {_send_again(bank, attempt)[1] for _ in range(times)}


def replay_at_each_worker(bank: Bank, attempt: Attempt) -> dict[int, int]:
    """Likewise, and each worker gets it: its status by worker."""
    return at_each_worker(bank.server, lambda: _send_again(bank, attempt))


def _send_again(bank: Bank, attempt: Attempt) -> tuple[Outer, int]:
    outer = bank.wire.send(attempt.send)
    return outer, (attempt.open(outer)[0].status if "sealed" in outer.head.headers else 0)


def test_at_the_same_worker_and_at_others(bank: Bank) -> None:
    attempt = capture(bank.caller())
    assert list(replay_at_each_worker(bank, attempt).values()) == [409, 409]
    assert bank.server.notes("moved") == [SENT]


def test_after_a_restart(bank: Bank) -> None:
    attempt = capture(bank.caller())
    before = set(bank.server.workers())
    os.kill(bank.server.pid, signal.SIGHUP)
    end = time.monotonic() + 60
    while before & set(bank.server.workers()):
        assert time.monotonic() < end
        time.sleep(0.02)
    had = replay_at_each_worker(bank, attempt)
    assert set(had.values()) == {409}
    assert not before & set(had)
    assert bank.server.notes("moved") == [SENT]


@pytest.mark.parametrize(
    ("later", "status"), [(30, 409), (62, 400), (250, 400), (310, 400), (100_000, 0)]
)
def test_later(bank: Bank, later: int, status: int) -> None:
    """Within the window, after it, after the operation is forgotten, and after the session."""
    attempt = capture(bank.caller())
    set_clock(bank.server.folder, later)
    assert replay(bank, attempt) == {status}
    assert bank.server.notes("moved") == [SENT]


def test_one_that_never_arrived(bank: Bank, box: Middlebox) -> None:
    """Swallowed by the proxy, and sent when it suits the attacker: nobody has seen it yet."""
    attempt = bank.victim(box).prepare(TRANSFER, BODY)
    set_clock(bank.server.folder, 62)
    assert replay(bank, attempt) == {400}
    assert bank.server.notes("moved") == []
    # In its time it is what the victim wanted.
    set_clock(bank.server.folder, 0)
    assert replay(bank, attempt, 1) == {200}


def test_control(bank: Bank, box: Middlebox) -> None:
    """Unsealed, money moves each time."""
    bank.twin(box).post("/transfer", data=BODY, headers={"content-type": "application/json"})
    ((send, _),) = box.seen
    assert [box.forward(send).status for _ in range(3)] == [200] * 3
    assert bank.server.notes("moved") == [SENT] * 4
