"""Values for the parameters of a definition: those that conditions name and their neighbours, then ordinary ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ..errors import UsageError
from ..model.conditions import evaluate_condition, evaluate_number, list_bounds
from ..model.kernel import Condition, Form, Kernel
from ..model.parameter import ScalarParameter, decode, encode, is_exact, round_to

FLOATS = (0.5, 1.0e-5, 3.0, -0.75, 0.0, 1.0)
INTEGERS = (2, 0, -1, 7, 1, -100, 1000)
"""Values of unconstrained parameters; those that IREE folds away most often come last."""


def draw_values(kernel: Kernel, form: Form, sizes: Mapping[str, int], number: int) -> dict[str, float | int]:
    """Return value `number` of each parameter that the kernel's conditions allow, in turn.

    The extremes come first: bounds that conditions name, and the numbers next to them. Raises `UsageError` if there is
    none.
    """
    types = {p.name: p.type for p in form.parameters}
    known: dict[str, float] = dict(sizes)
    found: dict[str, float | int] = {}
    for parameter in form.parameters:
        allowed = _allowed(parameter, kernel.conditions, known, types)
        if not allowed:
            texts = [f"`{c.text}`" for c in kernel.conditions if parameter.name in c.names]
            raise UsageError(
                f"no value was found for the parameter {parameter.name} of {kernel.name}",
                where=str(kernel.folder),
                expected="a value that the conditions of [parameters] allow",
                found=" and ".join(texts) or f"sizes {', '.join(f'{a} = {s}' for a, s in sizes.items())}",
                next_step="validate a model in which it is used: iree-substitute validate MODEL --kernels DIR",
            )
        found[parameter.name] = known[parameter.name] = allowed[number % len(allowed)]
    return found


def _allowed(
    parameter: ScalarParameter, conditions: Sequence[Condition], known: Mapping[str, float], types: Mapping[str, str]
) -> list[float | int]:
    """Return the candidates that meet all conditions whose other names are known."""
    decisive = [c for c in conditions if parameter.name in c.names and c.names <= {*known, parameter.name}]
    values: dict[float | int, None] = {}
    for value in _candidates(parameter, conditions, known):
        if all(evaluate_condition(c, {**known, parameter.name: value}, types) for c in decisive):
            values.setdefault(value)
    return list(values)


def _candidates(
    parameter: ScalarParameter, conditions: Sequence[Condition], known: Mapping[str, float]
) -> Iterator[float | int]:
    type_ = parameter.type
    is_float = type_[0] in "fb"
    for condition in conditions:
        for text in list_bounds(condition, parameter.name):
            bound = evaluate_number(text, known)
            if bound is None or not math.isfinite(bound):
                continue
            yield from _around(bound, type_) if is_float else _integers_around(bound, type_)
    for value in FLOATS if is_float else INTEGERS:
        if is_float:
            yield round_to(value, type_)
        elif is_exact(value, type_):
            yield int(value)


def _around(bound: float, type_: str) -> Iterator[float]:
    """Yield the number, its neighbours in its type, and numbers of its size on both sides."""
    value = round_to(bound, type_)
    yield value
    bits = encode(value, type_)
    for step in (1, -1):
        if bits + step >= 0:
            near = float(decode(bits + step, type_))
            if math.isfinite(near) and abs(near - value) <= max(abs(value), 1.0):
                yield near
    for other in (value * 2, value / 2, value + 1, value - 1):
        if math.isfinite(round_to(other, type_)):
            yield round_to(other, type_)


def _integers_around(bound: float, type_: str) -> Iterator[int]:
    for value in (math.ceil(bound), math.floor(bound) + 1, math.ceil(bound) - 1, 2 * math.ceil(bound)):
        if is_exact(value, type_):
            yield value
