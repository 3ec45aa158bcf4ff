"""Request smuggling: where one request ends, two servers see differently.

Property: what the bank takes for a sealed body is all that its client has sealed, and nothing that
follows it is taken for a request of that client. The attacker sends to a proxy that shares its
connections to the bank among its users, with a length told in two ways or told wrongly. Answer: a
sealed view refuses a body whose length is told in two ways, a record stream has its own end inside
the seal, and a request that was smuggled in has no seal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from flask_sealed.protocol.flow import RECORDS_TYPE, Send
from flask_sealed.protocol.messages import Request

from ..driver import Attempt, SealedCaller
from ..servers import process
from ..servers.conftest import pins, settings
from ..servers.process import Server
from .app import TWIN
from .conftest import APP, BODY, TRANSFER, Bank, forget_notes
from .raw import CHUNKED, chunks, head, say

UPLOAD = Request(method="POST", target="/upload", content_type="text/plain")
SMUGGLED = b"POST /transfer HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
VICTIMS = b"POST /transfer HTTP/1.1\r\nhost: x\r\nx-card: 4929-1814\r\n\r\n"
MINE = '"mine"'


@pytest.fixture(scope="module", params=["gunicorn", "gthread", "waitress", "flask", "nginx"])
def bank(request: pytest.FixtureRequest, server: Server) -> Iterator[Bank]:
    """Servers that differ in how they read lengths."""
    with ExitStack() as stack:
        folder, running = server.folder, server
        if request.param == "gthread":
            running = stack.enter_context(_keeping(folder))
        elif request.param == "nginx":
            running = stack.enter_context(process.nginx(folder, server))
        elif request.param == "waitress":
            running = stack.enter_context(process.waitress(folder, settings(folder), app=APP))
        elif request.param == "flask":
            running = stack.enter_context(process.development(folder, settings(folder), app=APP))
        yield Bank(running, pins(folder))


def _keeping(folder: Path) -> AbstractContextManager[Server]:
    """A server whose connections stay for another request."""
    return process.gunicorn(folder, settings(folder), kind="gthread", workers=1, app=APP)


@pytest.fixture(autouse=True)
def _clean(bank: Bank) -> Iterator[None]:
    forget_notes(bank.server)
    yield
    forget_notes(bank.server)


def upload(caller: SealedCaller, content: bytes = b"mine") -> tuple[Attempt, bytes]:
    """A sealed upload, and its record stream."""
    attempt = caller.prepare(UPLOAD, stream=True)
    records = attempt.send.records
    assert records is not None
    return attempt, records.seal(content) + records.finish()


def shows_one(bank: Bank) -> bool:
    return b"waitress" in Path(f"/proc/{bank.server.pid}/cmdline").read_bytes()


def test_two_lengths(bank: Bank) -> None:
    """The proxy heeds one, the bank the other: a request stands in what is left.

    waitress shows the application one of them only. The upload is then as it was sealed, and what
    is left is refused all the same.
    """
    attempt, body = upload(bank.caller())
    whole = chunks(body)
    for length in (len(whole), len(whole) + len(SMUGGLED), 4):
        lines = head(attempt.send, f"Content-Length: {length}", CHUNKED)
        said = say(bank.server, lines, whole, SMUGGLED)
        assert 200 not in said.statuses[1:]
    assert bank.server.notes("uploaded") == ([MINE] if shows_one(bank) else [])
    assert bank.server.notes("moved") == []


@pytest.mark.parametrize(
    "line",
    [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding:\tchunked",
        " Transfer-Encoding: chunked",
        "X: x\nTransfer-Encoding: chunked",
    ],
)
def test_a_length_in_disguise(bank: Bank, line: str) -> None:
    """Whichever of the two a server believes: the records are whole, or it is an error."""
    attempt, body = upload(bank.caller())
    whole = chunks(body)
    said = say(bank.server, head(attempt.send, f"Content-Length: {len(whole)}", line), whole)
    assert said.statuses[:1] != []
    assert bank.server.notes("uploaded") in ([], [MINE])
    assert bank.server.notes("moved") == []


def test_a_request_behind_the_records(bank: Bank) -> None:
    """What follows the end of the body is another request at most, and has no seal."""
    attempt, body = upload(bank.caller())
    said = say(bank.server, head(attempt.send, CHUNKED), chunks(body), SMUGGLED)
    assert said.statuses[0] == 200
    assert bank.server.notes("uploaded") == [MINE]
    assert bank.server.notes("moved") == []


def test_a_request_inside_the_records(bank: Bank) -> None:
    """In the body itself, behind the final record."""
    attempt, body = upload(bank.caller())
    said = say(bank.server, head(attempt.send, CHUNKED), chunks(body + SMUGGLED))
    assert said.statuses == [400]
    assert bank.server.notes("uploaded") == bank.server.notes("moved") == []


def test_the_next_users_request_as_content(bank: Bank) -> None:
    """The attacker's length is too long, so that what the next user sends completes it."""
    attempt, body = upload(bank.caller(), b"attacker's")
    lines = head(attempt.send, f"Content-Length: {len(body) + len(VICTIMS)}")
    say(bank.server, lines, body, VICTIMS)
    assert bank.server.notes("uploaded") == []


def test_a_body_behind_a_seal_without_one(bank: Bank) -> None:
    caller, bare = bank.caller(), replace(TRANSFER, content_type=None)
    lines = head(caller.prepare(bare).send, f"Content-Length: {len(SMUGGLED)}")
    assert say(bank.server, lines, SMUGGLED).statuses[0] == 400
    lines = head(caller.prepare(bare).send, CHUNKED)
    assert say(bank.server, lines, chunks(SMUGGLED)).statuses[0] == 400
    assert bank.server.notes("moved") == []


def test_control(bank: Bank) -> None:
    """Unsealed, the next user's request is the attacker's to read; sealed, an upload is whole."""
    send = Send("POST", f"{TWIN}/upload", (("content-type", "text/plain"),))
    said = say(bank.server, head(send, f"Content-Length: {4 + len(VICTIMS)}"), b"evil", VICTIMS)
    assert said.statuses[0] == 200
    (kept,) = bank.server.notes("uploaded")
    assert "x-card: 4929-1814" in kept
    attempt, body = upload(bank.caller())
    assert dict(attempt.send.headers)["content-type"] == RECORDS_TYPE
    assert say(bank.server, head(attempt.send, CHUNKED), chunks(body)).statuses == [200]
    assert bank.server.notes("uploaded")[1:] == [MINE]
    done = say(bank.server, head(Send("POST", f"{TWIN}/transfer", ()), "Content-Length: 2"), BODY)
    assert done.statuses[0] == 200
