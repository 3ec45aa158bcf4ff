from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import ConfigError
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.jwk import Material, secret_bytes, thumbprint
from flask_sealed.protocol.keys import CLOCKS, PURPOSES, Key, KeyRing, Purpose, level3_key

NOW = 1_800_000_000
ED25519 = Ed25519PrivateKey.generate()
P256 = generate_private_key(SECP256R1())
SECRET = os.urandom(32)
OLD, NEW = "AAAAAAAAAAA", "AAAAAAAAAAE"
RING = replace(
    KeyRing()
    .add(Key(kid="id-1", purpose="identity", material=ED25519), activate=True)
    .add(Key(kid="id-2", purpose="identity", material=P256, nbf=5))
    .add(Key(kid=OLD, purpose="ticket", material=SECRET, exp=NOW + 200), activate=True)
    .add(Key(kid=NEW, purpose="ticket", material=os.urandom(32), nbf=NOW + 100), activate=True)
    .add(Key(kid="billing", purpose="psk", material=os.urandom(32)))
    .add(Key(kid="l3", purpose="level3", material=os.urandom(32)), activate=True),
    backup="id-2",
)
# What others can know: published, or made by a person.
KNOWN = [
    bytes(32),
    b"\xff" * 32,
    b"0123456789abcdef" * 2,
    b"Quick brown foxes jump over dogs",
    bytes(range(32)),
    bytes(range(1, 33)),
    bytes(range(0x80, 0xA0)),
    bytes(range(31, -1, -1)),
    bytes(7 * n % 256 for n in range(32)),
    bytes.fromhex("00112233445566778899aabbccddeeff" * 2),
    bytes.fromhex("0123456789abcdef" * 4),
    bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
    bytes.fromhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
    # RFC 7516, appendix A.1.2, and RFC 7520, section 3.5.
    base64.urlsafe_b64decode("saH0gFSP4XM_tAP_a5rU9ooHbltwLiJpL4LLLnrqQPw="),
    base64.urlsafe_b64decode("hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg="),
]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def variables(error: BaseException) -> str:
    """All that a monitoring tool may show of an error, but for the test's own frame."""
    shown = []
    for link in chain(error):
        trace: TracebackType | None = link.__traceback__
        while trace is not None:
            if "/tests/" not in trace.tb_frame.f_code.co_filename:
                shown.append(repr(trace.tb_frame.f_locals))
            trace = trace.tb_next
        shown.append(repr(link.args))
    return "".join(shown)


def shapes(secret: bytes) -> list[str]:
    """What a secret looks like where it shows."""
    b64u = b64u_encode(secret)
    return [repr(secret)[2:-1], secret.hex(), b64u, base64.b64encode(secret).decode()]


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        base64.b64encode(SECRET).decode(),
        f" {SECRET.hex()}\n",
    ],
)
def test_hex_and_base64_are_the_same_level3_key(text: str) -> None:
    iv = os.urandom(12)
    expected = level3_key(SECRET.hex()).encrypt(iv, b"x", b"")
    assert level3_key(text).encrypt(iv, b"x", b"") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET[:31].hex(),
        SECRET.hex() + "00",
        SECRET.hex()[:-1],
        base64.b64encode(SECRET[:16]).decode(),
        base64.b64encode(SECRET + b"x").decode(),
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        base64.b64encode(SECRET).decode().rstrip("="),
        "my 32 characters long passphrase",
        "\udc80" * 64,
        *[secret.hex() for secret in KNOWN],
        *[base64.b64encode(secret).decode() for secret in KNOWN],
    ],
)
def test_what_is_no_level3_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        level3_key(text)
    assert not text or text not in variables(caught.value)


@given(st.text())
def test_any_text_is_a_level3_key_or_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        level3_key(text)


@pytest.mark.parametrize("secret", KNOWN)
@pytest.mark.parametrize("purpose", ["ticket", "psk", "level3"])
def test_keys_that_others_know_are_refused_for_every_purpose(
    purpose: Purpose, secret: bytes
) -> None:
    with pytest.raises(ConfigError):
        Key(kid=OLD, purpose=purpose, material=secret)


@pytest.mark.parametrize(
    "material",
    [
        derive_private_key(1, SECP256R1()),
        Ed25519PrivateKey.from_private_bytes(bytes(32)),
        # RFC 8037, appendix A.1, RFC 7515, appendix A.3, and RFC 7517, appendix A.2.
        Ed25519PrivateKey.from_private_bytes(
            base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
        ),
        *[
            derive_private_key(int.from_bytes(base64.urlsafe_b64decode(d + "=")), SECP256R1())
            for d in (
                "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
                "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
            )
        ],
    ],
)
def test_identity_keys_that_others_know_are_refused(material: Material) -> None:
    with pytest.raises(ConfigError):
        Key(kid="x", purpose="identity", material=material)


@pytest.mark.parametrize(
    "key",
    [
        {"purpose": "identity", "material": SECRET},
        {"purpose": "identity", "material": generate_private_key(SECP384R1())},
        {"purpose": "identity", "material": X25519PrivateKey.generate()},
        {"purpose": "ticket", "material": ED25519},
        {"purpose": "jwt"},
        {"material": SECRET[:31]},
        {"material": SECRET + b"x"},
        {"material": bytearray(SECRET)},
        {"material": SECRET.hex()},
        {"kid": ""},
        {"kid": "x" * 65},
        {"kid": "a b"},
        {"kid": "a\n"},
        {"kid": "a\x7f"},
        {"kid": "é"},
        {"purpose": "ticket", "kid": "t-1"},
        {"purpose": "ticket", "kid": "AAAAAAAAAAB"},  # a bit behind the last byte
        {"purpose": "ticket", "kid": "AAAAAAAAAAAA"},
        {"nbf": -1},
        {"nbf": 1.5},
        {"nbf": True},
        {"exp": 2.5},
        {"nbf": 2**53 - 1},
        {"nbf": 5, "exp": 5},
        {"exp": 0},
        {"exp": 2**53},
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(key: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Key(**{"kid": "k", "purpose": "psk", "material": SECRET, **key})
    assert not [shape for shape in shapes(SECRET) if shape in variables(caught.value)]


@pytest.mark.parametrize("kid", ["!", "~" * 64, OLD])
def test_what_is_a_name(kid: str) -> None:
    assert Key(kid=kid, purpose="psk", material=SECRET, exp=2**53 - 1).kid == kid


def test_the_active_key_follows_from_the_name_and_the_clock() -> None:
    assert RING.current("identity", NOW).kid == "id-1"
    assert RING.current("ticket", NOW).kid == OLD
    assert RING.current("ticket", NOW + 99).kid == OLD
    assert RING.current("ticket", NOW + 100).kid == NEW
    assert RING.current("ticket", NOW + 10**6).kid == NEW
    with pytest.raises(ConfigError):
        RING.current("psk", NOW)


def test_no_key_is_current_outside_of_its_time() -> None:
    key = Key(kid="k", purpose="psk", material=SECRET, nbf=NOW, exp=NOW + 10)
    ring = KeyRing().add(key, activate=True)
    for now in (NOW, NOW + 9):
        assert ring.current("psk", now) is key
    for now in (0, NOW - 1, NOW + 10, NOW + 10**6):
        with pytest.raises(ConfigError):
            ring.current("psk", now)


@pytest.mark.parametrize("purpose", ["ticket", "psk", "level3"])
def test_keys_are_found_by_purpose_and_name_and_in_their_time_only(purpose: Purpose) -> None:
    key = Key(kid=OLD, purpose=purpose, material=SECRET, nbf=NOW, exp=NOW + 100)
    ring = KeyRing().add(key)
    # The peer's clock may be ahead.
    for now in (NOW - CLOCKS, NOW, NOW + 99):
        assert ring.get(purpose, OLD, now) is key
        assert ring.get(purpose, NEW, now) is None
        assert ring.get(purpose, OLD[:-1], now) is None
        assert not [other for other in PURPOSES if other != purpose and ring.get(other, OLD, now)]
    for now in (0, NOW - CLOCKS - 1, NOW + 100, NOW + 10**6):
        assert ring.get(purpose, OLD, now) is None


def test_all_keys_of_a_purpose_that_have_not_expired_the_current_one_first() -> None:
    def names(now: int) -> list[str]:
        return [key.kid for key in RING.of("ticket", now)]

    assert names(NOW) == [OLD, NEW]
    assert names(NOW + 100) == [NEW, OLD]
    assert names(NOW + 200) == [NEW]
    assert [key.kid for key in RING.of("psk", NOW)] == ["billing"]


def test_another_key_follows() -> None:
    def key(kid: str, nbf: int) -> Key:
        return Key(kid=kid, purpose="psk", material=os.urandom(32), nbf=nbf)

    ring = KeyRing().add(key("a", 10), activate=True).add(key("c", 30), activate=True)
    assert [key.kid for key in ring.order("psk")] == ["a", "c"]
    # What was to follow at the same time or later does not any more.
    assert [key.kid for key in ring.add(key("b", 20), activate=True).order("psk")] == ["a", "b"]
    again = ring.add(key("d", 30), activate=True)
    assert again.active == (("psk", "a"), ("psk", "d"))
    assert [key.kid for key in again.of("psk", 50)] == ["d", "a", "c"]
    assert ring.activate("psk", "a").active == (("psk", "a"),)
    with pytest.raises(ConfigError):
        ring.activate("psk", "d")


def test_pins_are_those_of_the_active_key_and_the_backup() -> None:
    other = Key(kid="id-3", purpose="identity", material=Ed25519PrivateKey.generate(), nbf=NOW)
    pins = [thumbprint(key.public_key()) for key in (ED25519, P256)]
    assert [*RING.pins(NOW)] == pins
    ring = RING.add(other, activate=True)
    last = thumbprint(other.material.public_key())  # type: ignore[union-attr]
    assert [*ring.pins(NOW - 1)] == [pins[0], last, pins[1]]
    assert [*ring.pins(NOW)] == [last, pins[1]]
    assert KeyRing().pins(NOW) == ()


def test_rings_do_not_change() -> None:
    before = RING.to_json()
    RING.add(Key(kid="more", purpose="psk", material=os.urandom(32)), activate=True)
    RING.activate("psk", "billing")
    assert RING.to_json() == before


def test_no_secret_shows() -> None:
    texts = repr(RING) + str(RING.keys) + repr(RING.current("ticket", NOW))
    assert not [shape for shape in shapes(SECRET) if shape in texts]


def psk(kid: str, **times: int) -> Key:
    return Key(kid=kid, purpose="psk", material=os.urandom(32), **times)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RING.add(Key(kid=OLD, purpose="ticket", material=os.urandom(32))),
        lambda: RING.add(Key(kid="copy", purpose="psk", material=SECRET)),
        lambda: RING.add(Key(kid="copy", purpose="identity", material=ED25519)),
        lambda: KeyRing(RING.keys, (("psk", OLD),)),
        lambda: KeyRing(RING.keys, (("psk", "billing"), ("psk", "billing"))),
        lambda: KeyRing((psk("a"), psk("b")), (("psk", "a"), ("psk", "b"))),
        lambda: KeyRing((psk("a", nbf=9), psk("b", nbf=8)), (("psk", "a"), ("psk", "b"))),
        lambda: KeyRing((psk("a", exp=7), psk("b", nbf=8)), (("psk", "a"), ("psk", "b"))),
        lambda: replace(RING, backup="id-1"),
        lambda: replace(RING, backup="id-9"),
        lambda: replace(RING, backup="billing"),
    ],
)
def test_rings_that_contradict_themselves(make: Callable[[], KeyRing]) -> None:
    with pytest.raises(ConfigError):
        make()


def test_a_key_may_end_when_the_next_one_begins() -> None:
    ring = KeyRing((psk("a", exp=8), psk("b", nbf=8)), (("psk", "a"), ("psk", "b")))
    assert [ring.current("psk", now).kid for now in (7, 8)] == ["a", "b"]


def test_round_trip() -> None:
    for text in (RING.to_json(), RING.to_json().decode()):
        again = KeyRing.from_json(text)
        assert again.to_json() == RING.to_json()
        assert again.active == RING.active
        assert again.backup == RING.backup
        assert repr(again) == repr(RING)


def change(*, remove: str = "", **members: Any) -> bytes:
    ring = json.loads(RING.to_json())
    ring["keys"][0].update(members)
    ring["keys"][0].pop(remove, None)
    return json.dumps(ring).encode()


def test_times_may_be_left_out() -> None:
    ring = KeyRing.from_json(change(remove="nbf"))
    assert (ring.keys[0].nbf, ring.keys[0].exp) == (0, None)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        "\udc80",
        b'{"keys":[],"active":{},"more":1}',
        b'{"keys":[],"active":{},"backup":null}',
        b'{"keys":[5],"active":{}}',
        b'{"keys":[{}],"active":{}}',
        b'{"keys":[],"active":{"ticket":"t"}}',
        b'{"keys":[],"active":{"ticket":["t"]}}',
        b'{"keys":[],"active":{"ticket":[["t"]]}}',
        b'{"keys":[],"active":{"ticket":5}}',
        b'{"keys":[],"active":{"jwt":[]}}',
        change(remove="kid"),
        change(remove="purpose"),
        change(remove="d"),
        change(kty="oct"),
        change(d="AAAA"),
        change(d=b64u_encode(SECRET)),
        change(crv="P-384"),
        change(nbf="5"),
        change(nbf=True),
        change(exp=1.5),
        change(exp=None),
        change(kid=5),
        change(kid="id-2"),
        change(purpose="ticket"),
        change(purpose=["identity"]),
        change(more="x"),
        RING.to_json() + b"x",
        RING.to_json().replace(b'"kid":', b'"kid":"x","kid":', 1),
    ],
)
def test_other_texts_are_no_keyring_and_are_not_shown(text: str | bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyRing.from_json(text)
    assert caught.value.__context__ is None
    shown = variables(caught.value)
    assert not [key.kid for key in RING.keys if b64u_encode(secret_bytes(key.material)) in shown]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


# What stands elsewhere in a ring.
VALUES = [value for jwk in json.loads(RING.to_json())["keys"] for value in jwk.values()]


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """The text of a ring in which something is replaced, removed or added."""
    ring = json.loads(RING.to_json())
    part = draw(st.sampled_from([ring, ring["active"], *ring["keys"]]))
    name = draw(st.sampled_from([*part]) | st.text())
    part[name] = draw(JSON | st.sampled_from(VALUES))
    if draw(st.booleans()):
        del part[draw(st.sampled_from([*part]))]
    return json.dumps(ring)


@given(st.text() | st.binary() | JSON.map(json.dumps) | spoilt())
def test_any_text_is_a_keyring_or_a_config_error(text: str | bytes) -> None:
    try:
        ring = KeyRing.from_json(text)
    except ConfigError:
        return
    assert KeyRing.from_json(ring.to_json()).to_json() == ring.to_json()


POOL: Sequence[Material] = [Ed25519PrivateKey.generate() for _ in range(3)] + [
    generate_private_key(SECP256R1()) for _ in range(3)
]


@st.composite
def rings(draw: st.DrawFn) -> KeyRing:
    ring = KeyRing()
    for number in range(draw(st.integers(0, len(POOL)))):
        purpose = draw(st.sampled_from(PURPOSES))
        nbf = draw(st.integers(0, 100))
        exp = draw(st.none() | st.integers(nbf + 1, 200))
        kid = b64u_encode(bytes([number] * 8))
        material: Material = os.urandom(32)
        if purpose == "identity":
            material = POOL[number]
        key = Key(kid=kid, purpose=purpose, material=material, nbf=nbf, exp=exp)
        try:
            ring = ring.add(key, activate=draw(st.booleans()))
        except ConfigError:
            ring = ring.add(key)
    return ring


@given(rings(), st.integers(0, 200))
def test_any_ring_reads_back_and_uses_no_key_outside_of_its_time(ring: KeyRing, now: int) -> None:
    again = KeyRing.from_json(ring.to_json())
    assert again.to_json() == ring.to_json()
    for purpose in PURPOSES:
        try:
            key = again.current(purpose, now)
        except ConfigError:
            continue
        assert key.nbf <= now < (key.exp or now + 1)
        assert again.get(purpose, key.kid, now) is key
        assert (purpose, key.kid) in ring.active
