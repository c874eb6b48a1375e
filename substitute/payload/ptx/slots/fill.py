"""Filling of the slots of a kernel's text with the work that a dispatch fuses there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from ....codegen.unsupported import Unsupported
from ....errors import PayloadError
from ....model.dispatch import Named, Nest, Program, View
from ....model.kernel import Kernel
from ....model.plan import Axis, Parameter, Request
from ..faults import fault
from ..parse import parse
from ..rename import Edit, edited
from ..syntax import Function, Module, Register, Span
from ..verification import find_entry
from .block import Block
from .marks import Mark, marks_of
from .plain import with_plain_result
from .writer import Writer, result_of


def refusal(kernel: Kernel, text: str, program: Program) -> str:
    """Return why the slots of a kernel's text cannot be filled with a dispatch's work; empty if they can.

    Raises `PayloadError` for a text that is no PTX, and for slots that cannot be read.
    """
    module = _parsed(text, str(kernel.payload.path))
    marks = marks_of(module, find_entry(module, kernel.payload.entry), kernel)
    try:
        _check_program(kernel, program)
        writer = Writer(program, "slot")
        for mark in {(m.is_store, m.operand): m for m in marks}.values():
            loops = {number: f"%loop{number}" for number in range(_loop_count(program))}
            _filled(writer, Block("slot"), mark, "%value", loops)
    except Unsupported as problem:
        return f"{problem}, which PTX has no form for here"
    return ""


@lru_cache(maxsize=64)
def _parsed(text: str, name: str) -> Module:
    return parse(text, name=name)


def _check_program(kernel: Kernel, program: Program) -> None:
    """Check that the marks can express the program. Raises `Unsupported`."""
    if program.cores:
        result_of(program)
        core = program.cores[-1]  # (others are element-wise)
        found = core.types[0].element if isinstance(core, Named) else core.expr.nodes[core.expr.results[0]].type
        if found != "f32":
            raise Unsupported(f"a result of type {found}")
    elif len(program.stores) != 1 or len(program.stores[0].writes) != 1:
        raise Unsupported("several results")
    for form in kernel.forms:
        nests = [n for n in (*form.program.cores, *form.program.stores) if isinstance(n, Nest)]
        if "prologue" in kernel.slots and any(n.expr.nodes[n.expr.results[0]].op != "read" for n in nests):
            raise Unsupported("a definition that computes with its operand, behind a prologue")


def _loop_count(program: Program) -> int:
    stages = (*program.cores, *program.stores)
    return max(len(s.sizes) if isinstance(s, Nest) else len(s.types[0].shape) for s in stages)


def fill(request: Request, module: Module) -> tuple[str, Request]:
    """Return the text with the dispatch's work in its slots, and the request with the additional parameters.

    More parameters follow the kernel's own: a pointer for each operand, behind the pointers; what is known at launch,
    behind the axes and strides. Raises `PayloadError`.
    """
    kernel = request.substitution.kernel
    entry = find_entry(module, kernel.payload.entry)
    marks = marks_of(module, entry, kernel)
    _check_marks(module, entry, kernel, marks)
    plain = with_plain_result(request)
    if plain is not None:
        return edited(module.text, [(mark.pragma, "") for mark in marks]), plain
    prefix = "slot"
    while f"{prefix}_" in module.text:
        prefix += "_"
    writer = Writer(request.program, prefix)
    axes = {axis.name: axis for axis in request.match.axes}
    edits: list[Edit] = []
    try:
        for mark in marks:
            edits.append((mark.pragma, ""))
            edits.append((mark.instruction.span, _replacement(module, writer, kernel, mark, axes)))
    except Unsupported as problem:
        raise PayloadError(
            f"the slots cannot be filled: {problem}",
            where=f"{kernel.name} in {request.substitution.dispatch.name}",
            expected="a dispatch that its code handles",
            next_step="leave this dispatch out by `dispatches`",
        ) from problem
    edits += _head(entry, writer, len(kernel.operands), len(request.values))
    return edited(module.text, edits), _extended(request, writer)


def _check_marks(module: Module, entry: Function, kernel: Kernel, marks: tuple[Mark, ...]) -> None:
    """Check that each operand without a fixed place in memory has a slot."""
    wanted = []
    for spec, operand in zip(kernel.operands, kernel.forms[0].program.operands, strict=False):
        if operand.kind == "result":
            wanted.append(("store", spec.name))
        elif "prologue" in kernel.slots:
            wanted.append(("load", spec.name))
    found = {("store" if m.is_store else "load", m.operand) for m in marks}
    for kind, name in wanted:
        if (kind, name) not in found:
            raise fault(
                module,
                entry.name_span.start,
                f"the entry has no slot for {name}",
                expected=f'.pragma "slot {kind} {name}[…]" in front of each {kind} of it',
                found="none",
                next_step="mark it, or remove `slots` from kernel.toml",
            )


def _replacement(module: Module, writer: Writer, kernel: Kernel, mark: Mark, axes: Mapping[str, Axis]) -> str:
    """Return the instructions that replace a marked access, element by element."""
    spec = next(o for o in kernel.operands if o.name == mark.operand)
    lines: list[str] = []
    for number, value in enumerate(mark.values):
        assert isinstance(value, Register)
        block = Block(writer.prefix)
        loops: dict[int, str] = {}
        for at, (axis_name, (register, bits)) in enumerate(zip(spec.axes, mark.coordinates, strict=True)):
            axis = axes[axis_name]
            if not axis.loops:
                continue
            if number and at == len(spec.axes) - 1:
                register = block.emit("d" if bits == 64 else "w", f"add.s{bits}", register, str(number))
            loops.update(zip(axis.loops, writer.split(block, register, bits, axis.sizes), strict=True))
        name = value.name.partition("#")[0]
        _filled(writer, block, mark, name, loops)
        place = ", ".join(register for register, _ in mark.coordinates) + (f" + {number}" if number else "")
        lines += block.text(f"{'store' if mark.is_store else 'load'} {mark.operand}[{place}]")
    guard = mark.instruction.guard
    if guard is not None and mark.spread is None:
        end = writer.label()
        name = guard.register.name.partition("#")[0]
        lines = [f"@{'' if guard.negated else '!'}{name} bra {end};", *lines, f"{end}:"]
    column = mark.instruction.span.start - module.text.rfind("\n", 0, mark.instruction.span.start) - 1
    return f"\n{' ' * column}".join(lines)


def _filled(writer: Writer, block: Block, mark: Mark, value: str, loops: Mapping[int, str]) -> None:
    """Emit one element of a mark: `value` is its register."""
    if not mark.is_store:
        block.line(f"mov.b32 {value}, {writer.computed(block, loops)};")
    elif writer.program.cores:
        writer.store_result(block, value, loops, mark.spread)
    else:
        writer.store_computed(block, value, loops)


def _head(entry: Function, writer: Writer, operands: int, parameters: int) -> list[Edit]:
    """Return the parameters that the slots need, and their loads at the start.

    Pointers follow those of the operands; integers stand before the parameters of the definition.
    """
    prefix = writer.prefix
    pointers = [f".param .u64 {prefix}_pointer_{n}" for n in range(len(writer.pointers))]
    values = [f".param .u64 {prefix}_scalar_{n}" for n in range(len(writer.values))]
    lines = []
    if pointers:
        lines.append(f".reg .b64 {writer.base(0)[:-1]}<{len(pointers)}>;")
        lines += [f"ld.param.u64 {writer.base(n)}, [{prefix}_pointer_{n}];" for n in range(len(pointers))]
    if values:
        lines.append(f".reg .b64 {writer.value(0)[:-1]}<{len(values)}>;")
        lines += [f"ld.param.u64 {writer.value(n)}, [{prefix}_scalar_{n}];" for n in range(len(values))]
    opening, behind = entry.body_span.start + 1, entry.parameters[operands - 1].span.end
    last = entry.parameters[-1 - parameters].span.end
    text = "".join(f"\n  {line}" for line in ("// what the slots read and write besides", *lines))
    added = [(Span(behind, behind), "".join(f",\n  {p}" for p in pointers))]
    added.append((Span(last, last), "".join(f",\n  {v}" for v in values)))
    return [*added, (Span(opening, opening), text)]


def _extended(request: Request, writer: Writer) -> Request:
    """Return the request with a parameter for each operand that the slots access, and their launch values."""
    program = request.program
    stages = (*program.cores, *program.stores)
    read = {r.source.operand for s in stages for r in s.reads if isinstance(r.source, View)}
    written = {w.view.operand for nest in program.stores for w in nest.writes}
    added = []
    for number, at in enumerate(writer.pointers):
        operand = program.operands[at]
        view = View(operand=at, type=operand.type, offset=0, strides=(0,) * len(operand.type.shape))
        added.append(
            Parameter(
                name=f"{writer.prefix}_{number}", operand=operand, view=view, written=at in written, read=at in read
            )
        )
    names = tuple(f"{writer.prefix}_value_{number}" for number in range(len(writer.values)))
    return replace(
        request,
        parameters=(*request.parameters, *added),
        scalars=(*request.scalars, *writer.values),
        scalar_names=(*request.scalar_names, *names),
    )
