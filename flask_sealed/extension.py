"""``Sealed``: the extension, its hooks, and what it holds for one application."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from threading import Lock
from typing import Any, TypeVar

from flask import Blueprint, Flask, Request, Response

from . import signals
from .config import ProfileName, demand_level3_key, load
from .errors import ConfigError, Refusal, TokenUnbound, Unavailable
from .level3 import Level3
from .neighbours import (
    demand_uncached,
    forget_user,
    has_users,
    headers_of,
    postpone_csrf,
)
from .policy import Mode, Policies, Policy, check_hosts, read_policies, seal_blueprint
from .profile import Profile
from .refusals import demand_https, let_through, refuse
from .responses import makes_usual_json, own_response
from .revocation import Revocations
from .session import SEAL, SessionProfile
from .stores import open_revocations, open_store
from .tokens import bind_tokens, prepare_tokens
from .views import OWN, OWN_BLUEPRINT, add_views, check_views
from .window import (
    Proof,
    Window,
    after_request_functions,
    current_context,
    current_request,
    current_window,
    guard_logging,
    guard_teardown,
    hide_locals,
    leaving,
    open_first,
    seal_first,
)

# What Flask makes a new response from, and what it makes JSON from.
_PLAIN_VALUES = frozenset((dict, list, str, bytes))
_JSON_VALUES = frozenset((dict, list))

F = TypeVar("F", bound=Callable[[], Any])

logger = logging.getLogger("flask_sealed")


class Sealed:
    """The extension. One object serves any number of applications.

    :param app: the application; or none, and :meth:`init_app` in the application's factory.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._before_views: list[Callable[[], Any]] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the application's settings, put the hooks in, and add the extension's own views.

        :raises ConfigError: when a setting is missing or wrong.
        """
        if "sealed" in app.extensions:
            raise ConfigError("this application has a `Sealed` already; leave one of them")
        side = app.extensions["sealed"] = _ServerSide(app, self._before_views)
        keyring, revocations = side.settings.keyring, side.revocations
        if keyring is not None and revocations is not None:
            add_views(app, side.settings, keyring, revocations, side.prepare, side.now)
        open_first(app, side.open_request)
        app.after_request(side.seal_response)
        side.own_responses(app)
        # As early as can be; what comes after this extension is found at the first request.
        bind_tokens(app)
        guard_logging()
        guard_teardown(app)

    def before_view(self, function: F) -> F:
        """Run a function before each sealed view, as ``before_request`` does before all views, but
        with the plaintext request. What it returns, unless ``None``, is answered in place of the
        view.

        It is for what has to look into a request: a check of tokens against cross-site requests, a
        login. It does not run before the extension's own views, which every client needs first.

        :param function: takes nothing; it may be a coroutine function.
        """
        self._before_views.append(function)
        return function

    def blueprint(
        self,
        blueprint: Blueprint,
        *,
        request: bool = True,
        response: bool = True,
        profile: ProfileName | None = None,
        once: bool = False,
        kem: bool = False,
        pad: bool = False,
        mode: Mode = "required",
    ) -> None:
        """Seal all views of a blueprint, before it is registered; a view's own ``@sealed`` goes
        before it.

        The parameters are those of :func:`~flask_sealed.sealed`.
        """
        policy = Policy(
            request=request,
            response=response,
            profile=profile,
            once=once,
            kem=kem,
            pad=pad,
            mode=mode,
        )
        seal_blueprint(blueprint, policy)


class _ServerSide:
    """What the extension holds for one application."""

    def __init__(self, app: Flask, before_views: list[Callable[[], Any]]) -> None:
        self.settings = load(app)
        self._before_views = before_views
        #: Tells the seconds since 1970 that requests are judged by; tests put another in place.
        self.clock: Callable[[], float] = time.time
        self._policies: Policies | None = None
        #: What is refused although its time is not over; ``None`` without sessions.
        self.revocations: Revocations | None = None
        self._profiles = self._make_profiles(app)
        self._usual_json = False
        self._users = False
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<flask_sealed for {self.settings!r}>"

    def _make_profiles(self, app: Flask) -> dict[ProfileName, Profile]:
        settings = self.settings
        profiles: dict[ProfileName, Profile] = {}
        if settings.level3_key is not None:
            profiles["level3"] = Level3(settings.level3_key, settings.max_body)
        if settings.keyring is not None:
            if settings.replay_store == "memory://" and not (app.debug or app.testing):
                logger.warning(
                    "SEALED_REPLAY_STORE is memory://, which one process remembers alone: with"
                    " more than one worker, an operation can happen once in each"
                )
            store = open_store(
                settings.replay_store,
                folder=app.instance_path,
                name=settings.audience,
                # In debugging and tests nothing can have been done before a store begins.
                clock=_long_ago if app.debug or app.testing else time.time,
            )
            self.revocations = Revocations(
                open_revocations(
                    settings.replay_store, folder=app.instance_path, name=settings.audience
                )
            )
            profiles["session"] = SessionProfile(
                settings, settings.keyring, store, self.revocations, self.now
            )
        return profiles

    @property
    def headers(self) -> frozenset[str]:
        """The request headers that may travel sealed, in lower case."""
        session = self._profiles.get("session")
        return session.headers if isinstance(session, SessionProfile) else self.settings.headers

    def now(self) -> int:
        """The time, in seconds since 1970."""
        return int(self.clock())

    def profile(self, policy: Policy) -> Profile:
        """The profile that a policy asks for."""
        return self._profiles[policy.profile or self.settings.profile]

    def open_request(self) -> Response | None:
        """The hook before a request: open what is sealed, answer what has to be refused."""
        context = current_context()
        request: Request = context.request
        policy = self.policy(context.app, request)
        if policy is None:
            return self._prove(context) if SEAL in request.environ else None
        profile = self.profile(policy)
        window = Window(request, profile if policy.response and self.settings.enabled else None)
        window.mask = self.settings.mask_exceptions
        # Ahead of all other functions after this request, those of blueprints included: where one
        # of them fails, whatever answers that has been sealed before it fails again.
        after_request_functions(context).insert(0, self.seal_response)
        try:
            demand_https(context.app, self.settings, request)
            if self._may_pass(policy, request):
                let_through(context.app, request)
                window.let_through()
            elif self.settings.enabled:
                profile.open_request(window, request, policy)
                window.sealed_in = profile.name
        except Refusal as refusal:
            answer = refuse(context.app, request, refusal)
            if not refusal.sealed:
                window.settled, window.profile = answer, None
            return answer
        window.admit()
        return None

    def _may_pass(self, policy: Policy, request: Request) -> bool:
        """Whether a request came in clear to a view that takes such, too."""
        optional = policy.mode == "optional" and self.settings.enabled
        return optional and SEAL not in request.environ

    def _prove(self, context: Any) -> Response | None:
        """Open the seal that comes to a view that is not sealed, as a proof of who sends it."""
        request: Request = context.request
        profile = self._profiles.get("session")
        if request.url_rule is None or not isinstance(profile, SessionProfile):
            return None
        try:
            profile.prove(request)
        except Refusal as refusal:
            return refuse(context.app, request, refusal)
        return None

    def seal_response(self, response: Response) -> Response:
        """The hook after a request: seal what did not come out of a window, such as errors."""
        context = current_context()
        request: Request = context.request
        window = Window.of(request)
        if window is not None and window.settled is response:
            return _told(context.app, window, response)
        policy = self.policy(context.app, request)
        if policy is None or not policy.response or not self.settings.enabled:
            return response
        if window is None:
            return self._seal_late(response)
        if window.clear:
            # A cache must not answer those with it who sealed their request.
            response.vary.add("Sealed")
            return response
        profile = self.profile(policy)
        self._seal_or_withhold(context, window, profile, response)
        window.settled = response
        return _told(context.app, window, response)

    def _seal_late(self, response: Response) -> Response:
        """Open a request that was answered before its hook ran, to seal the answer.

        Functions that look at URLs run before all hooks, and often end a request that names
        nothing.
        """
        refusal = self.open_request()
        if refusal is not None:
            _blank(response)  # In case that an error comes later, as below.
            response = refusal
        return self.seal_response(response)

    def own_responses(self, app: Flask) -> None:
        """Have each request to a sealed view answered with a response of its own.

        What error handlers and hooks return may be one object for all requests, sealed views and
        others, and is sealed in place.
        """
        make = app.make_response

        def make_own(rv: Any) -> Response:
            response = make(rv)
            request, policies = current_request(), self._policies
            rule = None if request is None else request.url_rule
            if request is None or rule is None or policies is None:
                return response
            if (rule.endpoint, request.method) not in policies:
                return response
            window = Window.of(request)
            if window is not None and (window.outside or window.settled is response):
                return response
            return own_response(response)

        app.make_response = make_own  # type: ignore[method-assign]

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
                self.check(app, policies)
                self._prepare_tokens(app)
                for endpoint in {endpoint for endpoint, _ in policies} & app.view_functions.keys():
                    view = app.view_functions[endpoint]
                    app.view_functions[endpoint] = self._windowed(app, endpoint, view)
                self._usual_json = makes_usual_json(app)
                self._users = has_users(app)
                postpone_csrf(app, OWN_BLUEPRINT)
                seal_first(app, self.seal_response)
                self._policies = policies
            return self._policies

    def _prepare_tokens(self, app: Flask) -> None:
        def answer(refusal: Refusal) -> Response:
            return refuse(app, current_context().request, refusal)

        header = prepare_tokens(app, self.settings, answer)
        profile = self._profiles.get("session")
        if isinstance(profile, SessionProfile):
            for name in (header, *headers_of(app)):
                if name is not None:
                    profile.allow(name)

    def check(self, app: Flask, policies: Policies) -> None:
        """Make sure that every sealed view can be.

        :raises ConfigError: where its profile cannot do what it demands, or has no key, or a view
            has the path of one of the extension's own.
        """
        check_views(app)
        check_hosts(app, policies, self.settings)
        for (endpoint, method), policy in policies.items():
            name = policy.profile or self.settings.profile
            try:
                policy.check(name)
                demand_uncached(app.view_functions.get(endpoint), method)
                if name == "level3":
                    demand_level3_key(self.settings.level3_key)
            except ConfigError as error:
                raise ConfigError(f"the sealed view {endpoint!r}: {error}") from None
            if name not in self._profiles:
                raise ConfigError(
                    f"the sealed view {endpoint!r} has the profile session, and the application's"
                    " is level3: set SEALED_KEYRING to the path of a keyring, too"
                )

    def _windowed(self, app: Flask, endpoint: str, view: Callable[..., Any]) -> Callable[..., Any]:
        """The whole view function, whatever decorators it has, inside the window."""
        synchronous = app.ensure_sync(view)
        # Not before the extension's own: a client needs these before it can be anyone.
        whole = synchronous if endpoint.startswith(OWN) else self._preceded(app, synchronous)

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
            window.demand_admitted()
            return self._answer(context, window, whole, view_args)

        return windowed

    def _answer(
        self, context: Any, window: Window, view: Callable[..., Any], view_args: dict[str, Any]
    ) -> Response:
        """What a view answers inside its window, or what has to be answered in its place."""
        if self._users and window.sealed_in == "session":
            forget_user()
        window.enter(context)
        try:
            return self._respond(context, window, view, view_args)
        except BaseException as error:
            fault = leaving(context.app, error, mask=window.mask)
            if fault is error and not isinstance(error, TokenUnbound | Unavailable):
                raise
        finally:
            window.leave(context)
        if not isinstance(fault, TokenUnbound | Unavailable):
            raise fault
        # Not by an error handler: extensions such as Flask-RESTful put their own before it.
        return refuse(context.app, context.request, fault)

    def _preceded(self, app: Flask, view: Callable[..., Any]) -> Callable[..., Any]:
        """A view, after what has to be done before it."""

        def preceded(**view_args: Any) -> Any:
            window = current_window()
            for check in () if window is None else window.owed:
                check()
            for function in self._before_views:
                answer = app.ensure_sync(function)()
                if answer is not None:
                    return answer
            return view(**view_args)

        return preceded

    def _respond(
        self, context: Any, window: Window, view: Callable[..., Any], view_args: dict[str, Any]
    ) -> Response:
        """A view's answer, with all that its author wrote for it done inside the window."""
        app: Flask = context.app
        profile = window.profile
        functions = after_request_functions(context)
        others = len(functions)
        value = view(**view_args)
        untouched = len(functions) == others and type(value) in _PLAIN_VALUES
        usual = untouched and self._usual_json and context.request.method != "HEAD"
        if usual and profile is not None and type(value) in _JSON_VALUES:
            response = window.settled = profile.json_response(window, context, value)
            return response
        response = app.make_response(value)
        while len(functions) > others:
            response = app.ensure_sync(functions.pop(others))(response)
        if not untouched:
            response = own_response(response)
        if profile is not None:
            profile.seal_response(context, window, response)
            window.settled = response
        elif response.is_streamed:
            window.stream(context, response)
        return response

    def _seal_or_withhold(
        self, context: Any, window: Window, profile: Profile, response: Response
    ) -> None:
        try:
            profile.seal_response(context, window, response)
        except Exception as error:
            # Flask answers with the unsealed response where an error comes this late.
            _blank(response)
            hide_locals(context.app, error)
            logger.exception("a response could not be sealed, and was withheld")
            if window.exchange is not None:
                profile.seal_response(context, window, response)


def _long_ago() -> float:
    return 0


def _told(app: Flask, window: Window, response: Response) -> Response:
    """A response that leaves, after receivers of the signal have been told that it is sealed."""
    profile = window.profile
    if signals.sealed.receivers and profile is not None and not window.told:
        window.told = True  # An error's response comes here twice.
        request: Request = current_context().request
        proof = Proof.of(request)
        sid = None if proof is None else proof.sid
        signals.sealed.send(app, endpoint=request.endpoint, profile=profile.name, sid=sid)
    return response


def _blank(response: Response) -> None:
    """Take everything out of a response."""
    response.direct_passthrough = False
    response.headers.clear()
    response.status_code = HTTPStatus.INTERNAL_SERVER_ERROR
    response.set_data(b"")
