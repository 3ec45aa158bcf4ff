"""The keys: where they are kept, who else has them, and when they end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from ..errors import ConfigError
from ..jwtkeys import is_own_secret
from ..keyfile import read_keyring
from ..keysource import FileSource, TextSource
from ..protocol.keys import KeyRing, Purpose
from .findings import Check, Finding, Subject, Weakness

RING_FILE = Weakness(
    "keyring-file",
    "error",
    "The keyring's file cannot be read, or others can read or change it, so requests are"
    " answered with 503 as soon as workers look at it again.",
    "Do as the text says.",
)
RING_FOLDER = Weakness(
    "keyring-folder",
    "error",
    "Others can write into the folder of the keyring's file, so they can put another keyring in"
    " its place.",
    "Take the right to write from group and others: `chmod go-w` on the folder.",
)
RING_SERVED = Weakness(
    "keyring-served",
    "error",
    "The keyring's file is below the static folder, so everyone can fetch it.",
    "Move it, for example into the instance folder, and make new keys.",
)
RING_TEXT = Weakness(
    "keyring-text",
    "note",
    "The keyring was given as text, so keys change with a restart only.",
    "Set SEALED_KEYRING to the path of its file, or to a callable.",
)
IN_CONFIG = Weakness(
    "key-in-config",
    "error",
    "A key of Flask-Sealed is in app.config, where debugging tools and monitoring show it.",
    "Give it to `Sealed` alone, and delete the other copy.",
)
IN_ENVIRONMENT = Weakness(
    "key-in-environment",
    "warning",
    "A key of Flask-Sealed is in the environment, which child processes inherit and some"
    " monitoring sends.",
    "Read it from a file that only the server's user can read.",
)
WEAK_SECRET = Weakness(
    "weak-secret",
    "error",
    "A secret that signs cookies or tokens is short or well known: who guesses it can be anyone.",
    "Make one with `python -c 'import secrets; print(secrets.token_hex(32))'`.",
)
NO_KEY = Weakness(
    "key-missing",
    "error",
    "The keyring has no key in use for a purpose that every session needs.",
    "Run `flask sealed rotate`, or make a new keyring with `flask sealed keygen --keyring`.",
)
ENDS = Weakness(
    "key-expires",
    "warning",
    "A key in use ends soon, and no other follows.",
    "Run `flask sealed rotate`, for an identity key with `--identity`; change a pre-shared key on"
    " both sides.",
)
OLD_TICKETS = Weakness(
    "ticket-key-old",
    "warning",
    "The ticket key is in use for more than two days: whoever takes it opens all that was"
    " recorded meanwhile.",
    "Run `flask sealed rotate` every day.",
)
NO_BACKUP = Weakness(
    "backup-pin",
    "warning",
    "The keyring has no backup identity key: should the one in use leak, there is none that"
    " clients have pinned already.",
    "Make a new keyring with `flask sealed keygen --keyring`, and give clients all its pins.",
)
NO_KEM = Weakness(
    "kem-missing",
    "note",
    "The installed cryptography has no ML-KEM-768, so what is recorded now is open to a later"
    " quantum computer.",
    "Install a later version of cryptography, with an OpenSSL that has it.",
)

_SOON = 14 * 24 * 3600
_OLD = 2 * 24 * 3600
_KEM = "cryptography.hazmat.primitives.asymmetric.mlkem"
_LEAST_SECRET = 16
_KNOWN_SECRETS = frozenset(
    ("change-me", "changeme", "default", "dev", "insecure", "key", "password", "secret", "test")
)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def _file(subject: Subject) -> Iterator[Finding]:
    keyring = subject.settings.keyring
    if keyring is None:
        return
    source = keyring.source
    if isinstance(source, TextSource):
        yield RING_TEXT.found()
    if not isinstance(source, FileSource):
        return
    path = source.path
    try:
        read_keyring(path)
    except ConfigError as error:
        yield RING_FILE.found(str(error))
    folder = path.resolve().parent
    if _others_write(folder):
        yield RING_FOLDER.found(str(folder))
    static = subject.app.static_folder
    if static is not None and folder.is_relative_to(Path(static).resolve()):
        yield RING_SERVED.found(str(path))


def _others_write(folder: Path) -> bool:
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    # Where the sticky bit is set, others can replace no file of another user.
    return os.name == "posix" and bool(mode & _OTHERS_WRITE) and not mode & stat.S_ISVTX


def _copies(subject: Subject) -> Iterator[Finding]:
    names = [
        name for name, value in subject.app.config.items() if _has_key(value, subject, depth=4)
    ]
    if names:
        yield IN_CONFIG.found(*sorted(map(str, names)))
    names = [name for name, value in subject.environ.items() if _has_key(value, subject, depth=0)]
    if names:
        yield IN_ENVIRONMENT.found(*sorted(names))


def _has_key(value: object, subject: Subject, depth: int) -> bool:
    if isinstance(value, str | bytes):
        return is_own_secret(value, subject.settings) or _is_ring(value)
    if not depth:
        return False
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        inner = value
    return any(_has_key(one, subject, depth - 1) for one in inner)


def _is_ring(value: str | bytes) -> bool:
    if not value[:1] or value[:1] not in ("{", b"{"):
        return False
    try:
        KeyRing.from_json(value)
    except ConfigError:
        return False
    return True


def _secrets(subject: Subject) -> Iterator[Finding]:
    config = subject.app.config
    names = ["SECRET_KEY"]
    if "flask-jwt-extended" in subject.app.extensions and str(
        config.get("JWT_ALGORITHM")
    ).startswith("HS"):
        names.append("JWT_SECRET_KEY")
    weak = [name for name in names if config.get(name) and _is_weak(config[name])]
    if weak:
        yield WEAK_SECRET.found(*weak)


def _is_weak(secret: object) -> bool:
    text = secret.decode("latin-1") if isinstance(secret, bytes) else str(secret)
    return len(text) < _LEAST_SECRET or text.lower() in _KNOWN_SECRETS or len(set(text)) <= 2


def _times(subject: Subject) -> Iterator[Finding]:
    if subject.settings.keyring is None:
        return
    ring, now = subject.settings.keyring.ring(), subject.now
    needed: tuple[Purpose, ...] = ("identity", "ticket")
    try:
        for purpose in needed:
            ring.current(purpose, now)
    except ConfigError as error:
        yield NO_KEY.found(str(error))
    ending = [
        f"{key.purpose} {key.kid}"
        for purpose in (*needed, "psk")
        for key in _last(ring, purpose, now)
        if key.exp is not None and key.exp - now < _SOON
    ]
    if ending:
        yield ENDS.found(*ending)
    tickets = ring.order("ticket")
    if tickets and now - tickets[-1].nbf > _OLD:
        yield OLD_TICKETS.found(tickets[-1].kid)
    if ring.backup is None:
        yield NO_BACKUP.found()


def _last(ring: KeyRing, purpose: Any, now: int) -> list[Any]:
    """The keys of a purpose after which none follows."""
    if purpose == "psk":
        return list(ring.of("psk", now))
    return [key for key in ring.order(purpose)[-1:] if not key.has_expired(now)]


def _kem(subject: Subject) -> Iterator[Finding]:
    if subject.settings.keyring is None:
        return
    try:
        import_module(_KEM).MLKEM768PrivateKey.generate()
    except (ImportError, UnsupportedAlgorithm):
        yield NO_KEM.found()


CHECKS: tuple[Check, ...] = (_file, _copies, _secrets, _times, _kem)
