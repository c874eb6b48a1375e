"""Model in, module out: the one place where the steps stand in order."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from .cache.atomic import replace_file
from .compiler import Compilation, load_model
from .errors import CompilerCrash, CompilerError, ModelError, PlanError, SubstituteError, UsageError
from .flags import add_target, read_flags, with_default_target
from .isolate import Call, isolated
from .match.planner import Chosen
from .model.constraints import Condition, constraint_to_index
from .model.dispatch import Dispatch
from .model.kernel import Kernel
from .model.numerics import NumericDemand
from .model.plan import Payload, Plan, Request, Substitution, substitution_names
from .payload.build import accepts, build
from .payload.check import reject_broken
from .plan_file import load_plan
from .rewrite.apply import join, substitute_dispatch
from .rewrite.choice import Choice
from .rewrite.host import HostProgram, has_host
from .rewrite.linking import check_linking, order_all_exports
from .rule.apply import plan_with_rules

TO_A_MODULE = "compile to a module"
"""The step in which the compiler makes code of every executable."""

Progress = Callable[[str, float | None], None]
"""Called with what is being done, and how much of it is done (0 to 1, None: not known)."""


def silent(_what: str, _share: float | None) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileResult:
    """A compiled module, and how it came about."""

    vmfb: bytes
    """The module; empty where it was written to a file instead."""
    plan: Plan
    payloads: Mapping[str, Payload]
    """By the name of the dispatch they stand in; see `substitution_names` where several stand in one."""
    seconds: Mapping[str, float]
    """Wall-clock time of each step."""
    signatures: Mapping[str, tuple[str, ...]]
    """The model's functions and the types of their arguments, such as `4x?xf32`, where its frontend says."""


@dataclass(slots=True)
class Clock:
    """Times the steps, and tells of them."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Times one step, and says that it began."""
        self.progress(what, None)
        start = time.perf_counter()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start


def compile_model(
    model: Path,
    *,
    output: Path | None = None,
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    plan: Path | None = None,
    require: Sequence[str] = (),
    substitute: bool = True,
    isolate: bool = False,
    progress: Progress = silent,
) -> CompileResult:
    """Compiles a model with kernels in the place of the dispatches that they match.

    `flags` are iree-compile's; without a target among them the target is this machine's CPU. `plan` replays a saved
    plan. With `output` the module is written there, whole or not at all. `substitute=False` gives what IREE makes by
    itself. With `isolate` all of it happens in a child process, so that a crash of the compiler is a
    `CompilerError`. Raises `SubstituteError` for everything that a person can mend.
    """
    if isolate:
        with_default_target(flags)  # what is wrong with the flags is said before a process is started
        arguments = {
            "model": model, "output": output, "kernels": kernels, "builtin": builtin, "flags": flags, "plan": plan,
            "require": require, "substitute": substitute,
        }  # fmt: skip
        try:
            return cast(CompileResult, isolated(Call(compile_model, arguments), progress))
        except CompilerCrash as crash:
            if crash.where != TO_A_MODULE:
                raise _without_kernels(crash, model, flags) from None
            from .crash import located

            raise located(crash, arguments, progress) from None
    from .read.signature import read_signatures

    clock = Clock(progress)
    chosen = load_plan(plan) if plan else None
    if output is not None:
        _check_writable(output)
    with clock.step("import"):
        source = load_model(model)
    payloads: dict[str, Payload] = {}
    with (
        worker_threads() as workers,
        scratch_folder() as folder,
        Compilation(with_default_target(flags), name=str(model)) as compilation,
    ):
        with clock.step("parse"):
            compilation.parse(source)
            assert compilation.module is not None
            signatures = read_signatures(compilation.module)
        del source
        made = Plan(substitutions=(), decisions=(), dispatches=())
        if substitute:
            with clock.step("compile to dispatches"):
                warm = workers.submit(_warm_up, flags)
                compilation.run("start", "executable-sources")
                warm.result()
            made, sites = plan_module(compilation, clock, kernels, builtin=builtin, chosen=chosen, require=require)
            payloads = substitute_dispatches(made, sites, clock, workers, folder)
            del sites
            check_linking(compilation.module, flags)
            order_all_exports(compilation.module)
        with clock.step(TO_A_MODULE), _blame(made):
            compilation.run("executable-sources" if substitute else "start", "end")
            vmfb = b"" if output else compilation.bytecode()
            if output is not None:
                with replace_file(output) as temporary:
                    compilation.write(temporary)
    return CompileResult(vmfb=vmfb, plan=made, payloads=payloads, seconds=clock.seconds, signatures=signatures)


def inspect_model(
    model: Path,
    *,
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    isolate: bool = False,
    progress: Progress = silent,
) -> Plan:
    """Reads all dispatches of a model and decides on each, without compiling further. See `compile_model`.

    A kernel that fits and whose code cannot be built, which ends `compile_model` in an error, is rejected here.
    """
    if isolate:
        with_default_target(flags)
        arguments = {"model": model, "kernels": kernels, "builtin": builtin, "flags": flags}
        try:
            return cast(Plan, isolated(Call(inspect_model, arguments), progress))
        except CompilerCrash as crash:
            raise _without_kernels(crash, model, flags) from None
    clock = Clock(progress)
    with clock.step("import"):
        source = load_model(model)
    with Compilation(with_default_target(flags), name=str(model)) as compilation:
        with clock.step("parse"):
            compilation.parse(source)
        with clock.step("compile to dispatches"):
            compilation.run("start", "executable-sources")
        plan, sites = plan_module(compilation, clock, kernels, builtin=builtin, chosen=None, require=())
        del sites
        with clock.step("check code"):
            return reject_broken(plan, also=run_time_condition)


def _without_kernels(crash: CompilerCrash, model: Path, flags: Sequence[str]) -> SubstituteError:
    """A crash before any kernel was put in."""
    if crash.where == "parse":  # MLIR's parser does not survive every file that ends too early
        return ModelError(
            "the model is not valid MLIR", where=str(model), expected=crash.expected,
            found=f"a parser that crashed ({crash.found})", next_step="check that the file is whole",
            details=crash.details,
        )  # fmt: skip
    targeted = add_target(flags)
    command = " ".join(("iree-compile", str(model), *targeted.flags))
    added = f" ({' '.join(targeted.added)} was added here)" if targeted.added else ""
    return CompilerCrash(
        "the compiler refused to go on" if crash.found.startswith("exit status") else crash.what,
        where=str(model), expected=crash.expected, found=f"{crash.found} in: {crash.where}",
        next_step=f"no kernel has been put in yet, and nothing was written; compare with `{command}`{added}",
        details=crash.details,
    )  # fmt: skip


def plan_module(
    compilation: Compilation,
    clock: Clock,
    kernels: Sequence[Path],
    *,
    builtin: bool,
    chosen: Chosen | None,
    require: Sequence[str],
) -> tuple[Plan, list[Any]]:
    """Reads all dispatches and decides on each; the sites are where they stand in the module."""
    from .catalog.catalog import load_catalog

    assert compilation.module is not None

    def load(backends: frozenset[str]) -> Sequence[Kernel]:
        return load_catalog(kernels, builtin=builtin, backends=backends, kept=True).kernels

    demands = read_flags(compilation.flags).demands
    return plan_executables(compilation.module, clock, load, chosen=chosen, require=require, demands=demands)


def plan_executables(
    module: Any,
    clock: Clock,
    load: Callable[[frozenset[str]], Sequence[Kernel]],
    *,
    chosen: Chosen | None,
    require: Sequence[str] = (),
    whole: bool = True,
    demands: Sequence[NumericDemand] = (),
) -> tuple[Plan, list[Any]]:
    """The same for any module that holds executables; `load` gives the kernels for some backends.

    `demands` are what the compiler's flags demand of numbers.

    Where the module is not the `whole` model, a saved plan may name dispatches that are not in it.
    """
    from .read.module import read_module

    with clock.step("read dispatches"):
        sites = read_module(module)
    dispatches: list[Dispatch] = [site.dispatch for site in sites]
    if chosen is not None and not whole:
        known_names = {name for d in dispatches for name in (d.name, f"{d.variant}::{d.name}")}
        chosen = {name: kernel for name, kernel in chosen.items() if name in known_names}
    with clock.step("load kernels"):
        known = load(frozenset(d.target.backend for d in dispatches))
    with clock.step("match"):
        return plan_with_rules(
            sites, known, accepts, chosen=chosen, require=require, host=has_host(module), demands=demands
        )


@contextmanager
def worker_threads() -> Iterator[Executor]:
    """Threads: LLVM, glslang and spirv-val work outside of Python's lock."""
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _warm_up(flags: Sequence[str]) -> None:
    """Loads what the later steps need, while the compiler is at work and Python would wait for it."""
    from .catalog import catalog
    from .dialects import linalg

    assert catalog
    assert linalg
    if not any("vulkan" in flag or "cuda" in flag for flag in flags):
        from .payload.llvm import contraction, loops, optimize

        assert contraction
        assert loops
        optimize.initialize()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for files that the compiler reads, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="iree-substitute-") as folder:
        yield Path(folder)


def substitute_dispatches(
    plan: Plan, sites: Sequence[Any], clock: Clock, workers: Executor, folder: Path
) -> dict[str, Payload]:
    """Makes all payloads and puts them into the module; the payloads by the name of the dispatch."""
    by_name = {(s.dispatch.executable, s.dispatch.variant, s.dispatch.name): s for s in sites}
    payloads: dict[str, Payload] = {}
    chosen = tuple(
        s for s in plan.substitutions if not s.kernel.payload.kind.rewrites_body
    )  # rules are applied already
    with clock.step("make payloads"):
        host = _host_of(plan, sites)
        built = zip(substitution_names(chosen), workers.map(build, chosen), strict=True)
        grouped = groupby(chosen, key=lambda s: (s.dispatch.executable, s.dispatch.variant, s.dispatch.name))
        for key, substitutions in grouped:
            choices = []
            for substitution in substitutions:
                name, (request, payload) = next(built)
                clock.progress("make payloads", len(payloads) / len(chosen))
                choices.append(_choice(substitution, request, payload))
                payloads[name] = payload
            substitute_dispatch(by_name[key], choices, host=host, folder=folder)
    return payloads


def _host_of(plan: Plan, sites: Sequence[Any]) -> HostProgram | None:
    """The program around the executables, where there is one and a choice has to be written into it."""
    if not any(s.conditional or s.dispatch.siblings for s in plan.substitutions):
        return None
    module = sites[0].executable.parent
    return HostProgram(module) if has_host(module) else None


def _choice(substitution: Substitution, request: Request, payload: Payload) -> Choice:
    rule = substitution.rule
    return Choice(
        request=request, payload=payload, run_time=run_time_condition(substitution),
        device=rule.device if rule else (), variant=rule.variant if rule else "",
    )  # fmt: skip


def run_time_condition(substitution: Substitution) -> Condition:
    """What has to be checked when the dispatch is launched. Raises `PlanError` if it can never hold."""
    sizes = {axis.name: axis.size for axis in substitution.match.axes}
    wanted = [c for c in substitution.kernel.constraints if c.text in substitution.match.fallback]
    condition = join([constraint_to_index(c, sizes) for c in wanted])
    if condition is False:
        raise PlanError(
            f"the constraints of {substitution.kernel.name} can never hold",
            where=substitution.dispatch.name,
            expected=" and ".join(c.text for c in wanted),
            found=", ".join(f"{name} = {size}" for name, size in sizes.items()),
            next_step="leave the kernel out of the plan",
        )
    return condition


def _check_writable(output: Path) -> None:
    folder = output.parent
    if not folder.is_dir() or output.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(
            "the output cannot be written",
            where=str(output),
            expected="a file in a folder that exists and can be written",
            found="a folder"
            if output.is_dir()
            else f"{folder} {'is read-only' if folder.is_dir() else 'is not there'}",
            next_step="choose another -o",
        )


@contextmanager
def _blame(plan: Plan) -> Iterator[None]:
    """An error of the compiler that names a dispatch with a kernel says which."""
    try:
        yield
    except CompilerError as error:
        kernel = next((s.kernel.name for s in plan.substitutions if s.dispatch.name in error.found), None)
        if kernel is None:
            raise
        raise CompilerError(
            error.what, where=error.where, expected=error.expected, found=f"{error.found} ({kernel} stands there)",
            next_step=f"leave {kernel} out of this dispatch (--plan, or a constraint), or mend its code",
            details=error.details,
        ) from None  # fmt: skip
