"""A flood of handshakes, to fill what the bank remembers.

Property: who has no account cannot use up the bank's memory, and handshakes of others do not touch
anyone's session. The attacker is anyone who can reach the bank, and may make as many sessions as
they like. Answer: the server keeps nothing of a session. What it needs is in the ticket, which the
client keeps. What a handshake costs to compute is for a limit of rates in front.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from flask_sealed.protocol.handshake import ClientHandshake

from ..driver import Outer
from ..servers.conftest import AUDIENCE
from .app import KEPT
from .conftest import TRANSFER, Bank, code

#: How many handshakes there are.
MANY = 400
THREADS = 4
#: By how many bytes the workers may grow, together.
MOST = MANY * KEPT // 4


def flood(send: Callable[[int], Outer]) -> Counter[int]:
    """The statuses of as many requests."""

    def one(number: int) -> int:
        outer = send(number)
        outer.read()
        return outer.status

    with ThreadPoolExecutor(THREADS) as threads:
        return Counter(threads.map(one, range(MANY)))


def grown(bank: Bank, work: Callable[[], object]) -> int:
    """By how many bytes the workers have grown."""
    before = sum(bank.server.memory().values())
    work()
    return sum(bank.server.memory().values()) - before


def hello() -> str:
    return ClientHandshake(
        Ed25519PrivateKey.generate(), AUDIENCE, ephemeral=X25519PrivateKey.generate(), pins=None
    ).hello


@pytest.fixture
def warm(bank: Bank) -> Bank:
    flood(lambda _: bank.plain().post("/sealed/session", json={"hello": hello()}))
    return bank


def test_new_sessions(warm: Bank) -> None:
    victim = warm.caller()
    assert victim.get("/statement").status == 200
    store = warm.server.folder / "replay.db"
    before = store.stat().st_size
    statuses: Counter[int] = Counter()

    def work() -> None:
        say = warm.plain().post
        statuses.update(flood(lambda _: say("/sealed/session", json={"hello": hello()})))

    assert grown(warm, work) < MOST
    assert statuses == {200: MANY}
    # Nothing of it is on the disk either, and the victim's session goes on.
    assert store.stat().st_size == before
    assert victim.get("/statement").status == 200
    assert [send.target for send in victim.sent] == ["/sealed/session"] + ["/statement"] * 2


def test_one_hello_again_and_again(warm: Bank) -> None:
    """A captured one: each answer has another ticket, and the attacker no secret to any."""
    body = {"hello": hello()}
    replies: list[str] = []

    def send(_: int) -> Outer:
        outer = warm.plain().post("/sealed/session", json=body)
        replies.append(json.loads(outer.read())["session"])
        return outer

    assert grown(warm, lambda: flood(send)) < MOST
    assert len(set(replies)) == MANY


def test_hellos_that_are_none(warm: Bank) -> None:
    header, payload, signature = hello().split(".")
    bad = [
        f"{header}.{payload}.{'A' * len(signature)}",
        f"{header}.{payload}A.{signature}",
        f".{payload}.{signature}",
        "",
        "." * 500,
    ]
    say = warm.plain().post

    def send(number: int) -> Outer:
        return say("/sealed/session", json={"hello": bad[number % len(bad)]})

    assert grown(warm, lambda: flood(send)) < MOST
    assert {code(send(number)) for number in range(len(bad))} <= {"refused", "malformed"}


def test_operations_of_nobody(warm: Bank) -> None:
    """Requests that do not open are not remembered."""
    store = warm.server.folder / "replay.db"
    attempt = warm.caller().prepare(TRANSFER, b"{}")
    before = store.stat().st_size
    seal = dict(attempt.send.headers)["sealed"]
    start, _, tag = seal.rpartition(".")
    headers = {"sealed": f"{start}.{'A' * len(tag)}"}
    assert flood(lambda _: warm.plain().post("/transfer", json={}, headers=headers)) == {400: MANY}
    assert store.stat().st_size == before
    # Not even the operation that the forged seal has stolen.
    assert warm.wire.send(attempt.send).status == 200


def test_control(warm: Bank) -> None:
    """A bank that keeps its sessions keeps them all."""
    twin = warm.twin()
    assert grown(warm, lambda: flood(lambda _: twin.post("/session"))) > MOST
