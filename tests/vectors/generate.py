"""Writes the vector files, with fixed randomness: ``python -m tests.vectors.generate``."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FOLDER = Path(__file__).parent
KEY = hashlib.sha256(b"flask-sealed level3 vectors").digest()


def _fixed(label: str, length: int) -> bytes:
    return hashlib.shake_256(label.encode()).digest(length)


def _raw(name: str, plaintext: bytes, aad: bytes = b"") -> tuple[bytes, bytes]:
    iv = _fixed(f"iv {name}", 12)
    sealed = AESGCM(KEY).encrypt(iv, plaintext, aad)
    return iv, iv + sealed[-16:] + sealed[:-16]


def _envelope(raw: bytes) -> str:
    return json.dumps({"data": base64.b64encode(raw).decode()}, separators=(",", ":"))


def _valid(name: str, plaintext: bytes, aad: str = "") -> dict[str, str]:
    iv, raw = _raw(name, plaintext, aad.encode())
    return {
        "name": name,
        "iv": iv.hex(),
        "aad": aad,
        "plaintext": plaintext.hex(),
        "envelope": _envelope(raw),
    }


def _invalid(name: str, refusal: str, envelope: str, aad: str = "") -> dict[str, str]:
    return {"name": name, "refusal": refusal, "aad": aad, "envelope": envelope}


def level3() -> dict[str, object]:
    valid = [
        *(
            _valid(f"{size} bytes", _fixed(f"plaintext {size}", size))
            for size in (0, 1, 15, 16, 17)
        ),
        _valid("the article's answer", b'{"cardLast4":"4242","expiryMonth":12,"expiryYear":2027}'),
        _valid("non-ASCII text", '{"name":"Zoë Åström 💶"}'.encode()),
        _valid("another content type", b"<p>4242</p>", "text/html; charset=utf-8"),
    ]
    _, raw = _raw("base", b'{"amount":5}')
    text = base64.b64encode(raw).decode()
    flipped = {
        name: bytes(byte ^ (at == position) for at, byte in enumerate(raw))
        for name, position in (("iv", 0), ("tag", 12), ("ciphertext", 28))
    }
    other = AESGCM(_fixed("another key", 32)).encrypt(raw[:12], b'{"amount":5}', b"")
    invalid = [
        *(
            _invalid(f"a bit of the {part} flipped", "refused", _envelope(bad))
            for part, bad in flipped.items()
        ),
        _invalid("another key", "refused", _envelope(raw[:12] + other[-16:] + other[:-16])),
        _invalid("another content type", "refused", _envelope(raw), "text/html"),
        _invalid("last byte missing", "refused", _envelope(raw[:-1])),
        _invalid("a byte more", "refused", _envelope(raw + b"\0")),
        _invalid(
            "tag behind the ciphertext", "refused", _envelope(raw[:12] + raw[28:] + raw[12:28])
        ),
        _invalid("27 bytes", "malformed", _envelope(raw[:27])),
        _invalid("no bytes", "malformed", _envelope(b"")),
        _invalid("padding missing", "malformed", f'{{"data":"{text.rstrip("=")}"}}'),
        _invalid("base64url alphabet", "malformed", f'{{"data":"{"-_" * 20}"}}'),
        _invalid("white space in the base64", "malformed", f'{{"data":"{text[:8]} {text[8:]}"}}'),
        _invalid(
            "stray bits",
            "malformed",
            f'{{"data":"{base64.b64encode(bytes(28)).decode()[:-3]}B=="}}',
        ),
        _invalid("JSON escape in the base64", "malformed", f'{{"data":"\\u0041{text[1:]}"}}'),
        _invalid("another member", "malformed", f'{{"data":"{text}","more":1}}'),
        _invalid("member twice", "malformed", f'{{"data":"{text}","data":"{text}"}}'),
        _invalid("member missing", "malformed", f'{{"payload":"{text}"}}'),
        _invalid("a number", "malformed", '{"data":5}'),
        _invalid("a list", "malformed", f'["{text}"]'),
        _invalid("trailing text", "malformed", f'{{"data":"{text}"}}x'),
        _invalid("cut JSON", "malformed", f'{{"data":"{text}"'),
        _invalid("empty", "malformed", ""),
    ]
    return {"key": KEY.hex(), "valid": valid, "invalid": invalid}


def main() -> None:
    text = json.dumps(level3(), indent=1, ensure_ascii=False)
    (FOLDER / "level3.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
