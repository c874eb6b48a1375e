"""Numbers in a kernel's code at which its behaviour may change: comparisons, steps, masks, divisors.

A fault that depends on sizes depends on a number in the code, or a product of two of them, so these are the sizes to
try. The analysis is not precise: a superfluous number costs one small case, a missing one a wrong verdict.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..errors import SubstituteError
from ..model.kernel import Kernel
from ..model.payload_kind import PayloadFormat
from ..model.plan import Payload

LARGEST = 1 << 24
"""Limit of numbers that can be sizes: larger ones are masks of floating-point bits, and constants of hashes."""
LIKELY = 1 << 16
"""Larger numbers are mostly bits of floating-point numbers."""
USUAL = (128, 256, 512, 1024, 2048, 4096)
"""Numbers for code that cannot be analysed: object files."""
WIDTHS = {8: (128, 256), 16: (32768, 65536)}
"""By the bits of an integer that a size is narrowed to: numbers near its wrap-around."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Numbers of some code, without repetition, the most relevant first."""

    compared: tuple[int, ...] = ()
    """Numbers that something is compared with."""
    first: tuple[int, ...] = ()
    """Numbers to try before all others, from text that a person wrote; empty: `compared`."""
    stepped: tuple[int, ...] = ()
    """Strides, steps, divisors, masks, tiles, sizes of buffers."""

    def __bool__(self) -> bool:
        return bool(self.compared or self.stepped)

    @property
    def ordered(self) -> tuple[int, ...]:
        """Return all of them, operands of comparisons first."""
        return tuple(dict.fromkeys([*self.compared, *self.stepped]))


def join(found: Iterable[Thresholds]) -> Thresholds:
    """Return the numbers of all of these, in order."""
    found = list(found)
    return Thresholds(
        first=tuple(dict.fromkeys(n for one in found for n in one.first)),
        compared=tuple(dict.fromkeys(n for one in found for n in one.compared)),
        stepped=tuple(dict.fromkeys(n for one in found for n in one.stepped)),
    )


class _Collector:
    """Collector that separates operands of comparisons from other numbers."""

    def __init__(self) -> None:
        self._compared: dict[int, None] = {}
        self._stepped: dict[int, None] = {}

    def compare(self, number: int) -> None:
        if 1 < abs(number) <= LARGEST:
            self._compared[abs(number)] = None

    def step(self, number: int) -> None:
        if 1 < abs(number) <= LARGEST:
            self._stepped[abs(number)] = None

    def mask(self, number: int) -> None:
        """Add a mask: `x & 63` is a remainder by 64, `x & -64` rounds down to one."""
        self.step(number + 1 if number > 0 and number & (number + 1) == 0 else number)

    def shift(self, bits: int) -> None:
        if 0 < bits < 20:
            self.step(1 << bits)

    def width(self, bits: int) -> None:
        for number in WIDTHS.get(bits, ()):
            self.compare(number)

    def done(self) -> Thresholds:
        return Thresholds(compared=_in_order(self._compared), stepped=_in_order(self._stepped))


def _in_order(numbers: Iterable[int]) -> tuple[int, ...]:
    """Return the larger numbers first, which few other sizes exceed, but likely sizes before all others."""
    return tuple(sorted(numbers, key=lambda number: (number > LIKELY, -number)))


# --- the launched code


def read_payload(payload: Payload) -> Thresholds:
    """Return the numbers of a payload's code."""
    readers: Mapping[PayloadFormat, Callable[[bytes], Thresholds]] = {
        PayloadFormat.BITCODE: _of_bitcode,
        PayloadFormat.LLVM_DIALECT: lambda data: scan_text(data.decode(errors="replace")),
        PayloadFormat.SPIRV_DIALECT: lambda data: scan_text(data.decode(errors="replace")),
        PayloadFormat.SPIRV: scan_spirv,
        PayloadFormat.PTX: lambda data: scan_ptx(data.decode(errors="replace")),
        PayloadFormat.OBJECT: lambda _: Thresholds(compared=USUAL),
    }
    reader = readers.get(payload.format)
    found = Thresholds() if reader is None else reader(payload.data)
    group = tuple(size for size in payload.workgroup_size or () if size > 1)
    return join([found, Thresholds(stepped=group)])


def _of_bitcode(data: bytes) -> Thresholds:
    from ..payload.llvm.optimize import parse_bitcode

    return scan_llvm(str(parse_bitcode(data, "payload")))


_LLVM_BINARY = re.compile(
    r"= (?:tail |disjoint )*(icmp|and|or|urem|srem|udiv|sdiv|shl|lshr|ashr|mul|add|sub)\b"
    r"((?: [a-z]+)*) (i\d+|<\d+ x i\d+>) (.*)$"
)
_LLVM_LIMIT = re.compile(r"@llvm\.[us](?:min|max)\.[iv0-9]+\((.*)\)")
_LLVM_CASE = re.compile(r"(?:^\s+|\[ *)i(?:8|16|32|64) (-?\d+), label ")
_LLVM_ARRAY = re.compile(r"\[(\d+) x ")
_LLVM_NARROWED = re.compile(r"= trunc (?:n[us]w )*(?:i64|i32) .* to i(8|16)\b")


def scan_llvm(text: str) -> Thresholds:
    """Return the numbers of LLVM IR."""
    found = _Collector()
    for line in text.splitlines():
        if line.startswith(("!", "declare", "target", "source_filename", "attributes")):
            continue
        for size in _LLVM_ARRAY.findall(line):
            found.step(int(size))
        binary = _LLVM_BINARY.search(line)
        if binary is not None:
            bits = int(binary[3].rpartition("i")[2].rstrip(">"))
            _llvm_binary(found, binary[1], binary[4].partition(", !")[0], bits)
            continue
        limit = _LLVM_LIMIT.search(line)
        if limit is not None:
            for number in re.findall(r"i\d+ (-?\d+)\b", limit[1]):
                found.compare(int(number))
        for number in _LLVM_CASE.findall(line):
            found.compare(int(number))
        narrowed = _LLVM_NARROWED.search(line)
        if narrowed is not None:
            found.width(int(narrowed[1]))
    return found.done()


def _llvm_binary(found: _Collector, operation: str, operands: str, bits: int) -> None:
    names = re.sub(r"%[\w.$-]+|%\"[^\"]*\"|@[\w.$-]+|i\d+|<\d+ x [^>]*>", "", operands)
    for number in map(int, re.findall(r"-?\b\d+\b", names)):
        if operation == "icmp":
            found.compare(number)
        elif operation == "and":
            found.mask(number)
        elif operation in ("shl", "lshr", "ashr"):
            found.shift(number)
            found.width(bits - number)  # `x << 24 >> 24` is what is left of a byte
        elif operation != "or":
            found.step(number)


_PTX_LINE = re.compile(r"^\s*(?:@!?%?\w+\s+)?([a-z][\w.]*)\s+(.*?);")
_PTX_ARRAY = re.compile(r"\.(?:shared|local)\b.*\[(\d+)\]")
_IMMEDIATE = re.compile(r"(?<![%\w.$])-?(?:0x[0-9a-fA-F]+|\d+)(?![\w.])U?")


def scan_ptx(text: str) -> Thresholds:
    """Return the numbers of PTX."""
    found = _Collector()
    for line in text.splitlines():
        array = _PTX_ARRAY.search(line)
        if array is not None:
            found.step(int(array[1]))
            found.step(int(array[1]) // 4)
        instruction = _PTX_LINE.match(line.partition("//")[0])
        if instruction is None:
            continue
        name, parts = instruction[1], instruction[1].split(".")
        if any(p.startswith(("f16", "f32", "f64", "bf16", "pred")) for p in parts[1:]):
            continue
        numbers = [int(n.rstrip("U"), 0) for n in _IMMEDIATE.findall(instruction[2])]
        act: Callable[[int], None]
        match parts[0]:
            case "setp" | "set" | "min" | "max" | "slct":
                act = found.compare
            case "and":
                act = found.mask
            case "shl" | "shr":
                act = found.shift
            case "rem" | "div" | "mul" | "mad" | "add" | "sub" | "mov":
                act = found.step
            case "cvt" if name.endswith(("u16.u32", "u16.u64", "s16.s32", "s16.s64")):
                found.width(16)
                continue
            case _:
                continue
        for number in numbers:
            act(number)
    return found.done()


_SPIRV_COMPARED = range(170, 180)  # OpIEqual … OpSLessThanEqual
_SPIRV_STEPPED = {128, 130, 132, 134, 135, 137, 138, 139}  # IAdd, ISub, IMul, UDiv, SDiv, UMod, SRem, SMod
_SPIRV_SHIFTED = {194, 195, 196}
_SPIRV_AND, _SPIRV_CONSTANT, _SPIRV_ARRAY, _SPIRV_EXTENDED, _SPIRV_SWITCH = 199, 43, 28, 12, 251
_SPIRV_LIMITS = {38, 39, 41, 42, 44, 45}  # UMin, SMin, UMax, SMax, UClamp, SClamp


def scan_spirv(data: bytes) -> Thresholds:
    """Return the numbers of a SPIR-V binary."""
    from ..payload.spirv.module import OP_TYPE_FLOAT, read_module

    found = _Collector()
    module = read_module(data)
    floats = {i.words[0] for i in module.instructions if i.op == OP_TYPE_FLOAT}
    constants: dict[int, int] = {}
    for one in module.instructions:
        if one.op == _SPIRV_CONSTANT and one.words[0] not in floats:
            number = one.words[2]
            constants[one.words[1]] = number - (1 << 32) if number >> 31 else number
    for one in module.instructions:
        numbers = [constants[word] for word in one.words[2:] if word in constants]
        act: Callable[[int], None]
        if one.op in _SPIRV_COMPARED:
            act = found.compare
        elif one.op in _SPIRV_STEPPED or one.op == _SPIRV_ARRAY:
            act = found.step
        elif one.op in _SPIRV_SHIFTED:
            act = found.shift
        elif one.op == _SPIRV_AND:
            act = found.mask
        elif one.op == _SPIRV_EXTENDED and one.words[3] in _SPIRV_LIMITS:
            act = found.compare
        elif one.op == _SPIRV_SWITCH:
            numbers, act = list(one.words[2::2]), found.compare
        else:
            continue
        for number in numbers:
            act(number)
    return found.done()


# --- its source


def read_source(kernel: Kernel) -> Thresholds:
    """Return the numbers of a kernel's files: its source, before compilation, constraints and launch."""
    texts = [constraint.text for constraint in kernel.constraints]
    manifest = scan_text("\n".join([*texts, *(kernel.launch.workgroup_count or ())]))
    group = tuple(size for size in kernel.launch.workgroup_size or () if size > 1)
    return join([Thresholds(compared=manifest.compared, stepped=(*manifest.stepped, *group)), _of_file(kernel)])


def _of_file(kernel: Kernel) -> Thresholds:
    from ..payload.file import read_code

    path = kernel.payload.path
    if not kernel.payload.kind.has_file or not path.is_file():
        return Thresholds()
    try:
        data = read_code(kernel)
        match path.suffix:
            case ".py":
                return scan_python(data.decode(errors="replace"))
            case ".ll":
                return scan_llvm(data.decode(errors="replace"))
            case ".bc":
                return _of_bitcode(data)
            case ".ptx":
                return scan_ptx(data.decode(errors="replace"))
            case ".spv":
                return scan_spirv(data)
            case ".o" | ".a":
                return Thresholds(compared=USUAL)
            case _:
                return scan_text(data.decode(errors="replace"))
    except SubstituteError:
        return Thresholds()  # the error is reported when it is compiled


_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_COMPARED_TEXT = re.compile(r"(?:[<>=!]=|[<>])\s*(\d+)[uUlL]*\b(?!\.)|\b(\d+)[uUlL]*\s*(?:[<>=!]=|[<>])")
_NUMBER = re.compile(r"(?<![\w.])(\d+)[uUlL]*(?![\w.])")


def scan_text(text: str) -> Thresholds:
    """Return the numbers of source code in a C-like language."""
    text = _COMMENT.sub("", text)
    found = _Collector()
    for before, after in _COMPARED_TEXT.findall(text):
        found.compare(int(before or after))
    for number in _NUMBER.findall(text):
        found.step(int(number))
    return found.done()


def scan_python(text: str) -> Thresholds:
    """Return the numbers of a generator's source."""
    found = _Collector()
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return Thresholds()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for number in _integers([node.left, *node.comparators]):
                found.compare(number)
        elif isinstance(node, ast.Constant | ast.BinOp):
            for number in _integers([node]):
                found.step(number)
    return found.done()


def _integers(nodes: Iterable[ast.AST]) -> Iterator[int]:
    """Yield the values of constant integer expressions."""
    for node in nodes:
        match node:
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                yield number
            case ast.BinOp(left=left, op=op, right=right):
                for a in _integers([left]):
                    for b in _integers([right]):
                        match op:
                            case ast.LShift() if 0 <= b < 40:
                                yield a << b
                            case ast.Mult():
                                yield a * b
                            case ast.Add():
                                yield a + b
                            case ast.Sub():
                                yield a - b
                            case ast.Pow() if 0 <= b < 40 and abs(a) < 1 << 16:
                                yield a**b
                            case _:
                                pass
            case _:
                pass
