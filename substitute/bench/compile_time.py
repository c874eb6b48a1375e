"""Compile times: plain iree-compile beside iree-substitute, as commands and in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..compiler import load_model
from ..errors import CompilerError, UsageError
from ..flags import HOST_FLAGS
from ..isolate import Call, isolated
from ..pipeline import CompileResult, compile_model
from ..progress import Progress, silent
from .samples import STOCK, SUBSTITUTED, CompileSample, TimeSample
from .subject import Subject

TIMEOUT_SECONDS = 1800


def measure_compile(
    subject: Subject, kernels: Sequence[Path], folder: Path, *, rounds: int, progress: Progress
) -> CompileSample:
    """Time the compilation of a model, imported beforehand, in all ways. Raises `SubstituteError`."""
    progress(f"{subject.name}: import", None)
    source = import_model(subject.path, folder / f"{subject.name.replace('/', '_')}.mlirbc")
    flags = [f"--kernels={folder}" for folder in kernels]
    commands = {
        STOCK: [command_path("iree-compile"), str(source), *HOST_FLAGS, "-o", str(folder / "stock.vmfb")],
        SUBSTITUTED: [
            command_path("iree-substitute"),
            "compile",
            str(source),
            *HOST_FLAGS,
            *flags,
            "-o",
            str(folder / "substituted.vmfb"),
        ],
    }
    cases = {case: _command(argv) for case, argv in commands.items()}
    progress(f"{subject.name}: commands", None)
    times = interleaved(cases, rounds=rounds, warmup=1, progress=progress)
    progress(f"{subject.name}: in one process", None)
    work = Call(_in_process, {"source": source, "kernels": kernels, "rounds": rounds})
    calls, phases = isolated(work, progress)
    for path in (source, folder / "stock.vmfb", folder / "substituted.vmfb"):
        path.unlink(missing_ok=True)
    return CompileSample(
        model=subject.name,
        commands=TimeSample(model=subject.name, seconds=times),
        in_process=TimeSample(model=subject.name, seconds=calls),
        phases=phases,
    )


def interleaved(
    cases: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int, progress: Progress
) -> dict[str, tuple[float, ...]]:
    """Return the seconds of each case, once per round, each round starting with another one; after `warmup` rounds."""
    names = list(cases)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warmup + rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            cases[name]()
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
        progress("compile", (turn + 1) / (warmup + rounds))
    return {name: tuple(times) for name, times in seconds.items()}


def import_model(model: Path, target: Path) -> Path:
    """Write the model as the compiler's own bytecode (or text, where it is text), so that no import is timed."""
    isolated(Call(_convert, {"model": model, "target": target}), silent)
    return target


def _convert(model: Path, target: Path, progress: Progress) -> None:
    source = load_model(model)
    target.write_bytes(source if isinstance(source, bytes) else source.read_bytes())


def command_path(name: str) -> str:
    """Return the path of a command in this Python's environment. Raises `UsageError`."""
    path = Path(sys.executable).with_name(name)
    if not path.is_file():
        raise UsageError(
            f"the command {name} is missing",
            where=str(path),
            expected="a command beside this Python's",
            found="nothing",
            next_step="install the project: pip install -e .",
        )
    return str(path)


def _command(argv: Sequence[str]) -> Callable[[], None]:
    """Return a function that runs a process. It raises `CompilerError` if that fails or does not end."""

    def run() -> None:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            _, words = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise CompilerError(
                f"{Path(argv[0]).name} did not end", expected=f"an end within {TIMEOUT_SECONDS} s"
            ) from None
        finally:
            if process.poll() is None:
                # the command is a wrapper around the compiler itself
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode != 0:
            raise CompilerError(
                f"{Path(argv[0]).name} failed",
                found=f"exit status {process.returncode}",
                details="\n".join(words.splitlines()[-12:]),
            )

    return run


def _in_process(
    source: Path, kernels: Sequence[Path], rounds: int, progress: Progress
) -> tuple[dict[str, tuple[float, ...]], dict[str, dict[str, tuple[float, ...]]]]:
    """Return case → seconds per call, and case → phase → seconds per call."""
    steps: dict[str, list[Mapping[str, float]]] = {STOCK: [], SUBSTITUTED: []}

    def case(name: str) -> Callable[[], CompileResult]:
        def compile_once() -> CompileResult:
            result = compile_model(source, kernels=kernels, substitute=name == SUBSTITUTED, check=False)
            steps[name].append(result.seconds)
            return result

        return compile_once

    times = interleaved({name: case(name) for name in steps}, rounds=rounds, warmup=1, progress=progress)
    return times, {
        name: {phase: tuple(one[phase] for one in every[-rounds:]) for phase in every[0]}
        for name, every in steps.items()
    }
