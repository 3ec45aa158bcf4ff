"""keyschedule.json: the keys of an exchange, a session's secret and its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .halves import (
    AUDIENCE,
    REQUEST,
    RESPONSE,
    SECRET,
    Keys,
    derive,
    iv_of,
    jti_of,
    jwe,
    keys,
    request_header,
    response_header,
    rsalt_of,
)
from .primitives import Case, b64u, ending, file, fixed, hkdf, lv, refused

DESCRIPTION = """
What HKDF-SHA256 makes of which secret, salt and info. Binary values are in hex.
`kind` `request` and `response`: the keys of one half of an exchange. `derived` is the seal key
(32 bytes), the body key (32) and the base nonce (12), one behind the other.
`session`: the secret of a session, from the shared secret of its handshake. `thumbprint` is the
identity key's, `epk` the server's ephemeral key, `kem` the ML-KEM ciphertext or nothing; its
SHA-256 is in `info`.
`sid`: the name of a session.
Invalid cases are seals whose keys were derived in another way. They are opened with `secret` and
`audience`, those of a response by the client that made the request `jti`.
"""


def keyschedule() -> Case:
    valid = [*_requests(), *_responses(), *_sessions(), *_sids()]
    return file(DESCRIPTION, valid, [*_wrong_requests(), *_wrong_responses()], _GIVEN)


_KEM = fixed("kem", 1088)
_GIVEN = {"secret": SECRET.hex(), "audience": AUDIENCE, "jti": jti_of("key schedule").hex()}
_GIVEN |= {"a_kem_ciphertext": _KEM.hex()}
_AUDIENCES = {
    "of a URL": AUDIENCE,
    "beyond ASCII": "https://bänk.example/💶",
    "of 255 bytes": "a" * 255,
}


def _requests() -> Iterator[Case]:
    for name, audience in _AUDIENCES.items():
        label = f"request, audience {name}"
        secret, jti = fixed(f"secret {label}", 32), jti_of(label)
        half = keys(REQUEST, jti, secret=secret, audience=audience)
        inputs = {"secret": secret.hex(), "audience": audience, "jti": jti.hex()}
        yield {"name": label, "kind": "request", **inputs, **_parts(half)}


def _responses() -> Iterator[Case]:
    for name in ("of a URL", "beyond ASCII"):
        audience = _AUDIENCES[name]
        label = f"response, audience {name}"
        secret, jti, rsalt = fixed(f"secret {label}", 32), jti_of(label), rsalt_of(label)
        half = keys(RESPONSE, jti + rsalt, secret=secret, audience=audience)
        inputs = {"secret": secret.hex(), "audience": audience, "jti": jti.hex()}
        yield {
            "name": label,
            "kind": "response",
            **inputs,
            "rsalt": rsalt.hex(),
            **_parts(half),
        }


def _parts(half: Keys) -> Case:
    parts = {"salt": half.salt, "info": half.info, "derived": half.derived}
    parts |= {"seal_key": half.seal, "body_key": half.body, "base_nonce": half.nonce}
    return {name: value.hex() for name, value in parts.items()}


def _sessions() -> Iterator[Case]:
    lengths = {
        "session, X25519": (32, 32, 0),
        "session, P-256": (32, 65, 0),
        "session, X25519 and ML-KEM-768": (64, 32, 1088),
    }
    for name, (shared_bytes, epk_bytes, kem_bytes) in lengths.items():
        shared = fixed(f"shared {name}", shared_bytes)
        hello = ".".join(b64u(fixed(f"{part} {name}", 24)) for part in ("a", "b", "c"))
        bound = (fixed(f"thumbprint {name}", 32), fixed(f"epk {name}", epk_bytes))
        kem = _KEM[:kem_bytes]
        salt = hashlib.sha256(hello.encode()).digest()
        hashed = hashlib.sha256(kem).digest() if kem else b""
        info = b"flask-sealed/1 session\0" + b"".join(map(lv, (AUDIENCE.encode(), *bound, hashed)))
        parts = {"shared": shared, "thumbprint": bound[0], "epk": bound[1], "kem": kem}
        made = {"salt": salt, "info": info, "secret": hkdf(shared, salt, info, 32)}
        yield {
            "name": name,
            "kind": "session",
            "hello": hello,
            "iss": AUDIENCE,
            **{
                member: ending(value, kem, "a_kem_ciphertext")
                for member, value in (parts | made).items()
            },
        }


def _sids() -> Iterator[Case]:
    for number in (1, 2):
        secret = fixed(f"sid {number}", 32)
        derived = hkdf(secret, bytes(32), b"flask-sealed/1 sid\0", 16)
        yield {
            "name": f"sid {number}",
            "kind": "sid",
            "secret": secret.hex(),
            "info": b"flask-sealed/1 sid\0".hex(),
            "derived": derived.hex(),
            "sid": b64u(derived),
        }


def _wrong_requests() -> Iterator[Case]:
    label = "key schedule"
    jti, heard = jti_of(label), lv(AUDIENCE.encode())
    other, nul = fixed("another secret", 32), REQUEST[:-1]
    right = keys(REQUEST, jti)
    ways = {
        "another secret": derive(other, jti, REQUEST + heard),
        "another audience": keys(REQUEST, jti, audience="https://bank.exampl"),
        "an audience with a slash behind": keys(REQUEST, jti, audience=f"{AUDIENCE}/"),
        "an audience in upper case": keys(REQUEST, jti, audience=AUDIENCE.upper()),
        "an audience without its length": derive(SECRET, jti, REQUEST + heard[2:]),
        "an audience with a length of one byte": derive(SECRET, jti, REQUEST + heard[1:]),
        "an audience with a length in little-endian": derive(
            SECRET, jti, REQUEST + heard[1::-1] + heard[2:]
        ),
        "no audience": derive(SECRET, jti, REQUEST),
        "a label without its zero": derive(SECRET, jti, nul + heard),
        "the label of a response": keys(RESPONSE, jti),
        "the label of a later version": derive(SECRET, jti, REQUEST.replace(b"/1", b"/2") + heard),
        "no label": derive(SECRET, jti, heard),
        "another jti as salt": keys(REQUEST, jti_of("another jti")),
        "no salt": keys(REQUEST, b""),
        "the jti in base64url as salt": keys(REQUEST, b64u(jti).encode()),
        "salt and secret exchanged": derive(jti, SECRET, REQUEST + heard),
        "the body key": right._replace(derived=right.body + right.seal),
        "the secret itself": right._replace(derived=SECRET),
    }
    for name, half in ways.items():
        yield _wrong(f"request, {name}", "request", half, jti, request_header(jti), "{}")


def _wrong_responses() -> Iterator[Case]:
    label = "key schedule"
    jti, rsalt = jti_of(label), rsalt_of(label)
    right = keys(RESPONSE, jti + rsalt)
    other = fixed("another secret", 32)
    ways = {
        "another secret": keys(RESPONSE, jti + rsalt, secret=other),
        "another audience": keys(RESPONSE, jti + rsalt, audience="https://bank.exampl"),
        "the label of a request": keys(REQUEST, jti + rsalt),
        "the keys of the request": keys(REQUEST, jti),
        "the salt without rsalt": keys(RESPONSE, jti),
        "the salt without jti": keys(RESPONSE, rsalt),
        "rsalt ahead of jti": keys(RESPONSE, rsalt + jti),
        "another rsalt": keys(RESPONSE, jti + rsalt_of("another rsalt")),
        "the jti of another request": keys(RESPONSE, jti_of("another jti") + rsalt),
        "the body key": right._replace(derived=right.body + right.seal),
    }
    header = response_header(jti, rsalt)
    for name, half in ways.items():
        yield _wrong(f"response, {name}", "response", half, jti, header, '{"status":204}')


def _wrong(name: str, kind: str, half: Keys, jti: bytes, header: Case, claims: str) -> Case:
    return {
        "name": name,
        "kind": kind,
        "secret": SECRET.hex(),
        "audience": AUDIENCE,
        **({"jti": jti.hex()} if kind == "response" else {}),
        "seal": jwe(half.seal, header, claims, iv_of(name)),
        **refused("R28"),
    }
