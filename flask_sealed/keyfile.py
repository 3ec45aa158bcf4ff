"""The keyring in a file that nobody else can read.

What counts is the file as it was opened, not its path: it cannot be exchanged after the check, and
a symbolic link is as good as what it leads to. Mounted secrets are such links: Kubernetes gives
files of root, which a process of another user may read through its group. So the rule is the one
that PostgreSQL has for its key: a file of the process's own user has the mode 0600 or a stricter
one; a file of root may be readable by its group too, with 0640 or a stricter one. Windows has no
such modes, and there is no check.
"""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .errors import ConfigError
from .protocol.keys import KeyRing
from .protocol.rotation import new_ring

_POSIX = os.name == "posix"
_ROOT = 0
_OF_ROOT = 0o640
_OF_USER = 0o600
_MOST_BYTES = 1024 * 1024


def read_keyring(path: str | Path) -> KeyRing:
    """Read a keyring from its file.

    :raises ConfigError: where the file cannot be read, others can read or change it, or it is no
        keyring; with what to do about it.
    """
    # Without a variable for the text: error reports show the variables of frames.
    return KeyRing.from_json(read_secret(Path(path)))


def write_keyring(path: str | Path, ring: KeyRing) -> None:
    """Write a keyring into its file, with the mode 0600.

    Who reads it meanwhile has the old ring or the new one, whole. What root replaces of its own
    stays readable by the same group, or the workers would lose it.

    :raises ConfigError: where it cannot be written, or the path is a symbolic link.
    """
    path = Path(path)
    if path.is_symlink():
        raise ConfigError(f"{path} is a symbolic link; name the file itself: {path.resolve()}")
    with _written(path, ring.to_json) as temporary:
        os.replace(temporary, path)


def create_keyring(path: str | Path) -> KeyRing:
    """Read a keyring from its file. Where there is none, make it, with new keys.

    When several processes do so at once, one of them makes the file, and all have the same ring.

    :raises ConfigError: as :func:`read_keyring`, or where the file cannot be written.
    """
    path = Path(path)
    if not path.exists():
        _make(path)
    return read_keyring(path)


def make_keyring(path: str | Path) -> KeyRing:
    """Make a keyring's file, with new keys. What is there already is left alone.

    :raises ConfigError: where there is a file, or it cannot be written.
    """
    path = Path(path)
    if not _make(path):
        raise ConfigError(f"{path} is there already, and was left alone; name another path")
    return read_keyring(path)


def update_keyring(path: str | Path, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    """Change a keyring in its file. Who does the same at that time waits.

    :param change: makes the new ring from the one in the file.
    :returns: the new ring.
    :raises ConfigError: as :func:`read_keyring` and :func:`write_keyring`.
    """
    path = Path(path)
    with _lock(path):
        ring = change(read_keyring(path))
        write_keyring(path, ring)
    return ring


def read_secret(path: Path) -> bytes:
    """The text of a file that nobody else can read.

    :raises ConfigError: where it cannot be read, or others can read or change it.
    """
    with faults_of(path), open(path, "rb", opener=_open) as file:
        _check(path, os.fstat(file.fileno()))
        return file.read(_MOST_BYTES)


def _open(path: str, flags: int) -> int:
    # A pipe would otherwise not open until somebody writes into it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is no regular file")
    if status.st_size > _MOST_BYTES:
        raise ConfigError(f"{path} has more than {_MOST_BYTES} bytes, so it has no keys")
    if not _POSIX:
        return
    user = os.geteuid()
    if status.st_uid not in (user, _ROOT):
        raise ConfigError(
            f"{path} belongs to another user, who can change it: work as that user, or run"
            f" `chown {user} {shlex.quote(str(path))}`"
        )
    if stat.S_IMODE(status.st_mode) & ~(_OF_ROOT if status.st_uid == _ROOT else _OF_USER):
        mode = _OF_USER if status.st_uid == user else _OF_ROOT
        raise ConfigError(
            f"others can read or change {path}: run `chmod {mode:o} {shlex.quote(str(path))}`"
        )


def _make(path: Path) -> bool:
    """Write a new keyring where there is no file; whether there was none."""
    identity, backup = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    ring = new_ring(identity, backup, now=int(time.time()), random=os.urandom)
    return make_secret(path, ring.to_json)


def make_secret(path: Path, text: Callable[[], bytes]) -> bool:
    """Write a file that nobody else can read, where there is none.

    :param text: makes what is written: error reports show the variables of frames.
    :returns: whether there was none.
    :raises ConfigError: where it cannot be written.
    """
    with _written(path, text) as temporary:
        try:
            # A link never replaces anything: whose comes second fails.
            os.link(temporary, path)
        except FileExistsError:
            return False
    return True


@contextmanager
def _written(path: Path, text: Callable[[], bytes]) -> Iterator[str]:
    """A file beside the path with the text in it. When the block ends, it is gone."""
    with faults_of(path):
        # With the mode 0600 from the beginning, and never a file that is there already.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with open(descriptor, "wb") as file:
                _keep_group(descriptor, path)
                file.write(text())
                file.flush()
                os.fsync(descriptor)
            yield name
        finally:
            Path(name).unlink(missing_ok=True)
        _sync(path.parent)


def _keep_group(descriptor: int, path: Path) -> None:
    if not _POSIX or os.geteuid() != _ROOT or not path.exists():
        return
    old = path.stat()
    if old.st_uid == _ROOT:
        os.fchown(descriptor, -1, old.st_gid)
        os.fchmod(descriptor, old.st_mode & _OF_ROOT)


def _sync(folder: Path) -> None:
    """Have the names of a folder on the disk."""
    if not _POSIX:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(path: Path) -> AbstractContextManager[object]:
    """Wait until nobody else has locked the file, and lock it for as long as the block runs."""
    if not _POSIX:
        return nullcontext()
    import fcntl  # noqa: PLC0415 - not on Windows

    with faults_of(path):
        while True:
            with ExitStack() as stack:
                # For writing too, which locks need on network file systems.
                file = stack.enter_context(open(path, "r+b", opener=_open))
                fcntl.flock(file, fcntl.LOCK_EX)
                # Who had the lock before may have put another file in the place of this one.
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return stack.pop_all()


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Errors of the system as those of the setup, with the path and the reason."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
