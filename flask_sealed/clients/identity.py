"""Who the two sides are: the client's own key, and the names and pins of the service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..errors import ConfigError, Malformed
from ..keyfile import make_secret, read_secret
from ..protocol.encoding import Members, b64u_decode, json_decode, json_encode
from ..protocol.jwk import SigningKey, read_secret_jwk, secret_jwk

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

_PIN_BYTES = 32
_PORTS = {"https": 443, "http": 80}
_THIS_MACHINE = frozenset(("localhost", "127.0.0.1", "::1"))
_JWK = Members({"kty": str, "crv": str, "x": str, "d": str}, {"y": str})

#: Scheme, host and port.
Origin = tuple[str, str, int]


def binding_key(path: str | Path) -> SigningKey:
    """The client's own key, from a file with the mode 0600; where there is none, it is made.

    Tokens are bound to this key: a client that keeps it keeps them.

    :param path: a file with one private JWK, Ed25519 or P-256.
    :raises ConfigError: where others can read the file, it cannot be used, or it has no such key.
    """
    path = Path(path)
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        make_secret(path, lambda: json_encode(secret_jwk(key)))
    found = _read_key(path)
    if found is None:
        raise ConfigError(f"{path} is no private key of a client, as a JWK; name another path")
    return found


def _read_key(path: Path) -> SigningKey | None:
    try:
        # Without a variable for the text: error reports show the variables of frames.
        key = read_secret_jwk(json_decode(read_secret(path), _JWK))
    except Malformed:
        return None
    return None if isinstance(key, bytes) else key


def read_pins(pins: Sequence[str | bytes] | None, *, unpinned: bool) -> list[bytes] | None:
    """The pins of a service.

    :param pins: as ``flask sealed pins`` prints them, or their 32 bytes.
    :param unpinned: whether it is said that there are none.
    :raises ConfigError: where nothing is said, or both, or one is no pin.
    """
    if unpinned:
        if pins is not None:
            raise ConfigError("there are pins, and unpinned=True; leave one of them away")
        return None
    if pins is None or isinstance(pins, str | bytes) or not pins:
        raise ConfigError(
            "pins is a list of the lines that `flask sealed pins` prints; without any, a proxy"
            " could answer in the service's place: say unpinned=True where that is meant"
        )
    return [_read_pin(pin) for pin in pins]


def _read_pin(pin: str | bytes) -> bytes:
    try:
        raw = pin if isinstance(pin, bytes) else b64u_decode(pin, _PIN_BYTES)
    except Malformed:
        raw = b""
    if len(raw) != _PIN_BYTES:
        raise ConfigError(f"{pin!r} is no pin; take the lines that `flask sealed pins` prints")
    return raw


def read_origin(text: str) -> Origin:
    """The scheme, host and port that a service is reached at.

    :raises ConfigError: where it is none, or plain HTTP to another machine.
    """
    try:
        parts = urlsplit(text)
        origin = origin_of(parts.scheme, parts.hostname or "", parts.port)
    except ValueError:  # the port is no number
        origin = None
    if origin is None or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"{text!r} is no origin such as 'https://bank.example'; set `origin`")
    if origin[0] == "http" and origin[1] not in _THIS_MACHINE:
        raise ConfigError(f"{text!r} is plain HTTP, which is for this machine only; use https")
    return origin


def origin_of(scheme: str, host: str, port: int | None) -> Origin | None:
    """An origin in one form; ``None`` where it is none of HTTP."""
    if scheme not in _PORTS or not host:
        return None
    return scheme, host.lower(), port or _PORTS[scheme]


def origin_text(origin: Origin) -> str:
    """An origin as it stands in URLs."""
    scheme, host, port = origin
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port == _PORTS[scheme] else f":{port}")


def kem_key() -> Callable[[], MLKEM768PrivateKey] | None:
    """What makes keys of ML-KEM-768, where the installed cryptography has it."""
    try:
        from cryptography.hazmat.primitives.asymmetric.mlkem import (  # noqa: PLC0415
            MLKEM768PrivateKey,
        )

        MLKEM768PrivateKey.generate()
    except (ImportError, UnsupportedAlgorithm):
        return None
    return MLKEM768PrivateKey.generate
