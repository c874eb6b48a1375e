"""The prologue of a kernel: an element of an operand, with the element-wise work that IREE fused in front of it."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from substitute.errors import PayloadError
from substitute.model.dispatch import Nest, Program, View
from substitute.model.kernel import OperandSpec
from substitute.model.scalar import GraphBuilder, Scalar

from .epilogue import load_leaf, split_index
from .function import KernelFunction
from .lower import ScalarEmitter, supported


def refuse_input(program: Program) -> str:
    """Return why `load_input` cannot do what a program does in front of its core; empty: it can."""
    core = program.cores[0] if len(program.cores) == 1 else None
    if not isinstance(core, Nest):
        return "the dispatch is not one reduction"
    if any(not isinstance(read.source, View) for read in core.reads):
        return "an operand is computed in another loop nest"
    if problem := supported(core.expr):
        return f"no code for {problem}"
    return ""


def load_input(kernel: KernelFunction, spec: OperandSpec, coordinates: Sequence[ir.Value]) -> ir.Value:
    """Return an element of an operand behind a prologue slot, at the coordinates (i64) of its definition.

    Raises `PayloadError` for a dispatch that `refuse_input` refuses, and for an operand that is read through a window.
    """
    request = kernel.request
    reason = refuse_input(request.program)
    axes = [request.match.axis(name) for name in spec.axes]
    node = request.match.input_of(spec.name)
    if not reason and node is None:
        reason = f"{spec.name} is read through a window, or at computed places"
    if reason:
        raise PayloadError(
            f"the prologue cannot be filled: {reason}",
            where=request.substitution.dispatch.name,
            expected="operands that are read at the indices of their axes",
            next_step='remove "prologue" from slots in kernel.toml',
        )
    (core,) = request.program.cores
    assert isinstance(core, Nest) and node is not None
    loops: dict[int, ir.Value] = {}
    for axis, coordinate in zip(axes, coordinates, strict=True):
        loops |= split_index(kernel, coordinate, axis.loops, axis.sizes)
    emitter = ScalarEmitter(kernel.module, kernel.builder, None, hardware=kernel.hardware)

    def leaf(one: Scalar, operands: tuple[ir.Value, ...]) -> ir.Value:
        return load_leaf(kernel, core, loops, None, one, operands)

    (value,) = emitter.emit(GraphBuilder(nodes=list(core.expr.nodes)).graph((node,)), leaf)
    return value
