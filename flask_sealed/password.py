"""A login that hands out a session under the password: :func:`password_session`."""

from __future__ import annotations

import os

from flask import abort, current_app, request

from .errors import ConfigError, HttpsRequired
from .protocol.password import new_password_session, seal_password_session
from .refusals import demand_https, refuse


def password_session(password: str) -> str:
    """A new session for whoever knows the password: for the answer of a login, where it has been
    checked.

    **Weaker than a handshake with pins**, see the documentation: a client that can have pins needs
    none of this. Where the request came over plain HTTP from another machine, it is answered as
    handshakes answer it, with status 403, and nothing is handed out.

    :param password: as the user typed it, in the request at hand.
    :returns: a compact JWE of about 700 characters, for the client to open.
    :raises ConfigError: where the application has no keyring, or the password is empty.
    """
    side = current_app.extensions.get("sealed")
    if side is None or side.settings.keyring is None:
        raise ConfigError("there are no sessions without `Sealed(app)` and a keyring")
    settings = side.settings
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    answer = None
    try:
        demand_https(app, settings, request)
    except HttpsRequired as refusal:
        answer = refuse(app, request, refusal)
    if answer is not None:
        abort(answer)
    session = new_password_session(
        settings.keyring.ring(),
        audience=settings.audience,
        now=side.now(),
        lifetime=settings.lifetime,
        random=os.urandom,
    )
    return seal_password_session(session, password, random=os.urandom)
