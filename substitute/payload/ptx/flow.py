"""Control flow of a PTX function, and registers that some path reads before it writes them.

`ptxas` does not report such reads: the value is undefined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .instructions import ENDS, TERMINATORS, read, written
from .syntax import Function, Instruction, Label, Module, Symbol

_IMPLICIT = re.compile(r"//\s*implicit-def:\s*([%$\w]+)")
Condition = tuple[str, bool]
"""(predicate register, its value)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Consecutive instructions without a branch between them."""

    instructions: tuple[Instruction, ...]
    successors: tuple[tuple[int, Condition | None], ...]
    """Possible next blocks, and the condition that holds on the way there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwrittenRead:
    """Read of a register that is not written on every path to it."""

    register: str
    instruction: Instruction
    never_written: bool
    """True if no instruction of the function writes it at all."""


def blocks(function: Function) -> tuple[Block, ...]:
    """Return the basic blocks in the text's order; the first one is the entry."""
    parts: list[list[Instruction]] = [[]]
    starts: dict[str, int] = {}
    for statement in function.body or ():
        if isinstance(statement, Label):
            if parts[-1]:
                parts.append([])
            starts[statement.name] = len(parts) - 1
            continue
        parts[-1].append(statement)
        if statement.opcode[0] in TERMINATORS:
            parts.append([])
    tables = {t.name: t.targets for t in function.tables}
    return tuple(
        Block(instructions=tuple(part), successors=tuple(_successors(part, at, len(parts), starts, tables)))
        for at, part in enumerate(parts)
    )


def _successors(
    part: list[Instruction], at: int, count: int, starts: dict[str, int], tables: dict[str, tuple[str, ...]]
) -> list[tuple[int, Condition | None]]:
    last = part[-1] if part else None
    following = [(at + 1, None)] if at + 1 < count else []
    if last is None or last.opcode[0] not in TERMINATORS:
        return list(following)
    guard = last.guard
    taken: Condition | None = None if guard is None else (guard.register.name, not guard.negated)
    result: list[tuple[int, Condition | None]] = []
    if last.opcode[0] not in ENDS:
        labels = [o.name for o in last.operands if isinstance(o, Symbol)]
        if last.opcode[0] == "brx":
            labels = [t for label in labels for t in tables.get(label, ())]
        result += [(starts[label], taken) for label in labels if label in starts]
    if guard is not None and taken is not None:
        result += [(to, (taken[0], not taken[1])) for to, _ in following]
    return result


def unwritten_reads(module: Module, function: Function) -> tuple[UnwrittenRead, ...]:
    """Return registers that some path from the entry reads before it writes them, with the first such instruction.

    A write under `@p` counts for reads under `@p`, and after branches that imply it. A register that the compiler
    marked as `// implicit-def` counts as written.
    """
    graph = blocks(function)
    number: dict[str, int] = {}
    effects = [[_effect(i, number) for i in block.instructions] for block in graph]
    names = list(number)
    live = _live_at_entry(graph, effects)
    marked = set(_IMPLICIT.findall(module.text, function.body_span.start, function.body_span.end))
    parameters = {p.name for p in function.parameters if p.register}
    ever = 0
    for block_effects in effects:
        for _, kills, under in block_effects:
            ever |= kills | under
    result = []
    for at, name in enumerate(names):
        if live >> at & 1 and name not in marked and name not in parameters:
            found = _first_read(graph, name)
            if found is not None:
                result.append(UnwrittenRead(register=name, instruction=found, never_written=not ever >> at & 1))
    return tuple(sorted(result, key=lambda r: r.instruction.span.start))


def _effect(instruction: Instruction, number: dict[str, int]) -> tuple[int, int, int]:
    """Return (reads, unconditional writes, writes under a guard) as sets of bits."""
    uses = kills = 0
    for name in read(instruction):
        uses |= 1 << number.setdefault(name, len(number))
    for name in written(instruction):
        kills |= 1 << number.setdefault(name, len(number))
    return (uses, kills, 0) if instruction.guard is None else (uses, 0, kills)


def _live_at_entry(graph: tuple[Block, ...], effects: list[list[tuple[int, int, int]]]) -> int:
    """Return the bits of the registers that are live at the entry, where a write under a guard does not count."""
    use, kill = [0] * len(graph), [0] * len(graph)
    for at, block_effects in enumerate(effects):
        for uses, kills, _ in block_effects:
            use[at] |= uses & ~kill[at]
            kill[at] |= kills
    live = list(use)
    before: list[list[int]] = [[] for _ in graph]
    for at, block in enumerate(graph):
        for to, _ in block.successors:
            before[to].append(at)
    work = list(range(len(graph)))
    while work:
        at = work.pop()
        out = 0
        for to, _ in graph[at].successors:
            out |= live[to]
        new = use[at] | (out & ~kill[at])
        if new != live[at]:
            live[at] = new
            work += before[at]
    return live[0]


@dataclass(frozen=True, slots=True)
class _State:
    """Facts about one register at one place."""

    written: bool
    under: frozenset[Condition] = frozenset()
    """Conditions under each of which it is written."""
    facts: frozenset[Condition] = frozenset()
    """Known values of predicates."""

    def holds(self, condition: Condition) -> bool:
        """Return True if the register is written wherever the condition holds."""
        return self.written or condition in self.under or (condition[0], not condition[1]) in self.facts

    def settled(self) -> _State:
        """Return the state with the consequences of its facts."""
        both = any((p, not v) in self.under for p, v in self.under)
        if not self.written and (both or self.under & self.facts):
            return _State(True, frozenset(), self.facts)
        return self


def _first_read(graph: tuple[Block, ...], name: str) -> Instruction | None:
    """Return the first read of a register that may be unwritten; None if guards rule all of them out."""
    states: dict[int, _State] = {0: _State(False)}
    work = [0]
    found: dict[int, Instruction] = {}
    while work:
        at = work.pop()
        state, first = _through(graph[at], states[at], name)
        if first is not None:
            found[at] = first
        for to, fact in graph[at].successors:
            arriving = state if fact is None else _assume(state, fact)
            if arriving is None:
                continue
            merged = _merge(states[to], arriving) if to in states else arriving
            if merged != states.get(to):
                states[to] = merged
                work.append(to)
    # states only lose facts, so a block that reads too early once still does so at the end
    return min(found.values(), key=lambda i: i.span.start) if found else None


def _assume(state: _State, fact: Condition) -> _State | None:
    """Return the state after a branch on a predicate; None if the branch cannot be taken."""
    if (fact[0], not fact[1]) in state.facts:
        return None
    return _State(state.written, state.under, state.facts | {fact}).settled()


def _merge(a: _State, b: _State) -> _State:
    if a.written and b.written:
        return _State(True, frozenset(), a.facts & b.facts)
    candidates = a.under | b.under | {(p, not v) for p, v in a.facts | b.facts}
    under = frozenset(c for c in candidates if a.holds(c) and b.holds(c))
    return _State(False, under, a.facts & b.facts).settled()


def _through(block: Block, state: _State, name: str) -> tuple[_State, Instruction | None]:
    """Return the state after a block, and its first read that comes too early."""
    first = None
    for instruction in block.instructions:
        guard = instruction.guard
        condition = None if guard is None else (guard.register.name, not guard.negated)
        if first is None and not state.written and name in read(instruction):
            is_guard = condition is not None and condition[0] == name
            if condition is None or is_guard or not state.holds(condition):
                first = instruction
        targets = written(instruction)
        if name in targets:
            if condition is None:
                state = _State(True, frozenset(), state.facts)
            else:
                state = _State(state.written, state.under | {condition}, state.facts)
        state = _forget(state, targets).settled()
    return state, first


def _forget(state: _State, targets: tuple[str, ...]) -> _State:
    """Return the state without conditions on predicates that are written again."""
    if not any(p in targets for p, _ in state.under | state.facts):
        return state
    keep = frozenset(c for c in state.under if c[0] not in targets)
    return _State(state.written, keep, frozenset(c for c in state.facts if c[0] not in targets))


__all__ = ["Block", "UnwrittenRead", "blocks", "unwritten_reads"]
