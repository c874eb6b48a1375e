"""All variants of one definition on one device: goldens and IREE's own code once, each variant compiled into them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime_tests.faults.definitions import DEFINITIONS
from runtime_tests.faults.kernel import Refused, Variant
from runtime_tests.faults.suite import suite
from substitute.errors import SubstituteError
from substitute.validate.bundle import Bundle, Subject

TYPICAL = "typical"
"""The function, and the label, of the shape that people usually try."""
DRAWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One variant's module, or why there is none."""

    variant: str
    module: bytes = b""
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Data that all variants of a group share."""

    bundle: Bundle
    """The cases of the protocol, with IREE's own code and without a candidate."""
    typical: tuple[Subject, ...]
    """Normal draws at one shape."""


def build_group(variants: Sequence[Variant], folder: Path, *, quick: bool, seed: int, plain: bool = True) -> None:
    """Writes `folder/prepared` and then one `folder/NAME` for each variant.

    With `plain` also the draws at the typical shape.
    """
    from substitute.compiler import Compilation
    from substitute.flags import with_default_target
    from substitute.frontend import scratch_folder, worker_threads
    from substitute.progress import Clock, silent
    from substitute.validate.targets import flags_for

    first = variants[0]
    right = next((c for c in suite().controls if c.name == first.of), first)
    kernels = folder / "kernels"
    right.write(kernels / "right")
    text, labels, shapes = _program(kernels / "right", right, quick=quick, seed=seed)
    clock = Clock(silent)
    with (
        worker_threads() as workers,
        scratch_folder() as scratch,
        Compilation(with_default_target(flags_for(right.device, ())), name="cases") as compilation,
    ):
        compilation.parse(text)
        compilation.run("start", "executable-sources")
        stock = compilation.module
        assert stock is not None
        made, prepared, dispatches = _prepare(
            compilation, stock, kernels / "right", right, clock, labels, shapes, quick=quick, seed=seed, plain=plain
        )
        _save(folder / "prepared", prepared)
        del made
        for number, variant in enumerate(variants):
            place = scratch / str(number)
            place.mkdir()
            _save(folder / variant.name, _build(compilation, stock, variant, kernels, dispatches, workers, place))


def _program(
    folder: Path, right: Variant, *, quick: bool, seed: int
) -> tuple[bytes, Mapping[str, str], tuple[Mapping[str, Any], ...]]:
    from substitute.catalog.catalog import load_catalog
    from substitute.validate.kernel import _kinds
    from substitute.validate.kinds import functions_of_kinds
    from substitute.validate.programs import (
        _function,
        definition_functions,
        definition_parts,
        module_text,
        shape_sets,
    )

    kernel = load_catalog([folder], builtin=False).kernel("candidate")
    functions = definition_functions(kernel, quick=quick, random=np.random.default_rng(seed))
    number = len(functions)
    if right.kind == "spirv":  # a finished binary takes sizes and offsets that are known when it is embedded
        functions = [f for f in functions if not f.shapes]
    more = functions_of_kinds(_kinds(kernel), first=number, quick=quick)
    functions += more
    sizes = DEFINITIONS[right.definition].typical
    if right.backend == "cuda" and len(sizes) > 2:  # simulated, it takes its time
        sizes = {axis: size // 2 for axis, size in sizes.items()}
    typical = _function(kernel, kernel.forms[0], sizes, number + len(more))
    labels = {f.name: f.label for f in functions} | {typical.name: TYPICAL}
    texts = [definition_parts(kernel), *(f.text for f in functions), typical.text]
    return module_text(texts), labels, shape_sets(functions)


def _prepare(
    compilation: Any,
    stock: Any,
    folder: Path,
    right: Variant,
    clock: Any,
    labels: Mapping[str, str],
    shapes: Sequence[Any],
    *,
    quick: bool,
    seed: int,
    plain: bool,
) -> tuple[Any, Prepared, dict[str, Any]]:
    """The plan, the cases, and the dispatches by the name of the harness's function."""
    from substitute.validate.build import _launches, _planned, _with_baseline
    from substitute.validate.own_code import Baseline
    from substitute.validate.subjects import Wanted, make_subjects

    compilation.module = stock.clone().operation
    plan, sites = _planned(compilation, clock, [folder], builtin=False, chosen=None, only="candidate")
    del sites
    wanted = Wanted(quick=quick, seed=seed, launches=8, shapes=tuple(shapes), labels=labels)
    launches = _launches(compilation, stock, wanted, right.device, {}, clock)
    subjects = [s for s in make_subjects(stock, plan, clock, wanted, launches, device=right.device) if s.cases]
    judged = [s for s in subjects if not s.cases[0].label.endswith(f": {TYPICAL}")]
    typical: Sequence[Subject] = ()
    if plain:
        drawn = replace(wanted, quick=False, seeds=DRAWS, seed=100, case=f": {TYPICAL} [")
        usual = make_subjects(stock, plan, clock, drawn, launches, device=right.device)
        typical = [_usual(s) for s in usual if s.cases]
    by_name = {s.dispatch.name: s.dispatch for s in plan.substitutions}
    names = {name: f"run_{i}" for i, name in enumerate(by_name)}

    def named(subject: Subject) -> Subject:
        cases = tuple(replace(c, entry=names[subject.name]) for c in subject.cases)
        return replace(subject, cases=cases)

    judged, typical = [named(s) for s in judged], [named(s) for s in typical]
    dispatches = {names[s.name]: by_name[s.name] for s in (*judged, *typical)}
    beside = _with_baseline(judged, wanted)
    baseline: bytes | None = None
    missing = "a fault of IREE's own code would end the simulated device's context"
    if right.backend != "cuda":
        ours = {e: dispatches[e] for e in beside}
        module, own_code = stock.clone().operation, Baseline()
        own_code.begin(compilation, module, ours)
        baseline, missing = own_code.result(compilation, module, clock)
    bundle = Bundle(
        device=right.device,
        candidate=b"",
        baseline=baseline,
        missing_baseline=missing,
        subjects=tuple(judged),
        beside=beside if baseline is not None else frozenset(),
    )
    return plan, Prepared(bundle=bundle, typical=tuple(typical)), dispatches


def _usual(subject: Subject) -> Subject:
    """With the inputs that people draw; a copy is tried with numbers that all differ."""
    usual = tuple(c for c in subject.cases if c.inputs == "normal")
    return replace(subject, cases=usual or subject.cases[:1])


def _build(
    compilation: Any,
    stock: Any,
    variant: Variant,
    kernels: Path,
    dispatches: Mapping[str, Any],
    workers: Any,
    scratch: Path,
) -> Built:
    from substitute.progress import Clock, silent
    from substitute.validate.build import _planned, isolate_kernels
    from substitute.validate.own_code import finish

    clock = Clock(silent)
    folder = kernels / variant.name
    try:
        variant.write(folder)
        module = stock.clone().operation
        compilation.module = module
        plan, sites = _planned(compilation, clock, [folder], builtin=False, chosen=None, only="candidate")
        assert {s.dispatch.name for s in plan.substitutions} >= {d.name for d in dispatches.values()}
        isolate_kernels(module, plan, sites, dispatches, clock, workers, scratch)
        del sites
        return Built(variant=variant.name, module=finish(compilation, module))
    except (SubstituteError, Refused) as error:
        return Built(variant=variant.name, refused=_first_line(error, kernels))


def _first_line(error: Exception, kernels: Path) -> str:
    """Return the error's first line, with paths relative to the folder of kernels: the rest depends on the run."""
    return str(error).strip().partition("\n")[0].replace(f"{kernels}/", "")


def _save(path: Path, value: object) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(pickle.dumps(value))
    temporary.replace(path)


def load_built(folder: Path, variants: Sequence[Variant]) -> tuple[Prepared | None, Iterator[Built]]:
    """Return the results that a group's process wrote before it ended."""
    if not (folder / "prepared").exists():
        return None, iter(())
    prepared: Prepared = pickle.loads((folder / "prepared").read_bytes())
    return prepared, (pickle.loads((folder / v.name).read_bytes()) for v in variants if (folder / v.name).exists())
