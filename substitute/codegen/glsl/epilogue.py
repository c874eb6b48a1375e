"""The epilogue of a kernel: the element-wise work that IREE fused after an operation, and the stores of its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import PayloadError
from ...model.dispatch import Linear, Named, Nest, Program
from ...model.index import Index
from ...model.kernel import OperandSpec
from ...model.plan import Request
from ..hazards import refuse_hazards
from ..placement import place_stores, reads_temporary, target_coordinates
from ..unsupported import Unsupported
from .generator import refusals, trial_shader
from .operands import (
    NOT_GIVEN,
    address_of,
    is_bool,
    operand_spec,
    parameters_of,
    placement_of,
    result_names,
    split_axes,
)
from .operations import GLSL_TYPE
from .shader import Shader, indent
from .stores import emit_stores


def refuse_epilogue(program: Program) -> str:
    """Return why `store_result` cannot do what a program does after its last core; empty: it can.

    A generator's `can_generate` returns it, so that such a dispatch is left to IREE.
    """
    if not program.cores:
        return "the dispatch has no reduction or named operation"
    try:
        refuse_hazards(program)
        _fused_work(trial_shader(program), program, {})
    except Unsupported as problem:
        return str(problem)
    return ""


def store_result(shader: Shader, request: Request, position: Mapping[str, str], value: str) -> str:
    """Return the statement that applies what IREE fused to one element of the result, and stores what comes of it.

    `position` has the index (an int expression) of each axis of the result, by the axis's name in `kernel.toml`;
    `value` is the element as the operation gives it. Run it once for each element. Without fused work, it stores it.
    Raises `PayloadError` for a dispatch that `refuse_epilogue` refuses, or where an axis or the one result is missing.
    """
    results = result_names(request)
    axes = operand_spec(request, results[0]).axes
    missing = [axis for axis in axes if axis not in position]
    if len(results) != 1 or missing:
        raise PayloadError(
            "the position of a result is incomplete" if missing else "the kernel has several results",
            where=request.substitution.dispatch.name,
            expected=f"an index for {', '.join(missing)} too" if missing else "one",
            found=", ".join(position if missing else results) or "no index",
            next_step="give store_result the index of every axis of the result" if missing else "use store_function",
        )
    with refusals(request, NOT_GIVEN):
        shader.define(f"store_{results[0]}", lambda: store_function(shader, request, results[0]))
    return f"store_{results[0]}({', '.join([*(position[axis] for axis in axes), value])});"


def store_function(shader: Shader, request: Request, name: str) -> list[str]:
    """Return the function `store_NAME(int i0, int i1, …, value)` that takes one element of a result.

    Raises `Unsupported`.
    """
    spec = operand_spec(request, name)
    placed = placement_of(request, name)
    if "epilogue" in request.substitution.kernel.slots:
        lines = [
            "int zero = 0;",
            *split_axes(request, spec),
            *_fused_work(shader, request.program, _loop_names(request, spec)),
        ]
        element = _result_type(request.program.cores[-1])
    elif placed is None:
        raise Unsupported(f"{name}, which has fused work")
    else:
        statements, address = address_of(placed)
        boolean = is_bool(request, name)
        element = "i1" if boolean else placed.view.type.element
        lines = [*statements, shader.store(placed.view.operand, address, "int(value)" if boolean else "value")]
    return [f"void store_{name}({parameters_of(spec)}, {GLSL_TYPE[element]} value) {{", indent(lines), "}"]


def _loop_names(request: Request, spec: OperandSpec) -> dict[int, str]:
    return {loop: f"p{loop}" for name in spec.axes for loop in request.match.axis(name).loops}


def _fused_work(shader: Shader, program: Program, names: Mapping[int, str]) -> list[str]:
    """Return what follows the last core, applied to `value`; loops that have no name have one place, `zero`."""
    if any(not reads_temporary(nest) for nest in program.stores):
        raise Unsupported("work beside the operation that does not use its result")
    core = program.cores[-1]
    sizes, places, temporary = _result_of(core)

    def value(_access: tuple[Linear, ...], _loops: Sequence[str]) -> str:
        return "value"

    placements = place_stores(program, {temporary: places})
    coordinates = [names.get(loop, "zero") for loop in range(len(sizes))]
    return emit_stores(shader, placements, coordinates, sizes, {temporary: value})


def _result_of(core: Nest | Named) -> tuple[tuple[Index, ...], tuple[int | None, ...], int]:
    """Return the sizes of a core's coordinates (loops, or dimensions), its result's places, and its number."""
    if isinstance(core, Named):
        shape = core.types[0].shape
        return shape, tuple(range(len(shape))), core.temporaries[0]
    return core.sizes, target_coordinates(core), core.temporary


def _result_type(core: Nest | Named) -> str:
    if isinstance(core, Named):
        return core.types[0].element
    return core.type.element if core.type else core.expr.nodes[core.expr.results[0]].type
