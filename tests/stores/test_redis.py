from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from threading import Thread
from typing import TypeVar
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from flask_sealed.errors import Replayed, Unavailable
from flask_sealed.protocol.replay import ReplayStore, check_once
from flask_sealed.protocol.revocation import Revocation
from flask_sealed.stores import open_revocations, open_store, redis

from ..patience import AS_SHIPPED
from ..redis_server import RedisServer
from .conftest import LATER, begun

OP = bytes(range(16))
REPOSITORY = Path(__file__).parents[2]
_names = count()

T = TypeVar("T")


@pytest.fixture
def folder() -> Iterator[Path]:
    """The path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="sealed-") as made:
        yield Path(made)


@pytest.fixture
def own_server(folder: Path) -> Iterator[RedisServer]:
    """A server that a test may do anything to."""
    with RedisServer(folder) as server:
        yield server


def redis_store(uri: str, name: str = "test") -> ReplayStore:
    return open_store(uri, folder="/nowhere", name=name, clock=lambda: 0)


def begins_anew(store: ReplayStore) -> None:
    """It refuses what could have been before now, and goes on."""
    now = int(time.time())
    with pytest.raises(Unavailable):
        store.add(OP, since=now, now=now)
    assert store.add(os.urandom(16), since=LATER, now=LATER)


def old(server: RedisServer, name: str = "test") -> ReplayStore:
    """A store that has remembered everything for long."""
    store = begun(redis_store(server.uri, name))
    with server.client() as client:
        key = f"flask-sealed:ops:{name}"
        ((life, _),) = client.zrange(key, 0, 0, withscores=True)
        client.zadd(key, {life: -1})
    store.add(b"while it was well", since=2, now=LATER)
    assert not store.add(b"while it was well", since=2, now=LATER)
    return store


@pytest.fixture
def shared(redis_server: RedisServer) -> ReplayStore:
    return old(redis_server, f"shared {next(_names)}")


def refuses(store: ReplayStore) -> float:
    """:returns: after how many seconds."""
    start = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        store.add(OP, since=LATER, now=LATER)
    assert caught.value.__context__ is None
    return time.monotonic() - start


def refuses_within(store: ReplayStore, seconds: float) -> None:
    """It does so one time at least: the machine may be busy with something else at others."""
    assert any(refuses(store) < seconds for _ in range(10))


def in_time(work: Callable[[], T]) -> T:
    """What comes of it, as soon as the store is there."""
    end = time.monotonic() + 60
    while True:
        try:
            return work()
        except Unavailable:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_services_of_different_names_know_nothing_of_each_other(
    redis_server: RedisServer,
) -> None:
    one, two = (begun(redis_store(redis_server.uri, name)) for name in ("one", "two"))
    check_once(one, OP, iat=LATER, now=LATER)
    check_once(two, OP, iat=LATER, now=LATER)


def test_workers_share_what_they_know(redis_server: RedisServer) -> None:
    uris = (redis_server.uri, f"unix://{redis_server.socket}")
    one, two = (begun(redis_store(uri, "shared")) for uri in uris)
    check_once(one, OP, iat=LATER, now=LATER)
    with pytest.raises(Replayed):
        check_once(two, OP, iat=LATER, now=LATER)


def test_a_store_begins_when_redis_is_asked_first(redis_server: RedisServer) -> None:
    """Not when the request came that asks it: that may have waited. Clocks may differ by 10 s."""
    before = int(time.time())
    store = redis_store(redis_server.uri, f"waits {next(_names)}")
    with pytest.raises(Unavailable):
        store.add(OP, since=before + 10, now=before - 100)
    assert store.add(OP, since=int(time.time()) + 11, now=before)
    ahead = redis_store(redis_server.uri, f"ahead {next(_names)}")
    with pytest.raises(Unavailable):
        ahead.add(OP, since=LATER + 10, now=LATER)
    assert ahead.add(OP, since=LATER + 11, now=LATER)


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB ASYNC", "DEL", "RENAME"])
def test_a_server_that_is_emptied(own_server: RedisServer, command: str) -> None:
    store = old(own_server)
    key = {"DEL": ["flask-sealed:ops:test"], "RENAME": ["flask-sealed:ops:test", "other"]}
    with own_server.client() as client:
        client.execute_command(*command.split(), *key.get(command, []))
    begins_anew(store)


_ON_DISK = {
    "nothing": [],
    "a dump": ["--dbfilename", "d"],
    "a log": ["--appendonly", "yes", "--appendfsync", "everysec"],
}


@pytest.mark.parametrize("kept", _ON_DISK)
def test_a_server_that_is_killed_and_started_again(folder: Path, kept: str) -> None:
    """Whatever it remembers, it may have lost the last operations."""
    with RedisServer(folder, *_ON_DISK[kept]) as server:
        store = old(server)
        if kept == "a dump":
            with server.client() as client:
                client.save()
        assert store.add(b"after the dump", since=2, now=LATER)
        server.kill()
        refuses(store)
        now = int(time.time())
        server.start()
        for op in (b"while it was well", b"after the dump"):
            with pytest.raises(Unavailable):
                store.add(op, since=now, now=now)
        if kept != "nothing":
            assert not store.add(b"while it was well", since=LATER, now=LATER)
        begins_anew(store)


def _sync(replica: RedisServer, master: RedisServer) -> None:
    with replica.client() as client:
        client.replicaof("127.0.0.1", str(master.port))
        end = time.monotonic() + 60
        while client.info("replication")["master_link_status"] != "up":
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_replica_that_takes_over(folder: Path) -> None:
    """And gives back, as in a failover that nobody noticed."""
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    diskless = ["--repl-diskless-sync-delay", "0"]
    with RedisServer(folder / "a", *diskless) as one, RedisServer(folder / "b", *diskless) as two:
        store = old(one)
        _sync(two, one)
        replica = redis_store(two.uri)
        refuses(replica)  # it is read-only
        store = old(one)
        with two.client() as client:
            client.replicaof("NO", "ONE")
        _sync(one, two)
        refuses(store)
        with one.client() as client:
            client.replicaof("NO", "ONE")
        begins_anew(store)
        begins_anew(replica)


def test_what_is_evicted_takes_the_beginning_away(own_server: RedisServer) -> None:
    store = old(own_server)
    with own_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory-samples", "64")
        client.config_set("maxmemory", 3_000_000)
        # Redis takes which key is oldest from a clock of seconds, so it may take a while.
        for number in range(20_000):
            client.set(f"filler {number}", bytes(20_000))
            if not client.exists("flask-sealed:ops:test"):
                break
        else:
            raise AssertionError("it was not evicted")
    begins_anew(store)


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-random", "volatile-ttl"])
def test_policies_that_evict_what_expires(own_server: RedisServer, policy: str) -> None:
    store = old(own_server)
    with own_server.client() as client:
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", 3_000_000)
        for number in range(400):
            client.set(f"filler {number}", bytes(20_000), ex=100)
    assert not store.add(b"while it was well", since=2, now=LATER)


def test_a_full_server_refuses_rather_than_forgets(own_server: RedisServer) -> None:
    store = old(own_server)
    for number in range(40):
        store.add(number.to_bytes(16), since=2, now=LATER)
    with own_server.client() as client:
        client.config_set("maxmemory", 1)
        for now in (LATER, LATER + 300):
            with pytest.raises(Unavailable):
                store.add(OP, since=now, now=now)
        client.config_set("maxmemory", 0)
    for number in range(40):
        assert not store.add(number.to_bytes(16), since=2, now=LATER)


def test_a_key_of_another_type_refuses(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("flask-sealed:ops:of another type", "x")
    refuses(redis_store(redis_server.uri, "of another type"))


def test_a_server_that_hangs_refuses_soon(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "_PATIENCE", AS_SHIPPED[redis.__name__])
    used, new = in_time(lambda: old(own_server)), redis_store(own_server.uri)
    with own_server.hanging():
        for store in (used, new):
            refuses_within(store, 1.5)
    for store in (used, new):
        add = partial(store.add, b"while it was well", since=2, now=LATER)
        assert not in_time(add)


def test_a_server_that_is_not_there_refuses_at_once(own_server: RedisServer) -> None:
    store = redis_store(own_server.uri)
    own_server.kill()
    refuses_within(store, 0.5)
    refuses(redis_store("redis://no-such-host.invalid"))
    refuses_within(redis_store("unix:///no/such/socket"), 0.5)


def test_something_else_that_listens_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(20):
                connection, _ = listener.accept()
                with connection:
                    if not connection.recv(10_000):
                        return
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        refuses(redis_store(f"redis://127.0.0.1:{listener.getsockname()[1]}"))
        while thread.is_alive():
            socket.create_connection(listener.getsockname()).close()
            thread.join(0.05)


def test_scripts_and_connections_that_are_gone_hinder_nobody(
    redis_server: RedisServer, shared: ReplayStore
) -> None:
    with redis_server.client() as client:
        for command in ("SCRIPT FLUSH", "CLIENT KILL TYPE normal SKIPME yes"):
            client.execute_command(*command.split())
            time.sleep(0.05)
            assert shared.add(os.urandom(16), since=2, now=LATER)


def test_old_operations_are_forgotten(redis_server: RedisServer) -> None:
    name = f"grows {next(_names)}"
    store = old(redis_server, name)
    for step in range(3000):
        store.add(os.urandom(16), since=LATER + step - 200, now=LATER + step)
    with redis_server.client() as client:
        assert client.zcard(f"flask-sealed:ops:{name}") < 330


@pytest.mark.parametrize("password", ["simple", "p@ss:w/o?r#d%2F ü"])
def test_passwords(folder: Path, password: str, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(folder, "--requirepass", password) as server:

        def uri(user: str, word: str) -> str:
            return server.uri.replace("//", f"//{user}:{quote(word, safe='')}@")

        for user in ("", "default"):
            begins_anew(redis_store(uri(user, password), f"of {user}"))
        caplog.clear()
        for wrong in (uri("", "wr0ng"), uri("nobody", password), server.uri):
            refuses(redis_store(wrong))
    assert len(caplog.records) == 3
    for secret in ("wr0ng", password, quote(password)):
        assert secret not in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


RIGHTS = [
    *("~flask-sealed:ops:*", "~{flask-sealed:revoked:*"),
    *("+eval", "+evalsha", "+info", "+time", "+@sortedset"),
]


def test_a_user_with_the_rights_that_are_listed(own_server: RedisServer) -> None:
    uri = own_server.uri.replace("//", "//bank:word@")
    with own_server.client() as client:
        client.execute_command("ACL", "SETUSER", "bank", "on", ">word", *RIGHTS)
    begins_anew(redis_store(uri))
    revocations = open_revocations(uri, folder="/nowhere", name="test")
    revocations.revoke([Revocation(kind="user", name="ada", at=1, exp=LATER)], now=1)
    assert len(revocations.since(0)) == 1
    with own_server.client() as client:
        client.execute_command("ACL", "SETUSER", "bank", "-info")
    refuses(redis_store(uri))


def test_a_key_that_moves_to_another_server(folder: Path, own_server: RedisServer) -> None:
    """As a slot of a cluster does, or as who restores a copy has it."""
    old(own_server)
    (folder / "other").mkdir()
    with RedisServer(folder / "other") as other:
        with own_server.client() as client, other.client() as there:
            there.restore("flask-sealed:ops:test", 0, client.dump("flask-sealed:ops:test"))
        begins_anew(redis_store(other.uri))


def test_nothing_shows_the_password() -> None:
    store = redis_store("redis://user:geheim@127.0.0.1:1/0")
    refuses(store)
    shown = [repr(store), repr(vars(store)), repr(vars(vars(store)["_server"]))]
    assert "geheim" not in "".join(shown)


_FORK = """
import os, sys
from flask_sealed.stores import open_store
store = open_store(sys.argv[1], folder="/", name=sys.argv[2], clock=lambda: 0)
now = int(sys.argv[3])
assert store.add(b"before", since=now, now=now)
children = []
for child in range(4):
    children.append(os.fork())
    if not children[-1]:
        for number in range(100):
            assert store.add(bytes([child, number]), since=now, now=now)
        sys.exit(0)
for number in range(100):
    assert store.add(bytes([99, number]), since=now, now=now)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
assert not store.add(b"\\1\\1", since=now, now=now)
print("well")
"""


def test_a_worker_does_not_use_its_parents_connection(redis_server: RedisServer) -> None:
    name = f"forks {next(_names)}"
    begun(redis_store(redis_server.uri, name))
    done = subprocess.run(
        [sys.executable, "-c", _FORK, redis_server.uri, name, str(LATER)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("well\n", "")


def _certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1 that vouches for itself: ``cert.pem`` and ``key.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealed")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def test_tls(folder: Path) -> None:
    _certificate(folder)
    files = {name: str(folder / f"{name}.pem") for name in ("cert", "key")}
    options = ["--tls-cert-file", files["cert"], "--tls-key-file", files["key"]]
    with RedisServer(folder, *options, "--tls-auth-clients", "no") as server:
        with server.client() as client:
            client.config_set("port", 0)
            client.config_set("tls-port", server.port)
        address = f"127.0.0.1:{server.port}/0"
        begins_anew(redis_store(f"rediss://{address}?ssl_ca_certs={files['cert']}"))
        refuses(redis_store(f"rediss://{address}"))  # nobody vouches for it
        refuses(redis_store(f"rediss://{address}?ssl_ca_certs=/no/such/file"))
        refuses(redis_store(f"redis://{address}"))


def _make_cluster(nodes: list[RedisServer]) -> None:
    """Each node has a third of the slots."""
    for number, node in enumerate(nodes):
        with node.client() as client:
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    end = time.monotonic() + 60
    for node in nodes:
        with node.client() as client:
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                assert time.monotonic() < end
                time.sleep(0.05)


def test_a_cluster(folder: Path) -> None:
    options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "60000"]
    with ExitStack() as stack:
        nodes = [RedisServer(folder / str(number), *options) for number in range(3)]
        for node in nodes:
            node.folder.mkdir()
            stack.enter_context(node)
        _make_cluster(nodes)
        addresses = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        stores = [redis_store(f"redis+cluster://{addresses}", name) for name in "abcdef"]
        for store in stores:
            begins_anew(store)
            check_once(store, OP, iat=LATER, now=LATER)
            with pytest.raises(Replayed):
                check_once(store, OP, iat=LATER, now=LATER)
        homes = [node for node in nodes if _has(node, "flask-sealed:ops:a")]
        assert len(homes) == 1
        homes[0].client().flushall()
        begins_anew(stores[0])
        homes[0].kill()
        refuses(stores[0])
        homes[0].start()
        in_time(lambda: stores[0].add(bytes(16), since=LATER, now=int(time.time())))


def _has(node: RedisServer, key: str) -> bool:
    with node.client() as client:
        return key.encode() in client.keys("*")
