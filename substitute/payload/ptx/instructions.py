"""The instructions of PTX, the targets that have them, and the operands that they write.

Source: PTX ISA 9.0, chapter 9 "Instruction Set", "PTX ISA Notes" and "Target ISA Notes" of each instruction.
"""

from __future__ import annotations

from collections.abc import Iterator

from .syntax import (
    Address,
    Arguments,
    Element,
    Instruction,
    Integer,
    Negated,
    Operand,
    Pair,
    Part,
    Register,
    Symbol,
    Vector,
)

_EVERYWHERE = """
abs activemask add addc alloca and applypriority atom bar barrier bfe bfi bfind bmsk bra brev brkpt brx call clz cnot
copysign cos createpolicy cvt cvta discard div dp2a dp4a ex2 exit fence fma fns istypep isspacep ld ldu lg2 lop3 mad
mad24 madc match max membar min mov mul mul24 nanosleep neg not or pmevent popc prefetch prefetchu prmt rcp red rem ret
rsqrt sad selp set setp shf shfl shl shr sin slct sqrt st stackrestore stacksave sub subc suld sured sust suq szext
testp tex tld4 trap txq vabsdiff vabsdiff2 vabsdiff4 vadd vadd2 vadd4 vavrg2 vavrg4 vmad vmax vmax2 vmax4 vmin vmin2
vmin4 vote vset vset2 vset4 vshl vshr vsub vsub2 vsub4 xor
""".split()  # noqa: SIM905 - a list of words reads best as words
FIRST_TARGET: dict[str, tuple[int, str]] = {
    **dict.fromkeys(_EVERYWHERE, (0, "")),
    "wmma": (70, ""),
    "mma": (70, ""),
    "ldmatrix": (75, ""),
    "tanh": (75, ""),
    "movmatrix": (75, ""),
    "cp": (80, ""),
    "mbarrier": (80, ""),
    "redux": (80, ""),
    "stmatrix": (90, ""),
    "mapa": (90, ""),
    "getctarank": (90, ""),
    "elect": (90, ""),
    "griddepcontrol": (90, ""),
    "multimem": (90, ""),
    "tensormap": (90, ""),
    "wgmma": (90, "a"),
    "setmaxnreg": (90, "a"),
    "clusterlaunchcontrol": (100, ""),
    "tcgen05": (100, "a"),
}
"""Instruction → the first architecture that has it, and `a` if only targets with a suffix do."""

_NO_RESULT = frozenset(
    {
        "st",
        "red",
        "bra",
        "brx",
        "ret",
        "exit",
        "trap",
        "brkpt",
        "pmevent",
        "membar",
        "fence",
        "cp",
        "prefetch",
        "prefetchu",
        "discard",
        "applypriority",
        "nanosleep",
        "griddepcontrol",
        "setmaxnreg",
        "tensormap",
        "stmatrix",
        "sust",
        "sured",
        "stackrestore",
    }
)
_MBARRIER_RESULTS = frozenset({"arrive", "arrive_drop", "test_wait", "try_wait", "pending_count"})
_WGMMA_CONTROL = frozenset({"fence", "commit_group", "wait_group"})
TERMINATORS = frozenset({"bra", "brx", "ret", "exit", "trap"})
ENDS = frozenset({"ret", "exit", "trap"})


def results(instruction: Instruction) -> int:
    """Return the number of the first operands that are written; for a `call` the lists are not counted here."""
    name, *rest = instruction.opcode
    second = rest[0] if rest else ""
    if name in _NO_RESULT or not instruction.operands or isinstance(instruction.operands[0], Address):
        return 0
    if name in ("bar", "barrier"):
        return int("red" in rest)
    if name == "mbarrier":
        return int(second in _MBARRIER_RESULTS)
    if name == "wgmma":
        return int(second not in _WGMMA_CONTROL)
    if name in ("wmma", "tcgen05"):
        return int(second in ("load", "mma", "ld") and not (name == "tcgen05" and second == "mma"))
    if name == "multimem":
        return int(second == "ld_reduce")
    if name == "clusterlaunchcontrol":
        return int(second == "query_cancel")
    return 0 if name == "call" else 1


def registers_of(operand: Operand) -> Iterator[Register]:
    """Return the registers that an operand names."""
    if isinstance(operand, Register):
        yield operand
    elif isinstance(operand, (Vector, Arguments)):
        for element in operand.elements:
            yield from registers_of(element)
    elif isinstance(operand, Address):
        yield from registers_of(operand.base)
        if operand.coordinates is not None:
            yield from registers_of(operand.coordinates)
    elif isinstance(operand, Element):
        if operand.index is not None:
            yield operand.index
    elif isinstance(operand, Pair):
        yield from registers_of(operand.first)
        yield from registers_of(operand.second)
    elif isinstance(operand, (Negated, Part)):
        yield operand.register


def written(instruction: Instruction) -> tuple[str, ...]:
    """Return the names of the registers that an instruction writes."""
    operands = instruction.operands
    if instruction.opcode[0] == "call":
        before = operands[0] if operands and isinstance(operands[0], Arguments) else None
        return tuple(r.name for r in registers_of(before)) if before is not None else ()
    return tuple(r.name for o in operands[: results(instruction)] for r in registers_of(o))


def read(instruction: Instruction) -> tuple[str, ...]:
    """Return the names of the registers that an instruction reads, its guard's included."""
    operands = instruction.operands
    names = [instruction.guard.register.name] if instruction.guard is not None else []
    if instruction.opcode[0] == "call":
        first = int(bool(operands) and isinstance(operands[0], Arguments))
    else:
        first = results(instruction)
    if instruction.opcode[:2] == ("wgmma", "mma_async") and _accumulates(instruction):
        first = 0
    names += [r.name for o in operands[first:] for r in registers_of(o)]
    return tuple(names)


def _accumulates(instruction: Instruction) -> bool:
    """Return True if a wgmma certainly reads its accumulators: scale-d, the fourth operand, is a nonzero constant."""
    scale = instruction.operands[3] if len(instruction.operands) > 3 else None
    return isinstance(scale, Integer) and scale.value != 0


def symbols_of(operand: Operand) -> Iterator[Symbol]:
    """Return the variables, functions and labels that an operand names."""
    if isinstance(operand, Symbol):
        yield operand
    elif isinstance(operand, (Vector, Arguments)):
        for element in operand.elements:
            yield from symbols_of(element)
    elif isinstance(operand, Address):
        yield from symbols_of(operand.base)
        if operand.coordinates is not None:
            yield from symbols_of(operand.coordinates)
    elif isinstance(operand, Element):
        yield operand.base
    elif isinstance(operand, Pair):
        yield from symbols_of(operand.first)
        yield from symbols_of(operand.second)
