"""What cannot be made from fixed randomness: it is recorded, or made anew and recorded."""

from __future__ import annotations

import hashlib
from textwrap import wrap

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from .. import fixed
from .primitives import b64u, unb64u

_SOURCE = '''"""What cannot be made from fixed randomness; ``generate --remake`` makes it anew."""

#: ML-KEM-768: a shared secret and its ciphertext, in base64url.
KEM_SECRET = "{secret}"
KEM_CIPHERTEXT = """
{ciphertext}
"""
#: ES256: the start of the SHA-256 of what is signed, and the signature in base64url.
SIGNATURES = """
{signatures}
"""
'''


class Recorded:
    """Signatures by what they sign, and the one ML-KEM encapsulation."""

    def __init__(self) -> None:
        self._signatures = dict(line.split() for line in fixed.SIGNATURES.split("\n") if line)
        self._secret = fixed.KEM_SECRET
        self._ciphertext = "".join(fixed.KEM_CIPHERTEXT.split())
        self._remakes = False

    def forget(self) -> None:
        """From now on, make what is asked for, once."""
        self._signatures, self._secret, self._ciphertext = {}, "", ""
        self._remakes = True

    def sign(self, key: EllipticCurvePrivateKey, data: bytes) -> bytes:
        """An ES256 signature, 64 bytes."""
        name = hashlib.sha256(data).hexdigest()[:8]
        if self._remakes and name not in self._signatures:
            r, s = decode_dss_signature(key.sign(data, ECDSA(SHA256())))
            self._signatures[name] = b64u(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        if name not in self._signatures:
            raise ValueError("what is signed has changed: generate with --remake")
        return unb64u(self._signatures[name])

    def encapsulate(self, key: MLKEM768PrivateKey) -> tuple[bytes, bytes]:
        """A shared secret of 32 bytes, and its ciphertext of 1088."""
        if self._remakes and not self._secret:
            secret, ciphertext = key.public_key().encapsulate()
            self._secret, self._ciphertext = b64u(secret), b64u(ciphertext)
        return unb64u(self._secret), unb64u(self._ciphertext)

    def source(self) -> str:
        """The text of ``fixed.py``."""
        return _SOURCE.format(
            secret=self._secret,
            ciphertext="\n".join(wrap(self._ciphertext, 96)),
            signatures="\n".join(" ".join(pair) for pair in sorted(self._signatures.items())),
        )


RECORDED = Recorded()
