"""`compile` judges what it puts in: faults are refused, slow kernels left out, verdicts kept."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.validate.faulty import MATMUL_FAULTS, MATMUL_RIGHT, matmuls
from substitute import Session, compile_model
from substitute.catalog import catalog
from substitute.cli.scaffold import scaffold
from substitute.compiler import Compilation
from substitute.errors import PlanError, ValidationError
from substitute.filter import executable
from substitute.filter.options import parse_options
from substitute.filter.store import make_stamp
from substitute.flags import with_default_target
from substitute.guard import guard, store
from substitute.guard.verdict import Check, Checked, Verdict
from substitute.inspection import inspect_model
from substitute.pipeline import CompileResult
from substitute.read.module import children, symbol_name

SLOW = (  # all of it again and again, which `volatile` keeps the optimiser from taking out
    (
        "kernel.ll",
        "entry:\n",
        "entry:\n  br label %again\n\nagain:\n  %round = phi i64 [ 0, %entry ], [ %round_next, %row_done ]\n",
    ),
    ("kernel.ll", "[ 0, %entry ], [ %k_next", "[ 0, %again ], [ %k_next"),
    ("kernel.ll", "store float", "store volatile float"),
    (
        "kernel.ll",
        "br i1 %k_more, label %k_loop, label %done",
        "br i1 %k_more, label %k_loop, label %row_done\n\nrow_done:\n  %round_next = add i64 %round, 1\n"
        "  %round_more = icmp slt i64 %round_next, 1000\n  br i1 %round_more, label %again, label %done",
    ),
)
ENDLESS = (
    (
        "kernel.ll",
        "entry:\n",
        "entry:\n  br label %spin\n\nspin:\n  store volatile float 0.0, ptr %c\n"
        "  br i1 true, label %spin, label %work\n\nwork:\n",
    ),
    ("kernel.ll", "%entry ], [ %k_next", "%work ], [ %k_next"),
)
KINDS = {
    "right": MATMUL_RIGHT["right"],
    "wrong": MATMUL_FAULTS["dropped_tail"],
    "slow": SLOW,
    "deadly": MATMUL_FAULTS["dereferences_null"],
}
"""The kernel of `f0`, `f1`, …"""
K = 64


def write_kernel(folder: Path, name: str, changes: tuple[tuple[str, str, str], ...], dispatch: str) -> Path:
    files = scaffold("llvm-ir", name, name)
    select = ("kernel.toml", "schema = 1\n", f'schema = 1\ndispatches = ["{dispatch}"]\n')
    for file, old, new in (*changes, select, ("kernel.toml", '"N % 16 == 0", ', "")):
        assert old in files[file], (name, old)
        files[file] = files[file].replace(old, new)
    place = folder / name
    place.mkdir(parents=True)
    for file, text in files.items():
        (place / file).write_text(text)
    return place


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a separate cache for these tests, and kernels."""
    folder = tmp_path_factory.mktemp("guard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for number, (name, changes) in enumerate(KINDS.items()):
            write_kernel(folder / "kernels", name, changes, f"f{number}_")
        (folder / "model.mlir").write_text(matmuls(len(KINDS), k=K))
        yield folder


class Judging:
    """Number of judging processes that were started."""

    started = 0


@pytest.fixture
def judging(home: Path, monkeypatch: pytest.MonkeyPatch) -> Judging:
    """The kernels are built in, and processes are counted."""
    counted, start = Judging(), guard.start_trial

    def begin(trial: object) -> object:
        counted.started += 1
        return start(trial)  # type: ignore[arg-type]

    monkeypatch.setattr(guard, "start_trial", begin)
    monkeypatch.setattr(catalog, "builtin_folders", lambda: [home / "kernels"])
    return counted


def by_kernel(result: CompileResult) -> dict[str, Checked]:
    return {checked.names: checked for checked in result.checked}


@pytest.fixture(scope="module")
def first(home: Path) -> CompileResult:
    """The first compilation, which judges."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "builtin_folders", lambda: [home / "kernels"])
        # (a plain kernel may well be slower than IREE's code, but not by so much)
        return compile_model(home / "model.mlir", check=Check(margin=20))


def test_built_in_kernels_that_are_wrong_slow_or_deadly_are_left_out(first: CompileResult) -> None:
    found = by_kernel(first)
    assert {name: (c.verdict.outcome, c.left_out) for name, c in found.items()} == {
        "right": ("right", False),
        "wrong": ("wrong", True),
        "slow": ("slower", True),
        "deadly": ("wrong", True),
    }
    assert [s.kernel.name for s in first.plan.substitutions] == ["right"]
    assert list(first.payloads) == [first.plan.substitutions[0].dispatch.name]
    assert "further from the golden" in found["wrong"].verdict.message
    assert "killed by SIGSEGV" in found["deadly"].verdict.message
    assert found["slow"].verdict.ratio is not None and found["slow"].verdict.ratio > 2
    assert "slower than IREE's code" in found["slow"].verdict.text
    assert found["right"].verdict.device.startswith("local-task")
    assert found["right"].verdict.sizes == (f"17x{K}xf32, {K}x33xf32, 17x33xf32",)


def test_what_is_written_is_right_after_all(first: CompileResult) -> None:
    random = np.random.default_rng(1)
    with Session(first.vmfb) as session:
        for number in range(len(KINDS)):
            a = random.standard_normal((17 + number, K)).astype(np.float32)
            b = random.standard_normal((K, 33)).astype(np.float32)
            (c,) = session.call(f"f{number}", [a, b])
            np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)


def test_a_second_compilation_judges_nothing(home: Path, first: CompileResult, judging: Judging) -> None:
    again = compile_model(home / "model.mlir", check=True)
    assert judging.started == 0
    assert again.checked == first.checked
    assert again.plan.substitutions == first.plan.substitutions


def test_inspect_shows_what_is_known(home: Path, first: CompileResult, judging: Judging) -> None:
    plan = inspect_model(home / "model.mlir")
    found = {s.kernel.name: plan.verdict_on(s.dispatch) for s in plan.substitutions}
    assert found["right"].startswith("right") and "leaves it out" not in found["right"]
    for name in ("wrong", "deadly"):
        assert found[name].startswith("wrong: ") and found[name].endswith("; compile leaves it out")
    assert "slower than IREE's code; compile leaves it out" in found["slow"]
    assert inspect_model(home / "model.mlir", flags=["--iree-opt-level=O1"]).verdicts == ()  # other code, unjudged


def test_without_the_check_everything_is_put_in(home: Path, judging: Judging) -> None:
    result = compile_model(home / "model.mlir", check=False)
    assert judging.started == 0
    assert result.checked == ()
    assert [s.kernel.name for s in result.plan.substitutions] == list(KINDS)


def test_the_environment_decides_where_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guard.VARIABLE, "0")
    assert guard.default_check() is None
    monkeypatch.delenv(guard.VARIABLE)
    assert guard.default_check() == Check()


def test_a_required_kernel_that_is_left_out_is_an_error(
    home: Path, first: CompileResult, judging: Judging, tmp_path: Path
) -> None:
    output = tmp_path / "out.vmfb"
    with pytest.raises(PlanError) as raised:
        compile_model(home / "model.mlir", check=True, require=["slow"], output=output)
    assert raised.value.what == "the required kernel slow takes no dispatch"
    assert "slower than IREE's code" in raised.value.found
    assert not output.exists()


def test_a_person_s_own_wrong_kernel_is_an_error(home: Path, first: CompileResult, tmp_path: Path) -> None:
    output = tmp_path / "out.vmfb"
    with pytest.raises(ValidationError) as raised:
        compile_model(
            home / "model.mlir", kernels=[home / "kernels" / "wrong"], builtin=False, check=True, output=output
        )
    assert raised.value.what == "wrong computes something else than the dispatch that it takes"
    assert raised.value.where == f"f1_dispatch_0_matmul_18x33x{K}_f32"
    assert "further from the golden" in raised.value.found
    assert not output.exists()


def test_a_person_s_own_slow_kernel_stays_unless_only_faster_ones_are_wanted(home: Path, first: CompileResult) -> None:
    own = [home / "kernels" / "slow"]
    kept = compile_model(home / "model.mlir", kernels=own, builtin=False, check=True)
    assert [(c.verdict.outcome, c.left_out) for c in kept.checked] == [("slower", False)]
    assert [s.kernel.name for s in kept.plan.substitutions] == ["slow"]
    gone = compile_model(home / "model.mlir", kernels=own, builtin=False, check=Check(faster_only=True))
    assert [(c.verdict.outcome, c.left_out) for c in gone.checked] == [("slower", True)]
    assert gone.plan.substitutions == ()


def test_a_plan_that_names_a_slow_kernel_is_obeyed(
    home: Path, first: CompileResult, judging: Judging, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    name = f"f2_dispatch_0_matmul_19x33x{K}_f32"
    plan.write_text(f'{{"substitutions": [{{"dispatch": "{name}", "kernel": "slow"}}]}}')
    result = compile_model(home / "model.mlir", check=True, plan=plan)
    assert [s.kernel.name for s in result.plan.substitutions] == ["slow"]


def test_an_endless_kernel_does_not_hold_the_compilation(home: Path, tmp_path: Path) -> None:
    own = write_kernel(tmp_path, "endless", ENDLESS, "f0_")
    with pytest.raises(ValidationError) as raised:
        compile_model(home / "model.mlir", kernels=[own], builtin=False, check=Check(patience_s=4), isolate=True)
    assert raised.value.found == "it does not end: it was stopped after 4 s of processor time (4 s is its limit)"


def test_what_cannot_run_here_is_not_checked_and_says_so(home: Path, judging: Judging) -> None:
    other = "x86_64" if platform.machine() == "aarch64" else "aarch64"
    flags = (
        "--iree-hal-target-device=local",
        "--iree-hal-local-target-device-backends=llvm-cpu",
        f"--iree-llvmcpu-target-triple={other}-linux-gnu",
        "--iree-llvmcpu-target-cpu=generic",
    )
    result = compile_model(
        home / "model.mlir", kernels=[home / "kernels" / "right"], builtin=False, flags=flags, check=True
    )
    assert judging.started == 0
    (checked,) = result.checked
    assert checked.verdict.text.startswith(f"not checked: it is compiled for {other}, and this machine is ")
    assert not checked.left_out


def executable_of(model: Path, name: str) -> bytes:
    """One executable of a model, as IREE gives it to a filter."""
    with Compilation(with_default_target(()), name="model") as compilation:
        compilation.parse(model)
        compilation.run("start", "executable-sources")
        for op in children(compilation.module):
            if op.name == "hal.executable" and symbol_name(op).startswith(name):
                return str(op.get_asm(enable_debug_info=True, use_local_scope=True)).encode()
    raise AssertionError(name)


@pytest.mark.parametrize(("number", "name", "kept"), [(0, "right", True), (1, "wrong", False), (2, "slow", False)])
def test_the_filter_obeys_what_was_found_out(
    home: Path, first: CompileResult, monkeypatch: pytest.MonkeyPatch, number: int, name: str, kept: bool
) -> None:
    monkeypatch.setattr(executable, "builtin_folders", lambda: [home / "kernels"])
    monkeypatch.setattr(catalog, "builtin_folders", lambda: [home / "kernels"])
    text = executable_of(home / "model.mlir", f"f{number}_")
    knowledge = executable.Knowledge(parse_options(["--no-cache"], home))
    knowledge.read()
    outcome = executable.rewrite_executable(text, knowledge, executable.new_context(), lambda: home)
    assert (outcome.text is not None) == kept
    report = json.loads(outcome.report)
    assert [s["kernel"] for s in report["substitutions"]] == [name] * kept
    if not kept:
        (left_out,) = report["left_out"]
        assert left_out["kernels"] == [name]
        assert left_out["check"]["outcome"] == {"wrong": "wrong", "slow": "slower"}[name]
    # without a verdict it embeds as ever
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "nothing"))
    assert executable.rewrite_executable(text, knowledge, executable.new_context(), lambda: home).text is not None


def test_a_new_refusal_makes_the_filter_s_results_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = parse_options([], tmp_path)
    before = make_stamp([], [], options)
    assert before is not None and before.current()
    store.keep("k", Verdict(outcome="slower", ratio=2.0))
    assert not before.current()
    after = make_stamp([], [], options)
    assert after is not None and after.digest != before.digest
