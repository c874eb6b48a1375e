"""Calls of a kernel by its name, rewritten to one dispatch of the kernel's definition.

A model calls a kernel as `stablehlo.custom_call @my_kernel` (JAX's FFI), as `torch.ops.mine.my_kernel` (PyTorch), or as
an ONNX node `my_kernel` of a custom domain. IREE knows none of these; here each is replaced by the definition's
computation, in its own dispatch region, which is then matched with the kernel as usual.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..compiler import is_standard_onnx
from ..errors import ModelError
from ..model.kernel import OperandSpec
from ..model.parameter import is_exact, round_to
from ..read.definition import drop_identities, name_argument
from ..read.module import children
from .closed_region import create_region, create_size, shield

if TYPE_CHECKING:
    from iree.compiler import ir

_TORCH_TENSOR = re.compile(r"!torch\.v?tensor<\[(?P<sizes>[\d?,]*)\],(?P<element>\w+)>")
_SIGNED = re.compile(r"^[su]i(?=\d)")
_ONNX_ATTRIBUTE = "torch.onnx."
_TORCH_OWN = frozenset(("aten", "prim", "prims", "onnx"))
"""Name spaces of operators that are no person's own."""


@dataclass(frozen=True, slots=True)
class NamedCall:
    """An operation that calls something by name."""

    operation: ir.Operation
    name: str
    is_torch: bool


@dataclass(frozen=True, slots=True)
class NamedDefinition:
    """Definition of a kernel as text."""

    names: frozenset[str]
    """Names by which it may be called."""
    operands: tuple[OperandSpec, ...]
    text: str


def find_named_calls(module: ir.Operation) -> list[NamedCall]:
    """Return every operation that names what it calls, and that is not one of a frontend's own."""
    return [call for function in children(module) for call in _calls_in(function)]


def _calls_in(operation: ir.Operation) -> Iterator[NamedCall]:
    for region in operation.regions:
        for block in region:
            for op in block:
                name = op.operation.name
                if name == "stablehlo.custom_call":
                    yield NamedCall(op.operation, _text(op.operation, "call_target_name"), is_torch=False)
                elif name == "torch.operator":
                    space, _, called = _text(op.operation, "name").rpartition(".")
                    own = space.rpartition(".")[2] not in _TORCH_OWN or (
                        space == "onnx" and not is_standard_onnx(called)
                    )
                    if own:
                        yield NamedCall(op.operation, called, is_torch=True)
                yield from _calls_in(op.operation)


def _text(operation: ir.Operation, attribute: str) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(operation.attributes[attribute]).value)


def inline_named_calls(calls: Sequence[NamedCall], definitions: Sequence[NamedDefinition]) -> None:
    """Replace each call of a kernel by its definition; others are left to IREE.

    Raises `ModelError` for a call that no definition of its name fits.
    """
    for call in calls:
        own = [definition for definition in definitions if call.name in definition.names]
        if own:
            _inline(call, own)


def _inline(call: NamedCall, definitions: Sequence[NamedDefinition]) -> None:
    from iree.compiler import ir

    with call.operation.context as context, call.operation.location:
        for dialect in ("flow", "tensor", "arith", *(("torch_c",) if call.is_torch else ())):
            context.get_dialect_descriptor(dialect)  # loads it
        operands = [_to_builtin(call, value.type) for value in call.operation.operands]
        results = [_to_builtin(call, value.type) for value in call.operation.results]
        refused: list[str] = []
        for definition in definitions:
            for candidate in _list_candidates(definition):
                reason = candidate.misfit(operands, results, _attributes(call))
                if not reason:
                    _replace(call, candidate, operands, results)
                    return
                refused.append(f"{candidate.signature}{reason}")
        raise _misfit(
            call,
            "a call does not fit the kernel that it names",
            expected="; ".join(dict.fromkeys(refused)),
            found=str(ir.FunctionType.get(operands, results)),
        )


def _misfit(call: NamedCall, what: str, *, expected: str, found: str) -> ModelError:
    return ModelError(
        what,
        where=f"@{call.name}",
        expected=expected,
        found=found,
        next_step=f"change the call, or the definition of {call.name}",
    )


def _to_builtin(call: NamedCall, type_: ir.Type) -> ir.RankedTensorType:
    """Return the builtin type of an operand or a result. Raises `ModelError` for one that is no ranked tensor."""
    from iree.compiler import ir

    if isinstance(type_, ir.RankedTensorType):
        return ir.RankedTensorType(type_)
    torch = _TORCH_TENSOR.fullmatch(str(type_))
    if torch is None:
        raise _misfit(
            call,
            "a call of a kernel has an operand or a result that is no tensor of known rank",
            expected="tensors whose rank and element type the model says (of an ONNX node: a value_info)",
            found=str(type_),
        )
    sizes = "".join(f"{size}x" for size in torch["sizes"].split(",") if size)
    return ir.RankedTensorType(ir.Type.parse(f"tensor<{sizes}{_SIGNED.sub('i', torch['element'])}>"))


def _attributes(call: NamedCall) -> Mapping[str, ir.Attribute]:
    """Return the attributes that a person gave to a call, which are a kernel's parameters."""
    from iree.compiler import ir

    found: dict[str, ir.Attribute] = {}
    attributes = call.operation.attributes
    for name in attributes:
        value = attributes[name]
        if name.startswith(_ONNX_ATTRIBUTE):
            found[name.removeprefix(_ONNX_ATTRIBUTE)] = value
        elif name in ("backend_config", "mhlo.backend_config") and isinstance(value, ir.DictAttr):
            found |= {own.name: own.attr for own in value}
    return found


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One function of a definition."""

    function: ir.Operation
    names: tuple[str, ...]
    """Names of its arguments."""
    axes: tuple[tuple[str, ...], ...]
    """Names of the axes of its tensors, arguments and then results."""

    @property
    def arguments(self) -> list[ir.Value]:
        return list(self.function.regions[0].blocks[0].arguments)

    @property
    def signature(self) -> ir.FunctionType:
        from iree.compiler import ir

        return ir.FunctionType(ir.TypeAttr(self.function.attributes["function_type"]).value)

    @property
    def parameters(self) -> dict[str, ir.Value]:
        """Return the scalar arguments by their names."""
        from iree.compiler import ir

        named = zip(self.names, self.arguments, strict=True)
        return {name: value for name, value in named if not isinstance(value.type, ir.RankedTensorType)}

    @property
    def tensors(self) -> list[ir.Value]:
        from iree.compiler import ir

        return [value for value in self.arguments if isinstance(value.type, ir.RankedTensorType)]

    def misfit(
        self,
        operands: Sequence[ir.RankedTensorType],
        results: Sequence[ir.RankedTensorType],
        attributes: Mapping[str, ir.Attribute],
    ) -> str:
        """Return what a call lacks, or an empty text for one that fits."""
        from iree.compiler import ir

        tensors = [ir.RankedTensorType(value.type) for value in self.tensors]
        wanted = [*tensors, *(ir.RankedTensorType(type_) for type_ in self.signature.results)]
        if (len(tensors), len(self.signature.results)) != (len(operands), len(results)):
            return " "
        missing = sorted(self.parameters.keys() - attributes.keys())
        if missing:
            return f", and the attributes {', '.join(missing)}"
        unknown = sorted(attributes.keys() - self.parameters.keys())
        if unknown:
            return f", without the attributes {', '.join(unknown)}"
        sizes: dict[str, int] = {}
        for type_, actual, axes in zip(wanted, (*operands, *results), self.axes, strict=True):
            if type_.rank != actual.rank or type_.element_type != actual.element_type:
                return " "
            for dimension, axis in enumerate(axes):
                fixed, own = _size(type_, dimension), _size(actual, dimension)
                if fixed is not None and fixed != own:
                    return f", and {axis} = {fixed}"
                if own is not None and sizes.setdefault(axis, own) != own:
                    return f", and {axis} of one size: it is {sizes[axis]} and {own}"
        known = {axis for axes in self.axes[: len(tensors)] for axis in axes}
        for actual, axes in zip(results, self.axes[len(tensors) :], strict=True):
            for dimension, axis in enumerate(axes):
                if _size(actual, dimension) is None and axis not in known:
                    return f", and a result of which the model says {axis}, the size of no operand"
        return ""


def _size(type_: ir.RankedTensorType, dimension: int) -> int | None:
    return None if type_.is_dynamic_dim(dimension) else type_.get_dim_size(dimension)


def _list_candidates(definition: NamedDefinition) -> Iterator[_Candidate]:
    """Yield the functions of a definition, parsed for the model's context."""
    from iree.compiler import ir

    module = ir.Module.parse(definition.text).operation
    drop_identities(module)
    for function in children(module):
        if function.name != "func.func":
            continue
        arguments = function.regions[0].blocks[0].arguments
        names = tuple(name_argument(definition.text, argument) for argument in arguments)
        scalars = {n for n, a in zip(names, arguments, strict=True) if not isinstance(a.type, ir.RankedTensorType)}
        operands = [o for o in definition.operands if o.axes or o.name not in scalars]
        yield _Candidate(function, names, tuple(o.axes for o in operands))


def _replace(
    call: NamedCall,
    candidate: _Candidate,
    operands: Sequence[ir.RankedTensorType],
    results: Sequence[ir.RankedTensorType],
) -> None:
    """Put a definition's body into a dispatch region in place of the call."""
    from iree.compiler import ir

    operation = call.operation
    attributes = _attributes(call)
    with ir.InsertionPoint(operation):
        values = [
            shield(_convert("torch_c.to_builtin_tensor", value, type_) if call.is_torch else value)
            for value, type_ in zip(operation.operands, operands, strict=True)
        ]
        sizes = _dynamic_sizes(candidate, values, results)
        region = create_region(results, sizes)
        outer = list(region.results)
        if call.is_torch:
            types = [value.type for value in operation.results]
            outer = [
                _convert("torch_c.from_builtin_tensor", value, type_) for value, type_ in zip(outer, types, strict=True)
            ]
    block = region.regions[0].blocks.append()
    with ir.InsertionPoint(block):
        for argument, value in zip(candidate.tensors, values, strict=True):
            argument.replace_all_uses_with(_convert("tensor.cast", value, argument.type))
        for name, argument in candidate.parameters.items():
            argument.replace_all_uses_with(_make_constant(call, name, attributes[name], argument.type))
        body = list(candidate.function.regions[0].blocks[0].operations)
        anchor = ir.Operation.create("flow.return")
    for op in body[:-1]:
        op.operation.move_before(anchor)
    with ir.InsertionPoint(anchor):
        found = [_convert("tensor.cast", v, t) for v, t in zip(body[-1].operation.operands, results, strict=True)]
        ir.Operation.create("flow.return", operands=found)
    anchor.erase()
    for old, new in zip(operation.results, outer, strict=True):
        ir.Value(old).replace_all_uses_with(new)
    operation.erase()


def _convert(name: str, value: ir.Value, type_: ir.Type) -> ir.Value:
    from iree.compiler import ir

    if value.type == type_:
        return value
    return ir.Operation.create(name, results=[type_], operands=[value]).results[0]


def _make_constant(call: NamedCall, name: str, attribute: ir.Attribute, type_: ir.Type) -> ir.Value:
    """Return a parameter's value. Raises `ModelError` for an attribute that is no number that its type holds."""
    from iree.compiler import ir

    is_float = isinstance(attribute, ir.FloatAttr)
    if not is_float and not isinstance(attribute, ir.IntegerAttr):
        raise _misfit(call, f"the attribute {name} is no number", expected=str(type_), found=str(attribute))
    number = ir.FloatAttr(attribute).value if is_float else ir.IntegerAttr(attribute).value
    element = str(type_)
    if element.startswith(("f", "bf")):
        fits = not math.isfinite(number) or math.isfinite(round_to(number, element))
        value: ir.Attribute = ir.FloatAttr.get(type_, float(number))
    else:
        number = abs(number) if element == "i1" else number  # MLIR reads `true` as -1
        fits = not is_float and is_exact(number, element)
        value = ir.IntegerAttr.get(type_, int(number) if fits else 0)
    if not fits:
        raise _misfit(
            call, f"the attribute {name} is no {element}", expected=f"a number of {element}", found=str(attribute)
        )
    return ir.Operation.create("arith.constant", results=[type_], attributes={"value": value}).results[0]


def _dynamic_sizes(
    candidate: _Candidate, values: Sequence[ir.Value], results: Sequence[ir.RankedTensorType]
) -> list[ir.Value]:
    """Return the sizes of results that only a launch says: those of the operands along the same axes."""
    places = {
        axis: (value, dimension)
        for value, axes in zip(values, candidate.axes, strict=False)
        for dimension, axis in enumerate(axes)
    }
    sizes: list[ir.Value] = []
    for type_, axes in zip(results, candidate.axes[len(values) :], strict=True):
        for dimension, axis in enumerate(axes):
            if not type_.is_dynamic_dim(dimension):
                continue
            sizes.append(create_size(*places[axis]))
    return sizes
