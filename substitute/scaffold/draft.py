"""A definition in the making, and why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.kernel import OperandSpec


class NotExpressible(Exception):
    """A computation that a definition, or simple code of a kind, cannot express; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A definition, and the operands that a manifest gives it."""

    text: str
    """MLIR: one function."""
    operands: tuple[OperandSpec, ...]
    """Arguments, then results."""
    parameters: tuple[str, ...] = ()
