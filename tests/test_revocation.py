"""Two applications with one store are two workers: what one revokes, both refuse."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt_identity,
    jwt_required,
)

from flask_sealed import (
    ConfigError,
    Refusal,
    Sealed,
    TokenUnbound,
    Unavailable,
    Untrusted,
    current,
    revoke,
    sealed,
)
from flask_sealed.keyfile import create_keyring, update_keyring
from flask_sealed.protocol.keys import Key
from flask_sealed.protocol.messages import Request
from flask_sealed.protocol.revocation import LASTS, Revocation
from flask_sealed.revocation import TOLERANCE, Revocations

from .clock import Ticks
from .conftest import AUDIENCE
from .driver import FlaskWire, SealedCaller

DAY = 24 * 3600
PSK = ("ledger", os.urandom(32))


def login() -> Any:
    return {
        "access": create_access_token("ada"),
        "refresh": create_refresh_token("ada"),
        "binding": current.binding,
        "sid": current.sid,
    }


def me() -> Any:
    return {"user": get_jwt_identity()}


def live(ended: list[str]) -> Iterator[bytes]:
    try:
        while True:
            yield b"on air"
    finally:
        ended.append("ended")


def logout() -> Any:
    days = request.args.get("days", type=int)
    current.revoke(lasts=days and timedelta(days=days))
    return {"bye": get_jwt_identity()}


Worker = Callable[..., Flask]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Makes the application as each worker has it."""
    create_keyring(tmp_path / "ring.json")

    def make(**settings: object) -> Flask:
        app = Flask("app", instance_path=str(tmp_path))
        app.config.update(
            SEALED_AUDIENCE=AUDIENCE,
            SEALED_KEYRING=tmp_path / "ring.json",
            SEALED_REPLAY_STORE="sqlite:///replay.db",
            JWT_SECRET_KEY="0f" * 32,
        )
        app.config.update(settings)
        JWTManager(app)
        # As if the store had begun long ago.
        app.debug = True
        Sealed(app)
        app.debug = False
        app.add_url_rule("/login", "login", sealed(login), methods=["POST"])
        mine = jwt_required()(me)
        app.add_url_rule("/me", "me", sealed(mine))
        app.add_url_rule("/refresh", "refresh", sealed(jwt_required(refresh=True)(me)))
        ended = app.extensions["ended"] = []
        app.add_url_rule("/live", "live", sealed(jwt_required()(lambda: live(ended))))
        app.add_url_rule("/live/open", "live_open", sealed(lambda: live([])))
        bye = sealed(jwt_required()(logout))
        app.add_url_rule("/logout", "logout", bye, methods=["POST"])
        app.add_url_rule("/plain", "plain", mine)
        return app

    return make


@pytest.fixture
def apps(worker: Worker) -> list[Flask]:
    return [worker(), worker()]


@pytest.fixture
def caller(apps: list[Flask]) -> SealedCaller:
    return SealedCaller(FlaskWire(apps[0]), audience=AUDIENCE)


def at(app: Flask, caller: SealedCaller) -> SealedCaller:
    """The same client, at another worker."""
    caller.wire = FlaskWire(app)
    return caller


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def handshakes(caller: SealedCaller) -> int:
    return sum(send.target == "/sealed/session" for send in caller.sent)


def revoke_in(app: Flask, **what: Any) -> None:
    with app.app_context():
        revoke(**what)


def learn(app: Flask) -> None:
    """Let half a second pass."""
    app.extensions["sealed"].revocations._next = 0.0


def next_second() -> None:
    time.sleep(1.05 - time.time() % 1)


def test_a_session_ends_and_its_client_makes_another(
    apps: list[Flask], caller: SealedCaller
) -> None:
    first = caller.post("/login").json()
    revoke_in(apps[1], session=first["sid"])
    learn(apps[0])
    for app in apps:
        second = at(app, caller).get("/me", headers=bearer(first["access"]))
        assert second.status == 200  # the token is the key's, and that stays
    assert handshakes(caller) == 2
    assert caller.post("/login").json()["sid"] != first["sid"]
    revoke_in(apps[0], session="another")
    assert caller.get("/sealed/routes").status == 200
    assert handshakes(caller) == 2


def test_a_key_gets_no_session_and_its_tokens_are_worth_nothing(
    apps: list[Flask], caller: SealedCaller
) -> None:
    given = caller.post("/login").json()
    other = SealedCaller(FlaskWire(apps[0]), audience=AUDIENCE)
    other.get("/sealed/routes")
    attempt = caller.prepare(Request(method="GET", target="/me"))
    revoke_in(apps[0], key=given["binding"])
    learn(apps[1])
    for app in apps:
        outer = at(app, caller).deliver(attempt.send)
        assert outer.json()["type"] == "urn:flask-sealed:session-unknown"
        # A new session is refused, too.
        with pytest.raises(Untrusted) as caught:
            caller.get("/me", headers=bearer(given["access"]))
        assert caught.value.code == "refused"
        assert caller.sent[-1].target == "/sealed/session"
        # The proof for a view that is not sealed needs a session, too.
        bare = app.test_client().get("/plain", headers=bearer(given["access"]))
        assert bare.status_code == 401
        assert at(app, other).get("/sealed/routes").status == 200
    assert handshakes(other) == 1


def test_a_user_s_tokens_are_refused_and_new_ones_are_not(
    apps: list[Flask], caller: SealedCaller
) -> None:
    given = caller.post("/login").json()
    revoke_in(apps[1], user="ada")
    learn(apps[0])
    for app in apps:
        reply = at(app, caller).get("/me", headers=bearer(given["access"]))
        assert reply.status == 401
        assert reply.json()["type"] == "urn:flask-sealed:token-unbound"
        assert caller.raw.status == 401
    assert handshakes(caller) == 1
    next_second()
    for app in apps:
        again = at(app, caller).post("/login").json()
        assert caller.get("/me", headers=bearer(again["access"])).status == 200


def test_a_user_s_tokens_on_views_that_are_not_sealed(worker: Worker) -> None:
    app = worker()
    with app.test_request_context():
        token = create_access_token("ada")
        others = create_access_token("bob")
    client = app.test_client()
    assert client.get("/plain", headers=bearer(token)).status_code == 200
    revoke_in(app, user="ada")
    response = client.get("/plain", headers=bearer(token))
    assert response.status_code == 401
    assert response.json is not None
    assert response.json["type"] == "urn:flask-sealed:token-unbound"
    assert client.get("/plain", headers=bearer(others)).status_code == 200


def test_a_subject_that_is_named_by_another_claim(worker: Worker) -> None:
    app = worker(JWT_IDENTITY_CLAIM="uid")
    with app.test_request_context():
        token = create_access_token("7")
    revoke_in(app, user=7)
    assert app.test_client().get("/plain", headers=bearer(token)).status_code == 401


def test_logout(apps: list[Flask], caller: SealedCaller) -> None:
    given = caller.post("/login").json()
    assert caller.get("/refresh", headers=bearer(given["refresh"])).status == 200
    reply = caller.post("/logout", headers=bearer(given["access"]))
    assert (reply.status, reply.json()) == (200, {"bye": "ada"})
    learn(apps[1])
    for app in apps:
        for path, token in (("/me", "access"), ("/refresh", "refresh")):
            reply = at(app, caller).get(path, headers=bearer(given[token]))
            assert reply.status == 401
            assert reply.json()["type"] == "urn:flask-sealed:token-unbound"
    # One more, since the session has ended; and the client may log in again.
    assert handshakes(caller) == 2
    next_second()
    again = caller.post("/login").json()
    assert again["binding"] == given["binding"]
    assert caller.get("/refresh", headers=bearer(again["refresh"])).status == 200


@pytest.mark.parametrize("kind", ["session", "key", "user"])
def test_a_stream_ends_with_what_it_was_opened_for(
    apps: list[Flask], caller: SealedCaller, ticks: Ticks, kind: str
) -> None:
    given = caller.post("/login").json()
    stream = caller.get("/live", headers=bearer(given["access"])).stream()
    others = SealedCaller(FlaskWire(apps[0]), audience=AUDIENCE).get("/live/open").stream()
    assert next(stream) == next(others) == b"on air"
    names = {"session": given["sid"], "key": given["binding"], "user": "ada"}
    revoke_in(apps[1], **{kind: names[kind]})
    ticks.now += 0.99
    assert next(stream) == b"on air"
    ticks.now += 0.01
    # What comes then is no end.
    with pytest.raises(Refusal):
        next(stream)
    assert [next(others) for _ in range(9)] == [b"on air"] * 9
    assert apps[0].extensions["ended"] == ["ended"]


def test_streams_ask_as_seldom_as_requests_do(
    apps: list[Flask], caller: SealedCaller, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [caller.get("/live/open").stream() for _ in range(5)]
    monkeypatch.setattr(apps[0].extensions["sealed"].revocations, "_store", store := Store())
    for seconds in range(1, 4):
        ticks.now += 1
        for stream in streams * 3:
            assert next(stream) == b"on air"
        assert store.calls == seconds
    store.down = True
    ticks.now += TOLERANCE - 0.1
    assert [next(stream) for stream in streams] == [b"on air"] * 5
    ticks.now += 1
    for stream in streams:
        with pytest.raises(Refusal):
            next(stream)


def test_a_pre_shared_key(worker: Worker, tmp_path: Path) -> None:
    key = Key(kid=PSK[0], purpose="psk", material=PSK[1])
    update_keyring(tmp_path / "ring.json", lambda ring: ring.add(key))
    app = worker()
    caller = SealedCaller(FlaskWire(app), audience=AUDIENCE, psk=PSK)
    assert caller.get("/sealed/routes").status == 200
    revoke_in(app, key="psk:ledger")
    with pytest.raises(Untrusted) as caught:
        caller.get("/sealed/routes")
    assert caught.value.code == "refused"


def test_what_is_revoked_lasts_as_long_as_it_is_told(
    apps: list[Flask], caller: SealedCaller
) -> None:
    given = caller.post("/login").json()
    revoke_in(apps[0], user="ada", lasts=timedelta(seconds=20))
    assert caller.get("/me", headers=bearer(given["access"])).status == 401
    side = apps[0].extensions["sealed"]
    side.clock = lambda: time.time() + 21
    caller.clock.server_time = side.now  # type: ignore[method-assign]
    assert caller.get("/me", headers=bearer(given["access"])).status == 200


@pytest.mark.parametrize("expires", [timedelta(days=90), 90 * DAY, False])
@pytest.mark.parametrize("undone", ["logout", "user"])
def test_what_is_revoked_lasts_longer_than_the_tokens_that_an_application_makes(
    worker: Worker, expires: object, undone: str
) -> None:
    app = worker(JWT_REFRESH_TOKEN_EXPIRES=expires)
    caller = SealedCaller(FlaskWire(app), audience=AUDIENCE)
    given = caller.post("/login").json()
    if undone == "logout":
        assert caller.post("/logout", headers=bearer(given["access"])).status == 200
    else:
        revoke_in(app, user="ada")
    side = app.extensions["sealed"]
    for days, status in ((89, 401), (100 if expires else 3000, 200 if expires else 401)):
        side.clock = lambda days=days: time.time() + days * DAY
        later = SealedCaller(FlaskWire(app), audience=AUDIENCE, binding=caller.binding)
        assert later.get("/refresh", headers=bearer(given["refresh"])).status == status


def test_a_logout_lasts_as_long_as_it_is_told(worker: Worker) -> None:
    app = worker()
    caller = SealedCaller(FlaskWire(app), audience=AUDIENCE)
    given = caller.post("/login").json()
    assert caller.post("/logout?days=365", headers=bearer(given["access"])).status == 200
    app.extensions["sealed"].clock = lambda: time.time() + 364 * DAY
    later = SealedCaller(FlaskWire(app), audience=AUDIENCE, binding=caller.binding)
    assert later.get("/refresh", headers=bearer(given["refresh"])).status == 401


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"session": ""},
        {"user": ""},
        {"key": "x" * 2000},
        {"user": "ada", "lasts": 0},
        {"user": "ada", "lasts": timedelta(days=-1)},
    ],
)
def test_nothing_to_revoke(worker: Worker, what: dict[str, Any]) -> None:
    app = worker()
    with pytest.raises(ConfigError):
        revoke_in(app, **what)
    assert not [*app.extensions["sealed"].revocations._revoked]


def test_an_application_without_sessions() -> None:
    app = Flask("app")
    with pytest.raises(ConfigError):
        revoke_in(app, user="ada")
    app.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=os.urandom(32).hex())
    Sealed(app)
    with pytest.raises(ConfigError):
        revoke_in(app, user="ada")
    with app.test_request_context(), pytest.raises(ConfigError):
        current.revoke()


class Store:
    """A store that counts, and can be down."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, Revocation]] = []
        self.down = False
        self.calls = 0

    def revoke(self, revocations: list[Revocation], *, now: int) -> None:
        self._answer()
        for one in revocations:
            if one not in [kept for _, kept in self.kept]:
                self.kept.append((len(self.kept) + 1, one))

    def since(self, number: int) -> list[tuple[int, Revocation]]:
        self._answer()
        return [kept for kept in self.kept if kept[0] >= number]

    def _answer(self) -> None:
        self.calls += 1
        if self.down:
            raise Unavailable("down")


NOW = 1_800_000_000


def refuses(revocations: Revocations, user: str) -> bool:
    try:
        revocations.demand_token(None, user, NOW, NOW)
    except TokenUnbound:
        return True
    return False


def of_user(name: str) -> Revocation:
    return Revocation(kind="user", name=name, at=NOW, exp=NOW + LASTS)


@pytest.fixture
def store(ticks: Ticks) -> Store:
    return Store()


@pytest.fixture
def revocations(store: Store) -> Revocations:
    return Revocations(store)


def test_a_worker_asks_twice_a_second_at_most(
    store: Store, revocations: Revocations, ticks: Ticks
) -> None:
    for _ in range(100):
        assert not refuses(revocations, "ada")
    assert store.calls == 1
    store.kept.append((1, of_user("ada")))
    ticks.now += 0.49
    assert not refuses(revocations, "ada")
    ticks.now += 0.01
    assert refuses(revocations, "ada")
    assert store.calls == 2


def test_a_name_is_one_line_of_the_log(
    revocations: Revocations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    revocations.revoke(of_user("zoë\nrevoked: user bob\x1b[2J"), now=NOW)
    assert caplog.messages == [r"revoked: user zoë\nrevoked: user bob\x1b[2J"]


def test_what_a_worker_revokes_itself_it_refuses_at_once(
    store: Store, revocations: Revocations
) -> None:
    assert not refuses(revocations, "ada")
    revocations.revoke(of_user("ada"), now=NOW)
    assert refuses(revocations, "ada")
    store.down = True
    with pytest.raises(Unavailable):
        revocations.revoke(of_user("bob"), now=NOW)
    assert not refuses(revocations, "bob")


def test_a_store_that_is_down_is_waited_for_but_not_for_ever(
    store: Store, revocations: Revocations, ticks: Ticks
) -> None:
    revocations.revoke(of_user("ada"), now=NOW)
    assert refuses(revocations, "ada")
    store.down = True
    ticks.now += 1
    calls = store.calls
    for _ in range(10):
        assert refuses(revocations, "ada")
        assert not refuses(revocations, "bob")
    assert store.calls == calls + 1
    ticks.now += TOLERANCE - 1.01
    assert not refuses(revocations, "bob")
    ticks.now += 0.02
    calls = store.calls
    for _ in range(10):
        with pytest.raises(Unavailable):
            refuses(revocations, "bob")
        with pytest.raises(Unavailable):
            revocations.demand_key("any", NOW)
    assert store.calls <= calls + 1
    store.down = False
    ticks.now += 5
    assert not refuses(revocations, "bob")
    assert refuses(revocations, "ada")


def test_safe_requests_stop_when_nobody_knows_what_was_revoked(
    apps: list[Flask], caller: SealedCaller, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert caller.get("/sealed/routes").status == 200
    refused = Request(method="GET", target="/sealed/routes")
    monkeypatch.setattr(apps[0].extensions["sealed"].revocations, "_store", store := Store())
    store.down = True
    ticks.now += TOLERANCE - 1
    assert caller.get("/sealed/routes").status == 200
    ticks.now += 1
    outer, _ = caller.attempt(refused)
    assert (outer.status, outer.json()["type"]) == (503, "urn:flask-sealed:unavailable")


def test_a_worker_that_never_heard_from_its_store(
    store: Store, revocations: Revocations, ticks: Ticks
) -> None:
    store.kept.append((1, of_user("ada")))
    store.down = True
    for _ in range(3):
        with pytest.raises(Unavailable):
            refuses(revocations, "ada")
    assert store.calls == 1
    store.down = False
    ticks.now += 5
    assert refuses(revocations, "ada")


def test_what_a_store_has_lost_a_worker_puts_back(
    store: Store, revocations: Revocations, ticks: Ticks
) -> None:
    revocations.revoke(of_user("ada"), of_user("bob"), now=NOW)
    ticks.now += 1
    assert refuses(revocations, "ada")
    store.kept = []
    ticks.now += 1
    assert refuses(revocations, "ada")
    assert {one.name for _, one in store.kept} == {"ada", "bob"}
    # Others that start now know of them, too.
    assert refuses(Revocations(store), "bob")
    store.kept = [(7, of_user("cid"))]
    ticks.now += 1
    for name in ("ada", "bob", "cid"):
        assert refuses(revocations, name)
    assert len(store.kept) == 3
