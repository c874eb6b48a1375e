"""Reads a kernel's `definition.mlir`: each function is one form of what the kernel computes."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..bindings import settle_bindings
from ..errors import ManifestError, SourceText
from ..model.dispatch import Linear, Nest, Operand, Program, TensorType, View
from ..model.index import Index, symbol
from ..model.kernel import Form, OperandSpec
from .body import BodyReader
from .module import children, symbol_name
from .nest import NestBuilder
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
        functions = [f for f in children(module.operation) if f.name == "func.func"]
        if not functions:
            raise ManifestError(
                "the definition has no function",
                where=str(path),
                expected="at least one func.func on tensors",
                found="none",
                next_step="write what the kernel computes as linalg operations on tensors",
            )
        return tuple(_read_form(path, function, operands) for function in functions)


@cache
def _context() -> ir.Context:
    """One context for all definitions: making one takes longer than reading a definition."""
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
    """Raises `ManifestError` for an argument or a result that is no ranked tensor."""
    from iree.compiler import ir

    if isinstance(type_, ir.RankedTensorType):
        return
    scalar = isinstance(type_, ir.FloatType | ir.IntegerType | ir.IndexType)
    raise ManifestError(
        f"operand `{spec.name}` of the definition is no tensor", where=where,
        expected="a ranked tensor, such as tensor<?x4xf32>", found=str(type_),
        next_step=f"make it tensor<{type_}> and read it with an empty map, affine_map<(i) -> ()>, "
        "or write its value into the body as a constant" if scalar
        else "give it a shape; `?` stands for a size that is known at launch",
    )  # fmt: skip


def _read_form(path: Path, function: ir.Operation, specs: tuple[OperandSpec, ...]) -> Form:
    from iree.compiler import ir

    name = symbol_name(function)
    block = function.regions[0].blocks[0]
    returned = list(list(block.operations)[-1].operation.operands)
    arguments = list(block.arguments)
    where = f"{path}: @{name}"
    if len(arguments) + len(returned) != len(specs):
        raise ManifestError(
            "the function does not have the operands that kernel.toml names",
            where=where,
            expected=f"{len(specs)} arguments and results ({', '.join(s.name for s in specs)})",
            found=f"{len(arguments)} arguments and {len(returned)} results",
            next_step="make [operands] list the arguments and then the results",
        )
    for value, spec in zip((*arguments, *returned), specs, strict=True):
        _check_tensor(where, value.type, spec)
    reader = BodyReader()
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
    return Form(name=name, program=_name_sizes(reader.program(), specs))


def _name_sizes(program: Program, specs: tuple[OperandSpec, ...]) -> Program:
    """Loops whose size is computed (a convolution's positions) get the name of the result's axis that they run over."""
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
    """Return the type in memory: IREE keeps an i1 as an i8, and says so in a dispatch."""
    return replace(type_, element="i8") if type_.element == "i1" else type_


def _converted(source: Tensor, op: str, type_: TensorType) -> Tensor:
    """Return the conversion between an i1 and what is stored, as IREE writes it into a dispatch."""

    def body(loops: tuple[Linear, ...], nest: NestBuilder) -> int:
        return nest.graph.add(op, type_.element, (source.element(loops, nest),))

    rank = len(type_.shape)
    return Computed(type_, body, tuple(range(rank)), rank)


def _whole(number: int, type_: TensorType) -> View:
    return View(operand=number, type=type_, offset=0, strides=row_major(type_.shape))
