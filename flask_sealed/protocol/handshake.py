"""The handshake: a signed hello, a signed reply, and the session that both sides then share.

The client's hello is signed by its binding key; the server's reply by an identity key whose
thumbprint the client has pinned. The server keeps nothing: what it needs later is in the *ticket*,
its own encrypted record of the session, which the client sends along. Clock, randomness and
ephemeral keys are arguments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from ..errors import Malformed, Refused, SessionUnknown, TooLarge
from .encoding import b64u_decode, b64u_encode, json_decode, json_encode, lv
from .exchange import Random
from .keyring import (
    Key,
    KeyRing,
    SigningKey,
    VerifyingKey,
    public_jwk,
    read_public_jwk,
    thumbprint,
)

try:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
except ImportError:  # an older `cryptography`
    MLKEM768PublicKey = None  # type: ignore[assignment, misc]
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

Ephemeral = X25519PrivateKey | EllipticCurvePrivateKey

#: The longest that a session lasts, in seconds.
MOST_LIFETIME = 12 * 3600
#: A ticket has exactly this many characters; a shorter ``kid`` names a pre-shared key.
TICKET_CHARACTERS = 163
#: The bytes of a ticket key's name.
TICKET_KEY_ID_BYTES = 8
_MOST_PINS = 4
_MOST_JWS = 8 * 1024
_KEM_PUBLIC_BYTES = 1184
_KEM_CIPHERTEXT_BYTES = 1088
_TICKET_VERSION = b"\x01"
_TICKET_SALT_BYTES = 16
_TICKET_HEAD_BYTES = 1 + TICKET_KEY_ID_BYTES + _TICKET_SALT_BYTES
_USED_KEM = 1
_HASH = SHA256()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a handshake agrees on; its ``repr`` has no secret."""

    #: The 32 bytes from which all keys of the session's exchanges come.
    secret: bytes = field(repr=False)
    #: The thumbprint of the client's binding key, 32 bytes.
    binding: bytes
    #: When it was agreed on and when it ends, in seconds since 1970 on the server's clock.
    iat: int
    exp: int
    #: Whether ML-KEM-768 took part.
    kem: bool

    @property
    def sid(self) -> str:
        """The session's name, for logs: it tells nothing of the secret."""
        info = b"flask-sealed/1 sid\0"
        return b64u_encode(HKDF(_HASH, 16, bytes(32), info).derive(self.secret))


class ClientHandshake:
    """A client's side of one handshake.

    :param binding: the client's own signing key, which outlives sessions.
    :param audience: the service that the client means to reach, as it is configured.
    :param pins: the thumbprints of the identity keys that it accepts, 32 bytes each, 4 at most;
        without any, the session is *unpinned*: safe from those who only read.
    :param ephemeral: a key that was made for this handshake.
    :param kem: likewise, where the client has ML-KEM-768.
    """

    def __init__(
        self,
        binding: SigningKey,
        audience: str,
        *,
        ephemeral: Ephemeral,
        kem: MLKEM768PrivateKey | None = None,
        pins: Sequence[bytes] = (),
    ) -> None:
        self._binding = binding
        self._audience = audience
        self._ephemeral = ephemeral
        self._kem = kem
        self._pins = tuple(pins)
        payload: dict[str, object] = {"v": 1, "aud": audience, "epk": _ephemeral_jwk(ephemeral)}
        if kem is not None:
            payload["kem"] = b64u_encode(kem.public_key().public_bytes_raw())
        if pins:
            payload["pins"] = [b64u_encode(pin) for pin in pins]
        #: The hello, a compact JWS.
        self.hello = _sign(binding, "sealed-hello+jws", payload)

    def finish(self, reply: str) -> tuple[Session, str]:
        """Take the server's reply.

        :returns: the session and its ticket.
        :raises Refusal: where the reply is not one to this hello, or not by a pinned key.
        """
        identity, payload = _verify(reply, "sealed-session+jws", _REPLY, {"kem": str})
        pin = thumbprint(identity)
        if self._pins and pin not in self._pins:
            raise Refused
        expected = (b64u_encode(_digest(self.hello)), self._audience)
        if (payload["hello"], payload["iss"]) != expected:
            raise Refused
        if not 0 < payload["exp"] - payload["iat"] <= MOST_LIFETIME:
            raise Malformed("The session's times are not in order.")
        if len(payload["ticket"]) != TICKET_CHARACTERS:
            raise Malformed(f"A ticket has {TICKET_CHARACTERS} characters.")
        shared = _agree(self._ephemeral, _read_ephemeral(payload["epk"], self._ephemeral))
        ciphertext = b""
        if "kem" in payload:
            ciphertext = b64u_decode(payload["kem"], _KEM_CIPHERTEXT_BYTES)
            if self._kem is None:
                raise Malformed("The reply has an ML-KEM ciphertext that nobody asked for.")
            shared += self._kem.decapsulate(ciphertext)
        session = Session(
            secret=_session_secret(self.hello, payload, pin, shared, ciphertext),
            binding=thumbprint(self._binding.public_key()),
            iat=payload["iat"],
            exp=payload["exp"],
            kem=bool(ciphertext),
        )
        return session, payload["ticket"]


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
    :param lifetime: of the session, in seconds, 12 hours at the most.
    :param ephemeral: a key for this handshake, of the kind of the client's; made where left out.
    :returns: the session, which need not be kept, and the reply, a compact JWS.
    :raises Refusal: where the hello is not in order, or asks for another service or identity.
    """
    binding, payload = _verify(hello, "sealed-hello+jws", _HELLO, {"kem": str, "pins": list})
    if payload["v"] != 1:
        raise Malformed("This service speaks flask-sealed/1.")
    if payload["aud"] != issuer:
        raise Refused
    identity = _choose_identity(ring, payload.get("pins"), now)
    ephemeral = ephemeral or _ephemeral_like(payload["epk"])
    shared = _agree(ephemeral, _read_ephemeral(payload["epk"], ephemeral))
    ciphertext = b""
    if "kem" in payload:
        encapsulated, ciphertext = _encapsulate(b64u_decode(payload["kem"], _KEM_PUBLIC_BYTES))
        shared += encapsulated
    reply: dict[str, Any] = {
        "iss": issuer,
        "iat": now,
        "exp": now + min(lifetime, MOST_LIFETIME),
        "hello": b64u_encode(_digest(hello)),
        "epk": _ephemeral_jwk(ephemeral),
    }
    if ciphertext:
        reply["kem"] = b64u_encode(ciphertext)
    pin = thumbprint(identity.public_key())
    session = Session(
        secret=_session_secret(hello, reply, pin, shared, ciphertext),
        binding=thumbprint(binding),
        iat=reply["iat"],
        exp=reply["exp"],
        kem=bool(ciphertext),
    )
    reply["ticket"] = seal_ticket(session, ring.current("ticket"), random=random)
    return session, _sign(identity, "sealed-session+jws", reply)


def seal_ticket(session: Session, key: Key, *, random: Random) -> str:
    """The server's own record of a session, 163 characters.

    Each ticket has a key of its own, from its salt, so the nonce of zeros meets no key twice.
    """
    salt = random(_TICKET_SALT_BYTES)
    head = _TICKET_VERSION + b64u_decode(key.kid, TICKET_KEY_ID_BYTES) + salt
    record = b"".join(
        (
            session.secret,
            session.iat.to_bytes(8),
            session.exp.to_bytes(8),
            session.binding,
            bytes([_USED_KEM if session.kem else 0]),
        )
    )
    return b64u_encode(head + _ticket_key(key, salt).encrypt(bytes(12), record, head))


def open_ticket(ticket: str, ring: KeyRing, *, now: int) -> Session:
    """Open a ticket.

    :param now: seconds since 1970.
    :raises SessionUnknown: where no key opens it, or the session is over.
    :raises Malformed: where it has not the form of a ticket.
    """
    if len(ticket) != TICKET_CHARACTERS:
        raise Malformed(f"A ticket has {TICKET_CHARACTERS} characters.")
    raw = b64u_decode(ticket)
    head, salt = raw[:_TICKET_HEAD_BYTES], raw[1 + TICKET_KEY_ID_BYTES : _TICKET_HEAD_BYTES]
    key = ring.get("ticket", b64u_encode(head[1 : 1 + TICKET_KEY_ID_BYTES]))
    record = None
    if key is not None and head[:1] == _TICKET_VERSION:
        record = _decrypt_ticket(_ticket_key(key, salt), raw[_TICKET_HEAD_BYTES:], head)
    session = None if record is None else _read_record(record)
    if session is None or not session.iat - MOST_LIFETIME < now < session.exp:
        raise SessionUnknown
    return session


def _read_record(record: bytes) -> Session:
    return Session(
        secret=record[:32],
        iat=int.from_bytes(record[32:40]),
        exp=int.from_bytes(record[40:48]),
        binding=record[48:80],
        kem=bool(record[80] & _USED_KEM),
    )


def _ticket_key(key: Key, salt: bytes) -> AESGCM:
    material = key.material if isinstance(key.material, bytes) else b""
    return AESGCM(HKDF(_HASH, 32, salt, b"flask-sealed/1 ticket\0").derive(material))


def _decrypt_ticket(key: AESGCM, sealed: bytes, head: bytes) -> bytes | None:
    # None instead of an error here: see `envelope._decrypt`.
    try:
        return key.decrypt(bytes(12), sealed, head)
    except InvalidTag:
        return None


def _session_secret(
    hello: str, reply: dict[str, Any], pin: bytes, shared: bytes, ciphertext: bytes
) -> bytes:
    server_ephemeral = _raw_ephemeral(reply["epk"])
    info = b"flask-sealed/1 session\0" + b"".join(
        lv(part) for part in (reply["iss"].encode(), pin, server_ephemeral, ciphertext)
    )
    return HKDF(_HASH, 32, _digest(hello), info).derive(shared)


def _choose_identity(ring: KeyRing, pins: list[Any] | None, now: int) -> SigningKey:
    """The identity key to answer with: the active one, or another one that is pinned."""
    candidates = [ring.current("identity"), *ring.of("identity")]
    wanted = None if pins is None else _read_pins(pins)
    for key in candidates:
        if isinstance(key.material, bytes) or (key.exp is not None and key.exp <= now):
            continue
        if wanted is None or thumbprint(key.material.public_key()) in wanted:
            return key.material
    raise Refused


def _read_pins(pins: list[Any]) -> list[bytes]:
    if not 1 <= len(pins) <= _MOST_PINS or not all(isinstance(pin, str) for pin in pins):
        raise Malformed(f"A hello has 1 to {_MOST_PINS} pins, or none at all.")
    return [b64u_decode(pin, 32) for pin in pins]


def _encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """A shared secret and its ciphertext; both empty where this machine has no ML-KEM."""
    if MLKEM768PublicKey is None:
        return b"", b""
    try:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except UnsupportedAlgorithm:
        return b"", b""
    except ValueError:
        pass
    raise Malformed("The ML-KEM-768 key is none.")


def _agree(private: Ephemeral, public: X25519PublicKey | EllipticCurvePublicKey) -> bytes:
    """The shared secret of two ephemeral keys; low-order points are refused."""
    try:
        if isinstance(private, X25519PrivateKey) and isinstance(public, X25519PublicKey):
            return private.exchange(public)
        if isinstance(private, EllipticCurvePrivateKey) and isinstance(
            public, EllipticCurvePublicKey
        ):
            return private.exchange(ECDH(), public)
    except ValueError:
        pass
    raise Malformed("The ephemeral keys agree on nothing.")


def _ephemeral_jwk(key: Ephemeral) -> dict[str, str]:
    if isinstance(key, X25519PrivateKey):
        raw = key.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "X25519", "x": b64u_encode(raw)}
    return public_jwk(key.public_key())


def _ephemeral_like(jwk: dict[str, Any]) -> Ephemeral:
    if jwk.get("crv") == "X25519":
        return X25519PrivateKey.generate()
    return generate_private_key(SECP256R1())


def _read_ephemeral(
    jwk: dict[str, Any], own: Ephemeral
) -> X25519PublicKey | EllipticCurvePublicKey:
    if isinstance(own, X25519PrivateKey):
        if jwk.keys() != {"kty", "crv", "x"} or (jwk["kty"], jwk["crv"]) != ("OKP", "X25519"):
            raise Malformed("The ephemeral key is no X25519 key.")
        if not isinstance(jwk["x"], str):
            raise Malformed("The ephemeral key is no X25519 key.")
        return X25519PublicKey.from_public_bytes(b64u_decode(jwk["x"], 32))
    public = read_public_jwk(jwk)
    if not isinstance(public, EllipticCurvePublicKey):
        raise Malformed("The ephemeral key is no P-256 key.")
    return public


def _raw_ephemeral(jwk: dict[str, Any]) -> bytes:
    """An ephemeral key's 32 bytes, or the 65 of an uncompressed point."""
    if jwk["crv"] == "X25519":
        return b64u_decode(jwk["x"], 32)
    return b"\x04" + b64u_decode(jwk["x"], 32) + b64u_decode(jwk["y"], 32)


_HELLO: dict[str, type] = {"v": int, "aud": str, "epk": dict}
_REPLY: dict[str, type] = {
    "iss": str,
    "iat": int,
    "exp": int,
    "hello": str,
    "epk": dict,
    "ticket": str,
}


def _sign(key: SigningKey, kind: str, payload: dict[str, Any]) -> str:
    """A compact JWS (RFC 7515) that has its own public key in the header."""
    header = {"alg": _algorithm(key)[0], "typ": kind, "jwk": public_jwk(key.public_key())}
    signed = f"{b64u_encode(json_encode(header))}.{b64u_encode(json_encode(payload))}"
    signature = _algorithm(key)[1].sign(signed.encode(), key)
    return f"{signed}.{b64u_encode(signature)}"


def _verify(
    jws: str, kind: str, required: dict[str, type], optional: dict[str, type]
) -> tuple[VerifyingKey, dict[str, Any]]:
    """The key and the payload of a JWS that is signed by the key in its own header."""
    if len(jws) > _MOST_JWS:
        raise TooLarge(f"A message of the handshake has {_MOST_JWS} characters at the most.")
    parts = jws.split(".")
    if len(parts) != 3:
        raise Malformed("The message is not a compact JWS.")
    header = json_decode(b64u_decode(parts[0]), {"alg": str, "typ": str, "jwk": dict})
    key = read_public_jwk(header["jwk"])
    name, algorithm = _algorithm(key)
    # The algorithm follows from the key, and the message has to agree.
    if (header["alg"], header["typ"]) != (name, kind):
        raise Malformed(f"The message is no {kind} by such a key.")
    signed, signature = jws.rpartition(".")[0].encode(), b64u_decode(parts[2], 64)
    if not algorithm.verify(signed, key, signature):
        raise Refused
    return key, json_decode(b64u_decode(parts[1]), required, optional)


def _algorithm(key: SigningKey | VerifyingKey) -> tuple[str, Any]:
    if isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        return "EdDSA", _EDDSA
    return "ES256", _ES256


_EDDSA = OKPAlgorithm()
_ES256 = ECAlgorithm(ECAlgorithm.SHA256)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
