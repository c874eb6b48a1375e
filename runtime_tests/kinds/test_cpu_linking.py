"""Symbols, linking, names and threads of CPU payloads, with several in one module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.models import ALL_MARKED, CHAIN, INPUTS, A, B, C, D, matmul_folder
from runtime_tests.kinds.programs import (
    CPU_KINDS,
    MARK,
    MATMUL_DEFINITION,
    KernelFolder,
    build,
    floats,
    matmul_operands,
    matmul_text,
    run,
)
from substitute.device import run_module

pytestmark = pytest.mark.device


@pytest.mark.parametrize("kind", ["llvm-bitcode", "object"])
def test_executables_that_are_not_linked_together(tmp_path: Path, kind: str) -> None:
    """The flag belongs to the process, so that the compiler has to run in a separate one."""
    kernel = matmul_folder(kind).write(tmp_path / "kernel")
    flags = ["--iree-hal-link-executables=false"]
    apart = build(tmp_path, CHAIN, [kernel], flags=flags, substituted=3, isolate=True)
    together = build(tmp_path, CHAIN, [kernel], substituted=3)
    assert apart.vmfb.count(b"\x7fELF") == 3
    assert together.vmfb.count(b"\x7fELF") == 1
    for result in (apart, together):
        (found,) = run_module(result.vmfb, device="local-sync", inputs=INPUTS)
        np.testing.assert_allclose(found, ALL_MARKED, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_two_payloads_with_one_symbol(tmp_path: Path, kind: str) -> None:
    """Each of two kernels calls its function `kernel`, and each dispatch gets its own."""
    folders = []
    for name, mark in (("0", 5.0), ("1", 11.0)):
        folder = KernelFolder(
            matmul_text(mark=mark),
            kind=kind,
            name=f"marked{name}",
            definition=MATMUL_DEFINITION,
            operands=matmul_operands(),
            workgroup_count=("M", "1", "1"),
            keys={"dispatches": [f"dispatch_{name}_"]},
        )
        folders.append(folder.write(tmp_path / name))
    (found,) = run(tmp_path, CHAIN, folders, INPUTS, substituted=2)
    np.testing.assert_allclose(found, (A @ B + 5) @ (C @ D + 11), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_a_kernel_on_one_of_several_dispatches(tmp_path: Path, kind: str) -> None:
    """IREE's own code for the others is linked with the payload."""
    kernel = matmul_folder(kind, dispatches=["dispatch_1_"]).write(tmp_path / "kernel")
    (found,) = run(tmp_path, CHAIN, [kernel], INPUTS)
    np.testing.assert_allclose(found, A @ B @ (C @ D + MARK), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_names_that_need_quotes(tmp_path: Path, kind: str) -> None:
    model = CHAIN.replace("@main", '@"a model\'s $name {x}"')
    kernel = matmul_folder(kind).write(tmp_path / 'a kernel\'s "folder" $x')
    (found,) = run(tmp_path, model, [kernel], INPUTS, substituted=3)
    np.testing.assert_allclose(found, ALL_MARKED, rtol=1e-4, atol=1e-3)


def test_many_threads(tmp_path: Path) -> None:
    """Rows of a large result are workgroups, which threads take in any order, each its own."""
    model = """
func.func @main(%a: tensor<512x8xf32>, %b: tensor<8x300xf32>) -> tensor<512x300xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<512x300xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<512x300xf32>) -> tensor<512x300xf32>
  %c = linalg.matmul ins(%a, %b : tensor<512x8xf32>, tensor<8x300xf32>)
                     outs(%i : tensor<512x300xf32>) -> tensor<512x300xf32>
  return %c : tensor<512x300xf32>
}
"""
    a, b = floats(512, 8), floats(8, 300)
    kernel = matmul_folder().write(tmp_path / "kernel")
    (found,) = run(tmp_path, model, [kernel], [a, b], device="local-task")
    np.testing.assert_allclose(found, a @ b + MARK, rtol=1e-4, atol=1e-4)
