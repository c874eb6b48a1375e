"""Hands the dispatch to the convolution generator for Vulkan."""

from substitute.model.dispatch import Program
from substitute.model.plan import Generated, Request


def can_generate(program: Program) -> str:
    """Why no shader can be written for this program; empty if one can."""
    from substitute.payload import glsl

    return glsl.can_generate("convolution", program)


def generate(request: Request) -> Generated:
    """The shader for this dispatch."""
    from substitute.payload import glsl

    return glsl.generate("convolution", request)
