"""Shared memory of an entry: that of its own body, of functions it calls, and of the module as far as they name it.

ptxas counts in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

from .instructions import symbols_of
from .syntax import Function, Instruction, Module, Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMemory:
    """Shared variables that an entry can reach."""

    static: tuple[Variable, ...]
    dynamic: tuple[Variable, ...]
    """`.extern .shared x[]`."""

    @property
    def static_bytes(self) -> int:
        """Size of the static variables laid out in order, each aligned."""
        end = 0
        for variable in self.static:
            end = -(-end // variable.alignment) * variable.alignment + variable.size_bytes
        return end


def reachable(module: Module, entry: Function) -> tuple[Function, ...]:
    """Return the entry and every function with a body that it may call or names."""
    found: dict[str, Function] = {entry.name: entry}
    work = [entry]
    while work:
        for symbol in _symbols(work.pop()):
            callee = module.function(symbol) if symbol not in found else None
            if callee is not None and callee.body is not None and callee.name not in found:
                found[callee.name] = callee
                work.append(callee)
    return tuple(found.values())


def shared_memory(module: Module, functions: tuple[Function, ...]) -> SharedMemory:
    """Return the shared variables that these functions declare or name."""
    named = {symbol for function in functions for symbol in _symbols(function)}
    variables = [v for v in module.variables if v.space == "shared" and v.name in named]
    variables += [v for f in functions for v in f.variables if v.space == "shared"]
    return SharedMemory(
        static=tuple(v for v in variables if v.count is not None and v.linkage != "extern"),
        dynamic=tuple(v for v in variables if v.count is None or v.linkage == "extern"),
    )


def _symbols(function: Function) -> set[str]:
    return {
        symbol.name
        for statement in function.body or ()
        if isinstance(statement, Instruction)
        for operand in statement.operands
        for symbol in symbols_of(operand)
        if symbol.kind in ("function", "shared")
    }
