"""Demands of the compiler's flags on the numbers that generated code computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Demand = Literal["order", "roundings", "flushed-denormals", "ieee-division", "ieee-sqrt", "separate-multiply-add"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandRule:
    """A flag of iree-compile that is read after the dispatches are formed, so that only code generation sees it."""

    name: str
    """Without dashes."""
    values: tuple[str, ...]
    """Values that demand something; the others permit something, which a kernel need not use."""
    kind: Demand
    backends: tuple[str, ...]
    boolean: bool = False


# fmt: off
DEMANDS = (
    DemandRule(
        name="iree-llvmcpu-reassociate-fp-reductions", values=("false",), kind="order", backends=("llvm-cpu",),
        boolean=True,
    ),
    DemandRule(
        name="iree-llvmcpu-skip-intermediate-roundings", values=("false",), kind="roundings", backends=("llvm-cpu",),
        boolean=True,
    ),
    DemandRule(
        name="iree-vmvx-skip-intermediate-roundings", values=("false",), kind="roundings",
        backends=("vmvx", "vmvx-inline"), boolean=True,
    ),
    DemandRule(
        name="iree-rocm-denormal-fp-math-f32", values=("preserve-sign", "positive-zero"), kind="flushed-denormals",
        backends=("rocm",),
    ),
    DemandRule(name="nvptx-prec-divf32", values=("2", "3"), kind="ieee-division", backends=("cuda",)),
    DemandRule(name="nvptx-prec-sqrtf32", values=("true",), kind="ieee-sqrt", backends=("cuda",), boolean=True),
    DemandRule(
        name="nvptx-rsqrt-approx-opt", values=("false",), kind="ieee-sqrt", backends=("cuda",), boolean=True
    ),
    DemandRule(name="nvptx-fma-level", values=("0",), kind="separate-multiply-add", backends=("cuda",)),
)
# fmt: on
"""Flags that forbid something. Those that change the program before the dispatches are formed (`--iree-input-demote-…`,
`--iree-opt-numeric-precision-reduction`, `--iree-global-opt-demote-contraction-inputs-…`, `…-qdq-to-integer-math`,
`…-split-reduction`) take effect in the dispatches, and so in matching. Those that only permit something
(`--iree-llvmcpu-use-fast-min-max-ops`, `fastmath` of an operation) demand nothing of a kernel."""

MEANINGS: dict[Demand, str] = {
    "order": "float sums and products in the order of the loops",
    "roundings": "every step of a sum rounded to the type that it accumulates in",
    "flushed-denormals": "f32 denormals flushed to zero",
    "ieee-division": "divisions rounded as IEEE 754 says",
    "ieee-sqrt": "square roots rounded as IEEE 754 says",
    "separate-multiply-add": "products rounded before they are added",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericDemand:
    """One demand, and the flag that makes it."""

    kind: Demand
    flag: str
    backends: tuple[str, ...]
