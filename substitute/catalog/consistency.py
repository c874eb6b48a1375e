"""Checks that a manifest's axes, conditions and parameters are consistent with its definition."""

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
    """Raise `ManifestError` for an inconsistent axis.

    That is one of the size of a loop and of a window over several loops, or a loop of two axes.
    """
    operands = manifest.kernel.operands
    for form in forms:
        nests = [stage for stage in (*form.program.cores, *form.program.stores) if isinstance(stage, Nest)]
        loops = {str(s.args[0]) for nest in nests for s in nest.sizes if isinstance(s, Expr) and s.op == "symbol"}
        for nest in nests:
            for view, access in _accesses(nest):
                spec = operands[view.operand]
                for axis, coordinate in zip(spec.axes, access, strict=False):
                    size = None if coordinate.loop is None else nest.sizes[coordinate.loop]
                    if isinstance(size, Expr) and size.op == "symbol" and size.args[0] != axis:
                        raise ManifestError(
                            f"the axes `{size.args[0]}` and `{axis}` are one loop of the definition",
                            where=f"{manifest.file}: operands.{spec.name}",
                            expected=f"`{size.args[0]}`, as the loop of @{form.name} is called elsewhere",
                            found=f"`{axis}`",
                            next_step="give each loop one name, in the order of each operand's dimensions",
                        )
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


def check_parameters(manifest: Manifest, forms: Sequence[Form]) -> None:
    """Raise `ManifestError` for a parameter that only the manifest or only the definition has.

    Code that does not get a parameter would compute with a value of its own.
    """
    kernel = manifest.kernel
    found = [parameter.name for parameter in forms[0].parameters] if forms else []
    unknown = [name for name in manifest.parameters if name not in found]
    if unknown:
        raise ManifestError(
            f"the definition has no parameter `{unknown[0]}`",
            where=f"{manifest.file}: parameters.{unknown[0]}",
            expected=f"a scalar argument of the definition: {', '.join(found) or 'it has none'}",
            found=unknown[0],
            next_step=f"give the definition an argument such as %{unknown[0]}: f32, or correct the name",
        )
    taken = sorted({axis for operand in kernel.operands for axis in operand.axes} | {o.name for o in kernel.operands})
    clash = [name for name in found if name in taken]
    if clash:
        raise ManifestError(
            f"`{clash[0]}` is a parameter, and an axis or an operand",
            where=f"{manifest.file}: operands",
            expected="a name of its own for each",
            found=", ".join(taken),
            next_step="rename the argument in the definition",
        )
    if found and kernel.abi == "raw":
        raise ManifestError(
            "a raw kernel is given no parameters",
            where=f"{manifest.file}: abi",
            expected='abi = "canonical", or a definition with constants',
            found=f"the parameter{'s' * (len(found) > 1)} {', '.join(found)}",
            next_step="write the values into the definition, or remove abi",
        )
    told = {name for _, name in kernel.payload.spec_constants}
    missing = [name for name in found if name not in told]
    if kernel.payload.kind.has_spec_constants and missing:
        raise ManifestError(
            f"the code is not told the parameter `{missing[0]}`",
            where=f"{manifest.file}: payload.spec_constants",
            expected=f'a SpecId for each parameter, such as {{ 0 = "{missing[0]}" }}',
            found=", ".join(sorted(told)) or "none",
            next_step="declare a specialization constant for it in the shader, and name it here",
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
    """Return one period of all remainders after the last bound, and the sizes before it; empty if there are too
    many.
    """
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
