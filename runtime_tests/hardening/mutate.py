"""Changes valid inputs: bytes, tokens, and the structure of JSON, zip files and words of 32 bits."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Mutator = Callable[[Random, bytes], bytes]

TOKEN = re.compile(rb"[A-Za-z_$%@#!.][\w$.]*|\d+|\s+|.", re.DOTALL)
ODD_NUMBERS = (0, -1, 1, 2**31, 2**32 - 1, 2**63, -(2**63), 10**30, 10**400)
ODD_TEXTS = (
    "",
    "\0",
    "\ud800"[:0],
    "é",
    "a" * 5000,
    "../../x",
    "%n",
    "NaN",
    "-",
    "}",
    "{",
    '"',
    "*/",
    "//",
    "0x",
    "1e999",
)
NESTED = ("(", "[", "{", "<", "-", "!", "/*", "[[")
DEPTHS = (50, 1500, 30_000)


def change_bytes(random: Random, data: bytes) -> bytes:
    """Flip, insert, delete, repeat or cut off bytes."""
    at, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    match random.randrange(6):
        case 0:
            return data[:at]
        case 1 if data:
            at = random.randrange(len(data))
            return data[:at] + bytes((data[at] ^ (1 << random.randrange(8)),)) + data[at + 1 :]
        case 2:
            return data[:at] + random.randbytes(random.choice((1, 4, 16))) + data[at:]
        case 3:
            return data[:at] + data[min(end, at + random.choice((1, 8, 200))) :]
        case 4:
            return data[:end] + data[at:end] + data[end:]
        case _:
            return data[:at] + b"\0" + data[at + 1 :]


def change_tokens(random: Random, data: bytes) -> bytes:
    """Delete, repeat, exchange or replace words of a text."""
    tokens = TOKEN.findall(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        if not tokens:
            break
        at, other = random.randrange(len(tokens)), random.randrange(len(tokens))
        match random.randrange(7):
            case 0:
                del tokens[at]
            case 1:
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 2:
                tokens[at] = tokens[other]
            case 3:
                tokens[at : at + 1] = [tokens[at]] * random.choice((2, 3, 40))
            case 4:
                tokens[at] = str(random.choice(ODD_NUMBERS)).encode()
            case 5:
                tokens[at] = random.choice(ODD_TEXTS).encode()
            case _:
                tokens[at:at] = [random.choice(NESTED).encode()] * random.choice(DEPTHS)
    return b"".join(tokens)


def change_lines(random: Random, data: bytes) -> bytes:
    """Delete, repeat or move lines."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(3):
        case 0:
            del lines[at : at + random.choice((1, 1, 5))]
        case 1:
            lines.insert(other, lines[at])
        case _:
            lines.insert(other, lines.pop(at))
    return b"".join(lines)


def change_json(random: Random, data: bytes) -> bytes:
    """Replace, delete or add a value somewhere in JSON."""
    try:
        value = json.loads(data)
    except ValueError:
        return change_bytes(random, data)
    return json.dumps(_change_value(random, value)).encode()


def _change_value(random: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        match random.randrange(8):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**{k: v for k, v in value.items() if k != key}, random.choice(ODD_TEXTS): value[key]}
            case _:
                return {**value, key: _change_value(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.85:
        at = random.randrange(len(value))
        match random.randrange(8):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value + [value[at]] * random.choice((1, 100))
            case _:
                return [*value[:at], _change_value(random, value[at]), *value[at + 1 :]]
    return _odd_value(random)


def _odd_value(random: Random) -> Any:
    nested: Any = 0
    for _ in range(random.choice((1, 400))):
        nested = [nested]
    choices = (None, True, {}, [], "text", 1.5, float("nan"), float("inf"), [None], {"": {}}, nested)
    return random.choice((*choices, random.choice(ODD_NUMBERS), random.choice(ODD_TEXTS)))


def change_words(random: Random, data: bytes) -> bytes:
    """Replace, delete, repeat or exchange words of 32 bits."""
    words = list(struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4]))
    for _ in range(random.choice((1, 1, 3))):
        if not words:
            break
        at, other = random.randrange(len(words)), random.randrange(len(words))
        match random.randrange(6):
            case 0:
                words[at] = random.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, words[other], random.randrange(2**32)))
            case 1:
                words[at] = (words[at] + random.choice((-1, 1, 0x10000, -0x10000))) % 2**32
            case 2:
                del words[at : at + random.choice((1, 2, 9))]
            case 3:
                words[at:at] = words[other : other + random.choice((1, 5, 30))]
            case 4:
                words[at], words[other] = words[other], words[at]
            case _:
                words = words[: max(at, 1)]
    return struct.pack(f"<{len(words)}I", *words)


def change_zip(mutators: Sequence[Mutator]) -> Mutator:
    """Return a mutator that changes one member of a zip file by one of these."""

    def change(random: Random, data: bytes) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                members = {name: file.read(name) for name in file.namelist()}
        except (zipfile.BadZipFile, OSError, ValueError, RuntimeError):
            return change_bytes(random, data)
        name = random.choice(sorted(members))
        if random.random() < 0.15:
            del members[name]
        else:
            members[name] = random.choice(mutators)(random, members[name])
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for member, content in members.items():
                file.writestr(member, content)
        return stream.getvalue()

    return change
