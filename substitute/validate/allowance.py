"""Allowed errors of each element of a result, decided before any result is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..model.accuracy import Accuracy
from ..model.dispatch import Nest, Program
from ..model.laws import LAWS
from ..model.ops import LEAVES, OPERATIONS
from ..model.scalar import Scalar
from .elements import SIGNIFICANT_BITS, is_float, largest, smallest_normal, storage_type, ulp

if TYPE_CHECKING:
    from ..golden import Store

ROUNDED_OPS = frozenset(n for n, o in OPERATIONS.items() if o.rounds == "correctly")
"""Operations that IEEE 754 rounds correctly."""
UNROUNDED_OPS = LEAVES | {n for n, o in OPERATIONS.items() if o.rounds == "never"}
"""Operations that never round."""
EXACT_OPS = ROUNDED_OPS | UNROUNDED_OPS | {"math.fma"}
"""Operations that give an exact integer for small integer operands."""
EXACT_COMBINERS = frozenset(f"arith.{name}" for name in ("addf", "maximumf", "minimumf", "maxnumf", "minnumf"))
MOVES = LEAVES | {"arith.negf", "math.absf", "math.copysign", "arith.select", "arith.bitcast"}
"""Operations that keep every bit but the sign."""
SIGNED = MOVES | {
    *(f"arith.{name}" for name in ("maximumf", "minimumf", "mulf", "extf", "truncf", "cmpf")),
    *(f"math.{name}" for name in ("floor", "ceil", "round", "roundeven", "trunc", "sqrt")),
}
"""Operations that give zeros a sign that does not depend on how they are computed."""
LARGEST_EXACT = {"exact": 3, "ones": 1}
"""Classes of inputs that are integers, and the largest of them (1 in types of few bits)."""
SLACK = 2.0
"""Allowed error in units of the golden's bound, if there are sums or functions: the bound is for the order of the body;
for short sums, adding a fused residual first instead of last (as IREE's own code does) may cost 1.7 of it."""
SPARE_BITS = 3
"""Room for what an epilogue adds to the sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Properties of a program that decide the allowed errors."""

    roundings: tuple[str, ...] | None = None
    """Element types of the operations that round, where nothing is done but correctly rounded operations on single
    elements, so that the golden's bound holds without slack; None: there is more."""
    largest: int = 0
    """Inputs are integers up to this one and all partial sums are integers; 0: they are not."""
    flushes: bool = True
    """Numbers below the smallest normal one may be taken for zero."""
    subnormal: bool = True
    """There may be such numbers among the operands."""
    ulps: float = 0.0
    """Most units in the last place that a law changes by which the kernel's definition is what is computed here."""
    declared: Accuracy | None = None
    """The kernel's own bound, which replaces all others."""

    @property
    def plain(self) -> bool:
        """True if the golden's bound holds without slack, and the kernel declares no bound of its own."""
        return self.roundings is not None and self.declared is None

    def of_store(self, store: Store, largest: Store | None = None) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The golden, and what each element may be off by: 0, with a golden that its type holds, for certain bits.

        `largest`: the store of operands of which every element is the largest one, see `Accuracy.relative_to`.
        """
        golden, element = store.golden, store.subspan.element
        values = np.asarray(golden.value)
        error = np.broadcast_to(np.asarray(golden.error, np.float64), values.shape)
        if not is_float(element):
            return values, np.array(error if self.plain else SLACK * error)
        flushed = 2 * (1 + golden.depth) * smallest_normal(element) if self.flushes else 0.0
        if self.declared is not None:
            worst = golden if largest is None else largest.golden
            errors = np.maximum(error, np.broadcast_to(np.asarray(worst.error, np.float64), values.shape))
            return values, np.array(SLACK * self.declared.factor * errors + flushed)
        if self.roundings is not None:
            changed = flushed if self.subnormal and self.roundings else 0.0
            return _held(values, error, element, self.roundings == (element,), changed, flushes=self.flushes)
        # each rounding of the body, half a unit, may be one of the law's as well
        allowed = (SLACK + 2 * self.ulps) * error + flushed
        if self.largest:
            exact = _representable(values, golden.depth * self.largest**2, element)
            allowed = np.where(exact & np.isfinite(allowed), 0.0, allowed)
        return values, np.array(allowed)


def _held(
    values: NDArray[Any], error: NDArray[np.float64], element: str, only: bool, changed: float, *, flushes: bool
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the golden and the allowed error, which is 0 where a stored value was rounded once, from exact numbers.

    `only`: nothing else rounds; `changed`: by so much results may change where operands are flushed to zero.
    """
    size = np.abs(values)
    low = flushes & (size > 0) & (size < smallest_normal(element))
    step = ulp(values, element)
    once = (error == 0) | (error == step / 2)
    if only:  # beyond the largest number too, of which the golden's bound says nothing
        once |= np.isinf(error) & (size + step >= largest(element))
    once &= ~low & (changed == 0) & (element != "f64")
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = values.astype(storage_type(element)).astype(np.float64)
    allowed = np.where(low, np.maximum(error, size), error) + changed
    return np.where(once, nearest, values), np.where(once, 0.0, allowed)


def allowance(
    program: Program | None,
    inputs: str,
    *,
    flushes: bool,
    subnormal: bool = True,
    laws: Sequence[str] = (),
    declared: Accuracy | None = None,
) -> Allowance:
    """For a program on a class of inputs; see `Allowance`. `laws`: those by which a kernel was matched."""
    if declared is not None:
        return Allowance(flushes=flushes, subnormal=subnormal, declared=declared)
    inexact = [LAWS[name] for name in laws if not LAWS[name].is_exact]
    if inexact:
        return Allowance(flushes=flushes, subnormal=subnormal, ulps=max(law.widening for law in inexact))
    if program is None:
        return Allowance(flushes=flushes)
    return Allowance(
        roundings=roundings(program),
        largest=LARGEST_EXACT.get(inputs, 0) if is_exact(program) else 0,
        flushes=flushes,
        subnormal=subnormal,
    )


def keeps_bits(program: Program) -> bool:
    """Return whether a program only moves numbers: no device may change a subnormal one."""
    nests = [nest for nest in (*program.cores, *program.stores) if isinstance(nest, Nest)]
    return len(nests) == len(program.cores) + len(program.stores) and all(
        not nest.combiner and all(node.op in MOVES for node in nest.expr.nodes if _touches_floats(nest, node))
        for nest in nests
    )


def decides_signs(program: Program) -> bool:
    """Return whether the sign of each zero in a program's results is one that every right kernel gives."""
    nests = [nest for nest in (*program.cores, *program.stores) if isinstance(nest, Nest)]
    return len(nests) == len(program.cores) + len(program.stores) and all(
        nest.combiner in ("", None, "arith.maximumf", "arith.minimumf")
        and all(node.op in SIGNED for node in nest.expr.nodes if _touches_floats(nest, node))
        for nest in nests
    )


def _touches_floats(nest: Nest, node: Scalar) -> bool:
    return is_float(node.type) or any(is_float(nest.expr.nodes[at].type) for at in node.operands)


def is_exact(program: Program) -> bool:
    """True if small integers give integers: one reduction at most, and nothing that has to be rounded."""
    cores = [core for core in program.cores if isinstance(core, Nest)]
    if len(cores) != len(program.cores) or len(cores) > 1:
        return False
    if any(core.combiner and core.combiner not in EXACT_COMBINERS for core in cores):
        return False
    return all(
        node.op in EXACT_OPS and (node.op != "constant" or float(node.attribute or 0).is_integer())  # type: ignore[arg-type]
        for nest in (*cores, *program.stores)
        for node in nest.expr.nodes
        if is_float(node.type)
    )


def roundings(program: Program) -> tuple[str, ...] | None:
    """The element types of the operations that round, in a program that only computes on single elements.

    None where there is a reduction, a function, or a division, which devices may approximate.
    """
    if any(not isinstance(core, Nest) or core.combiner for core in program.cores):
        return None
    cores = [core for core in program.cores if isinstance(core, Nest)]
    nodes = [node for nest in (*cores, *program.stores) for node in nest.expr.nodes]
    if not all(node.op in ROUNDED_OPS | UNROUNDED_OPS for node in nodes if is_float(node.type)):
        return None
    return tuple(node.type for node in nodes if node.op in ROUNDED_OPS)


def _representable(value: NDArray[Any], sum_: int, element: str) -> NDArray[np.bool_]:
    """Return a mask of results where every partial sum, at most `sum_`, and the result are exact integers of the
    type.
    """
    limit = 2.0 ** (SIGNIFICANT_BITS[element] - SPARE_BITS)
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(value) <= limit) & (value == np.rint(value)) & (sum_ <= limit))
