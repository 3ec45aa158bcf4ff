"""Identity documents ("know your customer"): which files are taken, and keeping them."""

from __future__ import annotations

import hashlib
from typing import Any

from .db import connection

MOST_BYTES = 2 * 1024 * 1024
_LONGEST_NAME = 120
# How files of each type begin. What the sender calls the type is not asked.
_BEGINNINGS = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
}


class TooLargeError(Exception):
    """The file has more than ``MOST_BYTES`` bytes."""


class WrongTypeError(Exception):
    """The file is neither PDF nor PNG nor JPEG."""


def keep(customer: int, name: str, content: bytes) -> dict[str, Any]:
    """Keep a customer's document.

    :param name: what the customer calls the file; it is shown, and never used as a path.
    :returns: what was kept: the name, type, size in bytes, and SHA-256 in hex.
    :raises TooLargeError: when it is too large.
    :raises WrongTypeError: when it is of no type that is taken.
    """
    if len(content) > MOST_BYTES:
        raise TooLargeError
    kept = {
        "name": name[-_LONGEST_NAME:],
        "type": _type(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    connection().execute(
        "INSERT INTO document (customer, name, type, sha256, content)"
        " VALUES (:customer, :name, :type, :sha256, :content)",
        {**kept, "customer": customer, "content": content},
    )
    return {**kept, "size": len(content)}


def _type(content: bytes) -> str:
    for beginning, content_type in _BEGINNINGS.items():
        if content.startswith(beginning):
            return content_type
    raise WrongTypeError
