"""level3.json: envelopes under one static key, as the clients of the article make them."""

from __future__ import annotations

import base64
import hashlib
import json

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .primitives import fixed

KEY = hashlib.sha256(b"flask-sealed level3 vectors").digest()


def _raw(name: str, plaintext: bytes, aad: bytes = b"") -> tuple[bytes, bytes]:
    iv = fixed(f"iv {name}", 12)
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
    return {"key": KEY.hex(), "valid": _all_valid(), "invalid": [*_refused(), *_malformed()]}


def _all_valid() -> list[dict[str, str]]:
    return [
        *(
            _valid(f"{size} bytes", fixed(f"plaintext {size}", size))
            for size in (0, 1, 15, 16, 17)
        ),
        _valid("the article's answer", b'{"cardLast4":"4242","expiryMonth":12,"expiryYear":2027}'),
        _valid("non-ASCII text", '{"name":"Zoë Åström 💶"}'.encode()),
        _valid("another content type", b"<p>4242</p>", "text/html; charset=utf-8"),
    ]


def _refused() -> list[dict[str, str]]:
    _, raw = _raw("base", b'{"amount":5}')
    flipped = {
        name: bytes(byte ^ (at == position) for at, byte in enumerate(raw))
        for name, position in (("iv", 0), ("tag", 12), ("ciphertext", 28))
    }
    other = AESGCM(fixed("another key", 32)).encrypt(raw[:12], b'{"amount":5}', b"")
    return [
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
    ]


def _malformed() -> list[dict[str, str]]:
    _, raw = _raw("base", b'{"amount":5}')
    text = base64.b64encode(raw).decode()
    stray = base64.b64encode(bytes(28)).decode()[:-3] + "B=="
    forms = {
        "27 bytes": _envelope(raw[:27]),
        "no bytes": _envelope(b""),
        "padding missing": f'{{"data":"{text.rstrip("=")}"}}',
        "base64url alphabet": f'{{"data":"{"-_" * 20}"}}',
        "white space in the base64": f'{{"data":"{text[:8]} {text[8:]}"}}',
        "stray bits": f'{{"data":"{stray}"}}',
        "JSON escape in the base64": f'{{"data":"\\u0041{text[1:]}"}}',
        "another member": f'{{"data":"{text}","more":1}}',
        "member twice": f'{{"data":"{text}","data":"{text}"}}',
        "member missing": f'{{"payload":"{text}"}}',
        "a number": '{"data":5}',
        "a list": f'["{text}"]',
        "trailing text": f'{{"data":"{text}"}}x',
        "cut JSON": f'{{"data":"{text}"',
        "empty": "",
    }
    return [_invalid(name, "malformed", form) for name, form in forms.items()]
