"""Control flow of a SPIR-V function, and variables that are loaded before anything is stored to them.

No driver reports such a load: one initialises the variable to zero, another leaves its register undefined.

Source: SPIR-V Specification 1.6, "OpVariable" and section 2.11 "Structured Control Flow".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .disassembly import disassemble, fault
from .module import (
    OP_FUNCTION,
    OP_NAME,
    OP_TYPE_BOOL,
    OP_TYPE_FLOAT,
    OP_TYPE_INT,
    OP_TYPE_POINTER,
    OP_TYPE_VECTOR,
    OP_VARIABLE,
    STORAGE_FUNCTION,
    Instruction,
    SpirvModule,
    read_string,
)

OP_FUNCTION_END, OP_LOAD, OP_STORE, OP_LABEL = 56, 61, 62, 248
OP_BRANCH, OP_BRANCH_CONDITIONAL, OP_SWITCH = 249, 250, 251
BRANCHES = frozenset({OP_BRANCH, OP_BRANCH_CONDITIONAL, OP_SWITCH})
WITHOUT_POINTERS = BRANCHES | {8, 246, 247, OP_LABEL, 317}
"""Opcodes without pointers, with OpLine, OpLoopMerge, OpSelectionMerge and OpNoLine: a number among their words may
equal a variable's id."""
POINTER_WORDS = {
    12: slice(4, None),
    OP_LOAD: slice(0, 2),
    OP_STORE: slice(1, 2),
    79: slice(2, 4),
    81: slice(2, 3),
    82: slice(2, 4),
}
"""Words in which a pointer would be passed on; OpExtInst, OpVectorShuffle, OpCompositeExtract and OpCompositeInsert
have numbers in the other words."""
PARTS = frozenset({78, 79, 82})
"""OpVectorInsertDynamic, OpVectorShuffle, OpCompositeInsert: their operands may be partly undefined."""
PLAIN_TYPES = frozenset({OP_TYPE_BOOL, OP_TYPE_INT, OP_TYPE_FLOAT, OP_TYPE_VECTOR})
Use = tuple[int, bool]
"""Position of a load or a store; True for a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Consecutive instructions without a branch between them."""

    start: int
    """Position of its label among the module's instructions."""
    stop: int
    """Position after its last instruction."""
    successors: tuple[int, ...]
    """Positions, among the function's blocks, of the possible next ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwrittenLoad:
    """Load of a variable that may precede all stores to it."""

    variable: int
    at: int
    """Position of the load among the module's instructions."""
    never_written: bool
    """True if nothing stores to it at all."""


def check_loads(module: SpirvModule, name: str) -> None:
    """Check that every variable is stored to before it is loaded. Raises `PayloadError`."""
    for start, stop in _functions(module.instructions):
        for load in unwritten_loads(module.instructions, start, stop):
            names = {i.words[0]: read_string(i.words[1:])[0] for i in module.instructions if i.op == OP_NAME}
            raise fault(
                module,
                load.at,
                f"{names.get(load.variable) or f'%{load.variable}'} is read, but "
                f"{'nothing' if load.never_written else 'not every path'} wrote it",
                name=name,
                expected="a variable that every path from the entry wrote before",
                found=disassemble(module.instructions[load.at]),
                next_step="give it a value where it is declared; some drivers take zero for it, others what they find",
            )


def _functions(instructions: Sequence[Instruction]) -> Iterator[tuple[int, int]]:
    start = 0
    for at, instruction in enumerate(instructions):
        if instruction.op == OP_FUNCTION:
            start = at
        elif instruction.op == OP_FUNCTION_END:
            yield start, at


def blocks(instructions: Sequence[Instruction], start: int, stop: int) -> tuple[Block, ...]:
    """Return the basic blocks of the function at these positions, in order; the first one is the entry."""
    labels = [at for at in range(start, stop) if instructions[at].op == OP_LABEL and instructions[at].words]
    number = {instructions[at].words[0]: n for n, at in enumerate(labels)}
    found = []
    for at, end in pairwise([*labels, stop]):
        last = instructions[end - 1]
        # (a switch's numbers may look like labels: an additional path makes no load unwritten)
        targets = last.words if last.op in BRANCHES else ()
        found.append(Block(start=at, stop=end, successors=tuple({number[w] for w in targets if w in number})))
    return tuple(found)


def unwritten_loads(instructions: Sequence[Instruction], start: int, stop: int) -> list[UnwrittenLoad]:
    """Return loads of whole scalars and vectors that no path from the entry stores to before, the first of each
    variable.

    Where only some paths store (`if (inside) x = a[i];`, and `if (inside)` again where it is used) the shader may be
    right, as the other loads may be unused. Variables of which a part is accessed, or that are passed on, are left out.
    """
    candidates = _candidates(instructions, start, stop)
    graph = blocks(instructions, start, stop)
    uses: dict[int, dict[int, list[Use]]] = {variable: {} for variable in candidates}
    for number, block in enumerate(graph):
        for at in range(block.start, block.stop):
            instruction = instructions[at]
            if instruction.op in (OP_LOAD, OP_STORE):
                pointer = slice(2, 3) if instruction.op == OP_LOAD else slice(0, 1)
                for variable in uses.keys() & instruction.words[pointer]:
                    uses[variable].setdefault(number, []).append((at, instruction.op == OP_STORE))
    inserted = {w for i in instructions[start:stop] if i.op in PARTS for w in i.words[2:4]}
    found = []
    for variable, by_block in uses.items():
        wrong = [
            at
            for at in _may_be_unwritten(graph, by_block)
            if instructions[at].words[1] not in inserted and not _may_be_written(graph, by_block, at)
        ]
        if wrong:
            never = not any(stores for part in by_block.values() for _, stores in part)
            found.append(UnwrittenLoad(variable=variable, at=min(wrong), never_written=never))
    return sorted(found, key=lambda load: load.at)


def _candidates(instructions: Sequence[Instruction], start: int, stop: int) -> list[int]:
    """Return scalars and vectors without an initializer that are only loaded and stored to as a whole."""
    plain = {i.words[0] for i in instructions[:start] if i.op in PLAIN_TYPES and i.words}
    pointers = {
        i.words[0]
        for i in instructions[:start]
        if i.op == OP_TYPE_POINTER and i.words[1:2] == (STORAGE_FUNCTION,) and plain.issuperset(i.words[2:])
    }
    found = {
        i.words[1]
        for i in instructions[start:stop]
        if i.op == OP_VARIABLE and len(i.words) == 3 and i.words[0] in pointers
    }
    for instruction in instructions[start:stop]:
        op, words = instruction.op, instruction.words
        if op != OP_VARIABLE and op not in WITHOUT_POINTERS:
            found.difference_update(words[POINTER_WORDS.get(op, slice(None))])
    return sorted(found)


def _may_be_unwritten(graph: Sequence[Block], uses: Mapping[int, Sequence[Use]]) -> list[int]:
    """Return the positions of loads that some path from the entry reaches without a store."""
    found: list[int] = []
    seen, work = {0}, [0] if graph else []
    while work:
        number = work.pop()
        for at, stores in uses.get(number, ()):
            if stores:
                break
            found.append(at)
        else:
            new = [to for to in graph[number].successors if to not in seen]
            seen.update(new)
            work += new
    return found


def _may_be_written(graph: Sequence[Block], uses: Mapping[int, Sequence[Use]], load: int) -> bool:
    """Return True if some path from the entry stores before it first reaches this load."""
    seen, work = {(0, False)}, [(0, False)]
    while work:
        number, written = work.pop()
        for at, stores in uses.get(number, ()):
            if at == load:
                if written:
                    return True
                break
            written = written or stores
        else:
            new = [(to, written) for to in graph[number].successors if (to, written) not in seen]
            seen.update(new)
            work += new
    return False
