"""Hands the dispatch to the contraction generator."""

from substitute.model.plan import Generated, Request


def generate(request: Request) -> Generated:
    """The kernel's code for this dispatch."""
    from substitute.payload.llvm import contraction

    return contraction.generate(request)
