"""Each benchmark runs, in a tiny form, so that it is there when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest

from flask_sealed.protocol.flow import Send

from ..driver import HttpWire
from ..servers.process import Server
from . import __main__ as bench
from . import clients, growth, rivals, servers


def test_rivals() -> None:
    found = rivals.rivals()
    # Where `make rivals` has set them up.
    if find_spec("hpke_http"):
        from .others import others

        found += others()
    table = rivals.measure(found, sizes=(200, 20_000), turns=1)
    rivals.show(table)
    for row in table.values():
        assert {*row["times"]} == {*row["wire"]} == {200, 20_000}
        assert row["base"] in {"", *table}


def test_what_is_refused_is_known() -> None:
    def refuse(size: int, count: int) -> list[rivals.Work]:
        raise ValueError

    assert not rivals.takes(rivals.Rival("refuses", "", refuse, most=99), 100)
    with pytest.raises(ValueError):
        rivals.takes(rivals.Rival("fails", "", refuse, most=100), 100)


@pytest.mark.parametrize(
    "work", [bench.requests, bench.sessions, bench.handshakes, bench.exchanges, bench.records]
)
def test_parts(work: Callable[[], dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ROUNDS", 1)
    assert all(work().values())


def test_stores(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "ROUNDS", 1)
    bench.stores()
    assert "Redis, socket" in capsys.readouterr().out


def test_sessions_that_grow() -> None:
    grown = growth.sessions((1, 3), requests=5, turns=1)
    assert [*grown] == [1, 3]
    assert all({*row} == {"in clear", "sealed"} for row in grown.values())


def test_workers_that_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[int] = []

    def load(server: Server, sends: list[Send], seconds: int) -> dict[str, float]:
        # wrk would take a second at least.
        statuses.append(HttpWire(server.base).send(sends[0]).status)
        return {"requests": 1, "seconds": 1, "median": 1, "errors": 0, "statuses": 0}

    monkeypatch.setattr(servers, "load", load)
    monkeypatch.setattr(servers, "FIRST_GUESS", 1)
    assert growth.workers(1, turns=1, seconds=1) == {1: {"in clear": 1, "sealed": 1}}
    assert statuses == [200, 200]


def test_httpx() -> None:
    assert [*clients.in_httpx(calls=1)] == ["httpx, POST, memory", "httpx, POST, SQLite"]
