"""The suite: which right kernels, and which of the many wrong ones that the operators could make."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from runtime_tests.faults.by_hand import faults_by_hand
from runtime_tests.faults.equivalent import reason
from runtime_tests.faults.generators import generator_controls
from runtime_tests.faults.kernel import Variant
from runtime_tests.faults.llvm_texts import llvm_controls
from runtime_tests.faults.operators import launch_mutants, source_mutants
from runtime_tests.faults.ptx_texts import ptx_controls
from runtime_tests.faults.shaders import shader_controls

SEED = 20261123
PER_KIND = {
    "llvm-ir": 90,
    "llvm-bitcode": 18,
    "object": 18,
    "llvm-generator": 16,
    "glsl": 22,
    "glsl-generator": 8,
    "spirv": 10,
    "ptx": 24,
}
"""Number of mutants of each kind of payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Right kernels, and wrong ones."""

    controls: tuple[Variant, ...]
    mutants: tuple[Variant, ...]
    """With a `reason` in `equivalent` where a change cannot change a result."""


@cache
def suite() -> Suite:
    """Always the same."""
    controls = (*llvm_controls(), *generator_controls(), *shader_controls(), *ptx_controls())
    made = []
    for kind, count in PER_KIND.items():
        found = [m for c in controls if c.kind == kind for m in (*source_mutants(c), *launch_mutants(c))]
        made += _drawn(found, count)
    made += faults_by_hand({c.name: c for c in controls})
    return Suite(controls=controls, mutants=tuple(replace(m, equivalent=reason(m)) for m in made))


def _drawn(found: Sequence[Variant], count: int) -> list[Variant]:
    """In turn one of each class of faults, so that rare classes are not left out."""
    chance = random.Random(SEED)
    classes: dict[str, list[Variant]] = defaultdict(list)
    for mutant in found:
        classes[mutant.fault].append(mutant)
    for members in classes.values():
        chance.shuffle(members)
    taken: list[Variant] = []
    while len(taken) < count and any(classes.values()):
        for members in classes.values():
            if members and len(taken) < count:
                taken.append(members.pop())
    return sorted(taken, key=lambda m: m.name)
