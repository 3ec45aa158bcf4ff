"""What a profile does with the requests and responses of sealed views."""

from __future__ import annotations

from typing import Any, Protocol

from flask import Request, Response

from .config import ProfileName
from .policy import Policy
from .window import Window


class Profile(Protocol):
    """Opens requests and seals responses, in one of the protocols, for one application."""

    #: What `@sealed` calls it.
    name: ProfileName

    def open_request(self, window: Window, request: Request, policy: Policy) -> None:
        """Open a request, and give the window what the view's request will have.

        :raises Refusal: where it is not sealed, or not accepted.
        """

    def seal_response(self, context: Any, window: Window, response: Response) -> None:
        """Seal a response in place; a streamed one is generated inside the window.

        :raises ConfigError: where it cannot be sealed.
        """

    def json_response(self, window: Window, context: Any, value: Any) -> Response:
        """What Flask makes of a dictionary or a list, sealed: a short cut of the frequent case."""
