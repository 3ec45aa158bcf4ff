"""Record streams: uploads that a view reads, responses that it makes, piece by piece."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import (
    Flask,
    Response,
    abort,
    has_request_context,
    request,
    send_file,
    stream_with_context,
)
from flask import g as flask_g

from flask_sealed import Refusal, sealed
from flask_sealed.protocol.exchange import SealedStream
from flask_sealed.protocol.flow import RECORDS_TYPE
from flask_sealed.protocol.messages import Request
from flask_sealed.protocol.records import RecordSealer
from flask_sealed.streams import Download

from .conftest import MakeApp, MakeCaller
from .driver import FlaskWire, SealedCaller

MARKER = b"4242-4242"


def digest() -> dict[str, Any]:
    size, sha = 0, hashlib.sha256()
    while piece := request.stream.read(10_000):
        size += len(piece)
        sha.update(piece)
    return {"size": size, "sha": sha.hexdigest()}


@pytest.fixture
def app(make_session_app: MakeApp) -> Flask:
    app = make_session_app()
    app.add_url_rule("/digest", "digest", sealed(digest), methods=["POST"])
    return app


@pytest.fixture
def caller(app: Flask, make_caller: MakeCaller) -> SealedCaller:
    return make_caller(app)


# ------------------------------------------------------------------- uploads


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("sizes", [[], [1], [65_536], [65_537, 3], [100_000] * 5])
def test_uploads(
    app: Flask, make_caller: MakeCaller, sizes: list[int], told: bool, chunked: bool
) -> None:
    caller = make_caller(app)
    caller.wire = FlaskWire(app, chunked=chunked)
    pieces = [os.urandom(size) for size in sizes]
    length = sum(sizes) if told else None
    seen = caller.post("/digest", content_iter=pieces, length=length).json()
    whole = b"".join(pieces)
    assert seen == {"size": len(whole), "sha": hashlib.sha256(whole).hexdigest()}


def records(caller: SealedCaller, pieces: list[bytes], **more: Any) -> tuple[Any, list[bytes]]:
    """An upload that is sealed but not sent."""
    message = Request(method="POST", target="/digest", content_type="text/plain")
    attempt = caller.prepare(message, stream=True, **more)
    assert attempt.send.records is not None
    sealed_pieces = [attempt.send.records.seal(piece) for piece in pieces]
    return attempt, [*sealed_pieces, attempt.send.records.finish()]


def deliver(caller: SealedCaller, attempt: Any, pieces: list[bytes]) -> tuple[int, bytes]:
    outer = caller.deliver(replace(attempt.send, records=None), pieces)
    message, content = attempt.open(outer)
    return message.status, content


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_an_upload_that_was_cut_raises_in_the_read(
    app: Flask, make_caller: MakeCaller, chunked: bool, told: bool
) -> None:
    caller = make_caller(app)
    caller.wire = FlaskWire(app, chunked=chunked)
    read: list[bytes] = []

    def keep() -> Any:
        read.extend(request.stream.read(1000) for _ in range(20))
        return {}

    app.view_functions["digest"] = sealed(keep)
    pieces = [MARKER * 1000] * 3
    length = 3 * 9000 if told else None
    attempt, sent = records(caller, pieces, length=length)
    assert deliver(caller, attempt, sent[:2])[0] == 400
    assert len(read) < 20
    assert b"" not in read


def test_every_change_of_an_upload_is_refused(caller: SealedCaller) -> None:
    for change in ("flip", "swap", "repeat", "drop", "more", "cut"):
        attempt, sent = records(caller, [b"a" * 500, b"b" * 500, b"c" * 500])
        if change == "flip":
            sent[1] = sent[1][:40] + bytes([sent[1][40] ^ 1]) + sent[1][41:]
        elif change == "swap":
            sent[0], sent[1] = sent[1], sent[0]
        elif change == "repeat":
            sent.insert(1, sent[0])
        elif change == "drop":
            del sent[1]
        elif change == "more":
            sent.append(b"x")
        else:
            sent[-1] = sent[-1][:-1]
        assert deliver(caller, attempt, sent)[0] == 400


def test_an_upload_fails_again_when_it_is_read_again(app: Flask, caller: SealedCaller) -> None:
    def stubborn() -> Any:
        failures = 0
        for _ in range(3):
            try:
                request.stream.read()
            except Exception:
                failures += 1
        return {"failures": failures}

    app.view_functions["digest"] = sealed(stubborn)
    attempt, sent = records(caller, [b"x" * 500])
    assert deliver(caller, attempt, sent[:1]) == (200, b'{"failures":3}\n')


def test_an_upload_in_lines(app: Flask, caller: SealedCaller) -> None:
    app.view_functions["digest"] = sealed(lambda: {"lines": len(list(request.stream))})
    lines = [b"line %d\n" % number for number in range(1000)]
    assert caller.post("/digest", content_iter=lines).json() == {"lines": 1000}


def test_an_upload_that_a_hook_has_read_as_it_came(app: Flask, caller: SealedCaller) -> None:
    @app.before_request
    def read() -> None:
        flask_g.came = request.get_data()

    assert caller.post("/digest", content_iter=[MARKER] * 3).json()["size"] == 27
    assert MARKER not in repr(caller.sent).encode()


def test_an_upload_that_a_hook_has_taken_away(app: Flask, caller: SealedCaller) -> None:
    @app.before_request
    def take() -> None:
        if request.endpoint == "digest":
            request.stream.read()

    assert caller.post("/digest", content_iter=[MARKER] * 3).status == 400


def test_the_application_s_limit_holds_for_uploads(app: Flask, caller: SealedCaller) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 50_000
    assert caller.post("/digest", content_iter=[b"x" * 49_000]).status == 200
    for length in (None, 60_000):
        reply = caller.post("/digest", content_iter=[b"x" * 30_000] * 2, length=length)
        assert reply.status == 413


def test_an_upload_that_is_read_whole(app: Flask, caller: SealedCaller) -> None:
    app.view_functions["digest"] = sealed(lambda: {"size": len(request.get_data())})
    assert caller.post("/digest", content_iter=[b"x" * 70_000] * 3).json() == {"size": 210_000}


def test_uploaded_files_are_spooled(app: Flask, caller: SealedCaller) -> None:
    def files() -> Any:
        file = request.files["f"]
        sha = hashlib.sha256(file.read()).hexdigest()
        return {"sha": sha, "memory": isinstance(file.stream, io.BytesIO)}

    app.view_functions["digest"] = sealed(files)
    content = os.urandom(1_000_000)
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n'
    kind = "multipart/form-data; boundary=b"
    parts = [head, content, b"\r\n--b--\r\n"]
    seen = caller.post("/digest", content_iter=parts, content_type=kind).json()
    assert seen == {"sha": hashlib.sha256(content).hexdigest(), "memory": False}


def test_an_upload_that_the_view_does_not_read(app: Flask, caller: SealedCaller) -> None:
    app.view_functions["digest"] = sealed(lambda: {"a": 1})
    assert caller.post("/digest", content_iter=[MARKER]).status == 200


# ------------------------------------------------------------------- downloads


def test_pieces_leave_as_they_are_made(app: Flask, caller: SealedCaller) -> None:
    made: list[int] = []

    def events() -> Iterator[str]:
        for number in range(3):
            made.append(number)
            yield f"data: {number} {request.args['q']}\n\n"

    def view() -> Response:
        return Response(stream_with_context(events()), content_type="text/event-stream")

    app.add_url_rule("/events", "events", sealed(view))
    reply = caller.get("/events", query="q=4242-4242")
    outer = caller.raw.head.headers
    assert outer["content-type"] == RECORDS_TYPE
    assert outer["cache-control"] == "no-store, no-transform"
    assert outer["x-accel-buffering"] == "no"
    assert "content-length" not in outer
    assert reply.content_type == "text/event-stream"
    stream = reply.stream()
    for number in range(3):
        assert next(stream) == b"data: %d 4242-4242\n\n" % number
        assert made == list(range(number + 1))  # the next one is not there yet
    assert list(stream) == []
    assert MARKER not in caller.raw.body


def test_a_generator_without_a_context_has_none(
    make_session_app: MakeApp, make_caller: MakeCaller
) -> None:
    def view() -> Iterator[str]:
        yield str(has_request_context())

    bare = make_session_app()
    bare.add_url_rule("/bare", "bare", sealed(view))
    assert make_caller(bare).get("/bare").content == b"False"


def test_large_pieces_and_empty_ones(app: Flask, caller: SealedCaller) -> None:
    pieces: list[Any] = [b"", os.urandom(200_000), "", "ä", b"", os.urandom(65_536)]
    app.add_url_rule("/pieces", "pieces", sealed(lambda: iter(pieces)))
    whole = b"".join(piece.encode() if isinstance(piece, str) else piece for piece in pieces)
    assert caller.get("/pieces").content == whole


@pytest.mark.parametrize("size", [0, 10, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("wrapper", [True, False])
def test_files(
    app: Flask, make_caller: MakeCaller, tmp_path: Path, size: int, wrapper: bool
) -> None:
    class Served:
        """What servers offer for files; it sends them as they are."""

        def __init__(self, *_: object) -> None:
            raise AssertionError("a file would have left in clear")

    caller = make_caller(app)
    environ: dict[str, Any] = {"wsgi.file_wrapper": Served}
    if wrapper:
        caller.wire = FlaskWire(app, **environ)
    path = tmp_path / "file.bin"
    path.write_bytes(content := os.urandom(size))
    app.add_url_rule("/file", "file", sealed(lambda: send_file(path, as_attachment=True)))
    reply = caller.get("/file", outer={"range": "bytes=0-3", "if-none-match": '"*"'})
    assert (reply.status, reply.content) == (200, content)
    headers = dict(reply.headers)
    assert headers["content-disposition"] == "attachment; filename=file.bin"
    assert "etag" in headers
    assert not {"etag", "content-disposition", "last-modified"} & caller.raw.head.headers.keys()
    if size > 65_536:
        assert reply.answer.length == size
        assert caller.raw.head.headers["content-type"] == RECORDS_TYPE
        # Full records, and not the small pieces that files are read in.
        assert len(caller.raw.body) < size + 20 * (size // 65_536 + 2)


def test_a_response_that_breaks_off_is_never_taken_for_whole(
    app: Flask, caller: SealedCaller
) -> None:
    closed: list[str] = []

    def broken() -> Iterator[bytes]:
        try:
            yield MARKER
            raise ValueError(MARKER)
        finally:
            closed.append("closed")

    app.add_url_rule("/broken", "broken", sealed(lambda: broken()))
    reply = caller.get("/broken")
    stream = reply.stream()
    assert next(stream) == MARKER
    with pytest.raises((Refusal, ValueError)):
        list(stream)
    assert closed == ["closed"]


def test_what_broke_off_has_no_end_for_who_asks_again() -> None:
    """Werkzeug does not, and a middleware might."""

    def broken() -> Iterator[bytes]:
        yield MARKER
        raise ZeroDivisionError

    records = RecordSealer(AESGCM(bytes(32)), bytes(12))
    sealing = SealedStream("", b"", records)
    download = Download(broken(), sealing, live=True, goes_on=lambda: True)
    assert len(next(download)) > len(MARKER)
    with pytest.raises(ZeroDivisionError):
        next(download)
    assert list(download) == []


def test_a_client_that_leaves_closes_the_generator(app: Flask, caller: SealedCaller) -> None:
    closed: list[str] = []

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield MARKER
        finally:
            closed.append("closed")

    app.add_url_rule("/endless", "endless", sealed(lambda: endless()))
    reply = caller.get("/endless")
    next(reply.stream())
    caller.raw.close()
    assert closed == ["closed"]
    assert caller.request("HEAD", "/endless").content == b""


def test_a_stream_whose_headers_do_not_fit_the_seal(app: Flask, caller: SealedCaller) -> None:
    headers = {f"X-{number}": "x" * 90 for number in range(30)}
    app.add_url_rule("/many", "many", sealed(lambda: (iter([MARKER] * 3), headers)))
    reply = caller.get("/many")
    assert (reply.content, len(reply.headers)) == (MARKER * 3, 30)


def test_a_stream_that_a_handler_answers(app: Flask, caller: SealedCaller) -> None:
    app.register_error_handler(404, lambda _: (iter([MARKER, MARKER]), 404))
    app.add_url_rule("/missing", "missing", sealed(lambda: abort(404)))
    reply = caller.get("/missing")
    assert (reply.status, reply.content) == (404, MARKER * 2)
    assert MARKER not in caller.raw.body
