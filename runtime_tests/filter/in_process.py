"""The in-process way, in a separate process: a fork of one that has loaded the compiler would hang."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from substitute.isolate import Call, isolated
from substitute.progress import Progress


def executables_in_process(model: Path, flags: Sequence[str], *, builtin: bool) -> str:
    """The module of a model after `iree-substitute compile` has put kernels into its executables."""
    arguments = {"model": model, "flags": tuple(flags), "builtin": builtin}
    return str(isolated(Call(_work, arguments), lambda _what, _share: None))


def _work(*, model: Path, flags: Sequence[str], builtin: bool, progress: Progress) -> str:
    from substitute.compiler import Compilation
    from substitute.embed import substitute_dispatches
    from substitute.frontend import plan_module, scratch_folder, worker_threads
    from substitute.progress import Clock

    with worker_threads() as workers, scratch_folder() as folder, Compilation(flags, name="model") as compilation:
        compilation.parse(model)
        compilation.run("start", "executable-sources")
        clock = Clock(progress)
        plan, sites = plan_module(compilation, clock, [], builtin=builtin, chosen=None, require=())
        substitute_dispatches(plan, sites, clock, workers, folder)
        assert compilation.module is not None
        return str(compilation.module.get_asm())
