"""handshake.json: replies with one fault each."""

from __future__ import annotations

from collections.abc import Iterator

from .dialogue import (
    BINDING,
    HELLO,
    IDENTITY,
    KEM,
    KEM_PUBLIC,
    P256_IDENTITY,
    REPLY,
    SAID,
    SERVER,
    STRANGER,
    answered,
    digest,
    hello,
    hello_payload,
    pinned,
)
from .halves import NOW, changed
from .hello_faults import LOW_ORDER, NO_POINT, TOO_LARGE, forms
from .jws import Ephemeral, Signer, header_of, jws, point_jwk, x25519_jwk
from .primitives import Case, b64, b64u, compact, flip, next_character, refused, unb64u
from .recorded import RECORDED


def reply_faults() -> Iterator[Case]:
    for group in (
        _form,
        _signers,
        _headers,
        _bindings,
        _payloads,
        _ephemerals,
        _kems,
        _tickets,
        _keys,
    ):
        yield from group()


def reply(
    key: Signer = IDENTITY, *, header: Case | None = None, payload: Case | str | None = None
) -> str:
    members = changed(header_of(key, REPLY), header or {})
    return jws(key, members, answered() if payload is None else payload)


def _bad(name: str, row: str, text: object, **changes: object) -> Case:
    case = {"name": f"reply: {name}", "role": "client", "reply": text}
    return {**case, **changes, **refused(row)}


def _form() -> Iterator[Case]:
    for name, (row, broken) in forms(reply()).items():
        if name in ("empty", "two parts", "a signature of 63 bytes"):
            yield _bad(name, row, broken)
    yield _bad("8193 characters", "R79", {"repeat": ["A", 8193]})


def _signers() -> Iterator[Case]:
    header, payload, signature = reply().split(".")
    raw = unb64u(signature)
    for name, other in {
        "a bit of the signature flipped": flip(raw, 0),
        "a signature of zeros": bytes(64),
        "a signature by another key": STRANGER.sign(f"{header}.{payload}".encode()),
    }.items():
        yield _bad(name, "R88", f"{header}.{payload}.{b64u(other)}")
    yield _bad("another payload than signed", "R88", reply_of(header, exp=NOW + 1, by=signature))
    yield _bad("a detached payload", "R88", f"{header}..{signature}")
    yield _bad("by a key that is not pinned", "R100", reply(STRANGER))
    yield _bad("by the second identity key, which is not pinned", "R100", reply(P256_IDENTITY))
    yield _bad("by the client's own binding key", "R101", reply(BINDING))
    unpinned = hello()
    text = reply(BINDING, payload=answered(unpinned))
    changes = {"hello": unpinned, "pins": None}
    yield _bad("by the client's own binding key, unpinned", "R101", text, **changes)


def reply_of(header: str, *, exp: int, by: str) -> str:
    return f"{header}.{b64u(compact(answered(exp=exp)).encode())}.{by}"


def _headers() -> Iterator[Case]:
    changes: dict[str, tuple[str, Case]] = {
        "alg none": ("R85", {"alg": "none"}),
        "alg ES256, and a key for EdDSA": ("R85", {"alg": "ES256"}),
        "alg HS256": ("R85", {"alg": "HS256"}),
        "the typ of a hello": ("R86", {"typ": HELLO}),
        "no typ": ("R8", {"typ": None}),
        "no jwk": ("R8", {"jwk": None}),
        "a kid in the header": ("R81", {"kid": "a"}),
        "an identity key with a kid": ("R82", {"jwk": {**IDENTITY.jwk, "kid": "a"}}),
    }
    for name, (row, change) in changes.items():
        yield _bad(name, row, reply(header=change))


def _bindings() -> Iterator[Case]:
    """Replies to others, or by others."""
    other = hello(payload=hello_payload(Ephemeral("X25519", "other"), pins=pinned(IDENTITY)))
    yield _bad("to another hello", "R102", reply(payload=answered(other)))
    for name, value in {
        "the hash of the hello in hex": digest(SAID).hex(),
        "the hash of the hello in standard base64": b64(digest(SAID)),
    }.items():
        yield _bad(name, "R102", reply(payload=answered(hello=value)))
    for name, value in {
        "another iss": "https://shop.example",
        "an empty iss": "",
    }.items():
        yield _bad(name, "R103", reply(payload=answered(iss=value)))


def _payloads() -> Iterator[Case]:
    changes: dict[str, tuple[str, Case]] = {
        "exp that is iat": ("R104", {"exp": NOW}),
        "a session of 12 h and a second": ("R104", {"exp": NOW + 43_201}),
        "iat as a fraction": ("R10", {"iat": NOW + 0.5}),
        "iat and exp beyond 2^53 - 1": ("R11", {"iat": 2**53, "exp": 2**53 + 1}),
        "an unknown member: sub": ("R6", {"sub": "a"}),
        "iss as a list": ("R9", {"iss": ["https://bank.example"]}),
        **{
            f"no {name}": ("R8", {name: None})
            for name in ("iss", "iat", "exp", "hello", "epk", "ticket")
        },
    }
    for name, (row, change) in changes.items():
        yield _bad(name, row, reply(payload=answered(**change)))
    text = compact(answered())
    for name, (row, payload) in {
        "no payload": ("R5", ""),
        "exp twice": ("R7", f'{text[:-1]},"exp":{NOW + 3600}}}'),
        "text behind": ("R5", f"{text}x"),
    }.items():
        yield _bad(f"payload: {name}", row, reply(payload=payload))


def _ephemerals() -> Iterator[Case]:
    for name in ("zeros", "a point of order 8", "p"):
        text = reply(payload=answered(epk=x25519_jwk(LOW_ORDER[name])))
        yield _bad(f"an ephemeral key of low order: {name}", "R95", text)
    point = Ephemeral("P-256", "server").public
    text = reply(payload=answered(epk=point_jwk(point)))
    yield _bad("an ephemeral key of another kind", "R96", text)
    short = {**SERVER.jwk, "x": b64u(SERVER.public[:-1])}
    yield _bad("an ephemeral key of 31 bytes", "R94", reply(payload=answered(epk=short)))
    client = Ephemeral("P-256", "client")
    said = hello(payload=hello_payload(client, pins=pinned(IDENTITY)))
    changes = {"ephemeral": client.shown(), "hello": said}
    text = reply(payload=answered(said, epk=point_jwk(flip(point, 64))))
    yield _bad("a P-256 ephemeral key off the curve", "R95", text, **changes)


def _kems() -> Iterator[Case]:
    ciphertext = RECORDED.encapsulate(KEM)[1]
    text = reply(payload=_with_kem(answered(), ciphertext))
    yield _bad("an ML-KEM ciphertext that nobody asked for", "R99", text)
    said = hello(payload=hello_payload(kem=b64u(KEM_PUBLIC), pins=pinned(IDENTITY)))
    changes = {"kem": True, "hello": said}
    for name, wrong in {
        "of 1087 bytes": ciphertext[:-1],
    }.items():
        text = reply(payload=_with_kem(answered(said), wrong))
        yield _bad(f"an ML-KEM ciphertext {name}", "R97", text, **changes)


def _with_kem(payload: Case, ciphertext: bytes) -> Case:
    """The member where a server writes it."""
    ticket = payload.pop("ticket")
    return {**payload, "kem": b64u(ciphertext), "ticket": ticket}


def _tickets() -> Iterator[Case]:
    ticket = answered()["ticket"]
    for name, value in {
        "of 121 bytes": b64u(unb64u(ticket)[:-1]),
        "of 123 bytes": b64u(unb64u(ticket) + b"\0"),
        "padded": f"{ticket}=",
        "of no bytes": "",
        "with a plus": f"{ticket[:20]}+{ticket[21:]}",
        "with stray bits": ticket[:-1] + next_character(ticket[-1]),
    }.items():
        yield _bad(f"a ticket {name}", "R105", reply(payload=answered(ticket=value)))


def _keys() -> Iterator[Case]:
    """Identity keys that are none, at a client that has no pins. Another key signs."""
    unpinned = {"hello": hello(), "pins": None}
    point = P256_IDENTITY.jwk
    for name, jwk in {
        "off the curve": {**point, "y": b64u(flip(unb64u(point["y"]), 31))},
        "with a coordinate that is too large": point_jwk(TOO_LARGE),
    }.items():
        text = reply(header={"alg": "ES256", "jwk": jwk}, payload=answered(hello()))
        yield _bad(f"a P-256 identity key {name}", "R83", text, **unpinned)
    one = b"\1" + bytes(31)
    jwk = {**IDENTITY.jwk, "x": b64u(one)}
    signed = reply(header={"jwk": jwk}, payload=answered(hello())).rpartition(".")[0]
    text = f"{signed}.{b64u(one + bytes(32))}"
    yield _bad("an identity key of order 1", "R84", text, **unpinned)
    none = reply(header={"jwk": {**IDENTITY.jwk, "x": b64u(NO_POINT)}}, payload=answered(hello()))
    yield _bad("an identity key that is no point", "R88", none, **unpinned)
