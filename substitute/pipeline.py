"""Pipeline from model to module: the steps in order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .cache.atomic import replace_file
from .compiler import Compilation
from .crash import crash_without_kernels, locate_crash
from .embed import make_payloads, put_payloads
from .errors import CompilerCrash, CompilerError, UsageError
from .flags import with_default_target
from .frontend import (
    list_choices,
    parse_model,
    plan_module,
    print_executables,
    run_to_dispatches,
    scratch_folder,
    source_of,
    warm_up,
    without_dispatches,
    worker_threads,
)
from .inspection import ExecutableIr
from .isolate import Call, isolated, notify
from .machine import describe_differences, read_machine
from .match.planner import Chosen
from .model.plan import Key, Payload, Plan, dispatch_key
from .plan_file import load_plan
from .progress import Clock, Progress, silent
from .rewrite.linking import check_linking, order_all_exports

if TYPE_CHECKING:
    from .attest.proof import Proofs, Requirement, Unproven
    from .guard.guard import Guard
    from .guard.verdict import Check, Checked

CHECK = "check"
TO_A_MODULE = "compile to a module"
"""Step in which the compiler generates code for every executable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileResult:
    """A compiled module, and the record of its compilation."""

    vmfb: bytes
    """The module; empty if it was written to a file instead."""
    plan: Plan
    payloads: Mapping[str, Payload]
    """Payloads by the name of their dispatch; see `substitution_names` for several in one dispatch."""
    seconds: Mapping[str, float]
    """Wall-clock time of each step."""
    checked: tuple[Checked, ...] = ()
    """The verdict on each dispatch with a kernel; those that were left out are not in the plan."""
    unproven: tuple[Unproven, ...] = ()
    """Kernels that were left out because no attestation proves their code, where that is required."""
    warning: str = ""
    """Warning about the model as IREE compiles it, independent of kernels; empty if there is none."""
    notes: tuple[str, ...] = ()
    """Relevant differences between this machine and the one that the plan was measured on."""
    signatures: Mapping[str, tuple[str, ...]]
    """The model's functions and the types of their arguments, such as `4x?xf32`, if its frontend declares them."""
    ir: Mapping[str, ExecutableIr] = field(default_factory=dict)
    """IR of each executable by its name, where it was asked for."""


def compile_model(
    model: Path | str | bytes,
    *,
    output: Path | str | None = None,
    kernels: Sequence[Path | str] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    plan: Path | None = None,
    require: Sequence[str] = (),
    substitute: bool = True,
    check: bool | Check | None = None,
    keep_ir: bool = False,
    require_validated: Requirement | None = None,
    isolate: bool = False,
    progress: Progress = silent,
) -> CompileResult:
    """Compile a model, replacing the dispatches that kernels match.

    `model` is a file's path, or MLIR itself: text (a string of several lines), or text or bytecode as bytes.
    `flags` are iree-compile's; without a target among them the target is this machine's CPU. `plan` replays a saved
    plan. With `output` the module is written there, whole or not at all. `substitute=False` gives IREE's own code.
    `check`: each kernel is judged once in each dispatch that it takes, see `guard`; None: unless the environment has
    `IREE_SUBSTITUTE_CHECK=0`. `require_validated`: only code that an attestation proves is embedded. With `isolate` it
    runs in a child process, so that a crash of the compiler is a `CompilerError`. `keep_ir`: the result has the text of
    every executable, before and after. Raises `SubstituteError` for everything that a user can correct.
    """
    model, name = source_of(model)
    folders = [Path(folder) for folder in kernels]
    place = Path(output) if output is not None else None
    if isolate:
        with_default_target(flags)  # errors in the flags are reported before a process is started
        arguments = {
            "model": model,
            "output": place,
            "kernels": folders,
            "builtin": builtin,
            "flags": flags,
            "plan": plan,
            "require": require,
            "substitute": substitute,
            "check": check,
            "keep_ir": keep_ir,
            "require_validated": require_validated,
        }
        try:
            return cast(CompileResult, isolated(Call(compile_model, arguments), progress))
        except CompilerCrash as crash:
            if crash.where != TO_A_MODULE:
                raise crash_without_kernels(crash, name, flags) from None
            located = locate_crash(crash, arguments, progress)
            if located is crash and not substitute:
                raise crash_without_kernels(crash, name, flags) from None
            raise located from None
    from .read.interface import misread_types
    from .read.signature import read_signatures

    clock = Clock(progress)
    saved = load_plan(plan) if plan else None
    chosen = saved.chosen if saved else None
    if place is not None:
        _check_writable(place)
    with (
        worker_threads() as workers,
        scratch_folder() as folder,
        Compilation(with_default_target(flags), name=name) as compilation,
    ):
        parse_model(compilation, model, folders, clock)
        assert compilation.module is not None
        signatures = read_signatures(compilation.module)
        before: Mapping[str, str] = {}
        done, warning = Substituted(plan=Plan(substitutions=(), decisions=(), dispatches=())), ""
        if substitute:
            with clock.step("compile to dispatches"):
                warm = workers.submit(warm_up, flags)
                run_to_dispatches(compilation, folders)
                warm.result()
            before = print_executables(compilation.module) if keep_ir else {}
            warning = misread_types(compilation.module, compilation.flags)
            if warning:
                notify(f"warning: {warning}")
            selection = Selection(kernels=folders, builtin=builtin, chosen=chosen, require=require)
            proofs = None
            if require_validated is not None:
                from .attest.proof import Proofs

                proofs = Proofs(require_validated)
            done = _substitute(compilation, clock, selection, _checking(check), proofs, workers, folder, keep_ir)
        else:
            with clock.step(TO_A_MODULE):
                compilation.run("start", "end")
        with clock.step(TO_A_MODULE):
            vmfb = b"" if place else compilation.bytecode()
            if place is not None:
                with replace_file(place) as temporary:
                    compilation.write(temporary)
    return CompileResult(
        vmfb=vmfb,
        plan=done.plan,
        payloads=done.payloads,
        checked=done.checked,
        unproven=done.unproven,
        seconds=clock.seconds,
        warning=warning,
        notes=describe_differences(saved.machine, read_machine()) if saved and saved.machine else (),
        signatures=signatures,
        ir={name: ExecutableIr(before=text, after=done.ir.get(name, "")) for name, text in before.items()},
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
        return replace(self, chosen=list_choices(without_dispatches(plan, refused)), require=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Substituted:
    """Substitutions of a compiled module."""

    plan: Plan
    payloads: Mapping[str, Payload] = field(default_factory=dict)
    checked: tuple[Checked, ...] = ()
    ir: Mapping[str, str] = field(default_factory=dict)
    """Text of each executable with its payloads, where it was asked for."""
    unproven: tuple[Unproven, ...] = ()


def _substitute(
    compilation: Compilation,
    clock: Clock,
    selection: Selection,
    check: Check | None,
    proofs: Proofs | None,
    workers: Executor,
    folder: Path,
    keep_ir: bool,
) -> Substituted:
    """Compile a module from its dispatches to the end with kernels, and again without those that the check refuses."""
    from .guard.guard import Guard

    assert compilation.module is not None
    with ExitStack() as stack:
        guard, by_plan = None, selection.chosen is not None
        unproven: tuple[Unproven, ...] = ()
        if proofs is not None:
            selection, unproven = _proven(compilation, clock, selection, proofs, workers)
        if check is not None:
            pristine = compilation.module.clone().operation
            guard = stack.enter_context(Guard(compilation, pristine, folder, check, chosen=by_plan))
        attempt = _put_in(compilation, clock, selection, guard, workers, folder)
        ir = print_executables(compilation.module) if keep_ir else {}
        _to_a_module(compilation, clock, attempt)
        if guard is None:
            return replace(attempt, unproven=unproven, ir=ir)
        with clock.step(CHECK):
            refused = guard.conclude(clock.progress)
        if refused:
            again = selection.without(attempt.plan, refused)
            compilation.module = guard.pristine.clone().operation
            attempt = _put_in(compilation, clock, again, guard, workers, folder)
            ir = print_executables(compilation.module) if keep_ir else {}
            _to_a_module(compilation, clock, attempt)
        guard.check_required(attempt.plan, selection.require)
        return replace(attempt, checked=guard.checked, unproven=unproven, ir=ir)


def _proven(
    compilation: Compilation, clock: Clock, selection: Selection, proofs: Proofs, workers: Executor
) -> tuple[Selection, tuple[Unproven, ...]]:
    """Return the selection without the dispatches whose code no attestation proves, and the reasons.

    Raises `PlanError` if a required kernel has no dispatch left.
    """
    from .attest.proof import list_unproven

    assert compilation.module is not None
    pristine = compilation.module.clone().operation
    made, sites = plan_module(
        compilation,
        clock,
        selection.kernels,
        builtin=selection.builtin,
        chosen=selection.chosen,
        require=selection.require,
    )
    del sites
    with clock.step("compare with attestations"):
        unproven = list_unproven(made, make_payloads(made, clock, workers), proofs, selection.require)
    compilation.module = pristine  # a rule may have changed the other
    refused = frozenset(one.key for one in unproven)
    if not refused:
        return selection, unproven
    return replace(selection.without(made, refused), require=selection.require), unproven


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
            compilation.module = guard.pristine.clone().operation  # a rule has changed the body in the module
            return _put_in(compilation, clock, selection.without(made, refused), guard, workers, folder)
        made = without_dispatches(made, refused)
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
        alone = next((d.name for d in plan.dispatches if d.name in error.found), None)
        if kernel is None and (alone is not None or not plan.substitutions):
            raise CompilerError(
                error.what,
                where=error.where,
                expected=error.expected,
                found=error.found,
                next_step=f"no kernel is in {alone or 'the module'}: it is IREE's own code that does not compile; "
                "other flags help, or a kernel that takes the dispatch",
                details=error.details,
            ) from None
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
