from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask

from flask_sealed import ConfigError, Sealed, Unavailable
from flask_sealed.config import redis_source
from flask_sealed.keyredis import RedisSource
from flask_sealed.keysource import TOLERANCE, LiveRing
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.rotation import replace_tickets
from flask_sealed.stores.uri import parse_uri

from .clock import Ticks
from .conftest import AUDIENCE
from .driver import FlaskWire, SealedCaller
from .redis_server import RedisServer
from .test_keyfile import ring
from .test_keysource import same

_names = count()
SECRET = os.urandom(32)


@pytest.fixture
def name() -> str:
    return f"service {next(_names)}"


@pytest.fixture
def key(name: str) -> str:
    return f"flask-sealed:keyring:{name}"


def at(redis_server: RedisServer, name: str, secret: bytes = SECRET) -> RedisSource:
    place = parse_uri(redis_server.uri)
    assert place is not None
    return redis_source(place, name, AESGCM(secret))


@pytest.fixture
def source(redis_server: RedisServer, name: str) -> RedisSource:
    source = at(redis_server, name)
    source.put(ring())
    return source


def read(source: RedisSource) -> KeyRing:
    found = source.read(None)
    assert found is not None
    return found[1]


def test_round_trip(redis_server: RedisServer, name: str) -> None:
    kept = ring()
    at(redis_server, name).put(kept)
    found = at(redis_server, name).read(None)
    assert found is not None
    version, read = found
    assert same(read, kept)
    assert at(redis_server, name).read(version) is None


def test_redis_has_nothing_of_the_keys(
    redis_server: RedisServer, source: RedisSource, key: str
) -> None:
    with redis_server.client() as client:
        value = client.get(key)
    assert isinstance(value, bytes)
    for one in read(source).keys:
        assert one.kid.encode() not in value
    assert b"keys" not in value


def test_another_secret_or_name_opens_nothing(
    redis_server: RedisServer, source: RedisSource, name: str, key: str
) -> None:
    with pytest.raises(ConfigError):
        at(redis_server, name, os.urandom(32)).read(None)
    with redis_server.client() as client:
        client.copy(key, f"{key}, another")
    with pytest.raises(ConfigError):
        at(redis_server, f"{name}, another").read(None)


def test_a_user_with_the_rights_that_are_listed(
    redis_server: RedisServer, source: RedisSource, name: str
) -> None:
    rights = ["~flask-sealed:keyring:*", "+get", "+set", "+eval"]
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "bank", "on", ">word", *rights)
    place = parse_uri(redis_server.uri.replace("//", "//bank:word@"))
    assert place is not None
    user = redis_source(place, name, AESGCM(SECRET))
    user.put(replace_tickets(read(user), now=int(time.time()), random=os.urandom))
    assert same(read(user), read(source))


def test_whatever_is_changed_is_refused(
    redis_server: RedisServer, source: RedisSource, key: str
) -> None:
    with redis_server.client() as client:
        value = client.get(key)
        assert isinstance(value, bytes)
        for place in (0, 7, 8, 15, 16, 27, 28, 100, len(value) - 1):
            client.set(key, value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :])
            with pytest.raises(ConfigError) as caught:
                source.read(None)
            assert caught.value.__context__ is None
        for part in (b"", value[:27], value[:28], value[:-1], b"x"):
            client.set(key, part)
            with pytest.raises(ConfigError):
                source.read(None)
        client.delete(key)
        client.rpush(key, "a list")
        with pytest.raises(ConfigError):
            source.read(None)


def test_changes_at_the_same_time_are_all_made(source: RedisSource) -> None:
    def change(number: int) -> None:
        psk = Key(kid=str(number), purpose="psk", material=os.urandom(32))
        source.update(lambda ring: ring.add(psk))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(12)))
    names = {one.kid for one in read(source).keys if one.purpose == "psk"}
    assert names == {str(number) for number in range(12)}


def test_a_ring_that_was_put_back_is_not_used_nor_what_is_made_from_it(
    redis_server: RedisServer, source: RedisSource, key: str, name: str, ticks: Ticks
) -> None:
    live = LiveRing(source, reload=1)
    with redis_server.client() as client:
        stolen = client.get(key)
        assert isinstance(stolen, bytes)
        source.update(lambda ring: replace_tickets(ring, now=int(time.time()), random=os.urandom))
        ticks.now += 1
        kept = live.ring()
        client.set(key, stolen)
        ticks.now += 1
        assert live.ring() is kept
        # A command that starts now knows no better, and makes a newer one from it.
        at(redis_server, name).update(lambda ring: ring)
        ticks.now += 5
        assert live.ring() is kept
        ticks.now += TOLERANCE
        with pytest.raises(Unavailable):
            live.ring()
        # What is restored on purpose follows whatever there was.
        restored = ring()
        source.put(restored)
        ticks.now += 5
        assert same(live.ring(), restored)


def test_after_a_flush_a_copy_is_restored(
    redis_server: RedisServer, source: RedisSource, key: str, ticks: Ticks
) -> None:
    live = LiveRing(source, reload=1)
    kept = live.ring()
    with redis_server.client() as client:
        client.delete(key)
    ticks.now += 1
    assert live.ring() is kept
    with pytest.raises(ConfigError):
        source.read(None)
    with pytest.raises(ConfigError):
        source.update(lambda ring: ring)
    source.put(kept)
    ticks.now += 5
    assert same(live.ring(), kept)
    ticks.now += TOLERANCE
    assert same(live.ring(), kept)


def test_a_redis_that_does_not_answer(name: str, tmp_path: Path) -> None:
    place = parse_uri("redis://user:hidden@127.0.0.1:1/0")
    assert place is not None
    source = redis_source(place, name, AESGCM(SECRET))
    with pytest.raises(ConfigError) as caught:
        source.read(None)
    assert "hidden" not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(ConfigError):
        source.put(ring())
    assert "hidden" not in repr(source)


def test_an_application_with_its_keyring_in_redis(
    redis_server: RedisServer,
) -> None:
    source = at(redis_server, AUDIENCE)
    source.put(ring())

    def make(**settings: object) -> Flask:
        app = Flask("tests.app")
        app.config.update(SEALED_AUDIENCE=AUDIENCE, SEALED_REPLAY_STORE="memory://")
        app.config.update(SEALED_KEYRING=redis_server.uri, **settings)
        Sealed(app)
        return app

    app = make(SEALED_KEYRING_KEY=SECRET.hex())
    assert not any("KEYRING" in setting for setting in app.config)
    caller = SealedCaller(
        FlaskWire(app), audience=AUDIENCE, ring_pins=read(source).pins(int(time.time()))
    )
    assert caller.get("/sealed/routes").status == 200
    source.update(lambda ring: replace_tickets(ring, now=int(time.time()), random=os.urandom))
    app.extensions["sealed"].settings.keyring.look()
    assert caller.get("/sealed/routes").status == 200
    assert [send.target for send in caller.sent].count("/sealed/session") == 2
    for settings in ({}, {"SEALED_KEYRING_KEY": os.urandom(32).hex()}):
        with pytest.raises(ConfigError):
            make(**settings)
