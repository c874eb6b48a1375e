"""One straight list of instructions per kernel: calls expanded in place, labels as positions.

Functions are expanded rather than called, so that lanes in different calls of one function never share storage and the
scheduler needs no stack. A call through a pointer is a switch over the functions that it may reach. Recursion is
expanded to a limited depth; a lane that goes deeper ends the launch with a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...payload.ptx.body import SUPPLIED
from ...payload.ptx.scopes import COMPONENTS
from ...payload.ptx.syntax import (
    Address,
    Arguments,
    Function,
    Guard,
    Initial,
    Instruction,
    Integer,
    Label,
    Module,
    Operand,
    Parameter,
    Register,
    Symbol,
    Vector,
)
from .faults import Place, Refused

MAX_DEPTH = 32
MAX_RECURSION = 64
RECURSIVE_INSTRUCTIONS = 30_000
"""Limits of the expansion of recursion: nested calls, and instructions."""
MAX_INSTRUCTIONS = 400_000
"""Limit after expansion; a larger module is refused before it exhausts the machine's memory."""


@dataclass(frozen=True, slots=True)
class Item:
    """An instruction in one expansion of its function."""

    instruction: Instruction
    frame: int
    """Number of the expansion; 0 is the kernel itself. Registers and variables are distinguished by it."""
    place: Place


@dataclass(slots=True)
class Frame:
    """One expansion of a function."""

    function: Function
    end_label: str


@dataclass(slots=True)
class Flat:
    """A kernel without calls."""

    items: list[Item] = field(default_factory=list)
    labels: dict[tuple[int, str], int] = field(default_factory=dict)
    """(frame, label) → position in `items`."""
    frames: list[Frame] = field(default_factory=list)
    depth: int = MAX_RECURSION
    """Nesting of calls beyond which no function is expanded inside of itself."""


class Lines:
    """Line and column of positions in a text, by bisection."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.rows = text.split("\n")
        self.starts = [0]
        for row in self.rows:
            self.starts.append(self.starts[-1] + len(row) + 1)

    def place(self, start: int, end: int) -> Place:
        """Return the place of `text[start:end]`."""
        from bisect import bisect_right

        row = bisect_right(self.starts, start) - 1
        return Place(
            line=row + 1,
            column=start - self.starts[row] + 1,
            text=" ".join(self.text[start:end].split()),
            source=self.rows[row].rstrip("\r").replace("\t", " "),
        )


SYSTEM = "<system>"
"""Opcode of a call of a function of the driver; its name and number of results follow."""
TOO_DEEP = "<too deep>"
"""Opcode part of a recursive call that is not expanded, used as the name; the function and the depth follow."""


def flatten(module: Module, entry: Function, lines: Lines) -> Flat:
    """Return the kernel's instructions in order. Raises `Refused`."""
    flat = Flat(depth=_depth(module, entry))
    places: dict[int, Place] = {}
    _expand(module, entry, flat, lines, places, stack=())
    return flat


def _depth(module: Module, entry: Function) -> int:
    """Return the nesting of calls at which recursion stays within its number of instructions."""
    calls = {f.name: _called(module, f) for f in module.functions if f.body is not None}
    calls[entry.name] = _called(module, entry)
    recursive = {name for name in calls if name in _reached(calls, calls[name])}
    if not recursive & _reached(calls, calls[entry.name]):
        return MAX_RECURSION
    sizes = {f.name: len(f.body) for f in module.functions if f.body is not None}
    size = dict.fromkeys(calls, 1)  # instructions of each function, expanded to a depth that grows
    for depth in range(MAX_RECURSION):
        size = {name: sizes.get(name, 1) + sum(size.get(c, 1) for c in called) for name, called in calls.items()}
        if size[entry.name] > RECURSIVE_INSTRUCTIONS:
            return max(depth, 2)
    return MAX_RECURSION


def _called(module: Module, function: Function) -> list[str]:
    """Return the functions that a body calls, once for each call."""
    found = []
    for statement in function.body or ():
        if isinstance(statement, Instruction) and statement.opcode[0] == "call":
            _, target, _ = _parts(statement)
            if isinstance(target, Symbol):
                callee = module.function(target.name)
                found += [callee.name] if callee is not None else []
            else:
                found += _candidates(module, function, statement, target)
    return found


def _reached(calls: Mapping[str, list[str]], start: list[str]) -> set[str]:
    found: set[str] = set()
    work = list(start)
    while work:
        name = work.pop()
        if name not in found:
            found.add(name)
            work += calls.get(name, ())
    return found


def _expand(
    module: Module, function: Function, flat: Flat, lines: Lines, places: dict[int, Place], stack: tuple[str, ...]
) -> int:
    """Append a function's body and return its frame."""
    if len(stack) > flat.depth + MAX_DEPTH or len(flat.items) > MAX_INSTRUCTIONS:
        raise Refused(f"calls nested so that the kernel has more than {MAX_INSTRUCTIONS:,} instructions")
    frame = len(flat.frames)
    end = "<end>"
    flat.frames.append(Frame(function, end))
    for statement in function.body or ():
        if isinstance(statement, Label):
            flat.labels[frame, statement.name] = len(flat.items)
            continue
        place = places.get(statement.span.start)
        if place is None:
            place = places[statement.span.start] = lines.place(statement.span.start, statement.span.end)
        name = statement.opcode[0]
        if name == "call":
            _call(module, statement, frame, flat, lines, places, (*stack, function.name), place)
        elif name == "ret" and stack:
            # after the body: `<end>` of this expansion
            jump = Instruction(("bra",), (Symbol(end, "label"),), statement.guard, statement.span)
            flat.items.append(Item(jump, frame, place))
        else:
            flat.items.append(Item(statement, frame, place))
    flat.labels[frame, end] = len(flat.items)
    return frame


def _call(
    module: Module,
    call: Instruction,
    frame: int,
    flat: Flat,
    lines: Lines,
    places: dict[int, Place],
    stack: tuple[str, ...],
    place: Place,
) -> None:
    _, target, _ = _parts(call)
    after = f"<after {len(flat.items)}>"

    def jump(to: str, guard: Guard | None) -> None:
        flat.items.append(Item(Instruction(("bra",), (Symbol(to, "label"),), guard, call.span), frame, place))

    if call.guard is not None:
        jump(after, Guard(call.guard.register, not call.guard.negated))
    if isinstance(target, Symbol):
        _inline(module, call, target.name, frame, flat, lines, places, stack, place)
    else:
        for callee in _candidates(module, flat.frames[frame].function, call, target):
            following = f"<not {callee} {len(flat.items)}>"
            differs = Register("<differs>", "pred")
            test = (differs, target, Symbol(callee, "function"))
            assert target is not None
            flat.items.append(Item(Instruction(("setp", "ne", "u64"), test, None, call.span), frame, place))  # type: ignore[arg-type]
            jump(following, Guard(differs, False))
            _inline(module, call, callee, frame, flat, lines, places, stack, place)
            jump(after, None)
            flat.labels[frame, following] = len(flat.items)
        flat.items.append(Item(Instruction(("trap",), (), None, call.span), frame, place))
    flat.labels[frame, after] = len(flat.items)


def _candidates(module: Module, caller: Function, call: Instruction, target: Operand | None) -> list[str]:
    """Return the functions that a call through a pointer may reach: those listed, else all of its signature whose
    address is taken.
    """
    results, _, arguments = _parts(call)
    last = call.operands[-1]
    table = next((t for t in caller.tables if isinstance(last, Symbol) and t.name == last.name), None)
    taken = set(table.targets) if table is not None and table.targets else address_taken(module)
    found = [
        function.name
        for function in module.functions
        if function.name in taken
        and function.body is not None
        and len(function.parameters) == len(arguments)
        and len(function.results) == len(results)
    ]
    if not found or target is None:
        raise Refused("a call through a pointer, where no function of its shape has its address taken")
    return found


def address_taken(module: Module) -> set[str]:
    """Return the functions whose address is in a variable or is moved into a register."""
    names = {f.name for f in module.functions}
    found = {v.symbol for variable in module.variables for v in variable.initial or () if isinstance(v, Initial)}
    for function in module.functions:
        for statement in function.body or ():
            if isinstance(statement, Instruction) and statement.opcode[0] != "call":
                found.update(o.name for o in statement.operands if isinstance(o, Symbol) and o.kind == "function")
    aliases = dict(module.aliases)
    return {aliases.get(name, name) for name in found} & names


def _inline(
    module: Module,
    call: Instruction,
    name: str,
    frame: int,
    flat: Flat,
    lines: Lines,
    places: dict[int, Place],
    stack: tuple[str, ...],
    place: Place,
) -> None:
    """Append the body of a called function, or the pseudo-instruction for a function of the driver."""
    results, _, arguments = _parts(call)
    callee = module.function(name)
    if callee is None or callee.body is None:
        if name not in SUPPLIED:
            raise Refused(f"call of {name}, which has no body here")
        opcode = (SYSTEM, name, str(len(results)))
        flat.items.append(Item(Instruction(opcode, (*results, *arguments), None, call.span), frame, place))
        return
    if callee.name in stack and len(stack) >= flat.depth:
        stop = Instruction((SYSTEM, TOO_DEEP, "0", callee.name, str(flat.depth)), (), None, call.span)
        flat.items.append(Item(stop, frame, place))
        return
    if len(arguments) != len(callee.parameters) or len(results) != len(callee.results):
        raise Refused(f"call of {name} with another number of arguments than it has")
    inner = len(flat.frames)
    for argument, parameter in zip(arguments, callee.parameters, strict=True):
        for value, part in _split(argument, parameter):
            _pass(flat, place, call, (inner, part), (frame, value))
    _expand(module, callee, flat, lines, places, stack)
    for result, parameter in ((r, p) for pair in zip(results, callee.results, strict=True) for r, p in _split(*pair)):
        _return(flat, place, call, (frame, result), (inner, parameter))


def _parts(call: Instruction) -> tuple[tuple[Operand, ...], Operand | None, tuple[Operand, ...]]:
    """Return results, function and arguments of `call (r), f, (a, b), prototype`."""
    operands = list(call.operands)
    results: tuple[Operand, ...] = ()
    if operands and isinstance(operands[0], Arguments):
        results = operands.pop(0).elements  # type: ignore[union-attr]
    target = operands.pop(0) if operands else None
    arguments = operands[0].elements if operands and isinstance(operands[0], Arguments) else ()
    return results, target, arguments


MOVE = "<move>"
"""Opcode of a copy between expansions: operands are of the frames that the opcode names."""


def _pass(flat: Flat, place: Place, call: Instruction, to: tuple[int, Parameter], origin: tuple[int, Operand]) -> None:
    flat.items.append(_move(call, place, to[0], _place_of(to[1]), origin[0], origin[1], to[1]))


def _return(
    flat: Flat, place: Place, call: Instruction, to: tuple[int, Operand], origin: tuple[int, Parameter]
) -> None:
    flat.items.append(_move(call, place, to[0], to[1], origin[0], _place_of(origin[1]), origin[1]))


def _split(value: Operand, parameter: Parameter) -> list[tuple[Operand, Parameter]]:
    """Return a vector register's components, each with its own parameter; other values unchanged."""
    if not parameter.register or parameter.vector == 1:
        return [(value, parameter)]
    parts = value.elements if isinstance(value, Vector) else ()
    if len(parts) != parameter.vector:
        raise Refused(f"a value of {len(parts) or 1} elements for {parameter.name}, which has {parameter.vector}")
    names = (f"{parameter.name}.{COMPONENTS[n][0]}" for n in range(parameter.vector))
    return [(part, replace(parameter, name=name, vector=1)) for part, name in zip(parts, names, strict=True)]


def _place_of(parameter: Parameter) -> Operand:
    return Register(parameter.name, parameter.type) if parameter.register else Symbol(parameter.name, "param")


def _move(
    call: Instruction, place: Place, to_frame: int, to: Operand, from_frame: int, origin: Operand, shape: Parameter
) -> Item:
    opcode = (MOVE, str(to_frame), str(from_frame), shape.type, str(shape.size_bytes))
    return Item(Instruction(opcode, (to, origin), None, call.span), to_frame, place)


def data_variables(module: Module) -> Mapping[str, tuple[str, int]]:
    """Return module-scope variables in device memory: name → (space, bytes)."""
    return {v.name: (v.space, v.size_bytes) for v in module.variables if v.space in ("global", "const")}


__all__ = ["MOVE", "Address", "Flat", "Frame", "Integer", "Item", "Lines", "Vector", "data_variables", "flatten"]
