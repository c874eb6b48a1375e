"""The epilogue of a tile of sums: the element-wise work that IREE fused, and the stores."""

from __future__ import annotations

from llvmlite import ir

from substitute.codegen.llvm.elements import REGISTER_TYPES, constant, load, memory_type, splat, store, vector
from substitute.codegen.llvm.function import I32, I64
from substitute.model.scalar import Scalar

from .panel import place
from .space import Position, Slot, Space
from .views import Result


def store_results(
    space: Space, sums: ir.Value, base: Position, tile: ir.Value, first: ir.Value, rows: ir.Value
) -> None:
    """Store one tile of columns: `rows` rows of the output from row `first`, which is row 0 of `sums`."""
    tiling, builder, function = space.tiling, space.builder, space.function
    vectors = ir.Constant(I64, tiling.vectors)
    number = builder.mul(tile, vectors)
    end = space.least(function.index(tiling.slots), builder.add(number, vectors))
    with function.loop(number, end) as loop:
        slot = space.slot(loop.index)
        column = builder.mul(builder.sub(loop.index, number), ir.Constant(I64, tiling.lanes))
        if slot.valid is None:
            _rows(space, sums, base, slot, column, first, rows)
            return
        full = builder.icmp_signed("==", slot.valid, ir.Constant(I64, tiling.lanes))
        with function.when(full):
            _rows(space, sums, base, slot, column, first, rows)
        if _can_mask(space):
            with function.when(builder.not_(full)):
                _rows(space, sums, base, slot, column, first, rows, valid=slot.valid)
            return
        with function.when(builder.not_(full)), function.loop(0, slot.valid) as lane:
            axis = tiling.vector_axis
            single = Slot(position={**slot.position, axis: builder.add(slot.position[axis], lane.index)}, valid=None)
            _rows(space, sums, base, single, builder.add(column, lane.index), first, rows, lanes=None)


def _can_mask(space: Space) -> bool:
    """Return whether vectors can be stored partially; gathers cannot, as masked lanes must not decide an address."""
    axis, results = space.tiling.vector_axis, space.contraction.results
    return space.masks and all(
        all(axis.stride(a) == 1 for a in r.writes) and all(n.op != "gather" for n in r.nest.expr.nodes) for r in results
    )


def _rows(
    space: Space,
    sums: ir.Value,
    base: Position,
    slot: Slot,
    column: ir.Value,
    first: ir.Value,
    rows: ir.Value,
    lanes: int | None = -1,
    valid: ir.Value | None = None,
) -> None:
    """Emit all rows of one vector of columns, or, with `lanes` None, of one column; `valid`: lanes if not all."""
    lanes = space.tiling.lanes if lanes == -1 else lanes
    with space.function.loop(0, rows) as loop:
        row = space.split(space.builder.add(first, loop.index), space.tiling.rows)
        element = space.arithmetic.element
        where = space.move(place(space, sums, loop.index, 0), column, element)
        value = load(space.builder, where, element, lanes)
        for result in space.contraction.results:
            _store(space, result, value, {**base, **slot.position, **row}, lanes, valid)


def _store(
    space: Space, result: Result, value: ir.Value, position: Position, lanes: int | None, valid: ir.Value | None
) -> None:
    """Emit the store of one result at one place."""
    axis = space.tiling.vector_axis

    def leaf(node: Scalar, operands: tuple[ir.Value, ...]) -> ir.Value:
        if node.op == "size":
            return space.integer(node)
        if node.op == "index":
            return _index(space, result, int(str(node.attribute)), position, lanes)
        at = int(str(node.attribute))
        if node.op == "gather":
            return _gather(space, result, at, operands, lanes)
        address = result.reads[at]
        if address is None:  # not the source of a gather, so the sum
            return space.sum_as(value, node.type)
        stride = axis.stride(address) if lanes else 0
        return space.load(space.pointer(address, position), address.view.type.element, stride, valid)

    for out, address in zip(space.evaluate(result.nest.expr, leaf, lanes), result.writes, strict=True):
        pointer, element = space.pointer(address, position), address.view.type.element
        if lanes and valid is not None:
            space.store_masked(out, pointer, element, valid)
        elif lanes:
            space.store(out, pointer, element, axis.stride(address))
        else:
            store(space.builder, out, pointer, element)


def _index(space: Space, result: Result, loop: int, position: Position, lanes: int | None) -> ir.Value:
    """Return the index of a loop of the nest."""
    axis = next(axis for axis in space.contraction.axes if axis.loops == (result.loops[loop],))
    index = position[axis]
    if not lanes or axis is not space.tiling.vector_axis:
        return index
    steps = ir.Constant(ir.VectorType(I64, lanes), [ir.Constant(I64, n) for n in range(lanes)])
    return space.builder.add(splat(space.builder, index, lanes), steps)


def _gather(space: Space, result: Result, at: int, operands: tuple[ir.Value, ...], lanes: int | None) -> ir.Value:
    """Return elements of a read at computed coordinates."""
    source, builder = result.nest.reads[at].source, space.builder
    if isinstance(source, int):
        raise AssertionError("can_generate lets no gather from the sums pass")
    base = space.function.pointers[space.request.parameter_of(source)]
    element = source.type.element

    def one(coordinates: list[ir.Value]) -> ir.Value:
        offset: ir.Value = ir.Constant(I64, 0)
        for coordinate, stride in zip(coordinates, source.strides, strict=True):
            offset = builder.add(offset, space.scaled(coordinate, stride))
        return load(builder, builder.gep(base, [offset], source_etype=memory_type(element)), element)

    if not lanes:
        return one(list(operands))
    whole = constant(vector(REGISTER_TYPES[element], lanes), 0)
    for number in range(lanes):
        value = one([builder.extract_element(o, ir.Constant(I32, number)) for o in operands])
        whole = builder.insert_element(whole, value, ir.Constant(I32, number))
    return whole
