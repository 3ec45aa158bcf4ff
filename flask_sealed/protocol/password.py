"""A session whose secret travels under a password: for clients that have no pin, and whose user
types a password anyway.

**Weaker than a handshake.** Who has the answer to a login can guess passwords without asking
anyone, and who can read the request of the login has the password itself.

It is a compact JWE, ``PBES2-HS512+A256KW`` with ``A256GCM`` (RFC 7518, section 4.8), over a JSON
object: the session's secret, its ticket, when it begins and ends, and the audience. The session
has no key of the client's that outlives it; what stands for one comes from its secret.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from ..errors import ConfigError, Malformed, Refused, TooLarge
from .encoding import Members, b64u_decode, b64u_encode, json_decode, json_encode
from .exchange import SECRET_BYTES
from .handshake import TICKET_CHARACTERS, Random, Session, seal_ticket, session_end
from .hkdf import hkdf
from .jwe import IV_BYTES, TAG_BYTES
from .keys import KeyRing

#: How often the password is hashed: at least, as often as a server asks, and at the most.
ITERATIONS = 210_000
MOST_ITERATIONS = 1_000_000
_SALT_BYTES = 16
_WRAPPED_BYTES = 40
_MOST_CHARACTERS = 2048
_FIXED = {"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "typ": "sealed-password-session"}
_HEADER = Members({"alg": str, "enc": str, "typ": str, "p2c": int, "p2s": str})
_MEMBERS = Members({"secret": str, "ticket": str, "iat": int, "exp": int, "aud": str})


@dataclass(frozen=True, slots=True)
class PasswordSession:
    """A session as its client has it; its ``repr`` has no secret."""

    secret: bytes = field(repr=False)
    ticket: str = field(repr=False)
    #: When it was made and when it ends, in seconds since 1970 on the server's clock.
    iat: int
    exp: int
    audience: str


def new_password_session(
    ring: KeyRing, *, audience: str, now: int, lifetime: int, random: Random
) -> PasswordSession:
    """Make a session without a handshake.

    :param audience: the name of this service.
    :param now: seconds since 1970.
    :param lifetime: of the session, in seconds; 12 hours at the most.
    :param random: gives as many random bytes as it is asked for.
    :raises ConfigError: where no ticket key is in use.
    """
    key = ring.current("ticket", now)
    exp = session_end(key, now, lifetime)
    secret = random(SECRET_BYTES)
    session = Session(secret=secret, binding=_binding(secret), iat=now, exp=exp, kem=False)
    ticket = seal_ticket(session, key, audience=audience, random=random)
    return PasswordSession(secret, ticket, now, exp, audience)


def seal_password_session(session: PasswordSession, password: str, *, random: Random) -> str:
    """Seal a session under a password.

    :returns: a compact JWE; each has a salt and keys of its own.
    :raises ConfigError: where the password is empty.
    """
    salt, content_key, iv = random(_SALT_BYTES), random(32), random(IV_BYTES)
    header = json_encode({**_FIXED, "p2c": ITERATIONS, "p2s": b64u_encode(salt)})
    wrapped = aes_key_wrap(_wrapping_key(password, salt, ITERATIONS), content_key)
    said = {
        "secret": b64u_encode(session.secret),
        "ticket": session.ticket,
        "iat": session.iat,
        "exp": session.exp,
        "aud": session.audience,
    }
    protected = b64u_encode(header)
    sealed = AESGCM(content_key).encrypt(iv, json_encode(said), protected.encode())
    parts = (wrapped, iv, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
    return ".".join((protected, *map(b64u_encode, parts)))


def open_password_session(sealed: str, password: str, *, audience: str) -> PasswordSession:
    """Open a session that was sealed under a password.

    :param audience: the service that the client means to reach.
    :raises Malformed: where it has another form, or asks for more work than it may, or for less.
    :raises Refused: where the password is another, it was changed, or it is of another service.
    :raises TooLarge: where it has more than 2048 characters.
    :raises ConfigError: where the password is empty.
    """
    if len(sealed) > _MOST_CHARACTERS:
        raise TooLarge(
            f"A session under a password has {_MOST_CHARACTERS} characters at the most."
        )
    parts = sealed.split(".")
    if len(parts) != 5:
        raise Malformed("This is no session under a password.")
    # All are decoded before any work is done: a header can ask for years of it.
    header = json_decode(b64u_decode(parts[0]), _HEADER)
    wrapped, iv = b64u_decode(parts[1], _WRAPPED_BYTES), b64u_decode(parts[2], IV_BYTES)
    ciphertext, tag = b64u_decode(parts[3]), b64u_decode(parts[4], TAG_BYTES)
    if any(header[name] != value for name, value in _FIXED.items()):
        raise Malformed("This is no session under a password.")
    if not ITERATIONS <= header["p2c"] <= MOST_ITERATIONS:
        raise Malformed("It asks for more work than it may, or for too little.")
    key = _wrapping_key(password, b64u_decode(header["p2s"], _SALT_BYTES), header["p2c"])
    del password  # Error reports show the variables of frames.
    text = _decrypt(key, wrapped, iv, ciphertext + tag, parts[0].encode())
    session = None if text is None else _read(text)
    del text, key
    if session is None or session.audience != audience:
        del session
        raise Refused
    return session


def _read(text: bytes) -> PasswordSession:
    members = json_decode(text, _MEMBERS)
    if len(members["ticket"]) != TICKET_CHARACTERS or members["exp"] <= members["iat"]:
        raise Malformed("This is no session under a password.")
    secret = b64u_decode(members["secret"], SECRET_BYTES)
    said = (members["ticket"], members["iat"], members["exp"], members["aud"])
    return PasswordSession(secret, *said)


def _decrypt(key: bytes, wrapped: bytes, iv: bytes, sealed: bytes, aad: bytes) -> bytes | None:
    # None instead of an error here: see `envelope._decrypt`.
    try:
        return AESGCM(aes_key_unwrap(key, wrapped)).decrypt(iv, sealed, aad)
    except (InvalidUnwrap, InvalidTag, ValueError):
        return None


def _wrapping_key(password: str, salt: bytes, iterations: int) -> bytes:
    # Keyboards write one character in several ways; Unicode has one form of each.
    text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    if not text:
        raise ConfigError("a password has one character at the least")
    salted = _FIXED["alg"].encode() + b"\0" + salt
    return PBKDF2HMAC(SHA512(), 32, salted, iterations).derive(text)


def _binding(secret: bytes) -> bytes:
    """What tokens of the session are bound to: nobody can prove it without the secret."""
    return hkdf(secret, bytes(32), b"flask-sealed/1 password binding\0", 32)
