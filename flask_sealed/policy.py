"""``@sealed`` and what it may say: which views are sealed, which way, in which profile."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isclass, iscoroutinefunction
from typing import Any, Literal, TypeVar, cast, get_args, overload

from flask import Blueprint, Flask, request
from flask.views import View
from werkzeug.routing import Rule

from .config import ProfileName, Settings, check_profile
from .errors import ConfigError
from .window import Window, demand_window, leaving_view

_MARK = "__sealed__"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

Mode = Literal["required", "optional"]
MODES: tuple[Mode, ...] = get_args(Mode)

V = TypeVar("V", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a view demands.

    :raises ConfigError: when it would seal nothing.
    """

    #: Whether requests have to be sealed.
    request: bool = True
    #: Whether responses are sealed.
    response: bool = True
    #: The profile; ``None`` stands for the application's.
    profile: ProfileName | None = None
    #: Whether safe requests, too, are taken once only.
    once: bool = False
    #: Whether the session has to be agreed on with ML-KEM-768.
    kem: bool = False
    #: Whether the length of responses is hidden, up to 12 %.
    pad: bool = False
    #: Whether requests in clear are refused, or let through while clients migrate.
    mode: Mode = "required"

    def __post_init__(self) -> None:
        if not self.request and not self.response:
            raise ConfigError(
                "`@sealed(request=False, response=False)` seals nothing; leave the decorator away"
            )
        if self.mode not in MODES:
            raise ConfigError(f"{self.mode!r} is no mode; write one of: {', '.join(MODES)}")
        if self.profile is not None:
            check_profile(self.profile)
            self.check(self.profile)

    def check(self, profile: ProfileName) -> None:
        """Make sure that a profile can do what is demanded.

        :raises ConfigError: where it cannot.
        """
        if profile == "session" and not (self.request and self.response):
            raise ConfigError(
                "the profile session seals both directions or none: leave `request` and `response`"
                ' away, or write `profile="level3"`'
            )
        if profile == "level3" and (self.once or self.kem or self.pad):
            raise ConfigError("the profile level3 has no `once`, `kem` and `pad`; use session")
        if profile == "level3" and self.mode == "optional":
            raise ConfigError(
                "nothing in a request of the profile level3 tells that its sender takes sealed"
                " answers, so its mode is not optional; give clients of both kinds a route each"
            )


#: What each endpoint and method demands.
Policies = dict[tuple[str, str], Policy]


@overload
def sealed(view: V, /) -> V: ...


@overload
def sealed(
    *,
    request: bool = True,
    response: bool = True,
    profile: ProfileName | None = None,
    once: bool = False,
    kem: bool = False,
    pad: bool = False,
    mode: Mode = "required",
) -> Callable[[V], V]: ...


def sealed(
    view: V | None = None,
    /,
    *,
    request: bool = True,
    response: bool = True,
    profile: ProfileName | None = None,
    once: bool = False,
    kem: bool = False,
    pad: bool = False,
    mode: Mode = "required",
) -> V | Callable[[V], V]:
    """Seal a view: a function, a coroutine function, a :class:`~flask.views.View` class, or a
    single method of a :class:`~flask.views.MethodView`.

    The place among other decorators does not matter, so long as those keep the attributes of the
    function, as :func:`functools.wraps` does. Where they do not, the view refuses to run.

    :param request: whether requests have to be sealed. ``False``, in Level 3 only, for callers
        that send in clear and open responses, as the browser code of the article.
    :param response: whether responses are sealed, errors included; ``False`` in Level 3 only.
    :param profile: ``"session"`` or ``"level3"``; where it is left out, the setting
        ``SEALED_PROFILE`` says it.
    :param once: whether safe requests, such as GET, are taken once only, too, as unsafe ones are.
        Clients have to name the operation. Of the profile session, as what follows.
    :param kem: whether clients need ML-KEM-768, so that what is recorded now stays safe from a
        later quantum computer.
    :param pad: whether the length of responses is hidden: they grow by 12 % at the most.
    :param mode: ``"optional"`` lets requests in clear through and answers them in clear, each with
        a warning in the log, while clients migrate.
    :raises ConfigError: when neither direction is sealed, or the profile or the mode is unknown,
        or the profile cannot do this.
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
    if view is None:
        return functools.partial(_seal_view, policy)
    return _seal_view(policy, view)


def seal_blueprint(blueprint: Blueprint, policy: Policy) -> None:
    """Seal all views of a blueprint, and of the blueprints registered in it."""
    setattr(blueprint, _MARK, policy)
    # The views themselves are not wrapped; without this an application that forgets `Sealed(app)`
    # would answer them in clear.
    blueprint.before_request(functools.partial(_demand_seal, blueprint.name))


def read_policies(app: Flask) -> Policies:
    """What each endpoint of an application demands, by endpoint and method.

    Unsealed ones are left out, and so is the automatic answer to OPTIONS, which never reaches a
    view.

    :raises ConfigError: when a view's own OPTIONS handler is sealed: browsers send OPTIONS before
        a cross-origin request and cannot seal it.
    """
    table: Policies = {}
    for rule in app.url_map.iter_rules():
        if rule.methods is None and any(policy_of(app, rule, method) for method in _METHODS):
            raise ConfigError(
                f"the rule {rule.rule!r} of a sealed view takes all methods; name those it takes"
            )
        for method in rule.methods or ():
            policy = policy_of(app, rule, method)
            if policy is None or is_automatic(rule, method):
                continue
            if method == "OPTIONS":
                raise ConfigError(
                    f"the view {rule.endpoint!r} handles OPTIONS itself, and that cannot be"
                    " sealed; leave OPTIONS to Flask, or move it to a view of its own"
                )
            table[rule.endpoint, method] = policy
    return table


def host_of(rule: Rule) -> str:
    """The host that a rule names, or the subdomain: whichever its application tells apart."""
    return (rule.host if rule.map.host_matching else rule.subdomain) or ""


def check_hosts(app: Flask, policies: Policies, settings: Settings) -> None:
    """Make sure that no header decides which sealed view a request reaches.

    A seal names the path, and the audience stands for the host: anyone on the way can change
    ``Host``. So all views of sessions, those of this package among them, have one host, or one
    subdomain, which has no variables.

    :raises ConfigError: where one has another.
    """
    if not app.url_map.host_matching and not app.subdomain_matching:
        return
    for rule in app.url_map.iter_rules():
        host = host_of(rule)
        if host != settings.host and _is_of_sessions(rule, policies, settings):
            raise ConfigError(
                f"the sealed view {rule.endpoint!r} has the host or subdomain {host!r}, and those"
                f" of sealed views is {settings.host!r}. A seal does not name it, so all have one,"
                " without variables: give this view the same, set SEALED_HOST to it, or make each"
                " host an application with an audience of its own"
            )


def _is_of_sessions(rule: Rule, policies: Policies, settings: Settings) -> bool:
    found = (policies.get((rule.endpoint, method)) for method in rule.methods or ())
    return any(policy and (policy.profile or settings.profile) == "session" for policy in found)


def is_automatic(rule: Rule, method: str) -> bool:
    """Whether Flask answers this method of a rule itself, without the view."""
    return method == "OPTIONS" and bool(getattr(rule, "provide_automatic_options", False))


def policy_of(app: Flask, rule: Rule, method: str) -> Policy | None:
    """What one method of a rule demands: the nearest of the method's, view's, class's and
    blueprints' marks."""
    view = app.view_functions.get(rule.endpoint)
    view_class = getattr(view, "view_class", None)
    return (
        _method_mark(view_class, method)
        or _mark(view)
        or _mark(view_class)
        or _blueprint_mark(app, rule.endpoint)
    )


def _seal_view(policy: Policy, view: V) -> V:
    if isclass(view):
        _seal_class(policy, view)
        return view
    if not callable(view):
        raise ConfigError(f"`@sealed` belongs on a view, and {view!r} is none")
    if _mark(view) not in (None, policy):
        raise ConfigError(f"{view.__qualname__} is sealed twice, in two ways; leave one of them")
    return _guard(policy, view, clear=policy.mode == "optional")


def _seal_class(policy: Policy, view_class: Any) -> None:
    if not issubclass(view_class, View):
        raise ConfigError(f"`@sealed` belongs on a view, and {view_class!r} is no flask View")
    setattr(view_class, _MARK, policy)
    # A method's own mode goes before that of its class.
    view_class.dispatch_request = _guard(policy, view_class.dispatch_request, clear=True)


def _guard(policy: Policy, view: V, *, clear: bool) -> V:
    """Mark a view, and make it refuse to run where the mark was not heeded.

    Exceptions lose their variables here already: there is monitoring that wraps views when they
    are registered, so that it runs inside the window.
    """
    name = view.__qualname__
    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            demand_window(name, clear=clear)
            try:
                return await view(*args, **kwargs)
            except BaseException as error:
                args, kwargs = (), {}
                fault = leaving_view(error)
                if fault is error:
                    raise
            raise fault

    else:

        @functools.wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            demand_window(name, clear=clear)
            try:
                return view(*args, **kwargs)
            except BaseException as error:
                args, kwargs = (), {}
                fault = leaving_view(error)
                if fault is error:
                    raise
            raise fault

    setattr(guarded, _MARK, policy)
    return cast("V", guarded)


def _mark(thing: object) -> Policy | None:
    policy: Policy | None = getattr(thing, _MARK, None)
    return policy


def _method_mark(view_class: type[Any] | None, method: str) -> Policy | None:
    # A method that overrides a sealed one is sealed too, or a subclass would open it by accident.
    names = [method.lower()]
    if method == "HEAD" and not hasattr(view_class, "head"):
        names = ["get"]
    for cls in getattr(view_class, "__mro__", ()):
        for name in names:
            policy = _mark(vars(cls).get(name))
            if policy is not None:
                return policy
    return None


def _blueprint_mark(app: Flask, endpoint: str) -> Policy | None:
    name = endpoint.rpartition(".")[0]
    while name:
        policy = _mark(app.blueprints.get(name))
        if policy is not None:
            return policy
        name = name.rpartition(".")[0]
    return None


def _demand_seal(blueprint: str) -> None:
    rule = request.url_rule
    if Window.of(request) is None and rule and not is_automatic(rule, request.method):
        raise ConfigError(
            f"the blueprint {blueprint!r} is sealed, and {rule.endpoint!r} is not: either this"
            " application has no `Sealed(app)`, or the view came after the first request"
        )
