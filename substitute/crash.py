"""Reports of a compiler crash: its place is found by compiling one executable at a time in a separate process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .compiler import Compilation
from .embed import substitute_dispatches
from .errors import CompilerCrash, ModelError, SubstituteError
from .flags import add_target, with_default_target
from .frontend import parse_model, plan_module, run_to_dispatches, scratch_folder, source_of, worker_threads
from .isolate import Call, describe_crash, isolated
from .progress import Clock, Progress

STEP = "find the executable that crashes it"
NO_THREADS = "--mlir-disable-threading"
"""The search forks a process that has the compiler loaded, whose threads are lost."""
LONGEST_SECONDS = 120.0
"""Time limit for one executable."""
MOST_EXECUTABLES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """The executable that the compiler crashes on, alone."""

    dispatch: str
    kernel: str
    """Kernel that the executable contains; empty if it is IREE's own code."""
    found: str
    words: str


def locate_crash(crash: CompilerCrash, arguments: Mapping[str, Any], progress: Progress) -> CompilerCrash:
    """Add the executable's name to a crash, if it can be found. `arguments` are `compile_model`'s."""
    names = ("model", "kernels", "builtin", "flags", "plan", "require", "substitute")
    try:
        culprit = isolated(Call(find_culprit, {name: arguments[name] for name in names}), progress)
    except SubstituteError:
        return crash
    if culprit is None:
        return crash
    if culprit.kernel:
        next_step = f"leave {culprit.kernel} out of this dispatch (--plan, or a constraint), or fix its code"
    else:
        next_step = "this is IREE's own code: report it to IREE, or put a kernel in its place"
    return CompilerCrash(
        f"the compiler crashed on {culprit.kernel or 'its own code'}",
        where=culprit.dispatch,
        expected="a result",
        found=f"{culprit.found} in: {crash.where}",
        next_step=next_step,
        details=culprit.words or crash.details,
    )


def find_culprit(
    *,
    model: Any,
    kernels: Any,
    builtin: bool,
    flags: Any,
    plan: Any,
    require: Any,
    substitute: bool,
    progress: Progress,
) -> Culprit | None:
    """Compile the model's executables one by one, those with kernels first, each in a fork of this process."""
    from .plan_file import load_plan
    from .read.module import read_module

    clock = Clock(lambda _what, _share: progress(STEP, None))
    with (
        scratch_folder() as folder,
        Compilation((*with_default_target(flags), NO_THREADS), name=source_of(model)[1]) as compilation,
    ):
        parse_model(compilation, model, kernels, clock)
        run_to_dispatches(compilation, kernels)
        chosen = load_plan(plan).chosen if plan else None
        made, sites = plan_module(compilation, clock, kernels, builtin=builtin, chosen=chosen, require=require)
        taken: dict[str, str] = {}
        if substitute:
            with worker_threads() as workers:
                substitute_dispatches(made, sites, clock, workers, folder)
            sites = read_module(compilation.module)  # executables may have been added or split
            taken = {s.dispatch.name: s.kernel.name for s in made.substitutions}
        order = sorted(sites, key=lambda site: site.dispatch.name not in taken)[:MOST_EXECUTABLES]
        for number, site in enumerate(order):
            progress(STEP, number / len(order))
            crash = _alone(compilation, site.executable)
            if crash is not None:
                name = site.dispatch.name
                return Culprit(dispatch=name, kernel=taken.get(name, ""), found=crash[0], words=crash[1])
    return None


def _alone(compilation: Compilation, executable: Any) -> tuple[str, str] | None:
    """Return how the compiler crashed on one executable, and its output; None if it did not crash."""
    start = os.lseek(2, 0, os.SEEK_CUR)
    child = os.fork()
    if child == 0:
        try:
            compilation.translate(executable)  # errors are reported elsewhere
        finally:
            os._exit(0)
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.01)
    if status == 0:
        return None
    words = os.pread(2, os.lseek(2, 0, os.SEEK_CUR) - start, start).decode(errors="replace")
    return describe_crash(status, words)


def crash_without_kernels(crash: CompilerCrash, model: str, flags: Sequence[str]) -> SubstituteError:
    """Report a crash that occurred before any kernel was embedded, or where none is."""
    if crash.where == "parse":  # MLIR's parser crashes on some truncated files
        return ModelError(
            "the model is not valid MLIR",
            where=model,
            expected=crash.expected,
            found=f"a parser that crashed ({crash.found})",
            next_step="check that the file is whole",
            details=crash.details,
        )
    targeted = add_target(flags)
    command = " ".join(("iree-compile", model, *targeted.flags))
    added = f" ({' '.join(targeted.added)} was added here)" if targeted.added else ""
    return CompilerCrash(
        "the compiler refused to go on" if crash.found.startswith("exit status") else crash.what,
        where=model,
        expected=crash.expected,
        found=f"{crash.found} in: {crash.where}",
        next_step=f"no kernel has been put in yet, and nothing was written; compare with `{command}`{added}",
        details=crash.details,
    )
