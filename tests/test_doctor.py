"""``flask sealed doctor``: every finding is found, and a healthy application has none."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask_jwt_extended
import pytest
import sentry_sdk
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Blueprint, Flask
from flask.views import MethodView
from flask_jwt_extended import JWTManager
from sentry_sdk.transport import Transport
from werkzeug.middleware.proxy_fix import ProxyFix

from examples.bank import create_app
from flask_sealed import Sealed, sealed
from flask_sealed.cli import cli
from flask_sealed.doctor import CATALOGUE, examine
from flask_sealed.doctor.views import is_sensitive
from flask_sealed.keyfile import write_keyring
from flask_sealed.protocol.jwk import secret_bytes
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.rotation import new_ring

# Without ML-KEM-768 there is a finding in every application.
pytestmark = pytest.mark.kem

NOW = int(time.time())
DAY = 24 * 3600
STRONG = "0123456789abcdef0123456789abcdef"
GUNICORN = "GUNICORN_CMD_ARGS"

Make = Callable[..., Flask]


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    """As it is in production: the test's own, since no test of keys is to change others'."""
    keys = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    ring = new_ring(*keys, now=NOW, random=os.urandom)
    return ring.add(Key(kid="ledger", purpose="psk", material=os.urandom(32)))


@pytest.fixture
def make(tmp_path: Path, ring: KeyRing) -> Make:
    """Makes applications that are well set up, but for what is asked for."""
    tmp_path.chmod(0o700)

    def make(ring: KeyRing = ring, **settings: object) -> Flask:
        write_keyring(tmp_path / "ring.json", ring)
        app = Flask("tests.app", static_folder=None, instance_path=str(tmp_path))
        app.config.update(SEALED_AUDIENCE="bank", SEALED_KEYRING="ring.json")
        app.config.update(settings)
        Sealed(app)
        app.add_url_rule("/api/accounts", "accounts", sealed(lambda: "x"))
        return app

    return make


def ids(app: Flask, **more: Any) -> set[str]:
    return {finding.id for finding in examine(app, environ=more.pop("environ", {}), **more)}


def where(app: Flask, name: str, **more: Any) -> list[str]:
    found = {finding.id: finding.where for finding in examine(app, environ={}, **more)}
    return list(found[name])


def test_a_healthy_application_has_no_findings(make: Make) -> None:
    app = make(SECRET_KEY=STRONG, SESSION_COOKIE_SECURE=True)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)  # type: ignore[method-assign]
    JWTManager(app)
    app.config["JWT_SECRET_KEY"] = STRONG
    app.add_url_rule("/health", "health", lambda: "x")
    app.add_url_rule("/rates", "rates", lambda: "x")
    environ = {"FORWARDED_ALLOW_IPS": "*", GUNICORN: "-w 4", "PATH": "/bin"}
    assert examine(app, environ=environ) == []


# ------------------------------------------------------------------------------- one by one


def with_view(path: str = "/x", **options: Any) -> Callable[[Make], Flask]:
    def build(make: Make) -> Flask:
        app = make(SEALED_LEVEL3_KEY=os.urandom(32).hex())
        app.add_url_rule(path, "added", sealed(**options)(lambda: "x"), methods=["POST"])
        return app

    return build


def plain(path: str, decorate: Any = None) -> Callable[[Make], Flask]:
    def build(make: Make) -> Flask:
        app = make()
        view = (decorate or (lambda function: function))(lambda: "x")
        app.add_url_rule(path, "added", view, methods=["POST"])
        return app

    return build


def set_to(**settings: object) -> Callable[[Make], Flask]:
    return lambda make: make(**settings)


def later(**settings: object) -> Callable[[Make], Flask]:
    """Settings that `Sealed` has not seen."""

    def build(make: Make) -> Flask:
        app = make()
        app.config.update(settings)
        return app

    return build


def with_tokens(**settings: object) -> Callable[[Make], Flask]:
    def build(make: Make) -> Flask:
        app = make(JWT_SECRET_KEY=STRONG, **settings)
        JWTManager(app)
        return app

    return build


def behind(**numbers: int) -> Callable[[Make], Flask]:
    def build(make: Make) -> Flask:
        app = make()
        app.wsgi_app = ProxyFix(app.wsgi_app, **numbers)  # type: ignore[method-assign]
        return app

    return build


def empty(make: Make) -> Flask:
    app = make()
    del app.view_functions["accounts"]
    return app


def with_options_view(make: Make) -> Flask:
    app = make()
    app.add_url_rule("/own", "own", sealed(lambda: "x"), methods=["OPTIONS"])
    return app


def with_login_manager(make: Make) -> Flask:
    app = make()
    app.login_manager = object()  # type: ignore[attr-defined]
    app.add_url_rule("/pay", "pay", sealed(lambda: "x"), methods=["POST"])
    return app


def with_toolbar(make: Make) -> Flask:
    app = make()
    app.register_blueprint(Blueprint("debugtoolbar", __name__))
    return app


def with_extension(name: str, **settings: object) -> Callable[[Make], Flask]:
    def build(make: Make) -> Flask:
        app = make(**settings)
        app.extensions[name] = object()
        return app

    return build


Case = tuple[str, Callable[[Make], Flask], dict[str, str]]
CASES: list[Case] = [
    ("misconfigured", with_options_view, {}),
    ("debug", set_to(DEBUG=True), {}),
    ("testing", set_to(TESTING=True), {}),
    ("disabled", set_to(TESTING=True, SEALED_ENABLED=False), {}),
    ("propagate-exceptions", set_to(PROPAGATE_EXCEPTIONS=True), {}),
    ("trap-bad-requests", set_to(TRAP_BAD_REQUEST_ERRORS=True), {}),
    ("https-off", set_to(SEALED_REQUIRE_HTTPS=False), {}),
    ("proxy-fix", set_to(SEALED_PUBLIC_PATHS={"/": "/api/"}), {}),
    ("proxy-fix", set_to(), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
    ("proxy-fix", behind(x_proto=0), {"DYNO": "web.1"}),
    ("proxy-prefix", behind(x_prefix=1), {}),
    ("memory-store", set_to(SEALED_REPLAY_STORE="memory://"), {}),
    ("memory-store-workers", set_to(SEALED_REPLAY_STORE="memory://"), {"WEB_CONCURRENCY": "4"}),
    ("memory-store-workers", set_to(SEALED_REPLAY_STORE="memory://"), {GUNICORN: "-b :1 -w 4"}),
    ("memory-store-workers", set_to(SEALED_REPLAY_STORE="memory://"), {GUNICORN: "--workers=2"}),
    ("local-store", set_to(), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
    ("x-sendfile", set_to(USE_X_SENDFILE=True), {}),
    ("cookie-insecure", set_to(SECRET_KEY=STRONG), {}),
    ("weak-secret", set_to(SECRET_KEY="dev"), {}),
    ("weak-secret", set_to(SECRET_KEY="0" * 64), {}),
    ("weak-secret", set_to(SECRET_KEY=b"short"), {}),
    ("nothing-sealed", empty, {}),
    ("optional-view", with_view(mode="optional"), {}),
    ("level3", with_view(profile="level3"), {}),
    ("one-way", with_view(profile="level3", request=False), {}),
    ("tokens-any", set_to(SEALED_TOKENS="any"), {}),
    ("sensitive-view", plain("/api/balances"), {}),
    ("login-view", plain("/x", flask_jwt_extended.jwt_required()), {}),
    ("csrf", with_login_manager, {}),
    (
        "jwt-csrf",
        with_tokens(JWT_TOKEN_LOCATION=["cookies"], JWT_COOKIE_CSRF_PROTECT=False),
        {},
    ),
    ("jwt-cookie-insecure", with_tokens(JWT_TOKEN_LOCATION=["cookies"]), {}),
    ("jwt-query", with_tokens(JWT_TOKEN_LOCATION=["headers", "query_string"]), {}),
    ("debug-toolbar", with_toolbar, {}),
    ("sql-echo", with_extension("sqlalchemy", SQLALCHEMY_ECHO=True), {}),
    ("sql-parameters", with_extension("sqlalchemy"), {}),
]


@pytest.mark.parametrize(("name", "build", "environ"), CASES)
def test_each_weakness_is_found(
    make: Make, name: str, build: Callable[[Make], Flask], environ: dict[str, str]
) -> None:
    assert name in ids(build(make), environ=environ)


# ------------------------------------------------------------------------------- keys

KEY_TESTS = {
    "backup-pin",
    "kem-missing",
    "key-expires",
    "key-in-config",
    "key-in-environment",
    "key-missing",
    "keyring-file",
    "keyring-folder",
    "keyring-served",
    "keyring-text",
    "ticket-key-old",
}


def test_the_file_of_the_keyring(make: Make, tmp_path: Path) -> None:
    app = make()
    path = tmp_path / "ring.json"
    path.chmod(0o644)
    assert "keyring-file" in ids(app)
    path.chmod(0o600)
    tmp_path.chmod(0o770)
    assert where(app, "keyring-folder") == [str(tmp_path.resolve())]
    tmp_path.chmod(0o1777)
    assert "keyring-folder" not in ids(app)
    tmp_path.chmod(0o700)
    app.static_folder = str(tmp_path)
    assert where(app, "keyring-served") == [str(path)]
    path.unlink()
    app.extensions["sealed"].settings.keyring._until = 0
    assert ids(app) == {"keyring-file", "keyring-served"}


def test_a_keyring_as_text(make: Make, ring: KeyRing) -> None:
    app = make(SEALED_KEYRING=ring.to_json().decode())
    assert ids(app) == {"keyring-text"}


def test_copies_of_keys_are_found_and_never_shown(make: Make, ring: KeyRing) -> None:
    level3 = os.urandom(32)
    app = make(SEALED_LEVEL3_KEY=level3.hex())
    psk = secret_bytes(ring.keys[-1].material)
    app.config["PAGE_KEY"] = level3.hex()
    app.config["LEDGER"] = {"peers": [("ledger", psk)]}
    app.config["OLD"] = ring.to_json().decode()
    app.config["OTHER"] = os.urandom(32).hex()
    environ = {"AES_KEY": level3.hex(), "RING": ring.to_json().decode(), "HOME": "/"}
    findings = {finding.id: finding for finding in examine(app, environ=environ)}
    assert findings["key-in-config"].where == ("LEDGER", "OLD", "PAGE_KEY")
    assert findings["key-in-environment"].where == ("AES_KEY", "RING")
    shown = repr(findings)
    assert not any(text in shown for text in (level3.hex(), psk.hex(), '"keys"'))


def test_the_times_of_keys(make: Make, ring: KeyRing) -> None:
    def ending(purpose: str, exp: int) -> KeyRing:
        keys = (replace_end(key, exp) if key.purpose == purpose else key for key in ring.keys)
        return replace(ring, keys=tuple(keys))

    assert ids(make()) == set()
    assert ids(make(), now=NOW + 3 * DAY) == {"ticket-key-old"}
    for purpose in ("ticket", "psk"):
        soon = make(ending(purpose, NOW + 13 * DAY))
        assert ids(soon, now=NOW) == {"key-expires"}
        assert len(where(soon, "key-expires", now=NOW)) == 1
        assert ids(make(ending(purpose, NOW + 15 * DAY)), now=NOW) == set()
    assert "key-missing" in ids(make(ending("ticket", NOW + 60)), now=NOW + 60)
    assert ids(make(replace(ring, backup=None))) == {"backup-pin"}


def replace_end(key: Key, exp: int) -> Key:
    return Key(kid=key.kid, purpose=key.purpose, material=key.material, nbf=key.nbf, exp=exp)


def test_without_ml_kem(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.mlkem", None)
    assert ids(make()) == {"kem-missing"}


# ------------------------------------------------------------------------------- views


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("/api/payment-details", True),
        ("/api/v1/bankTransfers", True),
        ("/IBAN", True),
        ("/users/<int:number>", True),
        ("/2fa/verify", True),
        ("/diagnoses", False),
        ("/password_reset", True),
        ("/beneficiaries", True),
        ("/boxes/passwordless", False),
        ("/discard", False),
        ("/rates", False),
        ("/health", False),
        ("/health/<patient>", False),
        ("/<account>/logo", False),
    ],
)
def test_words_of_paths(rule: str, expected: bool) -> None:
    app = Flask("tests.app", static_folder=None)
    app.add_url_rule(rule, "x", lambda **_: "x")
    (found,) = app.url_map.iter_rules()
    assert is_sensitive(found) is expected


def test_who_asks_is_found_behind_other_decorators_and_in_classes(make: Make) -> None:
    class Cards(MethodView):
        @flask_jwt_extended.jwt_required()
        def get(self) -> str:
            return "x"

    class Notes(MethodView):
        decorators = [flask_jwt_extended.jwt_required()]  # noqa: RUF012 - as Flask has it

        def get(self) -> str:
            return "x"

        @sealed
        def post(self) -> str:
            return "x"

    app = make()
    app.add_url_rule("/1", view_func=Cards.as_view("one"))
    app.add_url_rule("/2", view_func=Notes.as_view("two"))
    app.add_url_rule("/3", "three", sealed(flask_jwt_extended.jwt_required()(lambda: "x")))
    app.add_url_rule("/4", "four", lambda: "x")
    assert where(app, "login-view") == ["one", "two"]
    assert "sensitive-view" not in ids(app)


def test_csrf_protection_that_is_there(make: Make) -> None:
    app = with_login_manager(make)
    app.extensions["csrf"] = object()
    assert "csrf" not in ids(app)


# ------------------------------------------------------------------------------- monitoring


class Nowhere(Transport):
    """Sends nothing."""

    def capture_envelope(self, envelope: object) -> None:
        raise NotImplementedError


@pytest.fixture
def sentry() -> Iterator[Callable[..., None]]:
    def init(**options: Any) -> None:
        sentry_sdk.init(
            dsn="https://key@sentry.example/1",
            transport=Nowhere,
            default_integrations=False,
            **options,
        )

    before = sentry_sdk.get_client()
    yield init
    sentry_sdk.get_global_scope().set_client(before)


def test_sentry(make: Make, sentry: Callable[..., None]) -> None:
    app = make()
    assert ids(app) == set()
    sentry()
    assert ids(app) == {"sentry-locals", "sentry-body"}
    with pytest.warns(DeprecationWarning, match="send_default_pii"):
        sentry(send_default_pii=True)
    assert ids(app) == {"sentry-locals", "sentry-body", "sentry-pii"}
    sentry(include_local_variables=False, max_request_body_size="never")
    assert ids(app) == set()
    sentry(data_collection={"stack_frame_variables": False, "http_bodies": []})
    assert ids(app) == {"sentry-pii"}
    nothing = {"stack_frame_variables": False, "http_bodies": [], "user_info": False}
    sentry(data_collection=nothing)
    assert ids(app) == set()


def elastic(**config: str) -> Any:
    return SimpleNamespace(get_client=lambda: SimpleNamespace(config=SimpleNamespace(**config)))


def loguru(diagnose: bool) -> Any:
    handler = SimpleNamespace(_exception_formatter=SimpleNamespace(_diagnose=diagnose))
    core = SimpleNamespace(handlers={0: handler})
    return SimpleNamespace(logger=SimpleNamespace(_core=core))


MODULES: list[tuple[str, str, Any, bool]] = [
    ("elastic-capture", "elasticapm", elastic(capture_body="all"), True),
    ("elastic-capture", "elasticapm", elastic(collect_local_variables="errors"), True),
    ("elastic-capture", "elasticapm", elastic(capture_body="off"), False),
    ("elastic-capture", "elasticapm", SimpleNamespace(get_client=lambda: None), False),
    ("rollbar-locals", "rollbar", SimpleNamespace(SETTINGS={"locals": {"enabled": True}}), True),
    ("rollbar-locals", "rollbar", SimpleNamespace(SETTINGS={"locals": {"enabled": False}}), False),
    ("raygun", "raygun4py", SimpleNamespace(), True),
    ("scout", "scout_apm", SimpleNamespace(), True),
    ("loguru-diagnose", "loguru", loguru(True), True),
    ("loguru-diagnose", "loguru", loguru(False), False),
    ("ddtrace-query", "ddtrace", SimpleNamespace(), True),
]


@pytest.mark.parametrize(("name", "module", "fake", "found"), MODULES)
def test_what_is_loaded(
    make: Make, monkeypatch: pytest.MonkeyPatch, name: str, module: str, fake: Any, found: bool
) -> None:
    app = make()
    monkeypatch.setitem(sys.modules, module, fake)
    assert ids(app) == ({name} if found else set())


def test_ddtrace(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make()
    environ = {
        "DD_EXCEPTION_REPLAY_ENABLED": "true",
        "DD_TRACE_HTTP_SERVER_TAG_QUERY_STRING": "false",
    }
    assert ids(app, environ=environ) == set()
    monkeypatch.setitem(sys.modules, "ddtrace", SimpleNamespace())
    assert ids(app, environ=environ) == {"ddtrace-replay"}


def test_tracebacks_that_show_variables(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(show_locals: bool) -> Any:
        return lambda *_: show_locals

    app = make()
    monkeypatch.setattr(sys, "excepthook", install(False))
    assert ids(app) == set()
    monkeypatch.setattr(sys, "excepthook", install(True))
    assert ids(app) == {"traceback-locals"}


def test_sql_that_is_kept_quiet(make: Make) -> None:
    options = {"hide_parameters": True}
    app = with_extension("sqlalchemy", SQLALCHEMY_ENGINE_OPTIONS=options)(make)
    assert ids(app) == set()


def test_nothing_is_left_untested() -> None:
    tested = {name for name, _, _ in CASES} | KEY_TESTS | {name for name, *_ in MODULES}
    others = {"ddtrace-replay", "sentry-body", "sentry-locals", "sentry-pii", "traceback-locals"}
    assert tested | others == set(CATALOGUE)


def test_everything_is_explained_where_the_link_leads() -> None:
    page = (Path(__file__).parents[1] / "docs/doctor.rst").read_text(encoding="utf-8")
    titles = re.findall(r"(?m)^([a-z0-9-]+)\n~+$", page)
    assert titles == sorted(titles)
    assert set(titles) == set(CATALOGUE)
    for weakness in CATALOGUE.values():
        assert weakness.found().link == f"doctor.html#{weakness.id}"
        assert re.search(rf"(?m)^{weakness.id}\n~+\n\n\*{weakness.severity.capitalize()}", page)


# ------------------------------------------------------------------------------- the command


def run(app: Flask, *arguments: str) -> Any:
    return app.test_cli_runner().invoke(cli, ["doctor", *arguments])


def test_the_command(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*os.environ,):
        monkeypatch.delenv(name)
    result = run(make())
    assert (result.exit_code, result.output) == (0, "\n0 errors, 0 warnings, 0 notes\n")
    app = make(SECRET_KEY="dev", SESSION_COOKIE_SECURE=True)
    app.add_url_rule("/balance", "balance", lambda: "x")
    app.add_url_rule("/cards", "cards", lambda: "x")
    result = run(app)
    assert result.exit_code == 1
    assert result.output.index("weak-secret") < result.output.index("sensitive-view")
    assert "doctor.html#weak-secret" in result.output
    assert result.output.endswith("1 error, 1 warning, 0 notes\n")
    listed = json.loads(run(app, "--json").output)
    assert [(row["id"], row["severity"], row["where"]) for row in listed] == [
        ("weak-secret", "error", ["SECRET_KEY"]),
        ("sensitive-view", "warning", ["balance", "cards"]),
    ]
    assert set(listed[0]) == {"id", "severity", "what", "remedy", "where", "link"}


def test_what_is_left_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*os.environ,):
        monkeypatch.delenv(name)
    app = make()
    app.add_url_rule("/balance", "balance", lambda: "x")
    app.add_url_rule("/cards", "cards", lambda: "x")
    assert run(app).exit_code == 0
    assert run(app, "--strict").exit_code == 1
    assert run(app, "--strict", "--ignore", "sensitive-view").exit_code == 0
    one = run(app, "--strict", "--json", "--ignore", "sensitive-view:cards")
    assert one.exit_code == 1
    assert json.loads(one.output)[0]["where"] == ["balance"]
    both = ("--ignore", "sensitive-view:cards", "--ignore", "sensitive-view:balance")
    assert run(app, "--strict", *both).exit_code == 0
    assert run(app, "--ignore", "sensitive-views").exit_code == 2
    assert run(Flask(__name__)).exit_code == 1


def test_nothing_is_changed_or_sent(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make(SEALED_REPLAY_STORE="redis://redis.example/0")
    views, config = dict(app.view_functions), dict(app.config)
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address))
    examine(app)
    assert (app.view_functions, app.config) == (views, config)
    assert asked == []


def test_the_bank_takes_less_than_two_seconds(tmp_path: Path) -> None:
    app = create_app(instance_path=tmp_path)

    def took() -> float:
        start = time.perf_counter()
        examine(app)
        return time.perf_counter() - start

    # One time at least: the machine may be busy with something else at others.
    assert any(took() < 2 for _ in range(5))
