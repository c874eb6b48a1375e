"""A kernel as a whole on a device: what is drawn for it, what its manifest says, what cannot be judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime_tests.validate.faulty import MATMUL_FAULTS, write_variants
from substitute.errors import UsageError
from substitute.progress import silent
from substitute.validate import runner
from substitute.validate.batch import validate_kernels
from substitute.validate.kernel import bundle_kernel, find_kernels, validate_kernel
from substitute.validate.run import judge_bundle

pytestmark = [pytest.mark.compile, pytest.mark.device]

REASON = "it rounds by its address"


@pytest.mark.slow
def test_a_built_in_kernel_passes_and_a_faulty_one_does_not(tmp_path: Path) -> None:
    (kernel,) = find_kernels(["rms_norm"])
    verdict = validate_kernel(kernel, quick=True, isolate=True)
    assert verdict.passed, (verdict.message, verdict.dispatches)
    assert {d.kernel for d in verdict.dispatches} == {"rms_norm"}
    faults = {"first_k_dropped": MATMUL_FAULTS["first_k_dropped"]}
    (folder,) = write_variants(tmp_path, "llvm-ir", faults)
    (kernel,) = find_kernels([str(folder)])
    verdict = validate_kernel(kernel, quick=True, isolate=True)
    assert not verdict.passed
    # (for a single case, IREE's own code is run too)
    case = next(d.failures[0] for d in verdict.dispatches if d.failures[0].baseline is not None)
    again = validate_kernel(kernel, quick=True, isolate=True, case=case.key)
    assert [d.failures for d in again.dispatches] == [(case,)]
    nothing = validate_kernel(kernel, quick=True, isolate=True, case="no such case")
    assert (nothing.passed, nothing.message) == (False, "no case holds 'no such case'")


def test_a_kernel_that_says_why_its_bits_change(tmp_path: Path) -> None:
    files = (("kernel.toml", "\n[operands]", f'\nnot_repeatable = "{REASON}"\n[operands]'),)
    said, silent = write_variants(tmp_path, "llvm-ir", {"said": files, "silent": ()})
    bundle = bundle_kernel(said, "said", "local-task", quick=True, seed=0, case="M=5, N=7")
    assert [c.repeatable for s in bundle.subjects for c in s.cases] == [False] * 3
    assert any(REASON in note for s in bundle.subjects for note in s.notes)
    bundle = bundle_kernel(silent, "silent", "local-task", quick=True, seed=0, case="M=5, N=7")
    assert [c.repeatable for s in bundle.subjects for c in s.cases] == [True] * 3


def test_iree_s_own_code_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,) = write_variants(tmp_path, "llvm-ir", {"right": ()})
    bundle = bundle_kernel(folder, "right", "local-task", quick=True, seed=0, case="M=5, N=7")
    late = ("judged by the golden alone: IREE's own code has had its time",)
    (verdict,) = judge_bundle(bundle, progress=silent)
    assert verdict.passed and not any(set(c.notes) & set(late) for c in verdict.cases)
    assert any(c.baseline is not None for c in verdict.cases)
    monkeypatch.setattr(runner, "PATIENCE_S", 0.0)
    monkeypatch.setattr(runner, "PATIENCE_SHARE", 0.0)
    (verdict,) = judge_bundle(bundle, progress=silent)
    assert verdict.passed and all(c.notes == late and c.baseline is None for c in verdict.cases)


def test_a_kernel_that_nothing_can_be_drawn_for(tmp_path: Path) -> None:
    (tmp_path / "kernel.toml").write_text(
        'schema = 1\nname = "raw_one"\nabi = "raw"\nbindings = 2\nconstants = 0\ndispatches = ["work"]\n'
        '[[target]]\nbackend = "llvm-cpu"\n[payload]\nkind = "llvm-ir"\nfile = "k.ll"\nentry = "k"\n'
        '[launch]\nworkgroup_count = ["1", "1", "1"]\n'
    )
    (tmp_path / "k.ll").write_text("define void @k(ptr %a, ptr %b, i64 %x, i64 %y, i64 %z) { ret void }\n")
    (kernel,) = find_kernels([str(tmp_path)])
    with pytest.raises(UsageError, match="raw_one has neither a definition nor kinds"):
        validate_kernel(kernel, quick=True)


def test_one_kernel_s_error_costs_no_other(tmp_path: Path) -> None:
    right, broken = write_variants(tmp_path, "llvm-ir", {"right": (), "broken": (("kernel.ll", "ret void", "ret"),)})
    kernels = [*find_kernels([str(broken)]), *find_kernels([str(right)])]
    first, second = validate_kernels(kernels, quick=True, case="M=5, N=7")
    assert (first.passed, first.dispatches) == (False, ())
    assert "kernel.ll" in first.error
    assert second.passed and not second.error
