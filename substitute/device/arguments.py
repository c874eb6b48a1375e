"""Inputs and outputs in the syntax of `iree-run-module`.

    --input=5   --input=i32=5   --input=2x3xf32   --input="2x3xf32=1 2 3 4 5 6"   --input="2x3xf32=[[1 2 3][4 5 6]]"
    --input=4x2048xi32=@file.bin   --input=@file.npy   --output=@file.npy   --output=+file.npy   --output=-

A tensor without values holds zeros; a single value fills it. Unlike IREE's tool, `i1` takes `0 1 true false`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..cache.atomic import replacement
from ..errors import SourceText, UsageError
from .value_type import ELEMENT_TYPES, Array, ValueType, element_dtype, parse_value_type, type_of

_TOKEN = re.compile(r"[^\s,\[\]]+")
_NEXT = "write SHAPExTYPE=VALUES such as '2x3xf32=1 2 3 4 5 6', SHAPExTYPE=@file.bin, @file.npy, or a number"
_ELEMENTS_PRINTED = 1024


def parse_inputs(texts: Sequence[str]) -> list[Array]:
    """Return all values of a command line, in order; an `.npy` file may hold several. Raises `UsageError`."""
    return [value for text in texts for value in _parse(text)]


def parse_input(text: str) -> Array:
    """Return the value of one input; a plain number has no dimensions. Raises `UsageError`."""
    values = _parse(text)
    if len(values) != 1:
        _fail("several values where one is wanted", text, 0, expected="a file with one array", found=str(len(values)))
    return values[0]


def _parse(text: str) -> list[Array]:
    if text.startswith("@"):
        return _read_npy(text, 1)
    head, equals, values = text.partition("=")
    if not equals and _is_number(text):
        return [_number(text)]
    kind = _parse_type(text, head)
    shape = tuple(size or 0 for size in kind.shape or ())
    if not equals:
        return [np.zeros(shape, element_dtype(kind.element))]
    start = len(head) + 1
    if values.startswith("@"):
        return [_read_file(text, start + 1, kind)]
    return [_read_elements(text, start, kind)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> Array:
    """Return a plain number: 32 bits as in IREE's own tools, 64 where an integer needs them."""
    try:
        whole = int(text)
    except ValueError:
        return np.array(float(text), np.float32)
    if not -(2**63) <= whole < 2**63:
        _fail("a number beyond 64 bits", text, 0, expected="an integer of at most 64 bits", found=text)
    return np.array(whole, np.int32 if -(2**31) <= whole < 2**31 else np.int64)


def _parse_type(text: str, head: str) -> ValueType:
    # IREE accepts `xf32` for no dimensions as well
    plain = head[1:] if head.startswith("x") and len(head) > 1 else head
    try:
        kind = parse_value_type(plain)
    except ValueError:
        sizes = re.match(r"(?:[\d?]+x)*", head)
        column = sizes.end() if sizes else 0
        _fail("no such element type", text, column, expected=", ".join(ELEMENT_TYPES), found=head[column:] or "nothing")
    if kind.shape is None or None in kind.shape:
        _fail("a size is open", text, max(head.find("?"), 0), expected="a number for each dimension", found=head)
    return kind


def _read_elements(text: str, start: int, kind: ValueType) -> Array:
    shape = tuple(size or 0 for size in kind.shape or ())
    dtype = element_dtype(kind.element)
    tokens = list(_TOKEN.finditer(text, start))
    count = int(np.prod(shape, dtype=np.int64))
    if len(tokens) not in (1, count):
        column = tokens[count].start() if len(tokens) > count else len(text)
        expected = f"{count} values for {kind}" + (", or one for all" if count > 1 else "")
        _fail("wrong number of values", text, column, expected=expected, found=str(len(tokens)))
    values = [_element(text, token, dtype) for token in tokens]
    if len(values) == 1:
        return np.full(shape, values[0], dtype)
    return np.array(values, dtype).reshape(shape)


def _element(text: str, token: re.Match[str], dtype: np.dtype[Any]) -> object:
    word = token[0]
    try:
        if dtype.kind == "b":
            return {"0": False, "1": True, "false": False, "true": True}[word.lower()]
        if dtype.kind in "iu":
            whole = int(word, 0)
            limits = np.iinfo(dtype)
            if not limits.min <= whole <= limits.max:
                _fail(
                    "a value out of range",
                    text,
                    token.start(),
                    expected=f"{limits.min} to {limits.max} for {dtype}",
                    found=word,
                )
            return whole
        return complex(word) if dtype.kind == "c" else float(word)
    except (ValueError, KeyError):
        _fail("not a value of this type", text, token.start(), expected=f"a number of type {dtype}", found=word)


def _read_file(text: str, start: int, kind: ValueType) -> Array:
    """Return the values of a file of raw bytes, or of an `.npy` of the type that is written before it."""
    path = Path(text[start:])
    if path.suffix == ".npy":
        values = _read_npy(text, start)
        if len(values) != 1 or not kind.fits(values[0]):
            found = ", ".join(str(type_of(value)) for value in values)
            _fail("the file holds something else", text, start, expected=str(kind), found=found)
        return values[0]
    shape = tuple(size or 0 for size in kind.shape or ())
    dtype = element_dtype(kind.element)
    expected_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    data = _bytes_of(path, text, start)
    if len(data) != expected_bytes:
        expected = f"{expected_bytes} bytes for {kind}"
        _fail("the file has the wrong size", text, start, expected=expected, found=f"{len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _bytes_of(path: Path, text: str, start: int) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        _fail("the file cannot be read", text, start, expected="a readable file", found=error.strerror or str(error))


def _read_npy(text: str, start: int) -> list[Array]:
    path = Path(text[start:])
    values: list[Array] = []
    size = len(_bytes_of(path, text, start))
    try:
        with path.open("rb") as file:
            while file.tell() < size:
                values.append(_with_known_type(np.load(file, allow_pickle=False)))
    except (ValueError, OSError, EOFError) as error:
        _fail("not a NumPy file", text, start, expected="what numpy.save writes", found=str(error).split("\n")[0])
    if not values:
        _fail("an empty file", text, start, expected="what numpy.save writes", found="no bytes")
    return values


def _with_known_type(value: Array) -> Array:
    # NumPy has no bfloat16: `numpy.save` writes its two bytes as opaque data
    return value.view(element_dtype("bf16")) if value.dtype == np.dtype("V2") else value


def _fail(what: str, text: str, column: int, *, expected: str, found: str) -> NoReturn:
    raise UsageError(
        what,
        where="--input",
        expected=expected,
        found=found,
        next_step=_NEXT,
        source=SourceText(line=1, column=column + 1, text=text),
    )


def write_output(value: Array, target: str) -> str | None:
    """Write a result to `@file.npy` or `@file.bin` (replaced) or `+file` (appended); for `-`, return the text to print.

    A new file appears whole or not at all. Raises `UsageError`.
    """
    if target == "-":
        return format_value(value)
    if target[:1] not in ("@", "+") or len(target) < 2:
        raise UsageError(
            "not an output",
            where="--output",
            expected="-, @file.npy, @file.bin, +file.npy or +file.bin",
            found=target or "nothing",
            source=SourceText(line=1, column=1, text=target),
        )
    path = Path(target[1:])
    try:
        if target[0] == "+":
            with path.open("ab") as file:
                _write(value, file, path.suffix)
        else:
            _write_anew(value, path)
    except OSError as error:
        raise UsageError(
            "the output cannot be written",
            where=str(path),
            expected="a folder that can be written to",
            found=error.strerror or str(error),
        ) from error
    return None


def _write_anew(value: Array, path: Path) -> None:
    with replacement(path) as temporary, temporary.open("wb") as file:
        _write(value, file, path.suffix)


def _write(value: Array, file: Any, suffix: str) -> None:
    if suffix == ".npy":
        np.save(file, value)
    else:
        file.write(np.ascontiguousarray(value).tobytes())


def format_value(value: Array, *, elements: int = _ELEMENTS_PRINTED) -> str:
    """Return `2x3xf32=[1 2 3][4 5 6]`, as IREE prints a value and `parse_input` reads it, with at most `elements`
    values.
    """
    if value.size > elements:
        shown = " ".join(_format_element(x) for x in value.reshape(-1)[:elements])
        return f"{type_of(value)}={shown} … ({value.size - elements} more)"
    return f"{type_of(value)}={_format_nested(value)}"


def _format_nested(value: Array) -> str:
    if value.ndim == 0:
        return _format_element(value[()])
    if value.ndim == 1:
        return " ".join(_format_element(x) for x in value)
    return "".join(f"[{_format_nested(part)}]" for part in value)


def _format_element(element: Any) -> str:
    if isinstance(element, (np.bool_, bool)):
        return "1" if element else "0"
    if isinstance(element, (np.float32, np.float64, np.float16)):
        plain = element == 0 or 1e-4 <= abs(float(element)) < 1e6
        return np.format_float_positional(element, trim="-") if plain else str(element)
    return str(element)
