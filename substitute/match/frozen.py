"""What is frozen into a finished SPIR-V binary when it is embedded, and therefore has to be known by then."""

from __future__ import annotations

from collections.abc import Iterator

from ..catalog.constraints import parse_size
from ..model.index import Index, add, substitute
from ..model.kernel import Kernel
from ..model.plan import Match, Placement, Rule

SPIRV_KINDS = frozenset({"spirv", "spirv-dialect"})
"""Kinds of payload whose specialization constants are frozen; GLSL source is told sizes and offsets at launch."""
OFFSET = "offset."
"""What the name of an operand's first element begins with."""


def check_frozen(kernel: Kernel, match: Match) -> Rule | None:
    """Whether sizes, offsets and executable constants are numbers; None for a kernel that asks for none of them."""
    spirv = kernel.payload.kind in SPIRV_KINDS
    if not spirv and not any(constant.value for constant in kernel.executable_constants):
        return None
    reasons = [*_constants(kernel, match)]
    if spirv:
        reasons += [*_sizes(kernel, match)]
    if spirv and kernel.abi == "canonical":
        reasons += [*_offsets(kernel, match)]
    expected = "sizes and offsets that the model names, since they are frozen into the code"
    return Rule(name="payload.frozen", passed=not reasons, expected=expected, found="; ".join(reasons) or "it does")


def _sizes(kernel: Kernel, match: Match) -> Iterator[str]:
    axes = {axis.name: axis.size for axis in match.axes}
    for number, name in kernel.payload.spec_constants:
        if name in axes and not isinstance(axes[name], int):
            yield f"{name}, for SpecId {number}, is known at launch only"


def _constants(kernel: Kernel, match: Match) -> Iterator[str]:
    sizes = {axis.name: axis.size for axis in match.axes}
    for constant in kernel.executable_constants:
        if constant.value:
            value = substitute(parse_size(constant.value, sizes, where=str(kernel.folder)), sizes)
            if not isinstance(value, int):
                yield f"{constant.value}, for the constant {constant.name}, is known at launch only"


def _offsets(kernel: Kernel, match: Match) -> Iterator[str]:
    named = {name for _, name in kernel.payload.spec_constants}
    for placed in match.placements:
        offset = _first_element(match, placed)
        if isinstance(offset, str):
            yield f"{placed.name} {offset}"
        elif not isinstance(offset, int):
            yield f"where {placed.name} begins is known at launch only"
        elif offset and OFFSET + placed.name not in named:
            yield f"{placed.name} begins at element {offset} of its binding, and no SpecId takes {OFFSET}{placed.name}"


def _first_element(match: Match, placed: Placement) -> Index | str:
    """Elements from the start of the binding; words for what has no such place."""
    assert match.program is not None
    operand = match.program.operands[placed.view.operand]
    size = operand.type.element_bytes
    if operand.kind != "binding":
        return "is a constant inside of the dispatch"
    if not isinstance(operand.byte_offset, int):
        return operand.byte_offset
    if operand.byte_offset % size:
        return f"begins at byte {operand.byte_offset}, not at a multiple of {size}"
    return add(operand.byte_offset // size, placed.start)
