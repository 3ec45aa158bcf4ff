from __future__ import annotations

import pytest

from flask_sealed.protocol.hkdf import hkdf


# RFC 5869, appendices A.1 to A.3.
@pytest.mark.parametrize(
    ("secret", "salt", "info", "expected"),
    [
        (
            b"\x0b" * 22,
            bytes(range(0x0D)),
            bytes(range(0xF0, 0xFA)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            (
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
                "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
                "cc30c58179ec3e87c14c01d5c1f3434f1d87"
            ),
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_the_vectors_of_rfc_5869(secret: bytes, salt: bytes, info: bytes, expected: str) -> None:
    raw = bytes.fromhex(expected)
    assert hkdf(secret, salt, info, len(raw)) == raw


def test_every_argument_counts() -> None:
    keys = {
        hkdf(b"secret", b"salt", b"info", 32),
        hkdf(b"Secret", b"salt", b"info", 32),
        hkdf(b"secret", b"Salt", b"info", 32),
        hkdf(b"secret", b"salt", b"Info", 32),
    }
    assert len(keys) == 4


def test_no_salt_is_32_zeros() -> None:
    assert hkdf(b"secret", b"", b"info", 32) == hkdf(b"secret", bytes(32), b"info", 32)
