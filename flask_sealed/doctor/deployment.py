"""How the application runs: modes, HTTPS, proxies, workers, cookies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

from .findings import Check, Finding, Subject, Weakness

DEBUG = Weakness(
    "debug",
    "error",
    "Debug mode is on: the debugger shows variables, and error pages bypass the seal.",
    "Run production without `--debug`, FLASK_DEBUG and DEBUG.",
)
TESTING = Weakness(
    "testing",
    "error",
    "TESTING is on: plain HTTP is taken from everyone, and operations are kept in memory.",
    "Set TESTING in tests alone.",
)
DISABLED = Weakness(
    "disabled",
    "error",
    "SEALED_ENABLED is off: views take and answer plaintext.",
    "Leave the setting away.",
)
PROPAGATE = Weakness(
    "propagate-exceptions",
    "warning",
    "PROPAGATE_EXCEPTIONS is on: what a server does with an error of a view is not sealed.",
    "Leave the setting away.",
)
BAD_REQUESTS = Weakness(
    "trap-bad-requests",
    "warning",
    "TRAP_BAD_REQUEST_ERRORS or TRAP_HTTP_EXCEPTIONS is on: messages that quote what was sent"
    " reach logs and monitoring.",
    "Leave the settings away.",
)
HTTPS = Weakness(
    "https-off",
    "error",
    "SEALED_REQUIRE_HTTPS is off: sealed views answer over plain HTTP, where cookies, paths and"
    " client code can be read and replaced.",
    "Leave the setting away; behind a proxy that ends TLS, use ProxyFix.",
)
PROXY = Weakness(
    "proxy-fix",
    "warning",
    "There are signs of a proxy and there is no ProxyFix that reads X-Forwarded-Proto: requests"
    " look like plain HTTP, and are refused.",
    "Write `app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)`, with the numbers of your"
    " proxies.",
)
PREFIX = Weakness(
    "proxy-prefix",
    "warning",
    "ProxyFix reads X-Forwarded-Prefix: a seal is refused where a header tells the path that the"
    " application is mounted at.",
    "Leave `x_prefix` away, and set SEALED_PUBLIC_PATHS.",
)
MEMORY = Weakness(
    "memory-store",
    "warning",
    "Operations are remembered in memory, by each worker alone: with more than one, or after a"
    " restart, a replay can come through.",
    "Leave SEALED_REPLAY_STORE away for one machine, or set it to a Redis URI.",
)
WORKERS = Weakness(
    "memory-store-workers",
    "error",
    "Operations are remembered in memory, and there are several workers: each operation can"
    " happen once in each.",
    "Leave SEALED_REPLAY_STORE away for one machine, or set it to a Redis URI.",
)
LOCAL = Weakness(
    "local-store",
    "warning",
    "Operations are remembered in a file of one machine, and the platform may start several: each"
    " operation can happen once on each.",
    "Set SEALED_REPLAY_STORE to a Redis URI, or run one machine.",
)
SENDFILE = Weakness(
    "x-sendfile",
    "error",
    "USE_X_SENDFILE is on: the front server would send files in clear, so sealed views cannot"
    " answer with files.",
    "Set USE_X_SENDFILE to False.",
)
COOKIE = Weakness(
    "cookie-insecure",
    "warning",
    "The session cookie travels over plain HTTP too; cookies are never sealed.",
    "Set SESSION_COOKIE_SECURE to True.",
)

_PLATFORMS = (
    "DYNO",
    "ECS_CONTAINER_METADATA_URI_V4",
    "FLY_APP_NAME",
    "FORWARDED_ALLOW_IPS",
    "K_SERVICE",
    "KUBERNETES_SERVICE_HOST",
    "WEBSITE_SITE_NAME",
)
_MANY_MACHINES = frozenset(_PLATFORMS) - {"FORWARDED_ALLOW_IPS"}
_WORKERS = re.compile(r"(?:^|\s)(?:-w|--workers)[ =]?(\d+)")


def _modes(subject: Subject) -> Iterator[Finding]:
    app, config = subject.app, subject.app.config
    if app.debug:
        yield DEBUG.found()
    if app.testing:
        yield TESTING.found()
    if not subject.settings.enabled:
        yield DISABLED.found()
    if config["PROPAGATE_EXCEPTIONS"]:
        yield PROPAGATE.found()
    traps = ("TRAP_BAD_REQUEST_ERRORS", "TRAP_HTTP_EXCEPTIONS")
    if trapped := [name for name in traps if config[name]]:
        yield BAD_REQUESTS.found(*trapped)
    if config["USE_X_SENDFILE"]:
        yield SENDFILE.found()


def _https(subject: Subject) -> Iterator[Finding]:
    if not subject.settings.require_https:
        yield HTTPS.found()
    signs = [name for name in _PLATFORMS if name in subject.environ]
    if subject.settings.public_paths:
        signs.append("SEALED_PUBLIC_PATHS")
    fix = _proxy_fix(subject.app.wsgi_app)
    if signs and (fix is None or not fix.x_proto):
        yield PROXY.found(*signs)
    if fix is not None and fix.x_prefix:
        yield PREFIX.found()
    if subject.app.secret_key and not subject.app.config["SESSION_COOKIE_SECURE"]:
        yield COOKIE.found()


def _proxy_fix(application: Any) -> ProxyFix | None:
    """The ProxyFix among an application's middleware."""
    for _ in range(100):  # A circle of them would be no fault of ours.
        if isinstance(application, ProxyFix):
            return application
        inner = getattr(application, "app", None) or getattr(application, "wsgi_app", None)
        if inner is None:
            break
        application = inner
    return None


def _store(subject: Subject) -> Iterator[Finding]:
    if subject.settings.keyring is None:
        return
    store = subject.settings.replay_store
    machines = sorted(_MANY_MACHINES & subject.environ.keys())
    if store.startswith("memory://"):
        several = _workers(subject) > 1 or machines
        yield (WORKERS if several else MEMORY).found("SEALED_REPLAY_STORE")
    elif store.startswith("sqlite:") and machines:
        yield LOCAL.found(*machines)


def _workers(subject: Subject) -> int:
    numbers = _WORKERS.findall(subject.environ.get("GUNICORN_CMD_ARGS", ""))
    numbers.append(subject.environ.get("WEB_CONCURRENCY", ""))
    return max(int(number) if number.isdecimal() else 1 for number in numbers)


CHECKS: tuple[Check, ...] = (_modes, _https, _store)
