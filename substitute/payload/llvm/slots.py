"""Slots of LLVM functions that are not generated: files of LLVM IR, and C.

The author's function keeps its signature. The pointer of an operand with a slot is opaque: the function gives it to
`load_x(pointer, coordinates…)` or `store_y(pointer, coordinates…, value)`, which it only declares. Here both are
defined for one dispatch, with what IREE fused there, together with the function that IREE's code calls. It keeps the
pointers and sizes of the dispatch in a record on its stack, whose address is the opaque pointer; once all is inlined,
nothing is left of the record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from ...abi.bind import bind_operands
from ...codegen.llvm.elements import REGISTER_TYPES
from ...codegen.llvm.epilogue import refuse_epilogue, store_result
from ...codegen.llvm.function import I8, I32, I64, PASSED, PTR, KernelFunction
from ...codegen.llvm.input import load_input, refuse_inputs
from ...errors import PayloadError
from ...model.dispatch import Program
from ...model.index import apply, mul
from ...model.kernel import Kernel, OperandSpec
from ...model.plan import Request
from .definitions import SLOTS_BELOW
from .optimize import parse_ir
from .signature import check_signature


def refuse_slots(kernel: Kernel, program: Program) -> str:
    """Return why the slots of a kernel cannot be filled with what a dispatch computes there; empty: they can."""
    reason = refuse_epilogue(program) if "epilogue" in kernel.slots else ""
    return reason or (refuse_inputs(program) if "prologue" in kernel.slots else "")


def fill_slots(text: str, request: Request, where: str) -> str:
    """Return the module with the functions that it declares for its slots, and `request.entry`, which calls its own.

    The author's lines keep their numbers. Raises `PayloadError`.
    """
    kernel = request.substitution.kernel
    own = bind_operands(request.substitution, entry=kernel.payload.entry)
    if any(kernel.payload.entry in (f"load_{spec.name}", f"store_{spec.name}") for spec in kernel.operands):
        raise PayloadError(
            "the function has the name of a slot's function",
            where=where,
            expected="another name than load_… and store_… with an operand's name",
            found=f"@{kernel.payload.entry}",
            next_step="rename it, in the code and as `entry` in kernel.toml",
        )
    module = parse_ir(text, where)
    check_signature(module, own, kernel.payload.entry, where)
    maker = _Maker(request, own)
    for name, function in maker.helpers.items():
        _check_declaration(module, name, function, where)
    lines = str(maker.module).splitlines()
    known = {function.name for function in module.functions} - set(maker.helpers)
    added = [
        line for line in lines if not line.startswith(("target ", "source_filename")) and not _declares(line, known)
    ]
    for name in maker.helpers:
        text = _without_declaration(text, name)
    return "\n".join([text.rstrip("\n"), SLOTS_BELOW, *added]) + "\n"


class _Maker:
    """The functions around an author's, for one dispatch."""

    def __init__(self, request: Request, own: Request) -> None:
        self.request, kernel = request, request.substitution.kernel
        self.kernel = KernelFunction(request)
        self.module: ir.Module = self.kernel.module
        fields = [PTR] * len(request.parameters) + [I64] * len(request.scalars)
        fields += [PASSED[value.passed_type] for value in request.values]
        self.record = ir.LiteralStructType(fields)
        form = next(form for form in kernel.forms if form.name == request.match.form)
        placed = {one.name: one for one in request.match.placements}
        self.helpers: dict[str, ir.Function] = {}
        arguments: list[ir.Value] = []
        opaque = self._keep_arguments()
        for spec, operand in zip(kernel.operands, form.program.operands, strict=False):
            place = placed.get(spec.name)
            if place is not None:
                pointer = self.kernel.pointers[request.parameter_of(place.view)]
                moved = 0 if place.start == place.view.offset else apply("sub", place.start, place.view.offset)
                bytes_ = self.kernel.index(mul(moved, place.view.type.element_bytes))
                arguments.append(self.kernel.element(pointer, bytes_, I8))
                continue
            arguments.append(opaque)
            type_ = REGISTER_TYPES[operand.type.element]
            function = self._store(spec, type_) if operand.kind == "result" else self._load(spec, type_)
            self.helpers[function.name] = function
        arguments += [self.kernel.index(size) for size in own.scalars]
        arguments += [self.kernel.parameter(value.name) for value in own.values]
        arguments += self.kernel.workgroup
        types = [argument.type for argument in arguments]
        called = ir.Function(self.module, ir.FunctionType(ir.VoidType(), types), name=kernel.payload.entry)
        self.kernel.builder.call(called, arguments)
        self.kernel.finish()

    def _keep_arguments(self) -> ir.Value:
        """Store the dispatch's pointers and sizes in the record, and return its address."""
        builder = self.kernel.builder
        room = builder.alloca(self.record)
        room.type = PTR  # llvmlite still types an alloca's pointer
        for at, argument in enumerate(self.kernel.function.args[: len(self.record.elements)]):
            builder.store(argument, self._field(builder, room, at))
        return room

    def _field(self, builder: ir.IRBuilder, record: ir.Value, at: int) -> ir.Value:
        places = [ir.Constant(I32, 0), ir.Constant(I32, at)]
        return builder.gep(record, places, inbounds=True, source_etype=self.record)

    def _store(self, spec: OperandSpec, type_: ir.Type) -> ir.Function:
        helper = _Helper(self, f"store_{spec.name}", len(spec.axes), value=type_)
        store_result(helper, dict(zip(spec.axes, helper.coordinates, strict=True)), helper.function.args[-1])
        helper.close()
        return helper.function

    def _load(self, spec: OperandSpec, type_: ir.Type) -> ir.Function:
        helper = _Helper(self, f"load_{spec.name}", len(spec.axes), result=type_)
        helper.close(load_input(helper, spec, helper.coordinates))
        return helper.function


class _Helper(KernelFunction):
    """A function that gets the record, and coordinates; all else is as in the function that IREE's code calls."""

    def __init__(
        self, maker: _Maker, name: str, coordinates: int, *, value: ir.Type | None = None, result: ir.Type | None = None
    ) -> None:
        self.request, self.hardware, self.module = maker.request, maker.kernel.hardware, maker.module
        types = [PTR, *[I64] * coordinates, *([value] if value is not None else [])]
        self.function = ir.Function(self.module, ir.FunctionType(result or ir.VoidType(), types), name=name)
        for attribute in ("nounwind", "alwaysinline"):
            self.function.attributes.add(attribute)
        self.coordinates: Sequence[ir.Value] = self.function.args[1 : 1 + coordinates]
        self._open_blocks()
        record = self.function.args[0]
        fields = [
            self._entry_builder.load(maker._field(self._entry_builder, record, at), typ=type_)
            for at, type_ in enumerate(maker.record.elements)
        ]
        count = len(self.request.parameters)
        self._take(fields[:count], fields[count:])


def _check_declaration(module: Any, name: str, function: ir.Function, where: str) -> None:
    found = next((one for one in module.functions if one.name == name), None)
    arguments = ", ".join(str(type_) for type_ in function.function_type.args)
    wanted = f"{function.function_type.return_type} ({arguments})"
    expected = f"declare {function.function_type.return_type} @{name}({arguments})"
    if found is None:
        raise PayloadError(
            f"the code never calls @{name}, so that it would leave out what IREE fuses there",
            where=where,
            expected=f"{expected}, and calls of it",
            found="no function of this name",
            next_step="call it with the operand's pointer and an index for each axis, or remove the slot",
        )
    type_ = str(found.global_value_type)
    if not found.is_declaration or type_ != wanted:
        raise PayloadError(
            f"@{name} is not declared as it will be defined",
            where=where,
            expected=expected,
            found=f"a definition of @{name}" if not found.is_declaration else f"{type_}",
            next_step="correct the declaration; `iree-substitute kernels show` prints it",
        )


def _declares(line: str, known: set[str]) -> bool:
    """Return True for the declaration of a function that the author's module has."""
    found = re.match(r'declare\b[^@]*@"?([\w.$-]+)"?\(', line)
    return found is not None and found[1] in known


def _without_declaration(text: str, name: str) -> str:
    """Return the text without the declaration of a function, whose line stays empty."""
    pattern = rf'^[ \t]*declare\b[^@\n]*@"?{re.escape(name)}"?\s*\((?:[^()]|\([^()]*\))*\)[^\n]*'
    return re.sub(pattern, lambda found: "\n" * found[0].count("\n"), text, flags=re.MULTILINE)
