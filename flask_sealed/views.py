"""The extension's own views: the handshake, the list of sealed routes, the browser's client."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, request
from werkzeug.routing import Rule

from . import signals
from .bodies import read_body
from .config import Settings
from .errors import ConfigError, Refusal, Unavailable
from .keysource import LiveRing
from .policy import Policies, host_of, sealed
from .protocol.encoding import Members, json_decode
from .protocol.flow import MOST_REPLY
from .protocol.handshake import answer_hello
from .refusals import demand_https, refuse
from .revocation import Revocations
from .routelist import list_routes
from .targets import mount
from .window import hide_locals

#: The blueprint of these views.
OWN_BLUEPRINT = "flask_sealed"
#: What the endpoints of these views begin with.
OWN = f"{OWN_BLUEPRINT}."
_HELLO = Members({"hello": str})
#: The modules for browsers by the names that they are served under: the client, and beside it its
#: parts, which it loads when they are used. tests/js/build.mjs builds them from what is in ``js``.
_MODULES = {path.name: path for path in Path(__file__).parent.glob("js/dist/client*.js")}

logger = logging.getLogger("flask_sealed")


def add_views(
    app: Flask,
    settings: Settings,
    keyring: LiveRing,
    revocations: Revocations,
    policies: Callable[[Flask], Policies],
    now: Callable[[], int],
) -> None:
    """Add the views below the configured prefix.

    :param revocations: what is not accepted any more.
    :param policies: says what each view of an application demands.
    :param now: tells the seconds since 1970.
    """
    blueprint = Blueprint(OWN_BLUEPRINT, __name__, url_prefix=settings.prefix)
    where: dict[str, Any] = {
        "host" if app.url_map.host_matching else "subdomain": settings.host,
    }

    @blueprint.post("/session", **where)
    def session() -> Response:
        try:
            return _agree(app, settings, keyring, revocations, now())
        except Refusal as refusal:
            return refuse(app, request, refusal)
        except BaseException as error:
            hide_locals(app, error)
            raise

    @blueprint.get("/routes", **where)
    @sealed(profile="session")
    def routes() -> dict[str, Any]:
        return {"routes": list_routes(app, settings, policies(app), mount(request.environ))}

    for name in sorted(_MODULES):
        rule, endpoint = f"/{name}", name.partition(".")[0]
        # Not a `partial`: some monitoring asks a view for its name.
        blueprint.add_url_rule(rule, endpoint, serve_module, defaults={"name": name}, **where)
    if OWN_BLUEPRINT in app.blueprints:
        raise ConfigError(
            f"the application has a blueprint {OWN_BLUEPRINT!r} already, which is the name of"
            " Flask-Sealed's own: give yours another"
        )
    app.register_blueprint(blueprint)


def check_views(app: Flask) -> None:
    """Make sure that no view of the application has the path of one of these.

    :raises ConfigError: where one has: Flask would heed one of them alone.
    """
    own = {(host_of(rule), rule.rule) for rule in app.url_map.iter_rules() if _is_own(rule)}
    for rule in app.url_map.iter_rules():
        if (host_of(rule), rule.rule) in own and not _is_own(rule):
            raise ConfigError(
                f"the view {rule.endpoint!r} has the path {rule.rule!r}, which is one of"
                " Flask-Sealed's own: give it another, or set SEALED_PREFIX to a path that is free"
            )


def _is_own(rule: Rule) -> bool:
    endpoint: str = rule.endpoint
    return endpoint.startswith(OWN)


def _agree(
    app: Flask, settings: Settings, keyring: LiveRing, revocations: Revocations, now: int
) -> Response:
    """The reply to a hello.

    :raises Refusal: where there is none.
    """
    demand_https(app, settings, request)
    hello = json_decode(read_body(request, MOST_REPLY), _HELLO)["hello"]
    fault = None
    try:
        session, reply = answer_hello(
            hello,
            # What every worker knows that has looked: an old ticket key may have been taken out.
            keyring.look(),
            issuer=settings.audience,
            now=now,
            lifetime=settings.lifetime,
            random=os.urandom,
        )
    except ConfigError as error:
        fault = str(error)
    if fault is not None:
        logger.error("no handshake can be answered: %s", fault)
        raise Unavailable("The service has no keys for new sessions.")
    revocations.demand_key(session.jkt, now)
    if signals.handshake.receivers:
        signals.handshake.send(app, sid=session.sid, kem=session.kem)
    response = app.response_class(f'{{"session":"{reply}"}}', content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def serve_module(name: str) -> Response:
    """The browser's client, or a part of it that not every page needs, as an ES module."""
    content, digest = _module(name)
    response = Response(content, content_type="text/javascript; charset=utf-8")
    response.set_etag(digest)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.make_conditional(request)
    return response


@cache
def _module(name: str) -> tuple[bytes, str]:
    content = _MODULES[name].read_bytes()
    return content, hashlib.sha256(content).hexdigest()
