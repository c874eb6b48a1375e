"""`compile --lock` and `compile --locked`: what changed since is an error, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime_tests.cli.conftest import Run
from runtime_tests.cli.conftest import run as run
from substitute.errors import UsageError
from substitute.lock import read_lock


@pytest.mark.compile
def test_a_locked_compilation(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IREE_SUBSTITUTE_CHECK", "0")
    folder, lock, output = tmp_path / "mine", tmp_path / "substitute.lock", tmp_path / "m.vmfb"
    assert run("new", folder, "--kind", "llvm-ir").status == 0
    common = ("compile", folder / "example.mlir", "--kernels", folder, "-o", output)
    assert run(*common, "--lock", lock).status == 0
    written = output.read_bytes()
    value = json.loads(lock.read_text())
    assert list(value["kernels"]) == ["mine"] and "mine/kernel.ll" in value["kernels"]["mine"]
    output.unlink()
    assert run(*common, "--locked", lock).status == 0
    assert output.read_bytes() == written
    output.unlink()
    value["payloads"] = {name: {**p, "sha256": "0" * 64} for name, p in value["payloads"].items()}
    lock.write_text(json.dumps(value))
    other = run(*common, "--locked", lock)
    assert other.status == 1 and "the payload of" in other.err and not output.exists()
    code = folder / "kernel.ll"
    code.write_text(code.read_text() + "; another line\n")
    changed = run(*common, "--locked", lock)
    assert changed.status == 1 and not output.exists()
    assert "the kernel mine is not what the lock names" in changed.err and "mine/kernel.ll" in changed.err


@pytest.mark.unit
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2}',
        '{"version": 1, "kernels": {}}',
        '{"version": 1, "kernels": {"mine": 3}, "payloads": {}}',
        '{"version": 1, "kernels": {"mine": ["kernel.ll"]}, "payloads": {}}',
    ],
)
def test_what_is_no_lock(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    with pytest.raises(UsageError, match="the lock cannot be read"):
        read_lock(tmp_path / "lock")


@pytest.mark.unit
def test_what_is_a_lock(tmp_path: Path) -> None:
    text = '{"version": 1, "kernels": {"mine": {"kernel.ll": "0"}}, "payloads": {}}'
    (tmp_path / "lock").write_text(text)
    assert read_lock(tmp_path / "lock") == json.loads(text)
