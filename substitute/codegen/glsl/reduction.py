"""Reductions in GLSL: their loops, the combination of two values, and initial values."""

from __future__ import annotations

from ...model.dispatch import Nest, Program
from ...model.ops import COMBINERS, neutral
from ...model.scalar import Scalar
from ..unsupported import Unsupported
from .operations import GLSL_TYPE, INT_BITS, lower_constant, lower_operation


def only_core(program: Program) -> Nest:
    """Return the single reduction of a program. Raises `Unsupported`."""
    if len(program.cores) != 1 or not isinstance(program.cores[0], Nest):
        raise Unsupported(f"a dispatch with {len(program.cores)} cores where one reduction is needed")
    return program.cores[0]


def parallel_loops(core: Nest) -> tuple[int, ...]:
    """Return the loops of a reduction that number its results."""
    return tuple(i for i, kind in enumerate(core.kinds) if kind == "parallel")


def reduction_loops(core: Nest) -> tuple[int, ...]:
    """Return the loops that are summed over."""
    return tuple(i for i, kind in enumerate(core.kinds) if kind == "reduction")


def core_type(core: Nest) -> str:
    """Return the element type of a reduction's result. Raises `Unsupported`."""
    type_ = core.expr.nodes[core.expr.results[0]].type
    if core.type is not None and core.type.element != type_:
        raise Unsupported(f"a reduction of {type_} into {core.type.element}")
    if type_ not in GLSL_TYPE:
        raise Unsupported(f"a reduction of {type_}")
    return type_


def combine(core: Nest, type_: str, a: str, b: str) -> str:
    """Return the expression `combiner(a, b)`."""
    return lower_operation(Scalar(core.combiner, type_), (type_, type_), (a, b), exact=False)


def initial_value(core: Nest, type_: str) -> str:
    """Return the initial value of the reduction, a constant. Raises `Unsupported` if it is not constant."""
    if core.init is None:
        raise Unsupported("a reduction that starts from a value in memory")
    return lower_constant(core.init, type_)


def neutral_value(core: Nest, type_: str) -> str:
    """Return the neutral element, the initial value of partial results. Raises `Unsupported`."""
    if core.combiner not in COMBINERS:
        raise Unsupported(f"a reduction by {core.combiner} of {type_}")
    held = f"i{INT_BITS[type_]}" if type_ in INT_BITS else type_  # an index has 32 bits here
    return lower_constant(neutral(core.combiner, held), type_)
