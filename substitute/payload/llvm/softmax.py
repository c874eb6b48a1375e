"""`linalg.softmax` as the two reductions and the quotient that it means."""

from __future__ import annotations

from dataclasses import replace

from substitute.model.dispatch import Linear, LoopKind, Named, Nest, Program, Read, Stage, TensorType
from substitute.model.scalar import GraphBuilder, Scalar, ScalarGraph

from .nests import Unsupported

EXP_OF_NEGATIVE = "substitute.exp_of_negative"
"""e^x for x <= 0: an operation of ours, cheaper than `math.exp`."""


def without_softmax(program: Program) -> Program:
    """The program with every softmax spelled out: maximum, sum of exponentials, quotient where it is read."""
    cores: list[Stage] = []
    quotients: dict[int, tuple[Read, Read, Read]] = {}
    fresh = 1 + max((t for c in program.cores for t in _temporaries(c)), default=0)
    for core in program.cores:
        if isinstance(core, Nest):
            if any(r.source in quotients for r in core.reads if isinstance(r.source, int)):
                raise Unsupported("a reduction reads a softmax")
            cores.append(core)
            continue
        if core.op != "linalg.softmax":
            raise Unsupported(f"{core.op} is no loop nest")
        if not core.types[0].element.startswith("f") and core.types[0].element != "bf16":
            raise Unsupported(f"softmax of {core.types[0].element}")
        maximum, total, reads = _statistics(core, fresh)
        cores += [maximum, total]
        quotients[core.temporaries[0]] = reads
        fresh += 2
    if not quotients:
        return program
    stores = tuple(_inline_quotients(store, quotients) for store in program.stores)
    return replace(program, cores=tuple(cores), stores=stores)


def _temporaries(core: Stage) -> tuple[int, ...]:
    return (core.temporary,) if isinstance(core, Nest) else core.temporaries


def _statistics(core: Named, fresh: int) -> tuple[Nest, Nest, tuple[Read, Read, Read]]:
    """Two nests over the input, and reads (over the softmax's dimensions) of the input, the maximum and the sum."""
    source, shape = core.reads[0], core.types[0].shape
    dimension = int(dict(core.attributes)["dimension"].split(":")[0])
    # unit dimensions are no loops in the nests that read the softmax, so they are none here
    loops = [d for d in range(len(shape)) if shape[d] != 1 or d == dimension]
    rows = [d for d in loops if d != dimension]
    element = source.type.element
    statistic = TensorType(shape=tuple(shape[d] for d in rows), element="f64" if element == "f64" else "f32")
    kinds: tuple[LoopKind, ...] = tuple("reduction" if d == dimension else "parallel" for d in loops)
    at_row = tuple(Linear(terms=((loops.index(d), 1),)) for d in rows)
    inside = replace(source, access=tuple(_renumbered(c, loops) for c in source.access))
    graph = GraphBuilder()
    value = _widened(graph, graph.add("read", element, (), 0), element, statistic.element)
    maximum = Nest(
        sizes=tuple(shape[d] for d in loops), kinds=kinds, reads=(inside,), expr=graph.graph((value,)),
        combiner="arith.maximumf", init=float("-inf"), target=at_row, temporary=fresh, type=statistic,
    )  # fmt: skip
    read_max = Read(source=fresh, access=at_row, type=statistic)
    total = replace(
        maximum, reads=(inside, read_max), expr=_exponential(element, statistic.element), combiner="arith.addf",
        init=0.0, temporary=fresh + 1,
    )  # fmt: skip
    by_dimension = tuple(Linear(terms=((d, 1),)) for d in rows)
    outside = (
        source, replace(read_max, access=by_dimension), replace(read_max, source=fresh + 1, access=by_dimension)
    )  # fmt: skip
    return maximum, total, outside


def _renumbered(coordinate: Linear, loops: list[int]) -> Linear:
    if coordinate.loop is None:
        raise Unsupported("a softmax reads its input through a window")
    known = coordinate.loop in loops
    return Linear(terms=((loops.index(coordinate.loop), 1),)) if known else Linear(terms=())


def _widened(graph: GraphBuilder, value: int, element: str, wide: str) -> int:
    return value if element == wide else graph.add("arith.extf", wide, (value,))


def _exponential(element: str, wide: str) -> ScalarGraph:
    """exp(read 0 - read 1)."""
    graph = GraphBuilder()
    value = _widened(graph, graph.add("read", element, (), 0), element, wide)
    below = graph.add("arith.subf", wide, (value, graph.add("read", wide, (), 1)))
    return graph.graph((graph.add(EXP_OF_NEGATIVE, wide, (below,)),))


def _inline_quotients(store: Nest, quotients: dict[int, tuple[Read, Read, Read]]) -> Nest:
    reads = list(store.reads)
    graph = GraphBuilder()
    replaced: dict[int, int] = {}
    for at, read in enumerate(store.reads):
        if not isinstance(read.source, int) or read.source not in quotients:
            continue
        of_input, of_max, of_sum = quotients[read.source]
        first = len(reads)
        reads += [_moved(r, read.access) for r in (of_input, of_max, of_sum)]
        element, wide = of_input.type.element, of_max.type.element
        numerator = graph.inline(
            _exponential(element, wide),
            lambda leaf, first=first: graph.add("read", leaf.type, (), first + int(str(leaf.attribute))),  # type: ignore[misc]
        )[0]
        value = graph.add("arith.divf", wide, (numerator, graph.add("read", wide, (), first + 2)))
        replaced[at] = value if read.type.element == wide else graph.add("arith.truncf", read.type.element, (value,))

    def leaf(node: Scalar) -> int | None:
        return replaced.get(int(str(node.attribute))) if node.op == "read" else None

    results = graph.inline(store.expr, leaf)
    used_graph = graph.graph(results)
    return _drop_unused(replace(store, reads=tuple(reads), expr=used_graph))


def _moved(read: Read, access: tuple[Linear, ...]) -> Read:
    """A read over the softmax's dimensions, at the coordinates at which the store nest reads the softmax."""
    return replace(read, access=tuple(access[int(str(c.loop))] for c in read.access))


def _drop_unused(store: Nest) -> Nest:
    """A nest without the reads that its expression no longer uses."""
    used = sorted({int(str(n.attribute)) for n in store.expr.nodes if n.op in ("read", "gather")})
    place = {old: new for new, old in enumerate(used)}
    nodes = tuple(
        replace(n, attribute=place[int(str(n.attribute))]) if n.op in ("read", "gather") else n
        for n in store.expr.nodes
    )
    return replace(store, reads=tuple(store.reads[at] for at in used), expr=ScalarGraph(nodes, store.expr.results))
