"""Steps from a bound kernel to the PTX of a dispatch: verification, adaptation, assembly."""

from __future__ import annotations

from dataclasses import replace

from ...errors import PayloadError
from ...model.index import Expr, Index, add, mul
from ...model.parameter import BoundParameter
from ...model.plan import Parameter, Request
from .adapt import Argument, Data, Pointer, Scalar, Value, adapt
from .assembler import assemble
from .body import instructions_of
from .faults import fault, source_of
from .memory import reachable
from .parse import parse
from .rename import rename
from .signature import SCRATCH_POINTERS, canonical_signature, raw_signature
from .slots import fill
from .syntax import Function, Module
from .unreachable import drop_unreachable
from .verification import PtxFacts, check, find_entry, with_assembly


def bind_ptx(request: Request, text: str, *, arch: str, name: str) -> tuple[str, PtxFacts]:
    """Return PTX for one dispatch, and the facts about it.

    The entry is renamed to `request.entry`; that of a canonical kernel is adapted to the dispatch's layout. `arch` is
    the device's architecture (`sm_80`), `name` the text's name in messages. Raises `PayloadError`.
    """
    kernel, layout = request.substitution.kernel, request.substitution.dispatch.layout
    module = parse(text, name=name)
    reached = drop_unreachable(module, kernel.payload.entry)
    if reached != text:
        text, module = reached, parse(reached, name=name)
    raw = kernel.abi == "raw"
    scratch = 0 if raw or kernel.slots else SCRATCH_POINTERS
    expected = raw_signature(len(layout.bindings), layout.constants)
    if not raw:
        values = tuple((value.name, value.passed_type) for value in request.values)
        expected = canonical_signature(tuple(p.name for p in request.parameters), request.scalar_names, values)
    facts = check(
        module,
        entry=kernel.payload.entry,
        expected=expected,
        target_arch=arch,
        workgroup_size=kernel.launch.workgroup_size,
        shared_memory_bytes=kernel.launch.shared_memory_bytes,
        passer="the dispatch" if raw else "the canonical ABI",
        scratch=scratch,
    )
    if kernel.slots:
        filled, request = fill(request, module)
        module = parse(filled, name=f"{name}, its slots filled for {request.substitution.dispatch.name}")
    if raw:
        assembly = assemble(text, entry=kernel.payload.entry, target=module.target, arch=arch)
        facts = with_assembly(module, facts, assembly, kernel.launch.workgroup_size)
        return rename(text, kernel.payload.entry, request.entry, name=name), facts
    return _adapted(request, module, facts, arch)


def _adapted(request: Request, module: Module, facts: PtxFacts, arch: str) -> tuple[str, PtxFacts]:
    layout = request.substitution.dispatch.layout
    entry = find_entry(module, facts.entry)
    _check_cached_loads(request, module, entry)
    text = adapt(
        module,
        entry,
        arguments(request),
        bindings=len(layout.bindings),
        constants=layout.constants,
        export_name=request.entry,
    )
    adapted = parse(text, name=f"{module.name}, bound to {request.substitution.dispatch.name}")
    check(
        adapted,
        entry=request.entry,
        expected=raw_signature(len(layout.bindings), layout.constants),
        target_arch=arch,
        workgroup_size=request.substitution.kernel.launch.workgroup_size or facts.workgroup_size,
        shared_memory_bytes=request.substitution.kernel.launch.shared_memory_bytes,
    )
    assembly = assemble(text, entry=request.entry, target=module.target, arch=arch)
    if assembly.error:  # where the author's own text is wrong, the error should point to it
        with_assembly(module, facts, assemble(module.text, entry=facts.entry, target=module.target, arch=arch))
    size = request.substitution.kernel.launch.workgroup_size
    facts = with_assembly(adapted, replace(facts, entry=request.entry), assembly, size)
    return text, replace(facts, notes=(*facts.notes, *_alignment_notes(request, entry)))


def arguments(request: Request) -> tuple[Argument, ...]:
    """Return the values of the canonical entry's parameters in this dispatch. Raises `PayloadError`."""
    pointers = [_pointer(request, parameter) for parameter in request.parameters]
    scalars = [Scalar(name=n, value=v) for n, v in zip(request.scalar_names, request.scalars, strict=True)]
    return (*pointers, *scalars, *(_value(request, bound) for bound in request.values))


def _value(request: Request, bound: BoundParameter) -> Argument:
    value = bound.value
    if value.view is None:
        return Value(name=bound.name, type=value.type, bits=value.bits)
    operand = request.program.operands[value.view.operand]
    place = Parameter(
        name=bound.name,
        operand=operand,
        view=replace(value.view, offset=add(value.view.offset, value.element)),
        written=False,
        read=True,
    )
    pointer = _pointer(request, place)
    assert isinstance(pointer, Pointer)
    return Value(name=bound.name, type=value.type, pointer=pointer)


def _pointer(request: Request, parameter: Parameter) -> Argument:
    operand = parameter.operand
    offset: Index = add(operand.byte_offset, mul(parameter.view.offset, operand.type.element_bytes))
    if operand.kind == "binding":
        return Pointer(name=parameter.name, binding=operand.binding, byte_offset=offset)
    if operand.kind == "constant" and not isinstance(offset, Expr):
        count = operand.type.count
        splat = len(operand.data) == operand.type.element_bytes
        if isinstance(count, int):
            return Data(name=parameter.name, data=operand.data * (count if splat else 1), byte_offset=offset)
    raise PayloadError(
        f"{parameter.name} is no tensor in memory",
        where=request.substitution.dispatch.name,
        expected="a tensor in a binding, or a constant of known size",
        found=f"{operand.kind} {operand.type}",
        next_step="leave this dispatch to IREE, or use an LLVM kernel",
    )


def _check_cached_loads(request: Request, module: Module, entry: Function) -> None:
    """Check `ld.global.nc`, which is for memory that is not written while the kernel runs (PTX ISA 9.7.9.9)."""
    written = {p.operand for p in request.parameters if p.written}
    updated = [p.name for p in request.parameters if p.read and p.operand in written]
    if not updated:
        return
    for function in reachable(module, entry):
        for instruction in instructions_of(function):
            if instruction.opcode[0] == "ldu" or (instruction.opcode[0] == "ld" and "nc" in instruction.opcode):
                raise fault(
                    module,
                    instruction.span.start,
                    "the kernel reads through a cache that does not see writes",
                    expected=f"ld.global, since {', '.join(updated)} is updated in place in this dispatch",
                    found=source_of(module, instruction),
                    next_step="load without .nc (in CUDA C: without __restrict__ and __ldg)",
                )


def _alignment_notes(request: Request, entry: Function) -> tuple[str, ...]:
    """Return the promises of `.ptr .align` that cannot be proved here."""
    notes = []
    for declared, parameter in zip(entry.parameters, request.parameters, strict=False):
        dynamic = isinstance(add(parameter.operand.byte_offset, parameter.view.offset), Expr)
        if declared.pointer_alignment > parameter.operand.type.element_bytes and dynamic:
            notes.append(
                f"{declared.name}: .align {declared.pointer_alignment} is not proved, its offset is known at launch"
            )
    return tuple(notes)
