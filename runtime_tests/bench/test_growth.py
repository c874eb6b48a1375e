from __future__ import annotations

import re
from pathlib import Path

import pytest

from substitute.bench.growth import synthetic_module, write_catalog
from substitute.catalog.catalog import load_catalog
from substitute.inspection import inspect_model
from substitute.match.planner import decide

FLAGS = ("--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu")


@pytest.mark.unit
def test_no_two_functions_of_a_synthetic_module_are_alike() -> None:
    functions = re.split(r"\nfunc\.func @f\d+", synthetic_module(1000))[1:]
    assert len(set(functions)) == 1000


@pytest.mark.compile
def test_synthetic_modules_have_one_dispatch_per_function_and_all_are_taken(tmp_path: Path) -> None:
    source = tmp_path / "m.mlir"
    source.write_text(synthetic_module(7))
    plan = inspect_model(source, flags=FLAGS)
    assert len({d.executable for d in plan.dispatches}) == 7
    assert [d.kind for d in plan.dispatches] == ["contraction", "elementwise", "reduction"] * 2 + ["contraction"]
    assert len(plan.substitutions) == 7


@pytest.mark.compile
def test_synthetic_catalogs_are_sound_and_match_nothing(tmp_path: Path) -> None:
    from substitute.payload.build import accepts
    from substitute.read.definition import read_forms

    kernels = load_catalog([write_catalog(tmp_path / "kernels", 12)], builtin=False, read_forms=read_forms).kernels
    assert len({kernel.name for kernel in kernels}) == 12
    assert len({kernel.forms for kernel in kernels}) == 12
    source = tmp_path / "m.mlir"
    source.write_text(synthetic_module(3))
    for dispatch in inspect_model(source, flags=FLAGS).dispatches:
        for kernel in kernels:
            decision = decide(kernel, dispatch, accepts)
            # rejected for what it computes, so that the whole of matching was measured, and nothing but matching
            assert not decision.accepted
            assert decision.rules[-1].name.startswith("structure")
