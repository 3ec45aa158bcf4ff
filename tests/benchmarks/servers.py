"""What sealing costs behind a real server: ``make load``.

gunicorn is asked by wrk for a view behind ``jwt_required``, sealed and unsealed in turns within
one run. A sealed request counts once, so they are all sealed ahead, each time just before they are
sent. Then a stream of 1 GiB goes each way, in records and plain, and one worker answers
handshakes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from flask_sealed.protocol.encoding import json_encode
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.handshake import ClientHandshake
from flask_sealed.protocol.messages import Request

from ..driver import HttpWire, SealedCaller
from ..servers import process
from ..servers.conftest import AUDIENCE, Service, pins, settings
from ..servers.process import Server

SCRIPT = Path(__file__).with_name("load.lua")
MIB = 1024 * 1024
PIECE = 64 * 1024
#: Requests per second, before any were counted; three times as many are made ahead.
FIRST_GUESS = 2500
BODY = json_encode({"filler": "x" * (1024 - 13)})
JSON = ("content-type", "application/json")


@dataclass
class Side:
    """One of the two that are compared."""

    name: str
    server: Server
    #: Makes so many requests.
    make: Callable[[int], list[Send]]
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    answers: int = 0
    failures: int = 0
    memory: list[int] = field(default_factory=list)


def load(
    server: Server, sends: list[Send], seconds: int, *, again: bool = False
) -> dict[str, float]:
    """Let wrk send requests."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        for message in map(_message, sends):
            file.write(b"%d\n%b" % (len(message), message))
        file.flush()
        command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "--timeout=10s", f"-s{SCRIPT}"]
        command += [server.base, "--", file.name, "again" if again else "once"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if result["requests"] >= len(sends) and not again:
        raise RuntimeError(f"{len(sends)} requests were too few for {seconds} s")
    return result


def _message(send: Send) -> bytes:
    body = send.body or b""
    headers = (("host", "bank.example"), ("content-length", str(len(body))), *send.headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{send.method} {send.target} HTTP/1.1\r\n{lines}\r\n".encode() + body


def plain_requests(server: Server) -> Callable[[int], list[Send]]:
    login = Send("POST", "/login", (JSON,), b'{"user": "ada"}')
    token = HttpWire(server.base).send(login).json()["access_token"]
    send = Send("POST", "/me", (JSON, ("authorization", f"Bearer {token}")), BODY)
    return lambda count: [send] * count


def sealed_requests(caller: SealedCaller) -> Callable[[int], list[Send]]:
    token = caller.post("/login", json={"user": "ada"}).json()["access_token"]
    request = Request(
        method="POST",
        target="/me",
        content_type="application/json",
        headers=(("authorization", f"Bearer {token}"),),
    )
    return lambda count: [caller.prepare(request, BODY).send for _ in range(count)]


def turn(side: Side, seconds: int) -> None:
    fastest = max(side.rates, default=FIRST_GUESS)
    result = load(side.server, side.make(int(fastest * seconds * 3)), seconds)
    side.rates.append(result["requests"] / result["seconds"])
    side.latencies.append(result["median"] / 1000)
    side.answers += int(result["requests"])
    side.failures += int(result["errors"] + result["statuses"])
    side.memory.append(sum(side.server.memory().values()) // len(side.server.workers()))


def requests(sides: list[Side], *, minutes: float, seconds: int) -> None:
    """Requests per second of both, in turns."""
    turns = max(3, round(minutes * 60 / seconds))
    for _ in range(turns):
        for side in sides:
            turn(side, seconds)
    print(f"\njwt_required POST of 1 KB JSON, {turns} turns of {seconds} s each")
    print(
        f"{'':<12}{'per s':>9}{'ms':>8}{'answers':>10}{'errors':>8}{'MiB a worker over time':>38}"
    )
    for side in sides:
        step = max(1, len(side.memory) // 6)
        over_time = " ".join(f"{number / MIB:.1f}" for number in side.memory[::step])
        figures = f"{median(side.rates):>9.0f}{median(side.latencies):>8.2f}"
        print(f"{side.name:<12}{figures}{side.answers:>10}{side.failures:>8}{over_time:>38}")
    plain, sealed = (median(side.rates) for side in sides)
    print(f"sealed / plain: {sealed / plain:.3f}")


def streams(plain: Server, sealed: Server, caller: SealedCaller, size: int) -> None:
    """A stream each way, as fast as the server takes or makes it: what the client has to seal is
    sealed ahead, and what comes is counted."""
    block = bytes(range(256)) * (PIECE // 256)
    print(f"\nStreams of {size // MIB} MiB{'MiB/s':>20}{'worker above idle, MiB':>26}")
    rates: dict[str, float] = {}
    for name in ("download", "upload"):
        for server, is_sealed in ((plain, False), (sealed, True)):
            stream: list[bytes] = []
            target = "/upload" if name == "upload" else f"/download/{size}"
            method, kind = ("POST", "text/plain") if name == "upload" else ("GET", None)
            send = Send(method, target, (("content-type", kind),) if kind else ())
            if name == "upload":
                stream = [block] * (size // PIECE)
            if is_sealed:
                request = Request(method=method, target=target, content_type=kind)
                attempt = caller.prepare(request, stream=name == "upload")
                send, records = attempt.send, attempt.send.records
                if records is not None:
                    stream = [*map(records.seal, stream), records.finish()]
            server.reset_peaks()
            idle = server.memory()
            seconds = _transfer(server, send, stream, size)
            above = max(peak - idle[pid] for pid, peak in server.peaks().items())
            label = f"{name}, {'sealed' if is_sealed else 'plain'}"
            rates[label] = size / MIB / seconds
            print(f"{label:<28}{rates[label]:>12.0f}{above / MIB:>26.1f}")
        print(f"sealed / plain: {rates[f'{name}, sealed'] / rates[f'{name}, plain']:.3f}")


def _transfer(server: Server, send: Send, stream: list[bytes], size: int) -> float:
    start = time.perf_counter()
    outer = HttpWire(server.base, timeout=120).send(send, stream or None)
    got = 0
    while piece := outer.read_some():
        got += len(piece)
    if outer.status != 200 or (not stream and got < size):
        raise RuntimeError(f"{outer.status}: {outer.body[:300]!r}")
    return time.perf_counter() - start


def handshakes(server: Server, caller: SealedCaller, seconds: int) -> None:
    """Handshakes a second of one worker, which has a core for itself."""
    sends = []
    for _ in range(200):
        ephemeral = X25519PrivateKey.generate()
        hello = ClientHandshake(caller.binding, AUDIENCE, ephemeral=ephemeral, pins=None).hello
        sends.append(Send("POST", "/sealed/session", (JSON,), json_encode({"hello": hello})))
    result = load(server, sends, seconds, again=True)
    rate = result["requests"] / result["seconds"]
    print(f"\nHandshakes of one worker: {rate:.0f} a second, {result['statuses']:.0f} refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.5, help="of sealed requests")
    parser.add_argument("--seconds", type=int, default=5, help="of one turn")
    parser.add_argument("--kind", default="sync", help="of gunicorn's workers: sync, gthread")
    parser.add_argument("--mib", type=int, default=1024, help="of a stream")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def start(*, sealed: bool, workers: int) -> Server:
            config = settings(folder) if sealed else None
            return stack.enter_context(
                process.gunicorn(folder, config, workers=workers, kind=given.kind)
            )

        plain, sealed = (start(sealed=choice, workers=2) for choice in (False, True))
        caller = Service(sealed, pins(folder)).caller()
        print(f"gunicorn with 2 {given.kind} workers, {os.cpu_count()} cores shared with wrk")
        sides = [
            Side("plain", plain, plain_requests(plain)),
            Side("sealed", sealed, sealed_requests(caller)),
        ]
        requests(sides, minutes=given.minutes, seconds=given.seconds)
        streams(plain, sealed, caller, given.mib * MIB)
        handshakes(start(sealed=True, workers=1), caller, given.seconds)


if __name__ == "__main__":
    main()
