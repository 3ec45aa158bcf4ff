"""Streams through real servers: live, whole, and in constant memory."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from flask_sealed.errors import Refusal
from flask_sealed.protocol.messages import Request

from ..driver import Reply, SealedCaller
from . import process
from .conftest import Service, Start, pins, settings
from .process import Server

MIB = 1024 * 1024
UPLOAD = Request(method="POST", target="/upload", content_type="application/octet-stream")


@pytest.fixture
def shared(service: Service) -> Iterator[Path]:
    """What the test shares with the application, without what earlier tests have left."""
    yield service.server.folder
    for name in ("produced", "uploads", "seen-0", "seen-1"):
        (service.server.folder / name).unlink(missing_ok=True)


def live(reply: Reply, server: Server) -> list[bytes]:
    """Reads pieces, and lets the application make each only when the one before has come."""
    got: list[bytes] = []
    for piece in reply.stream():
        assert len(server.notes("produced")) == len(got) + 1
        (server.folder / f"seen-{len(got)}").touch()
        got.append(piece)
    return got


def test_pieces_come_as_they_are_made(service: Service, shared: Path) -> None:
    reply = service.caller().get("/pieces", query="count=3")
    assert reply.content_type == "text/plain; charset=utf-8"
    assert live(reply, service.server) == [b"0 of 3;", b"1 of 3;", b"2 of 3;"]


def test_events(service: Service, shared: Path) -> None:
    reply = service.caller().get("/events", query="count=3")
    assert reply.content_type == "text/event-stream; charset=utf-8"
    assert live(reply, service.server) == [b"data: %d\n\n" % number for number in range(3)]


def test_a_download_that_breaks_never_looks_whole(service: Service, shared: Path) -> None:
    reply = service.caller().get("/broken")
    with pytest.raises((Refusal, HTTPException, OSError, EOFError)):
        list(reply.stream())


def test_a_worker_killed_in_the_middle(start: Start, tmp_path: Path) -> None:
    """What has come was authentic, and does not look whole."""
    server = start(process.gunicorn(tmp_path, settings(tmp_path)))
    reply = Service(server, pins(tmp_path)).caller().get("/pieces", query="count=2")
    stream = reply.stream()
    assert next(stream) == b"0 of 2;"
    os.kill(int(server.notes("making")[0]), signal.SIGKILL)
    with pytest.raises((Refusal, HTTPException, OSError, EOFError)):
        next(stream)


def test_a_file(service: Service, shared: Path) -> None:
    content = os.urandom(3 * MIB + 17)
    (shared / "file.bin").write_bytes(content)
    reply = service.caller().get("/file/file.bin", outer={"range": "bytes=0-9"})
    assert (reply.status, reply.content_type) == (200, "application/octet-stream")
    assert reply.content == content
    assert "etag" in dict(reply.headers)
    assert "etag" not in reply.raw.head.headers


@pytest.mark.parametrize("length", [None, 2 * MIB + 5])
def test_an_upload(service: Service, shared: Path, length: int | None) -> None:
    content = os.urandom(2 * MIB + 5)
    pieces = [content[at : at + 50_000] for at in range(0, len(content), 50_000)]
    reply = service.caller().post("/upload", content_iter=pieces, length=length)
    assert reply.json() == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


def test_a_cut_upload_never_looks_whole(service: Service, shared: Path) -> None:
    """The HTTP message is whole, the record stream has lost its end."""
    caller = service.caller()
    for cut in (1, 20, 60_000):
        attempt = caller.prepare(UPLOAD, stream=True)
        records = attempt.send.records
        assert records is not None
        body = records.seal(b"x" * 100_000) + records.finish(b"y")
        outer = caller.deliver(attempt.send, [body[:-cut]])
        assert attempt.open(outer)[0].status == 400
    assert service.server.notes("uploads") == []


def test_an_upload_whose_connection_ends(service: Service, shared: Path) -> None:
    caller = service.caller()
    attempt = caller.prepare(UPLOAD, stream=True)
    records = attempt.send.records
    assert records is not None
    body = records.seal(b"x" * 100_000)
    with socket.create_connection(("127.0.0.1", service.server.port)) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in attempt.send.headers)
        head = f"POST /upload HTTP/1.1\r\nhost: x\r\n{lines}transfer-encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"%x\r\n%b\r\n" % (len(body), body))
    assert caller.get("/what").status == 200
    assert service.server.notes("uploads") == []


def test_a_form_with_files(service: Service, shared: Path) -> None:
    part = b"--x\r\ncontent-disposition: form-data; name=%b\r\n\r\n%b\r\n"
    file = b'--x\r\ncontent-disposition: form-data; name=f; filename="f"\r\n\r\n%b\r\n--x--\r\n'
    content = part % (b"a", b"1") + file % (b"z" * 1_000_000)
    pieces = [content[at : at + 9999] for at in range(0, len(content), 9999)]
    kind = "multipart/form-data; boundary=x"
    for body in ({"content_iter": pieces}, {"data": content}):
        reply = service.caller().post("/form", content_type=kind, **body)
        assert reply.json() == {"form": {"a": "1"}, "files": {"f": 1_000_000}}


@pytest.fixture
def big(start: Start, tmp_path: Path) -> tuple[Server, SealedCaller]:
    """A server of one worker, warmed up."""
    server = start(process.gunicorn(tmp_path, settings(tmp_path), workers=1))
    caller = Service(server, pins(tmp_path)).caller()
    caller.post("/upload", content_iter=[b"x" * MIB])
    assert len(caller.get(f"/download/{MIB}").content) == MIB
    server.reset_peaks()
    return server, caller


def growth(server: Server, idle: dict[int, int]) -> int:
    """By how many bytes a worker was above its idle memory at the most."""
    return max(peak - idle[pid] for pid, peak in server.peaks().items())


def test_big_uploads_in_constant_memory(big: tuple[Server, SealedCaller]) -> None:
    server, caller = big
    idle = server.memory()
    reply = caller.post("/upload", content_iter=(b"x" * MIB for _ in range(128)))
    assert reply.json()["size"] == 128 * MIB
    assert growth(server, idle) < 16 * MIB


def test_big_downloads_in_constant_memory(big: tuple[Server, SealedCaller]) -> None:
    server, caller = big
    idle = server.memory()
    assert sum(map(len, caller.get(f"/download/{128 * MIB}").stream())) == 128 * MIB
    assert growth(server, idle) < 16 * MIB
