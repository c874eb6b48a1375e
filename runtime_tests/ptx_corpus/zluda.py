"""The PTX tests of ZLUDA, from a checkout that a person has: each has a kernel, its input and its expected output.

Nothing of it is kept here. Its kernels take a pointer to the input and one to the output.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from substitute.errors import PayloadError
from substitute.payload.ptx.parse import parse

from .outcomes import Case, Corpus, Expected

_FOLDER = Path("ptx/src/test/spirv_run")
_CALL = re.compile(r"^test_ptx(?:_with_32|_warp)?!\(\s*(\w+)\s*(?:,(.*?))?\);$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*")
_TYPES = {f"{k}{n}": np.dtype(f"{'u' if k == 'u' else k}{n // 8}") for k in "ui" for n in (8, 16, 32, 64)}
_TYPES |= {"f32": np.dtype("f4"), "f64": np.dtype("f8"), "f16": np.dtype("f2")}
_SUFFIX = re.compile(r"(?<=[0-9a-fA-F.])_?(u8|u16|u32|u64|i8|i16|i32|i64|f32|f64)\b")
SHARED_BYTES = 1024
"""Dynamic shared memory of each launch there."""


def zluda(folder: Path) -> Corpus:
    """The corpus of a checkout."""
    found = folder / _FOLDER / "mod.rs"
    return Corpus("ZLUDA's PTX tests", lambda: _cases(folder), "" if found.is_file() else f"no {_FOLDER}/mod.rs there")


def _cases(folder: Path) -> Iterator[Case]:
    source = _COMMENT.sub("", (folder / _FOLDER / "mod.rs").read_text())
    for found in _CALL.finditer(source):
        name, rest = found[1], found[2]
        file = folder / _FOLDER / f"{name}.ptx"
        if not rest or not file.is_file():
            continue
        lists = [_values(text) for text in re.findall(r"\[(.*?)\]", rest, re.DOTALL)]
        if any(values is None for values in lists) or len(lists) not in (1, 2):
            continue
        warp, text = len(lists) == 1, file.read_text()
        target = re.search(r"\.target\s+(sm_(\d+)\w?)", text)
        newer = target is not None and int(target[2]) > 90
        output = Expected(lists[-1], tolerance=1e-6 if lists[-1].dtype.kind == "f" else 0.0)  # type: ignore[arg-type, union-attr]
        yield Case(
            name=name,
            ptx=text,
            entry=name,
            block=(64 if warp else 1, 1, 1),
            shared_bytes=SHARED_BYTES,
            arguments=_unused(text, name, warp) + ((output,) if warp else (lists[0], output)),
            architecture=target[1] if newer and target is not None else "sm_90a",
        )


def _unused(text: str, name: str, warp: bool) -> tuple[np.uint64, ...]:
    """A null pointer for the input that some kernels declare and are not given."""
    try:
        entry = parse(text).entry(name)
    except PayloadError:
        return ()
    return (np.uint64(0),) if warp and entry is not None and len(entry.parameters) == 2 else ()


def _values(text: str) -> np.ndarray | None:
    """A list of literals of Rust; None if it has anything else."""
    repeat = re.fullmatch(r"\s*(.+?);\s*(\d+)\s*", text, re.DOTALL)
    parts = [repeat[1]] * int(repeat[2]) if repeat else [p for p in text.split(",") if p.strip()]
    kinds = {m[1] for part in parts for m in [*_SUFFIX.finditer(part), *re.finditer(r"\b(f16|[iuf]\d+)::", part)]}
    if any("to_bits" in part for part in parts):
        kinds = {"u16"}
    floats = any("." in _SUFFIX.sub("", p) and "::" not in p for p in parts)
    kind = kinds.pop() if len(kinds) == 1 else None if kinds else "f64" if floats else "i32"
    if kind is None or kind not in _TYPES:
        return None
    dtype = _TYPES[kind]
    values = [_value(part.strip(), dtype) for part in parts]
    if any(value is None for value in values):
        return None
    if dtype.kind == "f":
        return np.array(values, np.float64).astype(dtype)
    return np.array([int(v) & ((1 << 8 * dtype.itemsize) - 1) for v in values], f"u{dtype.itemsize}").view(dtype)  # type: ignore[arg-type]


def _value(text: str, dtype: np.dtype) -> float | int | None:
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    text = text.replace("half::", "")
    if text.endswith(".to_bits()"):
        inner = _value(text.removesuffix(".to_bits()"), np.dtype("f2"))
        return None if inner is None else int(np.float16(inner).view(np.uint16))
    wrapped = re.fullmatch(r"f16::from_f(?:64|32)\((.*)\)", text)
    if wrapped:
        return _value(wrapped[1], np.dtype("f8"))
    named = re.fullmatch(r"(-?)\w+::(MAX|MIN|NAN|INFINITY|NEG_INFINITY|max_value\(\)|min_value\(\))", text)
    if named:
        words = {"NAN": math.nan, "INFINITY": math.inf, "NEG_INFINITY": -math.inf}
        if limits is not None:
            words |= {"MAX": limits.max, "max_value()": limits.max, "MIN": limits.min, "min_value()": limits.min}
        found = words.get(named[2])
        return -found if found is not None and named[1] else found
    text = text.replace("std::f32::consts::PI", repr(math.pi)).replace("std::f64::consts::PI", repr(math.pi))
    plain = _SUFFIX.sub("", text).replace("_", "")
    divided = re.fullmatch(r"([-\d.]+)\s*/\s*([-\d.]+)", plain)
    try:
        if divided:
            return float(divided[1]) / float(divided[2])
        return int(plain, 0) if re.fullmatch(r"-?(0[xb])?[0-9a-fA-F]+", plain) else float(plain)
    except ValueError:
        return None
