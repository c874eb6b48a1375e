"""Expansion of `linalg.softmax` into two reductions and a quotient.

What IREE fused in front of it (a scale, a mask) is computed where a row is read: twice for most rows, since it costs
less than a buffer; once, into a buffer, where it has functions such as `exp` and the row is short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Linear, LoopKind, Named, Nest, Program, Read, Stage, TensorType, View
from substitute.model.index import Index
from substitute.model.inlining import inline_producers
from substitute.model.ops import is_heavy
from substitute.model.scalar import GraphBuilder, Scalar, ScalarGraph

from .nests import LOCAL_BYTES

EXP_OF_NEGATIVE = "substitute.exp_of_negative"
"""e^x for x <= 0: an operation of this package, cheaper than `math.exp`."""


def without_softmax(program: Program) -> Program:
    """Return the program with every softmax expanded: maximum, sum of exponentials, quotient where it is read."""
    cores: list[Stage] = []
    quotients: dict[int, Quotient] = {}
    producers: dict[int, Nest] = {}
    fresh = 1 + max((t for c in program.cores for t in _temporaries(c)), default=0)
    for core in program.cores:
        if isinstance(core, Nest):
            if not core.combiner:
                core = producers[core.temporary] = _kept_if_heavy(core, program)
            if any(r.source in quotients for r in core.reads if isinstance(r.source, int)):
                raise Unsupported("a reduction reads a softmax")
            cores.append(core)
            continue
        if core.op != "linalg.softmax":
            raise Unsupported(f"{core.op} is no loop nest")
        if not core.types[0].element.startswith("f") and core.types[0].element != "bf16":
            raise Unsupported(f"softmax of {core.types[0].element}")
        nests, quotients[core.temporaries[0]] = _statistics(core, fresh, producers)
        cores += nests
        fresh += 3
    if not quotients:
        return program
    stores = tuple(_inline_quotients(store, quotients) for store in program.stores)
    return inline_producers(replace(program, cores=tuple(cores), stores=stores))


def _temporaries(core: Stage) -> tuple[int, ...]:
    return (core.temporary,) if isinstance(core, Nest) else core.temporaries


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotient:
    """Expression of a softmax at its uses: reads over the softmax's dimensions, and the numerator."""

    reads: tuple[Read, ...]
    """Reads of the numerator, then the sum."""
    numerator: ScalarGraph
    wide: str
    """Type that it is computed in."""


def _kept_if_heavy(producer: Nest, program: Program) -> Nest:
    """Return an element-wise nest that is kept in a buffer for each row, if it is better computed once.

    In a program of loop nests, a buffer is a reduction without a reduction loop: each element is -0.0 + its value.
    """
    if producer.type is None or producer.type.element != "f32" or not any(is_heavy(n.op) for n in producer.expr.nodes):
        return producer
    for core in program.cores:
        if isinstance(core, Named) and any(read.source == producer.temporary for read in core.reads):
            size = producer.type.shape[_dimension(core)]
            if not isinstance(size, int) or 2 * 4 * size > LOCAL_BYTES:  # (its exponentials take the other half)
                return producer
    return replace(producer, combiner="arith.addf", init=-0.0)


def _dimension(core: Named) -> int:
    return int(dict(core.attributes)["dimension"].split(":")[0])


def _statistics(core: Named, fresh: int, producers: Mapping[int, Nest]) -> tuple[list[Nest], Quotient]:
    """Return nests that compute a softmax's maximum, its exponentials (if a row of them fits the stack) and their
    sum.
    """
    shape = core.types[0].shape
    # read whole: its own coordinates leave unit dimensions out
    source = replace(core.reads[0], access=tuple(Linear(terms=((d, 1),)) for d in range(len(shape))))
    dimension = _dimension(core)
    # unit dimensions are no loops in the nests that read the softmax, so they are omitted here
    loops = [d for d in range(len(shape)) if shape[d] != 1 or d == dimension]
    rows = [d for d in loops if d != dimension]
    element, wide = source.type.element, "f64" if source.type.element == "f64" else "f32"
    statistic = TensorType(shape=tuple(shape[d] for d in rows), element=wide)
    kinds: tuple[LoopKind, ...] = tuple("reduction" if d == dimension else "parallel" for d in loops)
    at_row = tuple(Linear(terms=((loops.index(d), 1),)) for d in rows)
    by_loop = tuple(Linear(terms=((loops.index(d), 1),) if d in loops else ()) for d in range(len(shape)))
    graph = GraphBuilder()
    value = _widened(graph, graph.add("read", element, (), 0), element, wide)
    maximum = Nest(
        sizes=tuple(shape[d] for d in loops),
        kinds=kinds,
        reads=(replace(source, access=by_loop),),
        expr=graph.graph((value,)),
        combiner="arith.maximumf",
        init=float("-inf"),
        target=at_row,
        temporary=fresh,
        type=statistic,
    )
    read_max = Read(source=fresh, access=at_row, type=statistic)
    total = replace(
        maximum,
        reads=(*maximum.reads, read_max),
        expr=_exponential(element, wide),
        combiner="arith.addf",
        init=0.0,
        temporary=fresh + 1,
    )
    by_row = tuple(Linear(terms=((d, 1),)) for d in rows)
    of_max, of_sum = (Read(source=t, access=by_row, type=statistic) for t in (fresh, fresh + 1))
    if not _row_fits(source, dimension, shape[dimension], producers):
        return [maximum, total], Quotient(reads=(source, of_max, of_sum), numerator=total.expr, wide=wide)
    everywhere = tuple(Linear(terms=((k, 1),)) for k in range(len(loops)))
    row_type = TensorType(shape=maximum.sizes, element=wide)
    all_parallel: tuple[LoopKind, ...] = tuple("parallel" for _ in loops)
    exponentials = replace(total, kinds=all_parallel, target=everywhere, temporary=fresh + 2, type=row_type, init=-0.0)
    once = ScalarGraph((Scalar("read", wide, (), 0),), (0,))
    total = replace(total, reads=(Read(source=fresh + 2, access=everywhere, type=row_type),), expr=once)
    of_row = Read(source=fresh + 2, access=tuple(Linear(terms=((d, 1),)) for d in loops), type=row_type)
    return [maximum, exponentials, total], Quotient(reads=(of_row, of_sum), numerator=once, wide=wide)


def _row_fits(source: Read, dimension: int, size: Index, producers: Mapping[int, Nest]) -> bool:
    """Return True for a row that is contiguous, and short enough to keep its exponentials on the stack."""
    width = 8 if source.type.element == "f64" else 4
    if not isinstance(size, int) or size * width > LOCAL_BYTES:
        return False
    reads: tuple[Read, ...] = (source,)
    if not isinstance(source.source, View):
        if source.source not in producers:
            return False
        producer = producers[source.source]
        if producer.combiner:  # (its buffer takes its share)
            return 2 * size * width <= LOCAL_BYTES
        loop = producer.target[dimension].loop
        reads = tuple(r for r in producer.reads if any(n == loop for c in r.access for n, _ in c.terms))
        dimension = -1 if loop is None else loop
    return bool(reads) and all(_is_contiguous(read, dimension) for read in reads)


def _is_contiguous(read: Read, loop: int) -> bool:
    """Return True if neighbours along a loop are neighbours in memory."""
    strides = read.source.strides if isinstance(read.source, View) else ()
    moved = [stride for coordinate, stride in zip(read.access, strides, strict=False) if coordinate.loop == loop]
    return moved == [1]


def _widened(graph: GraphBuilder, value: int, element: str, wide: str) -> int:
    return value if element == wide else graph.add("arith.extf", wide, (value,))


def _exponential(element: str, wide: str) -> ScalarGraph:
    """Return the graph of exp(read 0 - read 1)."""
    graph = GraphBuilder()
    value = _widened(graph, graph.add("read", element, (), 0), element, wide)
    below = graph.add("arith.subf", wide, (value, graph.add("read", wide, (), 1)))
    return graph.graph((graph.add(EXP_OF_NEGATIVE, wide, (below,)),))


def _inline_quotients(store: Nest, quotients: dict[int, Quotient]) -> Nest:
    reads = list(store.reads)
    graph = GraphBuilder()
    replaced: dict[int, int] = {}
    for at, read in enumerate(store.reads):
        if not isinstance(read.source, int) or read.source not in quotients:
            continue
        quotient, first = quotients[read.source], len(reads)
        reads += [_moved(r, read.access) for r in quotient.reads]
        (numerator,) = graph.inline(quotient.numerator, _shifted(graph, first))
        divisor = graph.add("read", quotient.wide, (), len(reads) - 1)
        value = graph.add("arith.divf", quotient.wide, (numerator, divisor))
        element = read.type.element
        replaced[at] = value if element == quotient.wide else graph.add("arith.truncf", element, (value,))

    def leaf(node: Scalar) -> int | None:
        return replaced.get(int(str(node.attribute))) if node.op == "read" else None

    results = graph.inline(store.expr, leaf)
    used_graph = graph.graph(results)
    return _drop_unused(replace(store, reads=tuple(reads), expr=used_graph))


def _shifted(graph: GraphBuilder, by: int) -> Callable[[Scalar], int]:
    """Return a function that renumbers the reads of a graph inlined into a nest with its own reads."""
    return lambda leaf: graph.add("read", leaf.type, (), by + int(str(leaf.attribute)))


def _moved(read: Read, access: tuple[Linear, ...]) -> Read:
    """Return a read over the softmax's dimensions, at the coordinates at which the store nest reads the softmax."""
    return replace(read, access=tuple(access[int(str(c.loop))] for c in read.access))


def _drop_unused(store: Nest) -> Nest:
    """Return a nest without the reads that its expression no longer uses."""
    used = sorted({int(str(n.attribute)) for n in store.expr.nodes if n.op in ("read", "gather")})
    place = {old: new for new, old in enumerate(used)}
    nodes = tuple(
        replace(n, attribute=place[int(str(n.attribute))]) if n.op in ("read", "gather") else n
        for n in store.expr.nodes
    )
    return replace(store, reads=tuple(store.reads[at] for at in used), expr=ScalarGraph(nodes, store.expr.results))
