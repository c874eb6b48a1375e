"""A kernel's arguments in GLSL: their elements by the coordinates of the kernel's definition, in any placement."""

from __future__ import annotations

from ...model.dispatch import Linear, Nest, Operand, Program
from ...model.kernel import OperandSpec
from ...model.plan import Placement, Request
from .. import placement
from ..unsupported import Unsupported
from .features import Features
from .generator import refusals, trial_shader
from .lower import lower_index, lower_linear
from .operations import GLSL_TYPE
from .shader import Shader, delinearize, indent

NOT_GIVEN = "the kernel's operands cannot be given to it"


def load_operand(shader: Shader, request: Request, name: str, *coordinates: str) -> str:
    """Return the expression for an element of an argument, at its coordinates in the definition.

    Binding, offset, slice and strides are applied. Coordinates have to lie within the axes. Integers of up to 32 bits
    come as int, `i1` as bool, `f16` and `bf16` as float, `i64` as the library's `i64`. Raises `PayloadError`.
    """
    with refusals(request, NOT_GIVEN):
        shader.define(f"load_{name}", lambda: load_function(shader, request, name))
    return f"load_{name}({', '.join(coordinates)})"


def load_function(shader: Shader, request: Request, name: str) -> list[str]:
    """Return the function `load_NAME(int i0, int i1, …)` that `load_operand` calls. Raises `Unsupported`."""
    spec, placed = operand_spec(request, name), placement_of(request, name)
    if placed is None:
        return _computed_function(shader, request, spec)
    type_ = GLSL_TYPE.get(placed.view.type.element)
    if type_ is None:
        raise Unsupported(f"operand {name} with elements of type {placed.view.type.element}")
    statements, address = address_of(placed)
    value = shader.load(placed.view.operand, address)
    if is_bool(request, name):
        type_, value = "bool", f"({value} & 1) != 0"
    return [f"{type_} load_{name}({parameters_of(spec)}) {{", indent([*statements, f"return {value};"]), "}"]


def refuse_inputs(program: Program, features: Features | None = None) -> str:
    """Return why `load_operand` cannot do what a program does in front of its core; empty: it can."""
    reason = placement.refuse_inputs(program)
    core = program.cores[0] if program.cores else None
    if reason or not isinstance(core, Nest):
        return reason
    try:
        trial_shader(program, features).nest(core, loop_names(core)).results()
    except Unsupported as problem:
        return str(problem)
    return ""


def _computed_function(shader: Shader, request: Request, spec: OperandSpec) -> list[str]:
    """Return the load function of an operand that IREE computes inside of the dispatch. Raises `Unsupported`."""
    nest = placement.find_input(request, spec.name)
    lowering = shader.nest(nest, loop_names(nest))
    (value,) = lowering.results()
    element = nest.expr.nodes[nest.expr.results[0]].type
    type_ = "bool" if element == "i1" else GLSL_TYPE.get(element)
    if type_ is None:
        raise Unsupported(f"operand {spec.name} with elements of type {element}")
    body = [*split_axes(request, spec), *lowering.statements, f"return {value};"]
    return [f"{type_} load_{spec.name}({parameters_of(spec)}) {{", indent(body), "}"]


def loop_names(nest: Nest) -> list[str]:
    """Return the name of each loop's index, as `split_axes` declares them."""
    return [f"p{loop}" for loop in range(len(nest.sizes))]


def split_axes(request: Request, spec: OperandSpec) -> list[str]:
    """Return the statements that declare each loop's index, from the coordinates `i0`, `i1`, … of an operand's axes."""
    lines: list[str] = []
    for dimension, name in enumerate(spec.axes):
        axis = request.match.axis(name)
        if axis.loops:
            lines += delinearize(f"i{dimension}", axis.sizes, [f"p{loop}" for loop in axis.loops])
    return lines


def operand_spec(request: Request, name: str) -> OperandSpec:
    """Return kernel.toml's specification of an operand. Raises `Unsupported` for other names."""
    for spec in request.substitution.kernel.operands:
        if spec.name == name:
            return spec
    raise Unsupported(f"{name}, which is no operand of the kernel")


def placement_of(request: Request, name: str) -> Placement | None:
    """Return the placement of an operand in the dispatch; None if it is computed inside, or has fused work."""
    return next((placed for placed in request.match.placements if placed.name == name), None)


def result_names(request: Request) -> list[str]:
    """Return the kernel's operands that it writes."""
    return [name for name, operand in _definition(request) if operand.kind == "result"]


def is_bool(request: Request, name: str) -> bool:
    """Return True for an operand of type i1 in the definition; IREE stores it as an i8."""
    return dict(_definition(request))[name].type.element == "i1"


def _definition(request: Request) -> list[tuple[str, Operand]]:
    kernel = request.substitution.kernel
    form = next(form for form in kernel.forms if form.name == request.match.form)
    return [(spec.name, operand) for spec, operand in zip(kernel.operands, form.program.operands, strict=False)]


def parameters_of(spec: OperandSpec) -> str:
    """Return the parameters `int i0, int i1, …`, one for each axis of an operand."""
    return ", ".join(f"int i{d}" for d in range(len(spec.axes)))


def address_of(placed: Placement) -> tuple[list[str], str]:
    """Return statements, and the element's number, at coordinates `i0`, `i1`, …"""
    statements: list[str] = []
    terms: list[str] = []
    for dimension, loops in enumerate(placed.dimensions):
        names = [f"i{dimension}_{n}" for n in range(len(loops))]
        if loops:
            statements += delinearize(f"i{dimension}", [size for size, _ in loops], names)
        terms += [f"{n} * {lower_index(stride)}" for n, (_, stride) in zip(names, loops, strict=True) if stride != 0]
    if placed.start != 0 or not terms:
        terms.append(lower_linear(Linear(terms=(), constant=placed.start), ()))
    return statements, " + ".join(terms)
