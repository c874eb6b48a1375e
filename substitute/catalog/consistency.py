"""Checks that what a manifest says of axes can be true of its definition."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence

from ..errors import ManifestError
from ..model.constraints import constraint_to_index
from ..model.dispatch import Linear, Nest, View
from ..model.index import Expr
from ..model.kernel import Constraint, Form
from .entry import Manifest

_LONGEST_PERIOD = 20_000
# fmt: off
_REPEATING = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.Compare, ast.cmpop, ast.Load, ast.Name,
    ast.Constant, ast.Mod,
)
# fmt: on
"""Syntax that a condition may use, besides remainders by numbers, to be periodic along an axis."""


def check_axes(manifest: Manifest, forms: Sequence[Form]) -> None:
    """Raise `ManifestError` for an axis that is the size of a loop and of a window over several loops at once."""
    operands = manifest.kernel.operands
    for form in forms:
        nests = [stage for stage in (*form.program.cores, *form.program.stores) if isinstance(stage, Nest)]
        loops = {str(s.args[0]) for nest in nests for s in nest.sizes if isinstance(s, Expr) and s.op == "symbol"}
        for nest in nests:
            for view, access in _accesses(nest):
                spec = operands[view.operand]
                for axis, coordinate in zip(spec.axes, access, strict=False):
                    if len(coordinate.terms) > 1 and axis in loops:
                        over = " and ".join(str(nest.sizes[loop]) for loop, _ in coordinate.terms)
                        raise ManifestError(
                            f"the axis `{axis}` has two sizes",
                            where=f"{manifest.file}: operands.{spec.name}",
                            expected=f"another name for the axis of {spec.name} along which a window over {over} moves",
                            found=f"`{axis}`, which is also the size of a loop of @{form.name}",
                            next_step="give the window's axis a name of its own",
                        )


def check_constraints(manifest: Manifest) -> None:
    """Raise `ManifestError` for conditions on one axis that no size meets together."""
    constraints = manifest.kernel.constraints
    for axis in sorted({name for constraint in constraints for name in constraint.axes}):
        alone = [c for c in constraints if c.axes == {axis} and _repeats(c)]
        sizes = _candidates(alone)
        if alone and sizes and not any(all(_holds(c, axis, size) for c in alone) for size in sizes):
            raise ManifestError(
                f"no size of `{axis}` meets the constraints",
                where=f"{manifest.file}: constraints",
                expected="conditions that some size meets",
                found=" and ".join(c.text for c in alone),
                next_step="correct one of them: the kernel would never be taken",
            )


def _accesses(nest: Nest) -> Iterator[tuple[View, tuple[Linear, ...]]]:
    for read in nest.reads:
        if isinstance(read.source, View):
            yield read.source, read.access
    for write in nest.writes:
        yield write.view, write.access


def _nodes(constraint: Constraint) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(constraint.text.strip(), mode="eval"))


def _repeats(constraint: Constraint) -> bool:
    """Return True if the condition depends on remainders and bounds alone."""
    return all(
        isinstance(node, _REPEATING)
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.right, ast.Constant))
        for node in _nodes(constraint)
    )


def _candidates(constraints: Sequence[Constraint]) -> Sequence[int]:
    """One period of all remainders beyond the last bound, and what is before it; empty where that is too much."""
    numbers = {
        node.value
        for constraint in constraints
        for node in _nodes(constraint)
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value > 0
    }
    period = math.lcm(*numbers) if numbers else 1
    return range(1, max(numbers, default=1) + period + 2) if period <= _LONGEST_PERIOD else ()


def _holds(constraint: Constraint, axis: str, size: int) -> bool:
    return constraint_to_index(constraint, {axis: size}) is True
