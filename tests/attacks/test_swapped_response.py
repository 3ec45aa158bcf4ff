"""Another answer in place of the right one: of another user, of another view, or of yesterday.

Property: an answer belongs to its request. The attacker stands at a proxy, and gives the victim an
answer that is genuine, from the same bank, and sealed. Answer: a response's keys come from the
session's secret and the request's own random name, so it opens for this request and no other.
"""

from __future__ import annotations

import pytest

from flask_sealed import Refusal

from ..driver import SealedCaller
from ..http_server import Answer
from .conftest import Bank, log_in, twin_log_in
from .middlebox import Middlebox


def give(box: Middlebox, answer: Answer) -> None:
    """Answer all that is asked with this."""
    box.on_answer = lambda send, _: answer


@pytest.fixture
def ada(bank: Bank, box: Middlebox) -> SealedCaller:
    return bank.victim(box)


def test_of_another_user(bank: Bank, box: Middlebox, ada: SealedCaller) -> None:
    token = log_in(ada)
    bob = bank.victim(box)
    assert bob.get("/limits", headers=log_in(bob, "bob")).json()["user"] == "bob"
    give(box, box.seen[-1][1])
    with pytest.raises(Refusal):
        ada.get("/limits", headers=token)


def test_of_the_attackers_own_session(bank: Bank, box: Middlebox, ada: SealedCaller) -> None:
    """Who has an account at the bank can have it seal nearly anything, for themselves."""
    token = log_in(ada)
    evil = bank.victim(box)
    evil.get("/statement?balance=0")
    give(box, box.seen[-1][1])
    with pytest.raises(Refusal):
        ada.get("/account", headers=token)


def test_of_another_view(box: Middlebox, ada: SealedCaller) -> None:
    token = log_in(ada)
    ada.get("/account", headers=token)
    give(box, box.seen[-1][1])
    with pytest.raises(Refusal):
        ada.get("/limits", headers=token)


def test_of_another_time(box: Middlebox, ada: SealedCaller) -> None:
    """The same question, answered a moment ago."""
    token = log_in(ada)
    ada.get("/account", headers=token)
    give(box, box.seen[-1][1])
    with pytest.raises(Refusal):
        ada.get("/account", headers=token)


def test_half_of_it(box: Middlebox, ada: SealedCaller) -> None:
    """The right seal over the body of another answer, and the other way round."""
    token = log_in(ada)
    ada.get("/account", headers=token)
    old = box.seen[-1][1]
    box.on_answer = lambda _, answer: Answer(answer.status, answer.headers, old.body)
    with pytest.raises(Refusal):
        ada.get("/account", headers=token)
    box.on_answer = lambda _, answer: Answer(answer.status, old.headers, answer.body)
    with pytest.raises(Refusal):
        ada.get("/account", headers=token)


def test_the_request_itself(box: Middlebox, ada: SealedCaller) -> None:
    """What the victim has sent comes back as the answer."""
    token = log_in(ada)
    box.on_request = lambda send: Answer(200, send.headers, send.body or b"")
    with pytest.raises(Refusal):
        ada.post("/transfer", json={}, headers=token)


def test_another_status(box: Middlebox, ada: SealedCaller) -> None:
    """The status in clear says nothing: the view's own is sealed."""
    ada.get("/statement")
    box.on_answer = lambda _, answer: Answer(500, answer.headers, answer.body)
    assert ada.get("/statement?a=1").status == 200
    box.on_answer = lambda _, answer: Answer(200, answer.headers, answer.body)
    assert ada.get("/account").status == 401


def test_control(bank: Bank, box: Middlebox) -> None:
    """Unsealed, the victim takes what comes; sealed and left alone, the answers are right."""
    twin = bank.twin(box)
    token, others = twin_log_in(twin), twin_log_in(twin, "bob")
    assert twin.get("/account", headers=others).json()["user"] == "bob"
    give(box, box.seen[-1][1])
    for path in ("/account", "/limits"):
        assert twin.get(path, headers=token).json()["user"] == "bob"
    box.on_answer = lambda _, answer: answer
    ada = bank.victim(box)
    assert ada.get("/account", headers=log_in(ada)).json()["user"] == "ada"
