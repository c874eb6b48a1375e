"""Dispatch regions for what a kernel takes as one dispatch and IREE would split.

IREE forms dispatches greedily: a layer norm is two, a group norm three. Where a kernel's definition says the whole, the
operations on tensors are compared with it before dispatches are formed, and what it covers becomes one region, which
IREE leaves as it is. Ordinary matching then decides about its dispatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..model.dispatch import Dispatch, PipelineLayout, Program, Target
from ..read.attributes import read_target
from ..read.module import children
from ..read.slices import SliceReader, list_dynamic_sizes, list_outside
from ..read.unread import Unread
from .closed_region import create_region, shield

if TYPE_CHECKING:
    from iree.compiler import ir

Take = Callable[[Dispatch], str]
"""Returns the name of the kernel that takes a dispatch, or an empty text."""
NAME = "a region"
"""Name of what may become a dispatch."""
_MOST_OPERATIONS = 48
_SHARED = frozenset(("tensor.empty", "linalg.fill"))
"""Operations that are copied into a region where others need them too."""


def form_regions(module: ir.Operation, cores: int, take: Take) -> list[str]:
    """Put what a kernel takes as a whole into dispatch regions; return the names of these kernels.

    `cores` is the largest number of reductions and named operations that any kernel has.
    """
    target = _find_target(module)
    if target is None:
        return []
    module.context.get_dialect_descriptor("flow")  # loads it
    found: list[str] = []
    for function in children(module):
        if function.name == "util.func":
            for region in function.regions:
                for block in region:
                    found += _form_in(block, target, cores, take)
    return found


def _find_target(module: ir.Operation) -> Target | None:
    """Return the only target of a module; None for several, where a region would be for one of them."""
    from iree.compiler import ir

    targets = {
        str(attribute): attribute
        for op in children(module)
        if op.name == "util.global" and "initial_value" in op.attributes
        for attribute in _targets_in(str(op.attributes["initial_value"]))
    }
    if len(targets) != 1:
        return None
    (attribute,) = targets.values()
    assert isinstance(attribute, ir.Attribute)
    return read_target(attribute)


def _targets_in(text: str) -> Iterator[ir.Attribute]:
    """Yield the executable targets in the text of a device."""
    from iree.compiler import ir

    mark = "#hal.executable.target<"
    at = text.find(mark)
    while at >= 0:
        depth, end = 0, at + len(mark) - 1
        while True:
            depth += {"<": 1, ">": -1}.get(text[end], 0)
            end += 1
            if not depth:
                break
        yield ir.Attribute.parse(text[at:end])
        at = text.find(mark, end)


def _form_in(block: ir.Block, target: Target, cores: int, take: Take) -> list[str]:
    reader = SliceReader()
    operations = [op.operation for op in block.operations]
    order = {result: n for n, op in enumerate(operations) for result in op.results}
    used: set[int] = set()
    found: list[str] = []
    for root in range(len(operations) - 1, -1, -1):
        if root in used or not _computes(operations[root]) or len(operations[root].results) != 1:
            continue
        for members in _slices(operations, order, root, used, cores):
            name = _try(reader, [operations[n] for n in members], target, take)
            if name:
                _wrap([operations[n] for n in members])
                used.update(members)
                found.append(name)
                break
    return found


def _computes(op: ir.Operation) -> bool:
    return str(op.name).startswith("linalg.") and op.name != "linalg.fill"


def _count_reductions(op: ir.Operation) -> int:
    """Return the number of reductions that an operation is; named ones that are more count as one."""
    if op.name == "linalg.generic":
        return int("reduction" in str(op.attributes["iterator_types"]))
    return 2 if op.name == "linalg.softmax" else int(_computes(op))


def _slices(
    operations: Sequence[ir.Operation], order: dict[ir.Value, int], root: int, used: set[int], cores: int
) -> Iterator[list[int]]:
    """Yield the positions of what a root is computed from, the longest slice first.

    Each slice is all that lies in this block from one operation on; at least one of it reduces or is named.
    """
    members: list[int] = []
    waiting = {root}
    ends: list[int] = []
    reductions = 0
    while waiting and len(members) < _MOST_OPERATIONS:
        at = max(waiting)
        waiting.remove(at)
        reductions += _count_reductions(operations[at])
        if reductions > cores:
            break
        members.append(at)
        waiting |= {
            order[value]
            for value in operations[at].operands
            if value in order and order[value] not in used and _may_be_inside(operations[order[value]])
        } - set(members)
        if reductions and _computes(operations[at]):
            ends.append(len(members))
    for end in reversed(ends):
        core = members[:end]
        needed = {order[v] for n in core for v in operations[n].operands if v in order}
        shared = [n for n in needed if operations[n].name in _SHARED]
        shared += [order[v] for n in shared for v in operations[n].operands if v in order]
        chosen = sorted({*core, *(n for n in shared if operations[n].name in _SHARED)})
        if all(n == root or operations[n].name in _SHARED or _is_inside(operations[n], chosen, order) for n in chosen):
            yield chosen


def _may_be_inside(op: ir.Operation) -> bool:
    return op.name in _SHARED or (_computes(op) and len(op.results) == 1)


def _is_inside(op: ir.Operation, chosen: Sequence[int], order: dict[ir.Value, int]) -> bool:
    """Return True if nothing else needs a result."""
    users = (use.owner.operation for result in op.results for use in result.uses)
    return all(any(order.get(r) in chosen for r in user.results) for user in users)


def _try(reader: SliceReader, operations: Sequence[ir.Operation], target: Target, take: Take) -> str:
    try:
        program = reader.read(operations)
    except Unread:
        return ""
    return take(_make_dispatch(program, target)) if is_composed(program) else ""


def is_composed(program: Program) -> bool:
    """Return True for a program of which IREE may make several dispatches."""
    computes = any(node.operands for nest in program.stores for node in nest.expr.nodes)
    return len(program.cores) + computes > 1


def _make_dispatch(program: Program, target: Target) -> Dispatch:
    return Dispatch(
        executable="",
        variant="",
        name=NAME,
        target=target,
        layout=PipelineLayout(constants=0, bindings=("",) * len(program.operands)),
        workload=(),
        program=program,
        reason="",
        operations=(),
        kind="",
    )


def _wrap(operations: Sequence[ir.Operation]) -> None:
    """Move operations into a dispatch region at the place of the last one; what others need too is copied."""
    from iree.compiler import ir

    root = operations[-1]
    (result,) = root.results
    inside = {r for op in operations for r in op.results}
    with root.location:
        with ir.InsertionPoint(root):
            sizes = list_dynamic_sizes(result)
            region = create_region([result.type], sizes)
        result.replace_all_uses_with(region.results[0])
        block = region.regions[0].blocks.append()
        with ir.InsertionPoint(block):
            end = ir.Operation.create("flow.return", operands=[result])
        with ir.InsertionPoint(region):
            copies = {value: shield(value) for value in list_outside(operations, inside) if _may_be_cloned(value)}
        for op in operations:
            if op is not root and any(not _is_used_in(use.owner, inside) for r in op.results for use in r.uses):
                with ir.InsertionPoint(end):
                    copy = op.clone().operation
                copies |= dict(zip(op.results, copy.results, strict=True))
                own = copy
            else:
                op.move_before(end)
                own = op
            for number, value in enumerate(own.operands):
                if value in copies:
                    own.operands[number] = copies[value]


def _may_be_cloned(value: ir.Value) -> bool:
    """Return True for a tensor that is computed, which IREE would compute again in each region that reads it."""
    from iree.compiler import ir

    return not isinstance(value.owner, ir.Block) and _computes(value.owner.operation)


def _is_used_in(user: ir.Operation, inside: set[ir.Value]) -> bool:
    return any(result in inside for result in user.operation.results)
