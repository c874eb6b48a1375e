"""Inspection of a model: its dispatches and the decision on each, without code generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from .compiler import Compilation
from .crash import crash_without_kernels
from .embed import run_time_condition
from .errors import CompilerCrash
from .flags import with_default_target
from .frontend import parse_model, plan_module, print_executables, run_to_dispatches
from .isolate import Call, isolated
from .match.planner import check_required
from .match.splits import with_splits
from .model.plan import Plan
from .payload.check import Pair, reject_broken
from .progress import Clock, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutableIr:
    """Text of an executable, with large constants left out."""

    before: str
    """As the compiler made it."""
    after: str = ""
    """With payloads in it; the same as `before` where nothing was changed; empty if nothing was embedded at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Dispatches of a model, the decision on each, and their IR."""

    plan: Plan
    ir: Mapping[str, ExecutableIr]


def inspect_model(
    model: Path | str,
    *,
    kernels: Sequence[Path | str] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    require: Sequence[str] = (),
    isolate: bool = False,
    progress: Progress = silent,
) -> Plan:
    """Read all dispatches of a model and decide on each, without compiling further. See `compile_model`.

    A kernel that matches and whose code cannot be built, which is an error in `compile_model`, is rejected here.
    """
    return inspect_with_ir(
        model,
        kernels=kernels,
        builtin=builtin,
        flags=flags,
        require=require,
        keep_ir=False,
        isolate=isolate,
        progress=progress,
    ).plan


def inspect_with_ir(
    model: Path | str,
    *,
    kernels: Sequence[Path | str] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    require: Sequence[str] = (),
    keep_ir: bool = True,
    isolate: bool = False,
    progress: Progress = silent,
) -> Inspection:
    """Inspect a model as `inspect_model` does, and return the text of its executables as well."""
    model, folders = Path(model), [Path(folder) for folder in kernels]
    if isolate:
        with_default_target(flags)
        arguments = {
            "model": model,
            "kernels": folders,
            "builtin": builtin,
            "flags": flags,
            "require": require,
            "keep_ir": keep_ir,
        }
        try:
            return cast(Inspection, isolated(Call(inspect_with_ir, arguments), progress))
        except CompilerCrash as crash:
            raise crash_without_kernels(crash, str(model), flags) from None
    clock = Clock(progress)
    with Compilation(with_default_target(flags), name=str(model)) as compilation:
        parse_model(compilation, model, folders, clock)
        with clock.step("compile to dispatches"):
            run_to_dispatches(compilation, folders)
        from .guard.recall import has_verdicts, recall_verdicts

        assert compilation.module is not None
        before = print_executables(compilation.module) if keep_ir else {}
        pristine = compilation.module.clone().operation if has_verdicts() else None
        plan, sites = plan_module(compilation, clock, folders, builtin=builtin, chosen=None, require=require)
        with clock.step("check code"):
            sound = with_splits(reject_broken(plan, also=run_time_condition))
            check_required(sound, [d.kernel for d in sound.decisions], require)
            if pristine is not None:
                sound = replace(sound, verdicts=recall_verdicts(sound, pristine, sites, compilation.flags))
        del sites
        return Inspection(plan=sound, ir={name: ExecutableIr(before=text) for name, text in before.items()})


def make_code(plan: Plan, pairs: frozenset[Pair], *, progress: Progress = silent) -> Plan:
    """Return the plan of an inspected model, in which the code of these pairs that fit was made as by `compile_model`.

    A pair whose code cannot be made, or not be verified, is rejected. A child process does it.
    """
    arguments = {"plan": plan, "also": run_time_condition, "made": pairs}
    return cast(Plan, isolated(Call(_reject_broken, arguments), progress))


def _reject_broken(progress: Progress, **arguments: Any) -> Plan:
    progress("check code", None)
    return reject_broken(**arguments)
