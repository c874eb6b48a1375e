"""Every dispatch of the test models is read, for every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runtime_tests.conftest import CPU_FLAGS, VULKAN_FLAGS
from runtime_tests.models import BUILDERS, Model
from substitute.inspection import inspect_model

pytestmark = pytest.mark.compile

TARGETS = {
    "llvm-cpu": CPU_FLAGS,
    "vulkan-spirv": VULKAN_FLAGS,
    "cuda": ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80"),
}


@pytest.mark.parametrize("name", [name for name, _ in BUILDERS])
@pytest.mark.parametrize("backend", TARGETS)
def test_every_dispatch_is_read(make_model: Callable[[str], Model], name: str, backend: str) -> None:
    plan = inspect_model(make_model(name).path, builtin=False, flags=TARGETS[backend])
    assert plan.dispatches
    assert {d.target.backend for d in plan.dispatches} == {backend}
    assert [(d.name, d.reason) for d in plan.dispatches if d.program is None] == []
    # a twin: the reader does tell what it has seen
    assert len({d.kind for d in plan.dispatches}) > 1 or len(plan.dispatches) < 4
    assert all(d.operations or d.kind in ("copy", "elementwise") for d in plan.dispatches)


def test_twin_data_tiling_is_refused_by_name(mlp: Model) -> None:
    plan = inspect_model(mlp.path, builtin=False, flags=(*CPU_FLAGS, "--iree-opt-data-tiling"))
    reasons = [d.reason for d in plan.dispatches if d.program is None]
    assert reasons
    assert all("encoded tensor" in r and r.endswith("compile without data tiling") for r in reasons)
