"""A kernel's own declaration of how far its results may be from the exact ones: frozen data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Relative = Literal["element", "operands"]
EXAMPLE = "4·γ_K"
_MAX_ERROR = re.compile(r"\s*(\d+(?:\.\d+)?)\s*[·*]\s*(?:γ|gamma)(?:_(\w+))?\s*")
_WORDS: dict[Relative, str] = {
    "element": "of each element's own terms",
    "operands": "of the operands' largest elements",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """A bound of errors in place of the one that follows from the definition's own operations."""

    factor: float
    """Multiple of what roundings may cost in the definition's own order of operations."""
    axis: str = ""
    """The axis that is summed over, as the manifest names it."""
    relative_to: Relative
    """Numbers whose roundings count: the terms of each element, or the largest elements of all operands."""
    reason: str

    def __str__(self) -> str:
        gamma = f"γ_{self.axis}" if self.axis else "γ"
        return f"errors up to {self.factor:g}·{gamma} {_WORDS[self.relative_to]} are allowed: {self.reason}"


def parse_max_error(text: str) -> tuple[float, str] | None:
    """Return the factor and the axis of `4·γ_K`, `4*gamma_K` or `4·γ`; None for any other text."""
    found = _MAX_ERROR.fullmatch(text)
    if found is None or not 1 <= float(found[1]) < float("inf"):
        return None
    return float(found[1]), found[2] or ""


def find_loosest(declared: Iterable[Accuracy | None]) -> Accuracy | None:
    """Return the bound to which the results of any of several kernels can be held; None if none declares one."""
    known = [one for one in declared if one is not None]
    if not known:
        return None
    relative: Relative = "operands" if any(one.relative_to == "operands" for one in known) else "element"
    most = max(known, key=lambda one: one.factor)
    return Accuracy(factor=most.factor, axis=most.axis, relative_to=relative, reason=most.reason)
