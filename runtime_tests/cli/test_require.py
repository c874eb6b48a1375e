"""`--require`: a kernel that takes nothing is an error that names the nearest; one that takes something is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime_tests.cli.conftest import Run


@pytest.mark.compile
def test_a_required_kernel(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert run("new", folder, "--kind", "llvm-ir").status == 0
    common = (folder / "example.mlir", "--kernels", folder, "--no-builtin", "--require", "mine")
    taken = run("inspect", *common)
    assert taken.status == 0 and "1 of 1 dispatches have a kernel" in taken.out
    manifest = folder / "kernel.toml"
    manifest.write_text(manifest.read_text().replace("N % 16", "N % 17"))
    missed = run("inspect", *common)
    assert missed.status == 1 and missed.out == ""
    assert "the required kernel mine took no dispatch" in missed.err and "N % 17 == 0" in missed.err
    validated = run("validate", *common)
    assert validated.status == 2 and "the required kernel mine took no dispatch" in validated.err
    useless = run("validate", folder, "--require", "mine")
    assert useless.status == 2 and "--require has no effect with kernels" in useless.err
