"""Is a model with substituted kernels still the same model? Substituted beside stock IREE, same device, same inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DeviceError
from ..model.plan import Plan
from ..pipeline import Progress, compile_model, silent

if TYPE_CHECKING:
    from ..device.value_type import Function, ValueType

TOLERANCES = {"f64": 1e-10, "f32": 1e-4, "f16": 2e-2, "bf16": 1e-1}
"""How far a result may be from stock IREE's, as a share of the largest magnitude in stock's result.

Both round every operation, in different orders, through all layers of a model; other types have to be equal.
"""
DYNAMIC_SIZE = 8
"""What a size that the function leaves open gets, where no inputs are given."""
DEVICE_FLAGS = {
    "vulkan": ("--iree-hal-target-device=vulkan",),
    "cuda": ("--iree-hal-target-device=cuda",),
}
"""The target of a device, where the flags name none; local devices get this machine's CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultVerdict:
    """One result of the model, substituted beside stock."""

    number: int
    type: str
    largest_error: float
    """Largest |substituted - stock|."""
    share: float
    """That, as a share of the largest magnitude in stock's result."""
    tolerance: float
    """What the share may be."""
    reason: str
    """Why it failed; empty if it passed."""

    @property
    def passed(self) -> bool:
        """True if the result is near enough."""
        return not self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVerdict:
    """The whole comparison."""

    plan: Plan
    device: str
    seed: int
    results: tuple[ResultVerdict, ...]
    note: str
    """What weakens the comparison, such as results that are the same everywhere; empty if nothing does."""

    @property
    def passed(self) -> bool:
        """True if every result passed."""
        return all(r.passed for r in self.results)


def validate_model(
    model: Path,
    *,
    device: str = "local-task",
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    plan: Path | None = None,
    function: str | None = None,
    seed: int = 0,
    inputs: Sequence[Any] = (),
    isolate: bool = False,
    progress: Progress = silent,
) -> ModelVerdict:
    """Compiles a model twice, runs both on a device and compares. Without `inputs` they are drawn from `seed`.

    Raises `SubstituteError` for what cannot be compiled or run; a wrong result is a verdict, not an error.
    """
    from ..device import Session

    flags = _with_device(flags, device)
    common: Any = {"flags": flags, "isolate": isolate}
    stock = compile_model(model, substitute=False, progress=_prefixed(progress, "stock: "), **common)
    result = compile_model(
        model, kernels=kernels, builtin=builtin, plan=plan, progress=_prefixed(progress, "substituted: "), **common
    )
    progress("run", None)
    with Session(stock.vmfb, device=device) as session:
        called = session.function(function)
        values = list(inputs) or draw_inputs(called.name, _input_types(called, stock.signatures), seed)
        expected = session.call(function, values)
    with Session(result.vmfb, device=device) as session:
        found = session.call(function, values)
    verdicts = tuple(compare(i, a, b) for i, (a, b) in enumerate(zip(found, expected, strict=True)))
    return ModelVerdict(plan=result.plan, device=device, seed=seed, results=verdicts, note=_note(expected))


def compare(number: int, found: np.ndarray[Any, Any], stock: np.ndarray[Any, Any]) -> ResultVerdict:
    """One result beside stock's: shape, type, positions of NaN and infinity, then the error."""
    from ..device.value_type import type_of

    type_ = type_of(stock)
    tolerance = TOLERANCES.get(type_.element, 0.0)
    largest = share = 0.0
    reason = ""
    if str(type_of(found)) != str(type_):
        return ResultVerdict(
            number=number, type=str(type_), largest_error=float("inf"), share=float("inf"), tolerance=tolerance,
            reason=f"it is {type_of(found)}",
        )  # fmt: skip
    a, b = found.astype(np.float64), stock.astype(np.float64)  # (integers are compared as they are, below)
    if not np.array_equal(_special(a), _special(b)):
        reason = "NaN or infinity stands in other places"
        largest = share = float("inf")
    elif a.size:
        finite = np.isfinite(b)
        largest = float(np.abs(a[finite] - b[finite]).max(initial=0.0))
        scale = float(np.abs(b[finite]).max(initial=0.0))
        share = largest / scale if scale else (0.0 if largest == 0 else float("inf"))
        different = int(np.count_nonzero(found != stock))
        if not tolerance and different:
            reason = f"{different} of {a.size} elements differ, and {type_.element} has to be equal"
        elif share > tolerance:
            reason = f"the error is {share:.2g} of the largest magnitude, more than {tolerance:g}"
    return ResultVerdict(
        number=number, type=str(type_), largest_error=largest, share=share, tolerance=tolerance, reason=reason
    )


def _special(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """1 for NaN, 2 and -2 for the infinities, 0 for all other numbers."""
    return np.where(np.isnan(values), 1, np.where(np.isinf(values), np.sign(values) * 2, 0))


def _input_types(function: Function, signatures: Mapping[str, tuple[str, ...]]) -> tuple[ValueType, ...] | None:
    """What the module declares, else what the model's frontend wrote."""
    from ..device.value_type import ValueType

    if function.inputs is not None:
        return function.inputs
    texts = signatures.get(function.name)
    if texts is None:
        return None
    parts = [text.split("x") for text in texts]
    return tuple(ValueType(element=p[-1], shape=tuple(None if s == "?" else int(s) for s in p[:-1])) for p in parts)


def draw_inputs(name: str, types: Sequence[ValueType] | None, seed: int) -> list[np.ndarray[Any, Any]]:
    """Normal numbers for floating-point inputs; 0 or 1 for integers, which may be indices into something small."""
    if types is None:
        raise DeviceError(
            f"the inputs of {name} are not known", expected="a declaration in the module or the model", found="none",
            next_step="give every input with --input",
        )  # fmt: skip
    random = np.random.default_rng(seed)
    return [_draw(kind, random) for kind in types]


def _draw(kind: ValueType, random: np.random.Generator) -> np.ndarray[Any, Any]:
    shape = tuple(DYNAMIC_SIZE if s is None else s for s in kind.shape or ())
    if kind.dtype is None:
        raise DeviceError("an input is neither a tensor nor a number", found=str(kind))
    if kind.dtype.kind in "iub":
        return random.integers(0, 2, shape).astype(kind.dtype)
    return random.standard_normal(shape).astype(kind.dtype)


def _with_device(flags: Sequence[str], device: str) -> tuple[str, ...]:
    if any(re.match(r"--iree-hal-(local-)?target-", flag) for flag in flags):
        return tuple(flags)
    return (*flags, *DEVICE_FLAGS.get(device.partition("://")[0], ()))


def _note(expected: Sequence[np.ndarray[Any, Any]]) -> str:
    flat = [i for i, e in enumerate(expected) if e.size > 1 and np.all(e == e.flat[0])]
    if not flat:
        return ""
    which = ", ".join(str(i) for i in flat)
    return f"result {which} of stock IREE is the same everywhere: these inputs prove little, give better ones"


def _prefixed(progress: Progress, prefix: str) -> Progress:
    return lambda what, share: progress(prefix + what, share)
