"""The record stream: sealed content of any length, readable as it comes.

Framing and nonces follow the IETF's chunked Oblivious HTTP: a QUIC varint (RFC 9000, section 16)
with the length of the ciphertext, then the ciphertext, and so on; then a varint 0 and the final
ciphertext, to the end of the stream. A nonce is the base nonce XOR the record's number, so records
that are lost, swapped or repeated do not open, and the associated data ``final`` keeps a stream
from ending early.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import Malformed, Refusal, Refused, TooLarge

TAG_BYTES = 16
#: The most bytes of plaintext in a record.
MOST_PLAINTEXT = 65_536
_MOST_CIPHERTEXT = MOST_PLAINTEXT + TAG_BYTES
_MOST_RECORDS = 2**32
_FINAL = b"final"

_CUT = "The stream ended without its final record."


class RecordSealer:
    """Seals a stream, record by record.

    :param key: the body key of one half of an exchange.
    :param base_nonce: its base nonce, 12 bytes.
    """

    def __init__(self, key: AESGCM, base_nonce: bytes) -> None:
        self._key = key
        self._nonces = _Nonces(base_nonce)
        self._finished = False

    def seal(self, plaintext: bytes) -> bytes:
        """Seal bytes into as many records as they need; none for no bytes."""
        self._demand_open()
        if len(plaintext) <= MOST_PLAINTEXT:
            return self._seal_one(plaintext) if plaintext else b""
        view = memoryview(plaintext)
        starts = range(0, len(view), MOST_PLAINTEXT)
        return b"".join(self._seal_one(view[at : at + MOST_PLAINTEXT]) for at in starts)

    def finish(self, plaintext: bytes = b"") -> bytes:
        """Seal the final record; afterwards the stream is over.

        :param plaintext: the last bytes of the stream, 65 536 at the most.
        """
        self._demand_open()
        if len(plaintext) > MOST_PLAINTEXT:
            raise ValueError(f"a record holds {MOST_PLAINTEXT} bytes at the most")
        self._finished = True
        return encode_varint(0) + self._key.encrypt(self._nonces.next(), plaintext, _FINAL)

    def _seal_one(self, plaintext: bytes | memoryview) -> bytes:
        sealed = self._key.encrypt(self._nonces.next(), plaintext, b"")
        return encode_varint(len(sealed)) + sealed

    def _demand_open(self) -> None:
        if self._finished:
            raise ValueError("the stream has been finished")


class RecordOpener:
    """Opens a stream that comes in pieces of any size, in bounded memory.

    After a failure every further call fails in the same way.

    :param key: the body key of one half of an exchange.
    :param base_nonce: its base nonce, 12 bytes.
    """

    def __init__(self, key: AESGCM, base_nonce: bytes) -> None:
        self._key = key
        self._nonces = _Nonces(base_nonce)
        self._buffer = bytearray()
        # How many bytes the buffer needs before anything can be done with it.
        self._needed = 1
        self._in_final = False
        self._over = False
        self._failure: Refusal | None = None

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the stream.

        :returns: the plaintext of the records that have become whole.
        :raises Refusal: where a record does not open, is too large, or follows the end.
        """
        self._demand_sound()
        if self._over:
            raise self._fail(Malformed("Bytes follow the end of the stream."))
        try:
            return b"".join(self._open_whole_records(data))
        except Refusal as refusal:
            failure = refusal
        raise self._fail(failure)

    def finish(self) -> bytes:
        """Tell that the stream has ended.

        :returns: the plaintext of the final record.
        :raises Refusal: where there is no final record, so that the stream was cut.
        """
        self._demand_sound()
        if not self._in_final or self._over or len(self._buffer) < TAG_BYTES:
            raise self._fail(Malformed(_CUT))
        self._over = True
        try:
            return self._decrypt(self._buffer, _FINAL)
        except Refused as refusal:
            failure = refusal
        raise self._fail(failure)

    def _open_whole_records(self, data: bytes) -> list[bytes]:
        if self._in_final or len(self._buffer) + len(data) < self._needed:
            self._buffer += data
            return self._nothing_more()
        source = memoryview(bytes(self._buffer) + data if self._buffer else data)
        opened: list[bytes] = []
        start, needed = 0, 0
        while not self._in_final:
            start, needed = self._open_next(source, start, opened)
            if needed:
                break
        self._buffer = bytearray(source[start:])
        self._needed = needed
        return opened + self._nothing_more()

    def _nothing_more(self) -> list[bytes]:
        if self._in_final and len(self._buffer) > _MOST_CIPHERTEXT:
            raise TooLarge(f"A record has {MOST_PLAINTEXT} bytes at the most.")
        return []

    def _open_next(self, source: memoryview, start: int, opened: list[bytes]) -> tuple[int, int]:
        """Open the record that starts at ``start``.

        :returns: where the next one starts, and how many bytes from there on have to be there
            before more can be done; 0 where it can go on.
        """
        header = decode_varint(source[start : start + 4])
        if header is None:
            return start, len(source) - start + 1
        length, size = header
        if length == 0:
            self._in_final = True
            return start + size, 0
        if not TAG_BYTES < length <= _MOST_CIPHERTEXT:
            raise TooLarge(f"A record has 1 to {MOST_PLAINTEXT} bytes.")
        end = start + size + length
        if end > len(source):
            return start, size + length
        opened.append(self._decrypt(source[start + size : end], b""))
        return end, 0

    def _decrypt(self, sealed: bytes | bytearray | memoryview, aad: bytes) -> bytes:
        try:
            return self._key.decrypt(self._nonces.next(), sealed, aad)
        except InvalidTag:
            pass
        # Raised out here: monitoring reads the frames of an exception's `__context__` too.
        raise Refused

    def _fail(self, refusal: Refusal) -> Refusal:
        self._failure = refusal
        self._buffer.clear()
        return refusal

    def _demand_sound(self) -> None:
        if self._failure is not None:
            raise self._failure


class _Nonces:
    """The nonces of a stream: its base nonce XOR 0, 1, 2, …"""

    def __init__(self, base: bytes) -> None:
        self._base = int.from_bytes(base)
        self._number = 0

    def next(self) -> bytes:
        if self._number >= _MOST_RECORDS:
            raise TooLarge(f"A stream has {_MOST_RECORDS} records at the most.")
        nonce = (self._base ^ self._number).to_bytes(12)
        self._number += 1
        return nonce


def encode_varint(value: int) -> bytes:
    """Encode a number below 2**30 as a QUIC varint (RFC 9000, section 16), as short as can be."""
    if value < 1 << 6:
        return value.to_bytes(1)
    if value < 1 << 14:
        return (value | 1 << 14).to_bytes(2)
    return (value | 2 << 30).to_bytes(4)


def decode_varint(data: bytes | bytearray | memoryview) -> tuple[int, int] | None:
    """Decode a QUIC varint at the start of bytes.

    :returns: the value and the length of the varint, or ``None`` where more bytes are needed.
    :raises Malformed: where it is not as short as can be.
    """
    if not data:
        return None
    length = 1 << (data[0] >> 6)
    if len(data) < length:
        return None
    value = int.from_bytes(data[:length]) & ((1 << (8 * length - 2)) - 1)
    if length > 1 and value < 1 << (8 * (length // 2) - 2):
        raise Malformed("A length is not encoded in as few bytes as can be.")
    return value, length
