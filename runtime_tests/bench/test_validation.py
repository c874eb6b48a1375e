"""Cost of validation, as tables, and measured for one kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from substitute.bench import validation
from substitute.bench.samples import GoldenSample, ValidationSample
from substitute.bench.tables import validation_tables
from substitute.catalog.catalog import load_catalog
from substitute.cli.scaffold import scaffold
from substitute.errors import ValidationError


def printed(kernels: list[ValidationSample], goldens: list[GoldenSample]) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        for table in validation_tables(kernels, goldens):
            console.print(table)
    return captured.get()


def test_tables() -> None:
    quick = ValidationSample(
        kernel="pool", device="local-task", quick_s=3.25, thorough_s=None, quick_cases=12, thorough_cases=0, passed=True
    )
    golden = GoldenSample(model="gpt2", dispatches=16, golden_s=1.5, compile_s=6.0)
    text = printed([quick], [golden])
    assert "pool" in text and "3.2" in text and "–" in text
    assert "gpt2" in text and "0.25" in text


@pytest.mark.slow
@pytest.mark.device
@pytest.mark.parametrize("planted", [(), ("fadd contract", "fsub contract")])
def test_only_a_right_kernel_has_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: tuple[str, ...]
) -> None:
    for name, text in scaffold("llvm-ir", "mine", "mine").items():
        (tmp_path / name).write_text(text.replace(*planted) if planted else text)
    kernel = load_catalog([tmp_path], builtin=False).kernel("mine")
    monkeypatch.setattr(validation, "_kernels", lambda: [(kernel, "local-sync")])
    if planted:
        with pytest.raises(ValidationError, match="mine is wrong on local-sync"):
            validation.measure_validations(thorough=False, progress=lambda _what, _share: None)
        return
    (sample,) = validation.measure_validations(thorough=False, progress=lambda _what, _share: None)
    assert sample.quick_s > 0 and sample.quick_cases > 0 and sample.thorough_s is None
