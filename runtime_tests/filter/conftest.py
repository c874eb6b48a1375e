"""Fixtures of the filter's tests: its command, isolated environments, executables in the form of IREE's hook."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NAME = "iree-substitute-executable"
HOOK = "--iree-hal-preprocess-executables-with="
CPU = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)
VULKAN = ("--iree-hal-target-device=vulkan",)
CUDA = ("--iree-hal-target-device=cuda", "--iree-cuda-target=sm_80")

MODEL = """
func.func @product(%a: tensor<24x32xf32>, %b: tensor<32x48xf32>) -> tensor<24x48xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<24x48xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<24x48xf32>) -> tensor<24x48xf32>
  %r = linalg.matmul ins(%a, %b : tensor<24x32xf32>, tensor<32x48xf32>) outs(%start : tensor<24x48xf32>)
      -> tensor<24x48xf32>
  %c = tensor.empty() : tensor<24x48xf32>
  %max = linalg.map { arith.maximumf } ins(%r, %start : tensor<24x48xf32>, tensor<24x48xf32>)
      outs(%c : tensor<24x48xf32>)
  return %max : tensor<24x48xf32>
}
func.func @exponential(%a: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %i = arith.constant 0 : index
  %n = tensor.dim %a, %i : tensor<?x16xf32>
  %empty = tensor.empty(%n) : tensor<?x16xf32>
  %r = linalg.map { math.exp } ins(%a : tensor<?x16xf32>) outs(%empty : tensor<?x16xf32>)
  return %r : tensor<?x16xf32>
}
func.func @rows(%a: tensor<8x64xf32>) -> tensor<8xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<8xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<8xf32>) -> tensor<8xf32>
  %r = linalg.reduce ins(%a : tensor<8x64xf32>) outs(%start : tensor<8xf32>) dimensions = [1]
    (%x: f32, %y: f32) { %s = arith.addf %x, %y : f32  linalg.yield %s : f32 }
  return %r : tensor<8xf32>
}
"""
"""A matrix multiplication with an epilogue, element-wise work of a dynamic size, a reduction."""

MANIFEST = """
schema = 1
name = "{name}"
summary = "for a test"
dispatches = ["{dispatches}"]

[[target]]
backend = "llvm-cpu"

[payload]
kind = "llvm-generator"
file = "generator.py"
entry = "entry"
"""


def compiler(name: str = "iree-compile") -> str:
    """The program itself: the command of that name is a wrapper that leaves it running when it is killed."""
    spec = importlib.util.find_spec("iree.compiler._mlir_libs")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / name)


@dataclass
class Surroundings:
    """Folders and variables that no other test and no other run shares."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            **self.variables,
        }

    def run(self, *words: str | Path, data: bytes = b"", timeout_s: float = 120) -> subprocess.CompletedProcess[bytes]:
        """Runs the filter."""
        return subprocess.run(
            [NAME, *map(str, words)],
            input=data,
            capture_output=True,
            env=self.environment,
            check=False,
            timeout=timeout_s,
            cwd=self.folder,
        )

    def tool(self, name: str, text: str) -> str:
        """A shell script on PATH."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return name

    def compile_argv(
        self,
        *hooks: str,
        flags: Sequence[str] = CPU,
        model: str = MODEL,
        phase: str = "executable-sources",
        output: str = "out.mlir",
    ) -> list[str]:
        """The command line of the compiler with these tools, in order."""
        source = self.folder / "model.mlir"
        source.write_text(model)
        hooked = [HOOK + hook for hook in hooks]
        to = [f"--compile-to={phase}"] if phase else []
        return [compiler(), str(source), *flags, *hooked, *to, "-o", str(self.folder / output)]

    def compile(self, *hooks: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Runs IREE's compiler with these tools."""
        argv = self.compile_argv(*hooks, **options)  # type: ignore[arg-type]
        return subprocess.run(
            argv, capture_output=True, text=True, env=self.environment, check=False, timeout=300, cwd=self.folder
        )

    def kernel(self, code: str, *, name: str = "mine", dispatches: str = "matmul", body: str | None = None) -> Path:
        """A folder with a kernel that is selected by name; `code` is the body of its generator."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "kernel.toml").write_text(MANIFEST.format(name=name, dispatches=dispatches))
        lines = "\n".join(f"    {line}" for line in code.splitlines())
        (folder / "generator.py").write_text(body or f"def generate(request):\n{lines}\n")
        return folder

    def workers(self) -> list[int]:
        """Processes that serve these surroundings, forks included."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    argv = (entry / "cmdline").read_bytes().split(b"\0")
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    here = any(word.startswith(str(self.folder / "run").encode()) for word in argv)
                    if here and b"substitute.filter.worker" in argv and state != "Z":
                        found.append(int(entry.name))
        return found

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> bool:
        """True once the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def close(self) -> None:
        for process in self.workers():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def make_surroundings() -> Surroundings:
    """New ones. A socket's path must be short, and pytest's folders are not."""
    assert (Path(sys.executable).parent / NAME).is_file(), f"{NAME} is not installed: pip install -e ."
    folder = Path(tempfile.mkdtemp(prefix="f-", dir="/tmp"))
    for name in ("bin", "cache", "run"):
        (folder / name).mkdir(mode=0o700)
    return Surroundings(folder)


@pytest.fixture
def surroundings() -> Iterator[Surroundings]:
    """For one test, with nothing in the cache."""
    made = make_surroundings()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Surroundings]:
    """For tests that do not mind what others left in the cache, and like a worker that runs already."""
    made = make_surroundings()
    yield made
    made.close()


@pytest.fixture(scope="session")
def executables() -> Callable[[tuple[str, ...]], dict[str, bytes]]:
    """Return executables that the hook passes for `MODEL`, by a word of the name: `executables(CPU)["matmul"]`."""
    known: dict[tuple[str, ...], dict[str, bytes]] = {}

    def get(flags: tuple[str, ...]) -> dict[str, bytes]:
        if flags not in known:
            made = make_surroundings()
            made.tool("keep", f"cat > {made.folder}/$$.text; cat {made.folder}/$$.text")
            done = made.compile("keep", flags=flags)
            assert done.returncode == 0, done.stderr
            texts = [path.read_bytes() for path in made.folder.glob("*.text")]
            made.close()
            known[flags] = {w: t for w in ("matmul", "exponential", "rows") for t in texts if _is(t, w)}
        return known[flags]

    return get


def _is(text: bytes, word: str) -> bool:
    return {"matmul": b"@product", "exponential": b"@exponential", "rows": b"@rows"}[word] in text[:200]
