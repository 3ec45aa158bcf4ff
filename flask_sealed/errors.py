"""The errors of Flask-Sealed.

.. code-block:: text

    SealedError
    ├── ConfigError            a programmer's mistake: says the setting and what to write
    ├── NoAnswer               what a client has instead of an answer that it could trust
    │   ├── Untrusted          the answer is not sealed: anyone on the way may have written it
    │   ├── TooSlow            the reply to a handshake took too long to tell the time
    │   └── GivenUp            the operation was given up; its outcome is unknown
    └── Refusal                a peer's bad input: the only errors that a message can cause
        ├── SealedRequired     400  a sealed message was demanded and this is none
        ├── Malformed          400  a sealed message whose form is broken
        ├── Refused            400  every cryptographic failure, one indistinguishable answer
        ├── Stale              400  made too long ago, or in the future; has the server's time
        ├── SessionUnknown     401  no key opens this ticket; the client makes a new handshake
        ├── TokenUnbound       401  the token belongs to another key than the seal's, or to none
        ├── HttpsRequired      403  a sealed view was asked for over plain HTTP
        ├── Replayed           409  this operation was seen before
        ├── TooLarge           413  more bytes than the application accepts
        └── Unavailable        503  what freshness depends on cannot answer

Every refusal class has a stable ``code``, the HTTP ``status`` that it is answered with, a
``title``, and ``sealed``, which says whether a sealed view answers it sealed; an instance adds a
``detail`` that says what to do and never quotes the message.
"""

from __future__ import annotations

from typing import ClassVar


class SealedError(Exception):
    """The base of every error of this package."""


class ConfigError(SealedError):
    """The application is set up wrongly; the text says what to write instead."""


class NoAnswer(SealedError):
    """A client has no answer that it could trust. Only its subclasses are raised."""


class Untrusted(NoAnswer):
    """What came back is not sealed: a proxy, or an attacker, may have written it.

    :param status: the HTTP status that came.
    :param code: the refusal that it claims to be, ``None`` where it is none.
    """

    def __init__(self, status: int, code: str | None = None) -> None:
        said = f"the refusal {code!r}" if code else "no refusal of a sealed service"
        super().__init__(f"the answer is not sealed: status {status}, {said}")
        self.status = status
        self.code = code


class TooSlow(NoAnswer):
    """The reply to a handshake took too long to tell the server's time by it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the reply to the handshake took {seconds:.0f} s; try again")


class GivenUp(NoAnswer):
    """An operation was not finished in time. Its outcome is unknown: ask the service."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the operation was given up after {seconds:.0f} s; ask for its outcome")


class Refusal(SealedError):
    """A message that is not accepted. Only its subclasses are raised.

    :param detail: a sentence for the developer of the peer, without any of the message's content.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    sealed: ClassVar[bool] = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class SealedRequired(Refusal):
    """Something unsealed came where a sealed message is demanded."""

    code = "sealed-required"
    status = 400
    title = "A sealed message is required"


class Malformed(Refusal):
    """The form of a sealed message is broken, before any key was tried."""

    code = "malformed"
    status = 400
    title = "The sealed message is malformed"


class Refused(Refusal):
    """A sealed message did not open. Which check failed is not told, to anyone."""

    code = "refused"
    status = 400
    title = "The sealed message was refused"

    def __init__(self) -> None:
        super().__init__("The message did not open with the key that this service holds.")


class HttpsRequired(Refusal):
    """A sealed view was asked for over plain HTTP by a peer that is not this machine."""

    code = "https-required"
    status = 403
    title = "HTTPS is required"


class TooLarge(Refusal):
    """The message has more bytes than the application accepts."""

    code = "too-large"
    status = 413
    title = "The sealed message is too large"


class Stale(Refusal):
    """The message was made too long ago, or in the future.

    :param server_time: the server's clock, in seconds since 1970, to which a client adjusts once.
    """

    code = "stale"
    status = 400
    title = "The sealed message is not fresh"
    sealed = True

    def __init__(self, server_time: int) -> None:
        super().__init__("The clocks differ too much, or the message was on its way too long.")
        self.server_time = server_time


class SessionUnknown(Refusal):
    """No key of this service opens the ticket: a new handshake is needed."""

    code = "session-unknown"
    status = 401
    title = "The session is unknown"

    def __init__(self) -> None:
        super().__init__("The session has expired, or its key is gone; make a new handshake.")


class TokenUnbound(Refusal):
    """A token came without the proof that its sender holds the key that it is bound to."""

    code = "token-unbound"
    status = 401
    title = "The token is not this client's"
    sealed = True

    def __init__(self) -> None:
        super().__init__("The token is bound to another client's key, or to none; log in again.")


class Replayed(Refusal):
    """The operation was seen before: it is done, or its outcome is unknown."""

    code = "replayed"
    status = 409
    title = "The operation was seen before"
    sealed = True

    def __init__(self) -> None:
        super().__init__("This operation was received before: it is done, or its outcome unknown.")


class Unavailable(Refusal):
    """The server cannot tell whether the message is fresh, so it does not act on it."""

    code = "unavailable"
    status = 503
    title = "The service cannot check the message"
