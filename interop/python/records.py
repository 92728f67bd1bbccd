"""The records of records.ts: the same bytes from the same seed."""
import hashlib
import struct

LARGE_VALUE_BYTES = 900_000
TIMESTAMP_STEP_MS = 10
KEY_KINDS = 5
VALUE_KINDS = 5
HEADER_KINDS = 6
BEYOND_ASCII = "schl\u00fcssel-\u540d-\U0001f389".encode()


def value_kind(index):
    return index // KEY_KINDS % VALUE_KINDS


def every_key(index):
    kinds = [
        b"deleted" if value_kind(index) == 0 else None,
        b"",
        bytes([0, 255, 128, index % 128]),
        BEYOND_ASCII,
        f"key-{index}".encode(),
    ]
    return kinds[index % KEY_KINDS]


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

    def _every_value(self, index):
        kinds = [
            None,
            b"",
            bytes([255, 0, 128, index % 128]),
            BEYOND_ASCII + f"-{index}".encode(),
            self._text(index, "value", 40),
        ]
        return kinds[value_kind(index)]

    def _every_headers(self, index):
        kinds = [
            [],
            [("empty", b"")],
            [("null", None if self.header_style == "every" else b"x")],
            [("again", b"1"), ("again", b"2"), ("other", b"3")],
            [("binary", bytes([0, 255, 128, 10, index % 128]))],
            [(BEYOND_ASCII.decode(), BEYOND_ASCII)],
        ]
        return kinds[index // (KEY_KINDS * VALUE_KINDS) % HEADER_KINDS]

    def key(self, index):
        if self.shape == "every":
            return every_key(index)
        if self.shape == "mixed":
            return None if index % 7 == 0 else f"key-{index % 100}".encode()
        return f"{self.shape}-{index}".encode()

    def value(self, index):
        if self.shape == "every":
            return self._every_value(index)
        if self.shape == "large":
            return self._binary(index, LARGE_VALUE_BYTES)
        if self.shape == "one-byte" or index % 10 == 0:
            return self._text(index, "value", 1)
        return self._text(index, "value", 20 + (index * 37) % 200)

    def headers(self, index):
        if self.shape == "every":
            return self._every_headers(index)
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
