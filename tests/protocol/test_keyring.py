from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import ConfigError, Malformed
from flask_sealed.protocol.keyring import (
    Key,
    KeyRing,
    public_jwk,
    read_public_jwk,
    thumbprint,
)

ED25519 = Ed25519PrivateKey.generate()
P256 = generate_private_key(SECP256R1())
SECRET = os.urandom(32)
RING = (
    KeyRing()
    .add(Key(kid="id-1", purpose="identity", material=ED25519), activate=True)
    .add(Key(kid="id-2", purpose="identity", material=P256, nbf=5))
    .add(Key(kid="t-1", purpose="ticket", material=SECRET, exp=100))
    .add(Key(kid="t-2", purpose="ticket", material=os.urandom(32), exp=200), activate=True)
    .add(Key(kid="billing", purpose="psk", material=os.urandom(32)))
    .add(Key(kid="l3", purpose="level3", material=os.urandom(32)), activate=True)
)


def test_round_trip() -> None:
    text = RING.to_json()
    again = KeyRing.from_json(text)
    assert again.to_json() == text
    assert again.active == RING.active
    assert [key.kid for key in again.of("ticket")] == ["t-1", "t-2"]


def test_one_named_key_is_active_for_each_purpose() -> None:
    assert RING.current("identity").kid == "id-1"
    assert RING.current("ticket").kid == "t-2"
    assert RING.activate("identity", "id-2").current("identity").kid == "id-2"
    with pytest.raises(ConfigError, match="no active key for the purpose psk"):
        RING.current("psk")
    with pytest.raises(ConfigError, match="not in the keyring"):
        RING.activate("ticket", "t-9")


def test_keys_are_found_by_purpose_and_name_only() -> None:
    found = RING.get("psk", "billing")
    assert found is not None
    assert found.kid == "billing"
    assert RING.get("ticket", "billing") is None
    assert RING.get("psk", "billin") is None


def test_rings_do_not_change() -> None:
    before = RING.to_json()
    RING.add(Key(kid="more", purpose="psk", material=SECRET), activate=True)
    RING.without_expired(10**10)
    assert RING.to_json() == before


def test_expired_keys_are_dropped_but_for_the_active_ones() -> None:
    kept = RING.without_expired(100)
    assert [key.kid for key in kept.of("ticket")] == ["t-2"]
    assert [key.kid for key in RING.without_expired(99).of("ticket")] == ["t-1", "t-2"]
    assert kept.without_expired(10**10).current("ticket").kid == "t-2"


def test_no_secret_shows() -> None:
    texts = (repr(RING), repr(RING.current("ticket")), str(RING.keys))
    for text in texts:
        assert base64.urlsafe_b64encode(SECRET).rstrip(b"=").decode() not in text
        assert SECRET.hex() not in text
        assert repr(SECRET) not in text


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"purpose": "identity", "material": SECRET}, "purpose identity"),
        ({"purpose": "ticket", "material": ED25519}, "purpose ticket"),
        ({"purpose": "psk", "material": b"short"}, "has not 32 bytes"),
        ({"purpose": "psk", "material": SECRET, "kid": ""}, "1 to 64"),
        ({"purpose": "psk", "material": SECRET, "kid": "x" * 65}, "1 to 64"),
    ],
)
def test_keys_that_fit_no_purpose(key: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Key(**{"kid": "k", **key})


def test_a_name_stands_once() -> None:
    with pytest.raises(ConfigError, match="same kid"):
        RING.add(Key(kid="t-1", purpose="ticket", material=SECRET))


def change(**members: Any) -> bytes:
    ring = json.loads(RING.to_json())
    ring["keys"][0].update(members)
    return json.dumps(ring).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":[],"active":{},"more":1}',
        b'{"keys":[5],"active":{}}',
        b'{"keys":[],"active":{"ticket":"t"}}',
        b'{"keys":[],"active":{"ticket":5}}',
        change(kty="oct"),
        change(d="AAAA"),
        change(d=base64.urlsafe_b64encode(SECRET).rstrip(b"=").decode()),
        change(crv="P-384"),
        change(nbf="5"),
        change(exp=1.5),
        change(kid=5),
        change(kid="id-2"),
        change(purpose="ticket"),
        change(more="x"),
    ],
)
def test_other_texts_are_no_keyring(text: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyRing.from_json(text)
    trace = caught.tb.tb_next
    while trace is not None:
        assert "keys" not in repr(trace.tb_frame.f_locals.get("text"))
        trace = trace.tb_next


@given(st.binary())
def test_any_text_is_a_keyring_or_a_config_error(text: bytes) -> None:
    with pytest.raises(ConfigError):
        KeyRing.from_json(text)


@pytest.mark.parametrize("private", [ED25519, P256])
def test_public_keys(private: Any) -> None:
    public = private.public_key()
    assert read_public_jwk(dict(public_jwk(public))) == public


def test_the_thumbprint_of_rfc_8037() -> None:
    # RFC 8037, appendix A.3.
    x = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    expected = base64.urlsafe_b64decode("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k=")
    assert thumbprint(Ed25519PublicKey.from_public_bytes(x)) == expected


def test_the_thumbprint_of_p256_is_over_its_required_members() -> None:
    jwk = public_jwk(P256.public_key())
    text = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    assert thumbprint(P256.public_key()) == hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "OKP", "crv": "Ed25519"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": 5},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": ["OKP"], "crv": "Ed25519", "x": "A" * 43},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {**public_jwk(P256.public_key()), "y": "A" * 43},
        {**public_jwk(P256.public_key()), "d": "A" * 43},
        {**public_jwk(ED25519.public_key()), "kid": "x"},
    ],
)
def test_other_jwks_are_malformed(jwk: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_public_jwk(jwk)
