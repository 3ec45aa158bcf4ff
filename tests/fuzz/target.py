"""One target for all that reads what a peer sends: the first byte says which parser gets the rest.

What is sealed or signed would be refused before anybody reads it, so half of the parsers get parts
that are sealed or signed here, as an honest key's owner could who writes what he likes.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flask_sealed.errors import ConfigError, Malformed, Refusal, Refused, SealedError
from flask_sealed.protocol import envelope, jwe
from flask_sealed.protocol.encoding import (
    Members,
    b64decode,
    b64encode,
    b64u_decode,
    b64u_encode,
    json_decode,
    json_encode,
    lv,
)
from flask_sealed.protocol.exchange import (
    ClientExchange,
    Opened,
    RequestSeal,
)
from flask_sealed.protocol.handshake import (
    ClientHandshake,
    answer_hello,
    open_ticket,
    seal_ticket,
)
from flask_sealed.protocol.jwk import thumbprint
from flask_sealed.protocol.keys import Key, KeyRing, level3_key
from flask_sealed.protocol.messages import Headers, Request, Response
from flask_sealed.protocol.records import MOST_PLAINTEXT, RecordOpener, RecordSealer

#: Stands between the parts of an input; UTF-8 has no such byte.
CUT = b"\xff"
NOW = 1_800_000_000
AUDIENCE = "https://bank.example"
SECRET = hashlib.sha256(b"secret").digest()
JTI = bytes(range(16))
RSALT = bytes(range(16, 32))
KEY = AESGCM(SECRET)
IV = bytes(12)

BINDING = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
IDENTITY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"identity").digest())
TICKET_SECRET = hashlib.sha256(b"ticket").digest()
TICKET_KEY = Key(kid=b64u_encode(bytes(8)), purpose="ticket", material=TICKET_SECRET)
RING = (
    KeyRing()
    .add(Key(kid="now", purpose="identity", material=IDENTITY), activate=True)
    .add(TICKET_KEY, activate=True)
    .add(Key(kid="billing", purpose="psk", material=SECRET, nbf=1, exp=2))
)
HANDSHAKE = ClientHandshake(
    BINDING,
    AUDIENCE,
    ephemeral=X25519PrivateKey.from_private_bytes(bytes([4]) * 32),
    kem=MLKEM768PrivateKey.from_seed_bytes(bytes([5]) * 64),
    pins=(thumbprint(IDENTITY.public_key()),),
)


def fixed(size: int) -> bytes:
    """The randomness of all messages here, so that inputs mean the same in every run."""
    return bytes(range(size))


def client() -> ClientExchange:
    return ClientExchange(SECRET, "billing", AUDIENCE, random=fixed)


def derive(half: bytes, salt: bytes) -> tuple[AESGCM, AESGCM, bytes]:
    """The keys of one half of an exchange: of the seal, of the body, and its base nonce."""
    info = b"flask-sealed/1 " + half + b"\0" + lv(AUDIENCE.encode())
    bits = HKDF(SHA256(), 76, salt, info).derive(SECRET)
    return AESGCM(bits[:32]), AESGCM(bits[32:64]), bits[64:]


REQUEST = derive(b"request", JTI)
RESPONSE = derive(b"response", JTI + RSALT)


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def split(data: bytes, parts: int) -> list[bytes]:
    found = data.split(CUT, parts - 1)
    return found + [b""] * (parts - len(found))


def compact(key: AESGCM, header: bytes, plaintext: bytes) -> str:
    """A seal of any header and any plaintext."""
    protected = b64u_encode(header)
    sealed = key.encrypt(IV, plaintext, protected.encode())
    return ".".join(
        (protected, "", b64u_encode(IV), b64u_encode(sealed[:-16]), b64u_encode(sealed[-16:]))
    )


def signed(key: Ed25519PrivateKey, header: bytes, payload: bytes) -> str:
    """A JWS of any header and any payload."""
    message = f"{b64u_encode(header)}.{b64u_encode(payload)}"
    return f"{message}.{b64u_encode(key.sign(message.encode()))}"


def read_jwe(data: bytes) -> None:
    parsed = jwe.parse(text(data), 6144)
    opened = jwe.open_(KEY, parsed)
    assert jwe.seal(KEY, parsed.header, opened, iv=parsed.iv).encode() == data


def read_request(data: bytes) -> None:
    seal, body = split(data, 2)
    server = RequestSeal(text(seal)).open(SECRET, AUDIENCE)
    server.check_target("POST", "/transfers")
    server.request.open_body(body)


def read_request_parts(data: bytes) -> None:
    header, claims, body = split(data, 3)
    server = RequestSeal(compact(REQUEST[0], header, claims)).open(SECRET, AUDIENCE)
    open_body(server.request, REQUEST, body)


def read_response(data: bytes) -> None:
    seal, body = split(data, 2)
    client().open(text(seal)).open_body(body)


def read_response_parts(data: bytes) -> None:
    header, claims, body = split(data, 3)
    opened = client().open(compact(RESPONSE[0], header, claims))
    open_body(opened, RESPONSE, body)


def open_body(
    opened: Opened[Request] | Opened[Response], keys: tuple[AESGCM, AESGCM, bytes], body: bytes
) -> None:
    if opened.body == "records":
        sealed = RecordSealer(keys[1], keys[2]).finish(body)
    elif opened.body == "envelope":
        sealed = envelope.seal(keys[1], body, iv=IV, aad=b"envelope")
    else:
        sealed = body
    assert opened.open_body(sealed) in body


def read_envelope(data: bytes) -> None:
    assert envelope.open_(KEY, data) == b"plaintext"


PLAINTEXT = (b"one", bytes(range(256)) * 3, bytes(MOST_PLAINTEXT), b"end")


def record_stream() -> bytes:
    sealer = RecordSealer(KEY, IV)
    return b"".join(map(sealer.seal, PLAINTEXT[:-1])) + sealer.finish(PLAINTEXT[-1])


STREAM = record_stream()


def read_stream(stream: bytes, step: int, length: int | None) -> bytes:
    opener, opened = RecordOpener(KEY, IV, length=length), b""
    for at in range(0, len(stream), step):
        opened += opener.feed(stream[at : at + step])
        assert b"".join(PLAINTEXT).startswith(opened)
    return opened + opener.finish()


def read_records(data: bytes) -> None:
    """Records in pieces: the first two bytes say of how many bytes, the third what length is
    expected, if any. All ways of cutting have one outcome."""
    step, said, stream = int.from_bytes(data[:2]) or 1, data[2:3], data[3:]
    length = None if said in (b"", b"\xff") else said[0]
    outcomes = [outcome(stream, size, length) for size in (step, 1, len(stream) or 1)]
    assert len(set(outcomes)) == 1
    if outcomes[0] is not None:
        raise Malformed(outcomes[0])


def outcome(stream: bytes, step: int, length: int | None) -> str | None:
    try:
        read_stream(stream, step, length)
    except Refusal as refusal:
        return refusal.code
    return None


def read_edited_records(data: bytes) -> None:
    """A good stream with edits of five bytes each: where, how many bytes go, what comes."""
    step, edits = 1 + int.from_bytes(data[:2]), data[2:]
    stream = bytearray(STREAM)
    for at in range(0, len(edits), 5):
        edit = edits[at : at + 5].ljust(5, b"\0")
        where = int.from_bytes(edit[:3]) % (len(STREAM) + 1)
        stream[where : where + edit[3] % 4] = edit[4:] if edit[3] & 4 else b""
    if len(stream) < step * 1000:  # else it takes long
        read_stream(bytes(stream), step, None)
        assert stream == STREAM


def read_ticket(data: bytes) -> None:
    open_ticket(text(data), RING, audience=AUDIENCE, now=NOW)


def read_ticket_parts(data: bytes) -> None:
    head, record = b"\x01" + bytes(8) + bytes(16), data[:81].ljust(81, b"\0")
    info = b"flask-sealed/1 ticket\0" + lv(AUDIENCE.encode())
    derived = AESGCM(HKDF(SHA256(), 32, head[9:], info).derive(TICKET_SECRET))
    read_ticket(b64u_encode(head + derived.encrypt(bytes(12), record, head)).encode())


def read_hello(data: bytes) -> None:
    answer_hello(text(data), RING, issuer=AUDIENCE, now=NOW, lifetime=60, random=fixed)


def read_hello_parts(data: bytes) -> None:
    read_hello(signed(BINDING, *split(data, 2)).encode())


def read_reply(data: bytes) -> None:
    HANDSHAKE.finish(text(data))


def read_reply_parts(data: bytes) -> None:
    read_reply(signed(IDENTITY, *split(data, 2)).encode())


def read_ring(data: bytes) -> None:
    ring = KeyRing.from_json(data)
    assert KeyRing.from_json(ring.to_json()).to_json() == ring.to_json()


def read_base64(data: bytes) -> None:
    assert b64encode(bytes(b64decode(data))) == data


def read_base64url(data: bytes) -> None:
    assert b64u_encode(b64u_decode(text(data))).encode() == data


def read_json(data: bytes) -> None:
    members = Members({}, {"s": str, "i": int, "a": list, "o": dict})
    value = json_decode(data, members)
    assert json_decode(json_encode(value), members) == value


def read_key(data: bytes) -> None:
    level3_key(text(data))


#: The parsers, in the order of the first byte, and what they may raise.
PARSERS: list[tuple[Callable[[bytes], None], type[SealedError]]] = [
    (read_jwe, Refusal),
    (read_request, Refusal),
    (read_request_parts, Refusal),
    (read_response, Refusal),
    (read_response_parts, Refusal),
    (read_envelope, Refusal),
    (read_records, Refusal),
    (read_edited_records, Refusal),
    (read_ticket, Refusal),
    (read_ticket_parts, Refusal),
    (read_hello, Refusal),
    (read_hello_parts, Refusal),
    (read_reply, Refusal),
    (read_reply_parts, Refusal),
    (read_base64, Refusal),
    (read_base64url, Refusal),
    (read_json, Refusal),
    (read_ring, ConfigError),
    (read_key, ConfigError),
]


def run(data: bytes) -> bool:
    """Give an input to its parser; whatever else than a refusal it raises escapes.

    :returns: whether the parser took it.
    """
    if not data:
        return False
    parse, family = PARSERS[data[0] % len(PARSERS)]
    failure = None
    try:
        parse(data[1:])
    except family as error:
        failure = error
    # Cryptographic failures have no context, whose frames monitoring would read.
    assert not (isinstance(failure, Refused) and failure.__context__)
    return failure is None


def seeds() -> list[bytes]:
    """Good inputs, at least one for each parser."""
    return [
        bytes([number]) + data
        for number, (parse, _) in enumerate(PARSERS)
        for data in SEEDS[parse]
    ]


def mutate(given: bytes, chance: random.Random) -> bytes:
    """An input for the same parser, with some bits flipped, and bytes gone, doubled, or taken from
    a good input."""
    data = bytearray(given)
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randint(1, len(data)), chance.choice((0, 1, 1, 2, 8))
        other = chance.choice(GOOD)
        start = chance.randint(1, len(other))
        data[at : at + size] = chance.choice(
            (
                b"",
                data[at : at + size] * 2,
                other[start : start + size],
                bytes(byte ^ 1 << chance.randrange(8) for byte in data[at : at + size]),
                chance.randbytes(size),
            )
        )
    return bytes(data)


def _request_seeds() -> tuple[list[bytes], list[bytes]]:
    whole, parts = [], []
    headers: Headers = (("authorization", "Bearer x"), ("accept", "text/plain"))
    request = Request(
        method="POST",
        target="/transfers",
        content_type="application/json",
        query="a=b",
        headers=headers,
        op=JTI,
    )
    stream = client().seal_stream(request, iat=NOW)
    padded = client().seal(request, bytes(17), iat=NOW, pad=True)
    empty = client().seal(replace(request, content_type=None), iat=NOW)
    for seal, body, content in (
        (stream.seal, stream.records.finish(b"{}"), b"{}"),
        (padded.seal, padded.body or b"", bytes(18)),
        (empty.seal, b"", b""),
    ):
        whole.append(seal.encode() + CUT + body)
        parts.append(opened_parts(REQUEST[0], seal) + CUT + content)
    return whole, parts


def _response_seeds() -> tuple[list[bytes], list[bytes]]:
    whole, parts = [], []
    asked = client().seal(Request(method="GET", target="/"), iat=NOW)
    server = RequestSeal(asked.seal).open(SECRET, AUDIENCE)
    few: Headers = (("etag", '"x"'), ("location", "/"))
    answer = Response(status=201, content_type="text/plain", headers=few)
    many = replace(answer, headers=(("link", "x" * 800),))

    def random(size: int) -> bytes:
        return (RSALT * 3)[:size]

    stream = server.seal_stream(many, random=random, length=3)
    envelope_ = server.seal(many, b"out", random=random)
    empty = server.seal(answer, random=random)
    head = json_encode(many.headers)
    for seal, body, content in (
        (stream.seal, stream.head + stream.records.finish(b"out"), head + b"out"),
        (envelope_.seal, envelope_.body or b"", head + b"out"),
        (empty.seal, b"", b""),
    ):
        whole.append(seal.encode() + CUT + body)
        parts.append(opened_parts(RESPONSE[0], seal) + CUT + content)
    return whole, parts


def opened_parts(key: AESGCM, seal: str) -> bytes:
    parsed = jwe.parse(seal, 6144)
    return parsed.header + CUT + jwe.open_(key, parsed)


def signed_parts(jws: str) -> bytes:
    header, payload, _ = jws.split(".")
    return b64u_decode(header) + CUT + b64u_decode(payload)


def _make_seeds() -> dict[Callable[[bytes], None], list[bytes]]:
    requests, request_parts = _request_seeds()
    responses, response_parts = _response_seeds()
    session, reply = answer_hello(
        HANDSHAKE.hello, RING, issuer=AUDIENCE, now=NOW, lifetime=60, random=fixed
    )
    record = b"".join(
        (session.secret, NOW.to_bytes(8), (NOW + 60).to_bytes(8), session.binding, b"\x01")
    )
    level3 = hashlib.sha256(SECRET).digest()
    short = RecordSealer(KEY, IV)
    stream = short.seal(b"one") + short.seal(PLAINTEXT[1][:70]) + short.finish()
    return {
        read_jwe: [jwe.seal(KEY, b"{}", b'{"a":1}', iv=IV).encode()],
        read_request: requests,
        read_request_parts: request_parts,
        read_response: responses,
        read_response_parts: response_parts,
        read_envelope: [envelope.seal(KEY, b"plaintext", iv=IV)],
        read_records: [b"\0\7\x49" + stream, b"\0\0\xff" + stream],
        read_edited_records: [b"\xff\xff", b"\x40\0" + bytes(5)],
        read_ticket: [seal_ticket(session, TICKET_KEY, audience=AUDIENCE, random=fixed).encode()],
        read_ticket_parts: [record],
        read_hello: [HANDSHAKE.hello.encode()],
        read_hello_parts: [signed_parts(HANDSHAKE.hello)],
        read_reply: [reply.encode()],
        read_reply_parts: [signed_parts(reply)],
        read_base64: [b64encode(SECRET)],
        read_base64url: [b64u_encode(bytes(range(240, 256))).encode()],
        read_json: [json.dumps({"s": "é\n", "i": 5, "a": [1, None], "o": {"b": True}}).encode()],
        read_ring: [RING.to_json()],
        read_key: [level3.hex().encode(), b64encode(level3)],
    }


SEEDS = _make_seeds()
GOOD = seeds()
