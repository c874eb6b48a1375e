"""Kernels for programs of loop nests: element-wise work, reductions, row statistics, softmax."""

from __future__ import annotations

from substitute.errors import PayloadError
from substitute.model.dispatch import Program
from substitute.model.index import Index, apply
from substitute.model.plan import Generated, Request

from ..unsupported import Unsupported
from .function import KernelFunction
from .nests import Group, group_nests
from .rows import RowEmitter
from .schedule import Schedule, count_of_groups, plan, task_count
from .softmax import without_softmax
from .weaknesses import weakness_of


def can_generate(program: Program) -> str:
    """Empty, or why `generate` cannot make code for this program, or should not."""
    try:
        groups = group_nests(without_softmax(program))
    except Unsupported as why:
        return str(why)
    return weakness_of(program, groups)


def generate(request: Request) -> Generated:
    """LLVM IR for a program of loop nests. Raises `PayloadError` where `can_generate` gives a reason."""
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
    """A workgroup's share of a group's tasks, in order."""
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
