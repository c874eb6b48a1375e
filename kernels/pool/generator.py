"""Hands the dispatch to the generator of plain loops."""

from substitute.model.dispatch import Program
from substitute.model.plan import Generated, Request


def can_generate(program: Program) -> str:
    """Why no code can be written for this program; empty if it can."""
    from substitute.payload.llvm import loops

    return loops.can_generate(program)


def generate(request: Request) -> Generated:
    """The kernel's code for this dispatch."""
    from substitute.payload.llvm import loops

    return loops.generate(request)
