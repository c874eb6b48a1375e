"""Compiles a model twice into modules of single dispatches, with kernels and without."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler import Compilation, bytecode_of
from ..device.cuda_sim.driver import is_simulated
from ..embed import Built, make_payloads, put_payloads
from ..errors import SubstituteError
from ..flags import read_flags, with_default_target
from ..frontend import parse_model, plan_executables, plan_module, run_to_dispatches, scratch_folder, worker_threads
from ..guard.recall import has_verdicts, recall_verdicts
from ..match.planner import Chosen
from ..model.coverage import Code
from ..model.dispatch import Dispatch
from ..model.emitted import Emitted
from ..model.payload_kind import PayloadFormat
from ..model.plan import Key, dispatch_key
from ..plan_file import load_plan
from ..progress import Clock, Progress, silent
from ..read.signature import read_signatures
from ..rewrite.choice import Choice
from ..rewrite.selection import add_selection
from .bundle import Bundle, Subject
from .call_sites import CallSite, find_call_sites
from .case import Launch
from .harness import isolate_dispatches, reverse_workgroups
from .launch import SELECTION
from .own_code import Baseline, Look, OwnSource, finish
from .subjects import EVERYTHING, Wanted, is_formed_in, kernels_of, make_subjects, refuse_grids
from .targets import foreign
from .tasks import QUICK_BASELINES, size_of_results

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..model.kernel import Kernel
    from ..model.plan import Plan
    from ..read.module import Site

Change = Callable[[Sequence[Built]], Sequence[Built]]
"""Takes payloads, and gives those that are embedded in their place."""


def build_bundle(
    model: Path | bytes,
    *,
    device: str,
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    plan: Path | None = None,
    chosen: Chosen | None = None,
    only: str = "",
    wanted: Wanted = EVERYTHING,
    translated: Look | None = None,
    own_code: Baseline | None = None,
    changed: Change | None = None,
    progress: Progress = silent,
) -> tuple[Bundle, Plan]:
    """Both modules and the cases of every substituted dispatch. `flags` name the target of `device` already.

    `chosen` (dispatch → kernel) is a plan in memory. `only` names the one kernel that may be used. `translated` sees
    each module once its launches are decided, before its code is written. `own_code` was made before the compiler was
    loaded; else one is made now. Raises `SubstituteError`.
    """
    clock = Clock(progress)
    chosen = load_plan(plan).chosen if plan else chosen
    apart = own_code is None and translated is None
    own_code = own_code or Baseline()
    with (
        worker_threads() as workers,
        scratch_folder() as folder,
        own_code if apart else nullcontext(),
        Compilation(with_default_target(flags), name=str(model) if isinstance(model, Path) else "cases") as compilation,
    ):
        parse_model(compilation, model, kernels, clock)
        assert compilation.module is not None
        signatures = read_signatures(compilation.module)
        with clock.step("compile to dispatches"):
            run_to_dispatches(compilation, kernels)
        stock = compilation.module
        assert stock is not None
        ours = stock.clone().operation
        compilation.module = ours
        pristine = stock.clone().operation if has_verdicts() else None
        made, sites = _planned(compilation, clock, kernels, builtin=builtin, chosen=chosen, only=only)
        if pristine is not None:
            made = replace(made, verdicts=recall_verdicts(made, pristine, sites, compilation.flags))
            del pristine
        dispatches = tuple(kernels_of(made))
        launches = _launches(compilation, stock, wanted, device, signatures, clock)
        early = wanted.cover is not None or wanted.turned or wanted.emitted
        built = make_payloads(made, clock, workers) if early else None
        covering = _covering(stock, wanted, built or (), clock)
        subjects = make_subjects(stock, made, clock, wanted, launches, device=device, covering=covering)
        subjects = tuple(refuse_grids(subject, built or ()) for subject in subjects)
        emitted = _emitted(built or (), device) if wanted.emitted else ()
        by_name = {d.name: d for d in dispatches}
        taken = {s.cases[0].entry: by_name[s.name] for s in subjects if s.cases}
        candidate = turned = b""
        codes: Mapping[str, Code] = {}
        beside = frozenset[str]() if wanted.deferred else _with_baseline(subjects, wanted)
        later: OwnSource | None = None
        if wanted.deferred and taken:
            later = OwnSource(
                module=bytecode_of(stock), flags=compilation.flags, name=compilation.name, dispatches=taken
            )
        own_code.begin(compilation, stock, {e: d for e, d in taken.items() if e in beside})
        copy = ours.clone().operation if taken and wanted.turned else None
        if taken:
            isolate_kernels(ours, made, sites, taken, clock, workers, folder, built=built, changed=changed)
        del sites
        if taken:
            with clock.step("compile the kernels"):
                candidate = finish(compilation, ours, translated)
        if copy is not None:
            # where there is little time, only what is tried at the sizes of its code
            some = {e: d for e, d in taken.items() if dispatch_key(d) in covering} if wanted.quick else taken
            with clock.step("compile the kernels in another order"):
                turned, codes, subjects = _turned(
                    compilation, copy, made, subjects, some or taken, built or (), workers, folder
                )
        subjects, traced = _traced(subjects, taken, built or (), device=device if wanted.turned else "")
        baseline, missing = own_code.result(compilation, stock, clock, translated)
        del ours, stock, copy
    bundle = Bundle(
        device=device,
        candidate=candidate,
        turned=turned,
        codes=codes,
        traced=traced,
        baseline=baseline,
        missing_baseline=missing if later is None else "",
        own_source=later,
        subjects=subjects,
        beside=beside if baseline is not None else frozenset(),
        emitted=emitted,
        seconds=clock.seconds,
    )
    return bundle, made


def only_bundle(*, progress: Progress, **arguments: Any) -> Bundle:
    """`build_bundle` without the plan, which need not travel between processes."""
    return build_bundle(**arguments, progress=progress)[0]


def _planned(
    compilation: Compilation, clock: Clock, kernels: Sequence[Path], *, builtin: bool, chosen: Chosen | None, only: str
) -> tuple[Plan, list[Any]]:
    if not only:
        return plan_module(compilation, clock, kernels, builtin=builtin, chosen=chosen, require=())
    from ..catalog.catalog import load_catalog

    def load(backends: frozenset[str]) -> Sequence[Kernel]:
        return [
            k for k in load_catalog(kernels, builtin=builtin, backends=backends, kept=True).kernels if k.name == only
        ]

    demands = read_flags(compilation.flags).demands
    return plan_executables(compilation.module, clock, load, chosen=chosen, demands=demands)


def _emitted(built: Sequence[Built], device: str) -> tuple[Emitted, ...]:
    """Return what is embedded for this device."""
    from ..attest.emitted import describe_emitted

    return describe_emitted([b for b in built if not foreign(b.substitution.dispatch.target.backend, device)])


def _with_baseline(subjects: Sequence[Subject], wanted: Wanted) -> frozenset[str]:
    """The entries that are compared with IREE's own code as well: the largest ones where there is little time."""
    judged = sorted((s for s in subjects if s.cases), key=size_of_results, reverse=True)
    return frozenset(s.cases[0].entry for s in (judged[:QUICK_BASELINES] if wanted.quick else judged))


def isolate_kernels(
    module: ir.Operation,
    plan: Plan,
    sites: Sequence[Site],
    dispatches: Mapping[str, Dispatch],
    clock: Clock,
    workers: Executor,
    folder: Path,
    *,
    built: Sequence[Built] | None = None,
    in_flight: bool = True,
    changed: Change | None = None,
) -> None:
    """Leaves the launches of `dispatches` (by the harness's function) in a module, and puts their kernels in.

    `plan` and `sites` may hold more; the sites are of no use afterwards. `built`: the kernels' code, where it is made
    already. Raises `SubstituteError`.
    """
    # the launches first: where a choice between kernels stands in the host program, it is written into them
    isolate_dispatches(module, dispatches, in_flight=in_flight)
    there = {d.executable for d in dispatches.values()}
    kept = replace(plan, substitutions=tuple(s for s in plan.substitutions if s.dispatch.executable in there))
    left = [site for site in sites if site.dispatch.executable in there]
    choices_of: dict[Dispatch, list[Choice]] = {}
    if built is None:
        built = make_payloads(kept, clock, workers)
    built = [one for one in built if one.substitution.dispatch.executable in there]
    put_payloads(changed(built) if changed else built, kept, left, clock, folder, choices_of)
    for name, dispatch in dispatches.items():
        choices = choices_of.get(dispatch, [])
        if choices and not any(choice.total for choice in choices):
            add_selection(module, name + SELECTION, dispatch, choices)


def _turned(
    compilation: Compilation,
    module: ir.Operation,
    plan: Plan,
    subjects: Sequence[Subject],
    taken: Mapping[str, Dispatch],
    built: Sequence[Built],
    workers: Executor,
    folder: Path,
) -> tuple[bytes, Mapping[str, Code], tuple[Subject, ...]]:
    """Compile the kernels of the subjects once more, their workgroups in reverse order, with counters where possible.

    `taken` are their dispatches by the harness's function. Return the module, what is counted, and the subjects with
    what is known of them.
    """
    from ..device.counted import refuse_counters
    from ..payload.build import make_counted
    from ..payload.llvm.counters import SIZE, Counters
    from ..read.module import read_module

    counters, keys, done = Counters(), {}, []
    reasons: dict[Dispatch, str] = {}
    for one in built:
        dispatch, kernel = one.substitution.dispatch, one.substitution.kernel
        if dispatch not in taken.values():
            continue
        try:
            made = None if refuse_counters() else make_counted(one.request, one.payload, counters)
        except SubstituteError as error:  # the counters are in the way, and the kernel is judged without them
            reasons[dispatch] = str(error).partition("\n")[0]
            made = None
        if made is not None:
            keys[dispatch] = made[1]
        elif dispatch not in reasons:
            kinds = f"code of kind {kernel.payload.kind} on {dispatch.target.backend}"
            reasons[dispatch] = refuse_counters() or f"{kinds} is not counted"
        if dispatch.target.backend == "llvm-cpu" and kernel.abi == "canonical":
            done.append(one if made is None else replace(one, payload=made[0]))
    if counters.used > SIZE:
        return (
            b"",
            {},
            _described(subjects, taken, {}, dict.fromkeys(taken.values(), "there are too many branches"), ()),
        )
    there = {one.substitution.dispatch for one in done}
    dispatches = {entry: d for entry, d in taken.items() if d in there}
    codes = {d: key for d, key in keys.items() if d not in reasons}
    named = _described(subjects, taken, codes, reasons, there)
    if not dispatches:
        return b"", {}, named
    isolate_kernels(
        module,
        replace(plan, substitutions=tuple(one.substitution for one in done)),
        read_module(module),
        dispatches,
        Clock(silent),
        workers,
        folder,
        built=done,
        in_flight=False,
    )
    reverse_workgroups(module)
    return finish(compilation, module), counters.codes, named


def _traced(
    subjects: Sequence[Subject], taken: Mapping[str, Dispatch], built: Sequence[Built], *, device: str
) -> tuple[tuple[Subject, ...], dict[str, str]]:
    """Return the subjects with the PTX that a simulated device records, and its key by its entry point."""
    if not is_simulated(device):
        return tuple(subjects), {}
    texts: dict[str, bytes] = {}
    traced: dict[str, str] = {}
    codes: dict[Dispatch, str] = {}
    for one in built:
        dispatch, payload, name = one.substitution.dispatch, one.payload, one.substitution.kernel.name
        if dispatch not in taken.values() or payload.format is not PayloadFormat.PTX:
            continue
        text = payload.data.replace(payload.entry.encode(), b"*")
        key = next((k for k, known in texts.items() if known == text), f"{name} #{len(texts) + 1}" if texts else name)
        texts[key] = text
        codes[dispatch] = traced[payload.entry] = key
    return _described(subjects, taken, codes, {}, ()) if codes else tuple(subjects), traced


def _described(
    subjects: Sequence[Subject],
    taken: Mapping[str, Dispatch],
    codes: Mapping[Dispatch, str],
    reasons: Mapping[Dispatch, str],
    turned: Collection[Dispatch],
) -> tuple[Subject, ...]:
    """Return the subjects with the code that is counted, or why none is."""
    found = []
    for subject in subjects:
        if subject.cases and subject.cases[0].entry in taken:
            dispatch = taken[subject.cases[0].entry]
            code = codes.get(dispatch, "")
            uncounted = "" if code else reasons.get(dispatch, subject.uncounted)
            subject = replace(subject, code=code, uncounted=uncounted, turned=dispatch in turned)
        found.append(subject)
    return tuple(found)


def _launches(
    compilation: Compilation,
    stock: ir.Operation,
    wanted: Wanted,
    device: str,
    signatures: Mapping[str, tuple[str, ...]],
    clock: Clock,
) -> dict[Key, list[CallSite]]:
    """The launches of every dispatch, for each of the wanted shapes."""
    from ..read.module import read_module
    from .recording import known_call_sites

    dispatches = [site.dispatch for site in read_module(stock)]
    launches: dict[Key, list[CallSite]] = {}
    with clock.step("find the launches"):
        for number, shapes in enumerate(wanted.shapes):
            # a function that has no shapes in a later set would be launched at sizes that nobody has chosen for it
            flags = {
                dispatch_key(d): d.layout.bindings
                for d in dispatches
                if not number or any(is_formed_in(function, d.name) for function in shapes)
            }
            for found in known_call_sites(
                compilation, stock, flags, shapes, device=device, signatures=signatures, progress=clock.progress
            ):
                launches.setdefault(found.dispatch, []).append(found)
    return launches


def _covering(
    stock: ir.Operation, wanted: Wanted, built: Sequence[Built], clock: Clock
) -> dict[Key, list[tuple[str, Launch]]]:
    """Return the launches at sizes that the kernels' code suggests, of each dispatch that a kernel takes."""
    if wanted.cover is None or not built:
        return {}
    found: dict[Key, list[tuple[str, Launch]]] = {}
    taken = {dispatch_key(one.substitution.dispatch): one.substitution.dispatch for one in built}
    with clock.step("find sizes"):
        for name, sets in wanted.cover(built).items():
            of_function = {k: d.layout.bindings for k, d in taken.items() if is_formed_in(name, d.name)}
            for sized in sets if of_function else ():
                for site in find_call_sites(stock, of_function, {name: sized.shapes}):
                    if site.launch is not None:
                        found.setdefault(site.dispatch, []).append((sized.label, site.launch))
    return found
