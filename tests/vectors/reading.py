"""Reads the vector files, and keeps account of what a test has looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flask_sealed.errors import Refusal

FOLDER = Path(__file__).parent


class Case(dict[str, Any]):
    """A case, or a part of one, that knows which of its members were read."""

    def __init__(self, members: dict[str, Any]) -> None:
        super().__init__(members)
        self._read = {"name", "row"}
        # What stands once for all cases of a file; a single one need not look at all of it.
        self._given: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._read.add(name)
        return super().get(name, default)

    def hex(self, name: str) -> bytes:
        """A member that is written in hex."""
        return bytes.fromhex(self[name])

    def plain(self) -> dict[str, Any]:
        """All members at once."""
        members = {name: self[name] for name in self}
        return {
            name: part.plain() if isinstance(part, Case) else part
            for name, part in members.items()
        }

    def take(self, given: dict[str, Any]) -> None:
        """Take the members that are given for all cases of a file."""
        for name in given.keys() - self.keys():
            self[name] = given[name]
            self._given.add(name)

    def unread(self) -> Iterator[str]:
        """The members that nothing has looked at, those of parts included."""
        for name, value in self.items():
            if name in self._given:
                continue
            if name not in self._read:
                yield name
            elif isinstance(value, Case):
                yield from (f"{name}.{inner}" for inner in value.unread())


def load(file: str) -> dict[str, Any]:
    """The content of a file, its texts as they are meant."""
    content = json.loads((FOLDER / f"{file}.json").read_text(encoding="utf-8"))
    given = content.get("given", {})
    for half in ("valid", "invalid"):
        content[half] = [_resolve(case, given) for case in content[half]]
        for case in content[half]:
            case.take(_resolve(given, given))
    assert isinstance(content, dict)
    return content


def _resolve(value: Any, given: dict[str, Any]) -> Any:
    """A value without ``join``, ``repeat`` and ``given``."""
    if isinstance(value, list):
        return [_resolve(part, given) for part in value]
    match value:
        case {"join": parts}:
            return "".join(_resolve(parts, given))
        case {"repeat": [part, count]}:
            return part * count
        case {"given": str(name)}:
            return given[name]
        case dict():
            return Case({name: _resolve(part, given) for name, part in value.items()})
    return value


def every(file: str, half: str) -> pytest.MarkDecorator:
    """Runs a test with each of a file's valid or invalid cases; none is left out."""
    cases = load(file)[half]
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def run(case: Case, runner: Callable[[Case], None]) -> None:
    """Run a case, and check that all of it was looked at."""
    runner(case)
    assert list(case.unread()) == []


@contextmanager
def refused(case: Case) -> Iterator[None]:
    """Demands the refusal that a case names."""
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.code == case["refusal"]
