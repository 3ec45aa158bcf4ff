"""Clients against gunicorn: long streams in bounded memory, tokens, and keys that change."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from flask_sealed.clients.httpx import SealedTransport
from flask_sealed.clients.requests import SealedAdapter

from ..servers import process
from ..servers.conftest import AUDIENCE, pins, settings
from ..servers.process import Server

PIECE = bytes(range(256)) * 256
#: So many of them make 24 MiB.
PIECES = 384
#: The most that a client may need for a stream, in bytes.
MOST = 4 * 1024 * 1024
#: How long the server may take for anything.
SECONDS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with process.gunicorn(folder, settings(folder), kind="gthread", threads=16) as server:
        yield server


@pytest.fixture
def options(server: Server, folder: Path) -> dict[str, Any]:
    return {"audience": AUDIENCE, "origin": server.base, "pins": pins(folder)}


def stream() -> Iterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


def test_httpx_streams_in_bounded_memory(server: Server, options: dict[str, Any]) -> None:
    size = PIECES * len(PIECE)
    with httpx.Client(
        transport=SealedTransport(**options), base_url=server.base, timeout=SECONDS
    ) as client:
        client.get("/what")
        tracemalloc.start()
        assert client.post("/upload", content=stream()).json()["size"] == size
        received = 0
        with client.stream("GET", f"/download/{size}") as response:
            assert response.headers["content-type"] == "application/octet-stream"
            for piece in response.iter_bytes():
                received += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert received == size
    assert peak < MOST


def test_requests_streams_in_bounded_memory(server: Server, options: dict[str, Any]) -> None:
    size = PIECES * len(PIECE)
    with requests.Session() as session:
        session.mount("http://", SealedAdapter(**options))
        session.get(f"{server.base}/what")
        tracemalloc.start()
        assert session.post(f"{server.base}/upload", data=stream()).json()["size"] == size
        received = 0
        with session.get(f"{server.base}/download/{size}", stream=True) as response:
            for piece in response.iter_content(65_536):
                received += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert received == size
    assert peak < MOST


def test_a_token_outlives_the_program(
    server: Server, options: dict[str, Any], tmp_path: Path
) -> None:
    def client(**more: Any) -> httpx.Client:
        transport = SealedTransport(**options, **more)
        return httpx.Client(transport=transport, base_url=server.base, timeout=SECONDS)

    mine = tmp_path / "client.json"
    with client(binding=mine) as first:
        token = first.post("/login", json={"user": "ada"}).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    with client(binding=mine) as second, client() as thief:
        assert second.get("/me", headers=headers).json()["user"] == "ada"
        assert thief.get("/me", headers=headers).status_code == 401


def test_many_threads_and_a_server_whose_keys_have_changed(
    server: Server, options: dict[str, Any], tmp_path: Path
) -> None:
    """All of them meet a session that is unknown, and agree on one new session."""
    counted: list[str] = []

    class Counting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            counted.append(request.url.path)
            return super().handle_request(request)

    transport = SealedTransport(transport=Counting(), **options)
    service = transport._service
    with httpx.Client(transport=transport, base_url=server.base, timeout=SECONDS) as client:
        client.get("/what")
        # A ticket of another server's.
        keys: Any = service._keys
        found: Any = service._list
        kid = keys._key.kid
        other = replace(keys._key, kid=kid[:40] + ("A" if kid[40] != "A" else "B") + kid[41:])
        keys._key, service._list = other, (other, *found[1:])
        counted.clear()

        def ask(number: int) -> bool:
            sent = {"number": number}
            return bool(client.post("/echo", json=sent).json() == sent)

        with ThreadPoolExecutor(20) as pool:
            assert all(pool.map(ask, range(40)))
    assert counted.count("/sealed/session") == 1
    assert 41 <= counted.count("/echo") <= 60
