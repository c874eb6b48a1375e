"""`iree-substitute explain`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .flags import CompilerCommand
from .options import catalog_options, json_option, model_argument
from .terminal import progress, say_target, show, show_json, terminal_width

if TYPE_CHECKING:
    from ..model.dispatch import Dispatch
    from ..model.plan import Decision, Plan


_LEVEL = "--iree-opt-level"
_FUSING = f"{_LEVEL}=O2"
"""Flag with which IREE makes fewer and larger dispatches."""


@click.command("explain", cls=CompilerCommand)
@model_argument
@click.option("--dispatch", "dispatch_name", metavar="NAME", help="A dispatch's name, number, or a part of its name.")
@click.option("--kernel", "kernel_name", metavar="NAME", help="A kernel's name.")
@catalog_options
@json_option
def command(
    model: Path,
    dispatch_name: str | None,
    kernel_name: str | None,
    kernels: tuple[Path, ...],
    builtin: bool,
    as_json: bool,
    flags: tuple[str, ...],
) -> None:
    """Say rule by rule why a kernel fits a dispatch of MODEL or not. Code that fits is made, as `compile` makes it.

    With --dispatch alone, all kernels are compared, nearest first; with --kernel alone, all dispatches.
    """
    if dispatch_name is None and kernel_name is None:
        raise UsageError(
            "nothing to explain",
            expected="--dispatch NAME, --kernel NAME, or both",
            found="neither",
            next_step="`iree-substitute inspect MODEL` lists dispatches, `iree-substitute kernels` lists kernels",
        )
    if kernel_name is not None:
        _check_kernel(kernel_name, kernels, builtin)
    from ..inspection import inspect_model, make_code
    from ..payload.check import pair_of
    from ..report.as_json import explanation_to_json
    from ..report.rows import find_dispatch, select_decisions, sort_by_nearness

    say_target(flags)
    with progress() as report:
        plan = inspect_model(model, kernels=kernels, builtin=builtin, flags=flags, isolate=True, progress=report)
    dispatch = find_dispatch(plan, dispatch_name) if dispatch_name is not None else None
    chosen = select_decisions(plan, dispatch=dispatch, kernel=kernel_name)
    if not chosen:
        raise _nothing(plan, dispatch, kernel_name)
    fitting = frozenset(pair_of(d) for d in chosen if d.accepted)
    if fitting:
        with progress() as report:
            plan = make_code(plan, fitting, progress=report)
        dispatch = find_dispatch(plan, dispatch_name) if dispatch_name is not None else None
        chosen = select_decisions(plan, dispatch=dispatch, kernel=kernel_name)
    decisions = sort_by_nearness(chosen)
    flag = ""
    if kernel_name is not None and _is_split(decisions, plan) and not any(f.startswith(_LEVEL) for f in flags):
        with progress() as report:
            fused = inspect_model(
                model, kernels=kernels, builtin=builtin, flags=(*flags, _FUSING), isolate=True, progress=report
            )
        flag = _FUSING if any(d.accepted for d in select_decisions(fused, dispatch=None, kernel=kernel_name)) else ""
    if as_json:
        show_json(explanation_to_json(decisions, plan) | ({"fits_with": flag} if flag else {}))
    else:
        _show(decisions, plan, pair=dispatch is not None and kernel_name is not None)
        if flag:
            click.echo(f"with {flag} IREE makes one dispatch of it, which {kernel_name} takes")


def _is_split(decisions: Sequence[Decision], plan: Plan) -> bool:
    """Return True where a kernel takes nothing, and neighbouring dispatches together hold its definition."""
    from ..match.splits import find_split

    return not any(d.accepted for d in decisions) and bool(find_split(decisions[0].kernel, plan.dispatches))


def _show(decisions: Sequence[Decision], plan: Plan, *, pair: bool) -> None:
    from ..report.rows import find_verdict
    from ..report.tables import decisions_table, explanation_table

    width = terminal_width()
    if pair:
        for decision in decisions:
            show(explanation_table(decision, find_verdict(plan, decision), width=width))
    else:
        show(decisions_table(decisions, plan, width=width))


def _check_kernel(name: str, folders: Sequence[Path], builtin: bool) -> None:
    """Report a wrong name before the model is compiled."""
    from ..catalog.catalog import Catalog, load_manifests

    manifests = load_manifests(folders, builtin=builtin)
    Catalog(kernels=tuple(m.kernel for m in manifests)).kernel(name)


def _nothing(plan: Plan, dispatch: Dispatch | None, kernel: str | None) -> UsageError:
    """Report a pair that was not compared because the kernel is for another backend."""
    targets = [dispatch.target] if dispatch else [d.target for d in plan.dispatches]
    backends = ", ".join(dict.fromkeys(target.backend for target in targets)) or "no backend"
    what = f"`{kernel}` was not compared" if kernel else f"no kernel was compared with `{dispatch and dispatch.name}`"
    return UsageError(
        f"{what}: it is for another backend" if kernel else what,
        expected=f"a kernel for {backends}",
        found=f"a model compiled for {backends}",
        next_step="choose the target with IREE's flags, such as --iree-hal-target-device=vulkan",
    )
