"""Hands the dispatch to the contraction generator."""

from substitute.model.dispatch import Program
from substitute.model.plan import Generated, Request


def can_generate(program: Program) -> str:
    """Why no code can be written for this program; empty if it can."""
    from substitute.payload.llvm import contraction

    return contraction.can_generate(program)


def generate(request: Request) -> Generated:
    """The kernel's code for this dispatch."""
    from substitute.payload.llvm import contraction

    return contraction.generate(request)
