"""A compiler that crashes, and one that fails: the message names the phase, the executable, and the compiler's
error.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from iree.compiler.version import VERSION

from runtime_tests.pipeline.slow import CRASHING, NOT_ASSEMBLY, X86_64, broken_kernel
from substitute.compiler import captured_stderr
from substitute.errors import CompilerCrash, CompilerError, ModelError, UsageError
from substitute.flags import HOST_FLAGS
from substitute.inspection import inspect_model
from substitute.isolate import Child, Death, isolated
from substitute.pipeline import compile_model
from substitute.progress import Progress, silent

pytestmark = pytest.mark.compile

DISPATCH = "main_dispatch_0_matmul_64x128x96_f32"


def test_a_crash_in_code_generation_names_the_executable_and_the_kernel(tmp_path: Path) -> None:
    kernel, model = broken_kernel(tmp_path / "broken", CRASHING)
    steps: list[str] = []
    with pytest.raises(CompilerCrash) as caught:
        compile_model(
            model,
            output=tmp_path / "o.vmfb",
            kernels=[kernel],
            builtin=False,
            flags=X86_64,
            isolate=True,
            progress=lambda what, _share: steps.append(what),
        )
    assert str(caught.value) == (
        f"{DISPATCH}: the compiler crashed on broken\n"
        "  expected:  a result\n"
        "  found:     killed by SIGABRT in: compile to a module\n"
        "  next:      leave broken out of this dispatch (--plan, or a constraint), or fix its code\n\n"
        "  LLVM ERROR: Cannot select: intrinsic %llvm.x86.sse41.dpps"
    )
    assert steps[-1] == "find the executable that crashes it"
    assert [p.name for p in tmp_path.iterdir()] == ["broken"]


def test_twin_without_the_kernel_there_is_no_crash(tmp_path: Path) -> None:
    _, model = broken_kernel(tmp_path / "broken", CRASHING)
    result = compile_model(model, builtin=False, flags=X86_64, isolate=True)
    assert result.vmfb


@pytest.mark.skipif(not VERSION.startswith("3.13."), reason="IREE 3.11 crashes on it, and 3.12 lets it pass")
def test_an_error_in_code_generation_names_them_too(tmp_path: Path) -> None:
    kernel, model = broken_kernel(tmp_path / "broken", NOT_ASSEMBLY)
    with pytest.raises(CompilerError) as caught:
        compile_model(model, output=tmp_path / "o.vmfb", kernels=[kernel], builtin=False, isolate=True)
    error = caught.value
    assert not isinstance(error, CompilerCrash)
    assert (error.where, error.what) == (str(model), "IREE's compiler failed")
    assert error.expected == "the phases after executable-sources up to end"
    assert error.found == f"an error in {DISPATCH}; its words are below (broken was substituted there)"
    assert error.next_step == "leave broken out of this dispatch (--plan, or a constraint), or fix its code"
    assert "this is no instruction" in error.details
    assert [p.name for p in tmp_path.iterdir()] == ["broken"]


UNLINKED = """
func.func @main(%x: tensor<8x8xf16>, %y: tensor<8x8xf16>) -> (tensor<8x8xf16>, tensor<8x8xf16>) {
  %e = tensor.empty() : tensor<8x8xf16>
  %s = linalg.softmax dimension(1) ins(%x : tensor<8x8xf16>) outs(%e : tensor<8x8xf16>) -> tensor<8x8xf16>
  %t = linalg.transpose ins(%y : tensor<8x8xf16>) outs(%e : tensor<8x8xf16>) permutation = [1, 0]
  return %s, %t : tensor<8x8xf16>, tensor<8x8xf16>
}"""
"""IREE's code for a softmax of f16 calls `fmaxf`, which it does not link."""


@pytest.mark.skipif(not VERSION.startswith("3.13."), reason="a fault of IREE 3.13")
def test_an_error_in_code_of_iree_blames_no_kernel(tmp_path: Path) -> None:
    model = tmp_path / "model.mlir"
    model.write_text(UNLINKED)
    with pytest.raises(CompilerError) as caught:
        compile_model(model, builtin=False, flags=(*X86_64, "--iree-llvmcpu-link-embedded=true"))
    assert caught.value.found.startswith("an error in main_dispatch_0_softmax")
    assert "it is IREE's own code that does not compile" in caught.value.next_step


def dies(number: int) -> object:
    def work(progress: Progress) -> None:
        progress("import", None)
        progress("parse", 0.5)
        with captured_stderr() as words:
            os.write(2, b"caught and \x1b[31mknown\n")
        assert words() == "caught and \x1b[31mknown\n"
        with captured_stderr():
            os.write(2, b"last words\n")
            os.kill(os.getpid(), number)

    return work


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (signal.SIGSEGV, "killed by SIGSEGV"),
        (signal.SIGABRT, "killed by SIGABRT"),
        (signal.SIGKILL, "killed by SIGKILL (out of memory?)"),
    ],
)
def test_a_child_that_dies(number: int, found: str) -> None:
    seen: list[tuple[str, float | None]] = []
    with pytest.raises(CompilerCrash) as caught:
        isolated(dies(number), lambda what, share: seen.append((what, share)))  # type: ignore[arg-type]
    assert (caught.value.where, caught.value.found) == ("parse", found)
    assert caught.value.details == "caught and .[31mknown\nlast words"
    assert seen == [("import", None), ("parse", 0.5)]


def test_a_child_that_leaves() -> None:
    with pytest.raises(CompilerCrash) as caught:
        isolated(lambda _progress: os._exit(3), silent)
    assert (caught.value.where, caught.value.found) == ("start", "exit status 3")


def test_a_child_without_room_is_no_crash() -> None:
    def work(_progress: Progress) -> None:
        os.write(2, b"LLVM ERROR: IO failure on output stream: File too large\n")
        os._exit(1)

    with pytest.raises(CompilerError) as caught:
        isolated(work, silent)
    assert not isinstance(caught.value, CompilerCrash)
    assert caught.value.found == "LLVM ERROR: IO failure on output stream: File too large"


def test_results_and_errors_come_back() -> None:
    assert isolated(lambda progress: [progress("a", None), 7][1], silent) == 7

    def fails(_progress: Progress) -> None:
        raise UsageError("no", where="here", found="this")

    with pytest.raises(UsageError) as caught:
        isolated(fails, silent)
    assert str(caught.value) == "here: no\n  found:     this"

    def breaks(_progress: Progress) -> None:
        raise KeyError("a bug")

    with pytest.raises(RuntimeError, match="KeyError: 'a bug'"):
        isolated(breaks, silent)


def test_temporary_files_of_a_dead_child_are_gone() -> None:
    def work(progress: Progress) -> None:
        folder = tempfile.mkdtemp()
        progress(folder, None)
        os.abort()

    with pytest.raises(CompilerCrash) as caught:
        isolated(work, silent)
    assert Path(caught.value.where).parent.name.startswith("iree-substitute-")
    assert not Path(caught.value.where).parent.exists()


def test_a_crash_before_any_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from substitute import inspection, pipeline
    from substitute.validate import audit

    def crashes(_work: object, _progress: object) -> None:
        raise CompilerCrash("the compiler crashed", where="compile to dispatches", expected="a result", found="SIGSEGV")

    monkeypatch.setattr(pipeline, "isolated", crashes)
    monkeypatch.setattr(inspection, "isolated", crashes)
    monkeypatch.setattr(audit, "isolated", crashes)
    for command in (compile_model, inspect_model, audit.audit_model):
        with pytest.raises(CompilerCrash) as caught:
            command(tmp_path / "m.mlir", isolate=True)  # type: ignore[operator]
        added = "" if command is audit.audit_model else f" ({' '.join(HOST_FLAGS)} was added here)"
        assert str(caught.value) == (
            f"{tmp_path}/m.mlir: the compiler crashed\n"
            "  expected:  a result\n"
            "  found:     SIGSEGV in: compile to dispatches\n"
            "  next:      no kernel has been put in yet, and nothing was written; compare with "
            f"`iree-compile {tmp_path}/m.mlir {' '.join(HOST_FLAGS)}`{added}"
        )


def test_a_parser_that_crashes_on_half_a_file(tmp_path: Path) -> None:
    """MLIR's parser reads beyond the end of a file that ends inside of a resource."""
    model = tmp_path / "m.mlir"
    text = "func.func @f() -> tensor<2xf32> {\n  %0 = arith.constant dense_resource<w> : tensor<2xf32>\n"
    text += '  return %0 : tensor<2xf32>\n}\n{-#\n  dialect_resources: {\n    builtin: {\n      w: "0x04000000'
    model.write_text(text + "00" * 5000)
    with pytest.raises(ModelError) as caught:
        compile_model(model, isolate=True)
    assert (caught.value.where, caught.value.what) == (str(model), "the model is not valid MLIR")
    assert all(len(line) <= 300 for line in caught.value.details.splitlines())


def limited(work: Callable[[Progress], object], limit_s: float) -> object:
    with Child(work) as child:
        return child.outcome(silent, limit_s=lambda: limit_s)


def test_a_child_has_so_much_processor_time() -> None:
    def computes(progress: Progress) -> None:
        progress("begin", None)
        while True:
            pass

    def waits(progress: Progress) -> None:
        progress("begin", None)
        time.sleep(3600)

    for work, words in ((computes, "s of processor time"), (waits, "s in which it only waited")):
        death = limited(work, 0.3)
        assert isinstance(death, Death)
        assert (death.step, death.stopped) == ("begin", True)
        assert words in death.found


def test_twin_a_child_that_is_in_time() -> None:
    def works(progress: Progress) -> int:
        for number in range(4):
            progress(str(number), None)
            end = time.process_time() + 0.2
            while time.process_time() < end:
                pass
        return 7

    assert limited(works, 5.0) == 7
