"""handshake.json, its valid cases: hellos, replies, and the sessions that they agree on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from .dialogue import (
    BINDING,
    CLIENT,
    IDENTITY,
    KEM,
    KEM_PUBLIC,
    LIFETIME,
    P256_BINDING,
    P256_IDENTITY,
    REPLY,
    STRANGER,
    agree,
    given,
    hello,
    hello_payload,
    pinned,
    reply_payload,
    ticket_of,
)
from .hello_faults import hello_faults
from .jws import Ephemeral, Signer, header_of, jws
from .primitives import Case, b64u, ending, file, hkdf
from .recorded import RECORDED
from .reply_faults import reply_faults

DESCRIPTION = """
Handshakes. Binary values are in hex.
A client has a `binding` key that signs, an `ephemeral` key, `pins` (thumbprints, or null where it
has none) and the `audience` that it means. Where `kem` is true it also has ML-KEM-768, with the
private key of the seed `kem_seed` (d and z of FIPS 203, 64 bytes). It says `hello`.
A server has the `audience` as its name, `identities` (keys that sign) of which number `active` is
the one for new messages, a `ticket_key`, its clock `now` (seconds since 1970), and gives sessions
of `lifetime` seconds. An identity key is used from `nbf` until `exp`, where it has them.
Private keys are the 32 bytes of RFC 8032 and RFC 7748, and the scalar of P-256, big-endian.
A valid case has one or more `replies` to its hello: the server has `identity` active, uses its own
`ephemeral` key, `ticket_salt` as random bytes, and, where the reply's own `kem` is true, the
ML-KEM-768 encapsulation `kem_secret` and `kem_ciphertext`.
`shared` (Z), and `info` with SHA-256 of the hello as salt, give the `secret` of the session, which
has the name `sid` and lasts until `exp`.
ES256 signatures are random: a client that signs cannot come to the same hello, and goes on with
the one that stands here. The same holds for encapsulations.
Invalid cases: `role` `server` is given `hello`; `role` `client` is the one that said `hello`, and
is given `reply`.
"""


def handshake() -> Case:
    valid = [*_suites(), *_others()]
    return file(DESCRIPTION, valid, [*hello_faults(), *reply_faults()], given())


def _suites() -> Iterator[Case]:
    for binding, kind, kem in product((BINDING, P256_BINDING), ("X25519", "P-256"), (False, True)):
        parts = (binding.algorithm, kind, *(("ML-KEM-768",) if kem else ()))
        client = Ephemeral(kind, "client")
        pins = (IDENTITY, P256_IDENTITY)
        case = _asked(", ".join(parts), binding, client, kem=kem, pins=pins)
        replies = [
            _replied(case["hello"], identity, binding, client, kem=kem) for identity in pins
        ]
        yield {**case, "replies": replies}


def _others() -> Iterator[Case]:
    case = _asked("unpinned", BINDING, CLIENT, kem=False, pins=None)
    yield {**case, "replies": [_replied(case["hello"], IDENTITY, BINDING, CLIENT, kem=False)]}
    pins = (STRANGER, BINDING, P256_BINDING, IDENTITY)
    case = _asked(
        "four pins, and a lifetime that is too long", BINDING, CLIENT, kem=False, pins=pins
    )
    reply = _replied(case["hello"], IDENTITY, BINDING, CLIENT, kem=False, lifetime=43_200)
    yield {**case, "lifetime": 100_000, "replies": [reply]}
    case = _asked(
        "a pin of a key that is not active", BINDING, CLIENT, kem=False, pins=[P256_IDENTITY]
    )
    reply = _replied(case["hello"], P256_IDENTITY, BINDING, CLIENT, kem=False)
    yield {**case, "replies": [{**reply, "identity": 0}]}
    case = _asked("ML-KEM-768 that the server has not", BINDING, CLIENT, kem=True, pins=[IDENTITY])
    yield {**case, "replies": [_replied(case["hello"], IDENTITY, BINDING, CLIENT, kem=False)]}


def _asked(
    name: str,
    binding: Signer,
    client: Ephemeral,
    *,
    kem: bool,
    pins: tuple[Signer, ...] | list[Signer] | None,
) -> Case:
    payload = hello_payload(
        client,
        kem=b64u(KEM_PUBLIC) if kem else None,
        pins=None if pins is None else pinned(*pins),
    )
    return {
        "name": name,
        "binding": binding.shown(),
        "ephemeral": client.shown(),
        "kem": kem,
        "pins": None if pins is None else [pin.thumbprint.hex() for pin in pins],
        "hello": hello(binding, payload=payload),
    }


def _replied(
    said: str,
    identity: Signer,
    binding: Signer,
    client: Ephemeral,
    *,
    kem: bool,
    lifetime: int = LIFETIME,
) -> Case:
    server = Ephemeral(client.kind, f"server {identity.kind}")
    agreed = agree(said, identity, client, server, kem=kem)
    ticket = ticket_of(agreed, binding, kem=kem, lifetime=lifetime)
    payload = reply_payload(said, server, ticket, kem=kem)
    ciphertext = RECORDED.encapsulate(KEM)[1]
    return {
        "identity": (IDENTITY, P256_IDENTITY).index(identity),
        "ephemeral": server.shown(),
        "kem": kem,
        "ticket_salt": ticket.salt.hex(),
        "shared": agreed.shared.hex(),
        "info": ending(agreed.info, ciphertext, "kem_ciphertext"),
        "secret": agreed.secret.hex(),
        "sid": b64u(hkdf(agreed.secret, bytes(32), b"flask-sealed/1 sid\0", 16)),
        "exp": ticket.exp,
        "reply": jws(identity, header_of(identity, REPLY), payload),
    }
