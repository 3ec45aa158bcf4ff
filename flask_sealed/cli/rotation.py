"""``flask sealed rotate``, ``save`` and ``restore``: change the keys of a service that runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask.cli import ScriptInfo

from ..config import redis_source
from ..errors import ConfigError
from ..keyfile import make_secret, read_keyring
from ..keysource import FileSource, KeySource
from ..protocol.handshake import MOST_LIFETIME
from ..protocol.keys import CLOCKS, KeyRing, level3_key
from ..protocol.rotation import (
    RELOAD,
    replace_identity,
    replace_tickets,
    rotate_identity,
    rotate_tickets,
    without_tickets,
)
from ..stores.uri import parse_uri
from .group import cli, server_side
from .keys import print_pins

if TYPE_CHECKING:
    from ..keyredis import RedisSource


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the keys are that are changed, and what is known of who uses them."""

    source: KeySource
    reload: float
    lifetime: int


@cli.command(with_appcontext=False)
@click.option(
    "--identity", is_flag=True, help="The identity key: the backup takes its place. Prints pins."
)
@click.option(
    "--now",
    "at_once",
    is_flag=True,
    help="After a leak: the old keys are taken out at once. All sessions end; with --identity, no"
    " client that pins the old key alone is answered.",
)
@click.option(
    "--keyring", "path", metavar="PATH", help="A keyring's file; else the application's keyring."
)
@click.option(
    "--reload",
    type=click.FloatRange(min=0),
    help="How many seconds it takes until every worker has what is written now. It is the"
    f" application's SEALED_RELOAD; with --keyring, {RELOAD}.",
)
@click.option(
    "--clocks",
    type=click.IntRange(min=0),
    default=CLOCKS,
    show_default=True,
    help="How many seconds the clocks of the machines may differ; 0 for one machine.",
)
def rotate(
    identity: bool, at_once: bool, path: str | None, reload: float | None, clocks: int
) -> None:
    """Rotate the ticket key, or with --identity the identity key.

    Running workers go on with the new keys without a restart, and no request is lost. Run it once
    a day: what has expired is deleted then, too.
    """
    place = _place(path)
    # A second that has begun counts: keys are in use as of a whole one.
    now, wait = ceil(time.time()), ceil(place.reload if reload is None else reload)
    if identity:
        ring = _update(place.source, _identity_change(now, wait, clocks, at_once=at_once))
        _tell_identity(ring, now, at_once=at_once)
        return

    def change(ring: KeyRing) -> KeyRing:
        if at_once:
            return replace_tickets(ring, now=now, random=os.urandom)
        return rotate_tickets(
            ring,
            now=now,
            random=os.urandom,
            reload=wait,
            clocks=clocks,
            lifetime=place.lifetime,
        )

    ring = _update(place.source, change)
    _tell_tickets(ring, now, at_once=at_once)


def _identity_change(
    now: int, reload: int, clocks: int, *, at_once: bool
) -> Callable[[KeyRing], KeyRing]:
    backup = Ed25519PrivateKey.generate()

    def change(ring: KeyRing) -> KeyRing:
        if at_once:
            return replace_identity(ring, backup, now=now)
        return rotate_identity(ring, backup, now=now, reload=reload, clocks=clocks)

    return change


def _tell_identity(ring: KeyRing, now: int, *, at_once: bool) -> None:
    print_pins(ring)
    old = [key.exp for key in ring.of("identity", now) if key.exp is not None]
    until = "is not answered with any more"
    if old and not at_once:
        day = datetime.fromtimestamp(max(old), UTC).date()
        until = f"still answers those who pin it, until {day}"
    click.echo(
        f"The identity key that was in use {until}. The lines on standard output are the pins now:"
        " give them to all clients, and renew your copy of the keyring.",
        err=True,
    )


def _tell_tickets(ring: KeyRing, now: int, *, at_once: bool) -> None:
    wait = max(0, ring.order("ticket")[-1].nbf - now)
    told = f"A new ticket key is in use in {wait} s, when every worker has it."
    if at_once:
        told = "All sessions have ended. Clients make new ones, with a new ticket key."
    click.echo(told, err=True)


@cli.command()
@click.argument("path")
def save(path: str) -> None:
    """Write a copy of the application's keyring into a new file, without its ticket keys.

    Ticket keys are deleted when their last ticket has expired, so that nobody can open what was
    recorded; a copy would keep them.
    """
    keyring = server_side().settings.keyring
    if keyring is None:
        raise click.ClickException("this application has no keyring: its profile is level3")
    ring: KeyRing = keyring.ring()
    try:
        made = make_secret(Path(path), without_tickets(ring).to_json)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    if not made:
        raise click.ClickException(f"{path} is there already, and was left alone")
    click.echo(f"{path} has the keys that clients know: keep it in a safe place.", err=True)


@cli.command(with_appcontext=False)
@click.argument("path")
@click.option("--audience", envvar="SEALED_AUDIENCE", required=True, help="The service's name.")
def restore(path: str, audience: str) -> None:
    """Put a keyring from a file into Redis, in place of what is there.

    The environment says where: SEALED_KEYRING is the URI, SEALED_KEYRING_KEY the key that encrypts
    it, and SEALED_AUDIENCE the service's name. No application is needed.
    """
    try:
        ring = read_keyring(path)
        _redis(audience).put(_with_tickets(ring))
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    print_pins(ring)


def _with_tickets(ring: KeyRing) -> KeyRing:
    if ring.order("ticket"):
        return ring
    return replace_tickets(ring, now=int(time.time()), random=os.urandom)


def _redis(audience: str) -> RedisSource:
    place = parse_uri(os.environ.get("SEALED_KEYRING", ""))
    if place is None:
        raise ConfigError("the variable SEALED_KEYRING is not the URI of a Redis")
    key = os.environ.get("SEALED_KEYRING_KEY")
    return redis_source(place, audience, None if key is None else level3_key(key))


def _place(path: str | None) -> _Place:
    if path is not None:
        return _Place(source=FileSource(Path(path)), reload=RELOAD, lifetime=MOST_LIFETIME)
    app = click.get_current_context().ensure_object(ScriptInfo).load_app()
    with app.app_context():
        settings = server_side().settings
    if settings.keyring is None:
        raise click.ClickException("this application has no keyring: its profile is level3")
    return _Place(
        source=settings.keyring.source,
        reload=settings.keyring.reload,
        lifetime=settings.lifetime,
    )


def _update(source: KeySource, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    try:
        return source.update(change)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
