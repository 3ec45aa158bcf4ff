"""A memory for tickets: a worker sees the same one with every request of its client."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from .handshake import Session, open_ticket, ticket_kid
from .keys import KeyRing

_MOST = 4096
# How often what is over is looked for, in seconds.
_SWEEP = 60


class Tickets:
    """Opens the tickets of one service, and remembers the sessions of those that opened.

    A remembered ticket is worth no more than it was: each time its key has to be in use and the
    session not over. Only what has been authenticated is remembered, under all of its characters,
    and the ticket that was not seen for the longest is pushed out by one too many. Another ring
    needs another memory. Threads may share one.

    :param ring: holds the ticket keys.
    :param audience: the name of this service.
    :param most: how many tickets it remembers; each takes about 1 KiB.
    """

    def __init__(self, ring: KeyRing, audience: str, *, most: int = _MOST) -> None:
        self._ring = ring
        self._audience = audience
        self._most = most
        # By ticket: the session and the name of the ticket's key. The latest to be seen is last.
        self._sessions: OrderedDict[str, tuple[Session, str]] = OrderedDict()
        self._swept = 0
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<Tickets of {self._audience}, {len(self._sessions)} remembered>"

    def open(self, ticket: str, now: int) -> Session:
        """Open a ticket, as :func:`~flask_sealed.protocol.handshake.open_ticket` does.

        :param now: seconds since 1970.
        :raises Refusal: what that raises.
        """
        session = self._recall(ticket, now)
        if session is None:
            session = open_ticket(ticket, self._ring, audience=self._audience, now=now)
            self._remember(ticket, session)
        return session

    def _recall(self, ticket: str, now: int) -> Session | None:
        with self._lock:
            if not self._swept <= now < self._swept + _SWEEP:
                self._sweep(now)
            known = self._sessions.pop(ticket, None)
            if known is None or not self._holds(*known, now):
                return None
            self._sessions[ticket] = known  # at the end
            return known[0]

    def _remember(self, ticket: str, session: Session) -> None:
        with self._lock:
            self._sessions[ticket] = session, ticket_kid(ticket)
            if len(self._sessions) > self._most:
                self._sessions.popitem(last=False)

    def _sweep(self, now: int) -> None:
        """Forget all that is over, seen again or not: a secret is kept no longer than needed."""
        self._swept = now
        over = [ticket for ticket, known in self._sessions.items() if not self._holds(*known, now)]
        for ticket in over:
            del self._sessions[ticket]

    def _holds(self, session: Session, kid: str, now: int) -> bool:
        return session.lasts(now) and self._ring.get("ticket", kid, now) is not None
