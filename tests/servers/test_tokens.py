"""Tokens of flask-jwt-extended behind real servers: made by one worker, taken by another."""

from __future__ import annotations

from ..driver import SealedCaller
from .conftest import Service


def log_in(caller: SealedCaller) -> dict[str, str]:
    token = caller.post("/login", json={"user": "ada"}).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def test_a_token_inside_the_seal(service: Service) -> None:
    caller = service.caller()
    token = log_in(caller)
    got = {"amount": 1}
    assert caller.post("/me", json=got, headers=token).json() == {"user": "ada", "got": got}
    assert caller.get("/me").status == 401
    # In clear it says nothing.
    assert caller.get("/me", outer=token).status == 401


def test_a_token_outlives_its_session(service: Service) -> None:
    first = service.caller()
    again = service.caller(binding=first.binding)
    assert again.get("/me", headers=log_in(first)).json()["user"] == "ada"
    assert [send.target for send in again.sent] == ["/sealed/session", "/me"]


def test_a_stolen_token(service: Service) -> None:
    token = log_in(service.caller())
    thief = service.caller()
    assert thief.get("/me", headers=token).status == 401
