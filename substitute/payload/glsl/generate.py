"""The built-in Vulkan kernels: from a request to a shader, and whether one can be written."""

from __future__ import annotations

from collections.abc import Callable

from ...codegen.unsupported import Unsupported
from ...errors import PayloadError
from ...model.dispatch import Dispatch, Named, Nest, PipelineLayout, Program
from ...model.plan import Generated, Request
from .direct import write_direct
from .elementwise import write_elementwise
from .features import Features, features_of
from .rows import write_rows
from .shader import Shader
from .softmax import write_softmax
from .tiles import write_tiles

Writer = Callable[[Shader, Program], Generated]


def _contraction(shader: Shader, program: Program) -> Generated:
    """Tiles where both factors have loops of their own, else one result per invocation."""
    trial = Shader(shader.operands, shader.layout, shader.features)
    try:
        return write_tiles(trial, program)
    except Unsupported:
        return write_direct(shader, program)


MANY_CONSTANTS = 64
"""More push constants than any layout has, for a trial."""

WRITERS: dict[str, Writer] = {
    "contraction": _contraction,
    "convolution": write_direct,
    "softmax": write_softmax,
    "row_reduce": write_rows,
    "elementwise": write_elementwise,
}


def generate(kind: str, request: Request) -> Generated:
    """The shader of one of `WRITERS` for a request. Raises `PayloadError` where it cannot be written."""
    try:
        return _write(kind, request.substitution.dispatch, request.program)
    except Unsupported as problem:
        raise PayloadError(
            f"no shader can be generated: {problem}",
            where=request.substitution.dispatch.name,
            next_step=f"leave this dispatch out of the `dispatches` of kernel {request.substitution.kernel.name}",
        ) from problem


def can_generate(kind: str, program: Program, features: Features | None = None) -> str:
    """Why `generate(kind, …)` cannot write a shader for a program; empty if it can.

    The shader is written, for a target with these features (None: those of IREE's default Vulkan target).
    """
    layout = PipelineLayout(constants=MANY_CONSTANTS, bindings=())
    try:
        refuse_hazards(program)
        WRITERS[kind](Shader(program.operands, layout, features or Features()), program)
    except Unsupported as problem:
        return str(problem)
    return ""


def _write(kind: str, dispatch: Dispatch, program: Program) -> Generated:
    if "bda" in dispatch.target.format:
        raise Unsupported(f"the dispatch ABI of {dispatch.target.format}: only descriptors are supported")
    refuse_hazards(program)
    return WRITERS[kind](Shader(program.operands, dispatch.layout, features_of(dispatch.target)), program)


def refuse_hazards(program: Program) -> None:
    """Raises `Unsupported` where an operand is read at other places than it is written: the order would matter."""
    written = {w.view.operand: (w.view, w.access) for nest in program.stores for w in nest.writes}
    stages: list[Nest | Named] = [*program.cores, *program.stores]
    for stage in stages:
        for read in stage.reads:
            if isinstance(read.source, int) or read.source.operand not in written:
                continue
            if isinstance(stage, Named) or (read.source, read.access) != written[read.source.operand]:
                raise Unsupported(f"operand {read.source.operand} is read and written at different places")
