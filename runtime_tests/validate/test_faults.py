"""Planted faults: the checker finds each, and lets right kernels pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime_tests.validate.faulty import (
    GLSL_FAULTS,
    MATMUL_FAULTS,
    MATMUL_RIGHT,
    dispatch_of,
    matmuls,
    write_variants,
)
from substitute.isolate import Call, isolated
from substitute.validate.build import Wanted, only_bundle
from substitute.validate.bundle import Bundle
from substitute.validate.run import judge_isolated
from substitute.validate.verdict import DispatchVerdict

pytestmark = [pytest.mark.compile, pytest.mark.device]

STAGES = {
    "dropped_tail": {"error"},  # (the right kernel's memset is there, so that the column is zero)
    "one_too_many": {"guard", "error"},
    "first_k_dropped": {"error"},
    "not_cleared": {"unwritten"},  # NaN and a large number, both of which swallow what is added
    "transposed": {"error"},
    "same_row": {"error"},
    "operand_changed": {"guard"},
    "zeros": {"error"},
    "copied_input": {"error"},
    "half_precision": {"error", "non-finite"},
    "nan_swallowed": {"non-finite"},
    "address_dependent": {"repeat", "error"},
    "slightly_off": {"error"},
    "last_row_not_launched": {"unwritten"},
    "dereferences_null": {"launch"},
}
"""At which stage each fault is found."""


def judged(folder: Path, kind: str, variants: Mapping[str, Any], **options: Any) -> dict[str, DispatchVerdict]:
    """The verdict on each variant: one model, in which each takes one dispatch."""
    kernels = write_variants(folder, kind, variants)
    arguments = {
        "model": matmuls(len(kernels)).encode(), "kernels": kernels, "builtin": False, "wanted": Wanted(quick=True),
        "chosen": {dispatch_of(i): (name,) for i, name in enumerate(variants)}, **options,
    }  # fmt: skip
    bundle: Bundle = isolated(Call(only_bundle, arguments), lambda *_: None)
    verdicts = judge_isolated(bundle, progress=lambda *_: None)
    assert [v.kernel for v in verdicts] == list(variants)
    return {v.kernel: v for v in verdicts}


def test_faults_of_cpu_kernels(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, "llvm-ir", {**MATMUL_FAULTS, **MATMUL_RIGHT}, device="local-task")
    missed = [name for name in MATMUL_FAULTS if verdicts[name].passed]
    assert not missed
    assert [name for name in MATMUL_RIGHT if not verdicts[name].passed] == []
    stages = {name: {c.stage for c in verdicts[name].failures} for name in MATMUL_FAULTS}
    assert {name: found for name, found in stages.items() if not found & STAGES[name]} == {}
    place = verdicts["last_row_not_launched"].failures[0].place
    assert place is not None
    assert place.coordinates == (17 + list(MATMUL_FAULTS).index("last_row_not_launched") - 1, 0)


def test_faults_of_shaders(tmp_path: Path, vulkan_device: str) -> None:
    verdicts = judged(tmp_path, "glsl", GLSL_FAULTS, device=vulkan_device, flags=("--iree-hal-target-device=vulkan",))
    assert {name: v.passed for name, v in verdicts.items()} == {
        "glsl_k_dropped": False, "glsl_wrong_column": False, "glsl_right": True,
    }  # fmt: skip
