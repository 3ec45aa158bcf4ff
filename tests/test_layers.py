"""The arrows of the house point down."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "flask_sealed"

# What each module may import of the package.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "protocol": set(),
    "protocol.encoding": {"errors"},
    "protocol.hkdf": set(),
    "protocol.messages": {"errors"},
    "protocol.envelope": {"errors", "protocol.encoding"},
    "protocol.jwe": {"errors", "protocol.encoding"},
    "protocol.jwk": {"errors", "protocol.encoding"},
    "protocol.keys": {"errors", "protocol.encoding", "protocol.jwk"},
    "protocol.records": {"errors"},
    "protocol.replay": {"errors"},
    "protocol.handshake": {
        "errors",
        "protocol.encoding",
        "protocol.hkdf",
        "protocol.jwk",
        "protocol.keys",
    },
    "protocol.tickets": {"protocol.handshake", "protocol.keys"},
    "protocol.rotation": {
        "errors",
        "protocol.encoding",
        "protocol.handshake",
        "protocol.jwk",
        "protocol.keys",
    },
    "protocol.exchange": {
        "errors",
        "protocol",
        "protocol.encoding",
        "protocol.envelope",
        "protocol.handshake",
        "protocol.hkdf",
        "protocol.jwe",
        "protocol.keys",
        "protocol.messages",
        "protocol.records",
    },
    "protocol.password": {
        "errors",
        "protocol.encoding",
        "protocol.exchange",
        "protocol.handshake",
        "protocol.hkdf",
        "protocol.jwe",
        "protocol.keys",
    },
    "protocol.flow": {
        "errors",
        "protocol.encoding",
        "protocol.exchange",
        "protocol.handshake",
        "protocol.jwk",
        "protocol.keys",
        "protocol.messages",
        "protocol.password",
        "protocol.records",
        "protocol.replay",
    },
    "keyfile": {"errors", "protocol.keys", "protocol.rotation"},
    "config": {
        "errors",
        "keyfile",
        "keyredis",
        "keysource",
        "protocol.handshake",
        "protocol.keys",
        "protocol.messages",
        "stores.redis",
        "stores.uri",
    },
    "window": {
        "errors",
        "profile",
        "protocol.encoding",
        "protocol.exchange",
        "protocol.handshake",
        "reports",
    },
    "current": {"errors", "revocation", "window"},
    "stores": {
        "errors",
        "protocol.replay",
        "protocol.revocation",
        "stores.redis",
        "stores.revocations",
        "stores.sqlite",
        "stores.uri",
    },
    "stores.failure": {"errors"},
    "stores.redis": {
        "errors",
        "protocol.replay",
        "protocol.revocation",
        "stores.failure",
        "stores.uri",
    },
    "stores.sqlite": {"errors", "protocol.replay", "stores.failure"},
    "stores.uri": set(),
    "policy": {"config", "errors", "window"},
    "profile": {"config", "policy", "window"},
    "bodies": {"errors"},
    "responses": set(),
    "targets": {"errors", "protocol.messages"},
    "signals": set(),
    "refusals": {"config", "errors", "protocol.flow", "signals", "window"},
    "streams": {"errors", "protocol.exchange", "protocol.records"},
    "level3": {"bodies", "config", "errors", "policy", "protocol", "responses", "window"},
    "session": {
        "bodies",
        "config",
        "errors",
        "keysource",
        "policy",
        "protocol.exchange",
        "protocol.flow",
        "protocol.handshake",
        "protocol.keys",
        "protocol.messages",
        "protocol.records",
        "protocol.replay",
        "protocol.tickets",
        "responses",
        "revocation",
        "streams",
        "targets",
        "window",
    },
    "routelist": {"config", "errors", "policy", "targets"},
    "views": {
        "bodies",
        "config",
        "errors",
        "keysource",
        "policy",
        "protocol.encoding",
        "protocol.flow",
        "protocol.handshake",
        "refusals",
        "revocation",
        "routelist",
        "signals",
        "targets",
        "window",
    },
    "extension": {
        "config",
        "errors",
        "level3",
        "neighbours",
        "policy",
        "profile",
        "refusals",
        "responses",
        "revocation",
        "session",
        "signals",
        "stores",
        "tokens",
        "views",
        "window",
    },
    "neighbours": {"errors", "window"},
    "openapi": {"errors", "policy"},
    "jwtkeys": {"config", "errors", "protocol.encoding", "protocol.jwk"},
    "tokens": {"config", "errors", "jwtkeys", "protocol.encoding", "window"},
    "cli": {
        "cli.bench",
        "cli.doctor",
        "cli.group",
        "cli.keys",
        "cli.opening",
        "cli.revocation",
        "cli.rotation",
        "cli.routes",
    },
    "clients": {"clients.identity", "clients.service", "protocol.password"},
    "clients.identity": {"errors", "keyfile", "protocol.encoding", "protocol.jwk"},
    "clients.routes": {"errors", "protocol.encoding", "protocol.messages"},
    "clients.service": {
        "clients.identity",
        "clients.routes",
        "errors",
        "protocol.exchange",
        "protocol.flow",
        "protocol.handshake",
        "protocol.jwk",
        "protocol.messages",
        "protocol.password",
        "protocol.replay",
    },
    "clients.httpx": {"clients.service", "protocol.flow", "protocol.records"},
    "clients.requests": {"clients.service", "errors", "protocol.flow", "protocol.records"},
    "testing": {"testing.client", "testing.clock", "testing.wire"},
    "testing.clock": set(),
    "testing.wire": set(),
    "testing.client": {
        "clients.service",
        "config",
        "errors",
        "level3",
        "policy",
        "protocol",
        "protocol.flow",
        "responses",
        "targets",
        "testing.clock",
        "testing.wire",
    },
    "testing.plugin": {"testing.client"},
    "password": {"errors", "protocol.password", "refusals"},
    "cli.group": set(),
    "cli.keys": {
        "cli.group",
        "errors",
        "keyfile",
        "protocol.encoding",
        "protocol.jwk",
        "protocol.keys",
    },
    "cli.routes": {"cli.group", "errors", "policy"},
    "keysource": {"errors", "keyfile", "protocol.keys"},
    "keyredis": {"errors", "keysource", "protocol.encoding", "protocol.keys", "stores.redis"},
    "cli.rotation": {
        "cli.group",
        "cli.keys",
        "config",
        "errors",
        "keyfile",
        "keyredis",
        "keysource",
        "protocol.handshake",
        "protocol.keys",
        "protocol.rotation",
        "stores.uri",
    },
    "protocol.revocation": {"protocol.handshake", "protocol.keys"},
    "revocation": {
        "errors",
        "protocol.handshake",
        "protocol.keys",
        "protocol.revocation",
        "reports",
        "window",
    },
    "stores.revocations": {"protocol.revocation", "stores.failure"},
    "cli.revocation": {"cli.group", "errors", "protocol.revocation", "revocation"},
    "cli.doctor": {"cli.group", "doctor", "doctor.findings"},
    "doctor": {
        "doctor.deployment",
        "doctor.findings",
        "doctor.keys",
        "doctor.monitoring",
        "doctor.views",
        "errors",
        "policy",
    },
    "doctor.deployment": {"doctor.findings"},
    "doctor.findings": {"config", "policy", "views"},
    "doctor.keys": {
        "doctor.findings",
        "errors",
        "jwtkeys",
        "keyfile",
        "keysource",
        "protocol.keys",
    },
    "doctor.monitoring": {"doctor.findings"},
    "doctor.views": {"doctor.findings", "protocol.replay"},
    "cli.bench": {
        "cli.group",
        "extension",
        "policy",
        "protocol.exchange",
        "protocol.handshake",
        "protocol.keys",
        "protocol.messages",
        "protocol.rotation",
        "responses",
    },
    "cli.captured": set(),
    "cli.opening": {
        "cli.captured",
        "cli.group",
        "config",
        "errors",
        "keyfile",
        "level3",
        "protocol",
        "protocol.encoding",
        "protocol.exchange",
        "protocol.handshake",
        "protocol.keys",
        "reports",
        "responses",
    },
    "metrics": set(),
    "metrics.opentelemetry": {"errors", "signals"},
    "metrics.prometheus": {"errors", "protocol.keys", "signals", "window"},
    "reports": {"errors"},
    "": {"current", "errors", "extension", "password", "policy", "revocation"},
}
OUTSIDE_OF_THE_PROTOCOL = {
    "flask",
    "werkzeug",
    "httpx",
    "requests",
    "time",
    "os",
    "secrets",
    "socket",
}


def _modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def _imports(name: str, path: Path) -> tuple[set[str], set[str]]:
    """The modules of the package, and the others, that a module imports."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    own: set[str] = set()
    others: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            others.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            others.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".") if package else []
            base = above[: len(above) - node.level + 1]
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = (".".join([*base, alias.name]) for alias in node.names)
            own.update([module] if node.module else names)
    return own, others


def test_clients_know_nothing_of_flask() -> None:
    modules = _modules()
    reached = {name for name in modules if name.startswith("clients")}
    while more := {own for name in reached for own in _imports(name, modules[name])[0]} - reached:
        reached |= more
    for name in reached:
        assert not _imports(name, modules[name])[1] & {"flask", "werkzeug"}


def test_every_module_has_its_place() -> None:
    assert set(_modules()) == set(ALLOWED)


@pytest.mark.parametrize("name", ALLOWED)
def test_imports_point_down(name: str) -> None:
    own, others = _imports(name, _modules()[name])
    assert own <= ALLOWED[name]
    if name.startswith("protocol") or name == "errors":
        assert not others & OUTSIDE_OF_THE_PROTOCOL
