"""Check that rows may run in any order: no nest may store what another still has to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from substitute.codegen.hazards import share_memory
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Linear, Nest, Program, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A nest with its group, the axis of each loop, and the axes of the rows."""

    nest: Nest
    axes: tuple[int, ...]
    group: int
    rows: frozenset[int]


def check_memory(program: Program, nests: Sequence[Placed]) -> None:
    """Raise for programs in which a store may change values that are read later, as rows run in any order."""
    for at, writer in enumerate(nests):
        for number, write in enumerate(writer.nest.writes):
            for other, reader in enumerate(nests):
                for read in reader.nest.reads:
                    if not isinstance(read.source, View) or not _same_memory(program, read.source, write.view):
                        continue
                    if _apart(read.source, write.view) or (
                        _same_window(read.source, write.view)
                        and (
                            _read_in_time(reader, read.access, writer, write.access)
                            if other < at
                            else other == at and read.access == write.access
                        )
                    ):
                        continue
                    raise Unsupported("a result overwrites what is read elsewhere")
                writes = reader.nest.writes
                for rival in writes[:number] if other == at else writes if other < at else ():
                    if _same_memory(program, rival.view, write.view) and not _apart(rival.view, write.view):
                        raise Unsupported("two results are stored to the same place")


def _read_in_time(reader: Placed, read: tuple[Linear, ...], writer: Placed, write: tuple[Linear, ...]) -> bool:
    """Return whether a row reads nothing that another row stores: both accesses use all row axes, in the same way."""
    if reader.group != writer.group:
        return False
    own: set[int] = set()
    for here, there in zip(read, write, strict=True):
        if not here.terms and not there.terms:
            continue
        ours = tuple((reader.axes[loop], c) for loop, c in here.terms)
        theirs = tuple((writer.axes[loop], c) for loop, c in there.terms)
        if any(a in writer.rows for a, _ in (*ours, *theirs)):
            if ours != theirs or here.constant != there.constant or len(ours) != 1:
                return False
            own.add(ours[0][0])
    return own == writer.rows


def _same_memory(program: Program, a: View, b: View) -> bool:
    return a.operand == b.operand or share_memory(program.operands[a.operand], program.operands[b.operand])


def _same_window(a: View, b: View) -> bool:
    return (a.operand, a.offset, a.strides) == (b.operand, b.offset, b.strides)


def _apart(a: View, b: View) -> bool:
    """Return whether two windows of one operand certainly share no element: boxes of one tensor, apart in one
    dimension.
    """
    if a.operand != b.operand or a.strides != b.strides:
        return False
    numbers = (a.offset, b.offset, *a.strides, *a.type.shape, *b.type.shape)
    if not all(isinstance(n, int) for n in numbers):
        return False
    first, second = sorted((a, b), key=lambda v: int(str(v.offset)))
    gap = int(str(second.offset)) - int(str(first.offset))
    ahead = [(int(str(s)), int(str(n))) for s, n in zip(first.strides, first.type.shape, strict=True)]
    behind = [(int(str(s)), int(str(n))) for s, n in zip(second.strides, second.type.shape, strict=True)]
    if gap > sum((n - 1) * s for s, n in ahead):
        return True
    for stride, size in ahead:
        outer = min((s for s, _ in ahead if s > stride), default=0)
        inside = sum((n - 1) * s for s, n in behind if s <= stride)
        if stride > 0 and gap % stride == 0 and gap // stride >= size and gap + inside < outer:
            return True
    return False
