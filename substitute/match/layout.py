"""Are the operands laid out in memory as the kernel takes them?"""

from __future__ import annotations

from ..model.dispatch import Linear, View
from ..model.index import Expr, Index, add, mul
from ..model.kernel import OperandSpec
from ..model.plan import Axis, Rule


def stride_along(view: View, access: tuple[Linear, ...], loop: int) -> Index:
    """Elements from one iteration of a loop to the next."""
    total: Index = 0
    for coordinate, stride in zip(access, view.strides, strict=True):
        for number, coefficient in coordinate.terms:
            if number == loop:
                total = add(total, mul(coefficient, stride))
    return total


def start_of(view: View, access: tuple[Linear, ...]) -> Index:
    """Elements from the operand's start to where all loops are zero."""
    total = view.offset
    for coordinate, stride in zip(access, view.strides, strict=True):
        total = add(total, mul(coordinate.constant, stride))
    return total


def check_contiguous(
    spec: OperandSpec,
    view: View,
    access: tuple[Linear, ...],
    wanted: tuple[Linear, ...],
    wanted_shape: tuple[Index, ...],
    axes: tuple[Axis, ...],
) -> Rule:
    """A plain operand has to lie in memory exactly as the definition's tensor would: row-major, without gaps.

    `wanted` are the definition's coordinates over its own loops, one axis each in `axes`.
    """
    sizes = {axis.name: axis.size for axis in axes}
    step: Index = 1
    expected: dict[int, Index] = {}
    for coordinate, size in reversed(list(zip(wanted, wanted_shape, strict=True))):
        for number, coefficient in coordinate.terms:
            axis = axes[number]
            if len(axis.loops) == 1:
                expected[axis.loops[0]] = add(expected.get(axis.loops[0], 0), mul(step, coefficient))
        extent: Index | None = sizes.get(str(size.args[0])) if isinstance(size, Expr) else size
        if extent is None:
            extent = _window_extent(coordinate, axes)
        step = mul(extent, step)
    for loop, stride in expected.items():
        found = stride_along(view, access, loop)
        axis_name = next(a.name for a in axes if loop in a.loops)
        size_one = next(a.size for a in axes if loop in a.loops) == 1
        if found != stride and not size_one:
            return Rule(
                name=f"layout.{spec.name}",
                passed=False,
                expected=f"stride {stride} along {axis_name} (row-major, no gaps), or `strided = true` in kernel.toml",
                found=f"stride {found}",
            )
    return Rule(name=f"layout.{spec.name}", passed=True, expected="row-major, no gaps", found="as expected")


def _window_extent(coordinate: Linear, axes: tuple[Axis, ...]) -> Index:
    """The size of a dimension that a window runs over: Σ coefficient · (size - 1) + 1."""
    extent: Index = 1
    for number, coefficient in coordinate.terms:
        extent = add(extent, mul(coefficient, add(axes[number].size, -1)))
    return extent
