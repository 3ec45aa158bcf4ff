"""How a refusal is answered, and what is refused before a seal is looked at."""

from __future__ import annotations

import json
import logging
from ipaddress import ip_address

from flask import Flask, Request, Response

from . import signals
from .config import Settings
from .errors import HttpsRequired, Refusal, Replayed, SealedRequired, Stale
from .protocol.flow import RECORDS_TYPE
from .window import Proof

_THIS_MACHINE = frozenset(("127.0.0.1", "::1"))

logger = logging.getLogger("flask_sealed")


def demand_https(app: Flask, settings: Settings, request: Request) -> None:
    """Refuse plain HTTP where browsers would not call the context secure either.

    :raises HttpsRequired: where it came from another machine.
    """
    if request.scheme == "https" or request.remote_addr in _THIS_MACHINE:
        return
    waived = app.testing or not settings.require_https
    if not waived and not _is_loopback(request.remote_addr):
        raise HttpsRequired(
            "This view answers over HTTPS only. Behind a proxy that ends TLS, the application"
            " needs werkzeug.middleware.proxy_fix.ProxyFix."
        )


def let_through(app: Flask, request: Request) -> None:
    """Tell of a request in clear to a view whose mode is optional.

    :raises SealedRequired: where it has lost its seal on the way: the view would read ciphertext.
    """
    if request.mimetype == RECORDS_TYPE:
        raise SealedRequired("The body is sealed, and came without the header Sealed.")
    logger.warning("let a request in clear through to %s, which is optional", request.endpoint)
    signals.unsealed.send(app, endpoint=request.endpoint)


def _is_loopback(address: str | None) -> bool:
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return False


def refuse(app: Flask, request: Request, refusal: Refusal) -> Response:
    """Answer a refusal, and tell of it: which one it is and in what session, never any content."""
    proof = Proof.of(request)
    sid = None if proof is None else proof.sid
    logger.info("refused a request to %s: %s, session %s", request.endpoint, refusal.code, sid)
    signals.refused.send(app, endpoint=request.endpoint, code=refusal.code, sid=sid)
    if isinstance(refusal, Replayed):
        signals.replayed.send(app, endpoint=request.endpoint, sid=sid)
    return problem(app, refusal)


def problem(app: Flask, refusal: Refusal) -> Response:
    """A refusal as RFC 9457 says it."""
    body: dict[str, str | int] = {
        "type": f"urn:flask-sealed:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
    }
    if isinstance(refusal, Stale):
        body["server_time"] = refusal.server_time
    response = app.response_class(
        json.dumps(body), refusal.status, content_type="application/problem+json"
    )
    response.headers["Cache-Control"] = "no-store"
    return response
