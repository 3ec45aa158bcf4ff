"""What a view can know of the seal that its request came with."""

from __future__ import annotations

from datetime import timedelta

from flask import has_request_context, request

from .errors import ConfigError
from .revocation import revoke_proof
from .window import Proof, Window


class _Current:
    """The seal of the current request. False where there is none.

    In a sealed view it always says how. In one that is not sealed it says who sent the request,
    where a seal came as a proof.
    """

    def __bool__(self) -> bool:
        return self.profile is not None or self.binding is not None

    def __repr__(self) -> str:
        return f"<current seal: {self.profile or 'none'}>"

    @property
    def profile(self) -> str | None:
        """The profile that the view is sealed in, ``None`` where it is not."""
        window = Window.of(request) if has_request_context() else None
        return None if window is None else window.sealed_in

    @property
    def sid(self) -> str | None:
        """The name of the session; ``None`` without one. It tells nothing of its keys."""
        proof = self._proof()
        return None if proof is None else proof.sid

    @property
    def binding(self) -> str | None:
        """Who sent the request: the thumbprint of the client's own key (RFC 7638), which stays the
        same over its sessions, or ``psk:`` and the name of the pre-shared key."""
        proof = self._proof()
        return None if proof is None else proof.binding

    @property
    def kem(self) -> bool:
        """Whether the session was agreed on with ML-KEM-768."""
        proof = self._proof()
        return proof is not None and proof.session is not None and proof.session.kem

    def revoke(self, *, lasts: float | timedelta | None = None) -> None:
        """End this session, and refuse all tokens that were bound to this client so far: what a
        logout calls. The client can make a new session, and log in again, with the same key.

        :param lasts: for how long tokens are refused, in seconds: longer than any token lasts that
            was made before. Where left out, 31 days, or a day more than the settings of
            flask-jwt-extended let a token last.
        :raises ConfigError: where no seal came with the request, or for less than a second.
        :raises Unavailable: where the store cannot keep it.
        """
        proof = self._proof()
        if proof is None:
            raise ConfigError("this request came with no seal, so there is no session to revoke")
        revoke_proof(proof, lasts)

    def _proof(self) -> Proof | None:
        return Proof.of(request) if has_request_context() else None


current = _Current()
