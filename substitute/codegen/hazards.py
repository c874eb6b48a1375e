"""Refusal of programs whose results depend on the order in which elements are computed and stored."""

from __future__ import annotations

from dataclasses import replace

from ..model.dispatch import Named, Nest, Operand, Program, Read
from .unsupported import Unsupported


def refuse_hazards(program: Program) -> None:
    """Raise `Unsupported` where memory is read at other places than it is written.

    The result of a core may take the place of an element that no other result is computed from, as in a row that is
    scaled by its own sum: each parallel loop of the core moves the element that is read.
    """
    writes = [write for nest in program.stores for write in nest.writes]
    stages: list[Nest | Named] = [*program.cores, *program.stores]
    for stage in stages:
        for read in stage.reads:
            if isinstance(read.source, int):
                continue
            for write in writes:
                a, b = read.source.operand, write.view.operand
                if a != b and not share_memory(program.operands[a], program.operands[b]):
                    continue
                same_place = (replace(read.source, operand=b), read.access) == (write.view, write.access)
                if isinstance(stage, Named) or not same_place or not _is_read_once(stage, read):
                    raise Unsupported(f"operand {a} is read and written at different places")


def _is_read_once(nest: Nest, read: Read) -> bool:
    moved = {loop for coordinate in read.access for loop, _ in coordinate.terms}
    loops = enumerate(zip(nest.sizes, nest.kinds, strict=True))
    return all(loop in moved for loop, (size, kind) in loops if kind == "parallel" and size != 1)


def share_memory(a: Operand, b: Operand) -> bool:
    """Return whether two operands at different positions share memory.

    IREE hands out disjoint ranges of one buffer as several operands; equal or meeting ranges are the same tensor.
    """
    if a.kind != "binding" or b.kind != "binding" or a.binding != b.binding:
        return False
    start_a, start_b, count_a, count_b = a.byte_offset, b.byte_offset, a.type.count, b.type.count
    if isinstance(start_a, int) and isinstance(start_b, int) and isinstance(count_a, int) and isinstance(count_b, int):
        end_a, end_b = start_a + count_a * a.type.element_bytes, start_b + count_b * b.type.element_bytes
        return start_a < end_b and start_b < end_a
    return start_a == start_b
