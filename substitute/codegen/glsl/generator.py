"""`can_generate` and `generate` of a kernel's generator, from a function that writes shaders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...errors import PayloadError
from ...model.dispatch import PipelineLayout, Program
from ...model.plan import Generated, Request
from ..hazards import refuse_hazards
from ..unsupported import Unsupported
from .features import Features, features_of
from .shader import Shader

Writer = Callable[[Shader, Program], Generated]
"""Function that writes the shader of a program. Raises `Unsupported`."""
MANY_CONSTANTS = 64
"""More push constants than any layout has, for a trial."""


def refuse_program(write: Writer, program: Program, features: Features | None = None) -> str:
    """Return why `write` cannot write a shader for a program; empty: it can.

    The shader is written, for a target with these features (None: those of IREE's default Vulkan target).
    """
    try:
        refuse_hazards(program)
        write(trial_shader(program, features), program)
    except Unsupported as problem:
        return str(problem)
    return ""


def refuse_operands(program: Program, features: Features | None = None) -> str:
    """Return why a shader cannot access one of a program's operands; empty: it can."""
    shader = trial_shader(program, features)
    try:
        for operand in program.operands:
            if operand.kind != "constant":
                shader.check_access(operand)
    except Unsupported as problem:
        return str(problem)
    return ""


def generate_shader(write: Writer, request: Request) -> Generated:
    """Return the shader that `write` writes. Raises `PayloadError` where `refuse_program` gives a reason."""
    with refusals(request, "no shader can be generated"):
        refuse_hazards(request.program)
        return write(shader_for(request), request.program)


@contextmanager
def refusals(request: Request, what: str) -> Iterator[None]:
    """Turn `Unsupported` into a `PayloadError` that begins with `what`, names the dispatch and gives a next step."""
    try:
        yield
    except Unsupported as problem:
        raise PayloadError(
            f"{what}: {problem}",
            where=f"{request.substitution.kernel.name} in {request.substitution.dispatch.name}",
            next_step="leave this dispatch out by a constraint or by `dispatches` in kernel.toml",
        ) from problem


def shader_for(request: Request) -> Shader:
    """Return an empty shader for a request. Raises `PayloadError`."""
    dispatch = request.substitution.dispatch
    with refusals(request, "no shader can be generated"):
        if "bda" in dispatch.target.format:
            raise Unsupported(f"the dispatch ABI of {dispatch.target.format}: only descriptors are supported")
        return Shader(request.program.operands, dispatch.layout, features_of(dispatch.target))


def trial_shader(program: Program, features: Features | None = None) -> Shader:
    """Return a shader to write a program into before its dispatch is known."""
    layout = PipelineLayout(constants=MANY_CONSTANTS, bindings=())
    return Shader(program.operands, layout, features or Features())
