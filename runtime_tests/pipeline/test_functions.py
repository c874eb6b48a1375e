"""Built-in kernels in every small function of `read.programs` compute what stock IREE computes on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.conftest import CPU_FLAGS, VULKAN_FLAGS
from runtime_tests.read.interpreter import flat
from runtime_tests.read.programs import FUNCTIONS, inputs_of
from substitute.device import Session
from substitute.pipeline import compile_model

pytestmark = [pytest.mark.compile, pytest.mark.device]

TEXT = "".join(f.text for f in FUNCTIONS)
NO_KERNEL = {"cpu": frozenset({"argmax"}), "vulkan": frozenset({"argmax", "bytes_product"})}
"""By backend: what no built-in kernel takes yet."""
STOCK_IS_WRONG = frozenset({"bytes_product"})
"""IREE's own code for Vulkan, on a device without 8-bit arithmetic."""


@dataclass(frozen=True, slots=True)
class Built:
    """A module, and the kernel in each function."""

    session: Session
    kernels: dict[str, str]


def build(folder: Path, flags: tuple[str, ...], device: str) -> Iterator[Built]:
    model = folder / "functions.mlir"
    model.write_text(TEXT)
    result = compile_model(model, flags=flags)
    kernels = {s.dispatch.name.partition("_dispatch_")[0]: s.kernel.name for s in result.plan.substitutions}
    with Session(result.vmfb, device=device) as session:
        yield Built(session, kernels)


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    yield from build(tmp_path_factory.mktemp("cpu"), CPU_FLAGS, "local-task")


@pytest.fixture(scope="module")
def vulkan(tmp_path_factory: pytest.TempPathFactory, vulkan_device: str) -> Iterator[Built]:
    yield from build(tmp_path_factory.mktemp("vulkan"), VULKAN_FLAGS, vulkan_device)


@pytest.fixture(scope="module")
def stock(compile_stock: Callable[..., Path]) -> Iterator[Session]:
    with Session(compile_stock(TEXT), device="local-sync") as session:
        yield session


@pytest.mark.parametrize("name", [f.name for f in FUNCTIONS])
@pytest.mark.parametrize("where", ["cpu", "vulkan"])
def test_function(request: pytest.FixtureRequest, stock: Session, where: str, name: str) -> None:
    built: Built = request.getfixturevalue(where)
    assert (name in built.kernels) != (name in NO_KERNEL[where])
    if where == "vulkan" and name in STOCK_IS_WRONG:
        return
    inputs = inputs_of(next(f for f in FUNCTIONS if f.name == name))
    for found, expected in zip(built.session.call(name, inputs), stock.call(name, inputs), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-5, atol=1e-5)
