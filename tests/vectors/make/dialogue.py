"""Who takes part in the handshakes, and what they say."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from .halves import AUDIENCE, NOW, as_text, changed
from .jws import Ephemeral, Signer, header_of, jws
from .primitives import Case, b64u, fixed, hkdf, lv
from .recorded import RECORDED
from .ticket import KEY, KEY_ID, Ticket

HELLO = "sealed-hello+jws"
REPLY = "sealed-session+jws"
BINDING = Signer("Ed25519", "binding")
P256_BINDING = Signer("P-256", "binding")
IDENTITY = Signer("Ed25519", "identity")
P256_IDENTITY = Signer("P-256", "identity")
STRANGER = Signer("Ed25519", "stranger")
CLIENT = Ephemeral("X25519", "client")
SERVER = Ephemeral("X25519", "server")
LIFETIME = 3600
KEM_SEED = fixed("ML-KEM-768", 64)
KEM = MLKEM768PrivateKey.from_seed_bytes(KEM_SEED)
KEM_PUBLIC = KEM.public_key().public_bytes_raw()


def hello_payload(ephemeral: Ephemeral = CLIENT, **changes: object) -> Case:
    """What a client says that has neither ML-KEM nor pins, with changes."""
    return changed({"v": 1, "aud": AUDIENCE, "epk": ephemeral.jwk}, changes)


def hello(
    binding: Signer = BINDING, *, header: Case | None = None, payload: Case | None = None
) -> str:
    members = changed(header_of(binding, HELLO), header or {})
    return jws(binding, members, hello_payload() if payload is None else payload)


def pinned(*keys: Signer) -> list[str]:
    return [b64u(key.thumbprint) for key in keys]


#: What the client says to whom replies with faults are given.
SAID = hello(payload=hello_payload(pins=pinned(IDENTITY)))


class Agreed(NamedTuple):
    """A session's secret, and what it is made of."""

    shared: bytes
    info: bytes
    secret: bytes


def agree(
    said: str, identity: Signer, client: Ephemeral, server: Ephemeral, *, kem: bool
) -> Agreed:
    shared, ciphertext = client.agree(server.public), b""
    if kem:
        encapsulated, ciphertext = RECORDED.encapsulate(KEM)
        shared += encapsulated
    hashed = hashlib.sha256(ciphertext).digest() if ciphertext else b""
    parts = (AUDIENCE.encode(), identity.thumbprint, server.public, hashed)
    info = b"flask-sealed/1 session\0" + b"".join(map(lv, parts))
    return Agreed(shared, info, hkdf(shared, digest(said), info, 32))


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def ticket_of(agreed: Agreed, binding: Signer, *, kem: bool, lifetime: int = LIFETIME) -> Ticket:
    return Ticket(
        label="handshake",
        agreed=agreed.secret,
        signer=binding.thumbprint,
        exp=NOW + lifetime,
        flags=int(kem),
    )


def reply_payload(said: str, server: Ephemeral, ticket: Ticket, *, kem: bool = False) -> Case:
    """What a server says."""
    members = {
        "iss": AUDIENCE,
        "iat": ticket.iat,
        "exp": ticket.exp,
        "hello": b64u(digest(said)),
        "epk": server.jwk,
        "kem": b64u(RECORDED.encapsulate(KEM)[1]) if kem else None,
        "ticket": b64u(ticket.raw),
    }
    return changed(members, {})


def answered(said: str = SAID, /, **changes: object) -> Case:
    """What the server of replies with faults says, with changes."""
    agreed = agree(said, IDENTITY, CLIENT, SERVER, kem=False)
    return changed(reply_payload(said, SERVER, ticket_of(agreed, BINDING, kem=False)), changes)


def given() -> Case:
    """What stands once for all handshakes."""
    return {
        "role": "server",
        "audience": AUDIENCE,
        "now": NOW,
        "lifetime": LIFETIME,
        "identities": [IDENTITY.shown(), P256_IDENTITY.shown()],
        "active": 0,
        "ticket_key": {"id": KEY_ID.hex(), "key": KEY.hex()},
        "binding": BINDING.shown(),
        "ephemeral": CLIENT.shown(),
        "pins": [IDENTITY.thumbprint.hex()],
        "hello": SAID,
        "kem": False,
        "kem_seed": KEM_SEED.hex(),
        "kem_ciphertext": RECORDED.encapsulate(KEM)[1].hex(),
        "kem_secret": RECORDED.encapsulate(KEM)[0].hex(),
        **_pieces(),
    }


def _pieces() -> Case:
    """Long parts of many texts."""
    payload = hello_payload(kem=b64u(KEM_PUBLIC))
    answer = answered(kem=b64u(RECORDED.encapsulate(KEM)[1]))
    answer = {
        name: answer[name] for name in ("iss", "iat", "exp", "hello", "epk", "kem", "ticket")
    }
    return {
        "hello_start": b64u(as_text(header_of(BINDING, HELLO))) + ".",
        "reply_start": b64u(as_text(header_of(IDENTITY, REPLY))) + ".",
        "p256_reply_start": b64u(as_text(header_of(P256_IDENTITY, REPLY))) + ".",
        "hello_payload_inside": _aligned(as_text(hello_payload())[:-1]),
        "reply_payload_inside": _aligned(as_text(answered())[:-1]),
        "kem_in_hello_inside": _inside(payload),
        "kem_in_reply_inside": _inside(answer),
    }


def _aligned(data: bytes) -> str:
    """As base64url, as far as it does not depend on what follows."""
    return b64u(data[: len(data) // 3 * 3])


def _inside(payload: Case) -> str:
    """The most of the member ``kem`` as it looks where the whole is in base64url once more."""
    text, kem = as_text(payload), payload["kem"].encode()
    first, last = text.index(kem) + 60, text.index(kem) + len(kem) - 60
    return _aligned(text[first + -first % 3 : last])
