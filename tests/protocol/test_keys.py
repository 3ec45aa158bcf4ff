from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import ConfigError
from flask_sealed.protocol.keys import level3_key

SECRET = os.urandom(32)


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        base64.b64encode(SECRET).decode(),
        f" {SECRET.hex()}\n",
    ],
)
def test_hex_and_base64_are_the_same_key(text: str) -> None:
    iv = os.urandom(12)
    assert level3_key(text).encrypt(iv, b"x", b"") == level3_key(SECRET.hex()).encrypt(
        iv, b"x", b""
    )


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
    ],
)
def test_what_is_not_32_bytes_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"32 bytes.*flask sealed keygen"):
        level3_key(text)


@pytest.mark.parametrize(
    "secret",
    [
        bytes(32),
        b"\xff" * 32,
        b"0123456789abcdef" * 2,
        bytes(range(32)),
        bytes(range(1, 33)),
        bytes.fromhex("00112233445566778899aabbccddeeff" * 2),
        bytes.fromhex("0123456789abcdef" * 4),
        bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
        bytes.fromhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
    ],
)
def test_keys_that_others_know_are_refused(secret: bytes) -> None:
    for text in (secret.hex(), base64.b64encode(secret).decode()):
        with pytest.raises(ConfigError, match="others can know it"):
            level3_key(text)


@given(st.text())
def test_any_text_is_a_key_or_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        level3_key(text)
