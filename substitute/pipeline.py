"""Pipeline from model to module: the steps in order."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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
from .model.plan import Key, Payload, Plan, Request, Substitution, dispatch_key, substitution_names
from .payload.build import accepts, make, prepare
from .payload.check import reject_broken
from .plan_file import load_plan
from .progress import Progress, silent
from .rewrite.apply import join, substitute_dispatch
from .rewrite.choice import Choice
from .rewrite.host import HostProgram, has_host
from .rewrite.linking import check_linking, order_all_exports
from .rule.apply import plan_with_rules

if TYPE_CHECKING:
    from .guard.guard import Guard
    from .guard.verdict import Check, Checked

PAYLOADS = "make payloads"
CHECK = "check"
TO_A_MODULE = "compile to a module"
"""The step in which the compiler makes code of every executable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileResult:
    """A compiled module, and how it came about."""

    vmfb: bytes
    """The module; empty where it was written to a file instead."""
    plan: Plan
    payloads: Mapping[str, Payload]
    """Payloads by the name of their dispatch; see `substitution_names` for several in one dispatch."""
    seconds: Mapping[str, float]
    """Wall-clock time of each step."""
    checked: tuple[Checked, ...] = ()
    """The verdict on each dispatch with a kernel; those that were left out are not in the plan."""
    signatures: Mapping[str, tuple[str, ...]]
    """The model's functions and the types of their arguments, such as `4x?xf32`, where its frontend says."""


@dataclass(slots=True)
class Clock:
    """Times the steps, and tells of them."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time one step and report its start."""
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
    check: bool | Check | None = None,
    isolate: bool = False,
    progress: Progress = silent,
) -> CompileResult:
    """Compile a model, replacing the dispatches that kernels match.

    `flags` are iree-compile's; without a target among them the target is this machine's CPU. `plan` replays a saved
    plan. With `output` the module is written there, whole or not at all. `substitute=False` gives what IREE makes by
    itself. `check`: each kernel is judged once in each dispatch that it takes, see `guard`; None: unless
    `IREE_SUBSTITUTE_CHECK=0` stands in the environment. With `isolate` all of it happens in a child process, so that a
    crash of the compiler is a `CompilerError`. Raises `SubstituteError` for everything that a person can mend.
    """
    if isolate:
        with_default_target(flags)  # what is wrong with the flags is said before a process is started
        arguments = {
            "model": model,
            "output": output,
            "kernels": kernels,
            "builtin": builtin,
            "flags": flags,
            "plan": plan,
            "require": require,
            "substitute": substitute,
            "check": check,
        }
        try:
            return cast(CompileResult, isolated(Call(compile_model, arguments), progress))
        except CompilerCrash as crash:
            if crash.where != TO_A_MODULE:
                raise _without_kernels(crash, model, flags) from None
            from .crash import locate_crash

            raise locate_crash(crash, arguments, progress) from None
    from .read.signature import read_signatures

    clock = Clock(progress)
    chosen = load_plan(plan) if plan else None
    if output is not None:
        _check_writable(output)
    with clock.step("import"):
        source = load_model(model)
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
        done = Substituted(plan=Plan(substitutions=(), decisions=(), dispatches=()))
        if substitute:
            with clock.step("compile to dispatches"):
                warm = workers.submit(_warm_up, flags)
                compilation.run("start", "executable-sources")
                warm.result()
            selection = Selection(kernels=kernels, builtin=builtin, chosen=chosen, require=require)
            done = _substitute(compilation, clock, selection, _checking(check), workers, folder)
        else:
            with clock.step(TO_A_MODULE):
                compilation.run("start", "end")
        with clock.step(TO_A_MODULE):
            vmfb = b"" if output else compilation.bytecode()
            if output is not None:
                with replace_file(output) as temporary:
                    compilation.write(temporary)
    return CompileResult(
        vmfb=vmfb,
        plan=done.plan,
        payloads=done.payloads,
        checked=done.checked,
        seconds=clock.seconds,
        signatures=signatures,
    )


def _checking(check: bool | Check | None) -> Check | None:
    from .guard.guard import default_check
    from .guard.verdict import Check

    if check is None:
        return default_check()
    return check if isinstance(check, Check) else Check() if check else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Available kernels, and the choice among them."""

    kernels: Sequence[Path]
    builtin: bool
    chosen: Chosen | None
    require: Sequence[str]

    def without(self, plan: Plan, refused: frozenset[Key]) -> Selection:
        """Return the selection that makes this plan again, except for some dispatches."""
        return replace(self, chosen=choices(without(plan, refused)), require=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Substituted:
    """Substitutions of a compiled module."""

    plan: Plan
    payloads: Mapping[str, Payload] = field(default_factory=dict)
    checked: tuple[Checked, ...] = ()


def _substitute(
    compilation: Compilation, clock: Clock, selection: Selection, check: Check | None, workers: Executor, folder: Path
) -> Substituted:
    """Compile a module from its dispatches to the end with kernels, and again without those that the check refuses."""
    from .guard.guard import Guard

    assert compilation.module is not None
    with ExitStack() as stack:
        guard = None
        if check is not None:
            pristine = compilation.module.clone().operation
            guard = stack.enter_context(
                Guard(compilation, pristine, folder, check, chosen=selection.chosen is not None)
            )
        attempt = _put_in(compilation, clock, selection, guard, workers, folder)
        _to_a_module(compilation, clock, attempt)
        if guard is None:
            return attempt
        with clock.step(CHECK):
            refused = guard.conclude(clock.progress)
        if refused:
            again = selection.without(attempt.plan, refused)
            compilation.module = guard.pristine.clone().operation
            attempt = _put_in(compilation, clock, again, guard, workers, folder)
            _to_a_module(compilation, clock, attempt)
        guard.check_required(attempt.plan, selection.require)
        return replace(attempt, checked=guard.checked)


def _put_in(
    compilation: Compilation, clock: Clock, selection: Selection, guard: Guard | None, workers: Executor, folder: Path
) -> Substituted:
    """Plan, and embed the payloads that no known verdict refuses."""
    made, sites = plan_module(
        compilation,
        clock,
        selection.kernels,
        builtin=selection.builtin,
        chosen=selection.chosen,
        require=selection.require,
    )
    built = make_payloads(made, clock, workers)
    if guard is not None:
        with clock.step(CHECK):
            refused = guard.compare(made, built)
        if any(s.kernel.payload.kind.rewrites_body for s in made.substitutions if dispatch_key(s.dispatch) in refused):
            del sites
            compilation.module = guard.pristine.clone().operation  # a rule has changed what is in there now
            return _put_in(compilation, clock, selection.without(made, refused), guard, workers, folder)
        made = without(made, refused)
        built = [b for b in built if dispatch_key(b.substitution.dispatch) not in refused]
    put_payloads(built, made, sites, clock, folder)
    del sites
    return Substituted(plan=made, payloads={one.name: one.payload for one in built})


def _to_a_module(compilation: Compilation, clock: Clock, attempt: Substituted) -> None:
    assert compilation.module is not None
    check_linking(compilation.module, compilation.flags)
    order_all_exports(compilation.module)
    with clock.step(TO_A_MODULE), _blame(attempt.plan):
        compilation.run("executable-sources", "end")


def choices(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the `chosen` with which `make_plan` makes this plan again."""
    chosen: dict[str, tuple[str, ...]] = {}
    for s in plan.substitutions:
        name = f"{s.dispatch.variant}::{s.dispatch.name}"
        chosen[name] = tuple(dict.fromkeys((*chosen.get(name, ()), s.kernel.name)))
    return chosen


def without(plan: Plan, refused: frozenset[Key]) -> Plan:
    """Return the plan without the substitutions of some dispatches."""
    return replace(plan, substitutions=tuple(s for s in plan.substitutions if dispatch_key(s.dispatch) not in refused))


def inspect_model(
    model: Path,
    *,
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    isolate: bool = False,
    progress: Progress = silent,
) -> Plan:
    """Read all dispatches of a model and decide on each, without compiling further. See `compile_model`.

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
    """Report a crash before any kernel was put in."""
    if crash.where == "parse":  # MLIR's parser does not survive every file that ends too early
        return ModelError(
            "the model is not valid MLIR",
            where=str(model),
            expected=crash.expected,
            found=f"a parser that crashed ({crash.found})",
            next_step="check that the file is whole",
            details=crash.details,
        )
    targeted = add_target(flags)
    command = " ".join(("iree-compile", str(model), *targeted.flags))
    added = f" ({' '.join(targeted.added)} was added here)" if targeted.added else ""
    return CompilerCrash(
        "the compiler refused to go on" if crash.found.startswith("exit status") else crash.what,
        where=str(model),
        expected=crash.expected,
        found=f"{crash.found} in: {crash.where}",
        next_step=f"no kernel has been put in yet, and nothing was written; compare with `{command}`{added}",
        details=crash.details,
    )


def plan_module(
    compilation: Compilation,
    clock: Clock,
    kernels: Sequence[Path],
    *,
    builtin: bool,
    chosen: Chosen | None,
    require: Sequence[str],
) -> tuple[Plan, list[Any]]:
    """Read all dispatches and decide on each; return also their sites in the module."""
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
    """Return the same for any module that holds executables; `load` gives the kernels for some backends.

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
    """Load what the later steps need, while the compiler is at work and Python would wait for it."""
    from .catalog import catalog
    from .dialects import linalg

    assert catalog
    assert linalg
    if not any("vulkan" in flag or "cuda" in flag for flag in flags):
        from .payload.llvm import optimize

        optimize.initialize()
        _load_builtin("llvm-cpu")


def _load_builtin(backend: str) -> None:
    """Load the built-in kernels' code. What is wrong with any kernel is told when it is used."""
    from .catalog.catalog import open_library

    with suppress(SubstituteError):
        for manifest in open_library((), kept=True).manifests:
            kernel = manifest.kernel
            if kernel.builtin and any(target.backend == backend for target in kernel.targets):
                kernel.payload.kind.load(kernel)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder for files that the compiler reads, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="iree-substitute-") as folder:
        yield Path(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A substitution with its payload, made and verified."""

    name: str
    """Name of the substitution; see `substitution_names`."""
    substitution: Substitution
    request: Request
    payload: Payload


def substitute_dispatches(
    plan: Plan,
    sites: Sequence[Any],
    clock: Clock,
    workers: Executor,
    folder: Path,
    choices_of: dict[Dispatch, list[Choice]] | None = None,
) -> dict[str, Payload]:
    """Make all payloads and put them into the module; return them by the name of the dispatch.

    `choices_of` is filled with the choices that each dispatch is given.
    """
    built = make_payloads(plan, clock, workers)
    put_payloads(built, plan, sites, clock, folder, choices_of)
    return {one.name: one.payload for one in built}


def make_payloads(plan: Plan, clock: Clock, workers: Executor) -> list[Built]:
    """Make the payloads of all substitutions, in order, each one once. Raises `PayloadError`."""
    # rules are applied already
    chosen = tuple(s for s in plan.substitutions if not s.kernel.payload.kind.rewrites_body)
    with clock.step(PAYLOADS):
        orders = [prepare(substitution) for substitution in chosen]
        distinct = {order.key or str(number): order for number, order in enumerate(orders)}
        payloads: dict[str, Payload] = {}
        for key, payload in zip(distinct, workers.map(make, distinct.values()), strict=True):
            clock.progress(PAYLOADS, len(payloads) / len(distinct))
            payloads[key] = payload
    return [
        Built(name=name, substitution=s, request=order.request, payload=payloads[order.key or str(number)])
        for number, (s, name, order) in enumerate(zip(chosen, substitution_names(chosen), orders, strict=True))
    ]


def put_payloads(
    built: Sequence[Built],
    plan: Plan,
    sites: Sequence[Any],
    clock: Clock,
    folder: Path,
    choices_of: dict[Dispatch, list[Choice]] | None = None,
) -> None:
    """Put payloads into the module that the sites are in, which are of no use afterwards.

    `choices_of` is filled with the choices that each dispatch is given.
    """
    by_name = {(s.dispatch.executable, s.dispatch.variant, s.dispatch.name): s for s in sites}
    with clock.step(PAYLOADS):
        host = _host_of(plan, sites)
        for key, group in groupby(built, key=lambda b: dispatch_key(b.substitution.dispatch)):
            choices = [_choice(b.substitution, b.request, b.payload) for b in group]
            substitute_dispatch(by_name[key], choices, host=host, folder=folder)
            if choices_of is not None:
                choices_of[by_name[key].dispatch] = choices


def _host_of(plan: Plan, sites: Sequence[Any]) -> HostProgram | None:
    """Return the program around the executables, where there is one and a choice has to be written into it."""
    if not any(s.conditional or s.dispatch.siblings for s in plan.substitutions):
        return None
    module = sites[0].executable.parent
    return HostProgram(module) if has_host(module) else None


def _choice(substitution: Substitution, request: Request, payload: Payload) -> Choice:
    rule = substitution.rule
    return Choice(
        request=request,
        payload=payload,
        run_time=run_time_condition(substitution),
        device=rule.device if rule else (),
        variant=rule.variant if rule else "",
    )


def run_time_condition(substitution: Substitution) -> Condition:
    """Return the condition to check when the dispatch is launched. Raises `PlanError` if it can never hold."""
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
    """Name the kernel in an error of the compiler that names its dispatch."""
    try:
        yield
    except CompilerError as error:
        kernel = next((s.kernel.name for s in plan.substitutions if s.dispatch.name in error.found), None)
        if kernel is None:
            raise
        raise CompilerError(
            error.what,
            where=error.where,
            expected=error.expected,
            found=f"{error.found} ({kernel} was substituted there)",
            next_step=f"leave {kernel} out of this dispatch (--plan, or a constraint), or fix its code",
            details=error.details,
        ) from None
