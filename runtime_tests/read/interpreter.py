"""An independent interpreter of `Program`: loop nests in NumPy, floating point in f64, written only from the docstrings
of `model.dispatch` and `model.scalar`.

Memory is one flat array of elements per operand. Sizes come from push constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from substitute.model.dispatch import Linear, Named, Nest, Program, Read, View
from substitute.model.index import Index, evaluate

Array = NDArray[Any]

COMBINE: dict[str, Callable[..., Array]] = {
    "arith.addf": np.add,
    "arith.addi": np.add,
    "arith.mulf": np.multiply,
    "arith.muli": np.multiply,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "arith.maxsi": np.maximum,
    "arith.minsi": np.minimum,
    "arith.maxui": np.maximum,
    "arith.minui": np.minimum,
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
}
UNARY: dict[str, Callable[[Array], Array]] = {
    "arith.negf": np.negative,
    "math.exp": np.exp,
    "math.exp2": np.exp2,
    "math.log": np.log,
    "math.sqrt": np.sqrt,
    "math.rsqrt": lambda x: 1 / np.sqrt(x),
    "math.tanh": np.tanh,
    "math.sin": np.sin,
    "math.cos": np.cos,
    "math.absf": np.abs,
    "math.absi": np.abs,
    "math.floor": np.floor,
    "math.ceil": np.ceil,
    "math.erf": np.vectorize(math.erf, otypes=[np.float64]),
}
BINARY: dict[str, Callable[[Array, Array], Array]] = {
    **COMBINE,
    "arith.subf": np.subtract,
    "arith.subi": np.subtract,
    "arith.divf": np.divide,
    "math.powf": np.power,
    "math.fpowi": np.power,
    "arith.divsi": lambda a, b: np.trunc(a / b).astype(np.int64),
    "arith.floordivsi": np.floor_divide,
    "arith.remsi": lambda a, b: np.fmod(a, b),
    "arith.remui": np.mod,
    "arith.shli": np.left_shift,
    "arith.shrsi": np.right_shift,
}
COMPARE: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
CASTS = frozenset(
    f"arith.{name}"
    for name in (
        "extf",
        "truncf",
        "extsi",
        "extui",
        "trunci",
        "sitofp",
        "uitofp",
        "fptosi",
        "index_cast",
        "index_castui",
    )
)


def flat(array: Array) -> Array:
    """Elements of an operand as this interpreter holds them: f64, or i64 (an i1 is 0 or 1)."""
    return array.astype(np.float64 if array.dtype.kind == "f" or array.dtype.kind == "V" else np.int64).ravel()


def run(program: Program, memory: dict[int, Array], push: Sequence[int] = ()) -> None:
    """Runs a program; `memory` maps each operand that is no constant to its elements, and is written to."""
    _Run(program, memory, tuple(push)).run()


class _Run:
    def __init__(self, program: Program, memory: dict[int, Array], push: tuple[int, ...]) -> None:
        self.program, self.memory, self.push = program, dict(memory), push
        self.temporaries: dict[int, Array] = {}
        for number, operand in enumerate(program.operands):
            if operand.kind == "constant":
                count = self.value(operand.type.count)
                one = flat(np.frombuffer(operand.data, _dtype(operand.type.element)))
                self.memory[number] = np.resize(one, count)

    def value(self, index: Index) -> int:
        return evaluate(index, self.push)

    def run(self) -> None:
        for core in self.program.cores:
            if isinstance(core, Named):
                self._named(core)
            else:
                self._core(core)
        results = [(nest, self._results(nest)) for nest in self.program.stores]
        for nest, values in results:
            loops = self._loops(nest.sizes)
            for write, value in zip(nest.writes, values, strict=True):
                where = self._address(write.view, [self._linear(a, loops) for a in write.access])
                target = self.memory[write.view.operand]
                shape = tuple(self.value(s) for s in nest.sizes)
                target[np.broadcast_to(where, shape)] = np.broadcast_to(value, shape)

    def _core(self, nest: Nest) -> None:
        sizes = tuple(self.value(s) for s in nest.sizes)
        (values,) = self._results(nest)
        values = np.broadcast_to(values, sizes)
        assert nest.type is not None
        shape = tuple(self.value(s) for s in nest.type.shape)
        if nest.combiner:
            axes = tuple(i for i, kind in enumerate(nest.kinds) if kind == "reduction")
            combine = COMBINE[nest.combiner]
            kept = [i for i, kind in enumerate(nest.kinds) if kind == "parallel"]
            for axis in reversed(axes):
                values = combine.reduce(values, axis=axis)  # type: ignore[attr-defined]
            assert nest.init is not None
            values = combine(np.asarray(nest.init, values.dtype), values)
            order = [kept.index(t.loop) for t in nest.target if t.loop is not None]
            assert len(order) == len(kept), "a reduction's temporary has one dimension per parallel loop"
            self.temporaries[nest.temporary] = values.transpose(order).reshape(shape)
        else:
            self.temporaries[nest.temporary] = values.reshape(shape)

    def _named(self, core: Named) -> None:
        assert core.op == "linalg.softmax", f"this interpreter does not know {core.op}"
        (read,) = core.reads
        x = self._read(read, self._loops(tuple(s for s in read.type.shape if s != 1)))
        x = np.broadcast_to(x, [self.value(s) for s in read.type.shape if s != 1])
        x = x.reshape([self.value(s) for s in read.type.shape])
        axis = int(dict(core.attributes)["dimension"].partition(":")[0])
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        self.temporaries[core.temporaries[0]] = e / e.sum(axis=axis, keepdims=True)

    def _loops(self, sizes: tuple[Index, ...]) -> list[Array]:
        shape = [self.value(s) for s in sizes]
        return list(np.ogrid[tuple(slice(s) for s in shape)]) if shape else []

    def _results(self, nest: Nest) -> list[Array]:
        loops = self._loops(nest.sizes)
        values: list[Array] = []
        for node in nest.expr.nodes:
            operands = [values[o] for o in node.operands]
            values.append(_wrapped(self._node(nest, node.op, node.type, node.attribute, operands, loops), node.type))
        return [values[r] for r in nest.expr.results]

    def _node(
        self, nest: Nest, op: str, type_: str, attribute: Any, operands: list[Array], loops: list[Array]
    ) -> Array:
        if op == "read":
            return self._read(nest.reads[attribute], loops)
        if op == "gather":
            return self._elements(nest.reads[attribute].source, operands)
        if op == "index":
            return loops[attribute]
        if op in ("constant", "size"):
            value = self.value(attribute) if op == "size" else attribute
            return np.asarray(value, np.float64 if type_[0] in "fb" else np.int64)
        if op in CASTS:
            return _cast(op, type_, operands[0])
        if op in UNARY:
            return UNARY[op](operands[0])
        if op in BINARY:
            return BINARY[op](*operands)
        if op == "arith.select":
            return np.where(operands[0] != 0, operands[1], operands[2])
        if op in ("arith.cmpf", "arith.cmpi"):
            return COMPARE[attribute[-2:]](*operands).astype(np.int64)
        raise AssertionError(f"the interpreter has no rule for {op}")

    def _read(self, read: Read, loops: list[Array]) -> Array:
        return self._elements(read.source, [self._linear(a, loops) for a in read.access])

    def _elements(self, source: View | int, coordinates: list[Array]) -> Array:
        if isinstance(source, int):
            array = self.temporaries[source]
            return array[tuple(np.broadcast_arrays(*coordinates))] if coordinates else array.reshape(())
        return self.memory[source.operand][self._address(source, coordinates)]

    def _address(self, view: View, coordinates: list[Array]) -> Array:
        assert len(coordinates) == len(view.strides)
        total = np.asarray(self.value(view.offset), np.int64)
        for coordinate, stride in zip(coordinates, view.strides, strict=True):
            total = total + coordinate * self.value(stride)
        return total

    def _linear(self, linear: Linear, loops: list[Array]) -> Array:
        total = np.asarray(self.value(linear.constant), np.int64)
        for loop, coefficient in linear.terms:
            total = total + loops[loop] * self.value(coefficient)
        return total


def _cast(op: str, type_: str, value: Array) -> Array:
    if type_[0] in "fb":
        return value.astype(np.float64)
    if op == "arith.fptosi":
        return np.trunc(value).astype(np.int64)
    return value.astype(np.int64)


def _wrapped(value: Array, type_: str) -> Array:
    """Integers wrap at their width; an i1 is 0 or 1."""
    if type_ == "i1":
        return np.asarray(value != 0, np.int64) if value.dtype.kind == "b" else value & 1
    if type_[0] == "i" and type_[1:].isdigit() and int(type_[1:]) < 64:
        bits = int(type_[1:])
        return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))
    return value


def _dtype(element: str) -> Any:
    if element == "bf16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    if element in ("i1", "index"):
        return np.dtype("i1" if element == "i1" else "i8")
    return np.dtype(f"{element[0]}{int(element[1:]) // 8}")
