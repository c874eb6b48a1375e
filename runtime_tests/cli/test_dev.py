"""`dev`: a kernel judged in one dispatch, once and at each save; mistakes never end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import pytest

from runtime_tests.cli.conftest import Run
from substitute.develop import Turn, Workbench, find_inner_loop, watch
from substitute.guard.verdict import Verdict
from substitute.report.development import turn_text


@pytest.mark.device
def test_saves_of_one_kernel(run: Run, tmp_path: Path) -> None:
    """Right, wrong, mistaken, without a manifest, crashing, and right again, with the model compiled once."""
    folder = tmp_path / "mine"
    assert run("new", folder, "--kind", "llvm-ir").status == 0
    code, manifest = folder / "kernel.ll", folder / "kernel.toml"
    right, described = code.read_text(), manifest.read_text()
    model = tmp_path / "model.mlir"
    model.write_text(
        (folder / "example.mlir").read_text().replace("64x", "4x").replace("x96x", "x8x").replace("96x", "8x")
    )
    steps: list[str] = []
    with Workbench(model, "matmul", folder, ()) as bench:
        bench.begin(lambda what, share: steps.append(what))
        assert "compile to dispatches" in steps
        steps.clear()
        model.unlink()  # it is not read again

        def turn() -> Turn:
            return bench.judge(lambda what, share: steps.append(what))

        first = turn()
        assert first.kernel == "mine" and first.right, first.error
        assert first.verdict is not None and first.verdict.ratio is not None and first.loop
        code.write_text(right.replace("fadd contract", "fsub contract"))
        wrong = turn()
        assert wrong.verdict is not None and wrong.verdict.outcome == "wrong" and not wrong.right
        assert "of result 0" in wrong.verdict.message and " instead of " in wrong.verdict.message
        code.write_text("rubbish")
        assert "the payload of mine is not what kernel.toml says" in turn().error
        code.write_text(right.replace("ret void", "store i32 1, ptr null\n  ret void"))
        crashed = turn()
        assert crashed.verdict is not None and "SIGSEGV" in crashed.verdict.message
        code.write_text(right)
        manifest.write_text(described.replace("N % 16", "N % 17"))
        assert "mine does not take main_dispatch_0" in turn().error and "N % 17 == 0" in turn().error
        manifest.unlink()
        assert "the folder holds no kernels" in turn().error
        manifest.write_text(described)
        assert turn().right
        assert "compile to dispatches" not in steps


@pytest.mark.compile
def test_once(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert run("new", folder, "--kind", "llvm-ir").status == 0
    (folder / "kernel.ll").write_text("rubbish")
    wrong = run("dev", folder, "--model", folder / "example.mlir", "--dispatch", "0", "--once", "--json")
    assert wrong.status == 1
    value = json.loads(wrong.out)
    assert (value["kernel"], value["verdict"], value["inner_loop"]) == (None, None, [])
    assert "is not what kernel.toml says" in value["error"]


@pytest.mark.compile
def test_mistakes_end_in_words(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert run("new", folder, "--kind", "llvm-ir").status == 0
    model = ("--model", folder / "example.mlir", "--dispatch")
    for args, words in (
        ((tmp_path / "none", *model, "0"), "there is no such folder"),
        ((folder, *model, "0", "--json"), "--json has no effect without --once"),
        ((folder, *model, "softmax"), "there is no dispatch `softmax`"),
        ((folder, "--model", tmp_path / "none.mlir", "--dispatch", "0"), "none.mlir"),
    ):
        finished = run("dev", *args)
        assert finished.status in (1, 2) and words in finished.err, finished.err


@pytest.mark.unit
def test_a_save_is_seen(tmp_path: Path) -> None:
    (tmp_path / "kernel.ll").write_text("a")
    saves = watch(tmp_path, pause_s=0.01)
    next(saves)
    (tmp_path / "mine.intoto.json").write_text("no part of the kernel")
    edit = threading.Timer(0.05, lambda: (tmp_path / "kernel.ll").write_text("ab"))
    edit.start()
    assert len(list(islice(saves, 1))) == 1
    assert (tmp_path / "kernel.ll").read_text() == "ab"


@pytest.mark.unit
def test_the_inner_loop() -> None:
    lines = [
        "f:",
        "  xor",
        ".L1:",
        "  a",
        ".L2:",
        "  b",
        "  c",
        "  jne\t.L2",
        "  jmp\t.L1",
        ".L3:",
        "  je .L3",
        "  ret",
    ]
    assert find_inner_loop(lines) == (".L2:", "  b", "  c", "  jne\t.L2")
    assert find_inner_loop(["f:", "  jmp .L1", ".L1:", "  ret"]) == ()
    arm = [".L2:", "  fadd", "  b.ne .L2", ".L4:", "  cbnz x1, .L4"]
    assert find_inner_loop(arm) == (".L2:", "  fadd", "  b.ne .L2")


@pytest.mark.unit
def test_the_screen() -> None:
    from rich.console import Console

    def shown(turn: Turn) -> str:
        console = Console(width=100)
        with console.capture() as captured:
            console.print(turn_text(turn, dispatch="d", number=3))
        return captured.get()

    verdict = Verdict(
        outcome="right",
        ratio=0.5,
        interval=(0.4, 0.6),
        ours_us=1.0,
        stock_us=2.0,
        device="local-task",
        sizes=("4xf32",),
    )
    text = shown(Turn(kernel="k", verdict=verdict, loop=tuple(f"  add r{n}" for n in range(30)), seconds=1.5))
    assert "right, 2.00× faster than IREE's code" in text and "0.500, interval 0.400 to 0.600" in text
    assert "inner loop, 30 lines" in text and "… 6 more" in text and "save 3, judged in 1.5 s" in text
    assert "a mistake" in shown(Turn(error="a mistake"))


@pytest.mark.slow
@pytest.mark.device
def test_the_loop_goes_on_and_ends(run: Run, tmp_path: Path) -> None:
    """As a process of its own without a terminal: a report for each save, and Ctrl-C is a good end."""
    folder = tmp_path / "mine"
    assert run("new", folder, "--kind", "llvm-ir").status == 0
    program = "import sys; from substitute.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "dev", str(folder)]
    command += ["--model", str(folder / "example.mlir"), "--dispatch", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith("save 1,"):
                (folder / "kernel.ll").write_text("rubbish")
            elif line.startswith("save 2,"):
                process.send_signal(2)
        assert process.wait() == 0
    text = "".join(seen)
    assert "right" in text and "is not what kernel.toml says" in text
