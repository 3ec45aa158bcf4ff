"""Keys by name: the keyring, which is a JWK Set (RFC 7517).

A key says in ``purpose`` what it is for, and in ``nbf`` and ``exp`` when, in seconds since 1970.
The set's member ``active`` names the keys for new messages: for each purpose those that follow
each other, each as of its ``nbf``. So workers that read the same set agree on the key of the
moment by their clocks alone. ``backup`` names the identity key that clients pin too and that is
not in use yet. All other keys only open what was sealed before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal, get_args

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import ConfigError, Malformed
from .encoding import Members, b64decode, json_decode, json_encode
from .jwk import (
    KEY_BYTES,
    Material,
    SigningKey,
    jwk_thumbprint,
    public_jwk,
    read_secret_jwk,
    secret_bytes,
    secret_jwk,
)

Purpose = Literal["identity", "ticket", "psk", "level3"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

#: How far the clocks of two machines may differ, in seconds.
CLOCKS = 10

_LATEST = 2**53 - 1
#: The most characters of a name.
MOST_KID = 64
_KID = re.compile(rf"[!-~]{{1,{MOST_KID}}}")
# Base64url of 8 bytes: the last of its 11 characters has two bits to spare.
_TICKET_KID = re.compile(r"[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]")
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_VISIBLE = re.compile(rb"[ -~]*")
# 32 random bytes have about 30 different values; 16 or fewer come once in more than 10**14 keys.
_FEWEST_VALUES = 17
# Keys that stand in standards and manuals, and are neither text, nor a sequence, nor that uniform.
_PUBLISHED = frozenset(
    bytes.fromhex(text)
    for text in (
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",  # NIST SP 800-38A
        "b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",  # NIST GCM vectors
        "b1a1f480548fe1733fb403ff6b9ad4f68a076e5b702e22692f82cb2e7aea40fc",  # RFC 7516, A.1
        "849b57219dae48de646d07dbb533566e976686457c1491be3a76dcea6c427188",  # RFC 7520, 3.5
        "8e9b109e719098bf980487df1f5d77e9cb29606ebed2263b5f57c213df84f4b2",  # RFC 7515, A.3
        "f3bd0c07a81fb932781ed52752f60cc89a6be5e51934fe01938ddb55d8f77801",  # RFC 7517, A.2
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",  # RFC 8032, 8037
    )
)
_KNOWN = "is an example or was typed by hand, so others can know it"
_NO_KEY = "no JWK with `kid` and `purpose` and the secret of an Ed25519, P-256 or 32-byte key"
_OWN_MEMBERS = {"kid": str, "purpose": str, "nbf": int, "exp": int}
_RING = Members({"keys": list, "active": dict}, {"backup": str})
_NO_RING = "the keyring is not the JSON text of one: a JWK Set with a member `active`"


@dataclass(frozen=True, slots=True, init=False)
class Key:
    """One key of a keyring; its ``repr`` shows no secret.

    :raises ConfigError: where it is no key for its purpose, or one that others can know.
    """

    #: 1 to 64 visible ASCII characters; of a ticket key the base64url of 8 bytes.
    kid: str
    purpose: Purpose
    #: The 32 bytes of a symmetric key, or the private key that signs.
    material: Material = field(repr=False)
    #: As of when it may be used, in seconds since 1970.
    nbf: int
    #: As of when it is of no use any more, in seconds since 1970; ``None`` for never.
    exp: int | None
    #: Of a key that signs, its public half and its thumbprint, worked out once.
    jwk: dict[str, str] = field(init=False, repr=False, compare=False)
    thumbprint: bytes = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        *,
        kid: str,
        purpose: Purpose,
        material: Material,
        nbf: int = 0,
        exp: int | None = None,
    ) -> None:
        fault = _fault(kid, purpose, material, nbf, exp)
        if fault is not None:
            del self, material  # Error reports show the variables of frames.
            raise ConfigError(fault)
        jwk = {} if isinstance(material, bytes) else public_jwk(material.public_key())
        values: dict[str, object] = {"kid": kid, "purpose": purpose, "material": material}
        values |= {"nbf": nbf, "exp": exp}
        values |= {"jwk": jwk, "thumbprint": jwk_thumbprint(jwk) if jwk else b""}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def has_expired(self, now: int) -> bool:
        """Whether it is of no use any more."""
        return self.exp is not None and self.exp <= now


def _fault(
    kid: str, purpose: Purpose, material: Material, nbf: int, exp: int | None
) -> str | None:
    if not _KID.fullmatch(kid):
        return "a kid has 1 to 64 visible ASCII characters"
    if purpose not in PURPOSES:
        return f"the key {kid!r} has none of the purposes {', '.join(PURPOSES)}"
    if purpose == "ticket" and not _TICKET_KID.fullmatch(kid):
        return f"the ticket key {kid!r} is not named by the base64url of 8 bytes"
    end = _LATEST if exp is None else exp
    # `type`, as when it is read: what was written with 1.5 or True would not be.
    if not (type(nbf) is type(end) is int and 0 <= nbf < end <= _LATEST):
        return f"the times of the key {kid!r} are no whole seconds with 0 <= nbf < exp < 2**53"
    if not isinstance(material, SigningKey if purpose == "identity" else bytes):
        return f"the key {kid!r} is no key for the purpose {purpose}"
    if isinstance(material, EllipticCurvePrivateKey) and not isinstance(material.curve, SECP256R1):
        return f"the key {kid!r} is on another curve than P-256"
    secret = secret_bytes(material)
    if len(secret) != KEY_BYTES:
        return f"the key {kid!r} has not {KEY_BYTES} bytes"
    return f"the key {kid!r} {_KNOWN}" if _is_known(secret) else None


def _is_known(secret: bytes) -> bool:
    """Whether it is published, or was no doubt made by a person and not at random."""
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    return (
        secret in _PUBLISHED
        or len(set(secret)) < _FEWEST_VALUES
        or len(steps) == 1
        or _VISIBLE.fullmatch(secret) is not None
    )


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Named keys. Every change makes a new ring.

    :raises ConfigError: where names or secrets stand twice, or what is named is not there.
    """

    keys: tuple[Key, ...] = ()
    #: The names of the keys for new messages, by purpose, in the order in which they follow.
    active: tuple[tuple[Purpose, str], ...] = ()
    #: The name of the identity key that becomes active next, and is pinned already.
    backup: str | None = None
    _by_name: dict[tuple[Purpose, str], Key] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {(key.purpose, key.kid): key for key in self.keys}
        object.__setattr__(self, "_by_name", by_name)
        fault = self._fault()
        if fault is not None:
            raise ConfigError(fault)

    def _fault(self) -> str | None:
        if len(self._by_name) != len(self.keys):
            return "two keys of one purpose have the same kid"
        if len({secret_bytes(key.material) for key in self.keys}) != len(self.keys):
            return "two keys of the keyring are the same one; give each name a key of its own"
        if not self._by_name.keys() >= set(self.active):
            return "an active key is not in the keyring"
        pair = ("identity", self.backup)
        if self.backup is not None and (pair not in self._by_name or pair in self.active):
            return "the backup is no identity key of the keyring, or is active already"
        for purpose in PURPOSES:
            for key, heir in pairwise(self.order(purpose)):
                if heir.nbf <= key.nbf or key.has_expired(heir.nbf - 1):
                    return f"the key {heir.kid!r} has no nbf at which it can follow {key.kid!r}"
        return None

    def get(self, purpose: Purpose, kid: str, now: int) -> Key | None:
        """The key of this name, and no other.

        :param now: seconds since 1970.
        :returns: ``None`` where there is none, or its time is over or has not come.
        """
        # A dictionary's time tells which names exist, and so does every answer: names travel in
        # clear and are no secret.
        key = self._by_name.get((purpose, kid))
        # Who made the message may have a clock that is ahead of this one.
        if key is None or key.has_expired(now) or now + CLOCKS < key.nbf:
            return None
        return key

    def current(self, purpose: Purpose, now: int) -> Key:
        """The key for new messages.

        :param now: seconds since 1970.
        :raises ConfigError: where none is named whose time has come and is not over.
        """
        key = self._current(purpose, now)
        if key is None:
            raise ConfigError(f"the keyring names no active key for the purpose {purpose}")
        return key

    def of(self, purpose: Purpose, now: int) -> Iterator[Key]:
        """All keys of a purpose that have not expired, the current one first."""
        current = self._current(purpose, now)
        if current is not None:
            yield current
        for key in self.keys:
            if key.purpose == purpose and key is not current and not key.has_expired(now):
                yield key

    def pins(self, now: int) -> tuple[bytes, ...]:
        """The thumbprints that clients should pin: of the identity keys in use now and later."""
        current = self._current("identity", now)
        keys = [key for key in self.order("identity") if key is current or key.nbf > now]
        keys += [key for key in self.keys if (key.purpose, key.kid) == ("identity", self.backup)]
        return tuple(key.thumbprint for key in keys)

    def order(self, purpose: Purpose) -> list[Key]:
        """The active keys of a purpose, in the order in which they follow each other."""
        return [self._by_name[pair] for pair in self.active if pair[0] == purpose]

    def _current(self, purpose: Purpose, now: int) -> Key | None:
        begun = [key for key in self.order(purpose) if key.nbf <= now]
        return begun[-1] if begun and not begun[-1].has_expired(now) else None

    def add(self, key: Key, *, activate: bool = False) -> KeyRing:
        """The ring with one more key."""
        ring = replace(self, keys=(*self.keys, key))
        return ring.activate(key.purpose, key.kid) if activate else ring

    def activate(self, purpose: Purpose, kid: str) -> KeyRing:
        """The ring in which this key is for new messages as of its ``nbf``."""
        heir = self._by_name.get((purpose, kid))
        names = (
            (key.purpose, key.kid) for key in self.order(purpose) if heir and key.nbf < heir.nbf
        )
        others = (pair for pair in self.active if pair[0] != purpose)
        return replace(self, active=(*others, *names, (purpose, kid)))

    def to_json(self) -> bytes:
        """The ring as JSON text, secrets included."""
        active: dict[str, list[str]] = {}
        for purpose, kid in self.active:
            active.setdefault(purpose, []).append(kid)
        ring: dict[str, object] = {"keys": [_to_jwk(key) for key in self.keys], "active": active}
        if self.backup is not None:
            ring["backup"] = self.backup
        return json_encode(ring)

    @classmethod
    def from_json(cls, text: str | bytes) -> KeyRing:
        """Read a ring.

        :param text: what :meth:`to_json` gives, or the same written by hand.
        :raises ConfigError: where it is none, with what is wrong.
        """
        try:
            return _read_ring(text)
        except ConfigError as error:
            fault = str(error)
        except Malformed:
            fault = _NO_RING
        # Raised out here and without the text: error reports show the variables of frames, and the
        # errors that were handled meanwhile.
        del text
        raise ConfigError(fault)


def _to_jwk(key: Key) -> dict[str, object]:
    jwk: dict[str, object] = {"kid": key.kid, "purpose": key.purpose, "nbf": key.nbf}
    if key.exp is not None:
        jwk["exp"] = key.exp
    return {**jwk, **secret_jwk(key.material)}


def _read_ring(text: str | bytes) -> KeyRing:
    # Lone surrogates become bytes that are no UTF-8, and are refused as such.
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    ring = json_decode(data, _RING)
    keys = []
    for number, jwk in enumerate(ring["keys"], 1):
        try:
            keys.append(_from_jwk(jwk))
        except Malformed:
            raise ConfigError(f"key number {number} of the keyring is {_NO_KEY}") from None
    return KeyRing(tuple(keys), tuple(_names(ring["active"])), ring.get("backup"))


def _from_jwk(jwk: object) -> Key:
    members = jwk if isinstance(jwk, dict) else {}
    own = {name: value for name, value in members.items() if name in _OWN_MEMBERS}
    # `type` and not `isinstance`: True is no number here.
    typed = all(type(value) is _OWN_MEMBERS[name] for name, value in own.items())
    if not typed or not {"kid", "purpose"} <= own.keys():
        raise Malformed(_NO_KEY)
    standard = {name: value for name, value in members.items() if name not in own}
    return Key(material=read_secret_jwk(standard), **own)


def _names(active: dict[Any, Any]) -> Iterator[tuple[Purpose, str]]:
    for purpose, kids in active.items():
        texts = isinstance(kids, list) and all(isinstance(kid, str) for kid in kids)
        if purpose not in PURPOSES or not texts:
            raise Malformed(_NO_RING)
        yield from ((purpose, kid) for kid in kids)


def level3_key(text: str) -> AESGCM:
    """Read the static key of the Level 3 profile.

    :param text: 32 bytes, as 64 hex digits or as padded standard base64.
    :raises ConfigError: when it is no such key, or one that anybody could know.
    """
    secret = _read_level3(text)
    if secret is None:
        fault = f"it must be {KEY_BYTES} bytes, as 64 hex digits or as padded base64"
    elif _is_known(secret):
        fault = f"it {_KNOWN}"
    else:
        return AESGCM(secret)
    del text, secret  # Error reports show the variables of frames.
    raise ConfigError(f"{fault}; make one with `flask sealed keygen`")


def _read_level3(text: str) -> bytes | None:
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        secret = bytes(b64decode(text.encode()))
    except (Malformed, UnicodeEncodeError):
        return None
    return secret if len(secret) == KEY_BYTES else None
