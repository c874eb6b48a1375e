"""The prologue of a kernel: an element of an operand, with the element-wise work that IREE fused in front of it."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from substitute.errors import PayloadError
from substitute.model.dispatch import Nest, Program
from substitute.model.kernel import OperandSpec
from substitute.model.scalar import Scalar

from .. import placement
from ..unsupported import Unsupported
from .epilogue import load_leaf, split_index
from .function import KernelFunction
from .lower import ScalarEmitter, supported


def refuse_inputs(program: Program) -> str:
    """Return why `load_input` cannot do what a program does in front of its core; empty: it can."""
    reason = placement.refuse_inputs(program)
    core = program.cores[0] if program.cores else None
    if reason or not isinstance(core, Nest):
        return reason
    problem = supported(core.expr)
    return f"no code for {problem}" if problem else ""


def load_input(kernel: KernelFunction, spec: OperandSpec, coordinates: Sequence[ir.Value]) -> ir.Value:
    """Return an element of an operand behind a prologue slot, at the coordinates (i64) of its definition.

    Raises `PayloadError` for a dispatch that `refuse_inputs` refuses, and for an operand that is read through a window.
    """
    request = kernel.request
    try:
        nest = placement.find_input(request, spec.name)
    except Unsupported as problem:
        raise PayloadError(
            f"the prologue cannot be filled: {problem}",
            where=request.substitution.dispatch.name,
            expected="operands that are read at the indices of their axes",
            next_step='remove "prologue" from slots in kernel.toml',
        ) from problem
    loops: dict[int, ir.Value] = {}
    for name, coordinate in zip(spec.axes, coordinates, strict=True):
        axis = request.match.axis(name)
        loops |= split_index(kernel, coordinate, axis.loops, axis.sizes)
    emitter = ScalarEmitter(kernel.module, kernel.builder, None, hardware=kernel.hardware)

    def leaf(node: Scalar, operands: tuple[ir.Value, ...]) -> ir.Value:
        return load_leaf(kernel, nest, loops, None, node, operands)

    (value,) = emitter.emit(nest.expr, leaf)
    return value
