"""Mutation operators on LLVM IR as text: each changes one instruction in the manner of a realistic fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from ...payload.llvm.definitions import SLOTS_BELOW
from .mutant import Mutant

Change = tuple[str, str]
"""Class of the fault, and the new text of the line."""

_NAME = r'%(?:[\w.$-]+|"[^"]*")'
_INSTRUCTION = re.compile(rf"^(?P<indent>\s*)(?:(?P<result>{_NAME}) = )?(?P<code>[a-z_]+)(?P<rest>\b.*)$", re.DOTALL)
_FLAGS = "nuw|nsw|exact|disjoint|fast|contract|reassoc|nnan|ninf|nsz|arcp|afn"
_BINARY = re.compile(rf"^(?P<flags>(?: (?:{_FLAGS}))*) (?P<type>[^%]+?) (?P<a>[^ ,]+|<[^>]*>), (?P<b>[^ ,]+|<[^>]*>)$")
_COMPARE = re.compile(r"^(?P<flags>(?: (?:fast|nnan|ninf|nsz|samesign))*) (?P<how>[a-z]+) (?P<rest>.*)$")
_INTEGER = re.compile(r"(?<=[ ,\[(])(-?\d+)(?=$|[ ,\])])")
_FLOAT = re.compile(r"(?<=[ ,\[(])(0x[0-9A-F]{16}|-?\d+\.\d+(?:e[+-]?\d+)?)(?=$|[ ,\])])")
_WIDTH = re.compile(r"^(?:<\d+ x )?(half|bfloat|float|double)>?$")

_BOUNDS = {
    "slt": "sle",
    "sle": "slt",
    "sgt": "sge",
    "sge": "sgt",
    "ult": "ule",
    "ule": "ult",
    "ugt": "uge",
    "uge": "ugt",
}
_NEGATED = {
    "slt": "sge",
    "sle": "sgt",
    "sgt": "sle",
    "sge": "slt",
    "ult": "uge",
    "ule": "ugt",
    "ugt": "ule",
    "uge": "ult",
    "eq": "ne",
    "ne": "eq",
}
_FLOAT_BOUNDS = {
    "olt": "ole",
    "ole": "olt",
    "ogt": "oge",
    "oge": "ogt",
    "ult": "ule",
    "ule": "ult",
    "ugt": "uge",
    "uge": "ugt",
}
_FLOAT_ORDER = {
    "olt": "ult",
    "ole": "ule",
    "ogt": "ugt",
    "oge": "uge",
    "oeq": "ueq",
    "une": "one",
    "ult": "olt",
    "ugt": "ogt",
    "uno": "false",
    "ord": "true",
}
_OTHER = {
    "add": ("sub",),
    "sub": ("add",),
    "mul": ("add",),
    "shl": ("lshr",),
    "lshr": ("ashr", "shl"),
    "ashr": ("lshr",),
    "and": ("or",),
    "or": ("and",),
    "xor": ("or",),
    "sdiv": ("udiv",),
    "udiv": ("sdiv",),
    "srem": ("urem",),
    "urem": ("srem",),
    "fadd": ("fsub",),
    "fsub": ("fadd",),
    "fmul": ("fadd",),
    "fdiv": ("fmul",),
    "frem": ("fmul",),
}
_CONVERSIONS = {
    "sext": "zext",
    "zext": "sext",
    "sitofp": "uitofp",
    "uitofp": "sitofp",
    "fptosi": "fptoui",
    "fptoui": "fptosi",
}
_INTRINSICS = {
    "smin": ("smax",),
    "smax": ("smin",),
    "umin": ("umax",),
    "umax": ("umin",),
    "maximum": ("minimum", "maxnum"),
    "minimum": ("maximum", "minnum"),
    "maxnum": ("minnum", "maximum"),
    "minnum": ("maxnum", "minimum"),
    "floor": ("trunc", "ceil"),
    "ceil": ("floor",),
    "trunc": ("floor",),
    "roundeven": ("round",),
    "rint": ("round",),
    "nearbyint": ("round",),
    "round": ("roundeven",),
    "fabs": ("floor",),
    "exp": ("exp2",),
    "exp2": ("exp",),
    "log": ("log2",),
    "sin": ("cos",),
    "cos": ("sin",),
    "sqrt": ("fabs",),
    "cttz": ("ctlz",),
    "ctlz": ("cttz",),
}
_CALL = re.compile(r"@llvm\.(?P<name>[a-z]+)\.(?P<suffix>[\w.]+)\(")
_TWO = re.compile(r"\((?P<type>[\w<> ]+?) (?P<a>[^ ,()]+), (?P=type) (?P<b>[^ ,()]+)\)")
_REDUCED = {"half": "", "float": "half", "double": "float", "bfloat": ""}
COMMUTES = frozenset({"add", "mul", "and", "or", "xor", "fadd", "fmul"})


def mutants_of(text: str, *, code: int = 0, title: str = "") -> list[Mutant]:
    """Return all mutants of a module; a change that two operators make occurs once."""
    lines = text.partition(SLOTS_BELOW)[0].split("\n")
    found: list[Mutant] = []
    inside = False
    for number, line in enumerate(lines):
        if line.startswith("define"):
            inside = True
        elif line.startswith("}"):
            inside = False
        elif inside:
            bare = _bare(line)
            seen = {bare}
            for fault, changed in _changes(bare):
                if changed not in seen:
                    seen.add(changed)
                    found.append(
                        Mutant(
                            code=code,
                            title=title,
                            operator=fault,
                            place=number,
                            line=number + 1,
                            before=bare,
                            after=changed,
                        )
                    )
    return found


def apply(text: str, mutant: Mutant) -> str:
    """Return the module with the change, and with declarations of the intrinsics that it needs."""
    lines = text.split("\n")
    lines[mutant.place : mutant.place + 1] = mutant.after.split("\n") if mutant.after else []
    new = set(re.findall(r"@llvm\.[\w.]+", mutant.after)) - set(re.findall(r"@llvm\.[\w.]+", text))
    old = re.findall(r"@llvm\.[\w.]+", mutant.before)
    for name in new:
        for line in text.split("\n"):
            if old and line.startswith("declare") and f"{old[0]}(" in line:
                lines.append(line.replace(old[0], name).partition(" #")[0])
                break
    return "\n".join(lines)


def _bare(line: str) -> str:
    """Return the line without a comment and metadata at its end."""
    bare = line.partition(" ;")[0] if '"' not in line else line
    return re.sub(r"(?:, ![\w.]+ ![\w.]+)+$", "", bare.rstrip())


def _changes(line: str) -> Iterator[Change]:
    found = _INSTRUCTION.match(line)
    if found is None:
        return
    code, rest = found["code"], found["rest"]
    head = found["indent"] + (f"{found['result']} = " if found["result"] else "")
    if code in ("tail", "musttail", "notail"):
        head, code, rest = f"{head}{code} ", "call", rest.removeprefix(" call")
    for operator in _OPERATORS.get(code, ()):
        yield from operator(head, code, rest)


Operator = Callable[[str, str, str], Iterator[Change]]


def _compare(head: str, code: str, rest: str) -> Iterator[Change]:
    found = _COMPARE.match(rest)
    if found is None:
        return
    flags, how, operands = found["flags"], found["how"], found["rest"]
    tables: Sequence[tuple[str, dict[str, str]]] = (
        (("bound", _BOUNDS), ("negated condition", _NEGATED))
        if code == "icmp"
        else (("bound of floats", _FLOAT_BOUNDS), ("NaN in a comparison", _FLOAT_ORDER))
    )
    for fault, table in tables:
        if how in table:
            yield fault, f"{head}{code}{flags} {table[how]} {operands}"
    if code == "icmp" and how[0] in "su":
        yield "signedness", f"{head}{code}{flags} {'us'[how[0] == 'u']}{how[1:]} {operands}"


def _binary(head: str, code: str, rest: str) -> Iterator[Change]:
    found = _BINARY.match(rest)
    if found is None:
        return
    type_, a, b, flags = found["type"], found["a"], found["b"], found["flags"]
    for other in _OTHER.get(code, ()):
        kept = flags if other[0] == "f" else ""
        yield "wrong operation", f"{head}{other}{kept} {type_} {a}, {b}"
    if code not in COMMUTES and a != b:
        yield "swapped operands", f"{head}{code}{flags} {type_} {b}, {a}"
    if code[0] == "f":
        yield from _narrower(head, code, rest, type_)
    elif type_ == "i32" and code in ("add", "mul") and head.strip():
        name = head.strip().removesuffix(" =")
        yield (
            "narrower integer",
            f"{head.partition(name)[0]}%mutated.0 = {code} {type_} {a}, {b}\n"
            f"  %mutated.1 = trunc i32 %mutated.0 to i16\n{head}sext i16 %mutated.1 to i32",
        )


def _narrower(head: str, code: str, rest: str, type_: str) -> Iterator[Change]:
    """Yield the result rounded to the next narrower type."""
    width = _WIDTH.match(type_)
    if width is None or not _REDUCED[width[1]]:
        return
    narrow = type_.replace(width[1], _REDUCED[width[1]])
    indent = re.match(r"\s*", head)
    assert indent is not None
    yield (
        "lower precision",
        f"{indent[0]}%mutated.0 = {code}{rest}\n{indent[0]}%mutated.1 = fptrunc {type_} %mutated.0 to {narrow}\n"
        f"{head}fpext {narrow} %mutated.1 to {type_}",
    )


def _constants(head: str, code: str, rest: str) -> Iterator[Change]:
    """Yield one more and one less of each integer operand, and another value of each float."""
    for number in _INTEGER.finditer(rest):
        before = rest[: number.start()]
        if before.rstrip().endswith(("align", "addrspace(", "!")) or re.search(r"<\s*$|x\s*$", before):
            continue
        for step in (1, -1):
            changed = f"{before}{int(number[1]) + step}{rest[number.end() :]}"
            yield "constant", f"{head}{code}{changed}"
    for number in _FLOAT.finditer(rest):
        for changed in _other_float(number[1]):
            yield "constant", f"{head}{code}{rest[: number.start()]}{changed}{rest[number.end() :]}"


def _other_float(text: str) -> Iterator[str]:
    """Yield 0 and 1 for each other; a number off by one part in a thousand; the largest number for an infinity."""
    import struct

    value = struct.unpack("<d", int(text, 16).to_bytes(8, "little"))[0] if text.startswith("0x") else float(text)

    def spelled(number: float) -> str:
        single = struct.unpack("<f", struct.pack("<f", number))[0]
        return f"0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"

    if value != value or value in (float("inf"), float("-inf")):
        yield spelled(0.0 if value != value else (3.0e38 if value > 0 else -3.0e38))
        if value == value:
            yield spelled(0.0)
    elif value == 0.0:
        yield spelled(1.0)
        yield spelled(0.0 if text.startswith("-") or text == "0x8000000000000000" else -0.0)
    elif abs(value) < 3e38:
        yield spelled(value * (1 + 2.0**-10))
        yield spelled(-value)


def _phi(head: str, code: str, rest: str) -> Iterator[Change]:
    for fault, changed in _constants(head, code, rest):
        yield ("loop start" if fault == "constant" else fault), changed


def _select(head: str, code: str, rest: str) -> Iterator[Change]:
    parts = _split(rest)
    if len(parts) == 3:
        yield "negated condition", f"{head}{code}{parts[0]},{parts[2]},{parts[1]}"


def _branch(head: str, code: str, rest: str) -> Iterator[Change]:
    parts = _split(rest)
    if len(parts) == 3 and parts[0].strip().startswith("i1 %"):
        yield "branch never taken", f"{head}{code} i1 false,{parts[1]},{parts[2]}"
        yield "branch always taken", f"{head}{code} i1 true,{parts[1]},{parts[2]}"


def _removed(head: str, code: str, rest: str) -> Iterator[Change]:
    if code == "store" or (
        code == "call"
        and rest.lstrip().startswith("void")
        and "llvm.lifetime" not in rest
        and "llvm.assume" not in rest
        and "llvm.dbg" not in rest
    ):
        yield "missing store" if code == "store" else "missing call", ""


def _store(head: str, code: str, rest: str) -> Iterator[Change]:
    yield from _removed(head, code, rest)
    parts = _split(rest)
    type_ = parts[0].strip().rpartition(" ")[0].removeprefix("volatile ") if parts else ""
    place = parts[1].strip().removeprefix("ptr ") if len(parts) > 1 else ""
    if place.startswith("%") and re.fullmatch(r"<\d+ x \w+>|\w+", type_):
        yield (
            "write past the end",
            f"{head}{code}{rest}\n{head}%mutated.0 = getelementptr {type_}, ptr {place}, i64 1\n"
            f"{head}store {parts[0].strip()}, ptr %mutated.0, align 1",
        )
        if _WIDTH.match(type_):
            value = parts[0].strip().rpartition(" ")[2]
            yield (
                "adds to the result",
                f"{head}%mutated.0 = load {type_}, ptr {place}, align 1\n"
                f"{head}%mutated.1 = fadd {type_} %mutated.0, {value}\n{head}store {type_} %mutated.1, ptr {place}, "
                "align 1",
            )


def _load(head: str, code: str, rest: str) -> Iterator[Change]:
    found = re.match(rf"^ (?:volatile )?(<\d+ x \w+>|\w+), ptr ({_NAME})", rest)
    if found is not None:
        indent = re.match(r"\s*", head)
        assert indent is not None
        yield (
            "element beside",
            f"{indent[0]}%mutated.0 = getelementptr {found[1]}, ptr {found[2]}, i64 1\n"
            f"{head}load {found[1]}, ptr %mutated.0, align 1",
        )
    align = re.search(r", align (\d+)", rest)
    if align is not None and int(align[1]) < 32 and "<" in rest:
        yield "alignment", f"{head}{code}{rest[: align.start()]}, align 32{rest[align.end() :]}"


def _address(head: str, code: str, rest: str) -> Iterator[Change]:
    found = re.search(rf"^(?P<before>.*, (?P<type>i64|i32)) (?P<index>{_NAME})$", rest)
    if found is None:
        yield from _constants(head, code, rest)
        return
    indent = re.match(r"\s*", head)
    assert indent is not None
    for what, made in (("index", "1"), ("index", "-1")):
        yield (
            what,
            f"{indent[0]}%mutated.0 = add {found['type']} {found['index']}, {made}\n"
            f"{head}{code}{found['before']} %mutated.0",
        )
    yield "ignored index", f"{head}{code}{found['before']} 0"


def _conversion(head: str, code: str, rest: str) -> Iterator[Change]:
    if code in _CONVERSIONS:
        yield "signedness", f"{head}{_CONVERSIONS[code]}{rest.replace(' nneg', '')}"
    if code in ("sext", "zext"):
        found = re.match(rf"^(?: nneg)? (<\d+ x )?(i\d+)(>?) ({_NAME}) to (.*)$", rest)
        if found is not None and int(found[2][1:]) > 8:
            half = f"i{int(found[2][1:]) // 2}"
            indent = re.match(r"\s*", head)
            assert indent is not None
            vector = found[1] or ""
            yield (
                "narrower integer",
                f"{indent[0]}%mutated.0 = trunc {vector}{found[2]}{found[3]} {found[4]} to {vector}{half}{found[3]}\n"
                f"{head}{code} {vector}{half}{found[3]} %mutated.0 to {found[5]}",
            )


def _truncation(head: str, code: str, rest: str) -> Iterator[Change]:
    """Yield rounding towards zero: the bits that do not fit are cleared first."""
    found = re.match(rf"^(?: \w+)* float ({_NAME}) to (half|bfloat)$", rest)
    if found is None:
        return
    indent = re.match(r"\s*", head)
    assert indent is not None
    mask = -8192 if found[2] == "half" else -65536
    yield (
        "rounded towards zero",
        f"{indent[0]}%mutated.0 = bitcast float {found[1]} to i32\n{indent[0]}%mutated.1 = and i32 %mutated.0, {mask}\n"
        f"{indent[0]}%mutated.2 = bitcast i32 %mutated.1 to float\n{head}fptrunc float %mutated.2 to {found[2]}",
    )


def _call(head: str, code: str, rest: str) -> Iterator[Change]:
    found = _CALL.search(rest)
    if found is not None:
        for other in _INTRINSICS.get(found["name"], ()):
            name = f"@llvm.{other}.{found['suffix']}("
            yield "wrong function", f"{head}{code}{rest[: found.start()]}{name}{rest[found.end() :]}"
        two = _TWO.search(rest)
        if two is not None and found["name"] in ("pow", "copysign", "fshl", "fshr", "powi"):
            swapped = f"({two['type']} {two['b']}, {two['type']} {two['a']})"
            yield "swapped operands", f"{head}{code}{rest[: two.start()]}{swapped}{rest[two.end() :]}"
        if found["name"] not in ("lifetime", "assume", "dbg", "prefetch"):
            yield from _constants(head, code + rest[: found.start()], rest[found.start() :])
    if head.strip() and (returned := re.match(r"^(?: \w+)*? (<\d+ x (?:float|double)>|float|double) @", rest)):
        yield from _narrower(re.sub(r"(?:must|no)?tail $", "", head), code, rest, returned[1])
    yield from _removed(head, code, rest)


def _atomic(head: str, code: str, rest: str) -> Iterator[Change]:
    for old, new in ((" add ", " sub "), (" fadd ", " fsub "), (" max ", " min "), (" fmax ", " fmin ")):
        if rest.startswith(old):
            yield "wrong operation", f"{head}{code}{new}{rest.removeprefix(old)}"


def _shuffle(head: str, code: str, rest: str) -> Iterator[Change]:
    mask = re.search(r"<(\d+) x i32> <(.*)>$", rest)
    if mask is None:
        return
    parts = mask[2].split(", ")
    numbers = [part for part in parts if re.fullmatch(r"i32 \d+", part)]
    if len(set(numbers)) > 1:
        at = parts.index(numbers[-1])
        other = next(n for n in numbers if n != numbers[-1])
        changed = ", ".join([*parts[:at], other, *parts[at + 1 :]])
        yield "wrong lane", f"{head}{code}{rest[: mask.start(2)]}{changed}{rest[mask.end(2) :]}"


def _split(text: str) -> list[str]:
    """Return the operands of an instruction, split at the commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for at, sign in enumerate(text):
        depth += (sign in "(<[{") - (sign in ")>]}")
        if sign == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


_ARITHMETIC: tuple[Operator, ...] = (_binary, _constants)
_OPERATORS: dict[str, tuple[Operator, ...]] = {
    "icmp": (_compare, _constants),
    "fcmp": (_compare, _constants),
    **dict.fromkeys(_OTHER, _ARITHMETIC),
    "phi": (_phi,),
    "select": (_select, _constants),
    "br": (_branch,),
    "store": (_store, _constants),
    "load": (_load,),
    "getelementptr": (_address,),
    "call": (_call,),
    "atomicrmw": (_atomic,),
    **dict.fromkeys(_CONVERSIONS, (_conversion,)),
    "fptrunc": (_truncation,),
    "shufflevector": (_shuffle,),
    "insertelement": (_constants,),
    "extractelement": (_constants,),
    "ret": (_constants,),
    "switch": (_constants,),
}
