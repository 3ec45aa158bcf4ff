"""``SEALED_*`` settings, validated into one frozen object; secrets leave ``app.config``."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import ConfigError
from .protocol.keys import level3_key

Profile = Literal["level3"]
PROFILES: tuple[str, ...] = get_args(Profile)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one application has set, ready for use."""

    #: The profile of views that name none; ``None`` when every view has to name its own.
    profile: Profile | None
    #: The key of Level 3 views.
    level3_key: AESGCM | None = field(repr=False)
    #: The most bytes of a request's body, as it travels, and of a streamed response's plaintext.
    max_body: int
    #: Whether sealed views refuse plain HTTP from other machines.
    require_https: bool


def load(config: MutableMapping[str, Any]) -> Settings:
    """Validate the ``SEALED_*`` settings of an application.

    :param config: ``app.config``; keys are taken out of it, so that nothing that shows the
        configuration shows them.
    :raises ConfigError: for an unknown name or a bad value, with what to write instead.
    """
    # First of all, so that no later error has a frame in which the secret stands.
    key = _take_level3_key(config)
    _refuse_unknown(config)
    settings = Settings(
        profile=_read(config, "SEALED_PROFILE", _profile, None),
        level3_key=key,
        max_body=_read(config, "SEALED_MAX_BODY", _bytes, 16 * 1024 * 1024),
        require_https=_read(config, "SEALED_REQUIRE_HTTPS", _switch, True),
    )
    if settings.profile == "level3":
        demand_level3_key(settings)
    return settings


def demand_level3_key(settings: Settings) -> AESGCM:
    """The key of Level 3 views.

    :raises ConfigError: when the application has none.
    """
    if settings.level3_key is None:
        raise ConfigError(
            "SEALED_LEVEL3_KEY is not set, and the profile level3 needs it: make a key with"
            " `flask sealed keygen` and give it to the application from its secrets"
        )
    return settings.level3_key


_KNOWN = ("SEALED_PROFILE", "SEALED_LEVEL3_KEY", "SEALED_MAX_BODY", "SEALED_REQUIRE_HTTPS")


def _refuse_unknown(config: MutableMapping[str, Any]) -> None:
    for name in config:
        if name.startswith("SEALED_") and name not in _KNOWN:
            near = get_close_matches(name, _KNOWN, n=1, cutoff=0)[0]
            raise ConfigError(f"{name} is no setting of Flask-Sealed; did you mean {near}?")


def _read(config: MutableMapping[str, Any], name: str, parse: Callable[[Any], T], default: T) -> T:
    value = config.get(name)
    if value is None:
        return default
    try:
        return parse(value)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _take_level3_key(config: MutableMapping[str, Any]) -> AESGCM | None:
    value = config.pop("SEALED_LEVEL3_KEY", None)
    if value is None:
        return None
    try:
        return _level3_key(value)
    except ConfigError as error:
        problem = str(error)
    # Raised out here and without the value: error reports show the variables of frames.
    del value
    raise ConfigError(f"SEALED_LEVEL3_KEY: {problem}")


def check_profile(value: object) -> Profile:
    """One of the profiles, by its name.

    :raises ConfigError: for anything else.
    """
    for profile in get_args(Profile):
        if value == profile:
            return profile  # type: ignore[no-any-return]
    raise ConfigError(f"{value!r} is no profile; write one of: {', '.join(PROFILES)}")


def _profile(value: object) -> Profile | None:
    return check_profile(value)


def _level3_key(value: object) -> AESGCM:
    if not isinstance(value, str):
        raise ConfigError("it must be text: 64 hex digits or padded base64")
    return level3_key(value)


def _bytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError("it must be a number of bytes, 1 or more, such as 16 * 1024 * 1024")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{value!r} is neither True nor False")
    return value
