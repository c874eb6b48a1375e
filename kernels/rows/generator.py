"""Programs of loop nests, run row by row: element-wise work, reductions, normalizations, softmax.

Kernels `elementwise`, `pool`, `reduction`, `row_reduce`, `rms_norm`, `layer_norm` and `softmax` use this generator.
Read the files in this order:

    softmax.py     `linalg.softmax` as the reductions and the quotient that it means
    nests.py       the nests as strides over pointers, in groups that share temporaries; `hazards.py` refuses overlaps
    weaknesses.py  what these loops would compute right, but slower than IREE's own code
    schedule.py    which loop gets the vector lanes, and how rows are dealt out to workgroups
    generator.py   this file: a workgroup's share of the rows
    rows.py        all nests of one row, one after the other
    points.py      one point of a nest: loads, the expression, stores

**A row** is one point of the loops that are parallel in every nest of a group. Layer norm has three nests (mean,
variance, the normalized result) that share the rows of the tensor: all three run for one row before the next row is
begun, so that the row is read from memory once, and again from the first-level cache. What one nest hands to the next
is a scalar in a register, or where it has further dimensions a buffer on the stack (`nests.LOCAL_BYTES`, 16 KB per
row: the exponentials of a softmax). Element-wise work is the simplest case: a group of one nest, in which every loop
is a row.

**Vectors** run along the row where its elements are neighbours in memory: a reduction then has several vectors of
partial results, which are combined at the end, so that one addition need not wait for the one before. Otherwise they
run across rows (`schedule.lane_row`): each lane is a row of its own, as in a sum over the columns of a row-major
matrix. What is left of a loop is done by the next smaller vectors and then one by one (`schedule.stages`); nothing is
read beyond an operand.

**Workgroups** get equal numbers of neighbouring rows; `schedule` decides from the bytes and the arithmetic of a row
how many are worth a workgroup. Groups without a common temporary run one after the other in the same launch.
"""

from __future__ import annotations

from substitute.codegen.llvm.function import KernelFunction
from substitute.codegen.unsupported import Unsupported
from substitute.errors import PayloadError
from substitute.model.dispatch import Program
from substitute.model.index import Index, apply
from substitute.model.plan import Generated, Request

from .nests import Group, group_nests
from .rows import RowEmitter
from .schedule import Schedule, count_of_groups, plan, task_count
from .softmax import without_softmax
from .weaknesses import weakness_of


def can_generate(program: Program) -> str:
    """Return why `generate` cannot or should not make code for this program; empty if it should."""
    try:
        groups = group_nests(without_softmax(program))
    except Unsupported as why:
        return str(why)
    return weakness_of(program, groups)


def generate(request: Request) -> Generated:
    """Return LLVM IR for a program of loop nests. Raises `PayloadError` where `can_generate` gives a reason."""
    try:
        groups = group_nests(without_softmax(request.program))
    except Unsupported as why:
        raise PayloadError(
            f"no loop code for this dispatch: {why}",
            where=request.substitution.dispatch.name,
            next_step="leave it to IREE, or write a kernel of your own",
        ) from why
    kernel = KernelFunction(request)
    schedules = tuple(plan(group, kernel.hardware) for group in groups)
    count = count_of_groups(schedules)
    for group, schedule in zip(groups, schedules, strict=True):
        emit_group(kernel, group, schedule, count)
    text = kernel.finish()
    return Generated(text=text, workgroup_count=(count, 1, 1), summary=_describe(groups, schedules, kernel))


def emit_group(kernel: KernelFunction, group: Group, schedule: Schedule, workgroups: Index) -> None:
    """Emit a workgroup's share of a group's tasks, in order."""
    total = task_count(group, schedule)
    share = apply("ceildiv", total, workgroups)
    builder = kernel.builder
    if workgroups == 1:
        first, last = kernel.index(0), kernel.index(total)
    else:
        first = builder.mul(kernel.workgroup[0], kernel.index(share))
        end, all_tasks = builder.add(first, kernel.index(share)), kernel.index(total)
        last = builder.select(builder.icmp_signed("<", end, all_tasks), end, all_tasks)
    rows = RowEmitter(kernel, group, schedule)
    with kernel.loop(first, last) as task:
        rows.task(task.index)


def _describe(groups: tuple[Group, ...], schedules: tuple[Schedule, ...], kernel: KernelFunction) -> str:
    parts = []
    for group, schedule in zip(groups, schedules, strict=True):
        kind = f"{len(group.cores)} reductions, " if group.cores else ""
        lanes = "lanes across rows" if schedule.lane_row is not None else "lanes along rows"
        parts.append(f"{kind}{len(group.stores)} stores, {lanes}")
    return f"{'; '.join(parts)} ({kernel.hardware.vector_bytes}-byte vectors)"
