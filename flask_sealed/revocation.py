"""Revocation in an application: each worker follows the store, and refuses what is in it.

A worker asks the store at most twice a second, when a request comes, and checks requests against
its own memory. So what is revoked anywhere is refused everywhere within a second. What the store
has lost, such as by a flush, a worker still knows, and puts back.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from threading import Lock
from typing import Any

from flask import current_app

from .errors import ConfigError, Refused, SessionUnknown, TokenUnbound, Unavailable
from .protocol.handshake import Session
from .protocol.keys import CLOCKS
from .protocol.revocation import (
    LASTS,
    SESSION_LASTS,
    Kind,
    Revocation,
    RevocationStore,
    Revoked,
)
from .reports import printable
from .window import Proof

#: How long what is known is good enough, in seconds.
_POLL = 0.5
#: How long a worker goes on with what it knows when the store does not answer, in seconds.
TOLERANCE = 60.0
# How long after a failure the store is asked again, in seconds.
_RETRY = 5.0

_DAY = 24 * 3600
# Tokens that never end are refused for a hundred years.
_ALWAYS = 100 * 365 * _DAY
_TOKENS = ("ACCESS", "REFRESH")

logger = logging.getLogger("flask_sealed")


class Revocations:
    """What a worker refuses. Threads may share it.

    :param store: keeps revocations for all workers.
    """

    def __init__(self, store: RevocationStore) -> None:
        self._store = store
        self._revoked = Revoked()
        self._last = 0
        self._next = 0.0
        self._retry = 0.0
        # Nothing is known yet that could do for a while: workers are started again and again, also
        # while the store is down, and each would take what is revoked.
        self._lasts = time.monotonic()
        self._lock = Lock()

    def revoke(self, *revocations: Revocation, now: int) -> None:
        """Revoke something, here at once and elsewhere within a second.

        :param now: seconds since 1970.
        :raises Unavailable: where the store cannot keep it.
        """
        self._store.revoke([*revocations], now=now)
        with self._lock:
            for one in revocations:
                self._revoked.add(one)
        for one in revocations:
            # A user may have chosen the name, with a line break and another such line in it.
            logger.info("revoked: %s %s", one.kind, printable(one.name))

    def demand_session(self, session: Session, now: int) -> None:
        """Refuse a session that is revoked, or whose key is.

        :raises SessionUnknown: where it is: a new handshake tells the client if it is its key.
        :raises Unavailable: where the store has not answered for too long.
        """
        if self._current(now).has_session(session, now):
            raise SessionUnknown

    def demand_key(self, binding: str, now: int) -> None:
        """Refuse a key that is revoked.

        :param binding: what tokens are bound to.
        :raises Refused: where it is.
        :raises Unavailable: where the store has not answered for too long.
        """
        if self._current(now).has_key(binding, now):
            raise Refused

    def demand_token(self, binding: str | None, subject: object, iat: object, now: int) -> None:
        """Refuse a token that is revoked.

        :param binding: the key that it is bound to.
        :param subject: whose it is.
        :param iat: when it was made.
        :raises TokenUnbound: where it is.
        :raises Unavailable: where the store has not answered for too long.
        """
        revoked = self._current(now)
        if binding is not None and revoked.has_token("tokens", binding, iat, now):
            raise TokenUnbound
        if subject is not None and revoked.has_token("user", str(subject), iat, now):
            raise TokenUnbound

    def _current(self, now: int) -> Revoked:
        # The hot path: one reading of the clock.
        if time.monotonic() < self._next:
            return self._revoked
        # Others go on with what is known meanwhile, unless that is too old.
        if self._lock.acquire(blocking=time.monotonic() >= self._lasts):
            try:
                self._follow(now)
            finally:
                self._lock.release()
        return self._revoked

    def _follow(self, now: int) -> None:
        moment = time.monotonic()
        if moment >= self._next and moment >= self._retry:
            try:
                self._learn(now)
            except Unavailable:
                # A store that keeps its callers waiting is not asked at each request.
                self._retry = moment + _RETRY
                self._next = min(self._retry, self._lasts)
            else:
                self._next, self._lasts = moment + _POLL, moment + TOLERANCE
        if moment >= self._lasts:
            raise Unavailable("The service cannot tell what has been revoked; try again.")

    def _learn(self, now: int) -> None:
        found = self._store.since(self._last)
        if self._last and (not found or found[0][0] != self._last):
            found = self._give_back(now)
        for number, one in found:
            if number != self._last:
                self._revoked.add(one)
        self._last = found[-1][0] if found else 0
        self._revoked.forget(now)

    def _give_back(self, now: int) -> list[tuple[int, Revocation]]:
        """Put what the store has lost back, or has forgotten because it is over."""
        known = [one for one in self._revoked if one.exp > now]
        if known:
            self._store.revoke(known, now=now)
        return self._store.since(0)


def revoke(
    *,
    session: str | None = None,
    key: str | None = None,
    user: object = None,
    lasts: float | timedelta | None = None,
) -> None:
    """Revoke a session, a client's key, or all tokens of a user, in every worker within a second.

    :param session: the ``sid`` of a session. Its client makes a new one, with the same key.
    :param key: what tokens are bound to, as ``current.binding`` has it: all sessions of this
        client end, it gets no new one, and its tokens are worth nothing.
    :param user: the subject of tokens: those that were made so far are refused.
    :param lasts: for how long a key or a user's tokens are refused, in seconds: longer than any
        token lasts that was made before. Where left out, 31 days, or a day more than the settings
        of flask-jwt-extended let a token last.
    :raises ConfigError: where there is nothing to revoke, or nothing that could be.
    :raises Unavailable: where the store cannot keep it.
    """
    seconds = _seconds(lasts)
    given: tuple[tuple[Kind, object], ...] = (("key", key), ("user", user))
    named = [(kind, name) for kind, name in given if name is not None]
    if (not named and session is None) or seconds < 1:
        raise ConfigError("write what to revoke: session=…, key=… or user=…, for 1 second or more")
    revocations, now = _here()
    try:
        found = [_revocation(kind, str(name), now, seconds) for kind, name in named]
        if session is not None:
            found.append(_revocation("session", session, now, SESSION_LASTS))
    except ValueError as error:
        raise ConfigError(f"nothing is revoked: {error}") from None
    revocations.revoke(*found, now=now)


def revoke_proof(proof: Proof, lasts: float | timedelta | None = None) -> None:
    """Revoke the session of a request, and the tokens that were bound to its key so far.

    :param lasts: for how long the tokens are refused, as for :func:`revoke`.
    :raises ConfigError: where that is less than a second.
    :raises Unavailable: where the store cannot keep it.
    """
    revocations, now = _here()
    seconds = _seconds(lasts)
    if seconds < 1:
        raise ConfigError("write for how long tokens are refused: lasts=…, 1 second or more")
    found = [_revocation("tokens", proof.binding, now, seconds)]
    if proof.session is not None:
        left = proof.session.exp - now + CLOCKS
        found.append(_revocation("session", proof.session.sid, now, left))
    revocations.revoke(*found, now=now)


def _seconds(lasts: float | timedelta | None) -> int:
    if lasts is None:
        made = (current_app.config.get(f"JWT_{kind}_TOKEN_EXPIRES") for kind in _TOKENS)
        return max(LASTS, *map(_expires, made))
    return int(lasts.total_seconds() if isinstance(lasts, timedelta) else lasts)


def _expires(setting: object) -> int:
    """When a token is surely over, in seconds, by a setting of flask-jwt-extended."""
    if setting is None:
        return 0
    if isinstance(setting, timedelta):
        return int(setting.total_seconds()) + _DAY
    if type(setting) is int:
        return setting + _DAY
    # `False` is never; and of other kinds, such as dateutil's, nobody knows how long they are.
    return _ALWAYS


def _revocation(kind: Kind, name: str, now: int, lasts: int) -> Revocation:
    return Revocation(kind=kind, name=name, at=now, exp=now + lasts)


def _here() -> tuple[Revocations, int]:
    """What the current application refuses, and its clock."""
    side: Any = current_app.extensions.get("sealed")
    revocations: Revocations | None = getattr(side, "revocations", None)
    if revocations is None:
        raise ConfigError(
            "this application has no `Sealed(app)` with the profile session, so there is nothing"
            " that could be revoked"
        )
    return revocations, side.now()
