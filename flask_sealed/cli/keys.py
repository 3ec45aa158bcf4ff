"""``flask sealed keygen`` and ``flask sealed pins``: make keys, see what clients pin."""

from __future__ import annotations

import os
import time

import click

from ..errors import ConfigError
from ..keyfile import make_keyring
from ..protocol.encoding import b64u_encode
from ..protocol.jwk import KEY_BYTES
from ..protocol.keys import KeyRing
from .group import cli, server_side


@cli.command(with_appcontext=False)
@click.option(
    "--keyring",
    "path",
    metavar="PATH",
    help="Make a keyring for the profile session in this file, and print its pins.",
)
def keygen(path: str | None) -> None:
    """Print a new Level 3 key, as 64 hex digits, or make a keyring with --keyring.

    The Level 3 key goes to standard output and nowhere else. A keyring goes into its file, which
    only its user can read; a file that is there already is left alone. No application is needed.
    """
    if path is not None:
        _make_keyring(path)
        return
    click.echo(os.urandom(KEY_BYTES).hex())
    click.echo(
        "Give it to the application as SEALED_LEVEL3_KEY, from a secret store or a file that only"
        " the server reads.",
        err=True,
    )


def _make_keyring(path: str) -> None:
    try:
        ring = make_keyring(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    print_pins(ring)
    click.echo(
        f"{path} has the keys: set SEALED_KEYRING to its path, and keep a copy in a safe place."
        " The lines on standard output are the pins: configure clients with all of them.",
        err=True,
    )


@cli.command()
def pins() -> None:
    """Print the pins of the application's keyring, one a line.

    They are the thumbprints of the identity keys in use now and later, and no secret. Clients are
    configured with all of them.
    """
    keyring = server_side().settings.keyring
    if keyring is None:
        raise click.ClickException("this application has no keyring: its profile is level3")
    print_pins(keyring.ring())


def print_pins(ring: KeyRing) -> None:
    """Print what clients pin, one a line."""
    for pin in ring.pins(int(time.time())):
        click.echo(b64u_encode(pin))
