"""Parameters that an entry has to declare: IREE's own, or those of the canonical ABI."""

from __future__ import annotations

from dataclasses import dataclass

from .faults import fault
from .syntax import TYPE_BITS, Function, Module, Parameter

MAX_BINDINGS, MAX_CONSTANTS = 16, 64
"""Limits of IREE's CUDA driver (`IREE_HAL_CUDA_MAX_DESCRIPTOR_SET_BINDING_COUNT` and its neighbour)."""
SCRATCH_POINTERS = 2
"""Triton appends `global_scratch` and `profile_scratch`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One expected parameter."""

    what: str
    """`binding 0`, `operand a`, `axis M`."""
    bits: tuple[int, ...]
    """Widths that fit."""
    pointer: bool
    is_float: bool = False
    """True for a floating-point parameter of the definition."""

    def fits(self, parameter: Parameter) -> bool:
        """Return True if a parameter can hold the value."""
        if parameter.array or TYPE_BITS.get(parameter.type, 0) not in self.bits:
            return False
        if self.is_float:
            return parameter.type[0] in "fb"
        return parameter.type[0] in ("usb" if self.pointer or 64 in self.bits else "usbf")

    @property
    def types(self) -> str:
        """The types that fit, for messages."""
        if self.is_float:
            return f".f{self.bits[0]} or .b{self.bits[0]}"
        if self.pointer:
            return ".u64, .b64 or .s64"
        if self.bits == (64,):
            return ".s64, .u64 or .b64"
        return ".u32, .b32, .s32 or .f32" if self.bits == (32,) else ".u32, .s32, .b32, .u64, .s64 or .b64"


def raw_signature(bindings: int, constants: int) -> tuple[Expected, ...]:
    """Return IREE's layout: one pointer per binding, then one 32-bit value per push constant."""
    return tuple(
        [Expected(what=f"binding {i}", bits=(64,), pointer=True) for i in range(bindings)]
        + [Expected(what=f"push constant {i}", bits=(32,), pointer=False) for i in range(constants)]
    )


def canonical_signature(
    operands: tuple[str, ...], scalars: tuple[str, ...], values: tuple[tuple[str, str], ...] = ()
) -> tuple[Expected, ...]:
    """Return the canonical ABI: one pointer per operand of the definition, then its axes, strides, and parameters.

    `values` are the parameters' names, and the types in which they are passed.
    """
    return tuple(
        [Expected(what=f"operand {name}", bits=(64,), pointer=True) for name in operands]
        + [
            Expected(what=name if name.startswith("stride_") else f"axis {name}", bits=(32, 64), pointer=False)
            for name in scalars
        ]
        + [
            Expected(what=f"parameter {name}", bits=(int(type_[1:]),), pointer=False, is_float=type_[0] == "f")
            for name, type_ in values
        ]
    )


def check_parameters(
    module: Module, entry: Function, expected: tuple[Expected, ...], *, passer: str, scratch: int = 0
) -> None:
    """Compare an entry's parameters with the expected ones. `scratch`: pointers that may follow. Raises `PayloadError`.

    `passer` is the origin of the values: `the dispatch` or `the canonical ABI`.
    """
    words = _describe(expected)
    for number, (parameter, wanted) in enumerate(zip(entry.parameters, expected, strict=False)):
        if not wanted.fits(parameter):
            array = f"[{parameter.count}]" if parameter.array else ""
            raise fault(
                module,
                parameter.span.start,
                f"parameter {number} ({parameter.name}) does not fit {wanted.what}",
                expected=f"{wanted.types} ({wanted.what})",
                found=f".{parameter.type} {parameter.name}{array}",
                next_step=f"{passer} passes {words}: declare exactly this list",
            )
    found = len(entry.parameters)
    extra = entry.parameters[len(expected) :]
    if len(expected) <= found <= len(expected) + scratch and all(TYPE_BITS.get(p.type) == 64 for p in extra):
        return
    if found != len(expected):
        at = extra[0].span.start if extra else entry.name_span.start
        raise fault(
            module,
            at,
            f"entry {entry.name} has {found} parameter{'s' if found != 1 else ''}, {passer} passes {len(expected)}",
            expected=words,
            found=", ".join(f".{p.type} {p.name}" for p in entry.parameters) or "none",
            next_step="a launch with other parameters reads garbage: make the list exactly this long",
        )


def _describe(expected: tuple[Expected, ...]) -> str:
    pointers = [e for e in expected if e.pointer]
    values = [e for e in expected if not e.pointer]
    if pointers and pointers[0].what.startswith("operand"):
        names = ", ".join(e.what.removeprefix("operand ") for e in pointers)
        text = f"64-bit pointers {names}"
        integers = [e.what.removeprefix("axis ") for e in values if not e.what.startswith("parameter")]
        parameters = [f"{e.what.removeprefix('parameter ')} ({e.types})" for e in values if "parameter " in e.what]
        text += f", then integers {', '.join(integers)}" if integers else ""
        return text + (f", then parameters {', '.join(parameters)}" if parameters else "")
    return f"{len(pointers)} 64-bit pointers (one per binding), then {len(values)} 32-bit values (push constants)"
