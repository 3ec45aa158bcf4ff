"""handshake.json: hellos with one fault each."""

from __future__ import annotations

from collections.abc import Iterator

from .dialogue import (
    BINDING,
    CLIENT,
    HELLO,
    IDENTITY,
    KEM_PUBLIC,
    P256_BINDING,
    P256_IDENTITY,
    REPLY,
    STRANGER,
    hello,
    hello_payload,
    pinned,
)
from .halves import NOW, as_text
from .jws import Ephemeral, header_of, jws, point_jwk, x25519_jwk
from .primitives import Case, b64u, compact, flip, next_character, refused, unb64u

# Points whose multiples by any private key are all zeros (RFC 7748, section 6.1), in all forms.
LOW_ORDER = {
    "zeros": bytes(32),
    "zeros and the bit that does not count": bytes(31) + b"\x80",
    "one": b"\1" + bytes(31),
    "a point of order 8": bytes.fromhex(
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
    ),
    "another point of order 8": bytes.fromhex(
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"
    ),
    "p - 1": (2**255 - 20).to_bytes(32, "little"),
    "p": (2**255 - 19).to_bytes(32, "little"),
    "p + 1": (2**255 - 18).to_bytes(32, "little"),
}
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ZERO_X_Y = bytes.fromhex("66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4")
# P-256's point with x = 0, whose x is written too large.
TOO_LARGE = b"\4" + _P.to_bytes(32, "big") + _ZERO_X_Y
# The y of no point of Ed25519: 2.
NO_POINT = b"\2" + bytes(31)
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def hello_faults() -> Iterator[Case]:
    for group in (_form, _signatures, _headers, _keys, _payloads, _ephemerals, _kems, _pins):
        yield from group()


def bad(name: str, row: str, text: object, **changes: object) -> Case:
    return {"name": f"hello: {name}", "hello": text, **changes, **refused(row)}


def forms(text: str) -> dict[str, tuple[str, str]]:
    """A message whose form is broken, in each way, behind the row of this."""
    header, payload, signature = text.split(".")
    stray = signature[:-1] + next_character(signature[-1])
    return {
        "empty": ("R80", ""),
        "two parts": ("R80", f"{header}.{payload}"),
        "no signature": ("R87", f"{header}.{payload}."),
        "a signature of 63 bytes": ("R87", f"{header}.{payload}.{b64u(unb64u(signature)[:-1])}"),
        "a signature of 65 bytes": ("R87", f"{header}.{payload}.{b64u(unb64u(signature) + b'0')}"),
        "stray bits in the signature": ("R2", f"{header}.{payload}.{stray}"),
        "padding": ("R1", f"{text}=="),
        "a space behind": ("R1", f"{text} "),
    }


def _form() -> Iterator[Case]:
    text = hello()
    for name, (row, broken) in forms(text).items():
        yield bad(name, row, broken)
    yield bad("beyond ASCII", "R1", f"ä{text}")
    yield bad("8193 characters", "R79", {"repeat": ["A", 8193]})
    yield bad("8192 characters that are none", "R80", {"repeat": ["A", 8192]})


def _signatures() -> Iterator[Case]:
    header, payload, signature = hello().split(".")
    raw = unb64u(signature)
    larger = int.from_bytes(raw[32:], "little") + _ED25519_ORDER
    other = b64u(as_text(hello_payload(epk=Ephemeral("X25519", "other").jwk)))
    signatures = {
        "a bit of the signature's first half flipped": flip(raw, 0),
        "a bit of the signature's second half flipped": flip(raw, 32),
        "a signature of zeros": bytes(64),
        "a signature by another key": STRANGER.sign(f"{header}.{payload}".encode()),
        "a signature whose S is not reduced": raw[:32] + larger.to_bytes(32, "little"),
    }
    for name, changed in signatures.items():
        yield bad(name, "R88", f"{header}.{payload}.{b64u(changed)}")
    yield bad("another payload than signed", "R88", f"{header}.{other}.{signature}")
    yield bad("a detached payload", "R88", f"{header}..{signature}")
    turned = b64u(as_text(dict(reversed(header_of(BINDING, HELLO).items()))))
    yield bad("a header in another order than signed", "R88", f"{turned}.{payload}.{signature}")
    header, payload, signature = hello(P256_BINDING).split(".")
    raw = unb64u(signature)
    for name, changed in {
        "an ES256 signature of zeros": bytes(64),
        "an ES256 signature whose s is 0": raw[:32] + bytes(32),
        "a bit of an ES256 signature flipped": flip(raw, 40),
    }.items():
        yield bad(name, "R88", f"{header}.{payload}.{b64u(changed)}")
    der = b"\x30\x44\x02\x20" + raw[:32] + b"\x02\x20" + raw[32:]
    yield bad("an ES256 signature in DER", "R87", f"{header}.{payload}.{b64u(der)}")


def _headers() -> Iterator[Case]:
    changes: dict[str, tuple[str, Case]] = {
        "alg none": ("R85", {"alg": "none"}),
        "alg ES256, and a key for EdDSA": ("R85", {"alg": "ES256"}),
        "alg HS256": ("R85", {"alg": "HS256"}),
        "no alg": ("R8", {"alg": None}),
        "the typ of a reply": ("R86", {"typ": REPLY}),
        "no typ": ("R8", {"typ": None}),
        "no jwk": ("R8", {"jwk": None}),
        "jwk as a text": ("R9", {"jwk": compact(BINDING.jwk)}),
        "a kid in the header": ("R81", {"kid": "a"}),
        "crit in the header": ("R81", {"crit": ["exp"]}),
    }
    for name, (row, change) in changes.items():
        yield bad(name, row, hello(header=change))
    text = hello(P256_BINDING, header={"alg": "EdDSA"})
    yield bad("alg EdDSA, and a key for ES256", "R85", text)
    header = compact(header_of(BINDING, HELLO))
    texts = {
        "alg twice in the header": ("R7", header[:-1] + ',"alg":"EdDSA"}'),
        "crv twice in the jwk": ("R7", header.replace('"crv"', '"crv":"Ed25519","crv"')),
        "a byte order mark ahead of the header": ("R4", f"\ufeff{header}"),
    }
    for name, (row, changed) in texts.items():
        yield bad(name, row, jws(BINDING, changed, hello_payload()))


def _keys() -> Iterator[Case]:
    """Binding keys that are none. Where there is no private key to them, another one signs."""
    jwk, point = BINDING.jwk, P256_BINDING.jwk
    raw = unb64u(jwk["x"])
    keys: dict[str, object] = {
        "private": {**jwk, "d": b64u(BINDING.private)},
        "with a kid": {**jwk, "kid": "a"},
        "of 31 bytes": {**jwk, "x": b64u(raw[:-1])},
        "of 33 bytes": {**jwk, "x": b64u(raw + b"\0")},
        "without x": {"kty": "OKP", "crv": "Ed25519"},
        "of Ed448": {**jwk, "crv": "Ed448"},
        "of X25519": {**jwk, "crv": "X25519"},
        "of RSA": {"kty": "RSA", "n": jwk["x"], "e": "AQAB"},
    }
    for name, value in keys.items():
        yield bad(f"a binding key {name}", "R82", hello(header={"jwk": value}))
    for name, (row, value) in {
        "without y": ("R82", {name: point[name] for name in ("kty", "crv", "x")}),
        "of secp256k1": ("R82", {**point, "crv": "secp256k1"}),
        "off the curve": ("R83", {**point, "y": b64u(flip(unb64u(point["y"]), 31))}),
        "with a coordinate that is too large": ("R83", point_jwk(TOO_LARGE)),
        "of zeros": ("R83", point_jwk(bytes(65))),
    }.items():
        text = hello(P256_BINDING, header={"jwk": value})
        yield bad(f"a P-256 binding key {name}", row, text)
    yield from _small_keys()


def _small_keys() -> Iterator[Case]:
    """Keys of small order: one signature stands for every message, where one verifies laxly."""
    one, zeros = b"\1" + bytes(31), bytes(32)
    for name, public in {
        "of order 1": one,
        "of order 2": (2**255 - 20).to_bytes(32, "little"),
        "of order 4": zeros,
        "of order 1, too large": (2**255 - 18).to_bytes(32, "little"),
    }.items():
        jwk = {**BINDING.jwk, "x": b64u(public)}
        signed = hello(header={"jwk": jwk}).rpartition(".")[0]
        yield bad(f"a binding key {name}", "R84", f"{signed}.{b64u(one + zeros)}")
    none = hello(header={"jwk": {**BINDING.jwk, "x": b64u(NO_POINT)}})
    yield bad("a binding key that is no point", "R88", none)


def _payloads() -> Iterator[Case]:
    changes: dict[str, tuple[str, Case]] = {
        "version 0": ("R89", {"v": 0}),
        "version 2": ("R89", {"v": 2}),
        "a version as text": ("R9", {"v": "1"}),
        "a version as fraction": ("R10", {"v": 1.0}),
        "no version": ("R8", {"v": None}),
        "no aud": ("R8", {"aud": None}),
        "aud as a list": ("R9", {"aud": ["https://bank.example"]}),
        "no epk": ("R8", {"epk": None}),
        "an unknown member: sub": ("R6", {"sub": "a"}),
    }
    for name, (row, change) in changes.items():
        yield bad(name, row, hello(payload=hello_payload(**change)))
    for name, audience in {
        "another audience": "https://shop.example",
        "an audience with a slash behind": "https://bank.example/",
        "an empty audience": "",
    }.items():
        yield bad(name, "R90", hello(payload=hello_payload(aud=audience)))
    yield bad("signed by the identity key", "R93", hello(IDENTITY))
    yield bad("signed by an identity key that is not active", "R93", hello(P256_IDENTITY))
    yield from _texts(compact(hello_payload()))


def _texts(text: str) -> Iterator[Case]:
    texts: dict[str, tuple[str, str | bytes]] = {
        "no payload": ("R5", ""),
        "an array": ("R5", f"[{text}]"),
        "v twice": ("R7", f'{text[:-1]},"v":1}}'),
        "a byte order mark": ("R4", f"\ufeff{text}"),
        "Latin-1": ("R4", text.replace("bank", "bänk").encode("latin-1")),
    }
    for name, (row, payload) in texts.items():
        changed = jws(BINDING, header_of(BINDING, HELLO), payload)
        yield bad(f"payload: {name}", row, changed)


def _ephemerals() -> Iterator[Case]:
    point = Ephemeral("P-256", "client").public
    for name, raw in LOW_ORDER.items():
        yield _epk(f"of low order: {name}", "R95", x25519_jwk(raw))
    for name, raw in {
        "P-256, off the curve": flip(point, 64),
        "P-256, with a coordinate that is too large": TOO_LARGE,
        "P-256, of zeros": bytes(65),
    }.items():
        yield _epk(name, "R95", point_jwk(raw))
    jwk, x = CLIENT.jwk, CLIENT.public
    for name, value in {
        "of 31 bytes": {**jwk, "x": b64u(x[:-1])},
        "of 33 bytes": {**jwk, "x": b64u(x + b"\0")},
        "of Ed25519": {**jwk, "crv": "Ed25519"},
        "with a kid": {**jwk, "kid": "a"},
        "private": {**jwk, "d": b64u(CLIENT.private)},
        "P-256, without y": {"kty": "EC", "crv": "P-256", "x": b64u(point[1:33])},
        "P-256, compressed": {"kty": "EC", "crv": "P-256", "x": b64u(b"\2" + point[1:33])},
    }.items():
        yield _epk(name, "R94", value)


def _epk(name: str, row: str, value: object) -> Case:
    return bad(f"an ephemeral key {name}", row, hello(payload=hello_payload(epk=value)))


def _kems() -> Iterator[Case]:
    large = b"\xff\xff\xff" + KEM_PUBLIC[3:]
    keys: dict[str, tuple[str, object]] = {
        "empty": ("R97", ""),
        "of 1183 bytes": ("R97", b64u(KEM_PUBLIC[:-1])),
        "of 1185 bytes": ("R97", b64u(KEM_PUBLIC + b"\0")),
        "as a number": ("R9", 5),
        "with a coefficient that is too large": ("R98", b64u(large)),
    }
    for name, (row, value) in keys.items():
        text = hello(payload=hello_payload(kem=value))
        yield bad(f"an ML-KEM key {name}", row, text)


def _pins() -> Iterator[Case]:
    pin = pinned(IDENTITY)[0]
    pins: dict[str, object] = {
        "no pins in the list": [],
        "five pins": [pin] * 5,
        "a pin of 31 bytes": [b64u(IDENTITY.thumbprint[:-1])],
        "a pin of 33 bytes": [b64u(IDENTITY.thumbprint + b"\0")],
        "a pin as a number": [5],
        "a wrong pin behind a right one": [pin, "A"],
    }
    for name, value in pins.items():
        yield bad(name, "R91", hello(payload=hello_payload(pins=value)))
    yield bad("pins as a text", "R9", hello(payload=hello_payload(pins=pin)))
    nobody = hello(payload=hello_payload(pins=pinned(STRANGER)))
    yield bad("pins of another service", "R92", nobody)
    yield from _times()


def _times() -> Iterator[Case]:
    """Identity keys that are of no use now."""
    one = hello(payload=hello_payload(pins=pinned(IDENTITY)))
    other = hello(payload=hello_payload(pins=pinned(P256_IDENTITY)))
    gone = _identities(IDENTITY.shown(exp=NOW), P256_IDENTITY.shown())
    yield bad("a pin of a key that is of no use since this second", "R92", one, **gone)
    future = _identities(IDENTITY.shown(), P256_IDENTITY.shown(nbf=NOW + 1))
    yield bad("a pin of a key that is used from the next second on", "R92", other, **future)


def _identities(*keys: Case) -> Case:
    return {"identities": list(keys)}
