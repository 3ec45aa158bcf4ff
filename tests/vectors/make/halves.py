"""Both halves of an exchange: keys, seals and bodies, in order or with faults."""

from __future__ import annotations

from typing import NamedTuple

from .primitives import Case, b64, b64u, compact, fixed, gcm, hkdf, lv
from .records import stream

SECRET = fixed("exchange secret", 32)
KID = "k"
AUDIENCE = "https://bank.example"
JSON = "application/json"
NOW = 1_800_000_000
REQUEST = b"flask-sealed/1 request\0"
RESPONSE = b"flask-sealed/1 response\0"


class Keys(NamedTuple):
    """What HKDF makes for one half, and what it makes it of."""

    salt: bytes
    info: bytes
    derived: bytes

    @property
    def seal(self) -> bytes:
        return self.derived[:32]

    @property
    def body(self) -> bytes:
        return self.derived[32:64]

    @property
    def nonce(self) -> bytes:
        return self.derived[64:]


def keys(label: bytes, salt: bytes, *, secret: bytes = SECRET, audience: str = AUDIENCE) -> Keys:
    return derive(secret, salt, label + lv(audience.encode()))


def derive(secret: bytes, salt: bytes, info: bytes) -> Keys:
    return Keys(salt, info, hkdf(secret, salt, info, 76))


def jti_of(label: str) -> bytes:
    return fixed(f"jti {label}", 16)


def rsalt_of(label: str) -> bytes:
    return fixed(f"rsalt {label}", 16)


def iv_of(label: str) -> bytes:
    return fixed(f"iv {label}", 12)


def changed(members: Case, changes: Case) -> Case:
    """Members with changes; ``None`` removes one."""
    return {name: value for name, value in (members | changes).items() if value is not None}


def request_header(jti: bytes, /, **changes: object) -> Case:
    """The header of a GET without a body, with changes."""
    members = {
        "alg": "dir",
        "enc": "A256GCM",
        "typ": "sealed-request",
        "kid": KID,
        "jti": b64u(jti),
        "iat": NOW,
        "htm": "GET",
        "target": "/t",
    }
    return changed(members, changes)


def response_header(jti: bytes, rsalt: bytes, /, **changes: object) -> Case:
    """The header of a response without a body, with changes."""
    members = {
        "alg": "dir",
        "enc": "A256GCM",
        "typ": "sealed-response",
        "jti": b64u(jti),
        "rsalt": b64u(rsalt),
    }
    return changed(members, changes)


def as_text(value: Case | str | bytes) -> bytes:
    """JSON text of members, or any other text in their place."""
    if isinstance(value, dict):
        value = compact(value)
    return value if isinstance(value, bytes) else value.encode()


def start(header: Case) -> str:
    """What a seal with this header starts with."""
    return b64u(as_text(header)) + ".."


def jwe(key: bytes, header: Case | str | bytes, plaintext: Case | str | bytes, iv: bytes) -> str:
    """A compact JWE."""
    protected = b64u(as_text(header))
    sealed = gcm(key, iv, as_text(plaintext), protected.encode())
    return f"{protected}..{b64u(iv)}.{b64u(sealed[:-16])}.{b64u(sealed[-16:])}"


def envelope(key: bytes, plaintext: bytes, iv: bytes, aad: bytes = b"envelope") -> str:
    sealed = gcm(key, iv, plaintext, aad)
    return compact({"data": b64(iv + sealed[-16:] + sealed[:-16])})


def sealed_body(half: Keys, content: bytes | list[bytes], iv: bytes) -> Case:
    """An envelope of bytes, or a stream of records."""
    if isinstance(content, list):
        return {"records": b"".join(stream(content, half.body, half.nonce)).hex()}
    return {"envelope": envelope(half.body, content, iv)}


#: The request that all cases with faults are about, its response, and the keys of both.
JTI = jti_of("exchange")
RSALT = rsalt_of("exchange")
ASK = keys(REQUEST, JTI)
ANSWER = keys(RESPONSE, JTI + RSALT)
OP = fixed("op", 16)
#: What stands once for all these cases.
GIVEN: Case = {
    "half": "request",
    "secret": SECRET.hex(),
    "kid": KID,
    "audience": AUDIENCE,
    "jti": JTI.hex(),
    "now": NOW,
    "routed": {"method": "POST", "target": "/t"},
    "store": {"begun": NOW - 3600, "seen": []},
}
_POST = {"htm": "POST", "target": "/t", "body": "envelope"}
_KINDS = {"": None, "envelope_": "envelope", "records_": "records"}
#: What most of their seals start with.
STARTS: Case = {
    f"{half}_{kind}start": start({**header, **({"body": body} if body else {})})
    for half, header in (
        ("request", request_header(JTI, htm="POST")),
        ("response", response_header(JTI, RSALT)),
    )
    for kind, body in _KINDS.items()
}
_CLAIMS = {"cty": JSON, "op": b64u(OP)}


def request(
    label: str,
    *,
    header: Case | None = None,
    claims: Case | str | bytes | None = None,
    content: bytes | list[bytes] | None = b'{"amount":5}',
    sealed_with: Keys = ASK,
    body_with: Keys = ASK,
) -> Case:
    """What a server is given: a POST with an envelope, and changes in it.

    :param claims: changes, or a text in the place of all.
    :param content: the plaintext of the body, or of records; ``None`` where no body comes.
    """
    members = request_header(JTI, **{**_POST, **(header or {})})
    if claims is None or isinstance(claims, dict):
        claims = changed(_CLAIMS, claims or {})
    return {
        **GIVEN,
        "seal": jwe(sealed_with.seal, members, claims, iv_of(label)),
        **({} if content is None else sealed_body(body_with, content, iv_of(f"{label} body"))),
    }


def response(
    label: str,
    *,
    header: Case | None = None,
    claims: Case | str | bytes | None = None,
    content: bytes | list[bytes] | None = b'{"done":1}',
    sealed_with: Keys = ANSWER,
    body_with: Keys = ANSWER,
) -> Case:
    """What a client is given: a response with an envelope, and changes as in a request."""
    members = response_header(JTI, RSALT, **{"body": "envelope", **(header or {})})
    if claims is None or isinstance(claims, dict):
        claims = changed({"status": 200, "cty": JSON}, claims or {})
    return {
        **GIVEN,
        "half": "response",
        "seal": jwe(sealed_with.seal, members, claims, iv_of(label)),
        **({} if content is None else sealed_body(body_with, content, iv_of(f"{label} body"))),
    }
