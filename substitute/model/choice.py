"""The choice of a kernel as plans name it: `matmul`, or with values for its generator `matmul{rows=6}`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import PlanError

Tuning = tuple[tuple[str, int], ...]
"""A value for each parameter that is not left to the generator, by name."""

_CHOICE = re.compile(r"(?P<name>[^{}]+)(?:\{(?P<values>[^{}]*)\})?")
_VALUE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(-?\d+)")


def make_tuning(values: Mapping[str, int]) -> Tuning:
    """Return the values in their order."""
    return tuple(sorted(values.items()))


def format_choice(kernel: str, tuning: Tuning) -> str:
    """Return the text for a kernel with values for its generator."""
    return f"{kernel}{{{','.join(f'{name}={value}' for name, value in tuning)}}}" if tuning else kernel


def parse_choice(text: str) -> tuple[str, Tuning]:
    """Return the kernel's name and the values. Raises `PlanError`."""
    whole = _CHOICE.fullmatch(text)
    values: dict[str, int] = {}
    for part in (whole["values"] or "").split(",") if whole else ():
        value = _VALUE.fullmatch(part.strip())
        if value is None and (part.strip() or "{" in text):
            whole = None
            break
        if value is not None:
            values[value[1]] = int(value[2])
    if whole is None:
        raise PlanError(
            "the plan's kernel cannot be read",
            expected="a kernel's name, or NAME{parameter=integer,…}",
            found=text,
        )
    return whole["name"], make_tuning(values)
