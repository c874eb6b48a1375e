"""Layout of variables: parameters, static and dynamic shared memory, a thread's local memory, device memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ...payload.ptx.syntax import Function, Instruction, Module, Parameter, Variable
from .flatten import Frame

DYNAMIC_ALIGNMENT = 16
STACK_BYTES = 16384
"""Bytes of stack for `alloca` in each thread; only kernels that use it reserve this."""


@dataclass(frozen=True, slots=True)
class Location:
    """A variable's place; the offset counts from the start of its space (0 in device memory)."""

    space: str
    """param, shared, local, global, const."""
    offset: int
    size_bytes: int


@dataclass(slots=True)
class Layout:
    """All variables that one kernel can name."""

    shared: dict[str, Location] = field(default_factory=dict)
    module: dict[str, Location] = field(default_factory=dict)
    frames: list[dict[str, Location]] = field(default_factory=list)
    functions: dict[str, int] = field(default_factory=dict)
    """Numbers that represent the addresses of functions."""
    static_shared_bytes: int = 0
    """Start of dynamic shared memory."""
    local_bytes: int = 0
    stack: Location | None = None
    """Memory that `alloca` allocates from."""
    parameter_bytes: int = 0
    parameter_offsets: tuple[int, ...] = ()

    def find(self, frame: int, name: str) -> Location | None:
        """Return the variable that a name refers to in an expansion."""
        if frame < len(self.frames):
            found = self.frames[frame].get(name)
            if found is not None:
                return found
        return self.shared.get(name) or self.module.get(name)


def align(offset: int, alignment: int) -> int:
    """Round up to a multiple of the alignment."""
    return -(-offset // alignment) * alignment


def parameter_offsets(parameters: Sequence[Parameter]) -> tuple[tuple[int, ...], int]:
    """Return the offset of each parameter in the parameter space, and the space's size."""
    offsets, end = [], 0
    for parameter in parameters:
        start = align(end, max(1, parameter.alignment))
        offsets.append(start)
        end = start + parameter.size_bytes
    return tuple(offsets), end


def function_addresses(module: Module) -> dict[str, int]:
    """Return a number for each function, none of them zero; an alias has that of its function."""
    names = dict.fromkeys(function.name for function in module.functions)
    aliases = dict(module.aliases)
    numbers = {name: 16 * (number + 1) for number, name in enumerate(names)}
    return numbers | {alias: numbers[name] for alias, name in aliases.items() if name in numbers}


def lay_out(module: Module, frames: Sequence[Frame]) -> Layout:
    """Place every variable that the kernel's expansions can name."""
    layout = Layout(functions=function_addresses(module))
    inner: dict[int, Iterable[Variable]] = {number: frame.function.variables for number, frame in enumerate(frames)}
    shared = [v for v in module.variables if v.space == "shared"]
    seen: set[str] = set()
    for number, frame in enumerate(frames):
        if frame.function.name not in seen:
            shared += [v for v in inner[number] if v.space == "shared"]
            seen.add(frame.function.name)
    end = 0
    for variable in shared:
        if variable.linkage != "extern" and variable.count is not None:
            start = align(end, variable.alignment)
            layout.shared[variable.name] = Location("shared", start, variable.size_bytes)
            end = start + variable.size_bytes
    dynamic = [v for v in shared if v.linkage == "extern" or v.count is None]
    layout.static_shared_bytes = (
        align(end, max([DYNAMIC_ALIGNMENT, *(v.alignment for v in dynamic)])) if dynamic else end
    )
    for variable in dynamic:
        layout.shared[variable.name] = Location("shared", layout.static_shared_bytes, 0)
    for variable in module.variables:
        if variable.space in ("global", "const"):
            layout.module[variable.name] = Location(variable.space, 0, variable.size_bytes)
    offsets, layout.parameter_bytes = parameter_offsets(frames[0].function.parameters)
    layout.parameter_offsets = offsets
    for number, frame in enumerate(frames):
        layout.frames.append(_frame(layout, number, frame.function))
    layout.local_bytes = align(layout.local_bytes, 16)
    if any(isinstance(s, Instruction) and s.opcode[0] == "alloca" for f in frames for s in f.function.body or ()):
        layout.stack = Location("local", layout.local_bytes, STACK_BYTES)
        layout.local_bytes += STACK_BYTES
    return layout


def _frame(layout: Layout, number: int, function: Function) -> dict[str, Location]:
    names: dict[str, Location] = {}

    def local(name: str, size_bytes: int, alignment: int) -> None:
        start = align(layout.local_bytes, max(1, alignment))
        names[name] = Location("local", start, size_bytes)
        layout.local_bytes = start + size_bytes

    for at, parameter in enumerate(function.parameters):
        if number == 0:
            names[parameter.name] = Location("param", layout.parameter_offsets[at], parameter.size_bytes)
        elif not parameter.register:
            local(parameter.name, parameter.size_bytes, parameter.alignment)
    for parameter in function.results:
        if not parameter.register:
            local(parameter.name, parameter.size_bytes, parameter.alignment)
    for variable in function.variables:
        if variable.space in ("local", "param"):
            local(variable.name, variable.size_bytes, variable.alignment)
        elif variable.space in ("global", "const"):
            layout.module.setdefault(variable.name, Location(variable.space, 0, variable.size_bytes))
    return names
