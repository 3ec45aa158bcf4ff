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
    "protocol.flow": {
        "errors",
        "protocol.encoding",
        "protocol.exchange",
        "protocol.handshake",
        "protocol.jwk",
        "protocol.keys",
        "protocol.messages",
        "protocol.records",
        "protocol.replay",
    },
    "keyfile": {"errors", "protocol.keys", "protocol.rotation"},
    "config": {"errors", "protocol.keys"},
    "window": {"errors"},
    "policy": {"config", "errors", "window"},
    "level3": {"errors", "protocol", "window"},
    "extension": {"config", "errors", "level3", "policy", "window"},
    "cli": {"errors", "policy", "protocol.jwk"},
    "": {"errors", "extension", "policy"},
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


def test_every_module_has_its_place() -> None:
    assert set(_modules()) == set(ALLOWED)


@pytest.mark.parametrize("name", ALLOWED)
def test_imports_point_down(name: str) -> None:
    own, others = _imports(name, _modules()[name])
    assert own <= ALLOWED[name]
    if name.startswith("protocol") or name == "errors":
        assert not others & OUTSIDE_OF_THE_PROTOCOL
