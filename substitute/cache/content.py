"""Digests of frozen data by content, used as cache keys."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from enum import Enum
from hashlib import blake2b
from pathlib import Path


def digest_content(*values: object) -> str:
    """Return the digest of data classes, tuples, frozen sets and plain values; equal data has the same in any process.

    Unlike `==` it tells 0.0 from -0.0, 1 from 1.0 and one NaN from another. Raises `TypeError` for other objects.
    """
    return blake2b(b"".join(_parts(values)), digest_size=20).hexdigest()


def _parts(value: object) -> Iterator[bytes]:
    """Yield the value in an encoding from which it could be read back."""
    if value is None or isinstance(value, bool | int):
        yield b"%s;" % str(value).encode()
    elif isinstance(value, float):
        yield b"f" + struct.pack("<d", value)
    elif isinstance(value, Enum):
        yield from _parts(value.value)
    elif isinstance(value, str):
        yield b"s%d:%s" % (len(data := value.encode()), data)
    elif isinstance(value, bytes):
        yield b"b%d:%s" % (len(value), value)
    elif isinstance(value, tuple | list):
        yield b"t%d:" % len(value)
        for item in value:
            yield from _parts(item)
    elif isinstance(value, frozenset):
        yield b"u%d:" % len(value)
        yield from sorted(b"".join(_parts(item)) for item in value)
    elif isinstance(value, Path):
        yield from _parts(str(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield b"d%s:" % type(value).__qualname__.encode()
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))
    else:
        raise TypeError(f"no digest of a {type(value).__qualname__}")
