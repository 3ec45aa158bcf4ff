"""Revocation: what is not accepted any more, although its own time is not over.

A session, a binding key, the tokens that were bound to a key so far, or those of a user so far.
:class:`Revoked` is what one worker knows of it. It only learns: what a store has lost, a worker
that runs still knows, and gives back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

from .handshake import MOST_LIFETIME, Session
from .keys import CLOCKS

Kind = Literal["session", "key", "tokens", "user"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: The most characters of a name.
MOST_NAME = 1024
#: How long a session is remembered as revoked, in seconds: no ticket lasts longer.
SESSION_LASTS = MOST_LIFETIME + CLOCKS
#: The same of keys and users, unless it is said otherwise: longer than refresh tokens of
#: flask-jwt-extended last.
LASTS = 31 * 24 * 3600
# How often what is over is looked for, in seconds.
_SWEEP = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One thing that is revoked.

    :raises ValueError: where its name is empty, too long, or no text.
    """

    #: What it is: a ``session`` by its ``sid``; a ``key`` by what tokens are bound to, with all of
    #: its sessions; the ``tokens`` of such a key; or the tokens of a ``user`` by their subject.
    kind: Kind
    name: str
    #: Tokens made later are not meant. Seconds since 1970, as the rest.
    at: int
    #: As of when nothing of it could be accepted anyway.
    exp: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MOST_NAME:
            raise ValueError(f"a name has 1 to {MOST_NAME} characters")
        self.name.encode()

    def to_text(self) -> str:
        """As stores keep it."""
        return f"{self.kind} {self.at} {self.exp} {self.name}"

    @classmethod
    def from_text(cls, text: str) -> Revocation:
        """What :meth:`to_text` gives.

        :raises ValueError: where it is something else.
        """
        kind, at, exp, name = text.split(" ", 3)
        for known in KINDS:
            if kind == known:
                return cls(kind=known, name=name, at=int(at), exp=int(exp))
        raise ValueError("no such kind")


class RevocationStore(Protocol):
    """Keeps revocations for all workers. What was added later has a higher number, also where the
    store has lost its memory in between."""

    def revoke(self, revocations: list[Revocation], *, now: int) -> None:
        """Add revocations; what is there already stays as it is. What is over is forgotten.

        :raises Unavailable: where the store cannot keep them.
        """

    def since(self, number: int) -> list[tuple[int, Revocation]]:
        """What has this number or a higher one, in their order.

        :param number: of the last one that is known; 0 for all.
        :raises Unavailable: where the store cannot answer.
        """


class Revoked:
    """What a worker knows to be revoked."""

    def __init__(self) -> None:
        self._known: dict[Kind, dict[str, Revocation]] = {kind: {} for kind in KINDS}
        self._swept = 0

    def __repr__(self) -> str:
        return f"<Revoked, {sum(map(len, self._known.values()))} known>"

    def __iter__(self) -> Iterator[Revocation]:
        for known in self._known.values():
            yield from [*known.values()]

    def add(self, revocation: Revocation) -> None:
        """Know of one more; of two of the same thing, the later time counts."""
        known = self._known[revocation.kind]
        before = known.get(revocation.name, revocation)
        known[revocation.name] = replace(
            revocation, at=max(before.at, revocation.at), exp=max(before.exp, revocation.exp)
        )

    def forget(self, now: int) -> None:
        """Forget what is over, now and then."""
        if self._swept <= now < self._swept + _SWEEP:
            return
        self._swept = now
        for known in self._known.values():
            for name in [name for name, one in known.items() if one.exp <= now]:
                del known[name]

    def has_session(self, session: Session, now: int) -> bool:
        """Whether a session is revoked, or the key that it belongs to."""
        # A session's name takes some steps, the first time.
        return (
            bool(self._known["session"]) and self._find("session", session.sid, now) is not None
        ) or (bool(self._known["key"]) and self.has_key(session.jkt, now))

    def has_key(self, binding: str, now: int) -> bool:
        """Whether a key is revoked.

        :param binding: what tokens are bound to.
        """
        return self._find("key", binding, now) is not None

    def has_token(self, kind: Kind, name: str, iat: object, now: int) -> bool:
        """Whether a token is revoked that was made at some time.

        :param kind: ``tokens`` or ``user``.
        :param iat: the token's; what is no number could have been at any time.
        """
        found = self._find(kind, name, now)
        if found is None:
            return False
        # Within the same second nobody knows which was first.
        return not (isinstance(iat, int | float) and iat >= found.at + 1)

    def _find(self, kind: Kind, name: str, now: int) -> Revocation | None:
        found = self._known[kind].get(name)
        return found if found is not None and now < found.exp else None
