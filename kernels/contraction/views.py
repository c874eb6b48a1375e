"""A contraction's loops: the operands that each moves, by what stride, and the loops that can be merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from substitute.codegen.hazards import share_memory
from substitute.model.dispatch import Linear, Nest, Operand, Program, View
from substitute.model.index import Index, add, mul, product
from substitute.model.ops import OPERATIONS
from substitute.model.scalar import Scalar

from .narrow import add_in_f32
from .ranges import fits_i16

FACTOR_OPS = frozenset(("read", "constant", "index", "size", *(n for n, o in OPERATIONS.items() if o.is_repeatable)))
"""Operations of a factor: cheap ones, as a factor is computed again for every tile that uses it."""
READABLE = frozenset(("f32", "f16", "bf16", "f64", "i1", "i8", "i16", "i32", "i64"))
"""Element types that are addressed individually."""
CACHE_PERIOD = 1024
"""Elements of f32 after which addresses fall into the same lines of a first-level cache (4 KB)."""
SUMS = {"f32": ("arith.addf", "arith.mulf"), "i32": ("arith.addi", "arith.muli"), "i64": ("arith.addi", "arith.muli")}
"""Combiner and product of each type of sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An element's place: `constant + Σ stride · loop`, in elements from the view's pointer."""

    view: View
    constant: Index
    strides: tuple[tuple[int, Index], ...]
    """(loop of the core, stride), ordered by loop; no stride is zero."""

    def stride(self, loop: int) -> Index:
        """Return the distance between two neighbours along this loop; 0 if it does not move the address."""
        return dict(self.strides).get(loop, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One loop of the generated code: a loop of the core, or several that move every address as one loop would."""

    loops: tuple[int, ...]
    """Outermost first."""
    size: Index

    def stride(self, address: Address) -> Index:
        """Return the distance between two neighbours along this axis."""
        return address.stride(self.loops[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One side of the product."""

    root: int
    """Position of the factor's value in the core's graph."""
    reads: tuple[tuple[int, Address], ...]
    """(position in the core's reads, its address)."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Addresses of the reads."""
        return tuple(address for _, address in self.reads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One element-wise nest that consumes the sums and stores, in terms of the core's loops."""

    nest: Nest
    loops: tuple[int, ...]
    """The core's loop for each loop of the nest."""
    reads: tuple[Address | None, ...]
    """None for the sum itself and for the source of a gather; the element of a tensor of rank 0 has an address."""
    writes: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contraction:
    """`sums[batch, rows, columns] = init + Σ over depth of left · right`, then the results."""

    core: Nest
    factors: tuple[Factor, Factor]
    axes: tuple[Axis, ...]
    results: tuple[Result, ...]
    operands: tuple[Operand, ...]
    """Those of the program."""

    def moves(self, axis: Axis, factor: int) -> bool:
        """Return whether this factor's element changes along the axis."""
        return any(axis.stride(address) != 0 for address in self.factors[factor].addresses)

    def is_parallel(self, axis: Axis) -> bool:
        """Return whether the axis is one of the output's."""
        return self.core.kinds[axis.loops[0]] == "parallel"

    def spreads(self, axis: Axis) -> bool:
        """Return True if neighbours of results along other axes are different and compete for no cache lines."""
        others = [a for a in self.axes if self.is_parallel(a) and a.size != 1 and a is not axis]
        return all(_spreads(a.stride(write)) for a in others for r in self.results for write in r.writes)

    def spare_result(self, axis: Axis) -> Address | None:
        """Return a place of f32 in which sums can wait: contiguous along the axis, one for each sum, and not read."""
        if self.element != "f32":
            return None
        reads = [r.source for n in (self.core, *(r.nest for r in self.results)) for r in n.reads]
        read = {self.operands[r.operand] for r in reads if isinstance(r, View)}
        for address in (a for r in self.results for a in r.writes):
            own = self.operands[address.view.operand]
            if (
                address.view.type.element == "f32"
                and axis.stride(address) == 1
                and self.spreads(axis)
                and not any(own == other or share_memory(own, other) for other in read)
            ):
                return address
        return None

    @property
    def element(self) -> str:
        """Type in which sums are added: `f32`, or `i32` for all integers."""
        return "f32" if self.core.combiner == "arith.addf" else "i32"

    @property
    def fits_pairs(self) -> bool:
        """True if both factors are integers that fit i16."""
        return self.element == "i32" and all(fits_i16(self.core.expr, f.root) for f in self.factors)

    @property
    def init(self) -> float | int:
        """Initial value of every sum."""
        if self.element == "f32":
            return float(self.core.init or 0)
        return (int(self.core.init or 0) + (1 << 31)) % (1 << 32) - (1 << 31)


def _spreads(stride: Index) -> bool:
    """Return True if neighbours this many f32 apart are different ones, and do not compete for the same cache lines."""
    return isinstance(stride, int) and stride % CACHE_PERIOD != 0


def read(program: Program) -> Contraction | str:
    """Return the contraction of a program, or the reason why this generator does not handle it."""
    if len(program.cores) != 1 or not isinstance(program.cores[0], Nest):
        return "the dispatch is not one reduction"
    core, nests = add_in_f32(program.cores[0], program.stores)
    if core.type is None or SUMS.get(core.type.element, ("",))[0] != core.combiner:
        return "the reduction is not a sum of f16, bf16, f32, i32 or i64"
    if not isinstance(core.init, (int, float)):
        return "the sum does not start from a constant"
    if "parallel" not in core.kinds:
        return "the sum has no parallel loop"
    factors = _factors(core, core.type.element)
    if isinstance(factors, str):
        return factors
    results = tuple(_result(core, nest) for nest in nests)
    for result in results:
        if isinstance(result, str):
            return result
    stored = tuple(r for r in results if isinstance(r, Result))
    if not stored:
        return "nothing is stored"
    if core.type.element == "i64" and not all(_uses_lower_half(r) for r in stored):
        return "a result uses more than the lower 32 bits of a sum of i64"
    axes = _axes(core, factors, stored)
    contraction = Contraction(core=core, factors=factors, axes=axes, results=stored, operands=program.operands)
    parallel = [axis for axis in contraction.axes if contraction.is_parallel(axis)]
    if all(contraction.moves(axis, 0) and contraction.moves(axis, 1) for axis in parallel):
        return "no element is used for two results: this is a reduction of rows, and tiles of it are slow"
    return contraction


def linearize(view: View, access: tuple[Linear, ...], loops: Mapping[int, int] | None = None) -> Address:
    """Return the address of an access; `loops` renames its loops."""
    constant: Index = 0
    strides: dict[int, Index] = {}
    for coordinate, stride in zip(access, view.strides, strict=True):
        constant = add(constant, mul(coordinate.constant, stride))
        for loop, coefficient in coordinate.terms:
            at = loops[loop] if loops is not None else loop
            strides[at] = add(strides.get(at, 0), mul(coefficient, stride))
    return Address(view=view, constant=constant, strides=tuple(sorted((k, s) for k, s in strides.items() if s != 0)))


def _factors(core: Nest, element: str) -> tuple[Factor, Factor] | str:
    """Return both sides of the product, or why there is no product."""
    nodes = core.expr.nodes
    root = nodes[core.expr.results[0]]
    if root.op != SUMS[element][1] or root.type != element:
        return f"the sum is over {root.op}, not over a product of {element}"
    sides = []
    for operand in root.operands:
        below = [nodes[at] for at in sorted(core.expr.depends_on(operand))]
        strange = next((n for n in below if n.op not in FACTOR_OPS), None)
        if strange:
            return f"a factor computes {strange.op}, which is too dear to repeat for every tile"
        if any(n.op == "index" for n in below):
            return "a factor depends on loop indices"
        positions = sorted({int(str(n.attribute)) for n in below if n.op == "read"})
        if not positions:
            return "a factor is a constant"
        reads = []
        for at in positions:
            source = core.reads[at].source
            if isinstance(source, int):
                return "a factor is computed in the dispatch itself"
            if core.reads[at].type.element not in READABLE:
                return f"a factor is read as {core.reads[at].type.element}"
            reads.append((at, linearize(source, core.reads[at].access)))
        sides.append(Factor(root=operand, reads=tuple(reads)))
    left, right = sides
    if {at for at, _ in left.reads} & {at for at, _ in right.reads}:
        return "both factors read the same element"
    return left, right


def _result(core: Nest, nest: Nest) -> Result | str:
    """Return a store nest in terms of the core's loops, or why it does not fit over them."""
    sums = [r for r in nest.reads if isinstance(r.source, int)]
    if not sums or nest.combiner:
        return "a result does not come from the sum"
    loops: dict[int, int] = {}
    for access in sums:
        if access.source != core.temporary or access.access != sums[0].access:
            return "a result reads the sum in two places"
    for outer, inner in zip(sums[0].access, core.target, strict=True):
        if not outer.terms and not inner.terms:
            continue
        if outer.loop is None or inner.loop is None:
            return "a result reads a part of the sum"
        if nest.sizes[outer.loop] != core.sizes[inner.loop]:
            return "a result covers a part of the sum"
        loops[outer.loop] = inner.loop
    parallel = {at for at, kind in enumerate(core.kinds) if kind == "parallel"}
    if set(loops) != set(range(len(nest.sizes))) or set(loops.values()) != parallel:
        return "a result's loops are not those of the sum"
    if any(w.view.type.element not in READABLE for w in nest.writes):
        return "a result's elements are smaller than a byte"
    gathered = nest.gathered
    reads = tuple(
        linearize(r.source, r.access, loops) if isinstance(r.source, View) and at not in gathered else None
        for at, r in enumerate(nest.reads)
    )
    return Result(
        nest=nest,
        loops=tuple(loops[at] for at in range(len(nest.sizes))),
        reads=reads,
        writes=tuple(linearize(w.view, w.access, loops) for w in nest.writes),
    )


def _uses_lower_half(result: Result) -> bool:
    """Return True if the sum is only truncated to at most 32 bits."""
    nodes = result.nest.expr.nodes
    sums = {
        at
        for at, node in enumerate(nodes)
        if node.op == "read" and isinstance(result.nest.reads[int(str(node.attribute))].source, int)
    }
    users = [node for node in nodes if sums & set(node.operands)]
    return not sums & set(result.nest.expr.results) and all(
        node.op == "arith.trunci" and node.type in ("i1", "i8", "i16", "i32") for node in users
    )


def _axes(core: Nest, factors: Iterable[Factor], results: tuple[Result, ...]) -> tuple[Axis, ...]:
    """Return the core's loops, merged where every address moves as along one loop."""
    addresses = [a for f in factors for a in f.addresses]
    addresses += [a for r in results for a in (*r.reads, *r.writes) if a is not None]
    alone = {r.loops[int(str(n.attribute))] for r in results for n in r.nest.expr.nodes if _is_index(n)}
    axes = [Axis(loops=(at,), size=size) for at, size in enumerate(core.sizes)]
    while True:
        pair = next(
            (
                (outer, inner)
                for outer in axes
                for inner in axes
                if outer is not inner
                and core.kinds[outer.loops[0]] == core.kinds[inner.loops[0]]
                and not alone & {*outer.loops, *inner.loops}
                and all(outer.stride(a) == mul(inner.stride(a), inner.size) for a in addresses)
            ),
            None,
        )
        if pair is None:
            return tuple(axes)
        outer, inner = pair
        merged = Axis(loops=outer.loops + inner.loops, size=product((outer.size, inner.size)))
        axes[axes.index(outer)] = merged
        axes.remove(inner)


def _is_index(node: Scalar) -> bool:
    return node.op == "index"
