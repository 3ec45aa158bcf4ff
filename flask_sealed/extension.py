"""``Sealed``: the extension, its hooks, and what it holds for one application."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address
from threading import Lock
from typing import Any

from flask import Blueprint, Flask, Request, Response

from .config import Profile, Settings, demand_level3_key, load
from .errors import ConfigError, HttpsRequired, Refusal
from .level3 import Level3, makes_usual_json
from .policy import Policies, Policy, read_policies, seal_blueprint
from .window import (
    Window,
    after_request_functions,
    current_context,
    guard_logging,
    hide_locals,
    open_first,
    own_response,
    seal_first,
)

_THIS_MACHINE = frozenset(("127.0.0.1", "::1"))

# What Flask makes a new response from, and what it makes JSON from.
_PLAIN_VALUES = frozenset((dict, list, str, bytes))
_JSON_VALUES = frozenset((dict, list))

logger = logging.getLogger("flask_sealed")


class Sealed:
    """The extension. One object serves any number of applications.

    :param app: the application; or none, and :meth:`init_app` in the application's factory.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the application's settings and put the hooks in.

        :raises ConfigError: when a setting is missing or wrong.
        """
        if "sealed" in app.extensions:
            raise ConfigError("this application has a `Sealed` already; leave one of them")
        side = _ServerSide(load(app.config))
        app.extensions["sealed"] = side
        open_first(app, side.open_request)
        app.after_request(side.seal_response)
        guard_logging()

    def blueprint(
        self,
        blueprint: Blueprint,
        *,
        request: bool = True,
        response: bool = True,
        profile: Profile | None = None,
    ) -> None:
        """Seal all views of a blueprint, before it is registered; a view's own ``@sealed`` goes
        before it.

        The parameters are those of :func:`~flask_sealed.sealed`.
        """
        policy = Policy(request=request, response=response, profile=profile)
        seal_blueprint(blueprint, policy)


class _ServerSide:
    """What the extension holds for one application."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._policies: Policies | None = None
        self._level3: Level3
        self._usual_json = False
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<flask_sealed for {self.settings!r}>"

    def open_request(self) -> Response | None:
        """The hook before a request: open what is sealed, answer what has to be refused."""
        context = current_context()
        request: Request = context.request
        policy = self.policy(context.app, request)
        if policy is None:
            return None
        window = Window(request, policy.response)
        try:
            if request.scheme != "https" and request.remote_addr not in _THIS_MACHINE:
                self._demand_https(context.app, request)
            if policy.request:
                opened = self._level3.open_request(request)
                if opened is not None:
                    window.hold(*opened)
        except Refusal as refusal:
            logger.info("refused a request to %s: %s", request.endpoint, refusal.code)
            window.settled = _problem(context.app, refusal)
        return window.settled

    def seal_response(self, response: Response) -> Response:
        """The hook after a request: seal what did not come out of a window, such as errors."""
        context = current_context()
        request: Request = context.request
        window = Window.of(request)
        if window is not None and window.settled is response:
            return response
        policy = self.policy(context.app, request)
        if policy is not None and policy.response:
            self._seal_or_withhold(context, response)
            if window is not None:
                window.settled = response
        return response

    def policy(self, app: Flask, request: Request) -> Policy | None:
        """What a request's endpoint and method demand, ``None`` where they are unsealed.

        At the first request all views are prepared.

        :raises ConfigError: when a view demands what cannot be, at every request until it is
            mended: nothing is answered by an application whose seals are in doubt.
        """
        policies = self._policies
        if policies is None:
            policies = self.prepare(app)
        rule = request.url_rule
        return None if rule is None else policies.get((rule.endpoint, request.method))

    def prepare(self, app: Flask) -> Policies:
        """Put the windows around the sealed views, once.

        :raises ConfigError: when a view demands what cannot be.
        """
        with self._lock:
            if self._policies is None:
                policies = read_policies(app)
                self.check(policies)
                for endpoint in {endpoint for endpoint, _ in policies} & app.view_functions.keys():
                    view = app.view_functions[endpoint]
                    app.view_functions[endpoint] = self._windowed(app, endpoint, view)
                self._usual_json = makes_usual_json(app)
                seal_first(app, self.seal_response)
                self._policies = policies
            return self._policies

    def check(self, policies: Policies) -> None:
        """Make sure that every sealed view can be.

        :raises ConfigError: where one has no profile, or its profile no key.
        """
        for (endpoint, _), policy in policies.items():
            if (policy.profile or self.settings.profile) is None:
                raise ConfigError(
                    f"the sealed view {endpoint!r} has no profile: set SEALED_PROFILE, or write"
                    ' `@sealed(profile="level3")`'
                )
            self._level3 = Level3(demand_level3_key(self.settings), self.settings.max_body)

    def _windowed(self, app: Flask, endpoint: str, view: Callable[..., Any]) -> Callable[..., Any]:
        """The whole view function, whatever decorators it has, inside the window."""
        synchronous = app.ensure_sync(view)

        @functools.wraps(view)
        def windowed(**view_args: Any) -> Any:
            context = current_context()
            window = Window.of(context.request)
            if window is None:
                if self.policy(context.app, context.request) is not None:
                    raise ConfigError(f"the sealed view {endpoint!r} was called without its hooks")
                return synchronous(**view_args)  # another method of the endpoint
            if window.outside is not None:
                return synchronous(**view_args)  # one view calls another
            window.enter(context)
            try:
                return self._respond(context, window, synchronous, view_args)
            except BaseException as error:
                hide_locals(context.app, error)
                # Ahead of all other functions after this request, those of blueprints included.
                after_request_functions(context).insert(0, self.seal_response)
                raise
            finally:
                window.leave(context)

        return windowed

    def _respond(
        self, context: Any, window: Window, view: Callable[..., Any], view_args: dict[str, Any]
    ) -> Response:
        """A view's answer, with all that its author wrote for it done inside the window."""
        app: Flask = context.app
        functions = after_request_functions(context)
        others = len(functions)
        value = view(**view_args)
        untouched = len(functions) == others and type(value) in _PLAIN_VALUES
        if (
            untouched
            and window.seals_response
            and self._usual_json
            and type(value) in _JSON_VALUES
        ):
            response = window.settled = self._level3.json_response(app, value)
            return response
        response = app.make_response(value)
        while len(functions) > others:
            response = app.ensure_sync(functions.pop(others))(response)
        if not untouched:
            response = own_response(response)
        if window.seals_response:
            self._level3.seal_response(context.request, response)
            window.settled = response
        elif response.is_streamed:
            window.stream(context, response)
        return response

    def _demand_https(self, app: Flask, request: Request) -> None:
        """Refuse plain HTTP where browsers would not call the context secure either."""
        waived = app.testing or not self.settings.require_https
        if not waived and not _is_loopback(request.remote_addr):
            raise HttpsRequired(
                "This view answers over HTTPS only. Behind a proxy that ends TLS, the application"
                " needs werkzeug.middleware.proxy_fix.ProxyFix."
            )

    def _seal_or_withhold(self, context: Any, response: Response) -> None:
        try:
            self._level3.seal_response(context.request, response)
        except Exception as error:
            # Flask answers with the unsealed response where an error comes this late.
            _blank(response)
            hide_locals(context.app, error)
            logger.exception("a response could not be sealed, and was withheld")


def _is_loopback(address: str | None) -> bool:
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return False


def _problem(app: Flask, refusal: Refusal) -> Response:
    """A refusal as RFC 9457 says it."""
    body = {
        "type": f"urn:flask-sealed:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
    }
    response = app.response_class(
        json.dumps(body), refusal.status, content_type="application/problem+json"
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _blank(response: Response) -> None:
    """Take everything out of a response."""
    response.direct_passthrough = False
    response.headers.clear()
    response.status_code = HTTPStatus.INTERNAL_SERVER_ERROR
    response.set_data(b"")
