"""Changes that cannot change a result, with the reason, and faults that are not found yet."""

from __future__ import annotations

import re

from runtime_tests.faults.kernel import Variant

GUARDED = "the kernel checks its indices, so that one more workgroup does nothing"
SPREAD = "a NaN reaches every element of its row through the sum, whatever the maximum is"
ZEROS = "a tile behind the last is filled with zeros, so that one more adds nothing"
LARGER = "of two equal numbers it does not matter which one is taken"
RULES: tuple[tuple[str, str, str], ...] = (
    # (names of right kernels, changes, the reason), as regular expressions
    (r"\.(comp|shader_py|spv|ptx)$", r"workgroup_count: (?!M →)(?!max\(M, 1\))", GUARDED),
    (r"\.ptx$", r"workgroup_count: max\(M, 1\) → max\(M, 1\) \+ 1", GUARDED),
    (
        r"^(difference|silu|gelu|clamp|narrowed|sum_bf16|integers|dequantized|matmul_tiled)\.(ll|bc|o)$",
        r"workgroup_count: .* \+ 1$",
        GUARDED,
    ),
    (r"^softmax\.", r"llvm\.maximum.* → .*fcmp ogt|^max without NaN$", SPREAD),
    (r"^matmul_tiled\.ptx$", r"setp\.lt\.u32 more, t, depth; → .*setp\.le", ZEROS),
    (r"^integers\.", r"icmp sgt .* → .*icmp sge", LARGER),
)


def reason(variant: Variant) -> str:
    """Return why a changed variant is equivalent to the original; empty if it is not."""
    for names, changes, why in RULES:
        if re.search(names, variant.of) and re.search(changes, variant.change):
            if "workgroup_count" in variant.change and not variant.change.endswith("+ 1"):
                continue
            return why
    return ""


REMAINING: dict[str, str] = {}
"""Faults that the protocol does not find, by the variant's name, with the cause."""
