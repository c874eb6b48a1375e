"""Values that are frozen into a finished SPIR-V binary when it is embedded and must be known then."""

from __future__ import annotations

from collections.abc import Iterator

from ..model.constraints import parse_size
from ..model.index import Index, add, substitute
from ..model.kernel import ExecutableConstant, Kernel
from ..model.plan import Match, Placement, Rule

OFFSET = "offset."
"""Prefix of the name of an operand's first element."""


def check_frozen(kernel: Kernel, match: Match) -> Rule | None:
    """Check that sizes, offsets and executable constants are numbers; None for a kernel that uses none of them."""
    spirv = kernel.payload.kind.has_spec_constants
    if not spirv and not any(constant.value for constant in kernel.executable_constants):
        return None
    reasons = [
        f"{constant.value}, for the constant {constant.name}, is known at launch only"
        for constant, value in constant_values(kernel, match)
        if not isinstance(value, int | None)
    ]
    if spirv:
        reasons += [
            f"{name}, for SpecId {number}, {_words(value)}"
            for number, name, value in spec_values(kernel, match)
            if not isinstance(value, int | float)
        ]
    if spirv and kernel.abi == "canonical":
        reasons += _unnamed_offsets(kernel, match)
    expected = "sizes and offsets that the model names, since they are frozen into the code"
    return Rule(name="payload.frozen", passed=not reasons, expected=expected, found="; ".join(reasons) or "it does")


def spec_values(kernel: Kernel, match: Match) -> list[tuple[int, str, Index | float | str]]:
    """Return (SpecId, name, value) of each specialization constant; a text for one without a value."""
    known: dict[str, Index | float | str] = {axis.name: axis.size for axis in match.axes}
    constants = {parameter.name: parameter.value.constant for parameter in match.parameters}
    known |= {name: "is known at launch only" if value is None else value for name, value in constants.items()}
    known |= {OFFSET + placed.name: _first_element(match, placed) for placed in match.placements}
    missing = "is no size, offset or parameter of the dispatch"
    return [(number, name, known.get(name, missing)) for number, name in kernel.payload.spec_constants]


def frozen_values(kernel: Kernel, match: Match) -> dict[int, int | float]:
    """Return the value of each specialization constant; the match has made sure that all are numbers."""
    values: dict[int, int | float] = {}
    for number, name, value in spec_values(kernel, match):
        assert isinstance(value, int | float), name
        values[number] = value
    return values


def constant_values(kernel: Kernel, match: Match) -> list[tuple[ExecutableConstant, Index | None]]:
    """Return each executable constant with the value of its expression; None if the device provides it."""
    sizes = {axis.name: axis.size for axis in match.axes}
    where = str(kernel.folder)
    return [
        (c, substitute(parse_size(c.value, sizes, where=where), sizes) if c.value else None)
        for c in kernel.executable_constants
    ]


def _words(value: Index | float | str) -> str:
    return value if isinstance(value, str) else "is known at launch only"


def _unnamed_offsets(kernel: Kernel, match: Match) -> Iterator[str]:
    named = {name for _, name in kernel.payload.spec_constants}
    for placed in match.placements:
        offset = _first_element(match, placed)
        if OFFSET + placed.name in named or offset == 0:
            continue
        if isinstance(offset, int):
            yield f"{placed.name} begins at element {offset} of its binding, and no SpecId takes {OFFSET}{placed.name}"
        elif isinstance(offset, str):
            yield f"{placed.name} {offset}"
        else:
            yield f"where {placed.name} begins is known at launch only"


def _first_element(match: Match, placed: Placement) -> Index | str:
    """Return the distance from the start of the binding, in elements; a text for operands without a place in one."""
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
