"""ticket.json: the server's own encrypted record of a session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .halves import AUDIENCE, NOW
from .primitives import Case, b64u, file, fixed, flip, gcm, hkdf, invalid, lv, next_character

DESCRIPTION = """
Tickets: what only a server makes and opens. Binary values are in hex.
`keys` are the ticket keys that the server holds: the name of 8 bytes, the key of 32 bytes, and
`exp`, from when on it is of no use, where there is such a time. `now` is the server's clock, in
seconds since 1970, and `audience` its name.
`head` (version, name of the key, salt) is the associated data; `key` is derived from the ticket
key; `record` (secret, start, end, thumbprint of the binding key, flags) is the plaintext.
A server opens a ticket from 10 s before its `iat`, since clocks differ, until its `exp`.
"""
KEY_ID = fixed("ticket key id", 8)
KEY = fixed("ticket key", 32)


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A ticket, and each way to make it differently."""

    label: str
    agreed: bytes = b""
    signer: bytes = b""
    audience: str = AUDIENCE
    version: int = 1
    key_id: bytes = KEY_ID
    key: bytes = KEY
    iat: int = NOW
    exp: int = NOW + 3600
    flags: int = 0

    @property
    def secret(self) -> bytes:
        return self.agreed or fixed(f"ticket secret {self.label}", 32)

    @property
    def binding(self) -> bytes:
        return self.signer or fixed(f"ticket binding {self.label}", 32)

    @property
    def salt(self) -> bytes:
        return fixed(f"ticket salt {self.label}", 16)

    @property
    def head(self) -> bytes:
        return bytes([self.version]) + self.key_id + self.salt

    @property
    def info(self) -> bytes:
        return b"flask-sealed/1 ticket\0" + lv(self.audience.encode())

    @property
    def derived(self) -> bytes:
        return hkdf(self.key, self.salt, self.info, 32)

    @property
    def record(self) -> bytes:
        times = self.iat.to_bytes(8, "big") + self.exp.to_bytes(8, "big")
        return self.secret + times + self.binding + bytes([self.flags])

    @property
    def raw(self) -> bytes:
        return self.head + gcm(self.derived, bytes(12), self.record, self.head)


def ticket() -> Case:
    return file(DESCRIPTION, _valid(), [*_form(), *_unknown(), *_changed(), *_times()], _GIVEN)


def _valid() -> Iterator[Case]:
    plain = Ticket(label="plain")
    yield _good("a session", plain)
    yield _good("a session with ML-KEM-768", Ticket(label="kem", flags=1))
    beyond = Ticket(label="beyond", audience="https://bänk.example/💶")
    yield _good("an audience beyond ASCII", beyond)
    yield _good("the longest session, 12 h", Ticket(label="long", exp=NOW + 43_200))
    yield _good("10 s ahead of its start", Ticket(label="ahead"), now=NOW - 10)
    yield _good("in its last second", Ticket(label="last"), now=NOW + 3599)
    expiring = [_key(exp=NOW + 6)]
    yield _good("in the last second of its key", Ticket(label="last key"), keys=expiring)
    others = [_key(id=fixed("other id", 8).hex(), key=fixed("other key", 32).hex()), _key()]
    yield _good("under the second of two keys", Ticket(label="second"), keys=others)


def _key(**changes: object) -> Case:
    return {"id": KEY_ID.hex(), "key": KEY.hex(), **changes}


_GIVEN: Case = {"keys": [_key()], "audience": AUDIENCE, "now": NOW + 5}


def _good(name: str, made: Ticket, **changes: object) -> Case:
    parts = {"secret": made.secret, "binding": made.binding, "salt": made.salt}
    parts |= {"head": made.head, "info": made.info, "key": made.derived, "record": made.record}
    return {
        "name": name,
        **_GIVEN,
        "audience": made.audience,
        "iat": made.iat,
        "exp": made.exp,
        "kem": made.flags == 1,
        **{part: value.hex() for part, value in parts.items()},
        "ticket": b64u(made.raw),
        **changes,
    }


def _bad(name: str, row: str, sealed: str | bytes, **changes: object) -> Case:
    text = sealed if isinstance(sealed, str) else b64u(sealed)
    return invalid(name, row, {**_GIVEN, "ticket": text}, **changes)


def _form() -> Iterator[Case]:
    made = Ticket(label="form")
    text = b64u(made.raw)
    # Two bits of the last character belong to no byte.
    stray = text[:-1] + next_character(text[-1])
    forms = {
        "empty": ("R30", ""),
        "a character less": ("R30", text[:-1]),
        "a character more": ("R30", f"{text}A"),
        "121 bytes": ("R30", b64u(made.raw[:-1])),
        "123 bytes": ("R30", b64u(made.raw + b"\0")),
        "padded": ("R30", f"{text}="),
        "stray bits": ("R33", stray),
        "a plus": ("R33", f"{text[:20]}+{text[21:]}"),
        "a slash": ("R33", f"{text[:20]}/{text[21:]}"),
        "a space": ("R30", f"{text[:20]} {text[21:]}"),
        "a dot": ("R33", f"{text[:20]}.{text[21:]}"),
        "a character beyond ASCII": ("R30", f"{text[:20]}ä{text[21:]}"),
        "a line end behind": ("R30", f"{text[:-1]}\n"),
    }
    for name, (row, sealed) in forms.items():
        yield _bad(name, row, sealed)


def _unknown() -> Iterator[Case]:
    made = Ticket(label="unknown")
    other = fixed("other ticket key", 32)
    tickets = {
        "an unknown key": replace(made, key_id=fixed("unknown id", 8)),
        "another key of the same name": replace(made, key=other),
        "another audience": replace(made, audience="https://shop.example"),
        "version 0": replace(made, version=0),
        "version 2": replace(made, version=2),
        "an unknown flag": replace(made, flags=2),
        "an unknown flag beside a known one": replace(made, flags=0x81),
    }
    for name, sealed in tickets.items():
        yield _bad(name, "R34", sealed.raw)
    yield _bad("a server without keys", "R34", made.raw, keys=[])


def _changed() -> Iterator[Case]:
    made = Ticket(label="changed")
    head, record = made.head, made.record
    places = {"version": 0, "key's name": 1, "salt": 9, "ciphertext": 25, "tag": -1}
    for part, at in places.items():
        yield _bad(f"a bit of the {part} flipped", "R34", flip(made.raw, at))
    old = hkdf(KEY, made.salt, b"flask-sealed/1 ticket\0", 32)
    unlabelled = hkdf(KEY, made.salt, lv(AUDIENCE.encode()), 32)
    unsalted = hkdf(KEY, b"", made.info, 32)
    ways = {
        "no associated data": gcm(made.derived, bytes(12), record),
        "the version as associated data": gcm(made.derived, bytes(12), record, head[:1]),
        "the salt as nonce": gcm(made.derived, made.salt[:12], record, head),
        "under the ticket key itself": gcm(KEY, bytes(12), record, head),
        "under a key without the audience": gcm(old, bytes(12), record, head),
        "under a key without the label": gcm(unlabelled, bytes(12), record, head),
        "under a key without the salt": gcm(unsalted, bytes(12), record, head),
        "a record in clear": record + bytes(16),
    }
    for name, sealed in ways.items():
        yield _bad(name, "R34", head + sealed)
    tagged = made.raw[:25] + made.raw[-16:] + made.raw[25:-16]
    yield _bad("the tag ahead of the ciphertext", "R34", tagged)


def _times() -> Iterator[Case]:
    made = Ticket(label="times").raw
    yield _bad("over since this second", "R34", made, now=NOW + 3600)
    yield _bad("over for long", "R34", made, now=NOW + 100_000)
    yield _bad("11 s ahead of its start", "R34", made, now=NOW - 11)
    gone = [_key(exp=NOW + 5)]
    yield _bad("a key that is of no use since this second", "R34", made, keys=gone)
    backwards = Ticket(label="backwards", exp=NOW).raw
    yield _bad("an end that is its start", "R34", backwards, now=NOW)
