"""Plaintexts at the edges: none, one byte, around a block of AES, a megabyte, beyond ASCII."""

from __future__ import annotations

BEYOND_ASCII = '{"name":"Zoë Ångström","note":"日本語 🏦 \\u0000 \u2028 ünïcode"}'

#: JSON texts by a name for the test's report.
JSON_TEXTS = {
    "1 byte": "7",
    **{f"{size} bytes": f'"{"x" * (size - 2)}"' for size in (2, 15, 16, 17, 1024 * 1024)},
    "beyond ASCII": BEYOND_ASCII,
}

#: All texts; the empty one is no JSON.
TEXTS = {"0 bytes": "", **JSON_TEXTS}
