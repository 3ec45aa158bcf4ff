"""A stolen token: who reads a JWT in a log or on a disk calls the bank with it.

Property: a token says who is calling, and nobody else can use it. The attacker has the token, a
client of their own, and nothing of the victim's keys. Answer: a token that was made in a sealed
exchange names the key of the client that it was made for, and a view takes it only with a seal
that proves that key.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from flask_sealed.protocol.messages import Request

from .conftest import Bank, bearer, log_in, twin_log_in


@pytest.mark.parametrize("path", ["/account", "/limits"])
def test_in_a_session_of_the_thiefs(bank: Bank, path: str) -> None:
    victim = bank.caller()
    token = log_in(victim)
    assert bank.caller().get(path, headers=token).status == 401
    assert victim.get(path, headers=token).json()["user"] == "ada"


@pytest.mark.parametrize("path", ["/account", "/clear/account"])
def test_without_a_seal(bank: Bank, path: str) -> None:
    """On views that are not sealed, too."""
    token = log_in(bank.caller())
    assert bank.plain().get(path, headers=token).status in {400, 401}


def test_beside_a_seal_of_the_thiefs(bank: Bank) -> None:
    """In clear next to a seal that says nothing of it, on both kinds of view."""
    token = log_in(bank.caller())
    for path in ("/account", "/clear/account"):
        attempt = bank.caller().prepare(Request(method="GET", target=path))
        headers = attempt.send.headers + tuple(token.items())
        outer = bank.wire.send(replace(attempt.send, headers=headers))
        answered = outer if path == "/clear/account" else attempt.open(outer)[0]
        assert answered.status == 401


def test_a_refresh_token(bank: Bank) -> None:
    victim = bank.caller()
    token = bearer(victim.post("/login", json={"user": "ada"}).json()["refresh"])
    assert bank.caller().post("/refresh", headers=token).status == 401
    assert bank.plain().post("/refresh", headers=token).status == 400
    again = bearer(victim.post("/refresh", headers=token).json()["access"])
    assert victim.get("/account", headers=again).json()["user"] == "ada"


def test_control(bank: Bank) -> None:
    """Unsealed, whoever has a token is its owner."""
    twin = bank.twin()
    token = twin_log_in(twin)
    assert twin.get("/account", headers=token).json()["user"] == "ada"
    refresh = bearer(twin.post("/login", json={"user": "ada"}).json()["refresh"])
    assert twin.post("/refresh", headers=refresh).status == 200
