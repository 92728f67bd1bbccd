"""The records of records.ts: the same bytes from the same seed."""
import hashlib
import struct

LARGE_VALUE_BYTES = 900_000
TIMESTAMP_STEP_MS = 10


class RecordSet:
    def __init__(self, seed, shape, headers, partitions, base_timestamp_ms):
        self.seed = seed
        self.shape = shape
        self.header_style = headers
        self.partitions = partitions
        self.base_timestamp_ms = base_timestamp_ms

    def _hash(self, index, purpose, block):
        return hashlib.sha256(f"{self.seed}/{index}/{purpose}/{block}".encode())

    def _text(self, index, purpose, length):
        blocks = range(-(-length // 64))
        return "".join(self._hash(index, purpose, block).hexdigest() for block in blocks)[:length].encode()

    def _binary(self, index, length):
        blocks = range(-(-length // 32))
        return b"".join(self._hash(index, "value", block).digest() for block in blocks)[:length]

    def key(self, index):
        if self.shape == "mixed":
            return None if index % 7 == 0 else f"key-{index % 100}".encode()
        return f"{self.shape}-{index}".encode()

    def value(self, index):
        if self.shape == "large":
            return self._binary(index, LARGE_VALUE_BYTES)
        if self.shape == "one-byte" or index % 10 == 0:
            return self._text(index, "value", 1)
        return self._text(index, "value", 20 + (index * 37) % 200)

    def headers(self, index):
        if self.header_style == "fixed":
            return [("source", b"interop"), ("seed", self.seed.encode())]
        if self.header_style == "none" or index % 5 != 0:
            return []
        return [
            ("index", str(index).encode()),
            ("check", self._text(index, "header", 24)),
            ("empty", b""),
        ]

    def timestamp_ms(self, index):
        return self.base_timestamp_ms + index * TIMESTAMP_STEP_MS


class RecordDigest:
    """The canonical form and digests of records.ts."""

    def __init__(self):
        self._content = hashlib.sha256()
        self._timestamps = hashlib.sha256()
        self._offset_gap = None
        self._first_offset = -1
        self._last_offset = -1
        self.count = 0

    def add(self, offset, key, value, headers, timestamp_ms):
        if self.count == 0:
            self._first_offset = offset
        elif offset != self._last_offset + 1 and self._offset_gap is None:
            self._offset_gap = f"{offset} after {self._last_offset}"
        self._last_offset = offset
        self.count += 1
        self._bytes(key)
        self._bytes(value)
        self._content.update(struct.pack(">I", len(headers)))
        for name, header in headers:
            self._bytes(name.encode())
            self._bytes(header)
        self._timestamps.update(struct.pack(">q", timestamp_ms))

    def _bytes(self, data):
        self._content.update(struct.pack(">I", 0xFFFFFFFF if data is None else len(data)))
        if data is not None:
            self._content.update(data)

    def result(self):
        return {
            "count": self.count,
            "firstOffset": self._first_offset,
            "lastOffset": self._last_offset,
            "offsetGap": self._offset_gap,
            "digest": self._content.hexdigest(),
            "timestampDigest": self._timestamps.hexdigest(),
        }
