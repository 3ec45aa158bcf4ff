"""The bank's SQLite database: made and seeded once, one connection for each request."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from flask import Flask, current_app, g
from werkzeug.security import generate_password_hash

from .keys import make_once

#: The demonstration's logins, which its page shows. A real bank has no such thing.
DEMO_PASSWORDS = {"ada": "analytical-engine", "grace": "nanoseconds"}

Open = Callable[[], AbstractContextManager[sqlite3.Connection]]

_CUSTOMERS = ((1, "ada", "Ada Lovelace"), (2, "grace", "Grace Hopper"))
_ACCOUNTS = (
    ("40-1001", 1, "Current account", 2_457_310),
    ("40-1002", 1, "Savings", 8_120_000),
    ("40-2001", 2, "Current account", 1_936_045),
)
_CARDS = ((1, "4242", 12, 2027), (2, "1881", 6, 2028))
_SCHEMA = Path(__file__).with_name("schema.sql")


def init_app(app: Flask) -> None:
    """Make the database where there is none, and close connections after each request."""
    make_once(_path(app), _seed)
    app.teardown_appcontext(_close)


def connection() -> sqlite3.Connection:
    """The request's connection, in autocommit mode; see :func:`transaction`."""
    if "db" not in g:
        g.db = _connect(_path(current_app))
    db: sqlite3.Connection = g.db
    return db


def opener() -> Open:
    """What opens a connection for a stream: it goes on when the request's connection is closed."""
    path = _path(current_app)
    return lambda: closing(_connect(path))


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    """All or nothing. The write lock is taken at once, so what is read in here stays true."""
    db = connection()
    db.execute("BEGIN IMMEDIATE")
    with db:  # commits, or rolls back when an exception passes
        yield db


def _path(app: Flask) -> Path:
    return Path(app.instance_path) / "bank.sqlite3"


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _close(_error: BaseException | None) -> None:
    db: sqlite3.Connection | None = g.pop("db", None)
    if db is not None:
        db.close()


def _seed(path: Path) -> None:
    customers = [
        (*customer, generate_password_hash(DEMO_PASSWORDS[customer[1]])) for customer in _CUSTOMERS
    ]
    with closing(_connect(path)) as db:
        db.executescript(_SCHEMA.read_text("utf-8"))
        db.execute("BEGIN")
        with db:
            db.executemany("INSERT INTO customer VALUES (?, ?, ?, ?)", customers)
            db.executemany("INSERT INTO account VALUES (?, ?, ?, ?)", _ACCOUNTS)
            db.executemany("INSERT INTO card VALUES (?, ?, ?, ?)", _CARDS)
