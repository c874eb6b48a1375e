"""A fixed set of random programs is right on both backends, and a planted fault is found and made small."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime_tests.fuzz.campaign import draw
from runtime_tests.fuzz.choices import Choices
from runtime_tests.fuzz.function import Function
from runtime_tests.fuzz.judge import judge_functions
from runtime_tests.fuzz.layout import Layout
from runtime_tests.fuzz.outcome import OURS, Report, Setting
from runtime_tests.fuzz.shrink import shrink
from substitute.inspection import inspect_model
from substitute.payload.check import BROKEN, pair_of, reject_broken

CPU_PROGRAMS, FUSED_PROGRAMS, VULKAN_PROGRAMS = 125, 40, 35
FITTING_PROGRAMS = 12
CAMPAIGN = "test"
KERNELS = Path(__file__).parents[2] / "kernels"


def judge(first: int, count: int, setting: Setting) -> Report:
    return judge_functions([draw(f"{CAMPAIGN}:{n}") for n in range(first, first + count)], setting)


def check(report: Report, programs: int) -> None:
    wrong = [f"{CAMPAIGN}:{f.number}: {f.kind} {f.kernel} {f.message}" for f in report.findings if f.kind in OURS]
    assert wrong == []
    assert report.counts["substituted"] > programs // 2
    assert report.counts["cases"] > programs
    assert len(report.refused) < programs // 10


@pytest.mark.device
def test_random_programs_on_the_cpu() -> None:
    check(judge(0, CPU_PROGRAMS, Setting(whole=False)), CPU_PROGRAMS)


@pytest.mark.device
def test_random_programs_of_which_more_is_fused() -> None:
    setting = Setting(flags=("--iree-opt-level=O2",), whole=False)
    check(judge(CPU_PROGRAMS, FUSED_PROGRAMS, setting), FUSED_PROGRAMS)


@pytest.mark.device
def test_random_programs_on_vulkan(vulkan_device: str) -> None:
    check(
        judge(CPU_PROGRAMS + FUSED_PROGRAMS, VULKAN_PROGRAMS, Setting(device=vulkan_device, whole=False)),
        VULKAN_PROGRAMS,
    )


@pytest.mark.device
def test_the_code_of_each_kernel_that_fits_is_made(tmp_path: Path) -> None:
    """Also that of kernels that another one is preferred to."""
    functions = dict(enumerate(draw(f"{CAMPAIGN}:{n}") for n in range(900, 900 + FITTING_PROGRAMS)))
    file = tmp_path / "programs.mlir"
    file.write_bytes(Layout(functions, together=1).text)
    plan = inspect_model(file)
    fitting = {pair_of(d) for d in plan.decisions if d.accepted}
    assert len(fitting) > len(plan.substitutions) > FITTING_PROGRAMS // 2
    made = reject_broken(plan, made=fitting)
    broken = [(d.kernel.name, d.dispatch.name, d.rules[-1].found) for d in made.decisions if d.rules[-1].name == BROKEN]
    assert broken == []


@pytest.mark.device
def test_a_planted_fault_is_found_and_made_small(tmp_path: Path) -> None:
    """A copy of the built-in kernel for rows that takes what it should add away."""
    for room in ("row_reduce", "rows"):
        shutil.copytree(KERNELS / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    place, generator = tmp_path / "row_reduce", tmp_path / "rows" / "generator.py"
    generator.write_text(
        generator.read_text()
        + """
_right = generate


def generate(request):
    from dataclasses import replace

    made = _right(request)
    return replace(made, text=made.text.replace("= fadd ", "= fsub "))
"""
    )
    setting = Setting(kernels=(place,), builtin=False, whole=False)

    def failing(functions: Sequence[Function]) -> list[bool]:
        report = judge_functions(functions, setting)
        wrong = {f.number for f in report.findings if f.kind == "wrong"}
        return [number in wrong for number in range(len(functions))]

    functions = [f for n in range(100) if (f := draw(f"{CAMPAIGN}:{n}")).kinds[0] == "reduction"][:8]
    wrong = [f for f, fails in zip(functions, failing(functions), strict=True) if fails]
    assert wrong
    worst = max(wrong, key=lambda f: len(f.parts))
    small = shrink(worst, draw, failing, modules=3)
    assert failing([small]) == [True]
    assert len(small.parts) < len(worst.parts)


@pytest.mark.unit
def test_a_seed_and_its_record_give_the_same_program() -> None:
    for number in range(200):
        function = draw(f"{CAMPAIGN}:{number}")
        again = draw("again", function.choices)
        assert (again.parts, again.arguments, again.choices) == (function.parts, function.arguments, function.choices)


@pytest.mark.unit
def test_every_operation_and_type_is_drawn() -> None:
    functions = [draw(f"{CAMPAIGN}:{number}") for number in range(1000)]
    kinds = Counter(kind for f in functions for kind in f.kinds)
    assert min(kinds.values()) >= 5, kinds
    elements = Counter(a.element for f in functions for a in f.arguments)
    assert {"f32", "f16", "bf16", "f64", "i1", "i8", "i16", "i32", "i64"} <= set(elements)
    ranks = {len(a.shape) for f in functions for a in f.arguments if a.shape is not None}
    assert {0, 1, 2, 3, 4, 5} <= ranks
    assert any(a.shape is None for f in functions for a in f.arguments)
    assert any(0 in s.values for f in functions for a in f.arguments for s in a.shape or ())


@pytest.mark.unit
def test_an_empty_record_gives_a_small_program() -> None:
    assert len(draw("", []).parts) < 12


@pytest.mark.unit
def test_numbers_behind_a_record_are_zero() -> None:
    choices = Choices(record=[5, 1])
    assert [choices.below(3), choices.below(3), choices.below(9)] == [2, 1, 0]
