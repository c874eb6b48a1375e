"""Planted faults: the checker finds each, and lets right kernels pass."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime_tests.validate.faulty import (
    ENDING_FAULTS,
    GLSL_FAULTS,
    MATMUL_FAULTS,
    MATMUL_RIGHT,
    MEMORY_FAULTS,
    ORDER_FAULTS,
    ORDER_RIGHT,
    dispatch_of,
    matmuls,
    write_variants,
)
from substitute.device.counted import refuse_counters
from substitute.device.guarded import refuse_guards
from substitute.isolate import Call, isolated
from substitute.validate.build import only_bundle
from substitute.validate.bundle import Bundle
from substitute.validate.judge import Options
from substitute.validate.run import judge_isolated
from substitute.validate.subjects import Wanted
from substitute.validate.verdict import DispatchVerdict

pytestmark = [pytest.mark.compile, pytest.mark.device]

STAGES = {
    "dropped_tail": {"error"},  # (the right kernel's memset is there, so that the column is zero)
    "one_too_many": {"guard", "error"},
    "first_k_dropped": {"error"},
    "not_cleared": {"accumulates"},
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


def judged(
    folder: Path, kind: str, variants: Mapping[str, Any], *, limit_s: float = 0.0, **options: Any
) -> dict[str, DispatchVerdict]:
    """The verdict on each variant: one model, in which each takes one dispatch."""
    kernels = write_variants(folder, kind, variants)
    arguments = {
        "model": matmuls(len(kernels)).encode(),
        "kernels": kernels,
        "builtin": False,
        "wanted": Wanted(quick=True),
        "chosen": {dispatch_of(i): (name,) for i, name in enumerate(variants)},
        **options,
    }
    bundle: Bundle = isolated(Call(only_bundle, arguments), lambda *_: None)
    verdicts = judge_isolated(bundle, options=Options(limit_s=limit_s), progress=lambda *_: None)
    assert [v.kernel for v in verdicts] == list(variants)
    return {v.kernel: v for v in verdicts}


def test_faults_of_cpu_kernels(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, "llvm-ir", {**MATMUL_FAULTS, **MATMUL_RIGHT}, device="local-task")
    missed = [name for name in MATMUL_FAULTS if verdicts[name].passed]
    assert not missed
    assert [name for name in MATMUL_RIGHT if not verdicts[name].passed] == []
    assert [name for name, v in verdicts.items() if v.declared] == ["right_as_declared"]
    stages = {name: {c.stage for c in verdicts[name].failures} for name in MATMUL_FAULTS}
    assert {name: found for name, found in stages.items() if not found & STAGES[name]} == {}
    place = verdicts["last_row_not_launched"].failures[0].place
    assert place is not None
    assert place.coordinates == (17 + list(MATMUL_FAULTS).index("last_row_not_launched") - 1, 0)


@pytest.mark.skipif(bool(refuse_counters()), reason=refuse_counters() or "memory can be had at an agreed address")
def test_workgroups_in_another_order(tmp_path: Path) -> None:
    seen: set[str] = set()
    for attempt in range(5):  # on a busy machine no thread may come by while a table is half made
        folder = tmp_path / str(attempt)
        folder.mkdir()
        kernels = {name: fault for name, fault in ORDER_FAULTS.items() if name not in seen}
        verdicts = judged(
            folder,
            "llvm-ir",
            {**kernels, **ORDER_RIGHT},
            device="local-task",
            wanted=Wanted(quick=True, turned=True),
        )
        assert {name: verdicts[name].passed for name in ORDER_RIGHT} == dict.fromkeys(ORDER_RIGHT, True)
        seen |= {name for name in kernels if not verdicts[name].passed}
        if "marked_before_it_is_made" in kernels and "marked_before_it_is_made" in seen:
            (marked,) = {c.message.partition(":")[0] for c in verdicts["marked_before_it_is_made"].failures}
            assert marked == "by several threads at once, when it runs for the first time and changes @mark, @factor"
        if seen == set(ORDER_FAULTS):
            break
    assert seen == set(ORDER_FAULTS)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its planted faults are instructions of x86-64")
def test_kernels_that_end_the_process_or_never_end(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, "llvm-ir", {**ENDING_FAULTS, "right": ()}, device="local-task", limit_s=2.0)
    assert verdicts["right"].passed
    words = {name: [c.message for c in verdicts[name].failures] for name in ENDING_FAULTS}
    assert {stage for name in words for stage in (c.stage for c in verdicts[name].failures)} == {"launch"}
    assert all("it does not end: it was stopped after" in message for message in words["endless"])
    assert all("SIGILL: a trap" in message for message in words["traps"])
    assert all(message.endswith("died: exit status 5") for message in words["exits"])
    assert all("SIGSEGV" in message and "stack" in message for message in words["overflows"])
    # each case costs itself alone, until too many of a dispatch are lost
    assert [len(words[name]) for name in words] == [2, 3, 3, 3]


@pytest.mark.skipif(bool(refuse_guards()), reason=refuse_guards() or "memory is guarded")
def test_accesses_that_nothing_shows_but_the_page(tmp_path: Path) -> None:
    verdicts = judged(
        tmp_path, "llvm-ir", {**MEMORY_FAULTS, "right_aligned": MATMUL_RIGHT["right_aligned"]}, device="local-task"
    )
    found = {name: {(c.stage, c.message) for c in v.failures} for name, v in verdicts.items()}
    assert verdicts["right_aligned"].passed
    assert found["reads_behind"] == {("guard", "it reads outside of b: 96x33xf32: 0 bytes behind its end")}
    assert found["reads_before"] == {("guard", "it reads outside of a: 18x96xf32: 4 bytes before its start")}
    far = found["reads_far_behind"]
    # without guards there may be other memory in that place, or none
    words = {"guard": "it reads outside of a: 19x96xf32: ", "launch": "SIGSEGV"}
    assert far and all(words[stage] in message for stage, message in far)
    assert {stage for stage, _ in found["adds"]} == {"accumulates"}
    assert all("an aligned instruction on memory that is not aligned" in words for _, words in found["aligned"])


def test_faults_of_shaders(tmp_path: Path, vulkan_device: str) -> None:
    verdicts = judged(tmp_path, "glsl", GLSL_FAULTS, device=vulkan_device, flags=("--iree-hal-target-device=vulkan",))
    assert {name: v.passed for name, v in verdicts.items()} == {
        "glsl_k_dropped": False,
        "glsl_wrong_column": False,
        "glsl_right": True,
    }
