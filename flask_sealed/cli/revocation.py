"""``flask sealed revoke``: refuse what is not to be accepted any more."""

from __future__ import annotations

from datetime import timedelta

import click
from flask import current_app

from ..errors import ConfigError, Unavailable
from ..revocation import revoke as revoke_here
from .group import cli, server_side


@cli.command()
@click.option("--session", metavar="SID", help="A session, by the name that logs have.")
@click.option("--key", metavar="JKT", help="A client's key, by what its tokens are bound to.")
@click.option("--user", metavar="SUBJECT", help="The tokens that a user has got so far.")
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True),
    help="For how long a key or a user's tokens are refused: longer than any token lasts. Where"
    " left out, 31, or more where the application's settings let a token last longer.",
)
def revoke(session: str | None, key: str | None, user: str | None, days: float | None) -> None:
    """Revoke a session, a client's key with all its sessions and tokens, or a user's tokens.

    Every worker refuses it within a second.
    """
    settings = server_side().settings
    if settings.replay_store == "memory://":
        raise click.ClickException(
            "SEALED_REPLAY_STORE is memory://, which no other process sees: set it to a file or a"
            " Redis, or call flask_sealed.revoke(…) in the application"
        )
    if user is not None and "flask-jwt-extended" not in current_app.extensions:
        raise click.ClickException(
            "this application has no `JWTManager(app)`, so Flask-Sealed knows no user's tokens"
        )
    lasts = None if days is None else timedelta(days=days)
    try:
        revoke_here(session=session, key=key, user=user, lasts=lasts)
    except (ConfigError, Unavailable) as error:
        raise click.ClickException(str(error)) from None
    click.echo("Revoked: every worker refuses it within a second.", err=True)
