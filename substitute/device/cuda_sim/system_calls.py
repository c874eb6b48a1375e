"""Builders of calls of the driver's functions: vprintf and __assertfail.

Source: CUDA C++ Programming Guide, "Formatted Output" and "Assertion"; PTX interoperability guide, "System Calls".
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from ...payload.ptx.syntax import Instruction, Operand, Register, Symbol
from .batch import Batch
from .decode import Decoder, Run
from .faults import Place, Refused, Stop
from .flatten import TOO_DEEP
from .memory_access import load, store
from .types import Array, Registers

_SIZES = {"vprintf": (8, 8), "__assertfail": (8, 8, 4, 8, 8)}
"""Bytes of each argument."""
_LONGEST = 4096
MOST_PRINTED = 1 << 20
"""Characters of one launch: the default size of a device's buffer."""
_CONVERSION = re.compile(r"%[-+ #0]*(\*|\d+)?(?:\.(\*|\d+))?(hh|h|ll|l|j|z|t|L)?([diouxXcsfFeEgGaAp%])")


def system_call(d: Decoder, i: Instruction) -> Run:
    """Build a call in the form that `flatten` writes."""
    name, results = i.opcode[1], int(i.opcode[2])
    operands = i.operands[results:]
    if name == TOO_DEEP:
        deep, place = f"{i.opcode[3]} calls itself more than {i.opcode[4]} deep, which is not followed here", d.place
        return lambda m, r: _end(m, place, deep)
    sizes = _SIZES.get(name)
    if sizes is None or len(sizes) != len(operands):
        raise Refused(f"the device runtime's function {name}")
    reads = [_argument(d, operand, size) for operand, size in zip(operands, sizes, strict=True)]
    place = d.place
    if name == "__assertfail":
        return lambda m, r: _fail(m, place, [read(m, r) for read in reads[:4]])
    store = _result(d, i.operands[0]) if results else None

    def run(m: Batch, r: Registers) -> None:
        form, places = (read(m, r) for read in reads)
        count = _print(m, place, form, places)
        if store is not None:
            store(m, r, count)

    return run


def _end(m: Batch, place: Place, words: str) -> None:
    m.fault("trap", place, int(m.chosen(None)[0]), words, count=m.count)
    raise Stop


def _argument(d: Decoder, operand: Operand, size: int) -> Callable[[Batch, Registers], Array]:
    """Return a reader of the values of all active lanes, from a register or from the caller's parameter space."""
    if not isinstance(operand, Symbol):
        read = d.read(operand, f"u{8 * size}")
        return lambda m, r: np.broadcast_to(read(r), (m.count,))
    location, place = d.locate(operand.name), d.place
    at = np.array([location.offset], np.int64)

    def from_memory(m: Batch, r: Registers) -> Array:
        data = load(m, place, location.space, at, size, None)
        return np.broadcast_to(np.ascontiguousarray(data).view(f"u{size}").reshape(-1), (m.count,))

    return from_memory


def _result(d: Decoder, operand: Operand) -> Callable[[Batch, Registers, Array], None] | None:
    if isinstance(operand, Register):
        put = d.put(operand, "u32")
        return lambda m, r, value: put(r, value, None)
    if not isinstance(operand, Symbol):
        return None
    location, place = d.locate(operand.name), d.place
    at = np.array([location.offset], np.int64)
    return lambda m, r, value: store(
        m, place, location.space, at, np.ascontiguousarray(value).view(np.uint8).reshape(-1, 4), 4, None
    )


def _text(m: Batch, place: Place, address: int) -> str:
    """Return a C string in memory; an invalid address is a finding."""
    found = bytearray()
    while len(found) < _LONGEST:
        at = np.array([address + len(found)], np.int64)
        byte = int(load(m, place, "generic", at, 1, np.zeros(1, np.int64)).reshape(-1)[0])
        if not byte:
            break
        found.append(byte)
    return found.decode(errors="replace")


def _fail(m: Batch, place: Place, arguments: list[Array]) -> None:
    message, file, line, function = (int(x[0]) for x in arguments)
    words = (
        f"{_text(m, place, file)}:{line}: {_text(m, place, function)}: assertion `{_text(m, place, message)}` failed"
    )
    m.fault("assertion", place, int(m.chosen(None)[0]), words, count=m.count)
    raise Stop


def _print(m: Batch, place: Place, forms: Array, places: Array) -> Array:
    """Print formats for each active lane in order; return the number of arguments that each printed."""
    counts = np.zeros(m.count, np.uint32)
    texts = {int(address): _text(m, place, int(address)) for address in np.unique(forms)}
    for position in range(m.count):
        text, at = texts[int(forms[position])], int(places[position])
        out, end, count = [], 0, 0
        for found in _CONVERSION.finditer(text):
            out.append(text[end : found.start()])
            end = found.end()
            if found[4] == "%":
                out.append("%")
                continue
            values: list[object] = []
            for _ in range(found[0].count("*")):
                value, at = _next(m, place, position, at, 4)
                values.append(value)
            wide = found[4] in "sfFeEgGaAp" or found[3] in ("l", "ll", "j", "z", "t")
            raw, at = _next(m, place, position, at, 8 if wide else 4)
            count += 1 + len(values)
            out.append(_formatted(m, place, found, values, raw, wide=wide))
        m.log.write("".join([*out, text[end:]]), MOST_PRINTED)
        counts[position] = count
    return counts


def _next(m: Batch, place: Place, position: int, at: int, size: int) -> tuple[int, int]:
    """Return the next argument, and the earliest address of the following one."""
    at = -(-at // size) * size
    addresses = np.zeros(m.count, np.int64)
    addresses[position] = at
    data = load(m, place, "generic", addresses, size, np.array([position]))
    return int(np.ascontiguousarray(data).view(f"i{size}").reshape(-1)[0]), at + size


def _formatted(m: Batch, place: Place, found: re.Match[str], values: list[object], raw: int, *, wide: bool) -> str:
    kind = found[4]
    flags = found[0][1:-1].removesuffix(found[3] or "")
    if kind == "s":
        return f"%{flags}s" % (*values, _text(m, place, raw) if raw else "(null)")
    if kind == "p":
        return f"{raw & 0xFFFFFFFFFFFFFFFF:#x}"
    if kind in "aA":
        return float.hex(float(np.int64(raw).view(np.float64)))
    if kind in "fFeEgG":
        return f"%{flags}{kind}" % (*values, float(np.int64(raw).view(np.float64)))
    if kind == "c":
        return f"%{flags}c" % (*values, chr(raw & 255))
    if kind in "ouxX":
        raw &= 0xFFFFFFFFFFFFFFFF if wide else 0xFFFFFFFF
    return f"%{flags}{'d' if kind == 'u' else kind}" % (*values, raw)
