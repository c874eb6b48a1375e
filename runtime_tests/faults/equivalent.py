"""Changes that cannot change a result, with the reason, and faults that are not found yet."""

from __future__ import annotations

import re

from runtime_tests.faults.kernel import Variant

GUARDED = "the kernel checks its indices, so that one more workgroup does nothing"
SPREAD = "a NaN reaches every element of its row through the sum, whatever the maximum is"
LARGER = "of two equal numbers it does not matter which one is taken"
RULES: tuple[tuple[str, str, str], ...] = (
    # (names of right kernels, changes, the reason), as regular expressions
    (r"\.(comp|shader_py|spv|ptx)$", r"workgroup_count: (?!M →)(?!max\(M, 1\))", GUARDED),
    (r"\.ptx$", r"workgroup_count: max\(M, 1\) → max\(M, 1\) \+ 1", GUARDED),
    (r"^(difference|silu|gelu|clamp|narrowed|sum_bf16|integers|dequantized|matmul_tiled)\.(ll|bc|o)$",
     r"workgroup_count: .* \+ 1$", GUARDED),
    (r"^softmax\.", r"llvm\.maximum.* → .*fcmp ogt", SPREAD),
    (r"^integers\.", r"icmp sgt .* → .*icmp sge", LARGER),
)  # fmt: skip


def reason(variant: Variant) -> str:
    """Why a variant with a change is as right as the one that it was made from; empty if it is not."""
    for names, changes, why in RULES:
        if re.search(names, variant.of) and re.search(changes, variant.change):
            if "workgroup_count" in variant.change and not variant.change.endswith("+ 1"):
                continue
            return why
    return ""


REMAINING = {
    "narrowed.ptx.1": "towards zero in the place of to the nearest lies within twice the bound, and where there is no "
    "baseline (on the simulated CUDA device) nothing looks at the bias",
    "narrowed.ll.6": "towards zero lies within twice the bound of one rounding, and few of the draws decide the bias",
    "narrowed.ll.hand7": "on devices of this machine subnormal results may be zero wherever something is computed",
    "narrowed.ll.hand8": "no class of inputs holds what is finite in f32 and beyond the largest f16",
    "sum_bf16.ll.7": "ties away from even lie within twice the bound of one rounding, and ties are rare",
    "sum_bf16.ll.8": "towards zero lies within twice the bound of one rounding",
    "difference.spv.0": "not found on lavapipe; presumably it drops what is written behind the range of a descriptor",
}
"""Faults that the protocol does not find, with the cause."""
