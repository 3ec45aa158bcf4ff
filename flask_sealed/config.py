"""``SEALED_*`` settings, validated into one frozen object; secrets leave ``app.config``."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask

from .errors import ConfigError
from .keyfile import create_keyring
from .keysource import (
    RELOAD,
    RELOAD_CALLABLE,
    CallableSource,
    FileSource,
    KeySource,
    LiveRing,
    TextSource,
)
from .protocol.handshake import MOST_AUDIENCE, MOST_LIFETIME
from .protocol.keys import KeyRing, level3_key
from .protocol.messages import REQUEST_HEADERS
from .stores.uri import SCHEMES, Place, parse_uri

if TYPE_CHECKING:
    from .keyredis import RedisSource

ProfileName = Literal["session", "level3"]
PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)
Tokens = Literal["bound", "any"]
TOKENS: tuple[Tokens, ...] = get_args(Tokens)

KEYRING = "sealed-keyring.json"
#: In the instance folder, as the keyring: for all workers of one machine.
REPLAY_STORE = "sqlite:///sealed-replay.db"

T = TypeVar("T")
_NO_HEADERS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one application has set, ready for use."""

    #: The profile of views that name none.
    profile: ProfileName
    #: Whether views are sealed at all; only debugging and tests may say no.
    enabled: bool
    #: The key of Level 3 views.
    level3_key: AESGCM | None = field(repr=False)
    #: The keys of the session profile; ``None`` where no view can have it.
    keyring: LiveRing | None = field(repr=False)
    #: The name of this service, 1 to 255 bytes of UTF-8.
    audience: str
    #: The path below which the extension's own views are.
    prefix: str
    #: The host of these and of all views of sessions, or their subdomain; empty where rules name
    #: none.
    host: str
    #: How long a session lasts, in seconds.
    lifetime: int
    #: The request headers that may travel sealed, in lower case.
    headers: frozenset[str]
    #: Paths as the application sees them, and as clients do.
    public_paths: tuple[tuple[str, str], ...]
    #: Whether sealed views take tokens that are bound to no key.
    tokens: Tokens
    #: Where operations are remembered.
    replay_store: str = field(repr=False)
    #: The most bytes of a request's body, as it travels, and of a streamed Level 3 response.
    max_body: int
    #: Whether sealed views refuse plain HTTP from other machines.
    require_https: bool
    #: Whether exceptions leave sealed views without their text.
    mask_exceptions: bool


def load(app: Flask) -> Settings:
    """Validate the ``SEALED_*`` settings of an application.

    Keys are taken out of ``app.config``, so that nothing that shows the configuration shows them.

    :raises ConfigError: for an unknown name or a bad value, with what to write instead.
    """
    config = app.config
    # First of all, so that no later error has a frame in which a secret stands.
    secrets = _take_secrets(config)
    _refuse_unknown(config)
    local = app.debug or app.testing
    profile = _profile(config, secrets)
    sessions = profile == "session" or secrets.keyring is not None
    settings = Settings(
        profile=profile,
        enabled=_read(config, "SEALED_ENABLED", _switch if local else _always, True),
        level3_key=secrets.level3_key,
        keyring=None,
        audience=_audience(app, local, sessions),
        prefix=_read(config, "SEALED_PREFIX", _prefix, "/sealed"),
        host=_host(app, sessions),
        lifetime=_read(config, "SEALED_SESSION_LIFETIME", _lifetime, 3600),
        headers=REQUEST_HEADERS | _read(config, "SEALED_HEADERS", _headers, _NO_HEADERS),
        public_paths=_read(config, "SEALED_PUBLIC_PATHS", _public_paths, ()),
        tokens=_read(config, "SEALED_TOKENS", _tokens, "bound"),
        replay_store=secrets.replay_store or ("memory://" if app.testing else REPLAY_STORE),
        max_body=_read(config, "SEALED_MAX_BODY", _bytes, 16 * 1024 * 1024),
        require_https=_read(config, "SEALED_REQUIRE_HTTPS", _switch, True),
        mask_exceptions=_read(config, "SEALED_MASK_EXCEPTIONS", _switch, False),
    )
    # Last of all, since it may make a file.
    return _with_keyring(app, settings, secrets) if sessions else settings


def _profile(config: MutableMapping[str, Any], secrets: _Secrets) -> ProfileName:
    profile: ProfileName = _read(config, "SEALED_PROFILE", check_profile, "session")
    if profile == "level3":
        demand_level3_key(secrets.level3_key)
    return profile


def demand_level3_key(key: AESGCM | None) -> AESGCM:
    """The key of Level 3 views.

    :raises ConfigError: when the application has none.
    """
    if key is None:
        raise ConfigError(
            "SEALED_LEVEL3_KEY is not set, and the profile level3 needs it: make a key with"
            " `flask sealed keygen` and give it to the application from its secrets"
        )
    return key


_KNOWN = (
    "SEALED_AUDIENCE",
    "SEALED_ENABLED",
    "SEALED_HEADERS",
    "SEALED_HOST",
    "SEALED_KEYRING",
    "SEALED_KEYRING_KEY",
    "SEALED_LEVEL3_KEY",
    "SEALED_MASK_EXCEPTIONS",
    "SEALED_MAX_BODY",
    "SEALED_PREFIX",
    "SEALED_PROFILE",
    "SEALED_PUBLIC_PATHS",
    "SEALED_RELOAD",
    "SEALED_REPLAY_STORE",
    "SEALED_REQUIRE_HTTPS",
    "SEALED_SESSION_LIFETIME",
    "SEALED_TOKENS",
)


_SECRETS = ("SEALED_LEVEL3_KEY", "SEALED_KEYRING", "SEALED_KEYRING_KEY", "SEALED_REPLAY_STORE")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Secrets:
    """What no error report may show: its ``repr`` has nothing of it."""

    level3_key: AESGCM | None = field(repr=False)
    keyring: KeySource | Path | Place | None = field(repr=False)
    keyring_key: AESGCM | None = field(repr=False)
    replay_store: str | None = field(repr=False)


def _take_secrets(config: MutableMapping[str, Any]) -> _Secrets:
    return _Secrets(
        level3_key=_take(config, "SEALED_LEVEL3_KEY", _level3_key),
        keyring=_take(config, "SEALED_KEYRING", _keyring),
        keyring_key=_take(config, "SEALED_KEYRING_KEY", _level3_key),
        replay_store=_take(config, "SEALED_REPLAY_STORE", _uri),
    )


def _refuse_unknown(config: MutableMapping[str, Any]) -> None:
    for name in config:
        if name.startswith("SEALED_") and name not in _KNOWN:
            near = get_close_matches(name, _KNOWN, n=1, cutoff=0)[0]
            del config[name]  # It may be a secret whose name is misspelt.
            raise ConfigError(f"{name} is no setting of Flask-Sealed; did you mean {near}?")


def _read(config: MutableMapping[str, Any], name: str, parse: Callable[[Any], T], default: T) -> T:
    value = config.get(name)
    if value is None:
        return default
    try:
        return parse(value)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _take(config: MutableMapping[str, Any], name: str, parse: Callable[[Any], T]) -> T | None:
    value = config.pop(name, None)
    if value is None:
        return None
    try:
        return parse(value)
    except ConfigError as error:
        problem = str(error)
    # Raised out here and without any secret: error reports show the variables of frames.
    del value
    for secret in _SECRETS:
        config.pop(secret, None)
    raise ConfigError(f"{name}: {problem}")


def check_profile(value: object) -> ProfileName:
    """One of the profiles, by its name.

    :raises ConfigError: for anything else.
    """
    for profile in PROFILES:
        if value == profile:
            return profile
    raise ConfigError(f"{value!r} is no profile; write one of: {', '.join(PROFILES)}")


def _level3_key(value: object) -> AESGCM:
    if not isinstance(value, str):
        raise ConfigError("it must be text: 64 hex digits or padded base64")
    return level3_key(value)


def _keyring(value: object) -> KeySource | Path | Place:
    """A keyring's JSON text, the path of its file, a callable, or the place of a Redis."""
    if callable(value):
        return CallableSource(value)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return TextSource(KeyRing.from_json(value))
    if isinstance(value, str) and value.partition("://")[0] in SCHEMES:
        place = parse_uri(value)
        if place is not None:
            return place
        del value
        raise ConfigError(
            "it is not the URI of a Redis: write redis://user:password@host:6379/0; in a password,"
            " write all but letters and digits as %2F and so on"
        )
    if isinstance(value, str | Path) and str(value):
        return Path(value)
    raise ConfigError(
        "it must be the path of a keyring's file, its JSON text, a callable that returns that, or"
        " the URI of a Redis"
    )


def _with_keyring(app: Flask, settings: Settings, secrets: _Secrets) -> Settings:
    given = secrets.keyring
    if isinstance(given, Place):
        source: KeySource = redis_source(given, settings.audience, secrets.keyring_key)
    elif given is None or isinstance(given, Path):
        source = _open_file(app, Path(app.instance_path, given or KEYRING))
    else:
        source = given
    default = RELOAD_CALLABLE if isinstance(source, CallableSource) else RELOAD
    reload = _read(app.config, "SEALED_RELOAD", _reload, default)
    return replace(settings, keyring=LiveRing(source, reload=reload))


def redis_source(place: Place, name: str, secret: AESGCM | None) -> RedisSource:
    """A keyring in Redis.

    :param name: the service's.
    :param secret: encrypts it.
    :raises ConfigError: where there is no such key, or no redis-py.
    """
    if secret is None:
        raise ConfigError(
            "SEALED_KEYRING_KEY is not set, and a keyring in Redis is encrypted with it: make a"
            " key with `flask sealed keygen`, and give it to the application from its secrets"
        )
    if find_spec("redis") is None:
        raise ConfigError("Redis needs redis-py; write: pip install flask-sealed[redis]")
    from .keyredis import RedisSource  # noqa: PLC0415 - an optional dependency
    from .stores.redis import open_server  # noqa: PLC0415 - likewise

    return RedisSource(open_server(place), name, secret)


def _open_file(app: Flask, path: Path) -> KeySource:
    if app.debug or app.testing:
        _make_folder(path.parent)
        create_keyring(path)
    elif not path.exists():
        raise ConfigError(
            f"there is no keyring at {path}: make it with `flask sealed keygen --keyring {path}`,"
            " or set SEALED_KEYRING to its path; for Level 3 alone, set SEALED_PROFILE = 'level3'."
            " In debugging and tests one is made on its own, where DEBUG or TESTING is set before"
            " `Sealed(app)`"
        )
    return FileSource(path)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fault = f"{folder}: {error.strerror}"
    else:
        return
    raise ConfigError(f"{fault}; set SEALED_KEYRING to a path in a folder that can be written")


def _audience(app: Flask, local: bool, sessions: bool) -> str:
    if app.config.get("SEALED_AUDIENCE") is None and sessions and not local:
        raise ConfigError(
            "SEALED_AUDIENCE is not set: give this service a name that no other has, such as"
            " 'https://bank.example'; clients are configured with the same"
        )
    return _read(app.config, "SEALED_AUDIENCE", _name, app.name)


def _name(value: object) -> str:
    try:
        name = value.encode() if isinstance(value, str) else b""
    except UnicodeError:
        name = b""
    if not 1 <= len(name) <= MOST_AUDIENCE:
        raise ConfigError(f"it must be text of 1 to {MOST_AUDIENCE} bytes of UTF-8")
    return name.decode()


# Clients would resolve segments of dots.
_PREFIX = re.compile(r"(/(?!\.+(/|$))[A-Za-z0-9._~-]+)+")


def _prefix(value: object) -> str:
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise ConfigError(f"{value!r} is no path such as '/sealed'")
    return value


# As rules have it, since that is what a request's host is compared with.
_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def _host(app: Flask, sessions: bool) -> str:
    host = _read(app.config, "SEALED_HOST", _host_name, None)
    by_host = app.url_map.host_matching
    if host is not None and not by_host and not app.subdomain_matching:
        raise ConfigError(
            "SEALED_HOST is set, and this application tells neither hosts nor subdomains apart:"
            " leave the setting away"
        )
    if host is None and by_host and sessions:
        raise ConfigError(
            "SEALED_HOST is not set, and this application has `host_matching`: set it to the host"
            " of the sealed views, as their rules have it; clients make their handshakes there"
        )
    # What a rule has that names none.
    return host or ("" if by_host else app.url_map.default_subdomain)


def _host_name(value: object) -> str | None:
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise ConfigError(
            f"{value!r} is neither a host such as 'bank.example' nor a subdomain such as 'api', in"
            " small letters and without variables"
        )
    return value


_LEAST_RELOAD = 0.1
_MOST_RELOAD = 3600
_LEAST_LIFETIME = 60


def _reload(value: object) -> float:
    return _seconds(value, _LEAST_RELOAD, _MOST_RELOAD)


def _lifetime(value: object) -> int:
    return int(_seconds(value, _LEAST_LIFETIME, MOST_LIFETIME))


def _seconds(value: Any, least: float, most: float) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not least <= seconds <= most:
        raise ConfigError(f"it must be {least} to {most} seconds, or such a timedelta")
    return float(seconds)


# A client could smuggle these past a proxy that strips them, or say who it is in another way.
_NEVER = re.compile(
    r"cookie|host|te|trailer|upgrade|connection|keep-alive|expect|forwarded|via|range|sealed|origin"
    r"|referer|max-forwards|.*-ip|(content|transfer|proxy|if|sec|x-forwarded|x-real|x-original|x-rewrite)"
    r"-.*|.*method.*"
)
_HEADER = re.compile(r"[!#$%&'*+.^`|~0-9a-z-]+")


def _headers(value: object) -> frozenset[str]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise ConfigError("it must be a list of header names")
    return frozenset(map(check_header, value))


def check_header(value: object) -> str:
    """The name of a request header that may travel sealed, in lower case.

    :raises ConfigError: for anything else.
    """
    name = value.lower() if isinstance(value, str) else ""
    if not _HEADER.fullmatch(name) or _NEVER.fullmatch(name):
        raise ConfigError(
            f"{value!r} is no header that may travel sealed: it is misspelt, or one that proxies"
            " set or strip; leave it away"
        )
    return name


def _public_paths(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not value:
        raise ConfigError(
            "it must be a dictionary of paths as the application sees them and as clients do, such"
            " as {'/': '/api/'}"
        )
    for path in (*value, *value.values()):
        if not isinstance(path, str) or path[:1] != "/" or path[-1:] != "/":
            raise ConfigError(f"{path!r} is no path that begins and ends with a slash")
    for paths in (list(value), list(value.values())):
        for one in paths:
            if sum(path.startswith(one) for path in paths) > 1:
                raise ConfigError(
                    f"{one!r} is the beginning of another path, so there would be two answers:"
                    " let no path begin as another does"
                )
    return tuple(value.items())


def _tokens(value: object) -> Tokens:
    for choice in TOKENS:
        if value == choice:
            return choice
    raise ConfigError(f"{value!r} is neither 'bound' nor 'any'")


def _uri(value: object) -> str:
    if not isinstance(value, str) or "://" not in value:
        raise ConfigError(f"it must be a URI such as {REPLAY_STORE!r} or 'redis://localhost'")
    return value


def _bytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError("it must be a number of bytes, 1 or more, such as 16 * 1024 * 1024")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{value!r} is neither True nor False")
    return value


def _always(value: object) -> bool:
    if not _switch(value):
        raise ConfigError("only debugging and tests go without seals: set DEBUG or TESTING too")
    return True
