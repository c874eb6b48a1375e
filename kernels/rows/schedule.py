"""Schedule of a group of nests: the loop with the vector lanes, and the distribution of rows to workgroups."""

from __future__ import annotations

from dataclasses import dataclass

from substitute.codegen.llvm.elements import size_of
from substitute.codegen.llvm.function import Hardware
from substitute.model.index import Index, apply, mul, product
from substitute.model.ops import is_heavy

from .nests import LOCAL_BYTES, Access, FlatNest, Group, local_bytes

WORK_PER_GROUP = 200_000
"""Light element operations in one workgroup: roughly 50 µs."""
MOST_GROUPS = 256
ENOUGH_TASKS = 128
"""Number of tasks that is enough; rows are not divided further."""
BLOCK = 4096
"""Elements of the lane axis in one task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Schedule of one group."""

    lane_row: int | None
    """Row axis that has the lanes; None: every nest has lanes on its own loop."""
    tasks: tuple[int, ...]
    """Row axes that are distributed, by position in `rows`; the others are loops inside a task."""
    inner: tuple[int, ...]
    """Row axes that a task loops over, outermost first; without the lane axis."""
    block: Index
    """Part of the lane axis in one task; its whole size if it is not cut."""
    work: Index
    """Weighted element operations of the whole group."""


def plan(group: Group, hardware: Hardware) -> Schedule:
    """Choose the lane axis and the tasks of a group."""
    lane = _lane_row(group, hardware)
    others = tuple(at for at in range(len(group.rows)) if at != lane)
    across = _crossing(group, lane)
    if lane is not None and across is not None:
        return _tiled(group, lane, across)
    tasks: tuple[int, ...] = ()
    total: Index = 1
    for at in others:
        if isinstance(total, int) and total >= ENOUGH_TASKS:
            break
        tasks, total = (*tasks, at), mul(total, group.sizes[at])
    size: Index = group.sizes[lane] if lane is not None else 1
    block = size
    per_lane = _per_row(group)
    if lane is not None and not (isinstance(total, int) and total >= ENOUGH_TASKS):
        wanted = max(64, BLOCK // max(1, per_lane if isinstance(per_lane, int) else 64))
        wanted = 1 << (wanted.bit_length() - 1)
        block = wanted if not isinstance(size, int) or size > wanted else size
    return Schedule(
        lane_row=lane,
        tasks=tasks,
        inner=tuple(at for at in others if at not in tasks),
        block=block,
        work=mul(product(group.sizes), per_lane),
    )


def _tiled(group: Group, lane: int, across: int) -> Schedule:
    """Return the schedule of a transposition: a task has one cache line of the lane axis, and runs along the other
    side.
    """
    others = tuple(at for at in range(len(group.rows)) if at not in (lane, across))
    tile = max(1, 64 // max(size_of(a.element) for n in group.stores for a in n.writes))
    size = group.sizes[lane]
    return Schedule(
        lane_row=lane,
        tasks=others,
        inner=(across,),
        block=tile if not isinstance(size, int) or size > tile else size,
        work=mul(mul(product(group.sizes), _per_row(group)), 4),
    )


def _crossing(group: Group, lane: int | None) -> int | None:
    """Return a row axis of contiguous accesses that are not contiguous along the lanes: a transposition's other
    side.
    """
    if lane is None or group.cores:
        return None
    store = group.stores[0]
    lanes = store.loop_of(group.rows[lane])
    for at, axis in enumerate(group.rows):
        loop = store.loop_of(axis)
        if loop is None or lanes is None or at == lane:
            continue
        crossing = any(
            not a.gathered and a.strides[loop] == 1 and a.strides[lanes] not in (0, 1)
            for a in (*store.reads, *store.writes)
        )
        big = [not isinstance(group.sizes[x], int) or int(str(group.sizes[x])) >= 32 for x in (at, lane)]
        if crossing and all(big):
            return at
    return None


def count_of_groups(schedules: tuple[Schedule, ...]) -> Index:
    """Return the number of workgroups that share the work."""
    total: Index = 0
    for schedule in schedules:
        total = apply("add", total, schedule.work)
    return apply("max", 1, apply("min", MOST_GROUPS, apply("ceildiv", total, WORK_PER_GROUP)))


def task_count(group: Group, schedule: Schedule) -> Index:
    """Return the number of a group's tasks: distributed rows, times blocks of the lane axis."""
    total = product(tuple(group.sizes[at] for at in schedule.tasks))
    if schedule.lane_row is not None:
        total = mul(total, apply("ceildiv", group.sizes[schedule.lane_row], schedule.block))
    return total


def cost(nest: FlatNest) -> int:
    """Return the weight of one element of a nest, in light operations."""
    heavy = sum(is_heavy(n.op) for n in nest.expr.nodes)
    return 1 + len(nest.reads) + len(nest.expr.nodes) // 8 + 6 * heavy + 2 * sum(r.gathered for r in nest.reads)


def stages(size: Index, widest: int, *, light: bool, unroll: int) -> tuple[int, ...]:
    """Return the lane counts to run a loop with, widest first; 1 is last where a remainder is possible."""
    first = widest * unroll
    if not isinstance(size, int):
        return tuple(dict.fromkeys((first, widest, 1)))
    result, left = [], size
    candidates = [first, widest]
    narrow = widest // 2
    while narrow > 1 and light:
        candidates.append(narrow)
        narrow //= 2
    for lanes in dict.fromkeys((*candidates, 1)):
        if left >= lanes:
            result.append(lanes)
            left %= lanes
    return tuple(result)


def is_light(nest: FlatNest) -> bool:
    """Return whether the body is small enough to be emitted for several lane counts."""
    return len(nest.expr.nodes) <= 12 and cost(nest) < 8


def vector_lanes(nests: tuple[FlatNest, ...], hardware: Hardware) -> int:
    """Return the number of lanes for the widest element that these nests access in memory."""
    elements = [a.element for n in nests for a in (*n.reads, *n.writes)] + [n.element for n in nests if n.element]
    return max(2, hardware.lanes(8 * max((size_of(e) for e in elements), default=4)))


def _per_row(group: Group) -> Index:
    total: Index = 0
    for nest in group.nests:
        inner = product(tuple(s for s, a in zip(nest.sizes, nest.axes, strict=True) if a not in group.rows))
        total = apply("add", total, mul(inner, cost(nest)))
    return total


def best_lane(nest: FlatNest, candidates: tuple[int, ...]) -> int | None:
    """Return the loop along which most accesses are contiguous; the last one of equals."""
    scored = [(score(nest, loop), loop) for loop in candidates]
    return max(scored)[1] if scored else None


def score(nest: FlatNest, loop: int) -> int:
    """Return a score for lanes along this loop: higher where the nest's accesses are contiguous."""
    points = 0
    for access in (*nest.writes, *nest.reads):
        if access.gathered:
            continue
        weight = 3 if access in nest.writes else 2
        points += weight * _fit(access, loop)
    size = nest.sizes[loop]
    return points - 12 if isinstance(size, int) and size < 4 else points


def _fit(access: Access, loop: int) -> int:
    stride = access.strides[loop]
    return 2 if stride == 1 else 1 if stride == 0 else 0


def _lane_row(group: Group, hardware: Hardware) -> int | None:
    """Return the row axis for the lanes: for element-wise groups, or where the reduction's loops are not contiguous."""
    if not group.rows:
        return None
    if not group.cores:
        store = group.stores[0]
        loops = tuple(k for k in (store.loop_of(a) for a in group.rows) if k is not None)
        lane = best_lane(store, loops)
        return None if lane is None else group.rows.index(store.axes[lane])
    core = max(group.cores, key=lambda c: sum(r.view is not None for r in c.reads))
    along_row = _contiguous(core, [k for k, a in enumerate(core.axes) if a in group.rows], 2)
    along_reduction = _contiguous(
        core, [k for k, r in enumerate(core.reduced) if r], vector_lanes(group.cores, hardware)
    )
    if along_reduction is not None or along_row is None:
        return None
    if local_bytes(group) * 8 * vector_lanes(group.nests, hardware) > LOCAL_BYTES:  # 8: the most vectors side by side
        return None
    return group.rows.index(core.axes[along_row])


def _contiguous(nest: FlatNest, loops: list[int], least: int) -> int | None:
    """Return a loop of at least this size along which a read of memory is contiguous."""
    found = [
        k
        for k in loops
        if any(r.view is not None and not r.gathered and r.strides[k] == 1 for r in nest.reads)
        and not (isinstance(size := nest.sizes[k], int) and size < least)
    ]
    return max(found, key=lambda k: score(nest, k)) if found else None
