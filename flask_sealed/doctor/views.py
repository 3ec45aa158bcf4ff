"""The views: what is sealed and how, what is not and looks as if it should be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import unwrap
from typing import Any

from werkzeug.routing import Rule

from ..protocol.replay import is_safe
from .findings import Check, Finding, Subject, Weakness

NOTHING = Weakness(
    "nothing-sealed",
    "error",
    "No view of the application is sealed.",
    "Write `@sealed` on the views that take or tell something sensitive.",
)
SENSITIVE = Weakness(
    "sensitive-view",
    "warning",
    "The path of a view names something sensitive, and the view is not sealed.",
    "Write `@sealed` on it; where it tells nothing, leave this out with `--ignore`.",
)
LOGIN = Weakness(
    "login-view",
    "warning",
    "A view asks who is calling, and is not sealed: what it takes and tells is for one person.",
    "Write `@sealed` on it; where it tells nothing, leave this out with `--ignore`.",
)
OPTIONAL = Weakness(
    "optional-view",
    "warning",
    "A view is sealed optionally: it takes and answers requests in clear, too.",
    "Count what still comes in clear; then leave `mode` away.",
)
LEVEL3 = Weakness(
    "level3",
    "warning",
    "A view has the profile level3: one key for all, replays are not detected, and who has the"
    " page's code has the key.",
    "Move it to the profile session.",
)
ONE_WAY = Weakness(
    "one-way",
    "note",
    "A view is sealed one way only: the other direction travels in clear.",
    "Leave `request` and `response` away, where its clients can seal.",
)
TOKENS = Weakness(
    "tokens-any",
    "warning",
    "SEALED_TOKENS is 'any': sealed views take tokens that are bound to nobody's key, stolen ones"
    " included.",
    "Leave the setting away, where the application makes its tokens itself.",
)
CSRF = Weakness(
    "csrf",
    "warning",
    "A cookie says who is calling, and nothing protects against forged requests of other sites;"
    " a seal does not.",
    "Use Flask-WTF's CSRFProtect; clients send its token inside the seal.",
)
JWT_CSRF = Weakness(
    "jwt-csrf",
    "error",
    "Tokens travel in cookies and JWT_COOKIE_CSRF_PROTECT is off: other sites can send requests"
    " in their owner's name.",
    "Leave JWT_COOKIE_CSRF_PROTECT away, or tokens out of cookies.",
)
JWT_COOKIE = Weakness(
    "jwt-cookie-insecure",
    "warning",
    "Tokens travel in cookies over plain HTTP too; cookies are never sealed.",
    "Set JWT_COOKIE_SECURE to True.",
)
JWT_QUERY = Weakness(
    "jwt-query",
    "warning",
    "Tokens may travel in the URL, which logs and monitoring keep.",
    "Take 'query_string' out of JWT_TOKEN_LOCATION.",
)

# Words of paths, in the singular.
_WORDS = frozenset(
    re.findall(
        r"\w+",
        "2fa account address allergy balance beneficiary bic billing birthday card chat "
        "conversation credential credit customer debit debt diagnosis document drug email "
        "employee export gdpr genome health iban identity income insurance invoice kyc lab loan "
        "login medical medication message mfa mortgage oauth order otp passcode passphrase "
        "passport password patient pay payee payment payout payroll pension phone pin portfolio "
        "prescription profile recovery reset salary secret session settlement ssn statement tax "
        "therapy token totp transaction transfer treatment user vaccination wallet withdrawal",
    )
)
_NEVER = frozenset(("health", "healthz"))
_SPLIT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+[a-z]+")
_VARIABLE = re.compile(r"<[^>]*>")
# Where the decorators come from that ask who is calling.
_ASKING = re.compile(
    r"(flask_jwt_extended|flask_login|flask_httpauth|flask_security|flask_principal|authlib)\b"
)
_METHODS = ("get", "post", "put", "patch", "delete")


def _sealed(subject: Subject) -> Iterator[Finding]:
    views = list(subject.sealed())
    if not views:
        yield NOTHING.found()
    optional = _names(endpoint for endpoint, policy in views if policy.mode == "optional")
    if optional:
        yield OPTIONAL.found(*optional)
    level3 = _names(endpoint for endpoint, policy in views if subject.profile(policy) == "level3")
    if level3:
        yield LEVEL3.found(*level3)
    one_way = _names(
        endpoint for endpoint, policy in views if not (policy.request and policy.response)
    )
    if one_way:
        yield ONE_WAY.found(*one_way)
    if subject.settings.tokens == "any":
        yield TOKENS.found("SEALED_TOKENS")


def _unsealed(subject: Subject) -> Iterator[Finding]:
    asking, sensitive = [], []
    for rule, policies in subject.rules():
        methods = [method for method, policy in policies.items() if policy is None]
        if not methods or rule.endpoint.rpartition(".")[2] == "static":
            continue
        if asks_who(subject.app.view_functions.get(rule.endpoint)):
            asking.append(rule.endpoint)
        elif is_sensitive(rule):
            sensitive.append(rule.endpoint)
    if asking:
        yield LOGIN.found(*_names(asking))
    if sensitive:
        yield SENSITIVE.found(*_names(sensitive))


def is_sensitive(rule: Rule) -> bool:
    """Whether the path of a rule has a word that mostly stands for something sensitive."""
    path = _VARIABLE.sub("", rule.rule)
    last = path.rstrip("/").rpartition("/")[2].lower()
    return last not in _NEVER and any(_singular(word) in _WORDS for word in _SPLIT.findall(path))


def _singular(word: str) -> str:
    word = word.lower()
    if word in _WORDS:
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith("es") and word[:-2] in _WORDS:
        return word[:-2]
    return word.removesuffix("s")


def asks_who(view: Any) -> bool:
    """Whether a view, or a method of its class, has a decorator that asks who is calling."""
    view_class = getattr(view, "view_class", None)
    methods = [getattr(view_class, name, None) for name in _METHODS if view_class is not None]
    return any(_asks(one) for one in (view, *methods))


def _asks(function: Any) -> bool:
    found = False

    def look(layer: Any) -> bool:
        nonlocal found
        module = getattr(layer, "__globals__", {}).get("__name__", "")
        found = found or _ASKING.match(str(module)) is not None
        return found

    if function is not None:
        look(unwrap(function, stop=look))
    return found


def _cookies(subject: Subject) -> Iterator[Finding]:
    app, config = subject.app, subject.app.config
    if "flask-jwt-extended" in app.extensions:
        locations = config["JWT_TOKEN_LOCATION"]
        if "cookies" in locations and not config["JWT_COOKIE_CSRF_PROTECT"]:
            yield JWT_CSRF.found("JWT_COOKIE_CSRF_PROTECT")
        if "cookies" in locations and not config["JWT_COOKIE_SECURE"]:
            yield JWT_COOKIE.found("JWT_COOKIE_SECURE")
        if "query_string" in locations:
            yield JWT_QUERY.found("JWT_TOKEN_LOCATION")
    by_cookie = hasattr(app, "login_manager") or "security" in app.extensions
    if by_cookie and "csrf" not in app.extensions:
        unsafe = [
            rule.endpoint for rule, policies in subject.rules() if not all(map(is_safe, policies))
        ]
        if unsafe:
            yield CSRF.found(*_names(unsafe))


def _names(endpoints: Iterator[str] | list[str]) -> list[str]:
    return sorted(set(endpoints))


CHECKS: tuple[Check, ...] = (_sealed, _unsealed, _cookies)
