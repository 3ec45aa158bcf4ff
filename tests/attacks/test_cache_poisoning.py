"""A cache in the way is made to give one user what was made for another.

Property: an answer reaches who has asked for it, and no one else can read it. The attacker shares
a cache with the victim, and makes it keep an answer that a header has spoiled, or one that is the
victim's own. Answer: sealed answers say that they are not to be kept. A cache that keeps them all
the same has ciphertext: nobody else can open it, and the victim's client takes no other's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_sealed import Refusal

from ..driver import SealedCaller
from ..servers import process
from ..servers.conftest import pins
from ..servers.process import Server
from .app import SECRET, TWIN
from .conftest import Bank, Plain, log_in, twin_log_in

EVIL = {"x-forwarded-host": "evil.example"}
CACHE = [
    "proxy_cache kept;",
    "proxy_cache_key $uri$is_args$args;",
    "proxy_cache_methods GET HEAD;",
    "add_header Cache-State $upstream_cache_status;",
]
# What some operators write to have anything kept at all.
STUBBORN = [
    "proxy_ignore_headers Cache-Control Expires Vary Set-Cookie;",
    "proxy_cache_valid any 1m;",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path


def cached(server: Server, folder: Path, lines: list[str]) -> Iterator[Bank]:
    keeps = [f"proxy_cache_path {folder}/kept keys_zone=kept:1m;"]
    with process.nginx(folder, server, lines=lines, http=keeps) as cache:
        yield Bank(cache, pins(server.folder))


@pytest.fixture
def well_behaved(server: Server, folder: Path) -> Iterator[Bank]:
    yield from cached(server, folder, CACHE)


@pytest.fixture
def stubborn(server: Server, folder: Path) -> Iterator[Bank]:
    yield from cached(server, folder, [*CACHE, *STUBBORN])


def kept(folder: Path) -> bytes:
    """All that the cache has kept."""
    files = (path for path in (folder / "kept").rglob("*") if path.is_file())
    return b"".join(path.read_bytes() for path in files)


def script(caller: SealedCaller) -> str:
    return str(caller.get("/welcome").json()["script"])


def test_a_spoiled_answer(well_behaved: Bank, folder: Path) -> None:
    attacker = well_behaved.caller()
    assert "evil" in attacker.get("/welcome", outer=EVIL).json()["script"]
    victim = well_behaved.caller()
    assert [script(victim) for _ in range(2)] == ["https://bank.example/app.js"] * 2
    assert kept(folder) == b""


def test_a_cache_that_keeps_all(stubborn: Bank, folder: Path) -> None:
    """The victim gets the attacker's answer, and takes it for what it is."""
    attacker = stubborn.caller()
    attacker.get("/welcome", outer=EVIL)
    victim = stubborn.caller()
    with pytest.raises(Refusal):
        script(victim)
    assert victim.raw.head.headers["cache-state"] == "HIT"
    assert b"evil.example" not in kept(folder)


def test_the_victims_answer(stubborn: Bank, folder: Path) -> None:
    """The cache keeps what was the victim's alone, and the attacker asks for it."""
    victim = stubborn.caller()
    token = log_in(victim)
    assert victim.get("/account", headers=token).json()["card"] == SECRET
    outer = stubborn.plain().get("/account")
    assert outer.head.headers["cache-state"] == "HIT"
    assert SECRET.encode() not in outer.read() + kept(folder)
    thief = stubborn.caller()
    with pytest.raises(Refusal):
        thief.get("/account", headers=token)


def test_control(well_behaved: Bank, folder: Path) -> None:
    """Unsealed, the victim has the attacker's script."""
    twin = well_behaved.twin()
    twin.get("/welcome", headers=EVIL).read()
    assert twin.get("/welcome").json()["script"] == "https://evil.example/app.js"
    assert b"evil.example" in kept(folder)


def test_control_of_what_is_kept(stubborn: Bank) -> None:
    """Unsealed, the attacker has the victim's card."""
    twin = stubborn.twin()
    assert twin.get("/account", headers=twin_log_in(twin)).json()["card"] == SECRET
    anyone = Plain(stubborn.server.base, TWIN)
    assert anyone.get("/account").json()["card"] == SECRET
