"""Simple code for a definition: its loops one inside of the other, each reduction where its loops are known.

The walk is the same for every language; a `Writer` says how loops, loads and scalar operations are spelled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..match.spelled_out import spell_out
from ..model.constraints import render_size
from ..model.dispatch import Linear, Named, Nest, Program, View
from ..model.index import Index, product
from ..model.kernel import Kernel
from ..model.scalar import Scalar, ScalarGraph
from ..payload.calls import list_arguments
from .draft import NotExpressible

Value = Any
"""A writer's representation of a value: text, or an LLVM value."""


class Writer(Protocol):
    """Spells a kernel in one language. Coordinates and sizes are values of the language's index type."""

    kernel: Kernel

    def size(self, value: Index) -> Value: ...
    def loop(self, size: Index, name: str) -> AbstractContextManager[Value]: ...
    def when_below(self, index: Value, size: Index) -> AbstractContextManager[None]: ...
    def add(self, a: Value, b: Value) -> Value: ...
    def multiply(self, a: Value, b: Value) -> Value: ...
    def split(self, flat: Value, sizes: Sequence[Index], names: Sequence[str]) -> list[Value]:
        """Return the coordinates of element `flat` of a grid of these sizes."""
        ...

    def load(self, operand: int, coordinates: Sequence[Value]) -> Value: ...
    def store(self, operand: int, coordinates: Sequence[Value], value: Value) -> None: ...
    def variable(self, type_: str, init: float | int, name: str) -> Value: ...
    def read_variable(self, variable: Value) -> Value: ...
    def set_variable(self, variable: Value, value: Value) -> None: ...
    def keep(self, value: Value, type_: str, name: str) -> Value:
        """Give a value a name, where the language writes expressions."""
        ...

    def index_value(self, index: Value) -> Value:
        """Return a coordinate as a scalar of type `index`."""
        ...

    def coordinate(self, value: Value) -> Value:
        """Return a scalar of type `index` as a coordinate."""
        ...

    def scalars(self, graph: ScalarGraph, leaves: Mapping[int, Value]) -> list[Value]:
        """Return the results of a graph, whose leaves have these values (constants and parameters need none)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Which loops of a nest are spread over workgroups (and their invocations)."""

    nest: Nest
    order: tuple[int, ...]
    """All loops, outermost first."""
    spread: int
    """Number of loops that are spread, outermost first."""

    @property
    def sizes(self) -> tuple[Index, ...]:
        return tuple(self.nest.sizes[loop] for loop in self.order[: self.spread])

    @property
    def count(self) -> Index:
        """Number of points of the loops that are spread."""
        return product(self.sizes)


def check_simple(program: Program) -> Program:
    """Return a definition's program as loops alone. Raises `NotExpressible`."""
    program = spell_out(program) or program
    for core in program.cores:
        if isinstance(core, Named):
            raise NotExpressible(f"{core.op}, for which there is no simple code")
        if core.init is None and core.combiner:
            raise NotExpressible("a reduction that starts from a value in memory")
        if any(coordinate.loop is None for coordinate in core.target):
            raise NotExpressible("a reduction into a slice")
    return program


def plan_grids(program: Program, *, outermost_alone: bool) -> list[Grid]:
    """Return how the nests that store are spread.

    Loops that reductions depend on come first, so that each reduction is computed once where that is possible. On a CPU
    a workgroup takes the `outermost` loop `alone`; elsewhere an invocation takes a point of all loops before the first
    that no reduction depends on.
    """
    grids = []
    for nest in program.stores:
        needed = {
            loop
            for read in nest.reads
            if isinstance(read.source, int)
            for coordinate in read.access
            for loop, _ in coordinate.terms
        }
        order = tuple(sorted(range(len(nest.sizes)), key=lambda loop: (loop not in needed, loop)))
        has_cores = any(isinstance(read.source, int) for read in nest.reads)
        spread = len(needed) if has_cores else len(order)
        grids.append(Grid(nest=nest, order=order, spread=min(spread, 1) if outermost_alone else spread))
    return grids


def render_count(grids: Sequence[Grid]) -> str:
    """Return the largest number of points of all nests, in the language of `workgroup_count`."""
    counts = list(dict.fromkeys(" * ".join(render_factor(size) for size in grid.sizes) or "1" for grid in grids))
    return counts[0] if len(counts) == 1 else f"max({', '.join(counts)})"


def render_factor(size: Index) -> str:
    """Return a size as text that can stand in a product."""
    text = render_size(size)
    return text if text.replace("_", "").isalnum() else f"({text})"


@dataclass(slots=True)
class _Walk:
    program: Program
    writer: Writer
    counter: int = 0
    taken: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.taken = list_names(self.writer.kernel)

    def name(self, stem: str) -> str:
        self.counter += 1
        return free_name(f"{stem}{self.counter}", self.taken)


def list_names(kernel: Kernel) -> frozenset[str]:
    """Return the names of the arguments with which a kernel's code is called."""
    return frozenset(argument.name for argument in list_arguments(kernel, workgroup=True))


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name for a variable, with `_` behind it for as long as an argument has it."""
    while name in taken:
        name += "_"
    return name


def write_nests(program: Program, grids: Sequence[Grid], writer: Writer, point: Value, *, exact: bool = False) -> None:
    """Write all nests for one point of their grids. Raises `NotExpressible`.

    `exact`: there are as many points as the largest grid has, so that a single one needs no test.
    """
    walk = _Walk(program, writer)
    for grid in grids:
        with ExitStack() as stack:
            if len(grids) > 1 or not exact:
                stack.enter_context(writer.when_below(point, grid.count))
            names = [walk.name("i") for _ in range(grid.spread)]
            env = dict(zip(grid.order, writer.split(point, grid.sizes, names), strict=False))
            _store(walk, grid, grid.spread, env, {})


def _store(walk: _Walk, grid: Grid, level: int, env: dict[int, Value], known: dict[object, Value]) -> None:
    nest, writer = grid.nest, walk.writer
    known = {**known, **_reductions(walk, nest, env, known)}
    if level < len(grid.order):
        loop = grid.order[level]
        with writer.loop(nest.sizes[loop], walk.name("i")) as index:
            _store(walk, grid, level + 1, {**env, loop: index}, known)
        return
    values = _scalars(walk, nest, env, known)
    for write, value in zip(nest.writes, values, strict=True):
        writer.store(write.view.operand, [_coordinate(walk, c, env) for c in write.access], value)


def _reductions(
    walk: _Walk, nest: Nest, env: Mapping[int, Value], known: Mapping[object, Value]
) -> dict[object, Value]:
    """Compute the reductions that a nest reads, as far as their loops are open and they are not known yet."""
    found: dict[object, Value] = {}
    wanted = [(read.source, read.access) for read in nest.reads if isinstance(read.source, int)]
    for source, access in sorted(wanted, key=lambda pair: pair[0]):
        if any(loop not in env for coordinate in access for loop, _ in coordinate.terms):
            continue
        place = tuple(_coordinate(walk, coordinate, env) for coordinate in access)
        key = (source, tuple(place))
        if key not in known and key not in found:
            found[key] = _reduction(walk, source, place, {**known, **found})
        found[nest_key(nest, source, access)] = found[key] if key in found else known[key]
    return found


def nest_key(nest: Nest, source: int, access: tuple[Linear, ...]) -> object:
    """Return the key of a reduction as a nest reads it."""
    return id(nest), source, access


def _reduction(walk: _Walk, source: int, place: Sequence[Value], known: dict[object, Value]) -> Value:
    """Write one reduction, and return its value."""
    writer = walk.writer
    core = next(c for c in walk.program.cores if isinstance(c, Nest) and c.temporary == source)
    env: dict[int, Value] = {}
    for coordinate, value in zip(core.target, place, strict=True):
        assert coordinate.loop is not None
        env[coordinate.loop] = value
    inner = [loop for loop in range(len(core.sizes)) if loop not in env]
    known = {**known, **_reductions(walk, core, env, known)}
    assert core.type is not None
    if not core.combiner:
        (value,) = _scalars(walk, core, env, known)
        return writer.keep(value, core.type.element, walk.name("t"))
    assert core.init is not None
    total = writer.variable(core.type.element, core.init, walk.name("sum"))
    _accumulate(walk, core, inner, env, known, total)
    return writer.read_variable(total)


def _accumulate(
    walk: _Walk, core: Nest, inner: list[int], env: dict[int, Value], known: dict[object, Value], total: Value
) -> None:
    writer = walk.writer
    known = {**known, **_reductions(walk, core, env, known)}
    if inner:
        with writer.loop(core.sizes[inner[0]], walk.name("k")) as index:
            _accumulate(walk, core, inner[1:], {**env, inner[0]: index}, known, total)
        return
    (value,) = _scalars(walk, core, env, known)
    assert core.type is not None
    type_ = core.type.element
    nodes = (Scalar("read", type_, (), 0), Scalar("read", type_, (), 1), Scalar(core.combiner, type_, (0, 1)))
    (next_total,) = writer.scalars(ScalarGraph(nodes, (2,)), {0: writer.read_variable(total), 1: value})
    writer.set_variable(total, next_total)


def _scalars(walk: _Walk, nest: Nest, env: Mapping[int, Value], known: Mapping[object, Value]) -> list[Value]:
    """Write the scalar work of a nest at one point."""
    writer, graph = walk.writer, nest.expr
    leaves: dict[int, Value] = {}
    for number, node in enumerate(graph.nodes):
        if node.op == "read":
            read = nest.reads[int(str(node.attribute))]
            if isinstance(read.source, int):
                leaves[number] = known[nest_key(nest, read.source, read.access)]
            else:
                place = [_coordinate(walk, coordinate, env) for coordinate in read.access]
                leaves[number] = writer.load(_operand(read.source), place)
        elif node.op == "index":
            leaves[number] = writer.index_value(env[int(str(node.attribute))])
        elif node.op == "gather":
            coordinates = _subgraph(graph, node.operands)
            source = nest.reads[int(str(node.attribute))].source
            if isinstance(source, int):
                raise NotExpressible("a gather from an intermediate result")
            values = writer.scalars(coordinates, leaves)
            leaves[number] = writer.load(_operand(source), [writer.coordinate(value) for value in values])
    return writer.scalars(graph, leaves)


def _operand(view: View) -> int:
    """Return the operand of a definition's window, which is all of it."""
    if view.offset != 0:
        raise NotExpressible("a slice of an operand: make it an operand of its own")
    return view.operand


def _subgraph(graph: ScalarGraph, results: tuple[int, ...]) -> ScalarGraph:
    return ScalarGraph(graph.nodes, results)


def _coordinate(walk: _Walk, coordinate: Linear, env: Mapping[int, Value]) -> Value:
    """Return `constant + Σ coefficient · loop`."""
    writer = walk.writer
    total: Value | None = writer.size(coordinate.constant) if coordinate.constant != 0 else None
    for loop, coefficient in coordinate.terms:
        term = env[loop] if coefficient == 1 else writer.multiply(env[loop], writer.size(coefficient))
        total = term if total is None else writer.add(total, term)
    return writer.size(0) if total is None else total
