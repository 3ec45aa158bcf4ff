"""The handshake: a signed hello, a signed reply, and the session that both sides then share.

The client's hello is signed by its binding key; the server's reply by an identity key whose
thumbprint the client has pinned. The server keeps nothing: what it needs later is in the *ticket*,
its own encrypted record of the session, which the client sends along. Clock, randomness and
ephemeral keys are arguments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from struct import Struct
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from ..errors import ConfigError, Malformed, Refused, SessionUnknown, TooLarge
from .encoding import Members, b64u_decode, b64u_encode, json_decode, json_encode, lv
from .hkdf import hkdf
from .jwk import SigningKey, jwk_thumbprint, public_jwk, read_public_jwk
from .keys import CLOCKS, Key, KeyRing

try:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
except ImportError:  # an older `cryptography`
    MLKEM768PublicKey = None  # type: ignore[assignment, misc]
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

Ephemeral = X25519PrivateKey | EllipticCurvePrivateKey
Random = Callable[[int], bytes]

#: The longest that a session lasts, in seconds.
MOST_LIFETIME = 12 * 3600
#: A ticket has exactly this many characters; a shorter ``kid`` names a pre-shared key.
TICKET_CHARACTERS = 163
#: The bytes of a ticket key's name.
TICKET_KEY_ID_BYTES = 8
#: The most bytes of an audience, in UTF-8.
MOST_AUDIENCE = 255
#: The most pins of a hello.
MOST_PINS = 4
_MOST_JWS = 8 * 1024
_PIN_BYTES = 32
_SIGNATURE_BYTES = 64
_KEM_PUBLIC_BYTES = 1184
_KEM_CIPHERTEXT_BYTES = 1088
_X25519_BYTES = 32
_COORDINATE_BYTES = 32
_UNCOMPRESSED = b"\x04"
_TICKET_BYTES = 122
_TICKET_VERSION = b"\x01"
_TICKET_SALT_BYTES = 16
_TICKET_HEAD_BYTES = 1 + TICKET_KEY_ID_BYTES + _TICKET_SALT_BYTES
# The version and the key's name, which are whole groups.
_TICKET_KID_CHARACTERS = (1 + TICKET_KEY_ID_BYTES) // 3 * 4
# Secret, start, end, thumbprint of the binding key, flags.
_RECORD = Struct(">32sQQ32sB")
_USED_KEM = 1
_NONCE = bytes(12)


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a handshake agrees on; its ``repr`` has no secret.

    One object may serve many requests, so what follows from it is worked out once.
    """

    #: The 32 bytes from which all keys of the session's exchanges come.
    secret: bytes = field(repr=False)
    #: The thumbprint of the client's binding key, 32 bytes.
    binding: bytes
    #: When it was agreed on and when it ends, in seconds since 1970 on the server's clock.
    iat: int
    exp: int
    #: Whether ML-KEM-768 took part.
    kem: bool

    @cached_property
    def sid(self) -> str:
        """The session's name, for logs: it tells nothing of the secret."""
        return b64u_encode(hkdf(self.secret, bytes(32), b"flask-sealed/1 sid\0", 16))

    @cached_property
    def jkt(self) -> str:
        """The binding key's thumbprint as tokens name it (RFC 9449, section 6.1)."""
        return b64u_encode(self.binding)

    def lasts(self, now: int) -> bool:
        """Whether it has begun, as far as clocks tell, and is not over.

        :param now: seconds since 1970.
        """
        return self.iat - CLOCKS <= now < self.exp


class ClientHandshake:
    """A client's side of one handshake.

    :param binding: the client's own signing key, which outlives sessions.
    :param audience: the service that the client means to reach, as it is configured; 1 to 255
        bytes of UTF-8.
    :param ephemeral: a key that was made for this handshake: X25519 or P-256.
    :param kem: likewise, where the client has ML-KEM-768.
    :param pins: the thumbprints of the identity keys that this audience may answer with, 32 bytes
        each, 1 to 4; ``None`` for an *unpinned* session, which is safe from those who only read.
    :raises ConfigError: where no hello can be made of these.
    """

    def __init__(
        self,
        binding: SigningKey,
        audience: str,
        *,
        ephemeral: Ephemeral,
        kem: MLKEM768PrivateKey | None = None,
        pins: Sequence[bytes] | None,
    ) -> None:
        _check_curves(binding, ephemeral)
        if not 1 <= len(audience.encode()) <= MOST_AUDIENCE:
            raise ConfigError(f"an audience has 1 to {MOST_AUDIENCE} bytes of UTF-8")
        jwk = public_jwk(binding.public_key())
        self._binding = jwk_thumbprint(jwk)
        self._audience = audience
        self._ephemeral = ephemeral
        self._kem = kem
        self._pins = None if pins is None else _check_pins(pins)
        payload: dict[str, object] = {"v": 1, "aud": audience}
        payload["epk"] = _ephemeral_jwk(_ephemeral_public(ephemeral))
        if kem is not None:
            payload["kem"] = b64u_encode(kem.public_key().public_bytes_raw())
        if self._pins is not None:
            payload["pins"] = [b64u_encode(pin) for pin in self._pins]
        #: The hello, a compact JWS.
        self.hello = _sign(binding, jwk, _HELLO_TYPE, payload)

    def finish(self, reply: str) -> tuple[Session, str]:
        """Take the server's reply.

        :returns: the session and its ticket.
        :raises Refusal: where the reply is not one to this hello, or not by a pinned key.
        """
        pin, payload = _verify(reply, _REPLY_TYPE, _REPLY)
        self._check(pin, payload)
        server = _read_ephemeral(payload["epk"])
        ciphertext = b""
        if "kem" in payload:
            ciphertext = b64u_decode(payload["kem"], _KEM_CIPHERTEXT_BYTES)
        # What may refuse comes first: error reports show the variables of frames.
        shared = _agree(self._ephemeral, server)
        if self._kem is not None and ciphertext:
            # A changed ciphertext gives another secret, and no error (FIPS 203, section 6.3).
            shared += self._kem.decapsulate(ciphertext)
        session = Session(
            secret=_session_secret(shared, self.hello, self._audience, pin, server, ciphertext),
            binding=self._binding,
            iat=payload["iat"],
            exp=payload["exp"],
            kem=bool(ciphertext),
        )
        return session, payload["ticket"]

    def _check(self, pin: bytes, payload: dict[str, Any]) -> None:
        # Its own key signs no replies; one by it would be somebody's who has that key.
        if pin == self._binding or (self._pins is not None and pin not in self._pins):
            raise Refused
        expected = (b64u_encode(_digest(self.hello)), self._audience)
        if (payload["hello"], payload["iss"]) != expected:
            raise Refused
        if not 1 <= payload["exp"] - payload["iat"] <= MOST_LIFETIME:
            raise Malformed(f"A session lasts 1 to {MOST_LIFETIME} s.")
        b64u_decode(payload["ticket"], _TICKET_BYTES)
        if "kem" in payload and self._kem is None:
            raise Malformed("The reply has an ML-KEM ciphertext that nobody asked for.")


def answer_hello(
    hello: str,
    ring: KeyRing,
    *,
    issuer: str,
    now: int,
    lifetime: int,
    random: Random,
    ephemeral: Ephemeral | None = None,
) -> tuple[Session, str]:
    """Answer a client's hello.

    :param issuer: the name of this service, which the client has to mean.
    :param now: seconds since 1970.
    :param lifetime: of the session, in seconds; 12 hours at the most, and never beyond the ticket
        key's end.
    :param ephemeral: a key for this handshake, of the kind of the client's; made where left out.
    :returns: the session, which need not be kept, and the reply, a compact JWS.
    :raises Refusal: where the hello is not in order, or asks for another service or identity.
    :raises ConfigError: where the keyring has no active identity key, or no ticket key in use, or
        the lifetime is none.
    """
    binding, payload = _verify(hello, _HELLO_TYPE, _HELLO)
    _check_hello(payload, issuer)
    private, identity = _choose_identity(ring, payload.get("pins"), now)
    # An identity key signs no hellos; a hello by one would be somebody's who has that key.
    if any(key.thumbprint == binding for key in ring.keys):
        raise Refused
    ticket_key = ring.current("ticket", now)
    exp = session_end(ticket_key, now, lifetime)
    shared, server, ciphertext = _respond(payload, ephemeral)
    session = Session(
        secret=_session_secret(shared, hello, issuer, identity.thumbprint, server, ciphertext),
        binding=binding,
        iat=now,
        exp=exp,
        kem=bool(ciphertext),
    )
    reply = {
        "iss": issuer,
        "iat": session.iat,
        "exp": session.exp,
        "hello": b64u_encode(_digest(hello)),
        "epk": _ephemeral_jwk(server),
        **({"kem": b64u_encode(ciphertext)} if ciphertext else {}),
        "ticket": seal_ticket(session, ticket_key, audience=issuer, random=random),
    }
    return session, _sign(private, identity.jwk, _REPLY_TYPE, reply)


def _check_hello(payload: dict[str, Any], issuer: str) -> None:
    if payload["v"] != 1:
        raise Malformed("This service speaks flask-sealed/1.")
    if payload["aud"] != issuer:
        raise Refused


def _respond(payload: dict[str, Any], own: Ephemeral | None) -> tuple[bytes, bytes, bytes]:
    """The shared secret, the server's ephemeral key and the ML-KEM ciphertext or nothing."""
    client = _read_ephemeral(payload["epk"])
    own = own or _ephemeral_like(client)
    encapsulated, ciphertext = _encapsulate(payload.get("kem"))
    try:
        shared = _agree(own, client) + encapsulated
    except Refused:
        del encapsulated  # Error reports show the variables of frames.
        raise
    return shared, _ephemeral_public(own), ciphertext


def seal_ticket(session: Session, key: Key, *, audience: str, random: Random) -> str:
    """The server's own record of a session, 163 characters.

    Each ticket has a key of its own, from its salt, so the nonce of zeros meets no key twice.

    :param audience: the name of this service: services that share ticket keys do not open each
        other's tickets.
    :raises ConfigError: where the key is no ticket key.
    """
    salt = random(_TICKET_SALT_BYTES)
    aead = _ticket_aead(key, salt, audience)
    head = _TICKET_VERSION + b64u_decode(key.kid, TICKET_KEY_ID_BYTES) + salt
    flags = _USED_KEM if session.kem else 0
    record = _RECORD.pack(session.secret, session.iat, session.exp, session.binding, flags)
    return b64u_encode(head + aead.encrypt(_NONCE, record, head))


def open_ticket(ticket: str, ring: KeyRing, *, audience: str, now: int) -> Session:
    """Open a ticket.

    :param audience: the name of this service.
    :param now: seconds since 1970.
    :raises SessionUnknown: where no key opens it, or the session is over.
    :raises Malformed: where it has not the form of a ticket.
    """
    if len(ticket) != TICKET_CHARACTERS:
        raise Malformed(f"A ticket has {TICKET_CHARACTERS} characters.")
    raw = b64u_decode(ticket, _TICKET_BYTES)
    head, sealed = raw[:_TICKET_HEAD_BYTES], raw[_TICKET_HEAD_BYTES:]
    key = ring.get("ticket", b64u_encode(head[1 : 1 + TICKET_KEY_ID_BYTES]), now)
    record = None
    if key is not None and head[:1] == _TICKET_VERSION:
        record = _decrypt(_ticket_aead(key, head[-_TICKET_SALT_BYTES:], audience), sealed, head)
    session = None if record is None else _read_record(record)
    if session is not None and session.lasts(now):
        return session
    del record, session  # Error reports show the variables of frames.
    raise SessionUnknown


def ticket_kid(ticket: str) -> str:
    """The name of the key that a ticket is sealed with.

    :param ticket: one that opens.
    """
    return b64u_encode(b64u_decode(ticket[:_TICKET_KID_CHARACTERS])[1:])


def _read_record(record: bytes) -> Session | None:
    secret, iat, exp, binding, flags = _RECORD.unpack(record)
    if flags & ~_USED_KEM:
        return None  # By a newer version, in which a flag may forbid something.
    return Session(secret=secret, binding=binding, iat=iat, exp=exp, kem=flags == _USED_KEM)


def _ticket_aead(key: Key, salt: bytes, audience: str) -> AESGCM:
    if key.purpose != "ticket" or not isinstance(key.material, bytes):
        raise ConfigError(f"the key {key.kid!r} is no ticket key")
    info = b"flask-sealed/1 ticket\0" + lv(audience.encode())
    return AESGCM(hkdf(key.material, salt, info, 32))


def _decrypt(key: AESGCM, sealed: bytes, head: bytes) -> bytes | None:
    # None instead of an error here: see `envelope._decrypt`.
    try:
        return key.decrypt(_NONCE, sealed, head)
    except InvalidTag:
        return None


def session_end(ticket_key: Key, now: int, lifetime: int) -> int:
    """When a session ends: its ticket does not outlive the key that it is sealed with."""
    if lifetime < 1:
        raise ConfigError("a session lasts 1 s at the least")
    end = now + min(lifetime, MOST_LIFETIME)
    return end if ticket_key.exp is None else min(end, ticket_key.exp)


def _session_secret(
    shared: bytes, hello: str, audience: str, pin: bytes, server: bytes, ciphertext: bytes
) -> bytes:
    """The session's secret: it depends on who the two are, and on all that they said."""
    # A digest of the ciphertext, for Node's WebCrypto takes 1024 bytes of `info` at the most.
    digest = hashlib.sha256(ciphertext).digest() if ciphertext else b""
    parts = (audience.encode(), pin, server, digest)
    info = b"flask-sealed/1 session\0" + b"".join(map(lv, parts))
    return hkdf(shared, _digest(hello), info, 32)


def _sign(key: SigningKey, jwk: dict[str, str], kind: str, payload: dict[str, Any]) -> str:
    """A compact JWS (RFC 7515) that has its own public key in the header."""
    name, algorithm = _ALGORITHMS[jwk["kty"]]
    header = {"alg": name, "typ": kind, "jwk": jwk}
    signed = f"{b64u_encode(json_encode(header))}.{b64u_encode(json_encode(payload))}"
    return f"{signed}.{b64u_encode(algorithm.sign(signed.encode(), key))}"


def _verify(jws: str, kind: str, members: Members) -> tuple[bytes, dict[str, Any]]:
    """A JWS that is signed by the key in its own header: its thumbprint, and the payload."""
    if len(jws) > _MOST_JWS:
        raise TooLarge(f"A message of the handshake has {_MOST_JWS} characters at the most.")
    parts = jws.split(".")
    if len(parts) != 3:
        raise Malformed("The message is not a compact JWS.")
    # All three are decoded before anything else: what is not base64url may be no ASCII either.
    protected, payload = b64u_decode(parts[0]), b64u_decode(parts[1])
    signature = b64u_decode(parts[2], _SIGNATURE_BYTES)
    header = json_decode(protected, _JWS_HEADER)
    key = read_public_jwk(header["jwk"])
    # The algorithm follows from the key, and the message has to agree.
    name, algorithm = _ALGORITHMS[header["jwk"]["kty"]]
    if (header["alg"], header["typ"]) != (name, kind):
        raise Malformed(f"The message is no {kind} by such a key.")
    if not algorithm.verify(jws.rpartition(".")[0].encode(), key, signature):
        raise Refused
    return jwk_thumbprint(header["jwk"]), json_decode(payload, members)


def _choose_identity(ring: KeyRing, pins: list[Any] | None, now: int) -> tuple[SigningKey, Key]:
    """The identity key to answer with: the active one, or else another one that is pinned."""
    wanted = None if pins is None else _read_pins(pins)
    current = ring.current("identity", now) if wanted is None else None
    for key in ring.of("identity", now):
        pinned = key is current if wanted is None else key.thumbprint in wanted
        if pinned and key.nbf <= now and not isinstance(key.material, bytes):
            return key.material, key
    raise Refused


def _read_pins(pins: list[Any]) -> list[bytes]:
    if not 1 <= len(pins) <= MOST_PINS or not all(isinstance(pin, str) for pin in pins):
        raise Malformed(f"A hello has 1 to {MOST_PINS} pins, or none at all.")
    return [b64u_decode(pin, _PIN_BYTES) for pin in pins]


def _check_pins(pins: Sequence[bytes]) -> tuple[bytes, ...]:
    if not 1 <= len(pins) <= MOST_PINS or any(len(pin) != _PIN_BYTES for pin in pins):
        raise ConfigError(f"pins are 1 to {MOST_PINS} thumbprints of {_PIN_BYTES} bytes")
    return tuple(pins)


def _check_curves(*keys: object) -> None:
    for key in keys:
        if isinstance(key, EllipticCurvePrivateKey) and key.curve.name != SECP256R1.name:
            raise ConfigError("a key is on another curve than P-256")


def _encapsulate(kem: str | None) -> tuple[bytes, bytes]:
    """A shared secret and its ciphertext; both empty where only one side has ML-KEM."""
    public = b"" if kem is None else b64u_decode(kem, _KEM_PUBLIC_BYTES)
    if not public or MLKEM768PublicKey is None:
        return b"", b""
    try:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except UnsupportedAlgorithm:
        return b"", b""
    except ValueError:  # a coefficient is too large (FIPS 203, section 7.2)
        pass
    raise Refused


def _agree(private: Ephemeral, public: bytes) -> bytes:
    """The shared secret of two ephemeral keys, 32 bytes.

    :raises Refused: where the other's is not on the curve or of low order, or of another kind.
    """
    try:
        if isinstance(private, X25519PrivateKey):
            # Refuses the secret that is all zeros (RFC 7748, section 6.1).
            return private.exchange(X25519PublicKey.from_public_bytes(public))
        point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public)
        return private.exchange(ECDH(), point)
    except ValueError:
        pass
    raise Refused


def _ephemeral_like(public: bytes) -> Ephemeral:
    if len(public) == _X25519_BYTES:
        return X25519PrivateKey.generate()
    return generate_private_key(SECP256R1())


def _ephemeral_public(key: Ephemeral) -> bytes:
    """An ephemeral key's public half: 32 bytes, or the 65 of an uncompressed point."""
    if isinstance(key, X25519PrivateKey):
        return key.public_key().public_bytes_raw()
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _ephemeral_jwk(public: bytes) -> dict[str, str]:
    if len(public) == _X25519_BYTES:
        return {"kty": "OKP", "crv": "X25519", "x": b64u_encode(public)}
    x, y = public[1 : 1 + _COORDINATE_BYTES], public[1 + _COORDINATE_BYTES :]
    return {"kty": "EC", "crv": "P-256", "x": b64u_encode(x), "y": b64u_encode(y)}


def _read_ephemeral(jwk: dict[str, Any]) -> bytes:
    """The bytes of :func:`_ephemeral_public`; whether they are a point is not known yet."""
    match jwk:
        case {"kty": "OKP", "crv": "X25519", "x": str(x)} if len(jwk) == 3:
            return b64u_decode(x, _X25519_BYTES)
        case {"kty": "EC", "crv": "P-256", "x": str(x), "y": str(y)} if len(jwk) == 4:
            coordinates = b64u_decode(x, _COORDINATE_BYTES), b64u_decode(y, _COORDINATE_BYTES)
            return _UNCOMPRESSED + b"".join(coordinates)
    raise Malformed("The ephemeral key is no X25519 or P-256 key.")


_HELLO_TYPE = "sealed-hello+jws"
_HELLO = Members({"v": int, "aud": str, "epk": dict}, {"kem": str, "pins": list})
_REPLY_TYPE = "sealed-session+jws"
_REPLY = Members(
    {"iss": str, "iat": int, "exp": int, "hello": str, "epk": dict, "ticket": str}, {"kem": str}
)
_JWS_HEADER = Members({"alg": str, "typ": str, "jwk": dict})
# By the key's type (RFC 8037, section 3.1; RFC 7518, section 3.4).
_ALGORITHMS: dict[str, tuple[str, Any]] = {
    "OKP": ("EdDSA", OKPAlgorithm()),
    "EC": ("ES256", ECAlgorithm(ECAlgorithm.SHA256)),
}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
