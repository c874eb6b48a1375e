"""The epilogue of a kernel: the element-wise work that IREE fused after an operation, and the stores of its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from llvmlite import ir

from substitute.errors import PayloadError
from substitute.model.dispatch import Linear, Nest, Program, View
from substitute.model.index import Index
from substitute.model.scalar import Scalar

from ..hazards import share_memory
from .elements import REGISTER_TYPES, load, memory_type, store
from .function import I64, KernelFunction
from .lower import ScalarEmitter, supported

Loops = Mapping[int, ir.Value]


def refuse_epilogue(program: Program) -> str:
    """Return why `store_result` cannot do what a program does after its last core; empty: it can.

    A generator's `can_generate` returns it, so that such a dispatch is left to IREE.
    """
    core = program.cores[-1] if program.cores else None
    if not isinstance(core, Nest) or len(program.cores) > 1:
        return "the dispatch is not one reduction"
    if any(target.terms and target.loop is None for target in core.target):
        return "the reduction's result is addressed by more than a loop"
    for nest in program.stores:
        if reason := _refuse_nest(program, core, nest):
            return reason
    return ""


def _refuse_nest(program: Program, core: Nest, nest: Nest) -> str:
    if problem := supported(nest.expr):
        return f"no code for {problem}"
    sums = [read for read in nest.reads if isinstance(read.source, int)]
    if not sums or nest.combiner or any(read.source != core.temporary for read in sums):
        return "work beside the operation that does not use its result"
    if any(read.access != sums[0].access for read in sums) or any(nest.reads[at] in sums for at in nest.gathered):
        return "a result is read in two places"
    loops = [access.loop for access in sums[0].access if access.terms]
    if None in loops or sorted(loops, key=str) != sorted(range(len(nest.sizes)), key=str):
        return "a result is not read once for each element"
    for write in nest.writes:
        for stage in (core, *program.stores):
            for at, read in enumerate(stage.reads):
                if not isinstance(read.source, View) or not _same_memory(program, read.source, write.view):
                    continue
                if stage is not nest or at in nest.gathered or (read.source, read.access) != (write.view, write.access):
                    return "an operand is read and written at different places"
    return ""


def _same_memory(program: Program, a: View, b: View) -> bool:
    return a.operand == b.operand or share_memory(program.operands[a.operand], program.operands[b.operand])


def store_result(kernel: KernelFunction, position: Mapping[str, ir.Value], value: ir.Value) -> None:
    """Apply the operations that IREE fused after the kernel's to one element of its result, and store the results.

    `position` has the index (i64) of each axis that the result has, by the axis's name in `kernel.toml`; `value` is the
    element as the operation gives it. Call it once for each element. Without fused work, it stores the value. Raises
    `PayloadError` for a dispatch that `refuse_epilogue` refuses.
    """
    program, match = kernel.request.program, kernel.request.match
    reason = refuse_epilogue(program)
    core = program.cores[-1] if program.cores else None
    if reason or not isinstance(core, Nest):
        raise PayloadError(
            f"the epilogue cannot be filled: {reason}",
            where=kernel.request.substitution.dispatch.name,
            next_step="return refuse_epilogue(program) from the generator's can_generate",
        )
    loops: dict[int, ir.Value] = {}
    for axis in match.axes:
        if axis.name in position:
            loops |= split_index(kernel, position[axis.name], axis.loops, axis.sizes)
    missing = [c.loop for c in core.target if c.loop is not None and c.loop not in loops]
    if missing:
        names = [axis.name for axis in match.axes if set(axis.loops) & set(missing)]
        raise PayloadError(
            "the position of a result is incomplete",
            where=kernel.request.substitution.dispatch.name,
            expected=f"an index for {', '.join(names)} too",
            found=", ".join(position) or "no index",
            next_step="give store_result the index of every axis of the result",
        )
    coordinates = [loops[c.loop] if c.loop is not None else ir.Constant(I64, 0) for c in core.target]
    for nest in program.stores:
        _store_nest(kernel, nest, coordinates, value)


def split_index(
    kernel: KernelFunction, index: ir.Value, loops: Sequence[int], sizes: Sequence[Index]
) -> dict[int, ir.Value]:
    """Return the indices of an axis's loops, the last of which runs fastest."""
    found: dict[int, ir.Value] = {}
    for loop, size in reversed(list(zip(loops[1:], sizes[1:], strict=True))):
        by = kernel.index(size)
        found[loop] = kernel.builder.urem(index, by)
        index = kernel.builder.udiv(index, by)
    return {**found, loops[0]: index} if loops else {}


def _store_nest(kernel: KernelFunction, nest: Nest, coordinates: Sequence[ir.Value], value: ir.Value) -> None:
    """Run one nest at the point that reads the result's element, if it reads that element at all."""
    builder = kernel.builder
    access = next(read.access for read in nest.reads if isinstance(read.source, int))
    loops: dict[int, ir.Value] = {}
    conditions: list[ir.Value] = []
    for coordinate, linear in zip(coordinates, access, strict=True):
        shift = kernel.index(linear.constant)
        if linear.loop is None:
            conditions.append(builder.icmp_signed("==", coordinate, shift))
            continue
        ((loop, _),) = linear.terms
        loops[loop] = builder.sub(coordinate, shift)
        conditions.append(builder.icmp_signed(">=", loops[loop], ir.Constant(I64, 0)))
        conditions.append(builder.icmp_signed("<", loops[loop], kernel.index(nest.sizes[loop])))
    with ExitStack() as stack:
        for condition in conditions:
            stack.enter_context(kernel.when(condition))
        emitter = ScalarEmitter(kernel.module, builder, None, hardware=kernel.hardware)

        def leaf(node: Scalar, operands: tuple[ir.Value, ...]) -> ir.Value:
            return load_leaf(kernel, nest, loops, value, node, operands)

        for out, write in zip(emitter.emit(nest.expr, leaf), nest.writes, strict=True):
            offset = _offset(kernel, write.view, [_place(kernel, c, loops) for c in write.access])
            store(builder, out, _address(kernel, write.view, offset), write.view.type.element)


def load_leaf(
    kernel: KernelFunction,
    nest: Nest,
    loops: Loops,
    value: ir.Value | None,
    node: Scalar,
    operands: Sequence[ir.Value],
) -> ir.Value:
    """Return a leaf of a nest's expression at one point of its loops; `value` is the element of a temporary."""
    if node.op == "index":
        return loops[int(str(node.attribute))]
    if node.op == "size":
        size, type_ = kernel.index(node.attribute), REGISTER_TYPES[node.type]  # type: ignore[arg-type]
        return size if type_ == I64 else kernel.builder.trunc(size, type_)
    read = nest.reads[int(str(node.attribute))]
    if not isinstance(read.source, View):
        return value
    if node.op == "gather":
        places = [c if c.type == I64 else kernel.builder.sext(c, I64) for c in operands]
    else:
        places = [_place(kernel, linear, loops) for linear in read.access]
    address = _address(kernel, read.source, _offset(kernel, read.source, places))
    return load(kernel.builder, address, read.source.type.element)


def _place(kernel: KernelFunction, linear: Linear, loops: Loops) -> ir.Value:
    total = kernel.index(linear.constant)
    for loop, coefficient in linear.terms:
        total = kernel.builder.add(total, kernel.builder.mul(loops[loop], kernel.index(coefficient)))
    return total


def _offset(kernel: KernelFunction, view: View, places: Sequence[ir.Value]) -> ir.Value:
    total: ir.Value = kernel.index(0)
    for place, stride in zip(places, view.strides, strict=True):
        total = kernel.builder.add(total, kernel.builder.mul(place, kernel.index(stride)))
    return total


def _address(kernel: KernelFunction, view: View, offset: ir.Value) -> ir.Value:
    pointer = kernel.pointers[kernel.request.parameter_of(view)]
    return kernel.element(pointer, offset, memory_type(view.type.element))
