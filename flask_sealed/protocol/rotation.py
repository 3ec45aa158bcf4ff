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
    ring: KeyRing,
    *,
    now: int,
    random: Callable[[int], bytes],
    reload: int = RELOAD,
    clocks: int = CLOCKS,
    lifetime: int = MOST_LIFETIME,
) -> KeyRing:
    """Add a ticket key. It is used as soon as every worker has it.

    The key before it stays until the last ticket under it has expired. While a key is not yet in
    use, no other is added: it does no harm when two machines rotate at once.

    :param now: seconds since 1970.
    :param random: gives as many random bytes as it is asked for.
    :param reload: how long a worker works with a ring before it reads it again, in seconds.
    :param clocks: how far the clocks of two workers may differ, in seconds.
    :param lifetime: how long a session lasts, in seconds; no ticket of the old key does longer.
    :returns: the ring, without the keys that have expired.
    """
    ring = _without_expired(ring, now)
    order = ring.order("ticket")
    if order and order[-1].nbf > now:
        return ring
    begin = now - CLOCKS
    if order:
        begin = _reached(now, reload, clocks)
        # Without a gap, where the key before it has an end of its own.
        begin = min(begin, order[-1].exp or begin)
    # A clock that is behind the one that deletes the key may still take its tickets.
    ring = _retire(ring, "ticket", begin + lifetime + clocks)
    return ring.add(_ticket_key(begin, random), activate=True)


def replace_tickets(ring: KeyRing, *, now: int, random: Callable[[int], bytes]) -> KeyRing:
    """Take all ticket keys out, and begin with a new one at once: all sessions end.

    :param now: seconds since 1970.
    :param random: gives as many random bytes as it is asked for.
    :returns: the ring, without the keys that have expired.
    """
    ring = _without(_without_expired(ring, now), "ticket")
    return ring.add(_ticket_key(now - CLOCKS, random), activate=True)


def rotate_identity(
    ring: KeyRing,
    backup: SigningKey,
    *,
    now: int,
    reload: int = RELOAD,
    overlap: int = OVERLAP,
    clocks: int = CLOCKS,
) -> KeyRing:
    """Make the backup identity key the active one, and a new key the backup.

    Clients pin both, so they see no difference. Those that pin neither the new active key nor the
    new backup are answered by the key that was active, until it expires.

    :param backup: a signing key that was made for this.
    :param now: seconds since 1970.
    :param reload: how long a worker works with a ring before it reads it again, in seconds.
    :param overlap: how long the key that was active stays, in seconds.
    :param clocks: how far the clocks of two workers may differ, in seconds.
    :returns: the ring, without the keys that have expired; publish its pins.
    :raises ConfigError: where there is no backup, or not every worker has it yet.
    """
    ring = _without_expired(ring, now)
    heir = _heir(ring, now)
    if heir.nbf > now:
        wait = heir.nbf - now
        raise ConfigError(f"workers may not have the backup yet; rotate again in {wait} s")
    ring = _retire(ring, "identity", now + overlap)
    ring = replace(ring, backup=None).activate("identity", heir.kid)
    return _with_backup(ring, backup, _reached(now, reload, clocks))


def replace_identity(ring: KeyRing, backup: SigningKey, *, now: int) -> KeyRing:
    """Make the backup the identity key at once, and take all others out.

    Clients that pin none but those are refused from now on.

    :param backup: a signing key that was made for this.
    :param now: seconds since 1970.
    :returns: the ring, without the keys that have expired; publish its pins.
    :raises ConfigError: where there is no backup.
    """
    ring = _without_expired(ring, now)
    heir = replace(_heir(ring, now), nbf=now - CLOCKS)
    ring = _without(ring, "identity").add(heir, activate=True)
    return _with_backup(ring, backup, now - CLOCKS)


def without_tickets(ring: KeyRing) -> KeyRing:
    """The ring without its ticket keys: what is worth a copy."""
    return _without(ring, "ticket")


def _heir(ring: KeyRing, now: int) -> Key:
    for key in ring.of("identity", now):
        if key.kid == ring.backup:
            return key
    raise ConfigError("the keyring names no `backup`, so clients pin no other identity key")


def _without(ring: KeyRing, purpose: Purpose) -> KeyRing:
    keys = tuple(key for key in ring.keys if key.purpose != purpose)
    active = tuple(pair for pair in ring.active if pair[0] != purpose)
    return KeyRing(keys, active, None if purpose == "identity" else ring.backup)


def _reached(now: int, reload: int, clocks: int) -> int:
    """When every worker has what is written now."""
    # Twice: once because clocks differ, and once for the time that writing takes.
    return now + reload + 2 * clocks


def _ticket_key(nbf: int, random: Callable[[int], bytes]) -> Key:
    kid = b64u_encode(random(TICKET_KEY_ID_BYTES))
    return Key(kid=kid, purpose="ticket", material=random(KEY_BYTES), nbf=nbf)


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
