"""Writes the vector files: ``python -m tests.vectors.generate``.

Clock and randomness are fixed, so the files are always the same. What cannot be made from fixed
randomness (ECDSA signatures, ML-KEM ciphertexts) stands in ``fixed.py``; with ``--remake``, that
is made anew too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from .make.encoding import encoding
from .make.exchange import exchange
from .make.handshake import handshake
from .make.keyschedule import keyschedule
from .make.level3 import level3
from .make.padding import padding
from .make.primitives import Case
from .make.recorded import RECORDED
from .make.records import records
from .make.seal import seal
from .make.target import target
from .make.ticket import ticket

FOLDER = Path(__file__).parent
FILES: dict[str, Callable[[], Case]] = {
    "level3": level3,
    "encoding": encoding,
    "keyschedule": keyschedule,
    "ticket": ticket,
    "seal": seal,
    "handshake": handshake,
    "records": records,
    "exchange": exchange,
    "padding": padding,
    "target": target,
}
_WIDTH = 100
_CASES_DEPTH = 2


def text_of(name: str) -> str:
    """The text of a file."""
    return _dump(FILES[name](), 0) + "\n"


def _dump(value: object, depth: int) -> str:
    """JSON with a line for every member of a case, unless it is as long as many lines."""
    line = _line(value)
    if depth > _CASES_DEPTH and (len(line) <= _WIDTH or _is_flat(value)):
        return line
    if not isinstance(value, dict | list):
        return line
    inner, outer = " " * (depth + 1), " " * depth
    if isinstance(value, dict):
        parts = [f"{_line(name)}: {_dump(part, depth + 1)}" for name, part in value.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{outer}}}"
    parts = [_dump(part, depth + 1) for part in value]
    return "[\n" + ",\n".join(inner + part for part in parts) + f"\n{outer}]"


def _line(value: object) -> str:
    """JSON in one line, in which characters that cannot be seen are escaped."""
    line = json.dumps(value, ensure_ascii=False)
    seen = (char.isprintable() or char > "\uffff" for char in line)
    return "".join(
        char if is_seen else f"\\u{ord(char):04x}"
        for char, is_seen in zip(line, seen, strict=True)
    )


def _is_flat(value: object) -> bool:
    """Whether a value is read more easily in one line: numbers, and a text in parts."""
    if isinstance(value, list):
        return all(isinstance(part, int) for part in value)
    return isinstance(value, dict) and "join" in value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remake", action="store_true", help="make fixed.py anew too")
    remake = parser.parse_args().remake
    if remake:
        RECORDED.forget()
    for name in FILES:
        (FOLDER / f"{name}.json").write_text(text_of(name), encoding="utf-8")
    if remake:
        (FOLDER / "fixed.py").write_text(RECORDED.source(), encoding="utf-8")


if __name__ == "__main__":
    main()
