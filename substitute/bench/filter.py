"""Cost of the stdin/stdout filter: per executable, compared with a bare interpreter and `cat`, and for a whole
model.
"""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..catalog.catalog import builtin_folders
from ..errors import CompilerError
from ..filter.client import NAME
from ..flags import HOST_FLAGS
from ..progress import Progress
from .compile_time import TIMEOUT_SECONDS, command_path, import_model, interleaved
from .samples import CAT, INTERPRETER, FilterSample, HookSample
from .subject import Subject

COUNTS = (1, 10, 100, 1000)
HOOK = "--iree-hal-preprocess-executables-with="
FIRST, AGAIN, WARM = "first time", "from the cache", "worker running, no cache"
NEW = "new ones, kernels known"
"""Executables that are not in the cache, of a compilation that is not the first with these kernels."""
MATCHING, NOT_MATCHING = "matching", "not matching"
FEWEST_RUNS = 20
"""Least number of runs of `cat` and of the interpreter, whose times are the divisors."""

MODEL = """
func.func @product(%a: tensor<64x96xf32>, %b: tensor<96x128xf32>) -> tensor<64x128xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<64x128xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<64x128xf32>) -> tensor<64x128xf32>
  %r = linalg.matmul ins(%a, %b : tensor<64x96xf32>, tensor<96x128xf32>) outs(%start : tensor<64x128xf32>)
      -> tensor<64x128xf32>
  return %r : tensor<64x128xf32>
}
"""

DRIVER = """
import json, os, sys, time
argv, files = json.loads(sys.stdin.read())
null = os.open(os.devnull, os.O_WRONLY)
times = []
for file in files:
    actions = [(os.POSIX_SPAWN_OPEN, 0, file, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, null, 1)]
    start = time.perf_counter()
    process = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
    _, status = os.waitpid(process, 0)
    times.append(time.perf_counter() - start)
    if status:
        sys.exit(os.waitstatus_to_exitcode(status))
print(json.dumps(times))
"""
"""Program that plays the compiler's part: starts one process per executable, one after the other."""


def measure_filter(counts: Sequence[int], folder: Path, progress: Progress) -> list[FilterSample]:
    """Measure executables that a kernel takes, and executables that none takes, for each count. Raises
    `SubstituteError`.
    """
    _have_bytecode()
    text = _executable(folder)
    other = next(place / "softmax" for place in builtin_folders() if (place / "softmax").is_dir())
    words = {MATCHING: (), NOT_MATCHING: ("--no-builtin", f"--kernels={other}")}
    samples = []
    for number, count in enumerate(counts):
        for case, own in words.items():
            progress(f"filter: {count} executables, {case}", number / len(counts))
            samples.append(_measure(case, [command_path(NAME), *own], text, count, folder))
    return samples


def _measure(case: str, argv: Sequence[str], text: bytes, count: int, folder: Path) -> FilterSample:
    files: list[str] = []
    new: list[str] = []
    for number in range(max(count, FEWEST_RUNS)):
        for found, word in ((files, "executable"), (new, "new")):
            path = folder / f"{word}-{number}.mlir"
            path.write_bytes(text + f"// {word} {number}\n".encode())
            found.append(str(path))
    with _surroundings() as environment:
        bare = [sys.executable, "-I", "-S", "-c", "pass"]
        seconds = {
            CAT: _drive(["cat"], files, environment),
            INTERPRETER: _drive(bare, files, environment),
            FIRST: _drive(argv, files[:count], environment),
            AGAIN: _drive(argv, files[:count], environment),
            NEW: _drive(argv, new[:count], environment),
            WARM: _drive([*argv, "--no-cache"], [files[0], *files[:count]], environment)[1:],
        }
    return FilterSample(case=case, executables=count, seconds=seconds)


def _drive(argv: Sequence[str], files: Sequence[str], environment: Mapping[str, str]) -> tuple[float, ...]:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps([list(argv), list(files)]),
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    if done.returncode != 0:
        raise CompilerError(
            "the filter failed",
            where=" ".join(argv),
            found=f"exit status {done.returncode}",
            details=done.stderr[-2000:],
        )
    return tuple(json.loads(done.stdout))


def _have_bytecode() -> None:
    """Compile bytecode, as after an installation: a checkout may have none, or that of older sources."""
    compileall.compile_dir(Path(__file__).parent.parent, quiet=2)


@contextmanager
def _surroundings() -> Iterator[Mapping[str, str]]:
    """Return an environment with a new, empty cache."""
    with tempfile.TemporaryDirectory(prefix="iree-substitute-cache-") as cache:
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
        yield {**os.environ, "XDG_CACHE_HOME": cache, "PATH": path}


def _executable(folder: Path) -> bytes:
    """Return a dispatch in the form that IREE's hook passes to a tool."""
    source, kept = folder / "filter.mlir", folder / "filter.text"
    source.write_text(MODEL)
    tool = folder / "keep-executable"
    tool.write_text(f'#!/bin/sh\ncat > "{kept}"; cat "{kept}"\n')
    tool.chmod(0o755)
    _compile(source, tool.name, {**os.environ, "PATH": f"{folder}:{os.environ.get('PATH', '')}"}, folder)
    return kept.read_bytes()


def _compile(source: Path, tool: str, environment: Mapping[str, str], folder: Path) -> None:
    argv = [command_path("iree-compile"), str(source), *HOST_FLAGS, HOOK + tool, "-o", str(folder / "filter.vmfb")]
    done = subprocess.run(
        argv, env=dict(environment), capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
    )
    if done.returncode != 0:
        raise CompilerError("iree-compile failed", found=f"exit status {done.returncode}", details=done.stderr[-2000:])


def measure_hook(subject: Subject, folder: Path, *, rounds: int, progress: Progress) -> HookSample:
    """Compile a model with `cat` and with the filter, the cache empty and full. Raises `SubstituteError`."""
    _have_bytecode()
    source = import_model(subject.path, folder / "hook.mlirbc")
    with _surroundings() as full:

        def first() -> None:
            with _surroundings() as empty:
                _compile(source, NAME, empty, folder)

        cases = {
            CAT: lambda: _compile(source, "cat", full, folder),
            FIRST: first,
            AGAIN: lambda: _compile(source, NAME, full, folder),
        }
        seconds = interleaved(cases, rounds=rounds, warmup=1, progress=progress)
    source.unlink()
    return HookSample(model=subject.name, seconds=seconds)
