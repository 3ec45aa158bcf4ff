from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flask_sealed import ConfigError, keyfile
from flask_sealed.keyfile import (
    create_keyring,
    make_keyring,
    read_keyring,
    update_keyring,
    write_keyring,
)
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.jwk import secret_bytes
from flask_sealed.protocol.keys import KeyRing
from flask_sealed.protocol.rotation import new_ring, rotate_tickets

from .protocol.test_keys import variables

NOBODY = 2**31 - 1


def ring() -> KeyRing:
    identity, backup = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    return new_ring(identity, backup, now=int(time.time()), random=os.urandom)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A path in a folder in which nothing else may be left."""
    yield tmp_path / "it's here" / "ring.json"
    assert not [*tmp_path.rglob(".*")]


@pytest.fixture
def written(path: Path) -> Path:
    path.parent.mkdir()
    write_keyring(path, ring())
    return path


@pytest.fixture
def as_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user that runs the tests is not root, even where it is."""
    monkeypatch.setattr(keyfile, "_ROOT", NOBODY)


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "_ROOT", os.geteuid())


@pytest.fixture
def as_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user that runs the tests owns is somebody else's."""
    monkeypatch.setattr(keyfile, "_ROOT", NOBODY)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY - 1)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_round_trip(written: Path) -> None:
    kept = ring()
    write_keyring(str(written), kept)
    assert read_keyring(str(written)).to_json() == kept.to_json()
    assert [*written.parent.iterdir()] == [written]


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_a_file_is_made_for_its_user_only(path: Path, mask: int) -> None:
    path.parent.mkdir()
    with umask(mask):
        create_keyring(path)
        assert mode(path) == 0o600
        write_keyring(path, ring())
        update_keyring(path, lambda ring: ring)
    assert mode(path) == 0o600
    assert path.stat().st_uid == os.geteuid()


@pytest.mark.parametrize("strict", [0o600, 0o400])
def test_strict_modes(written: Path, strict: int) -> None:
    written.chmod(strict)
    read_keyring(written)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("wide", [0o640, 0o660, 0o604, 0o644, 0o601, 0o620, 0o700, 0o4600, 0o777])
def test_what_others_can_read_or_change_is_refused_with_the_command_that_mends_it(
    written: Path, wide: int
) -> None:
    written.chmod(wide)
    for read in (read_keyring, create_keyring):
        with pytest.raises(ConfigError) as caught:
            read(written)
    command = re.search(r"`(.+)`", str(caught.value))
    assert command is not None
    subprocess.run(command[1], shell=True, check=True)
    read_keyring(written)
    assert mode(written) == 0o600


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("wide", [0o660, 0o604, 0o644, 0o650, 0o740])
def test_a_file_of_root_may_be_read_by_its_group_and_no_more(written: Path, wide: int) -> None:
    for narrow in (0o640, 0o440, 0o400):
        written.chmod(narrow)
        read_keyring(written)
    written.chmod(wide)
    with pytest.raises(ConfigError):
        read_keyring(written)


def test_a_process_of_another_user_reads_a_file_of_root_through_its_group(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyfile, "_ROOT", os.geteuid())
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    written.chmod(0o640)
    read_keyring(written)
    written.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        read_keyring(written)
    command = re.search(r"`(.+)`", str(caught.value))
    assert command is not None
    subprocess.run(command[1], shell=True, check=True)
    assert mode(written) == 0o640


@pytest.mark.usefixtures("as_another_user")
def test_a_file_of_another_user_is_refused(written: Path) -> None:
    with pytest.raises(ConfigError):
        read_keyring(written)


@pytest.mark.usefixtures("as_root")
def test_what_root_replaces_stays_readable_by_its_group_and_by_no_one_else(written: Path) -> None:
    for before, after in ((0o640, 0o640), (0o600, 0o600), (0o666, 0o640), (0o777, 0o640)):
        written.chmod(before)
        group = written.stat().st_gid
        write_keyring(written, ring())
        assert mode(written) == after
        assert written.stat().st_gid == group


@pytest.mark.usefixtures("as_a_user")
def test_what_a_user_replaces_is_for_that_user_only(written: Path) -> None:
    written.chmod(0o666)
    write_keyring(written, ring())
    assert mode(written) == 0o600


@pytest.mark.parametrize("root", [NOBODY, os.geteuid()], ids=["root, a user's", "a user, root's"])
def test_what_one_replaces_of_another_is_for_that_one_only(
    written: Path, monkeypatch: pytest.MonkeyPatch, root: int
) -> None:
    monkeypatch.setattr(keyfile, "_ROOT", root)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    written.chmod(0o640)
    write_keyring(written, ring())
    assert mode(written) == 0o600


def test_a_ring_is_on_the_disk_before_it_counts(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        # What is not written out yet has no size.
        steps.append("folder" if stat.S_ISDIR(status.st_mode) else f"file of {status.st_size}")

    monkeypatch.setattr(os, "fsync", fsync)
    replace = os.replace

    def rename(source: str, target: Path) -> None:
        steps.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "replace", rename)
    kept = ring()
    write_keyring(written, kept)
    assert steps == [f"file of {len(kept.to_json())}", "name", "folder"]


def test_windows_has_no_modes_and_no_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "_POSIX", False)
    path.parent.mkdir()
    create_keyring(path)
    path.chmod(0o666)
    kept = ring()
    update_keyring(path, lambda _: kept)
    path.chmod(0o666)
    assert read_keyring(path).to_json() == kept.to_json()


def test_a_link_is_as_good_as_what_it_leads_to(written: Path) -> None:
    link = written.with_name("link.json")
    link.symlink_to(written)
    assert read_keyring(link).to_json() == read_keyring(written).to_json()
    assert create_keyring(link).to_json() == read_keyring(written).to_json()
    written.chmod(0o644)
    with pytest.raises(ConfigError):
        read_keyring(link)


def test_a_link_is_not_written_over(written: Path) -> None:
    link = written.with_name("link.json")
    link.symlink_to(written)
    before = written.read_bytes()
    with pytest.raises(ConfigError):
        write_keyring(link, ring())
    with pytest.raises(ConfigError):
        update_keyring(link, lambda _: ring())
    assert link.is_symlink()
    assert written.read_bytes() == before


def test_a_link_to_nothing_is_no_new_ring(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "nowhere.json")
    with pytest.raises(ConfigError):
        create_keyring(link)
    assert [*tmp_path.iterdir()] == [link]


def test_a_mounted_secret_is_exchanged_as_a_whole(tmp_path: Path) -> None:
    # As Kubernetes does it: ring.json -> ..data/ring.json, and ..data -> a folder with a date.
    rings = [ring(), ring()]
    for number, kept in enumerate(rings):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        write_keyring(folder / "ring.json", kept)
        (folder / "ring.json").chmod(0o400)
    (tmp_path / "ring.json").symlink_to("..data/ring.json")
    for number, kept in enumerate(rings):
        (tmp_path / "..new").symlink_to(f"..{number}")
        (tmp_path / "..new").replace(tmp_path / "..data")
        assert read_keyring(tmp_path / "ring.json").to_json() == kept.to_json()


def make_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_folder(path: Path) -> None:
    path.mkdir(0o700)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    path.chmod(0o600)


def make_large(path: Path) -> None:
    path.touch(0o600)
    path.write_bytes(ring().to_json().ljust(1024 * 1024 + 1))


def make_broken(path: Path) -> None:
    path.touch(0o600)
    path.write_bytes(ring().to_json()[:-1])


def make_nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    "make", [make_pipe, make_folder, make_socket, make_large, make_broken, make_nothing]
)
def test_what_is_no_file_with_a_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    path = tmp_path / "ring.json"
    make(path)
    with pytest.raises(ConfigError):
        read_keyring(path)
    with pytest.raises(ConfigError):
        update_keyring(path, lambda ring: ring)


def test_a_pipe_with_a_ring_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    make_pipe(path)
    with open(os.open(path, os.O_RDWR), "wb", buffering=0) as writer:
        writer.write(ring().to_json())
        with pytest.raises(ConfigError):
            read_keyring(path)


def test_a_file_may_have_a_mebibyte(written: Path) -> None:
    text = read_keyring(written).to_json()
    written.write_bytes(text.ljust(1024 * 1024))
    assert read_keyring(written).to_json() == text


def test_errors_show_no_secret(written: Path) -> None:
    kept = read_keyring(written)
    secrets = [b64u_encode(secret_bytes(key.material)) for key in kept.keys]
    written.write_bytes(kept.to_json()[:-1])
    with pytest.raises(ConfigError) as broken:
        read_keyring(written)
    written.unlink()
    written.mkdir()
    with pytest.raises(ConfigError) as unwritten:
        write_keyring(written, kept)
    for caught in (broken, unwritten):
        shown = variables(caught.value)
        assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize("write", [lambda path: write_keyring(path, ring()), create_keyring])
def test_where_nothing_can_be_written(path: Path, write: Callable[[Path], object]) -> None:
    with pytest.raises(ConfigError):
        write(path)  # There is no such folder.


def test_a_ring_that_is_there_is_not_made_anew(written: Path) -> None:
    before = written.stat()
    kept = read_keyring(written)
    assert create_keyring(written).to_json() == kept.to_json()
    assert written.stat().st_ino == before.st_ino


def test_making_a_ring_leaves_what_is_there_alone(path: Path) -> None:
    path.parent.mkdir()
    made = make_keyring(path)
    assert mode(path) == 0o600
    with pytest.raises(ConfigError):
        make_keyring(path)
    assert read_keyring(path).to_json() == made.to_json()


def test_a_change_that_fails_changes_nothing(written: Path) -> None:
    before = written.read_bytes()

    def fail(ring: KeyRing) -> KeyRing:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        update_keyring(written, fail)
    assert written.read_bytes() == before
    # And nobody waits for it.
    now = int(time.time())
    changed = update_keyring(
        written, lambda ring: rotate_tickets(ring, now=now, random=os.urandom)
    )
    assert read_keyring(written).to_json() == changed.to_json()
    assert len(changed.keys) == 4


def test_who_has_waited_changes_the_ring_that_is_there_then(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile = [ring(), ring()]
    flock = fcntl.flock

    def wait(file: BinaryIO, operation: int) -> None:
        if meanwhile:
            write_keyring(written, meanwhile.pop())
        flock(file, operation)

    last = meanwhile[0]
    monkeypatch.setattr(fcntl, "flock", wait)
    assert update_keyring(written, lambda ring: ring).to_json() == last.to_json()


WORKERS = 3
TIMES = 8
HEAD = """
import os, sys
from pathlib import Path
from flask_sealed.keyfile import create_keyring, read_keyring, update_keyring
from flask_sealed.protocol.keys import Key
folder, number = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
"""


@contextmanager
def processes(
    script: str, folder: Path, count: int = WORKERS
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that begin their work together."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HEAD + script, str(folder), str(number)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(count)
        ]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        yield running


def test_processes_that_make_a_ring_at_once_all_have_the_same(tmp_path: Path) -> None:
    script = f"""
for number in range({TIMES}):
    print(create_keyring(folder / f"{{number}}.json").to_json().decode())
"""
    with processes(script, tmp_path) as running:
        made = [process.communicate()[0].splitlines() for process in running]
    kept = [(tmp_path / f"{number}.json").read_text() for number in range(TIMES)]
    assert made == [kept] * WORKERS
    assert len(set(kept)) == TIMES
    assert len([*tmp_path.iterdir()]) == TIMES


def test_processes_that_change_a_ring_at_once_lose_nothing(written: Path) -> None:
    script = f"""
path = folder / "ring.json"
for time in range({TIMES}):
    key = Key(kid=f"{{number}}-{{time}}", purpose="psk", material=os.urandom(32))
    update_keyring(path, lambda ring: ring.add(key))
    read_keyring(path)
print("done")
"""
    with processes(script, written.parent) as running:
        assert [process.communicate()[0] for process in running] == ["done\n"] * WORKERS
    names = {key.kid for key in read_keyring(written).keys if key.purpose == "psk"}
    assert names == {f"{number}-{time}" for number in range(WORKERS) for time in range(TIMES)}
    assert mode(written) == 0o600


def test_a_process_that_is_killed_leaves_a_whole_ring_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    write_keyring(path, ring())
    script = """
while True:
    update_keyring(folder / "ring.json", lambda ring: ring)
"""
    with processes(script, tmp_path, 1) as [process]:
        before = path.stat().st_ino
        while path.stat().st_ino == before:
            read_keyring(path)
        process.send_signal(signal.SIGKILL)
    assert update_keyring(path, lambda ring: ring).to_json() == read_keyring(path).to_json()


def test_applications_that_start_at_once_have_one_ring(tmp_path: Path) -> None:
    script = """
from flask import Flask
from flask_sealed import Sealed
app = Flask("app", instance_path=str(folder / "instance"))
app.debug = True
Sealed(app)
print(app.extensions["sealed"].settings.keyring.ring().to_json().decode())
"""
    with processes(script, tmp_path, 2) as running:
        made = {process.communicate()[0].strip() for process in running}
    path = tmp_path / "instance" / "sealed-keyring.json"
    assert made == {path.read_text()}
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
