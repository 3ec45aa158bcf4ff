"""Bodies that never come: a few connections keep all workers waiting.

Property: who has no session cannot keep the bank from others by being slow. The attacker is anyone
who can reach it. Answer: the seal is opened before the body is awaited, and what has no right one
is answered at once; gunicorn then takes a second to close. Slow heads are the server's to bear,
and a client of the bank can be slow with what it has sealed: both are for the proxy in front.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from flask_sealed.protocol.flow import Send

from .app import TWIN
from .conftest import BODY, TRANSFER, Bank, Plain
from .raw import PATIENCE, head

JSON = (("content-type", "application/json"),)
#: As many as the bank has workers.
MANY = 2
#: How long an impatient client waits, in seconds.
SHORT = 1.5
#: How long the bank may take where it does not wait for a body: gunicorn ends a worker that has
#: waited for 30 seconds.
SOON = 20


@contextmanager
def slow(bank: Bank, send: Send) -> Iterator[list[socket.socket]]:
    """Connections that each announce a body, and send one byte of it."""
    with ExitStack() as stack:
        connections = []
        for _ in range(MANY):
            connection = socket.create_connection(("127.0.0.1", bank.server.port), PATIENCE)
            stack.enter_context(connection)
            connection.sendall(head(send, "Content-Length: 1000") + b"{")
            connections.append(connection)
        yield connections


def forged(bank: Bank) -> Send:
    """A request with the seal of somebody who has a ticket, and not its secret."""
    caller = bank.caller()
    attempt = caller.prepare(TRANSFER, BODY)
    seal = dict(attempt.send.headers)["sealed"]
    start, _, rest = seal.rpartition(".")
    return Send("POST", "/transfer", (*JSON, ("sealed", f"{start}.{'A' * len(rest)}")))


@pytest.mark.parametrize("kind", ["no seal", "forged"])
def test_without_a_right_seal(bank: Bank, kind: str) -> None:
    send = forged(bank) if kind == "forged" else Send("POST", "/transfer", JSON)
    caller = bank.caller()
    assert caller.get("/statement").status == 200
    with slow(bank, send) as connections:
        began = time.monotonic()
        assert caller.get("/statement").status == 200
        for connection in connections:
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
        assert time.monotonic() - began < SOON


def test_a_slow_hello(bank: Bank) -> None:
    """The one body that the bank has to read before it knows anyone: what the front is for."""
    caller = bank.caller()
    assert caller.get("/statement").status == 200
    with slow(bank, Send("POST", "/sealed/session", JSON)) as connections:
        connections[0].settimeout(SHORT)
        with pytest.raises(TimeoutError):
            connections[0].recv(100)
    # Gone with the connections.
    assert caller.get("/statement").status == 200


def test_control(bank: Bank) -> None:
    """Unsealed, every worker waits, and nobody else is answered."""
    with slow(bank, Send("POST", f"{TWIN}/transfer", JSON)) as connections:
        connections[0].settimeout(SHORT)
        with pytest.raises(TimeoutError):
            connections[0].recv(100)
        with socket.create_connection(("127.0.0.1", bank.server.port), SHORT) as impatient:
            impatient.sendall(head(Send("GET", f"{TWIN}/plain/ready", ())))
            with pytest.raises(TimeoutError):
                impatient.recv(100)
    assert Plain(bank.server.base, TWIN).get("/plain/ready").status == 200
