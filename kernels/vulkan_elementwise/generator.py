"""Hands the dispatch to the elementwise generator for Vulkan."""

from substitute.model.dispatch import Dispatch
from substitute.model.plan import Generated, Request


def can_generate(dispatch: Dispatch) -> str:
    """Why no shader can be written for this dispatch; empty if one can."""
    from substitute.payload import glsl

    return glsl.can_generate("elementwise", dispatch)


def generate(request: Request) -> Generated:
    """The shader for this dispatch."""
    from substitute.payload import glsl

    return glsl.generate("elementwise", request)
