"""Layout of a definition's operands in a dispatch, and the check that a kernel accepts it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..model.dispatch import Linear, View
from ..model.index import Expr, Index, add, mul
from ..model.kernel import OperandSpec
from ..model.plan import Axis, Dimension, Placement, Rule


def stride_along(view: View, access: tuple[Linear, ...], loop: int) -> Index:
    """Return the number of elements from one iteration of a loop to the next."""
    total: Index = 0
    for coordinate, stride in zip(access, view.strides, strict=True):
        for number, coefficient in coordinate.terms:
            if number == loop:
                total = add(total, mul(coefficient, stride))
    return total


def start_of(view: View, access: tuple[Linear, ...]) -> Index:
    """Return the number of elements from the operand's start to the one where all loops are zero."""
    total = view.offset
    for coordinate, stride in zip(access, view.strides, strict=True):
        total = add(total, mul(coordinate.constant, stride))
    return total


def place(
    spec: OperandSpec,
    wanted: tuple[Linear, ...],
    wanted_shape: tuple[Index, ...],
    view: View,
    access: tuple[Linear, ...],
    axes: Sequence[Axis],
) -> Placement | Rule:
    """Return the placement of an operand.

    `wanted` are the definition's coordinates over its own loops, one axis each in `axes`. The rule that fails says that
    the dispatch moves over the operand in a way that the definition's coordinates cannot express.
    """
    dimensions: list[Dimension] = []
    start = start_of(view, access)
    for coordinate, size in zip(wanted, wanted_shape, strict=True):
        parts = [(axes[loop], coefficient) for loop, coefficient in coordinate.terms if axes[loop].loops]
        if len(parts) == 1 and parts[0][1] == 1:
            axis = parts[0][0]
            strides = [stride_along(view, access, loop) for loop in axis.loops]
            dimension: Dimension = tuple(zip(axis.sizes, strides, strict=True))
        elif parts:
            stride = _window_stride(spec, parts, view, access)
            if isinstance(stride, Rule):
                return stride
            dimension = ((size if isinstance(size, int) else _extent(coordinate, axes), stride),)
        else:
            dimension = ()
        dimensions.append(dimension)
        if coordinate.constant != 0:
            # the definition itself skips elements: its first element precedes the first one that is read
            stride = dimension[-1][1] if dimension else 0
            start = add(start, mul(mul(coordinate.constant, stride), -1))
    return Placement(name=spec.name, view=view, start=start, dimensions=tuple(dimensions))


def _window_stride(
    spec: OperandSpec, parts: list[tuple[Axis, Index]], view: View, access: tuple[Linear, ...]
) -> Index | Rule:
    """Return the stride of a dimension that several axes move along, such as `oh * 2 + kh`."""
    found: dict[Index, str] = {}
    for axis, coefficient in parts:
        along = stride_along(view, access, axis.loops[-1])
        exact = isinstance(along, int) and isinstance(coefficient, int) and along % coefficient == 0
        if len(axis.loops) > 1 or not (coefficient == 1 or exact):
            return _window_rule(spec, parts, f"{len(axis.loops)} loops for {axis.name}, stride {along}")
        found[along if coefficient == 1 else int(str(along)) // int(str(coefficient))] = f"{axis.name} by {along}"
    if len(found) > 1:
        return _window_rule(spec, parts, ", ".join(found.values()))
    return next(iter(found))


def _window_rule(spec: OperandSpec, parts: list[tuple[Axis, Index]], found: str) -> Rule:
    moves = " + ".join(f"{c} * {axis.name}" if c != 1 else axis.name for axis, c in parts)
    return Rule(name=f"layout.{spec.name}", passed=False, expected=f"a window that moves by {moves}", found=found)


def _extent(coordinate: Linear, axes: Sequence[Axis]) -> Index:
    """Return the size of a dimension that a window runs over: Σ coefficient · (size - 1) + 1."""
    extent: Index = 1
    for number, coefficient in coordinate.terms:
        extent = add(extent, mul(coefficient, add(axes[number].size, -1)))
    return extent


def check_contiguous(spec: OperandSpec, placement: Placement, shape: tuple[Index, ...], axes: Sequence[Axis]) -> Rule:
    """Check that a plain operand has the layout of the definition's tensor: row-major, without gaps."""
    sizes = {axis.name: axis.size for axis in axes}
    step: Index = 1
    for axis_name, size, dimension in zip(
        reversed(spec.axes), reversed(shape), reversed(placement.dimensions), strict=True
    ):
        inner = step
        for count, stride in reversed(dimension):
            if stride != inner and count != 1:
                wanted = f"stride {inner} along {axis_name} (row-major, no gaps), or `strided = true` in kernel.toml"
                return Rule(name=f"layout.{spec.name}", passed=False, expected=wanted, found=f"stride {stride}")
            inner = mul(count, inner)
        known = sizes.get(str(size.args[0])) if isinstance(size, Expr) and size.op == "symbol" else None
        step = mul(size, step) if isinstance(size, int) else mul(known, step) if known is not None else inner
    return Rule(name=f"layout.{spec.name}", passed=True, expected="row-major, no gaps", found="as expected")


def check_one_stride(spec: OperandSpec, placement: Placement) -> Rule:
    """Check that the loops of each dimension are contiguous: a payload that is a file gets one stride per dimension."""
    for axis, dimension in zip(spec.axes, placement.dimensions, strict=True):
        if joint_stride(dimension) is None:
            return Rule(
                name=f"layout.{spec.name}",
                passed=False,
                expected=f"one stride along {axis}",
                found=" and ".join(f"{count} elements with stride {stride}" for count, stride in dimension),
            )
    return Rule(name=f"layout.{spec.name}", passed=True, expected="one stride along each axis", found="as expected")


def check_rows(spec: OperandSpec, placement: Placement) -> Rule:
    """Check that the elements along an operand's last axis lie side by side."""
    stride = joint_stride(placement.dimensions[-1]) if placement.dimensions else 1
    single = bool(placement.dimensions) and all(count == 1 for count, _ in placement.dimensions[-1])
    return Rule(
        name=f"layout.{spec.name}",
        passed=stride == 1 or single,
        expected=f'stride 1 along {spec.axes[-1] if spec.axes else "nothing"} (strides = "rows")',
        found=f"stride {stride}" if stride is not None else "several",
    )


def joint_stride(dimension: Dimension) -> Index | None:
    """Return the stride of a dimension that one or several contiguous loops run over; None if there are gaps."""
    if not dimension:
        return 0
    following = [part for part in dimension if part[0] != 1] or [dimension[-1]]
    for (_, outer), (count, inner) in itertools.pairwise(following):
        if outer != mul(count, inner) and outer != mul(inner, count):
            return None
    return following[-1][1]
