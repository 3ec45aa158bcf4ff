"""The record stream: sealed content of any length, readable as it comes.

Framing and nonces follow the IETF's chunked Oblivious HTTP: a QUIC varint (RFC 9000, section 16)
with the length of the ciphertext, then the ciphertext, and so on; then a varint 0 and the final
ciphertext, to the end of the stream. A nonce is the base nonce XOR the record's number, so records
that are lost, swapped or repeated do not open, and the associated data ``final`` keeps a stream
from ending early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import Malformed, Refusal, Refused, TooLarge

TAG_BYTES = 16
_NONCE_BYTES = 12
#: The most bytes of plaintext in a record.
MOST_PLAINTEXT = 65_536
_MOST_CIPHERTEXT = MOST_PLAINTEXT + TAG_BYTES
_MOST_VARINT = 4
# How many bytes a varint has, by its first two bits, and the least and the most that it may say.
_VARINTS = ((1, 0, 2**6 - 1), (2, 2**6, 2**14 - 1), (_MOST_VARINT, 2**14, 2**30 - 1))
_MOST_RECORDS = 2**32
_FINAL = b"final"


class RecordSealer:
    """Seals a stream, record by record.

    :param key: the body key of one half of an exchange, 32 bytes.
    :param base_nonce: its base nonce, 12 bytes.
    :raises ValueError: where the base nonce has another length.
    """

    def __init__(self, key: AESGCM, base_nonce: bytes) -> None:
        self._key = key
        self._nonces = _nonces(base_nonce)
        self._finished = False

    def seal(self, plaintext: bytes) -> bytes:
        """Seal bytes into as many records as they need; none for no bytes.

        :returns: whole records, which the opener can open at once.
        :raises TooLarge: where the stream has had all its 2**32 records.
        :raises ValueError: where it has been finished.
        """
        self._demand_open()
        if len(plaintext) <= MOST_PLAINTEXT:
            return b"".join(self._seal_one(plaintext)) if plaintext else b""
        parts: list[bytes] = []
        view = memoryview(plaintext)
        for start in range(0, len(view), MOST_PLAINTEXT):
            parts += self._seal_one(view[start : start + MOST_PLAINTEXT])
        return b"".join(parts)

    def finish(self, plaintext: bytes = b"") -> bytes:
        """Seal the final record; afterwards the stream is over.

        :param plaintext: the last bytes of the stream, 65 536 at the most.
        :raises TooLarge: where the stream has had all its 2**32 records.
        :raises ValueError: where it has been finished, or there are more bytes.
        """
        self._demand_open()
        if len(plaintext) > MOST_PLAINTEXT:
            raise ValueError(f"a record holds {MOST_PLAINTEXT} bytes at the most")
        self._finished = True
        return encode_varint(0) + self._key.encrypt(_next(self._nonces), plaintext, _FINAL)

    def _seal_one(self, plaintext: bytes | memoryview) -> tuple[bytes, bytes]:
        sealed = self._key.encrypt(_next(self._nonces), plaintext, b"")
        return encode_varint(len(sealed)), sealed

    def _demand_open(self) -> None:
        if self._finished:
            raise ValueError("the stream has been finished")


class RecordOpener:
    """Opens a stream that comes in pieces of any size, in bounded memory: it keeps one record at
    the most, and nothing after a failure.

    After a failure every further call fails in the same way.

    :param key: the body key of one half of an exchange, 32 bytes.
    :param base_nonce: its base nonce, 12 bytes.
    :param length: how many bytes of plaintext the whole stream has to have, where the seal says
        it: more are refused as soon as they are seen, fewer at the end.
    :raises ValueError: where the base nonce has another length.
    """

    def __init__(self, key: AESGCM, base_nonce: bytes, *, length: int | None = None) -> None:
        self._key = key
        self._nonces = _nonces(base_nonce)
        # How many bytes of plaintext have to follow, where that is known.
        self._left = length
        # What has come of a record's varint.
        self._varint = b""
        # How long the record's ciphertext is; 0 as long as the varint is not whole.
        self._size = 0
        # What has come of the ciphertext, up to the position. Used again for the next record:
        # memory that is fetched anew costs more than the decryption.
        self._buffer = BytesIO()
        self._in_final = False
        # What every further call raises.
        self._failure: Callable[[], Refusal] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the stream.

        :returns: the plaintext of the records that have become whole.
        :raises Refusal: where a record does not open, is too large, or follows the end; then the
            plaintext of those before it in ``data`` is lost too.
        """
        # The most frequent case, made quick: more of a record that is not whole yet. After a
        # failure, and at the end of the stream, the size is 0.
        if self._buffer.tell() + len(data) < self._size:
            self._buffer.write(data)
            return b""
        return self._take(self._open_records, data)

    def finish(self) -> bytes:
        """Tell that the stream has ended.

        :returns: the plaintext of the final record.
        :raises Refusal: where there is no final record, so that the stream was cut, where it does
            not open, or where the stream is shorter than it has to be.
        """
        return self._take(self._open_final, b"")

    def _take(self, step: Callable[[bytes], bytes], data: bytes) -> bytes:
        if self._failure is None:
            try:
                return step(data)
            except Refused:
                self._failure = Refused
            except Refusal as refusal:
                self._failure = partial(type(refusal), refusal.detail)
            self._buffer, self._size = BytesIO(), 0
        # A new error each time, raised out here: one that is kept, or that is the context of
        # another, would keep the frames that it went through, with the plaintext that they know.
        raise self._failure()

    def _open_records(self, data: bytes) -> bytes:
        view, at = memoryview(data), 0
        opened: list[bytes] = []
        while at < len(data) and not self._in_final:
            if not self._size:
                at = self._read_size(data, at)
                continue
            end = at + self._size - self._buffer.tell()
            self._open_record(view[at:end], opened)
            at = end
        if self._in_final:
            self._check_size(self._buffer.tell() + len(data) - at)
            self._buffer.write(view[at:])
        return b"".join(opened)  # a single one is not copied

    def _read_size(self, data: bytes, at: int) -> int:
        """Read a record's varint, or as much as there is of it.

        :returns: where the rest of the data starts.
        """
        start = self._varint + data[at : at + _MOST_VARINT]
        varint = decode_varint(start)
        if varint is None:
            self._varint = start
            return len(data)
        self._size, length = varint
        self._in_final = self._size == 0
        if not self._in_final:
            self._check_size(self._size)
        at += length - len(self._varint)
        self._varint = b""
        return at

    def _check_size(self, size: int) -> None:
        """Refuse a record before it is kept.

        :param size: how long its ciphertext is, or will be at the least.
        """
        # First, so that the answer is the same whether a final record comes whole or in pieces.
        if self._left is not None and size - TAG_BYTES > self._left:
            raise Refused
        if size > _MOST_CIPHERTEXT:
            raise TooLarge(f"A record has {MOST_PLAINTEXT} bytes at the most.")
        if size <= TAG_BYTES and not self._in_final:
            raise Malformed("A record that is not the final one has a byte at the least.")

    def _open_record(self, part: memoryview, opened: list[bytes]) -> None:
        """Open a record that is whole with this part of it, or keep the part."""
        if len(part) == self._size:
            opened.append(self._decrypt(part, b""))
        else:
            self._buffer.write(part)
            if self._buffer.tell() < self._size:
                return
            opened.append(self._open_buffer(b""))
        self._size = 0

    def _open_final(self, _: bytes) -> bytes:
        if not self._in_final or self._buffer.tell() < TAG_BYTES:
            raise Malformed("The stream ended without its final record.")
        plaintext = self._open_buffer(_FINAL)
        if self._left:
            raise Refused
        self._buffer = BytesIO()
        self._failure = partial(Malformed, "The stream is over.")
        return plaintext

    def _open_buffer(self, aad: bytes) -> bytes:
        sealed = self._buffer.getbuffer()[: self._buffer.tell()]
        self._buffer.seek(0)
        return self._decrypt(sealed, aad)

    def _decrypt(self, sealed: memoryview, aad: bytes) -> bytes:
        plaintext: bytes | None
        try:
            plaintext = self._key.decrypt(_next(self._nonces), sealed, aad)
        except InvalidTag:
            plaintext = None
        if plaintext is None:  # raised out here: see `_take`
            raise Refused
        if self._left is not None:
            self._left -= len(plaintext)
        return plaintext


def _nonces(base: bytes) -> Iterator[bytes]:
    """The nonces of a stream: its base nonce XOR 0, 1, 2, …"""
    if len(base) != _NONCE_BYTES:
        raise ValueError(f"a base nonce has {_NONCE_BYTES} bytes")
    start = int.from_bytes(base)
    # A generator: two threads at once never get the same nonce from it, but an error.
    return ((start ^ number).to_bytes(_NONCE_BYTES) for number in range(_MOST_RECORDS))


def _next(nonces: Iterator[bytes]) -> bytes:
    nonce = next(nonces, None)
    if nonce is None:
        raise TooLarge(f"A stream has {_MOST_RECORDS} records at the most.")
    return nonce


def encode_varint(value: int) -> bytes:
    """Encode a number below 2**30 as a QUIC varint (RFC 9000, section 16), as short as can be."""
    if value < 1 << 6:
        return value.to_bytes(1)
    if value < 1 << 14:
        return (value | 1 << 14).to_bytes(2)
    return (value | 2 << 30).to_bytes(4)


def decode_varint(data: bytes | bytearray) -> tuple[int, int] | None:
    """Decode a QUIC varint at the start of bytes.

    :returns: the number and how many bytes its varint has, or ``None`` where more are needed.
    :raises Malformed: where the varint is not as short as can be.
    :raises TooLarge: where it has 8 bytes: no length here needs as many.
    """
    if not data:
        return None
    if data[0] >= 0xC0:
        raise TooLarge(f"A length has {_MOST_VARINT} bytes at the most.")
    length, least, most = _VARINTS[data[0] >> 6]
    if len(data) < length:
        return None
    value = int.from_bytes(data[:length]) & most
    if value < least:
        raise Malformed("A length is not encoded in as few bytes as can be.")
    return value, length
