"""Steps from a module at `executable-sources` to a plan, which all commands on dispatches share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler import Compilation, load_model
from .errors import SubstituteError
from .flags import read_flags
from .match.planner import Chosen, decide
from .match.spelled_out import spell_out
from .model.dispatch import Dispatch, Program
from .model.kernel import Kernel
from .model.numerics import NumericDemand
from .model.plan import Key, Plan, dispatch_key
from .payload.build import accepts
from .payload.module import without_changes
from .progress import Clock
from .rewrite.host import has_host
from .rule.apply import plan_with_rules

if TYPE_CHECKING:
    from iree.compiler import ir

    from .read.module import Site
    from .rewrite.calls import NamedDefinition
_PRINTED = 16
"""Elements of a constant above which they are left out of a text for people; characters of a resource."""


def source_of(model: Path | str | bytes) -> tuple[Path | bytes, str]:
    """Return what `parse_model` takes, and its name in messages.

    `model` is a path, or MLIR itself: a string of several lines, or bytes.
    """
    if isinstance(model, str) and "\n" in model:
        model = model.encode()
    return (model, "the given MLIR") if isinstance(model, bytes) else (Path(model), str(model))


def parse_model(compilation: Compilation, model: Path | bytes, kernels: Sequence[Path], clock: Clock) -> None:
    """Load a model and parse it, with the definitions of kernels in the place of calls that name them.

    Raises `ModelError`.
    """
    with clock.step("import"):
        source = load_model(model) if isinstance(model, Path) else model
    with clock.step("parse"):
        compilation.parse(source)
        inline_calls(compilation, kernels)


def inline_calls(compilation: Compilation, kernels: Sequence[Path]) -> None:
    """Replace each call that names one of these kernels by its definition. Raises `ModelError` where that does not fit.

    The built-in kernels and those of packs are not meant: a model may call something of its own by such a name.
    """
    from .rewrite.calls import find_named_calls, inline_named_calls

    assert compilation.module is not None
    calls = find_named_calls(compilation.module) if kernels else []
    if calls:
        inline_named_calls(calls, list(_definitions(kernels, {call.name for call in calls})))


def _definitions(kernels: Sequence[Path], wanted: Set[str]) -> Iterator[NamedDefinition]:
    """Yield the definitions of these folders' kernels that have one of the names."""
    from .catalog.catalog import open_library, read_definition
    from .rewrite.calls import NamedDefinition

    for manifest in open_library(kernels, builtin=False, kept=True).manifests:
        names = frozenset((manifest.kernel.name, manifest.kernel.family))
        if manifest.definition is not None and names & wanted:
            yield NamedDefinition(names, manifest.kernel.operands, read_definition(manifest))


def run_to_dispatches(compilation: Compilation, kernels: Sequence[Path]) -> None:
    """Run the compiler until dispatches are formed, and form those that kernels of these folders take as a whole."""
    from .catalog.catalog import load_catalog

    own = load_catalog(kernels, builtin=False, kept=True).kernels if kernels else ()
    form_dispatches(compilation, own)


def form_dispatches(compilation: Compilation, kernels: Sequence[Kernel]) -> None:
    """Run the compiler until dispatches are formed, and form those that one of these kernels takes as a whole.

    Where a region is no dispatch of its kernel in the end, it is as if none had been formed.
    """
    from .read.module import read_module
    from .rewrite.fold_scalars import fold_scalars
    from .rewrite.regions import form_regions

    whole = [kernel for kernel in kernels if _is_composed(kernel)]
    assert compilation.module is not None
    start = compilation.module.clone().operation if whole else None
    demands = read_flags(compilation.flags).demands
    while whole:
        fold_scalars(compilation.module)
        compilation.run("start", "global-optimization")
        assert compilation.module is not None

        def take(dispatch: Dispatch) -> str:
            decisions = (decide(kernel, dispatch, accepts, demands=demands) for kernel in whole)  # noqa: B023
            return next((decision.kernel.name for decision in decisions if decision.accepted), "")

        formed = frozenset(
            form_regions(compilation.module, max(len(p.cores) for k in whole for p in _programs(k)), take)
        )
        compilation.run("global-optimization", "executable-sources")
        taken = {take(site.dispatch) for site in read_module(compilation.module)} if formed else set()
        if formed <= taken:
            return
        whole = [kernel for kernel in whole if kernel.name not in formed - taken]
        assert start is not None
        compilation.module = start.clone().operation
    compilation.run("start", "executable-sources")


def _is_composed(kernel: Kernel) -> bool:
    """Return True for code that is chosen by what it computes, which IREE may split."""
    from .rewrite.regions import is_composed

    return not (kernel.dispatches or kernel.kinds) and any(is_composed(program) for program in _programs(kernel))


def _programs(kernel: Kernel) -> Iterator[Program]:
    """Yield a kernel's definitions, each softmax as its loops."""
    for form in kernel.forms:
        yield spell_out(form.program) or form.program


def plan_module(
    compilation: Compilation,
    clock: Clock,
    kernels: Sequence[Path],
    *,
    builtin: bool,
    chosen: Chosen | None,
    require: Sequence[str],
) -> tuple[Plan, list[Site]]:
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
) -> tuple[Plan, list[Site]]:
    """Make the plan of any module that holds executables; `load` returns the kernels for some backends.

    `demands` are those of the compiler's flags on numerics.

    If the module is not the `whole` model, a saved plan may name dispatches that are not in it.
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
    with clock.step("match"), without_changes():
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


def warm_up(flags: Sequence[str]) -> None:
    """Load modules that later steps need, while the compiler runs and Python would wait for it."""
    from .catalog import catalog
    from .dialects import linalg

    assert catalog
    assert linalg
    if not any("vulkan" in flag or "cuda" in flag for flag in flags):
        from .payload.llvm import optimize

        optimize.initialize()
        _load_builtin("llvm-cpu")


def _load_builtin(backend: str) -> None:
    """Load the built-in kernels' code. Errors in kernels are reported when they are used."""
    from .catalog.catalog import open_library

    with suppress(SubstituteError):
        for manifest in open_library((), kept=True).manifests:
            kernel = manifest.kernel
            if kernel.builtin and any(target.backend == backend for target in kernel.targets):
                kernel.payload.kind.load(kernel)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a temporary folder for files that the compiler reads."""
    with tempfile.TemporaryDirectory(prefix="iree-substitute-") as folder:
        yield Path(folder)


def print_executables(module: ir.Operation) -> dict[str, str]:
    """Return the text of every executable of a module by its name, without the elements of large constants."""
    found: dict[str, str] = {}
    for op in module.regions[0].blocks[0].operations:
        if op.operation.name == "hal.executable":
            text = op.operation.get_asm(large_elements_limit=_PRINTED, large_resource_limit=_PRINTED)
            found[_symbol(op)] = text
    return found


def _symbol(op: Any) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(op.operation.attributes["sym_name"]).value)


def list_choices(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the `chosen` argument with which `make_plan` makes this plan again."""
    chosen: dict[str, tuple[str, ...]] = {}
    for s in plan.substitutions:
        name = f"{s.dispatch.variant}::{s.dispatch.name}"
        chosen[name] = tuple(dict.fromkeys((*chosen.get(name, ()), s.choice)))
    return chosen


def without_dispatches(plan: Plan, refused: frozenset[Key]) -> Plan:
    """Return the plan without the substitutions of some dispatches."""
    return replace(plan, substitutions=tuple(s for s in plan.substitutions if dispatch_key(s.dispatch) not in refused))
