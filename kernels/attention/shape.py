"""An attention operation as loops: the part that each plays, and the strides by which it moves the operands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from substitute.codegen.hazards import refuse_hazards
from substitute.codegen.llvm.lower import supported
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Linear, LoopKind, Named, Nest, Program, Read, View
from substitute.model.index import Index, add, mul, product
from substitute.model.scalar import Scalar, ScalarGraph

ELEMENTS = frozenset(("f32", "f16", "bf16"))
"""Types of operands, results, scales and masks: all is computed in f32."""
MOST_COLUMNS = 256
"""Elements of a row of values: with sixteen rows, their sums take 16 KB of the stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Place of an element: `constant + Σ stride · loop`, in elements from the view's pointer."""

    view: View
    constant: Index
    strides: Mapping[int, Index]

    def stride(self, loop: int) -> Index:
        """Return the distance between neighbours along a loop."""
        return self.strides.get(loop, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """What is added to the scores: the number itself, or 0 for true and −∞ for false."""

    nest: Nest
    """Its expression over loops of its own; a mask that lies in memory as it is has a single read."""
    addresses: tuple[Address, ...]
    """Of each read, over the loops of the attention."""
    element: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """`out = softmax(scale · Σ_inner query · key + mask) · value`, the softmax over `keys`."""

    sizes: Mapping[int, Index]
    batch: tuple[int, ...]
    """Loops of the result that move keys or values."""
    rows: tuple[int, ...]
    """Loops of the result that move only queries, such as positions and the heads of a group."""
    keys: int
    inner: int
    columns: int
    query: Address
    key: Address
    value: Address
    out: Address
    mask: Mask | None
    scale: Nest

    def count(self, loops: Sequence[int]) -> Index:
        """Return the number of positions of some loops together."""
        return product(tuple(self.sizes[loop] for loop in loops))


def read_attention(program: Program) -> Attention:
    """Return the one attention of a program. Raises `Unsupported`."""
    named = [core for core in program.cores if isinstance(core, Named)]
    if len(named) != 1 or named[0].op != "iree_linalg_ext.attention" or program.cores[-1] is not named[0]:
        raise Unsupported("the dispatch is not one attention")
    core = named[0]
    attributes = dict(core.attributes)
    elements = {read.type.element for read in core.reads[:3]} | {core.types[0].element}
    if not elements <= ELEMENTS:
        raise Unsupported(f"operands of {', '.join(sorted(elements - ELEMENTS))}")
    if core.region and not re.fullmatch(r"\(%0: f32\):\s*iree_linalg_ext\.yield\(%0\)\s*", core.region):
        raise Unsupported("the scores are modified")
    maps = _read_maps(attributes["indexing_maps"])
    operands = attributes["operands"].split(", ")
    if len(core.scalars) != 1 or len(core.reads) not in (3, 4) or operands[-1] != "empty":
        raise Unsupported("the operation has other operands than queries, keys, values, a scale and a mask")
    if operands[:3] != ["read"] * 3 or (len(operands) > 5) != (len(core.reads) == 4):
        raise Unsupported("an operand is no tensor in memory")
    query, key, value = (_address(read, dims) for read, dims in zip(core.reads[:3], maps, strict=False))
    sizes: dict[int, Index] = {}
    for read, dims in zip(core.reads[:3], maps, strict=False):
        sizes |= dict(zip(dims, read.type.shape, strict=True))
    q, k, v, o = set(maps[0]), set(maps[1]), set(maps[2]), set(maps[-1])
    keys, inner, columns = sorted((k & v) - q - o), sorted((k & q) - v - o), sorted((v & o) - q - k)
    if not (len(keys) == len(inner) == len(columns) == 1) or q | k | v != o | {*keys, *inner}:
        raise Unsupported("its loops are not those of one product after the other")
    out = _result(program, core, maps[-1])
    scale = core.scalars[0]
    problem = supported(scale.expr)
    if problem or scale.expr.nodes[scale.expr.results[0]].type not in ELEMENTS:
        raise Unsupported(f"no code for the scale: {problem or 'it is no f32, f16 or bf16'}")
    attention = Attention(
        sizes=sizes,
        batch=tuple(d for d in maps[-1] if d not in columns and d in k | v),
        rows=tuple(d for d in maps[-1] if d not in columns and d not in k | v),
        keys=keys[0],
        inner=inner[0],
        columns=columns[0],
        query=query,
        key=key,
        value=value,
        out=out,
        mask=_mask(program, core.reads[3], maps[4]) if len(core.reads) == 4 else None,
        scale=scale,
    )
    _check_layout(attention)
    refuse_hazards(program)
    return attention


def _read_maps(text: str) -> list[tuple[int, ...]]:
    """Return the loops of each operand's dimensions. Raises `Unsupported` for a coordinate that is no loop."""
    found = []
    for names, results in re.findall(r"affine_map<\(([^)]*)\) -> \(([^)]*)\)>", text):
        loops = [name.strip() for name in names.split(",")]
        parts = [part.strip() for part in results.split(",") if part.strip()]
        if not set(parts) <= set(loops):
            raise Unsupported("a coordinate is no loop")
        found.append(tuple(loops.index(part) for part in parts))
    return found


def _address(read: Read, dims: Sequence[int]) -> Address:
    if not isinstance(read.source, View):
        raise Unsupported("an operand is computed in the same dispatch")
    return Address(view=read.source, constant=0, strides=dict(zip(dims, read.source.strides, strict=True)))


def _result(program: Program, core: Named, dims: Sequence[int]) -> Address:
    """Return the place of the result, which a single nest stores, transposed in any way."""
    if len(program.stores) != 1:
        raise Unsupported("several results")
    (store,) = program.stores
    if len(store.reads) != 1 or [node.op for node in store.expr.nodes] != ["read"] or len(store.writes) != 1:
        raise Unsupported("work after the attention")
    (read,), (write,) = store.reads, store.writes
    if read.source != core.temporaries[0] or store.gathered:
        raise Unsupported("what is stored is not the attention's result")
    loops: dict[int, int] = {}
    for dimension, linear, size in zip(dims, read.access, core.types[0].shape, strict=True):
        if not linear.terms and linear.constant == 0 and size == 1:
            continue
        if linear.loop is None or store.sizes[linear.loop] != size:
            raise Unsupported("a part of the result is stored")
        loops[linear.loop] = dimension
    if len(loops) != len(store.sizes):
        raise Unsupported("the result is repeated")
    return _place(write.view, write.access, loops)


def _mask(program: Program, read: Read, dims: Sequence[int]) -> Mask:
    if isinstance(read.source, View):
        access = tuple(Linear(terms=((at, 1),)) for at in range(len(dims)))
        kinds: tuple[LoopKind, ...] = tuple("parallel" for _ in dims)
        graph = ScalarGraph((Scalar("read", read.type.element, (), 0),), (0,))
        own = Read(source=read.source, access=access, type=read.type)
        nest = Nest(sizes=tuple(read.type.shape), kinds=kinds, reads=(own,), expr=graph)
        loops: dict[int, int] = dict(enumerate(dims))
    else:
        cores = [c for c in program.cores if isinstance(c, Nest) and c.temporary == read.source]
        if len(cores) != 1 or set(cores[0].kinds) - {"parallel"} or len(cores[0].expr.results) != 1:
            raise Unsupported("the mask is a result of loops")
        nest = cores[0]
        loops = {}
        for dimension, linear in zip(dims, nest.target, strict=True):
            if linear.loop is not None:
                loops[linear.loop] = dimension
            elif linear.terms or linear.constant != 0:
                raise Unsupported("a part of the mask is computed")
        if len(loops) != len(nest.sizes):
            raise Unsupported("the mask's loops are not its coordinates")
    if problem := supported(nest.expr):
        raise Unsupported(f"no code for the mask: {problem}")
    if nest.gathered or any(node.op in ("index", "size") for node in nest.expr.nodes):
        raise Unsupported("the mask is gathered, or computed from positions")
    element = nest.expr.nodes[nest.expr.results[0]].type
    if element not in {*ELEMENTS, "i1", "i8"}:
        raise Unsupported(f"a mask of {element}")
    return Mask(nest=nest, addresses=tuple(_moved(r, loops) for r in nest.reads), element=element)


def _moved(read: Read, loops: Mapping[int, int]) -> Address:
    """Return where a mask's read lies, over the loops of the attention."""
    if not isinstance(read.source, View):
        raise Unsupported("the mask is computed in several steps")
    return _place(read.source, read.access, loops)


def _place(view: View, access: Sequence[Linear], loops: Mapping[int, int]) -> Address:
    """Return an access as an address; `loops`: the attention's loop for each of a nest's."""
    strides: dict[int, Index] = {}
    constant: Index = 0
    for linear, stride in zip(access, view.strides, strict=True):
        constant = add(constant, mul(linear.constant, stride))
        for loop, coefficient in linear.terms:
            strides[loops[loop]] = add(strides.get(loops[loop], 0), mul(coefficient, stride))
    return Address(view=view, constant=constant, strides=strides)


def _check_layout(attention: Attention) -> None:
    inner, columns = attention.inner, attention.columns
    if attention.query.stride(inner) != 1 or attention.key.stride(inner) != 1:
        raise Unsupported("queries or keys do not lie contiguous")
    if attention.value.stride(columns) != 1 or attention.out.stride(columns) != 1:
        raise Unsupported("values or results do not lie contiguous")
    width = attention.sizes[columns]
    if not isinstance(width, int) or width > MOST_COLUMNS:
        raise Unsupported(f"rows of {width} values: more than {MOST_COLUMNS}, or not known")
