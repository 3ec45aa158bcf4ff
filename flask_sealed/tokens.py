"""Tokens of flask-jwt-extended belong to the client that they were made for.

A token that is made for a request with a seal says in ``cnf`` (RFC 7800) whose key that seal was
made with, in the words of RFC 9449, section 6. Such a token is refused wherever the request's own
seal does not prove that key. Both hold in the application's ``JWTManager`` itself: whatever makes
or verifies a token, in any decorator or hook, asks it. What is particular to the insides of
flask-jwt-extended stands here alone, and is tried out when the application starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from hmac import compare_digest
from types import SimpleNamespace
from typing import Any

from flask import Flask, Request, g, has_request_context
from flask.typing import ErrorHandlerCallable

from .config import Settings, check_header
from .errors import ConfigError, Malformed, TokenUnbound, Unavailable
from .jwtkeys import demand_other_keys
from .protocol.encoding import b64u_decode
from .window import Proof, Window, current_context

_EXTENSION = "flask-jwt-extended"
_BOUND = "_flask_sealed"
_VERIFIED = "_jwt_extended_jwt"
_HOOKS = ("_token_verification_callback", "_user_claims_callback")
_UNKNOWN = (
    "this version of flask-jwt-extended makes or verifies tokens in a way that Flask-Sealed does"
    " not know, so they would not be bound; install one of the versions that its extra `jwt` names"
)
_TWO = (
    "a token made for a sealed request has a claim `cnf` of the application's own; leave it out of"
    " `additional_claims`, since Flask-Sealed says there whose token it is"
)

Claims = dict[str, Any]


def bind_tokens(app: Flask) -> bool:
    """Put what binds tokens into the application's ``JWTManager``, where it has one.

    :returns: whether it has one.
    :raises ConfigError: where it is none that is known.
    """
    manager = app.extensions.get(_EXTENSION)
    if manager is None or getattr(type(manager), _BOUND, False) is True:
        return manager is not None
    # Its callbacks go on to stand where they stand, so that they can still be set later.
    if not set(_HOOKS) <= getattr(manager, "__dict__", {}).keys():
        raise ConfigError(_UNKNOWN)
    # Of this one object: whoever holds it has the same, and other managers stay as they are.
    manager.__class__ = _bound_class(type(manager))
    if has_request_context() and g.get(_VERIFIED):
        raise ConfigError(
            "a token was verified before Flask-Sealed could see it: write `Sealed(app)` below"
            " `JWTManager(app)`, or verify tokens in a hook that runs later"
        )
    return True


def prepare_tokens(app: Flask, settings: Settings, answer: ErrorHandlerCallable) -> str | None:
    """Have an application's tokens bound, once all of it is set up.

    :param answer: answers a token that is not the client's, whatever error handlers there are.
    :returns: the header that tokens travel in, in lower case, where they do.
    :raises ConfigError: where they would not be bound, or are signed with a key of the keyring.
    """
    if not bind_tokens(app):
        return None
    demand_other_keys(app.config, settings)
    _try_out()
    for name in (None, *app.blueprints):
        app.error_handler_spec[name][None].update({TokenUnbound: answer, Unavailable: answer})
    if "headers" not in app.config["JWT_TOKEN_LOCATION"]:
        return None
    try:
        return check_header(app.config["JWT_HEADER_NAME"])
    except ConfigError as error:
        raise ConfigError(f"JWT_HEADER_NAME: {error}") from None


class _Hook:
    """A callback of the manager, which stays where the manager keeps it, and what goes before."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self._wrap = wrap

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, manager: Any, owner: type) -> Any:
        return self._wrap(vars(manager)[self._name])

    def __set__(self, manager: Any, callback: Any) -> None:
        vars(manager)[self._name] = callback


def _bound_claims(own: Callable[[Any], Claims]) -> Callable[[Any], Claims]:
    """The application's additional claims, and whose token it is."""
    binding = _binding()
    if binding is None:
        return own
    bound = {"cnf": {"jkt": binding}}

    def claims(identity: Any) -> Claims:
        # A new one: flask-jwt-extended writes into it, and the application's may be for all.
        others = own(identity)
        if others.get("cnf", bound["cnf"]) != bound["cnf"]:
            raise ConfigError(_TWO)
        return {**others, **bound}

    return claims


def _bound_verification(own: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """The application's own verification of a token, after that of whose it is."""

    def verify(header: Claims, claims: Claims) -> bool:
        _demand_bound(claims)
        return own(header, claims)

    return verify


def _bound_class(cls: Any) -> Any:
    """A manager's class, with what binds tokens before it."""

    # With `cls` as the only base: Python changes the class of an object to none of another layout.
    class Bound(cls):  # type: ignore[misc]
        __slots__ = ()

        _user_claims_callback = _Hook(_bound_claims)
        _token_verification_callback = _Hook(_bound_verification)

        def _encode_jwt_from_config(self, *args: Any, **kwargs: Any) -> str:
            """Make a token, and see that it is bound, whatever claims it was given."""
            token: str = super()._encode_jwt_from_config(*args, **kwargs)
            binding = _binding()
            if binding is not None and _claims_of(token).get("cnf") != {"jkt": binding}:
                raise ConfigError(_TWO)
            return token

    setattr(Bound, _BOUND, True)
    Bound.__name__, Bound.__qualname__ = cls.__name__, cls.__qualname__
    Bound.__module__, Bound.__doc__ = cls.__module__, cls.__doc__
    return Bound


def _claims_of(token: str) -> Claims:
    """What a token says (RFC 7519, section 3); nothing where it has another form."""
    try:
        claims = json.loads(b64u_decode(token.split(".")[1]))
    except (Malformed, ValueError, IndexError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _settings(app: Flask) -> Settings | None:
    # One manager may serve several applications, and not all of them have a `Sealed`.
    side = app.extensions.get("sealed")
    return None if side is None else side.settings


def _binding() -> str | None:
    """What a token that is made now is bound to."""
    if not has_request_context():
        return None
    context = current_context()
    proof = None if _settings(context.app) is None else Proof.of(context.request)
    return None if proof is None else proof.binding


def _demand_bound(claims: Claims) -> None:
    """Refuse a token that is not of who sent the request, or is revoked.

    :raises TokenUnbound: where the seal is by another key, or there is none; in a sealed view,
        unless the application allows it, also where the token belongs to no key; and where such
        a token stands beside the seal, and a hook verifies it.
    :raises Unavailable: where nobody can tell whether it is revoked.
    """
    context = current_context()  # not Flask's proxies, which take longer
    request, settings = context.request, _settings(context.app)
    if settings is None:
        return
    binding = None
    if "cnf" in claims:
        proof = Proof.of(request)
        if proof is None or not _proves(proof, claims["cnf"]):
            raise TokenUnbound
        binding = proof.binding
    else:
        _demand_allowed(context.app, request, settings)
    _demand_not_revoked(context.app, request, binding, claims)


def _demand_allowed(app: Flask, request: Request, settings: Settings) -> None:
    """Refuse a token that belongs to no key, where it has to."""
    window = Window.of(request)
    if window is None or window.profile is None or window.profile.name != "session":
        return
    if settings.tokens == "bound" or (window.waits and _is_in_clear(app, request)):
        raise TokenUnbound


def _is_in_clear(app: Flask, request: Request) -> bool:
    """Whether a token stands beside the seal, where anyone on the way may have put it.

    The view is not shown it; a hook is, and what it verifies is kept for the view.
    """
    return app.config["JWT_HEADER_NAME"] in request.headers


def _demand_not_revoked(app: Flask, request: Request, binding: str | None, claims: Claims) -> None:
    side: Any = app.extensions["sealed"]
    if side.revocations is None:
        return
    subject = claims.get(app.config["JWT_IDENTITY_CLAIM"])
    demand = partial(side.revocations.demand_token, binding, subject, claims.get("iat"))
    demand(side.now())
    window = Window.of(request)
    if window is not None:
        window.demands += (demand,)


def _proves(proof: Proof, cnf: object) -> bool:
    jkt = cnf.get("jkt") if isinstance(cnf, dict) else None
    if not isinstance(jkt, str):
        return False
    # Bytes, since text may have characters that the comparison does not take.
    return compare_digest(jkt.encode("utf-8", "surrogatepass"), proof.binding.encode())


def _try_out() -> None:
    """Make sure that flask-jwt-extended asks what was put into it.

    :raises ConfigError: where tokens would not be bound.
    """
    from flask_jwt_extended import JWTManager  # noqa: PLC0415 - an extra

    app = Flask(__name__, static_folder=None)
    app.config["JWT_SECRET_KEY"] = os.urandom(32).hex()
    settings = SimpleNamespace(tokens="any")
    app.extensions["sealed"] = SimpleNamespace(settings=settings, revocations=None)
    JWTManager(app)
    bind_tokens(app)
    token = _trial(app, "one", None)
    works = _trial(app, "one", token) and _trial(app, "other", token) is None
    if not works or _trial(app, None, token) is not None:
        raise ConfigError(_UNKNOWN)


def _trial(app: Flask, sender: str | None, token: str | None) -> str | None:
    """A request of a sender with a token; it gets a new one, and none where it is refused."""
    from flask_jwt_extended import create_access_token, verify_jwt_in_request  # noqa: PLC0415

    with app.test_request_context(headers={"Authorization": f"Bearer {token}"}):
        if sender is not None:
            Proof(psk=sender).belong_to(current_context().request)
        try:
            if token is not None:
                verify_jwt_in_request()
            return str(create_access_token("trial"))
        except TokenUnbound:
            return None
