"""What has to be told to other extensions of the same application, or asked of them.

Nothing here imports one: each is known by what it leaves on the application and on views.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, g

from .errors import ConfigError
from .window import Window, current_request

# What Flask-Caching puts on all that it caches; `functools.wraps` hands it on to what is above.
_CACHED = ("uncached", "make_cache_key")
# Where Flask-Login keeps the user that it has loaded for a request.
_USER = "_login_user"
_POSTPONED = "_flask_sealed"


def postpone_csrf(app: Flask, blueprint: str) -> None:
    """Have Flask-WTF look for its token in the request that a sealed view sees.

    It looks in a hook, where header and form are sealed. What it is asked there is asked again
    when the view is about to run, so that no view runs without.

    :param blueprint: the views of this package: a handshake does nothing in anyone's name, and no
        client could have a token before its first.
    """
    csrf = app.extensions.get("csrf")
    protect = getattr(csrf, "protect", None)
    if protect is None or hasattr(protect, _POSTPONED):
        return

    @functools.wraps(protect)
    def postponed(*args: Any, **kwargs: Any) -> Any:
        request = current_request()
        window = None if request is None else Window.of(request)
        if window is not None and window.waits:
            window.owed += (functools.partial(protect, *args, **kwargs),)
            return None
        if request is not None and request.blueprint == blueprint:
            return None
        return protect(*args, **kwargs)

    setattr(postponed, _POSTPONED, True)
    csrf.protect = postponed  # type: ignore[union-attr]


def headers_of(app: Flask) -> Iterator[str]:
    """Request headers, in lower case, by which an extension changes what a view answers.

    Anyone on the way could add them, and take fields out of an answer.
    """
    if "restx" in app.extensions:
        yield str(app.config["RESTX_MASK_HEADER"]).lower()


def has_users(app: Flask) -> bool:
    """Whether an application has Flask-Login."""
    return hasattr(app, "login_manager")


def forget_user() -> None:
    """Have Flask-Login load the user of this request anew, from the request as a view sees it.

    A hook may have asked for the user before. It saw the request as it came: without what is
    sealed, and with what anyone on the way has added.
    """
    g.pop(_USER, None)


def demand_uncached(view: Callable[..., Any] | None, method: str) -> None:
    """Make sure that Flask-Caching does not keep what a sealed view returns.

    :param method: the HTTP method that is sealed.
    :raises ConfigError: where it would: it keeps the plaintext, and hands it to whoever asks next.
    """
    view_class = getattr(view, "view_class", None)
    names = [method.lower()] + (["get"] if method == "HEAD" else [])
    parts = [view, *(getattr(view_class, name, None) for name in names)]
    parts += getattr(view_class, "method_decorators", ())  # Flask-RESTX's
    if any(_is_cached(part) for part in parts):
        raise ConfigError(
            "Flask-Caching caches it: the plaintext would lie in the cache, and be sealed for"
            " whoever asks next. Cache a function that the view calls, and give it all that its"
            " result depends on"
        )


def _is_cached(part: object) -> bool:
    if all(hasattr(part, name) for name in _CACHED):
        return True
    # A decorator that has not been used yet.
    return str(getattr(part, "__module__", "")).partition(".")[0] == "flask_caching"
