"""Launches of dispatches in the host program, with the ranges of their buffers, constants and workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ..model.plan import Key
from ..read.indices import IntegerRange, assumed_range
from ..read.module import symbol_name
from .case import BindingRange, Launch
from .elements import storage_type
from .harness import read_only, walk

if TYPE_CHECKING:
    from iree.compiler import ir

Shapes = Mapping[str, Sequence[Sequence[int]]]
"""The shapes of a function's tensor arguments, in order, by its name; by the empty name for every function."""
Recorded = Mapping[int, Sequence[int]]
"""Integers of `launch_values` recorded in a run of the program, by the number of the launch."""
DYNAMIC_SIZE = 8
"""Size that replaces an unknown one."""
INTEGER, FLOAT = 3, 0.7109375
"""Values of scalar arguments of a function."""
MASK_32, MASK_64 = (1 << 32) - 1, (1 << 64) - 1


class Unknown(Exception):
    """A value of the host program that is only known while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSite:
    """One launch of a dispatch in the host program."""

    dispatch: Key
    """Executable, variant, export."""
    number: int
    """Position among all launches of the program."""
    launch: Launch | None
    reason: str = ""
    """Reason why the launch is not known; empty if it is."""


def find_call_sites(
    module: ir.Operation,
    bindings: Mapping[Key, tuple[str, ...]],
    shapes: Shapes = MappingProxyType({}),
    recorded: Recorded = MappingProxyType({}),
    *,
    drawn: bool = False,
) -> list[CallSite]:
    """Return every `stream.cmd.dispatch` of a module at `executable-sources`, in order.

    `bindings` gives the binding flags of each dispatch. Open sizes that `shapes` does not give are `DYNAMIC_SIZE`,
    scalar arguments `INTEGER` or `FLOAT`. Those, and all if the shapes are `drawn`, are moved into the range that the
    program assumes of them.
    """
    found = []
    within = _range_of_sizes(module) if drawn else None
    launches = (op for op in walk(module) if op.name == "stream.cmd.dispatch")
    for number, op in enumerate(launches):
        for symbol in op.attributes["entry_points"]:
            key = _key(symbol)
            if key not in bindings:
                continue
            values = Evaluator(shapes, within=within)
            if number in recorded:
                values.know(launch_values(op), recorded[number])
            try:
                launch, reason = _launch(op, bindings[key], values), ""
            except Unknown as unknown:
                launch, reason = None, str(unknown)
            found.append(CallSite(dispatch=key, number=number, launch=launch, reason=reason))
    return found


def _key(attribute: ir.Attribute) -> Key:
    """Return the parts of `@executable::@variant::@export`; the launch on an undeclared device has no variant."""
    from iree.compiler import ir

    parts = [str(part) for part in ir.SymbolRefAttr(attribute).value]
    return parts[0], parts[1] if len(parts) == 3 else "", parts[-1]


def launch_values(op: ir.Operation) -> list[ir.Value]:
    """Return every integer of a launch: workload, constants, and the offsets and lengths of its bindings."""
    operands = _segments(op)
    values = [*operands[0], *operands[1], *operands[4], *operands[5]]
    for resource in operands[2]:
        steps: list[ir.Value] = []
        _resource(resource, lambda value, steps=steps: steps.append(value) or 0)  # type: ignore[misc]
        values += steps
    return values


def _launch(op: ir.Operation, flags: tuple[str, ...], values: Evaluator) -> Launch:
    operands = _segments(op)
    ranges = []
    resources: dict[object, int] = {}
    for resource, offset, length, flag in zip(operands[2], operands[4], operands[5], flags, strict=True):
        identity, base = _resource(resource, values.value)
        number = resources.setdefault(identity, len(resources))
        ranges.append(
            BindingRange(
                resource=number,
                offset=base + values.value(offset),
                length=values.value(length),
                read_only=read_only(flag),
            )
        )
    return Launch(
        bindings=tuple(ranges),
        constants=tuple(values.value(c) & MASK_32 for c in operands[1]),
        workload=tuple(values.value(w) for w in operands[0]),
    )


def _segments(op: ir.Operation) -> list[list[ir.Value]]:
    """Return the operands of a `stream.cmd.dispatch`: workload, constants, resources, their sizes, offsets, lengths."""
    from iree.compiler import ir

    sizes = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    operands = list(op.operands)
    parts, at = [], 0
    for size in sizes:
        parts.append(operands[at : at + size])
        at += size
    return parts


def _resource(value: ir.Value, integer: Callable[[ir.Value], int]) -> tuple[object, int]:
    """Return the resource that a captured one is outside of the capturing regions, and its offset in it."""
    from iree.compiler import ir

    if isinstance(value, ir.BlockArgument):
        argument = ir.BlockArgument(value)
        owner = argument.owner.owner
        if owner.name == "stream.cmd.execute":
            count = int(next(iter(ir.DenseI32ArrayAttr(owner.attributes["operandSegmentSizes"]))))
            captured = list(owner.operands)
            # (resources, their sizes, the timepoint to await, which is first in the older order)
            resources = [o for o in captured if str(o.type).startswith("!stream.resource")]
            assert len(resources) == count
            return _resource(resources[argument.arg_number], integer)
        return ("argument", hash(argument.owner), argument.arg_number), 0
    op = value.owner
    if op.name == "stream.resource.subview":
        identity, base = _resource(op.operands[0], integer)
        return identity, base + integer(op.operands[2])
    if op.name in ("stream.timepoint.await", "stream.timepoint.barrier"):
        results = [r for r in op.results if str(r.type).startswith("!stream.resource")]
        return _resource(op.operands[results.index(value)], integer)
    if op.name == "util.global.load":
        return ("global", str(op.attributes["global"])), 0
    return ("value", hash(value)), 0


class Evaluator:
    """Evaluator of integers of the host program, backwards from their uses.

    The sizes of arguments are those of `shapes`, or `DYNAMIC_SIZE`. `value` raises `Unknown` for what depends on
    anything else that is only known while the program runs.
    """

    def __init__(self, shapes: Shapes = MappingProxyType({}), *, within: IntegerRange | None = None) -> None:
        """With `within`, drawn shapes are moved into this range; None: the shapes are fixed."""
        self._shapes, self._within = shapes, within
        self._known: dict[int, int] = {}

    def know(self, values: Sequence[ir.Value], integers: Sequence[int]) -> None:
        """Define the integers of values."""
        self._known.update(zip(map(hash, values), integers, strict=True))

    def value(self, value: ir.Value) -> int:
        """Return the integer; the bits of a floating-point number. Raises `Unknown`."""
        from iree.compiler import ir

        key = hash(value)
        if key not in self._known:
            if isinstance(value, ir.BlockArgument):
                self._known[key] = self._argument(ir.BlockArgument(value))
            else:
                self._known[key] = self._result(value.owner, ir.OpResult(value).result_number)
        return self._known[key]

    def _argument(self, argument: ir.BlockArgument) -> int:
        owner = argument.owner.owner
        if owner.name == "scf.for" and argument.arg_number == 0:
            return self.value(owner.operands[0])  # the first iteration represents all
        incoming = _first_incoming(argument)
        if incoming is not None:
            return self.value(incoming)
        if owner.name in ("util.func", "func.func") and argument.owner == owner.regions[0].blocks[0]:
            element = str(argument.type)
            if element == "index" or element[0] == "i":
                return INTEGER & ((1 << _width(argument)) - 1)
            if element in SCALAR_FLOATS:
                return _bits(FLOAT, element)
        raise Unknown(f"it depends on an argument of {owner.name}")

    def _result(self, op: ir.Operation, number: int) -> int:
        from iree.compiler import ir

        if op.name == "arith.constant":
            attribute = op.attributes["value"]
            if isinstance(attribute, ir.IntegerAttr):
                return int(ir.IntegerAttr(attribute).value)
            if isinstance(attribute, ir.FloatAttr) and str(attribute.type) in SCALAR_FLOATS:
                return _bits(float(attribute.value), str(attribute.type))
            raise Unknown("it depends on a constant that is no number")
        if op.name == "hal.buffer_view.dim":
            return self._dimension(op)
        if op.name in ("util.assume.int", "util.optimization_barrier"):
            return self.value(op.operands[number])
        if op.name == "arith.bitcast":
            return self.value(op.operands[0])
        if op.name == "arith.cmpi":
            return _compare(int(ir.IntegerAttr(op.attributes["predicate"]).value), *map(self.value, op.operands))
        if op.name == "arith.select":
            return self.value(op.operands[1] if self.value(op.operands[0]) else op.operands[2])
        if op.name in ("arith.trunci", "arith.extui", "arith.index_cast", "arith.index_castui", "arith.extsi"):
            return _converted(op, self.value(op.operands[0]))
        function = FUNCTIONS.get(op.name)
        if function is None:
            raise Unknown(f"it depends on {op.name}")
        return function(*map(self.value, op.operands))

    def _dimension(self, op: ir.Operation) -> int:
        from iree.compiler import ir

        view = op.operands[0]
        index = int(ir.IntegerAttr(op.attributes["index"]).value)
        if isinstance(view, ir.BlockArgument):
            argument = ir.BlockArgument(view)
            number = argument.arg_number
            shapes = self._shapes.get(_plain_name(symbol_name(argument.owner.owner)), self._shapes.get("", ()))
            if number < len(shapes) and index < len(shapes[number]):
                size = int(shapes[number][index])
                return size if self._within is None else _range_of(op.results[0]).nearest(self._within.nearest(size))
        within = IntegerRange() if self._within is None else self._within
        return _range_of(op.results[0]).nearest(within.nearest(DYNAMIC_SIZE))


def _range_of_sizes(module: ir.Operation) -> IntegerRange:
    """Return the common range of all sizes of arguments, so that equal ones stay equal."""
    found = IntegerRange()
    for op in walk(module):
        if op.name == "hal.buffer_view.dim":
            found = found.meet(_range_of(op.results[0]))
    return found


def _range_of(value: ir.Value) -> IntegerRange:
    """Return the range that every `util.assume.int` of the host program allows for an integer."""
    found = IntegerRange()
    for use in value.uses:
        user = use.owner.operation
        if user.name == "util.assume.int":
            found = found.meet(assumed_range(user, use.operand_number))
        elif user.name in ("arith.index_cast", "arith.index_castui"):
            found = found.meet(_range_of(user.results[0]))
    return found


def _first_incoming(argument: ir.BlockArgument) -> ir.Value | None:
    """Return a block argument's value on entry from an earlier block; None for a function's own arguments."""
    blocks = list(argument.owner.region)
    here = blocks.index(argument.owner)
    for block in blocks[:here]:
        branch = list(block.operations)[-1].operation
        operands = list(branch.operands)
        at = 0 if branch.name == "cf.br" else 1  # the condition of a cf.cond_br is its first operand
        for successor in branch.successors:
            count = len(list(successor.arguments))
            if branch.name in ("cf.br", "cf.cond_br") and successor == argument.owner:
                return operands[at + argument.arg_number]
            at += count
    return None


def _plain_name(name: str) -> str:
    """Return the name without the suffix that IREE's frontends add to the function with the body."""
    return name.removesuffix("$async")


def _converted(op: ir.Operation, value: int) -> int:
    if op.name == "arith.trunci":
        return value & ((1 << _width(op.result)) - 1)
    if op.name in ("arith.extui", "arith.index_castui"):
        return value & ((1 << _width(op.operands[0])) - 1)
    width = _width(op.operands[0])
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value


def _width(value: ir.Value) -> int:
    text = str(value.type)
    return 64 if text == "index" else int(text[1:])


SCALAR_FLOATS = ("f64", "f32", "f16", "bf16")


def _bits(value: float, element: str) -> int:
    return int.from_bytes(np.array(value, storage_type(element)).tobytes(), "little")


def _aligned(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def _compare(predicate: int, a: int, b: int) -> int:
    """Compare integers by MLIR's predicates: eq, ne, slt, sle, sgt, sge, ult, ule, ugt, uge."""
    if predicate >= 6:
        a, b, predicate = a & MASK_64, b & MASK_64, predicate - 4
    return int((a == b, a != b, a < b, a <= b, a > b, a >= b)[predicate])


def _divided(a: int, b: int) -> int:
    """Divide, rounding towards zero; the result for b = 0 is not used."""
    return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _remainder(a: int, b: int) -> int:
    return a - _divided(a, b) * b


FUNCTIONS: dict[str, Callable[..., int]] = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.divsi": _divided,
    "arith.divui": _divided,
    "arith.remsi": _remainder,
    "arith.remui": _remainder,
    "arith.ceildivsi": lambda a, b: -_divided(-a, b) if b and a % b == 0 else _divided(a, b) + (1 if b else 0),
    "arith.ceildivui": lambda a, b: -(-a // b) if b else 0,
    "arith.floordivsi": lambda a, b: a // b if b else 0,
    "arith.minsi": min,
    "arith.minui": min,
    "arith.maxsi": max,
    "arith.maxui": max,
    "arith.andi": lambda a, b: a & b,
    "arith.ori": lambda a, b: a | b,
    "arith.xori": lambda a, b: a ^ b,
    "arith.shli": lambda a, b: (a << b) & MASK_64,
    "arith.shrui": lambda a, b: (a & MASK_64) >> b,
    "arith.shrsi": lambda a, b: a >> b,
    "util.align": _aligned,
}
