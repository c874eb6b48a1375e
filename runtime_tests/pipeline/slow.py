"""Kernels that fail, hang or crash the compiler on purpose, and a model that they take."""

from __future__ import annotations

from pathlib import Path

from substitute.cli.scaffold import scaffold

X86_64 = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-triple=x86_64-unknown-linux-gnu",
    "--iree-llvmcpu-target-cpu=generic",
)
"""Without SSE 4: an intrinsic of it is more than LLVM's code generator can take, so that it aborts."""

CRASHING = (
    "  %v = load <4 x float>, ptr %a\n"
    "  %w = call <4 x float> @llvm.x86.sse41.dpps(<4 x float> %v, <4 x float> %v, i8 3)\n"
    "  store <4 x float> %w, ptr %c\n"
)
NOT_ASSEMBLY = '  call void asm sideeffect "this is no instruction", ""()\n'

SLOW_GENERATOR = """
import os, time
from pathlib import Path
from substitute.model.plan import Request


def generate(request: Request) -> str:
    Path(__file__).with_name("started").write_text(str(os.getpid()))
    time.sleep(60)
    return ""
"""


def broken_kernel(folder: Path, extra: str) -> tuple[Path, Path]:
    """A kernel in LLVM IR with more instructions at its start, and a model that it takes."""
    folder.mkdir()
    for name, text in scaffold("llvm-ir", "broken", "broken").items():
        (folder / name).write_text(text.replace("entry:\n", f"entry:\n{extra}", 1))
    if "dpps" in extra:
        with (folder / "kernel.ll").open("a") as file:
            file.write("declare <4 x float> @llvm.x86.sse41.dpps(<4 x float>, <4 x float>, i8)\n")
    return folder, folder / "example.mlir"


def slow_kernel(folder: Path) -> tuple[Path, Path]:
    """A kernel whose generator writes its process's number to `started`, and then takes a minute."""
    folder.mkdir()
    for name, text in scaffold("llvm-generator", "slow", "slow").items():
        (folder / name).write_text(SLOW_GENERATOR if name == "generator.py" else text)
    return folder, folder / "example.mlir"
