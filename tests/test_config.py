from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request

from flask_sealed import ConfigError, Sealed, sealed
from flask_sealed.config import Settings, load
from flask_sealed.keyfile import create_keyring, read_keyring
from flask_sealed.protocol.keys import KeyRing
from flask_sealed.protocol.messages import REQUEST_HEADERS

from .conftest import AUDIENCE, MakeApp, make_flask
from .peer import Peer
from .protocol.test_keys import variables

KEY = os.urandom(32).hex()
STORE = "redis://:hunter2@localhost"

Make = Callable[..., Flask]


@pytest.fixture
def make(tmp_path: Path, ring: KeyRing) -> Make:
    """Makes applications with all that one in production has to set."""

    def make(**settings: object) -> Flask:
        app = Flask("tests.app", instance_path=str(tmp_path))
        app.config.update(SEALED_AUDIENCE=AUDIENCE, SEALED_KEYRING=ring.to_json().decode())
        app.config.update(settings)
        return app

    return make


def read(app: Flask, **settings: object) -> Settings:
    app.config.update(settings)
    return load(app)


def local(make: Make, **settings: object) -> Flask:
    app = make(SEALED_AUDIENCE=None, SEALED_KEYRING=None)
    app.config.update(settings)
    return app


def test_secrets_leave_the_configuration_and_show_nowhere(make: Make, ring: KeyRing) -> None:
    app = make(SEALED_LEVEL3_KEY=KEY, SEALED_REPLAY_STORE="sqlite:///hunter2.db")
    Sealed(app)
    left = {"SEALED_LEVEL3_KEY", "SEALED_KEYRING", "SEALED_REPLAY_STORE"} & app.config.keys()
    assert not left
    side = app.extensions["sealed"]
    texts = (repr(app.config), repr(side), repr(side.settings), repr(vars(side)))
    for secret in (KEY, "hunter2", *secrets_of(ring)):
        assert not [text for text in texts if secret in text]


def secrets_of(ring: KeyRing) -> list[str]:
    text = ring.to_json().decode()
    return [part.partition('"')[0] for part in text.split('"d":"')[1:] + text.split('"k":"')[1:]]


def test_defaults(make: Make) -> None:
    settings = read(make())
    assert settings.profile == "session"
    assert settings.enabled is True
    assert settings.prefix == "/sealed"
    assert settings.lifetime == 3600
    assert settings.headers == REQUEST_HEADERS
    assert settings.public_paths == ()
    assert settings.tokens == "bound"
    assert settings.replay_store == "sqlite:///sealed-replay.db"
    assert settings.max_body == 16 * 1024 * 1024
    assert settings.require_https is True
    assert settings.level3_key is None


def test_level3_alone_needs_no_audience_and_no_keyring(make: Make, tmp_path: Path) -> None:
    settings = read(local(make), SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=KEY)
    assert settings.keyring is None
    assert not [*tmp_path.iterdir()]


def test_level3_with_a_keyring_has_sessions_too(make: Make) -> None:
    app = make(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=KEY, SEALED_AUDIENCE=None)
    with pytest.raises(ConfigError) as caught:
        load(app)
    assert "SEALED_AUDIENCE" in str(caught.value)
    app = make(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=KEY)
    assert load(app).keyring is not None


@pytest.mark.parametrize("mode", ["DEBUG", "TESTING"])
def test_in_debugging_and_tests_all_is_made(make: Make, tmp_path: Path, mode: str) -> None:
    for _ in range(2):
        settings = read(local(make), **{mode: True})
        assert settings.audience == "tests.app"
        assert settings.keyring is not None
        path = tmp_path / "sealed-keyring.json"
        assert settings.keyring.ring().to_json() == path.read_bytes()
    assert settings.replay_store.startswith("memory:" if mode == "TESTING" else "sqlite:")


def test_the_folder_of_the_keyring_is_made_too(make: Make, tmp_path: Path) -> None:
    read(local(make, SEALED_KEYRING="keys/ring.json"), TESTING=True)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    read_keyring(tmp_path / "keys" / "ring.json")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        read(local(make, SEALED_KEYRING="file/ring.json"), TESTING=True)
    assert "SEALED_KEYRING" in str(caught.value)


@pytest.mark.parametrize("kind", [str, Path])
def test_the_path_of_a_keyring(make: Make, tmp_path: Path, kind: type[Any]) -> None:
    kept = create_keyring(tmp_path / "kept.json")
    for path in (tmp_path / "kept.json", "kept.json"):
        settings = read(make(SEALED_KEYRING=kind(path)))
        assert settings.keyring is not None
        assert settings.keyring.ring().to_json() == kept.to_json()


@pytest.mark.parametrize("text", [str, str.encode])
def test_a_keyring_as_text(make: Make, ring: KeyRing, text: Callable[[str], object]) -> None:
    app = make(SEALED_KEYRING=text("\n " + ring.to_json().decode()))
    if text is str:
        keyring = load(app).keyring
        assert keyring is not None
        assert keyring.ring().to_json() == ring.to_json()
    else:
        with pytest.raises(ConfigError):
            load(app)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"SEALED_AUDIENCE": None}, ["SEALED_AUDIENCE", "https://"]),
        (
            {"SEALED_KEYRING": None},
            ["flask sealed keygen --keyring", "SEALED_KEYRING", "SEALED_PROFILE = 'level3'"],
        ),
        ({"SEALED_KEYRING": "none.json"}, ["flask sealed keygen --keyring", "none.json"]),
        ({"SEALED_ENABLED": False}, ["SEALED_ENABLED", "DEBUG", "TESTING"]),
    ],
)
def test_what_production_has_to_set(make: Make, missing: dict[str, Any], said: list[str]) -> None:
    app = make(**missing)
    with pytest.raises(ConfigError) as caught:
        Sealed(app)
    assert not [words for words in said if words not in str(caught.value)]
    assert "sealed" not in app.extensions


def test_a_keyring_that_others_can_read(make: Make, tmp_path: Path) -> None:
    create_keyring(tmp_path / "kept.json")
    (tmp_path / "kept.json").chmod(0o644)
    for debug in (True, False):
        app = make(SEALED_KEYRING="kept.json")
        app.debug = debug
        with pytest.raises(ConfigError) as caught:
            load(app)
        assert "chmod" in str(caught.value)


GOOD: list[tuple[str, object, str, object]] = [
    ("SEALED_AUDIENCE", "ü" * 127, "audience", "ü" * 127),
    ("SEALED_PREFIX", "/a/.well-known/b~c", "prefix", "/a/.well-known/b~c"),
    ("SEALED_SESSION_LIFETIME", 60, "lifetime", 60),
    ("SEALED_SESSION_LIFETIME", 43_200, "lifetime", 43_200),
    ("SEALED_SESSION_LIFETIME", 90.5, "lifetime", 90),
    ("SEALED_SESSION_LIFETIME", timedelta(hours=12), "lifetime", 43_200),
    ("SEALED_HEADERS", ["X-Tenant"], "headers", REQUEST_HEADERS | {"x-tenant"}),
    ("SEALED_HEADERS", {"DPoP", "accept"}, "headers", REQUEST_HEADERS | {"dpop"}),
    ("SEALED_HEADERS", (), "headers", REQUEST_HEADERS),
    ("SEALED_PUBLIC_PATHS", {"/": "/api/"}, "public_paths", (("/", "/api/"),)),
    (
        "SEALED_PUBLIC_PATHS",
        {"/a/": "/1/", "/b/": "/2/"},
        "public_paths",
        (("/a/", "/1/"), ("/b/", "/2/")),
    ),
    ("SEALED_TOKENS", "any", "tokens", "any"),
    ("SEALED_REPLAY_STORE", STORE, "replay_store", STORE),
    ("SEALED_MAX_BODY", 1, "max_body", 1),
    ("SEALED_REQUIRE_HTTPS", False, "require_https", False),
    ("SEALED_MASK_EXCEPTIONS", True, "mask_exceptions", True),
]


@pytest.mark.parametrize(("name", "value", "attribute", "expected"), GOOD)
def test_values(make: Make, name: str, value: object, attribute: str, expected: object) -> None:
    assert getattr(read(make(), **{name: value}), attribute) == expected


BAD: dict[str, list[object]] = {
    "SEALED_PROFILE": ["level4", 3, ""],
    "SEALED_ENABLED": ["no", 0],
    "SEALED_LEVEL3_KEY": ["00", b"x" * 32, "00" * 32],
    "SEALED_KEYRING": [
        "",
        5,
        b"{}",
        "{}",
        '{"keys":',
        [],
        '{"keys":[],"active":{},"more":1}',
        "redis://u:p/w@host",
        "rediss://host/x",
        "redis://a,b",
    ],
    "SEALED_KEYRING_KEY": ["00", b"x" * 32, "00" * 32],
    "SEALED_RELOAD": [0, 0.09, 3601, True, "1", timedelta(hours=2)],
    "SEALED_AUDIENCE": ["", "x" * 256, "ü" * 128, b"bank", 1, "\ud800"],
    "SEALED_HOST": ["", "Bank.example", "<tenant>", "a/b", "a b", "a:x", "a:123456", "[::g]", 5],
    "SEALED_PREFIX": ["", "/", "sealed", "/sealed/", "//x", "/a b", "/<x>", "/..", "/a/./b", 1],
    "SEALED_SESSION_LIFETIME": [
        *(59, 43_201, "3600", True, float("nan"), float("inf"), -60),
        *(timedelta(days=1), timedelta(seconds=1), [60]),
    ],
    "SEALED_PUBLIC_PATHS": [
        *({}, [("/", "/api/")], {"/": "/api"}, {"": "/"}, {"api/": "/"}, {1: "/"}, {"/": None}),
        *({"/": "/a/", "/b/": "/c/"}, {"/a/": "/", "/b/": "/c/"}, {"/a/": "/c/", "/b/": "/c/"}),
    ],
    "SEALED_TOKENS": ["none", True],
    "SEALED_REPLAY_STORE": ["memory", 1, Path("replay.db")],
    "SEALED_MAX_BODY": [0, "1MB", True, 1.5],
    "SEALED_REQUIRE_HTTPS": ["false", 1],
    "SEALED_MASK_EXCEPTIONS": ["true", 1],
}


@pytest.mark.parametrize("host", ["bank.example", "localhost:5000", "[::1]:5000", "xn--bcher-kva"])
@pytest.mark.parametrize("matching", ["host", "subdomain"])
def test_hosts(make_session_app: MakeApp, matching: str, host: str) -> None:
    app = make_session_app(matching, SEALED_HOST=host)
    assert app.extensions["sealed"].settings.host == host


def test_a_host_is_demanded_where_one_is_told_from_others_and_there_alone(
    make_session_app: MakeApp, peer: Peer
) -> None:
    for matching, settings in (("host", {}), ("none", {"SEALED_HOST": "bank.example"})):
        with pytest.raises(ConfigError):
            make_session_app(matching, **settings)
    assert make_session_app("subdomain").extensions["sealed"].settings.host == ""
    level3 = make_flask("host")
    level3.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=peer.secret.hex())
    Sealed(level3)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_mistakes_stop_the_application_and_name_the_setting(
    make: Make, name: str, value: object
) -> None:
    app = make(**{name: value})
    app.debug = True
    with pytest.raises(ConfigError) as caught:
        Sealed(app)
    assert str(caught.value).startswith(f"{name}: ")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "name",
    [
        *("Cookie", "cookie", "Host", "Connection", "Upgrade", "TE", "Trailer", "Keep-Alive"),
        *("Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Expect"),
        *("Forwarded", "X-Forwarded-For", "X-Forwarded-Prefix", "X-Real-IP", "True-Client-IP"),
        *("Via", "X-Original-URL", "X-Rewrite-URL", "Proxy-Authorization", "Sec-Fetch-Site"),
        *("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"),
        *("If-Match", "Range", "Origin", "Referer", "Sealed", "X_Tenant", "x tenant", "é", ""),
    ],
)
def test_headers_that_never_travel_sealed(make: Make, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(make(), SEALED_HEADERS=["X-Tenant", name])
    assert str(caught.value).startswith("SEALED_HEADERS: ")


@pytest.mark.parametrize("value", ["X-Tenant", 5, [5], [None], b"X"])
def test_headers_that_are_no_list_of_names(make: Make, value: object) -> None:
    with pytest.raises(ConfigError):
        read(make(), SEALED_HEADERS=value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("SEALED_LEVEL3_KEYS", "SEALED_LEVEL3_KEY"),
        ("SEALED_KEY_RING", "SEALED_KEYRING"),
        ("SEALED_LIFETIME", "SEALED_SESSION_LIFETIME"),
        ("SEALED_PUBLIC_PATH", "SEALED_PUBLIC_PATHS"),
        ("SEALED_xyz", "SEALED_"),
    ],
)
def test_unknown_names_are_told_with_the_nearest_right_one(
    make: Make, wrong: str, right: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(make(**{wrong: STORE}))
    assert wrong in str(caught.value)
    assert f"did you mean {right}" in str(caught.value)
    assert STORE not in variables(caught.value)


FAULTS: list[dict[str, Any]] = [
    {"SEALED_PROFILE": "levl3"},
    {"SEALED_XYZ": 1},
    {"SEALED_MAX_BODY": 0},
    {"SEALED_LEVEL3_KEY": KEY[:-1]},
    {"SEALED_LEVEL3_KEY": KEY[:-1] + "g"},
    {"SEALED_KEYRING": 5},
    {"SEALED_REPLAY_STORE": 5},
    {"SEALED_REPLAY_STORE": "hunter2"},
    {"SEALED_AUDIENCE": ""},
]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_has_a_frame_that_shows_a_secret(
    make: Make, ring: KeyRing, fault: dict[str, Any]
) -> None:
    settings = {"SEALED_LEVEL3_KEY": KEY, "SEALED_REPLAY_STORE": STORE} | fault
    app = make(**settings)
    with pytest.raises(ConfigError) as caught:
        load(app)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    shown = variables(caught.value) + str(caught.value)
    for secret in (KEY[:-1], "hunter2", *secrets_of(ring)):
        assert secret not in shown


def test_a_callable_of_the_application(make: Make, ring: KeyRing) -> None:
    keyring = load(make(SEALED_KEYRING=ring.to_json)).keyring
    assert keyring is not None
    assert keyring.ring().to_json() == ring.to_json()
    with pytest.raises(ConfigError):
        load(make(SEALED_KEYRING=lambda: "hidden"))


@pytest.mark.parametrize("given", [3, 0.5, timedelta(seconds=3)])
def test_how_often_a_worker_looks(make: Make, ring: KeyRing, given: Any) -> None:
    for source in (None, ring.to_json):
        more = {"SEALED_KEYRING": source} if source else {}
        keyring = load(make(SEALED_RELOAD=given, **more)).keyring
        assert keyring is not None
        assert keyring.reload == (3 if isinstance(given, timedelta) else given)
        keyring = load(make(**more)).keyring
        assert keyring is not None
        assert keyring.reload == (60 if source else 1)


def test_a_keyring_in_redis_is_in_no_frame(make: Make) -> None:
    uri = "redis://user:hunter2@127.0.0.1:1/0"
    for key in (None, KEY):
        with pytest.raises(ConfigError) as caught:
            load(make(SEALED_KEYRING=uri, SEALED_KEYRING_KEY=key))
        shown = variables(caught.value) + str(caught.value)
        assert not [secret for secret in ("hunter2", KEY[:-1]) if secret in shown]


def test_a_broken_keyring_is_in_no_frame(make: Make, ring: KeyRing) -> None:
    with pytest.raises(ConfigError) as caught:
        load(make(SEALED_KEYRING=ring.to_json().decode()[:-1]))
    shown = variables(caught.value) + str(caught.value)
    assert not [secret for secret in secrets_of(ring) if secret in shown]


@pytest.mark.parametrize("mode", ["DEBUG", "TESTING"])
def test_without_seals_views_run_as_if_they_were_not_marked(make: Make, mode: str) -> None:
    app = local(make, SEALED_ENABLED=False, **{mode: True})
    Sealed(app)

    @app.post("/view")
    @sealed(once=True)
    def view() -> Any:
        return {"got": request.get_json()}

    app.add_url_rule("/stream", "stream", sealed(lambda: iter(["a", "b"])))
    client = app.test_client()
    response = client.post("/view", json=[1])
    assert response.json == {"got": [1]}
    assert "Sealed" not in response.headers
    assert client.get("/stream").data == b"ab"
    assert client.get("/sealed/routes").status_code == 200
    # What keeps plain HTTP out stays.
    far = client.post("/view", json=[1], environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert far.status_code == (200 if mode == "TESTING" else 403)


def test_two_extensions_on_one_application(make_app: MakeApp) -> None:
    app = make_app()
    with pytest.raises(ConfigError):
        Sealed(app)


def test_one_extension_on_several_applications(make: Make) -> None:
    seal = Sealed()
    before = {name: list(value) for name, value in vars(seal).items()}
    for key in (KEY, os.urandom(32).hex()):
        app = make(SEALED_LEVEL3_KEY=key)
        seal.init_app(app)
        assert app.extensions["sealed"] is not None
    # It keeps nothing of them.
    assert vars(seal) == before
