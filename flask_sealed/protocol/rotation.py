"""Rotation: new keys come before they are used, and old ones stay while they are needed.

Workers read the keyring at times of their own, and their clocks differ. So a new key says in its
``nbf`` when all of them have it, and is used by none before; and an old one says in its ``exp``
when nobody needs it any more. Rings go in and come out; the clock and randomness are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

from ..errors import ConfigError
from .encoding import b64u_encode
from .handshake import MOST_LIFETIME, TICKET_KEY_ID_BYTES
from .jwk import KEY_BYTES, SigningKey, thumbprint
from .keys import CLOCKS, PURPOSES, Key, KeyRing, Purpose

#: How long a worker works with a keyring before it reads it again, in seconds.
RELOAD = 60
#: How long an identity key that was rotated out still answers those who pin it, in seconds.
OVERLAP = 90 * 24 * 3600


def new_ring(
    identity: SigningKey, backup: SigningKey, *, now: int, random: Callable[[int], bytes]
) -> KeyRing:
    """A keyring to begin with: an identity key, its backup, and a ticket key.

    :param identity: a signing key that was made for this.
    :param backup: likewise.
    :param now: seconds since 1970.
    :param random: gives as many random bytes as it is asked for.
    """
    begin = now - CLOCKS
    ring = KeyRing().add(_identity_key(identity, begin), activate=True)
    return rotate_tickets(_with_backup(ring, backup, begin), now=now, random=random)


def rotate_tickets(
    ring: KeyRing, *, now: int, random: Callable[[int], bytes], reload: int = RELOAD
) -> KeyRing:
    """Add a ticket key. It is used as soon as every worker has it.

    The key before it stays until the last ticket under it has expired. While a key is not yet in
    use, no other is added: it does no harm when two machines rotate at once.

    :param now: seconds since 1970.
    :param random: gives as many random bytes as it is asked for.
    :param reload: how long a worker works with a ring before it reads it again, in seconds.
    :returns: the ring, without the keys that have expired.
    """
    ring = _without_expired(ring, now)
    order = ring.order("ticket")
    if order and order[-1].nbf > now:
        return ring
    begin = now - CLOCKS
    if order:
        begin = _reached(now, reload)
        # Without a gap, where the key before it has an end of its own.
        begin = min(begin, order[-1].exp or begin)
    key = Key(
        kid=b64u_encode(random(TICKET_KEY_ID_BYTES)),
        purpose="ticket",
        material=random(KEY_BYTES),
        nbf=begin,
    )
    # A clock that is behind the one that deletes the key may still take its tickets.
    ring = _retire(ring, "ticket", begin + MOST_LIFETIME + CLOCKS)
    return ring.add(key, activate=True)


def rotate_identity(
    ring: KeyRing, backup: SigningKey, *, now: int, reload: int = RELOAD, overlap: int = OVERLAP
) -> KeyRing:
    """Make the backup identity key the active one, and a new key the backup.

    Clients pin both, so they see no difference. Those that pin neither the new active key nor the
    new backup are answered by the key that was active, until it expires.

    :param backup: a signing key that was made for this.
    :param now: seconds since 1970.
    :param reload: how long a worker works with a ring before it reads it again, in seconds.
    :param overlap: how long the key that was active stays, in seconds.
    :returns: the ring, without the keys that have expired; publish its pins.
    :raises ConfigError: where there is no backup, or not every worker has it yet.
    """
    ring = _without_expired(ring, now)
    heirs = [key for key in ring.of("identity", now) if key.kid == ring.backup]
    if not heirs:
        raise ConfigError("the keyring names no `backup`, so clients pin no other identity key")
    if heirs[0].nbf > now:
        wait = heirs[0].nbf - now
        raise ConfigError(f"workers may not have the backup yet; rotate again in {wait} s")
    ring = _retire(ring, "identity", now + overlap)
    ring = replace(ring, backup=None).activate("identity", heirs[0].kid)
    return _with_backup(ring, backup, _reached(now, reload))


def _reached(now: int, reload: int) -> int:
    """When every worker has what is written now."""
    # Twice: once because clocks differ, and once for the time that writing takes.
    return now + reload + 2 * CLOCKS


def _identity_key(material: SigningKey, nbf: int) -> Key:
    kid = b64u_encode(thumbprint(material.public_key()))
    return Key(kid=kid, purpose="identity", material=material, nbf=nbf)


def _with_backup(ring: KeyRing, material: SigningKey, nbf: int) -> KeyRing:
    key = _identity_key(material, nbf)
    return replace(ring.add(key), backup=key.kid)


def _retire(ring: KeyRing, purpose: Purpose, exp: int) -> KeyRing:
    """The ring in which the last active key of a purpose ends, unless it ends before."""
    last = ring.order(purpose)[-1:]
    keys = (
        replace(key, exp=min(exp, key.exp or exp)) if key in last else key for key in ring.keys
    )
    return replace(ring, keys=tuple(keys))


def _without_expired(ring: KeyRing, now: int) -> KeyRing:
    keys = tuple(key for key in ring.keys if not key.has_expired(now))
    active: list[tuple[Purpose, str]] = []
    for purpose in PURPOSES:
        # A key that was followed by one that has expired does not come back.
        order = list(takewhile(lambda key: key in keys, reversed(ring.order(purpose))))
        active += [(purpose, key.kid) for key in reversed(order)]
    backups = [key for key in keys if (key.purpose, key.kid) == ("identity", ring.backup)]
    return KeyRing(keys, tuple(active), ring.backup if backups else None)
