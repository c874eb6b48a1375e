"""Construction of loop nests while a body is read: coordinates, reads, and the scalar graph between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .dispatch import Linear, Nest, Read, TensorType, View, Write
from .index import Index, add, mul
from .scalar import GraphBuilder, ScalarGraph

ZERO = Linear(terms=())


def loop(number: int) -> Linear:
    """Return the coordinate of a loop's index."""
    return Linear(terms=((number, 1),))


def constant(value: Index) -> Linear:
    """Return a constant coordinate."""
    return Linear(terms=(), constant=value)


def plus(a: Linear, b: Linear) -> Linear:
    """Return the sum of two coordinates."""
    terms = dict(a.terms)
    for number, coefficient in b.terms:
        terms[number] = add(terms.get(number, 0), coefficient)
    kept = tuple(sorted((n, c) for n, c in terms.items() if c != 0))
    return Linear(terms=kept, constant=add(a.constant, b.constant))


def times(a: Linear, factor: Index) -> Linear:
    """Return a coordinate, scaled."""
    if factor == 0:
        return ZERO
    terms = tuple((n, mul(c, factor)) for n, c in a.terms)
    return Linear(terms=terms, constant=mul(a.constant, factor))


def compose(access: Linear, loops: tuple[Linear, ...]) -> Linear:
    """Return `access`, with each of its loops replaced by a coordinate."""
    result = constant(access.constant)
    for number, coefficient in access.terms:
        result = plus(result, times(loops[number], coefficient))
    return result


@dataclass(slots=True)
class NestBuilder:
    """Builder of one loop nest: its reads and its scalar graph."""

    graph: GraphBuilder = field(default_factory=GraphBuilder)
    reads: list[Read] = field(default_factory=list)

    def read(self, source: View | int, access: tuple[Linear, ...], type: TensorType) -> int:
        """Return the scalar node for the element at `access`."""
        return self.graph.add("read", type.element, (), self.slot(Read(source=source, access=access, type=type)))

    def gather(self, source: View | int, type: TensorType, coordinates: tuple[int, ...]) -> int:
        """Return the scalar node for the element at computed coordinates (nodes of type `index`)."""
        if not coordinates:  # rank 0 has one element: no coordinate is needed
            return self.read(source, (), type)
        slot = self.slot(Read(source=source, access=(), type=type))
        return self.graph.add("gather", type.element, coordinates, slot)

    def slot(self, read: Read) -> int:
        if read not in self.reads:
            self.reads.append(read)
        return self.reads.index(read)

    def coordinate(self, value: Linear) -> int:
        """Return the scalar node, of type `index`, of a coordinate."""
        result: int | None = None
        if value.constant != 0 or not value.terms:
            result = self.integer(value.constant, "index")
        for number, coefficient in value.terms:
            term = self.graph.add("index", "index", (), number)
            if coefficient != 1:
                term = self.graph.add("arith.muli", "index", (term, self.integer(coefficient, "index")))
            result = term if result is None else self.graph.add("arith.addi", "index", (result, term))
        assert result is not None
        return result

    def integer(self, value: Index, type: str) -> int:
        """Return the scalar node of an integer known now or at launch."""
        return self.graph.add("constant" if isinstance(value, int) else "size", type, (), value)

    def finish(self, results: tuple[int, ...]) -> tuple[tuple[Read, ...], ScalarGraph]:
        """Return the reads that `results` need, renumbered, and the graph."""
        graph = self.graph.graph(results)
        used = [n.attribute for n in graph.nodes if n.op in ("read", "gather")]
        order = sorted({u for u in used if isinstance(u, int)})
        again = GraphBuilder()
        moved: list[int] = []
        for node in graph.nodes:
            attribute = node.attribute
            if node.op in ("read", "gather"):
                assert isinstance(attribute, int)
                attribute = order.index(attribute)
            moved.append(again.add(node.op, node.type, tuple(moved[o] for o in node.operands), attribute))
        return tuple(self.reads[o] for o in order), again.graph(tuple(moved[r] for r in graph.results))


@dataclass(slots=True)
class LoopSpace:
    """The loops of a nest that is being built; loops of size one are left out."""

    sizes: list[Index] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def new(self, size: Index, kind: str) -> Linear:
        """Return the coordinate of a new loop."""
        if size == 1:
            return ZERO
        self.sizes.append(size)
        self.kinds.append(kind)
        return loop(len(self.sizes) - 1)


def merge_stores(nests: list[Nest]) -> tuple[Nest, ...]:
    """Join nests over equal loops into one that stores several results."""
    merged: list[Nest] = []
    for nest in nests:
        same = next((i for i, m in enumerate(merged) if m.sizes == nest.sizes), None)
        if same is None:
            merged.append(nest)
            continue
        merged[same] = _join(merged[same], nest)
    return tuple(merged)


def _join(a: Nest, b: Nest) -> Nest:
    builder = NestBuilder()
    results: list[int] = []
    for nest in (a, b):
        moved: list[int] = []
        for node in nest.expr.nodes:
            attribute = node.attribute
            if node.op in ("read", "gather"):
                assert isinstance(attribute, int)
                attribute = builder.slot(nest.reads[attribute])
            moved.append(builder.graph.add(node.op, node.type, tuple(moved[o] for o in node.operands), attribute))
        results.extend(moved[r] for r in nest.expr.results)
    reads, expr = builder.finish(tuple(results))
    writes: tuple[Write, ...] = (*a.writes, *b.writes)
    return Nest(sizes=a.sizes, kinds=a.kinds, reads=reads, expr=expr, writes=writes)
