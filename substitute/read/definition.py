"""Reader of a kernel's `definition.mlir`: each function is one form of the kernel's computation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..bindings import settle_bindings
from ..errors import ManifestError, SourceText
from ..model.dispatch import Linear, Named, Nest, Operand, Program, TensorType, View
from ..model.index import Index, symbol
from ..model.kernel import Form, OperandSpec, drop_parameters
from ..model.nest import NestBuilder
from ..model.parameter import SCALAR_TYPES, ScalarParameter
from .body import BodyReader
from .module import children, symbol_name
from .tensors import Computed, Loaded, Tensor, row_major
from .unread import Unread

if TYPE_CHECKING:
    from iree.compiler import ir


def read_forms(path: Path, text: str, operands: tuple[OperandSpec, ...]) -> tuple[Form, ...]:
    """Return all public functions of a definition.

    `operands` name the arguments and then the results; `?` sizes become symbols with the axis's name. Raises
    `ManifestError` for text that does not parse or a function that does not fit the operands.
    """
    settle_bindings()
    from iree.compiler import ir

    with _context(), ir.Location.unknown():
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError as error:
            raise _syntax_error(path, text, error) from None
        drop_identities(module.operation)
        functions = [f for f in children(module.operation) if f.name == "func.func"]
        if not functions:
            raise ManifestError(
                "the definition has no function",
                where=str(path),
                expected="at least one func.func on tensors",
                found="none",
                next_step="write what the kernel computes as linalg operations on tensors",
            )
        forms: list[Form] = []
        for function in functions:
            order = forms[0].parameters if forms else None
            forms.append(_read_form(path, text, function, operands, order))
        return tuple(forms)


def drop_identities(operation: ir.Operation) -> None:
    """Remove bitcasts between equal types, which `[types]` makes of conversions between variables."""
    from iree.compiler import ir

    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "arith.bitcast" and op.operands[0].type == op.results[0].type:
            found.append(op)
        return ir.WalkResult.ADVANCE

    operation.walk(visit)
    for op in found:
        ir.Value(op.results[0]).replace_all_uses_with(op.operands[0])
        op.erase()


@cache
def _context() -> ir.Context:
    """Return a context that all definitions share: creating one takes longer than reading a definition."""
    from iree.compiler import ir

    context = ir.Context()
    context.enable_multithreading(False)  # a fork of this process would wait for its threads
    return context


def _syntax_error(path: Path, text: str, error: ir.MLIRError) -> ManifestError:
    diagnostic = error.error_diagnostics[0] if error.error_diagnostics else None
    words = diagnostic.message if diagnostic else str(error)
    place = str(diagnostic.location) if diagnostic else ""
    numbers = [int(n) for n in re.findall(r":(\d+)", place)]
    source = None
    if len(numbers) == 2 and 0 < numbers[0] <= len(text.splitlines()):
        source = SourceText(line=numbers[0], column=numbers[1], text=text.splitlines()[numbers[0] - 1])
    return ManifestError(
        "the definition is not valid MLIR",
        where=str(path),
        expected="func.func operations on tensors, with linalg, tensor, arith and math inside",
        found=words,
        next_step="check it with iree-opt",
        source=source,
    )


def _check_tensor(where: str, type_: ir.Type, spec: OperandSpec) -> None:
    """Raise `ManifestError` for an argument or a result that is no ranked tensor."""
    from iree.compiler import ir

    if isinstance(type_, ir.RankedTensorType):
        return
    raise ManifestError(
        f"operand `{spec.name}` of the definition is no tensor",
        where=where,
        expected="a ranked tensor, such as tensor<?x4xf32>",
        found=str(type_),
        next_step=f"make it tensor<{type_}>: a result is a tensor"
        if _is_scalar(type_)
        else "give it a shape; `?` stands for a size that is known at launch",
    )


def _is_scalar(type_: ir.Type) -> bool:
    from iree.compiler import ir

    return not isinstance(type_, ir.ShapedType)


def _parameters(
    where: str, text: str, arguments: Sequence[ir.Value], order: tuple[ScalarParameter, ...] | None
) -> tuple[ScalarParameter, ...]:
    """Return the scalar arguments, in the order of the first form's if `order` gives them.

    Raises `ManifestError` for a type that no parameter has, and for forms that differ in their parameters.
    """
    found: list[ScalarParameter] = []
    for position, argument in enumerate(arguments):
        if not _is_scalar(argument.type):
            continue
        name = name_argument(text, argument) or f"arg{position}"
        if str(argument.type) not in SCALAR_TYPES:
            raise ManifestError(
                f"the parameter `{name}` of the definition has a type that no parameter has",
                where=where,
                expected=", ".join(sorted(SCALAR_TYPES)),
                found=str(argument.type),
                next_step="give it one of these types",
            )
        found.append(ScalarParameter(name=name, type=str(argument.type), position=position))
    if order is None:
        return tuple(found)
    by_name = {(p.name, p.type): p for p in found}
    if set(by_name) != {(p.name, p.type) for p in order}:
        raise ManifestError(
            "the functions of the definition differ in their parameters",
            where=where,
            expected=f"the parameters of the first function: {', '.join(map(str, order)) or 'none'}",
            found=", ".join(map(str, found)) or "none",
            next_step="give all functions the same scalar arguments, by name and type",
        )
    return tuple(by_name[p.name, p.type] for p in order)


def name_argument(text: str, argument: ir.Value) -> str:
    """Return the name of an argument in the text; MLIR keeps the position, not the name."""
    place = re.search(r":(\d+):(\d+)\)$", str(argument.location))
    lines = text.splitlines()
    if place is None or not 0 < int(place[1]) <= len(lines):
        return ""
    name = re.match(r"%([A-Za-z_][A-Za-z0-9_]*)", lines[int(place[1]) - 1][int(place[2]) - 1 :])
    return name[1] if name else ""


def _check_used(where: str, parameters: tuple[ScalarParameter, ...], program: Program) -> None:
    """Raise `ManifestError` for a parameter that no result depends on: its value cannot be found in a dispatch."""
    nests = [stage for stage in (*program.cores, *program.stores) if isinstance(stage, Nest)]
    nests += [scalar for core in program.cores if isinstance(core, Named) for scalar in core.scalars]
    used = {node.attribute for nest in nests for node in nest.expr.nodes if node.op == "parameter"}
    unused = [parameter.name for number, parameter in enumerate(parameters) if number not in used]
    if unused:
        raise ManifestError(
            f"no result of the definition depends on the parameter {' and '.join(f'`{name}`' for name in unused)}",
            where=where,
            expected="parameters that element-wise work or the body of a reduction uses",
            found="a value that a dispatch cannot tell",
            next_step="remove it from the function, or use it",
        )


def _read_form(
    path: Path,
    text: str,
    function: ir.Operation,
    specs: tuple[OperandSpec, ...],
    order: tuple[ScalarParameter, ...] | None,
) -> Form:
    from iree.compiler import ir

    name = symbol_name(function)
    where = f"{path}: @{name}"
    if not list(function.regions[0].blocks):
        raise ManifestError(
            "a function of the definition has no body",
            where=where,
            expected="functions that say what the kernel computes",
            found="a declaration",
            next_step="write its body, or remove it",
        )
    block = function.regions[0].blocks[0]
    returned = list(list(block.operations)[-1].operation.operands)
    parameters = _parameters(where, text, list(block.arguments), order)
    arguments = [argument for argument in block.arguments if not _is_scalar(argument.type)]
    specs = drop_parameters(specs, parameters)
    if len(arguments) + len(returned) != len(specs):
        raise ManifestError(
            "the function does not have the operands that kernel.toml names",
            where=where,
            expected=f"{len(specs)} arguments and results ({', '.join(s.name for s in specs)})",
            found=f"{len(arguments)} tensor arguments and {len(returned)} results",
            next_step="make [operands] list the arguments that are tensors and then the results; scalars are "
            "parameters, which [parameters] may name",
        )
    for value, spec in zip((*arguments, *returned), specs, strict=True):
        _check_tensor(where, value.type, spec)
    reader = BodyReader()
    for number, parameter in enumerate(parameters):
        reader.know_parameter(block.arguments[parameter.position], number)
    for argument, spec in zip(arguments, specs, strict=False):
        type_ = _type(where, ir.RankedTensorType(argument.type), spec)
        number = reader.add_operand(Operand(kind="argument", type=type_, access="readonly"))
        loaded: Tensor = Loaded(_whole(number, _stored(type_)))
        reader.know_tensor(argument, _converted(loaded, "arith.trunci", type_) if type_.element == "i1" else loaded)
    try:
        reader.read_block(block)
        for value, spec in zip(returned, specs[len(arguments) :], strict=True):
            type_ = _type(where, ir.RankedTensorType(value.type), spec)
            number = reader.add_operand(Operand(kind="result", type=type_, access="writeonly"))
            if type_.element == "i1":
                reader.know_tensor(value, _converted(reader.tensor(value), "arith.extui", _stored(type_)))
            reader.store(value, _whole(number, _stored(type_)))
    except Unread as error:
        raise ManifestError(
            f"the definition cannot be read: it has {error}",
            where=where,
            expected="linalg operations with one associative combiner, and element-wise work",
            next_step="spell the computation with linalg.generic, or select dispatches by name",
        ) from None
    program = _name_sizes(reader.program(), specs)
    _check_used(where, parameters, program)
    return Form(name=name, program=program, parameters=parameters)


def _name_sizes(program: Program, specs: tuple[OperandSpec, ...]) -> Program:
    """Name the sizes of loops that are computed (a convolution's positions) after the result's axis."""
    names: dict[Index, Index] = {}
    for nest in program.stores:
        for write in nest.writes:
            spec = specs[write.view.operand]
            for coordinate, axis in zip(write.access, spec.axes, strict=True):
                if coordinate.loop is not None and not isinstance(nest.sizes[coordinate.loop], int):
                    names[nest.sizes[coordinate.loop]] = symbol(axis)

    def named(nest: Nest) -> Nest:
        return replace(nest, sizes=tuple(names.get(s, s) for s in nest.sizes))

    return Program(
        operands=program.operands,
        cores=tuple(named(c) if isinstance(c, Nest) else c for c in program.cores),
        stores=tuple(named(n) for n in program.stores),
    )


def _type(where: str, tensor: ir.RankedTensorType, spec: OperandSpec) -> TensorType:
    if tensor.rank != len(spec.axes):
        raise ManifestError(
            f"the rank of {spec.name} differs from kernel.toml",
            where=where,
            expected=f"{len(spec.axes)} dimensions ({', '.join(spec.axes)})",
            found=str(tensor),
            next_step=f"make [operands] {spec.name} name one axis per dimension",
        )
    shape: tuple[Index, ...] = tuple(
        symbol(axis) if tensor.is_dynamic_dim(d) else tensor.get_dim_size(d) for d, axis in enumerate(spec.axes)
    )
    return TensorType(shape=shape, element=str(tensor.element_type))


def _stored(type_: TensorType) -> TensorType:
    """Return the type in memory: in a dispatch, IREE stores an i1 as an i8."""
    return replace(type_, element="i8") if type_.element == "i1" else type_


def _converted(source: Tensor, op: str, type_: TensorType) -> Tensor:
    """Return the conversion between an i1 and its stored type, as IREE writes it into a dispatch."""

    def body(loops: tuple[Linear, ...], nest: NestBuilder) -> int:
        return nest.graph.add(op, type_.element, (source.element(loops, nest),))

    rank = len(type_.shape)
    return Computed(type_, body, tuple(range(rank)), rank)


def _whole(number: int, type_: TensorType) -> View:
    return View(operand=number, type=type_, offset=0, strides=row_major(type_.shape))
