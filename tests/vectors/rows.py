"""The rows of what must be rejected, as ``docs/protocol.rst`` has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "protocol.rst"
_ROW = re.compile(
    r"(?ms)^    \*   - (R\d+)\n        - (.+?)\n        - (server|client|both)\n"
    r"        - (?:``([\w-]+)``|(no answer))\n"
)


class Row(NamedTuple):
    """One fault, who refuses it, and with which refusal."""

    fault: str
    who: set[str]
    refusal: str


_WHO = {"both": {"server", "client"}, "server": {"server"}, "client": {"client"}}
ROWS = {
    name: Row(fault, _WHO[who], code or nothing)
    for name, fault, who, code, nothing in _ROW.findall(PAGE.read_text(encoding="utf-8"))
}
