"""The scalar region of a linalg operation, compiled once and evaluated on whole blocks of the iteration space."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .affine import index_function, read_map
from .numbers import Arithmetic, Array, Element, Num, element_of
from .rules import RULES, Scalar
from .unsupported import Unsupported

if TYPE_CHECKING:
    from iree.compiler import ir

Gather = Callable[[Sequence[Num]], Num]
Step = Callable[[list[Num], Sequence[Array]], tuple[Num, ...]]
Outer = Callable[["ir.Value"], Any]
"""The value of an SSA value that is defined outside of the region: a `Num`, or a tensor with a method `at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A region as a list of steps over numbered values."""

    arguments: int
    steps: tuple[Step, ...]
    captured: tuple[tuple[int, Num], ...]
    """Position and value of scalars that are defined outside of the region."""
    count: int
    results: tuple[int, ...]
    names: tuple[str, ...]
    """The operations, for classification and cost."""
    uses: tuple[tuple[int, ...], ...]
    """The positions that each step reads."""
    defines: tuple[tuple[int, ...], ...]
    """The positions that each step writes."""

    def run(self, arguments: Sequence[Num], dimensions: Sequence[Array]) -> list[Num]:
        """Return the yielded values; `arguments` and `dimensions` (the loop indices) broadcast against each other."""
        values: list[Num] = [_NOTHING] * self.count
        values[: self.arguments] = arguments
        for at, value in self.captured:
            values[at] = value
        with np.errstate(all="ignore"):
            for step, defined in zip(self.steps, self.defines, strict=True):
                for at, value in zip(defined, step(values, dimensions), strict=True):
                    values[at] = value
        return [values[at] for at in self.results]

    def only(self, result: int) -> Body:
        """Return the region reduced to the steps that the value at this position needs; it yields that value only."""
        wanted, kept = {result}, []
        for at in reversed(range(len(self.steps))):
            if wanted & set(self.defines[at]):
                wanted |= set(self.uses[at])
                kept.append(at)
        kept.reverse()
        return Body(
            arguments=self.arguments,
            steps=tuple(self.steps[i] for i in kept),
            captured=self.captured,
            count=self.count,
            results=(result,),
            names=tuple(self.names[i] for i in kept),
            uses=tuple(self.uses[i] for i in kept),
            defines=tuple(self.defines[i] for i in kept),
        )

    def needs(self, result: int) -> frozenset[int]:
        """Return the positions that the value at this position is computed from, itself included."""
        wanted = {result}
        for at in reversed(range(len(self.steps))):
            if wanted & set(self.defines[at]):
                wanted |= set(self.uses[at])
        return frozenset(wanted)


_NOTHING = Num(np.zeros(()))


class BodyCompiler:
    """Compiler of one block. `outer` resolves the values that are defined outside."""

    def __init__(self, how: Arithmetic, outer: Outer) -> None:
        self._how, self._outer = how, outer
        self._positions: dict[ir.Value, int] = {}
        self._captured: list[tuple[int, Num]] = []
        self._steps: list[Step] = []
        self._names: list[str] = []
        self._uses: list[tuple[int, ...]] = []
        self._defines: list[tuple[int, ...]] = []

    def compile(self, block: ir.Block) -> Body:
        """Return the compiled block. Raises `Unsupported`."""
        for argument in block.arguments:
            self._define(argument)
        count = len(self._positions)
        results: tuple[int, ...] = ()
        for op in block.operations:
            operation = op.operation
            if operation.name in ("linalg.yield", "iree_linalg_ext.yield", "tensor.yield", "scf.yield"):
                results = tuple(self._position(operand) for operand in operation.operands)
            else:
                self._operation(operation)
        return Body(
            arguments=count,
            steps=tuple(self._steps),
            captured=tuple(self._captured),
            count=len(self._positions),
            results=results,
            names=tuple(self._names),
            uses=tuple(self._uses),
            defines=tuple(self._defines),
        )

    def _define(self, value: ir.Value) -> int:
        self._positions[value] = len(self._positions)
        return self._positions[value]

    def _position(self, value: ir.Value) -> int:
        if value not in self._positions:
            outer = self._outer(value)
            if not isinstance(outer, Num):
                raise Unsupported("a tensor used as a scalar")
            self._captured.append((self._define(value), outer))
        return self._positions[value]

    def _operation(self, op: ir.Operation) -> None:
        name = op.name
        if name in ("arith.constant", "complex.constant"):
            value = self._outer(op.results[0])
            self._captured.append((self._define(op.results[0]), value))
            return
        if name == "linalg.index":
            self._add(op, (), _index(int(op.attributes["dim"].value)))
        elif name == "tensor.extract":
            tensor = self._outer(op.operands[0])
            self._add(op, tuple(op.operands)[1:], _extract(tensor))
        elif name in ("affine.apply", "affine.min", "affine.max"):
            self._add(op, tuple(op.operands), _affine(op))
        elif name in ("affine.linearize_index", "affine.delinearize_index"):
            self._add(op, tuple(op.operands), _positions(op))
        elif name == "scf.if":
            self._conditional(op)
        elif name in ("util.assume.int", "tensor.cast"):
            self._add(op, tuple(op.operands), lambda operands: tuple(operands))
        elif name in RULES:
            self._add(op, tuple(op.operands), _ruled(name, op, self._how))
        else:
            raise Unsupported(name)

    def _add(self, op: ir.Operation, operands: Sequence[ir.Value], function: Any) -> None:
        positions = tuple(self._position(operand) for operand in operands)

        def step(values: list[Num], dimensions: Sequence[Array]) -> tuple[Num, ...]:
            inputs = [values[at] for at in positions]
            found = function(inputs, dimensions) if getattr(function, "indexed", False) else function(inputs)
            return found if isinstance(found, tuple) else (found,)

        self._steps.append(step)
        self._names.append(op.name)
        self._uses.append(positions)
        self._defines.append(tuple(self._define(result) for result in op.results))

    def _conditional(self, op: ir.Operation) -> None:
        """Evaluate both branches of a conditional and select the results."""
        (condition,) = op.operands
        condition_at = self._position(condition)
        branches: list[tuple[int, ...]] = []
        for region in op.regions:
            results: tuple[int, ...] = ()
            for block in region.blocks:
                for inner in block.operations:
                    if inner.operation.name == "scf.yield":
                        results = tuple(self._position(operand) for operand in inner.operation.operands)
                    else:
                        self._operation(inner.operation)
            branches.append(results)
        select, how = RULES["arith.select"], self._how
        for number, result in enumerate(op.results):
            element = element_of(str(result.type))
            picked = (condition_at, branches[0][number], branches[1][number])
            scalar = Scalar(operands=(element_of("i1"), element, element), result=element)

            def step(
                values: list[Num], dimensions: Sequence[Array], picked: Any = picked, scalar: Scalar = scalar
            ) -> Any:
                return (select(how, scalar, [values[at] for at in picked]),)

            self._steps.append(step)
            self._names.append("arith.select")
            self._uses.append(picked)
            self._defines.append((self._define(result),))


def _index(dimension: int) -> Any:
    def indexed(operands: list[Num], dimensions: Sequence[Array]) -> Num:
        return Num(np.asarray(dimensions[dimension], np.int64))

    indexed.indexed = True  # type: ignore[attr-defined]
    return indexed


def _extract(tensor: Any) -> Gather:
    return lambda coordinates: gathered(tensor, coordinates)


def gathered(tensor: Any, coordinates: Sequence[Num]) -> Num:
    """Return the elements of a tensor at computed coordinates; out of bounds, their error is infinite."""
    indices, outside = [], np.zeros((), bool)
    for coordinate, size in zip(coordinates, tensor.shape, strict=True):
        index = coordinate.value.astype(np.int64)
        bad = (index < 0) | (index >= size)
        if coordinate.error is not None:
            bad = bad | (coordinate.error > 0)
        outside = outside | bad
        indices.append(np.clip(index, 0, max(size - 1, 0)))
    if 0 in tensor.shape:
        shape = np.broadcast_shapes(*(i.shape for i in indices)) if indices else ()
        return Num(np.zeros(shape, tensor.element.compute), np.full(shape, np.inf))
    found: Num = tensor.at(indices)
    if not outside.any():
        return found
    return Num(found.value, np.where(outside, np.inf, found.errors()), found.depth)


def _affine(op: ir.Operation) -> Any:
    map_ = read_map(op.attributes["map"].value)
    name = op.name

    def apply(operands: list[Num]) -> Num:
        values = [operand.value for operand in operands]
        dims, symbols = values[: map_.dimensions], values[map_.dimensions :]
        results = [np.asarray(result(dims, symbols), np.int64) for result in map_.results]
        combine: Any = np.minimum if name == "affine.min" else np.maximum
        total = results[0]
        for result in results[1:]:
            total = combine(total, result)
        return _index_num(total, operands)

    return apply


def _positions(op: ir.Operation) -> Any:
    function = index_function(op)

    def apply(operands: list[Num]) -> tuple[Num, ...]:
        found = function([operand.value for operand in operands])
        return tuple(_index_num(np.asarray(value, np.int64), operands) for value in found)

    return apply


def _index_num(value: Array, operands: Sequence[Num]) -> Num:
    """Return an index, with an infinite error where an operand is uncertain."""
    uncertain = any(operand.error is not None and bool(np.any(operand.error > 0)) for operand in operands)
    return Num(value, np.full(np.shape(value), np.inf) if uncertain else None)


def attributes_of(op: ir.Operation) -> Mapping[str, Any]:
    """Return the attributes that rules use: integers as numbers, overflow and fast-math flags as sets of names."""
    from iree.compiler import ir

    found: dict[str, Any] = {}
    for key in op.attributes:
        name = key if isinstance(key, str) else key.name
        value = op.attributes[name]
        if isinstance(value, ir.IntegerAttr):
            found[name] = int(value.value)
        elif name in ("overflowFlags", "fastmath"):
            found[name] = frozenset(re.findall(r"\w+", str(value).partition("<")[2]))
    return found


def scalar_of(op: ir.Operation) -> Scalar:
    """Return the element types and attributes of a scalar or element-wise operation."""
    return Scalar(
        operands=tuple(_element(operand.type) for operand in op.operands),
        result=_element(op.results[0].type),
        attributes=attributes_of(op),
    )


def _element(type_: ir.Type) -> Element:
    from iree.compiler import ir

    if isinstance(type_, ir.ShapedType):
        return element_of(str(ir.ShapedType(type_).element_type))
    return element_of(str(type_))


def _ruled(name: str, op: ir.Operation, how: Arithmetic) -> Gather:
    rule, scalar = RULES[name], scalar_of(op)
    return lambda operands: rule(how, scalar, list(operands))
