"""The errors of Flask-Sealed.

.. code-block:: text

    SealedError
    ├── ConfigError            a programmer's mistake: says the setting and what to write
    └── Refusal                a peer's bad input: the only errors that a message can cause
        ├── SealedRequired     400  a sealed message was demanded and this is none
        ├── Malformed          400  a sealed message whose form is broken
        ├── Refused            400  every cryptographic failure, one indistinguishable answer
        ├── HttpsRequired      403  a sealed view was asked for over plain HTTP
        └── TooLarge           413  more bytes than the application accepts

Every refusal class has a stable ``code``, the HTTP ``status`` that it is answered with, and a
``title``; an instance adds a ``detail`` that says what to do and never quotes the message.
"""

from __future__ import annotations

from typing import ClassVar


class SealedError(Exception):
    """The base of every error of this package."""


class ConfigError(SealedError):
    """The application is set up wrongly; the text says what to write instead."""


class Refusal(SealedError):
    """A message that is not accepted. Only its subclasses are raised.

    :param detail: a sentence for the developer of the peer, without any of the message's content.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]

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
