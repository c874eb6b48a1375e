"""Loop nests as strides over pointers, grouped by the temporaries that connect them, with loops numbered as axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from substitute.codegen.llvm.elements import REGISTER_TYPES, size_of
from substitute.codegen.llvm.lower import supported
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Linear, Nest, Program, Read, View
from substitute.model.index import Index, add, mul
from substitute.model.ops import COMBINERS
from substitute.model.scalar import ScalarGraph

from .hazards import Placed, check_memory

LOCAL_BYTES = 16 << 10
"""Limit of one row's temporaries on the stack (a worker's is 128 KB, and IREE asks for 32 KB at most)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Elements of a window of memory (`view`), or of a temporary, as strides over the nest's loops."""

    view: View | None
    temporary: int
    """-1 for memory."""
    base: Index
    strides: tuple[Index, ...]
    """One per loop, in elements; for a temporary as if it were row-major over its local dimensions."""
    element: str
    gathered: bool = False
    """True if the coordinates are operands of a `gather`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatNest:
    """A nest whose accesses are linear in its loops."""

    sizes: tuple[Index, ...]
    axes: tuple[int, ...]
    """The group-wide axis of each loop."""
    reduced: tuple[bool, ...]
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    expr: ScalarGraph
    combiner: str = ""
    init: float | int | None = None
    temporary: int = -1
    element: str = ""
    """Element type of the temporary."""
    local: tuple[int, ...] = ()
    """Loops that index the temporary and are no row axes: the temporary has a local buffer with these dimensions."""

    def loop_of(self, axis: int) -> int | None:
        """Return the loop on this axis."""
        return self.axes.index(axis) if axis in self.axes else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Nests that share temporaries, run row by row."""

    cores: tuple[FlatNest, ...]
    stores: tuple[FlatNest, ...]
    rows: tuple[int, ...]
    """Axes that are parallel in every nest, outermost first."""
    sizes: tuple[Index, ...]
    """Size of each row axis."""

    @property
    def nests(self) -> tuple[FlatNest, ...]:
        """Return all nests, in the order in which a row runs them."""
        return (*self.cores, *self.stores)


def group_nests(program: Program) -> tuple[Group, ...]:
    """Return the program as independent groups. Raises `Unsupported`."""
    nests = [*program.cores, *program.stores]
    for nest in nests:
        if not isinstance(nest, Nest):
            raise Unsupported(f"{nest.op} is no loop nest")
        _check(nest)
    loops = [n for n in nests if isinstance(n, Nest)]
    producers = {n.temporary: at for at, n in enumerate(loops) if n.combiner}
    axis_of, component = _unify(loops, producers)
    groups, rows_of = [], {}
    for name in dict.fromkeys(component):
        members = [(loops[at], axis_of[at]) for at, c in enumerate(component) if c == name]
        if all(n.combiner for n, _ in members):
            raise Unsupported("a reduction's result is not stored")
        rows_of[name] = _shared_rows(members)
        groups.append(_group(members, rows_of[name]))
    placed = [
        Placed(nest=n, axes=a, group=c, rows=frozenset(rows_of[c]))
        for n, a, c in zip(loops, axis_of, component, strict=True)
    ]
    check_memory(program, placed)
    return tuple(groups)


def _check(nest: Nest) -> None:
    problem = supported(nest.expr)
    if problem:
        raise Unsupported(f"{problem} has no LLVM code")
    if nest.combiner and nest.combiner not in COMBINERS:
        raise Unsupported(f"reductions with {nest.combiner} are not handled")
    if nest.combiner and nest.init is None:
        raise Unsupported("a reduction starts from a tensor")
    if not nest.combiner and "reduction" in nest.kinds:
        raise Unsupported("an element-wise nest has reduction loops")
    for element in (*(r.type.element for r in nest.reads), *(w.view.type.element for w in nest.writes)):
        if element not in REGISTER_TYPES:
            raise Unsupported(f"element type {element}")
    gathered = nest.gathered
    for at, read in enumerate(nest.reads):
        if at in gathered and not isinstance(read.source, View):
            raise Unsupported("a gather from an intermediate result")
        if isinstance(read.source, int) and any(a.terms and a.loop is None for a in read.access):
            raise Unsupported("an intermediate result is read through a window")


def _unify(nests: Sequence[Nest], producers: dict[int, int]) -> tuple[list[tuple[int, ...]], list[int]]:
    """Return the axis of every loop of every nest, equal where a temporary connects loops, and each nest's
    component.
    """
    start = [sum(len(n.sizes) for n in nests[:at]) for at in range(len(nests))]
    axis = list(range(sum(len(n.sizes) for n in nests)))
    component = list(range(len(nests)))

    def root(table: list[int], at: int) -> int:
        while table[at] != at:
            at = table[at]
        return at

    for at, nest in enumerate(nests):
        for read in nest.reads:
            if not isinstance(read.source, int):
                continue
            if read.source not in producers or producers[read.source] >= at:
                raise Unsupported("an intermediate result is read before it is computed")
            maker = producers[read.source]
            a, b = root(component, at), root(component, maker)
            component[max(a, b)] = min(a, b)
            for here, there in zip(read.access, nests[maker].target, strict=True):
                _tie(axis, root, here, there, start[at], start[maker])
    axes = [tuple(root(axis, start[at] + k) for k in range(len(n.sizes))) for at, n in enumerate(nests)]
    if any(len(set(a)) != len(a) for a in axes):
        raise Unsupported("two loops of a nest stand for one dimension of an intermediate result")
    return axes, [root(component, at) for at in range(len(nests))]


def _tie(axis: list[int], root: object, here: Linear, there: Linear, at: int, maker: int) -> None:
    assert callable(root)
    if not there.terms and not here.terms and here.constant == there.constant:
        return
    if here.loop is None or there.loop is None:
        raise Unsupported("an intermediate result is read through a window")
    a, b = root(axis, at + here.loop), root(axis, maker + there.loop)
    axis[max(a, b)] = min(a, b)


def _shared_rows(members: Sequence[tuple[Nest, tuple[int, ...]]]) -> tuple[int, ...]:
    """Return the axes that are parallel in every nest of a group, in the order of its first store."""
    parallel = [{a for a, kind in zip(axes, nest.kinds, strict=True) if kind == "parallel"} for nest, axes in members]
    shared = set.intersection(*parallel)
    return tuple(a for a in next(axes for nest, axes in members if not nest.combiner) if a in shared)


def _group(members: Sequence[tuple[Nest, tuple[int, ...]]], rows: tuple[int, ...]) -> Group:
    last, last_axes = next((n, a) for n, a in members if not n.combiner)
    sizes = tuple(last.sizes[last_axes.index(a)] for a in rows)
    owners = {n.temporary: (n, axes) for n, axes in members if n.combiner}
    flat = [_flatten(nest, axes, set(rows), owners) for nest, axes in members]
    group = Group(
        cores=tuple(f for f in flat if f.combiner),
        stores=tuple(f for f in flat if not f.combiner),
        rows=rows,
        sizes=sizes,
    )
    local_bytes(group)
    return merge_loops(group)


def local_bytes(group: Group) -> int:
    """Return the bytes that the temporaries with local dimensions take for one row. Raises `Unsupported` if too
    many.
    """
    total = 0
    for core in group.cores:
        count = 1
        for loop in core.local:
            size = core.sizes[loop]
            if not isinstance(size, int):
                raise Unsupported("an intermediate result of dynamic size would be needed per row")
            count *= size
        total += count * size_of(core.element) if core.local else 0
    if total > LOCAL_BYTES:
        raise Unsupported(f"intermediate results of {total} bytes would be needed per row")
    return total


def _flatten(
    nest: Nest, axes: tuple[int, ...], rows: set[int], owners: dict[int, tuple[Nest, tuple[int, ...]]]
) -> FlatNest:
    gathered = nest.gathered
    local = tuple(t.loop for t in nest.target if t.loop is not None and axes[t.loop] not in rows)
    used = [t.loop for t in nest.target if t.loop is not None]
    parallel = [k for k, kind in enumerate(nest.kinds) if kind == "parallel"]
    if nest.combiner and sorted(used) != parallel:
        raise Unsupported("a reduction's result does not have its parallel loops as dimensions")
    return FlatNest(
        sizes=nest.sizes,
        axes=axes,
        reduced=tuple(kind == "reduction" for kind in nest.kinds),
        reads=tuple(
            _read(read, len(nest.sizes), axes, rows, owners, gathered=at in gathered)
            for at, read in enumerate(nest.reads)
        ),
        writes=tuple(_memory(w.view, w.access, len(nest.sizes), w.view.type.element) for w in nest.writes),
        expr=nest.expr,
        combiner=nest.combiner,
        init=nest.init,
        temporary=nest.temporary,
        element=nest.type.element if nest.type else "",
        local=local,
    )


def _read(
    read: Read,
    loops: int,
    axes: tuple[int, ...],
    rows: set[int],
    owners: dict[int, tuple[Nest, tuple[int, ...]]],
    *,
    gathered: bool,
) -> Access:
    if isinstance(read.source, View):
        if gathered:
            return Access(view=read.source, temporary=-1, base=0, strides=(), element=read.type.element, gathered=True)
        return _memory(read.source, read.access, loops, read.type.element)
    maker, maker_axes = owners[read.source]
    strides: list[Index] = [0] * loops
    step: Index = 1
    for here, there in reversed(list(zip(read.access, maker.target, strict=True))):
        if there.loop is not None and here.loop is not None and maker_axes[there.loop] not in rows:
            strides[here.loop] = step
            step = mul(step, maker.sizes[there.loop])
    return Access(view=None, temporary=read.source, base=0, strides=tuple(strides), element=read.type.element)


def _memory(view: View, access: tuple[Linear, ...], loops: int, element: str) -> Access:
    base: Index = 0
    strides: list[Index] = [0] * loops
    for linear, stride in zip(access, view.strides, strict=True):
        base = add(base, mul(linear.constant, stride))
        for loop, coefficient in linear.terms:
            strides[loop] = add(strides[loop], mul(coefficient, stride))
    return Access(view=view, temporary=-1, base=base, strides=tuple(strides), element=element)


def merge_loops(group: Group) -> Group:
    """Merge two loops wherever every access moves along both as along one."""
    if group.cores or len(group.stores) != 1:
        kept = set(group.rows)
        cores = tuple(_merge(c, kept, lambda c, k: c.reduced[k] and k not in c.local) for c in group.cores)
        stores = tuple(_merge(s, kept, lambda s, k: True) for s in group.stores)
        return replace(group, cores=cores, stores=stores)
    store = _merge(group.stores[0], set(), lambda s, k: True)
    return replace(group, stores=(store,), rows=store.axes, sizes=store.sizes)


def _merge(nest: FlatNest, kept: set[int], allowed: object) -> FlatNest:
    assert callable(allowed)
    fixed = {n.attribute for n in nest.expr.nodes if n.op == "index"}
    free = [k for k in range(len(nest.sizes)) if nest.axes[k] not in kept and k not in fixed and allowed(nest, k)]
    accesses = [a for a in (*nest.writes, *nest.reads) if not a.gathered]
    for outer in free:
        for inner in free:
            if (
                inner != outer
                and accesses
                and all(a.strides[outer] == mul(a.strides[inner], nest.sizes[inner]) for a in accesses)
            ):
                return _merge(_without(nest, outer, inner), kept, allowed)
    return nest


def _without(nest: FlatNest, outer: int, inner: int) -> FlatNest:
    sizes = list(nest.sizes)
    sizes[inner] = mul(sizes[outer], sizes[inner])
    left = [k for k in range(len(sizes)) if k != outer]
    place = {old: new for new, old in enumerate(left)}

    def moved(access: Access) -> Access:
        return access if access.gathered else replace(access, strides=tuple(access.strides[k] for k in left))

    nodes = tuple(
        replace(n, attribute=place[n.attribute]) if n.op == "index" and isinstance(n.attribute, int) else n
        for n in nest.expr.nodes
    )
    return replace(
        nest,
        sizes=tuple(sizes[k] for k in left),
        axes=tuple(nest.axes[k] for k in left),
        reduced=tuple(nest.reduced[k] for k in left),
        reads=tuple(moved(a) for a in nest.reads),
        writes=tuple(moved(a) for a in nest.writes),
        expr=ScalarGraph(nodes, nest.expr.results),
        local=tuple(place[k] for k in nest.local),
    )
