"""The table of operations on tensors: MLIR's name → evaluation. In order, one provider per name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import extensions, mapped, transforms, walk
from .affine import read_map
from .body import gathered
from .nests import Nest, NestResult
from .numbers import Array, Num, element_of
from .softmax import Softmax
from .tensors import Empty, Filled, Joined, Moved, Tensor, kept_dimensions, reshaped, sliced
from .unsupported import Unsupported
from .walk import Handler, Walker, integers, region, static_shape

if TYPE_CHECKING:
    from iree.compiler import ir


def generic(walker: Walker, op: ir.Operation) -> None:
    """`linalg.generic` and all named operations that come with a region and maps."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    if not op.results:
        raise Unsupported(f"{op.name} on memory")
    attributes = [attribute.value for attribute in linalg.get_indexing_maps(op)]
    maps = [read_map(ir.AffineMap(map_) if not isinstance(map_, ir.AffineMap) else map_) for map_ in attributes]
    operands = [_operand(walker, operand) for operand in op.operands]
    block = op.regions[0].blocks[0]
    nest = Nest(walker.how, region(walker, block), operands, maps, len(op.results))
    for number, result in enumerate(op.results):
        walker.values[result] = NestResult(nest, number)


def _operand(walker: Walker, value: ir.Value) -> Tensor:
    found = walker.value(value)
    return found if isinstance(found, Tensor) else Filled((), element_of(str(value.type)), found)


def fill(walker: Walker, op: ir.Operation) -> None:
    """`linalg.fill`."""
    target = walker.tensor(op.operands[1])
    source = element_of(str(op.operands[0].type))
    scalar = walker.scalar(op.operands[0])
    if source.name != target.element.name and not (source.is_float and target.element.is_float):
        raise Unsupported(f"linalg.fill of {target.element.name} with {source.name}")
    walker.values[op.results[0]] = Filled(target.shape, target.element, scalar)


def softmax(walker: Walker, op: ir.Operation) -> None:
    """`linalg.softmax`."""
    source = walker.tensor(op.operands[0])
    axis = int(op.attributes["dimension"].value)
    walker.values[op.results[0]] = Softmax(walker.how, source, axis, walker.tensor(op.operands[1]).element)


def extract_slice(walker: Walker, op: ir.Operation) -> None:
    """`tensor.extract_slice`."""
    offsets, sizes, strides = walker.slice(op, 1)
    kept = kept_dimensions(integers(op.attributes["static_sizes"]), static_shape(op.results[0].type))
    walker.values[op.results[0]] = sliced(walker.tensor(op.operands[0]), offsets, sizes, strides, kept)


def insert_slice(walker: Walker, op: ir.Operation) -> None:
    """`tensor.insert_slice`."""
    source, target = walker.tensor(op.operands[0]), walker.tensor(op.operands[1])
    offsets, sizes, strides = walker.slice(op, 2)
    walker.values[op.results[0]] = Joined(target, [(reshaped(source, sizes), offsets, strides)], target.element)


def expand_shape(walker: Walker, op: ir.Operation) -> None:
    """`tensor.expand_shape`."""
    shape = walker.mixed(integers(op.attributes["static_output_shape"]), list(op.operands)[1:])
    walker.values[op.results[0]] = _reshape(walker.tensor(op.operands[0]), shape)


def collapse_shape(walker: Walker, op: ir.Operation) -> None:
    """`tensor.collapse_shape`."""
    source = walker.tensor(op.operands[0])
    shape = []
    for group in op.attributes["reassociation"]:
        size = 1
        for d in group:
            size *= source.shape[int(d.value)]
        shape.append(size)
    walker.values[op.results[0]] = _reshape(source, shape)


def _reshape(source: Tensor, shape: Sequence[int]) -> Tensor:
    if isinstance(source, Empty):
        return Empty(shape, source.element)
    if isinstance(source, Filled):
        return Filled(shape, source.element, source.scalar)
    return reshaped(source, shape)


def reshape(walker: Walker, op: ir.Operation) -> None:
    """`tensor.reshape`: its shape operand is a tensor."""
    shape = [int(n) for n in walker.tensor(op.operands[1]).whole().value]
    walker.values[op.results[0]] = _reshape(walker.tensor(op.operands[0]), shape)


def pad(walker: Walker, op: ir.Operation) -> None:
    """`tensor.pad` with one value (or one that depends on the coordinates)."""
    source = walker.tensor(op.operands[0])
    segments, operands = integers(op.attributes["operandSegmentSizes"]), list(op.operands)
    low = walker.mixed(integers(op.attributes["static_low"]), operands[1 : 1 + segments[1]])
    high = walker.mixed(integers(op.attributes["static_high"]), operands[1 + segments[1] :])
    shape = [lo + n + hi for lo, n, hi in zip(low, source.shape, high, strict=True)]
    body = region(walker, op.regions[0].blocks[0])
    if body.names:
        raise Unsupported("tensor.pad with a computed value")
    (at,) = body.results
    scalar = next((num for position, num in body.captured if position == at), None)
    if scalar is None:
        raise Unsupported("tensor.pad with a value that depends on the place")
    background = Filled(shape, source.element, scalar)
    walker.values[op.results[0]] = Joined(background, [(source, low, [1] * len(low))], source.element)


def concat(walker: Walker, op: ir.Operation) -> None:
    """`tensor.concat`."""
    axis = int(op.attributes["dim"].value)
    sources = [walker.tensor(operand) for operand in op.operands]
    shape = list(sources[0].shape)
    shape[axis] = sum(source.shape[axis] for source in sources)
    parts, at = [], 0
    for source in sources:
        parts.append((source, [at if d == axis else 0 for d in range(len(shape))], [1] * len(shape)))
        at += source.shape[axis]
    walker.values[op.results[0]] = Joined(Empty(shape, sources[0].element), parts, sources[0].element)


def extract(walker: Walker, op: ir.Operation) -> None:
    """`tensor.extract`, outside of a region."""
    coordinates = [walker.scalar(operand) for operand in list(op.operands)[1:]]
    walker.values[op.results[0]] = gathered(walker.tensor(op.operands[0]), coordinates)


def insert(walker: Walker, op: ir.Operation) -> None:
    """`tensor.insert`."""
    scalar, target = walker.scalar(op.operands[0]), walker.tensor(op.operands[1])
    offsets = [walker.integer(operand) for operand in list(op.operands)[2:]]
    one = Filled((1,) * len(target.shape), target.element, scalar)
    walker.values[op.results[0]] = Joined(target, [(one, offsets, [1] * len(offsets))], target.element)


def from_elements(walker: Walker, op: ir.Operation) -> None:
    """`tensor.from_elements`."""
    shape = walker.shape(op.results[0].type, ())
    scalars = [walker.scalar(operand) for operand in op.operands]
    element = element_of(str(op.operands[0].type))
    parts = [(Filled((1,), element, scalar), [at], [1]) for at, scalar in enumerate(scalars)]
    walker.values[op.results[0]] = _reshape(Joined(Empty((len(scalars),), element), parts, element), shape)


def splat(walker: Walker, op: ir.Operation) -> None:
    """`tensor.splat`."""
    element = element_of(str(op.operands[0].type))
    shape = walker.shape(op.results[0].type, list(op.operands)[1:])
    walker.values[op.results[0]] = Filled(shape, element, walker.scalar(op.operands[0]))


def dim(walker: Walker, op: ir.Operation) -> None:
    """`tensor.dim`."""
    size = walker.tensor(op.operands[0]).shape[walker.integer(op.operands[1])]
    walker.values[op.results[0]] = Num(np.array(size, np.int64))


def pack(walker: Walker, op: ir.Operation) -> None:
    """`linalg.pack`: tiles of some dimensions become the innermost ones."""
    segments, operands = integers(op.attributes["operandSegmentSizes"]), list(op.operands)
    source, target = walker.tensor(operands[0]), walker.tensor(operands[1])
    tiles = walker.mixed(integers(op.attributes["static_inner_tiles"]), operands[2 + segments[2] :])
    inner = integers(op.attributes["inner_dims_pos"])
    outer = _outer_order(op, len(source.shape))
    background: Tensor = Empty(_padded(source.shape, inner, tiles), source.element)
    if segments[2]:
        background = Filled(background.shape, source.element, walker.scalar(operands[2]))
    whole: Tensor = source
    if background.shape != source.shape:
        whole = Joined(background, [(source, [0] * len(source.shape), [1] * len(source.shape))], source.element)
    walker.values[op.results[0]] = _permuted(_tiled(whole, inner, tiles), _pack_order(len(source.shape), inner, outer))
    if walker.tensor(op.results[0]).shape != target.shape:
        raise Unsupported("linalg.pack into a tensor of another shape")


def unpack(walker: Walker, op: ir.Operation) -> None:
    """`linalg.unpack`."""
    source, target = walker.tensor(op.operands[0]), walker.tensor(op.operands[1])
    tiles = walker.mixed(integers(op.attributes["static_inner_tiles"]), list(op.operands)[2:])
    inner = integers(op.attributes["inner_dims_pos"])
    rank = len(target.shape)
    outer = _outer_order(op, rank)
    order = _pack_order(rank, inner, outer)
    tiled = _permuted(source, [order.index(d) for d in range(len(order))])
    whole = reshaped(tiled, _padded(target.shape, inner, tiles))
    walker.values[op.results[0]] = sliced(whole, [0] * rank, target.shape, [1] * rank, range(rank))


def _outer_order(op: ir.Operation, rank: int) -> list[int]:
    given = integers(op.attributes["outer_dims_perm"]) if "outer_dims_perm" in op.attributes else []
    return given or list(range(rank))


def _padded(shape: Sequence[int], inner: Sequence[int], tiles: Sequence[int]) -> list[int]:
    sizes = list(shape)
    for d, tile in zip(inner, tiles, strict=True):
        sizes[d] = -(-sizes[d] // tile) * tile
    return sizes


def _tiled(source: Tensor, inner: Sequence[int], tiles: Sequence[int]) -> Tensor:
    """Return the tensor with every tiled dimension split in two, the number of the tile before the place in it."""
    shape: list[int] = []
    for d, size in enumerate(source.shape):
        shape += [size // tiles[inner.index(d)], tiles[inner.index(d)]] if d in inner else [size]
    return reshaped(source, shape)


def _pack_order(rank: int, inner: Sequence[int], outer: Sequence[int]) -> list[int]:
    """Return the order in which a packed tensor has the dimensions of `_tiled`."""
    numbers, tiles, at = {}, {}, 0
    for d in range(rank):
        numbers[d], at = at, at + 1
        if d in inner:
            tiles[d], at = at, at + 1
    return [numbers[d] for d in outer] + [tiles[d] for d in inner]


def _permuted(source: Tensor, order: Sequence[int]) -> Tensor:
    shape = [source.shape[d] for d in order]

    def trace(indices: Sequence[Array]) -> Sequence[Array]:
        return [indices[list(order).index(d)] for d in range(len(order))]

    return Moved(source, shape, change=lambda array: array.transpose(order), trace=trace)


def conditional(walker: Walker, op: ir.Operation) -> None:
    """`scf.if` around tensors, whose condition is evaluated first."""
    chosen = op.regions[0 if bool(walker.scalar(op.operands[0]).value) else 1]
    results = walker.block(chosen.blocks[0]) if len(chosen.blocks) else []
    walker.values.update(zip(op.results, results, strict=True))


def loop(walker: Walker, op: ir.Operation) -> None:
    """`scf.for`."""
    low, high, step = (walker.integer(op.operands[i]) for i in range(3))
    carried = [walker.value(operand) for operand in list(op.operands)[3:]]
    block = op.regions[0].blocks[0]
    for at in range(low, high, step):
        walker.values[block.arguments[0]] = Num(np.array(at, np.int64))
        walker.values.update(zip(list(block.arguments)[1:], carried, strict=True))
        carried = walker.block(block)
    walker.values.update(zip(op.results, carried, strict=True))


def ignore(walker: Walker, op: ir.Operation) -> None:
    """Ignore an operation whose results are not used."""


RETURNS = frozenset({"func.return", "util.return", "scf.yield"})

REGISTRY: tuple[tuple[str, Handler], ...] = (
    ("arith.constant", walk.constant),
    ("complex.constant", walk.constant),
    ("hal.interface.constant.load", walk.push_constant),
    ("hal.interface.binding.subspan", walk.subspan),
    ("util.assume.int", walk.same),
    ("iree_tensor_ext.dispatch.workload.ordinal", walk.same),
    ("iree_tensor_ext.compute_barrier.start", walk.same),
    ("iree_tensor_ext.compute_barrier.end", walk.same),
    ("iree_tensor_ext.dispatch.tensor.load", walk.load),
    ("iree_tensor_ext.dispatch.tensor.store", walk.store),
    ("tensor.empty", walk.empty),
    ("tensor.cast", walk.same),
    ("affine.apply", walk.affine),
    ("affine.min", walk.affine),
    ("affine.max", walk.affine),
    ("affine.linearize_index", walk.positions),
    ("affine.delinearize_index", walk.positions),
    ("tensor.extract_slice", extract_slice),
    ("tensor.insert_slice", insert_slice),
    ("tensor.expand_shape", expand_shape),
    ("tensor.collapse_shape", collapse_shape),
    ("tensor.reshape", reshape),
    ("tensor.pad", pad),
    ("tensor.concat", concat),
    ("tensor.extract", extract),
    ("tensor.insert", insert),
    ("tensor.from_elements", from_elements),
    ("tensor.splat", splat),
    ("tensor.dim", dim),
    ("linalg.generic", generic),
    ("linalg.fill", fill),
    ("linalg.softmax", softmax),
    ("linalg.pack", pack),
    ("linalg.unpack", unpack),
    ("scf.if", conditional),
    ("scf.for", loop),
    ("iree_codegen.null_pointer", ignore),
    *extensions.REGISTRY,
    *transforms.REGISTRY,
    *mapped.REGISTRY,
)
"""All operations on tensors, in order; other `linalg` operations that have a region are evaluated by it."""

HANDLERS: dict[str, Handler] = dict(REGISTRY)
assert len(HANDLERS) == len(REGISTRY), "two handlers for one operation"
