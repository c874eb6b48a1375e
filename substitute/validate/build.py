"""Compiles a model twice into modules of single dispatches, with kernels and without, and makes the cases for them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from ..bindings import settle_bindings
from ..compiler import Compilation, bytecode_of, load_model
from ..embed import Built, make_payloads, put_payloads
from ..errors import CompilerError, SubstituteError
from ..flags import read_flags, with_default_target
from ..frontend import plan_executables, plan_module, scratch_folder, worker_threads
from ..guard.obey import anything_kept, recall_verdicts
from ..isolate import Child, threads_are_loaded
from ..match.alignment import OF_BINDINGS
from ..match.planner import Chosen
from ..model.coverage import Code
from ..model.dispatch import Dispatch
from ..model.index import evaluate
from ..model.laws import LAWS
from ..payload.spirv.verification import workgroup_limits
from ..plan_file import load_plan
from ..progress import Clock, Progress, silent
from ..read.signature import read_signatures
from ..rewrite.choice import Choice
from ..rewrite.selection import add_selection
from .bundle import Bundle, Subject
from .case import Launch, case_key
from .harness import isolate_dispatches
from .inputs import WITH_SPECIAL, classes_for
from .launch import SELECTION
from .operand_names import Names, names_of
from .prepare import describe_launch, make_case, responds
from .sites import CallSite, Shapes, find_call_sites
from .targets import foreign

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..golden import Budget
    from ..model.kernel import Kernel
    from ..model.plan import Plan
    from ..read.module import Site

QUICK_BASELINES = 3
"""For how many dispatches of a quick validation IREE's own code is compiled too: it takes longer than all the rest."""
SAMPLED_FROM = 2e7
"""Scalar operations from which the golden of a size that the code suggests is evaluated at some elements only."""
Key = tuple[str, str, str]
"""Executable, variant, export."""
Cover = Callable[[Sequence[Built]], Mapping[str, Sequence["Sized"]]]
"""Takes the kernels' code, and gives shapes for functions by their names."""
Look = Callable[[Any], None]
"""Takes a module at `executable-targets`, and changes nothing."""
Change = Callable[[Sequence[Built]], Sequence[Built]]
"""Takes payloads, and gives those that are embedded in their place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """Shapes for the arguments of a function of open dimensions, each of whose dispatches gets a case there."""

    label: str
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which dispatches to take, and how many cases of each."""

    quick: bool = False
    seed: int = 0
    seeds: int = 3
    """How many draws of normal numbers, for statistics (one where `quick`)."""
    case: str = ""
    """Only cases whose `case_key` holds this text."""
    launches: int = 4
    """How many different launches of a dispatch get cases."""
    shapes: tuple[Shapes, ...] = ({},)
    """Several sets of sizes for open dimensions: each is a launch of its own."""
    labels: Mapping[str, str] | None = None
    """What to call the dispatches of a function of the model, by its name; None: by the export's name."""
    counted: bool = False
    """Also compile the kernels with counters of their branches."""
    cover: Cover | None = None
    """Gives further shapes for functions of open dimensions, once the kernels' code is made."""


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
    wanted: Wanted = Wanted(),
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
    chosen = load_plan(plan) if plan else chosen
    apart = own_code is None and translated is None
    own_code = own_code or Baseline()
    with (
        worker_threads() as workers,
        scratch_folder() as folder,
        own_code if apart else nullcontext(),
        Compilation(with_default_target(flags), name=str(model) if isinstance(model, Path) else "cases") as compilation,
    ):
        with clock.step("import"):
            source = load_model(model) if isinstance(model, Path) else model
        with clock.step("parse"):
            compilation.parse(source)
            assert compilation.module is not None
            signatures = read_signatures(compilation.module)
        with clock.step("compile to dispatches"):
            compilation.run("start", "executable-sources")
        stock = compilation.module
        assert stock is not None
        ours = stock.clone().operation
        compilation.module = ours
        pristine = stock.clone().operation if anything_kept() else None
        made, sites = _planned(compilation, clock, kernels, builtin=builtin, chosen=chosen, only=only)
        if pristine is not None:
            made = replace(made, verdicts=recall_verdicts(made, pristine, sites, compilation.flags))
            del pristine
        dispatches = tuple(_kernels_of(made))
        launches = _launches(compilation, stock, wanted, device, signatures, clock)
        built = make_payloads(made, clock, workers) if wanted.cover is not None else None
        covering = _covering(stock, wanted, built or (), clock)
        subjects = _subjects(stock, made, clock, wanted, launches, covering, device=device)
        subjects = tuple(_refuse_grids(subject, built or ()) for subject in subjects)
        by_name = {d.name: d for d in dispatches}
        taken = {s.cases[0].entry: by_name[s.name] for s in subjects if s.cases}
        candidate = counted = b""
        codes: Mapping[str, Code] = {}
        beside = _with_baseline(subjects, wanted)
        own_code.begin(compilation, stock, {e: d for e, d in taken.items() if e in beside})
        copy = ours.clone().operation if taken and wanted.counted else None
        if taken:
            isolate_kernels(ours, made, sites, taken, clock, workers, folder, built=built, changed=changed)
        del sites
        if taken:
            with clock.step("compile the kernels"):
                candidate = finish(compilation, ours, translated)
        if copy is not None:
            # where there is little time, only what is tried at the sizes of its code
            some = {e: d for e, d in taken.items() if _key(d) in covering} if wanted.quick else taken
            with clock.step("compile the kernels with counters"):
                counted, codes, subjects = _counted(
                    compilation, copy, made, subjects, some or taken, built or (), workers, folder
                )
        baseline, missing = own_code.result(compilation, stock, clock, translated)
        del ours, stock, copy
    bundle = Bundle(
        device=device, candidate=candidate, counted=counted, codes=codes, baseline=baseline,
        missing_baseline=missing, subjects=subjects, beside=beside if baseline is not None else frozenset(),
        seconds=clock.seconds,
    )  # fmt: skip
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


def _with_baseline(subjects: Sequence[Subject], wanted: Wanted) -> frozenset[str]:
    """The entries that are compared with IREE's own code as well: the largest ones where there is little time."""

    def size(subject: Subject) -> int:
        return sum(e.values.size * e.depth for e in subject.cases[0].expected)

    judged = sorted((s for s in subjects if s.cases), key=size, reverse=True)
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


def _counted(
    compilation: Compilation,
    module: ir.Operation,
    plan: Plan,
    subjects: Sequence[Subject],
    taken: Mapping[str, Dispatch],
    built: Sequence[Built],
    workers: Executor,
    folder: Path,
) -> tuple[bytes, Mapping[str, Code], tuple[Subject, ...]]:
    """Compile the kernels of the subjects once more, with counters; return what is counted, and the subjects with it.

    `taken` are their dispatches by the harness's function. A kernel whose code cannot be counted is left out.
    """
    from ..device.counted import why_not_counted
    from ..payload.build import make_counted
    from ..payload.llvm.counters import SIZE, Counters
    from ..read.module import read_module

    counters, keys, done = Counters(), {}, []
    reasons: dict[Dispatch, str] = {}
    for one in built:
        dispatch = one.substitution.dispatch
        if dispatch not in taken.values():
            continue
        try:
            made = None if why_not_counted() else make_counted(one.request, one.payload, counters)
        except SubstituteError as error:  # the counters are in the way, and the kernel is judged without them
            reasons[dispatch] = str(error).partition("\n")[0]
            continue
        if made is not None:
            done.append(replace(one, payload=made[0]))
            keys[dispatch] = made[1]
        else:
            kinds = f"code of kind {one.substitution.kernel.payload.kind} on {dispatch.target.backend}"
            reasons[dispatch] = why_not_counted() or f"{kinds} is not counted"
    dispatches = {entry: d for entry, d in taken.items() if d in keys and d not in reasons}
    if counters.used > SIZE:
        dispatches, reasons = {}, dict.fromkeys(taken.values(), "there are too many branches")
    named = []
    for subject in subjects:
        if subject.cases and subject.cases[0].entry in taken:
            entry = subject.cases[0].entry
            code = keys[dispatches[entry]] if entry in dispatches else ""
            subject = replace(subject, code=code, uncounted="" if code else reasons.get(taken[entry], ""))
        named.append(subject)
    if not dispatches:
        return b"", {}, tuple(named)
    isolate_kernels(
        module, replace(plan, substitutions=tuple(one.substitution for one in done)), read_module(module), dispatches,
        Clock(silent), workers, folder, built=done, in_flight=False,
    )  # fmt: skip
    return finish(compilation, module), counters.codes, tuple(named)


def finish(compilation: Compilation, module: ir.Operation, translated: Look | None = None) -> bytes:
    """Compiles a module from `executable-sources` on, and shows it half-way. Raises `CompilerError`."""
    compilation.module = module
    if translated is None:
        compilation.run("executable-sources", "end")
        return compilation.bytecode()
    compilation.run("executable-sources", "executable-targets")
    translated(compilation.module)
    compilation.run("executable-targets", "end")
    return compilation.bytecode()


class Baseline:
    """IREE's own code for the dispatches, compiled while the kernels are, where that can be.

    Within its `with` block it is another process's work, a fork made before the compiler is loaded. Where it is loaded
    already, and outside of the block, the code is compiled here when it is asked for.
    """

    def __init__(self) -> None:
        self._dispatches: Mapping[str, Dispatch] = {}
        self._stack = ExitStack()
        self._child: Child | None = None

    def __enter__(self) -> Self:
        if not threads_are_loaded():
            receive, send = os.pipe()
            self._order = self._stack.enter_context(os.fdopen(send, "wb"))
            with os.fdopen(receive, "rb") as order:
                self._child = self._stack.enter_context(Child(lambda _progress: self._serve(order)))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _serve(self, order: BinaryIO) -> bytes:
        """What the other process does."""
        self._order.close()
        settle_bindings()
        flags, name, module = pickle.load(order)
        with Compilation(flags, name=name) as compilation:
            compilation.parse(module)
            assert compilation.module is not None
            return finish(compilation, compilation.module)

    def begin(self, compilation: Compilation, stock: ir.Operation, dispatches: Mapping[str, Dispatch]) -> None:
        """From here on `stock` holds nothing but launches of these dispatches, by the harness's function."""
        self._dispatches = dispatches
        if not dispatches:
            return
        isolate_dispatches(stock, dispatches)
        if self._child is not None:
            order = pickle.dumps((compilation.flags, compilation.name, bytecode_of(stock)))
            with suppress(BrokenPipeError):  # why it died is what its result says
                self._order.write(order)
                self._order.close()

    def result(
        self, compilation: Compilation, stock: ir.Operation, clock: Clock, translated: Look | None = None
    ) -> tuple[bytes | None, str]:
        """The module; where there is none, the reason. `translated` sees it only where it is compiled here."""
        if not self._dispatches:
            return None, "nothing was substituted"
        try:
            with clock.step("compile IREE's own code"):
                if self._child is not None:
                    return self._child.result(silent), ""
                return finish(compilation, stock, translated), ""
        except CompilerError as error:
            return None, str(error).partition("\n")[0]


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

    flags = {_key(s.dispatch): s.dispatch.layout.bindings for s in read_module(stock)}
    launches: dict[Key, list[CallSite]] = {}
    with clock.step("find the launches"):
        for shapes in wanted.shapes:
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
    taken = {_key(one.substitution.dispatch): one.substitution.dispatch for one in built}
    with clock.step("find sizes"):
        for name, sets in wanted.cover(built).items():
            of_function = {k: d.layout.bindings for k, d in taken.items() if _is_of(name, d.name)}
            for sized in sets if of_function else ():
                for site in find_call_sites(stock, of_function, {name: sized.shapes}):
                    if site.launch is not None:
                        found.setdefault(site.dispatch, []).append((sized.label, site.launch))
    return found


def _refuse_grids(subject: Subject, built: Sequence[Built]) -> Subject:
    """Return it with the reason in each case whose grid is larger than the target promises to launch.

    Mesa's software driver launches them in spite of that, as many devices do, and others do nothing or lose the device.
    """
    found = [one for one in built if one.substitution.dispatch.name == subject.name]
    if len(found) != 1 or found[0].payload.workgroup_count is None:
        return subject
    most = workgroup_limits(found[0].substitution.dispatch.target)
    if most is None:
        return subject
    cases = []
    for case in subject.cases:
        grid = tuple(evaluate(count, case.launch.constants) for count in found[0].payload.workgroup_count)
        if any(count > limit for count, limit in zip(grid, most, strict=True)):
            case = replace(case, refused=f"it asks for {grid} workgroups, and the target promises {most} at most")
        cases.append(case)
    return replace(subject, cases=tuple(cases))


def _is_of(function: str, dispatch: str) -> bool:
    """Return True if a dispatch is one that IREE formed in this function."""
    return dispatch.startswith(f"{function}_dispatch")


def _subjects(
    stock: ir.Operation,
    plan: Plan,
    clock: Clock,
    wanted: Wanted,
    launches: Mapping[Key, Sequence[CallSite]],
    covering: Mapping[Key, Sequence[tuple[str, Launch]]],
    *,
    device: str,
) -> tuple[Subject, ...]:
    from ..read.module import read_module

    sites = {_key(s.dispatch): s for s in read_module(stock)}
    subjects = []
    with clock.step("evaluate the golden"):
        taken = _kernels_of(plan)
        for number, (dispatch, kernels) in enumerate(taken.items()):
            clock.progress("evaluate the golden", number / len(taken))
            subjects.append(
                _subject(
                    sites[_key(dispatch)], launches.get(_key(dispatch), []), wanted,
                    entry=f"run_{number}", kernels=kernels, device=device,
                    names=_names(plan, dispatch), check=plan.verdict_on(dispatch), laws=_laws(plan, dispatch),
                    covering=covering.get(_key(dispatch), ()),
                )
            )  # fmt: skip
    if wanted.case:
        subjects = [s for s in subjects if s.cases]
    return _renumbered(subjects)


def _names(plan: Plan, dispatch: Dispatch) -> Names:
    return next((names_of(s) for s in plan.substitutions if s.dispatch == dispatch), ())


def _laws(plan: Plan, dispatch: Dispatch) -> tuple[str, ...]:
    """Return the laws by which any kernel of a dispatch was matched."""
    used = {law for s in plan.substitutions if s.dispatch == dispatch for law in s.match.laws}
    return tuple(sorted(used))


def _kernels_of(plan: Plan) -> dict[Dispatch, list[Kernel]]:
    """Every substituted dispatch and the kernels it is given, one or several to choose from."""
    found: dict[Dispatch, list[Kernel]] = {}
    for substitution in plan.substitutions:
        found.setdefault(substitution.dispatch, []).append(substitution.kernel)
    return found


def _renumbered(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Entries are numbered over the dispatches that have cases, as the harness numbers them."""
    done, number = [], 0
    for subject in subjects:
        if subject.cases:
            cases = tuple(replace(case, entry=f"run_{number}") for case in subject.cases)
            subject, number = replace(subject, cases=cases), number + 1
        done.append(subject)
    return tuple(done)


def _subject(
    site: Site,
    sites: Sequence[CallSite],
    wanted: Wanted,
    *,
    entry: str,
    kernels: Sequence[Kernel],
    device: str,
    names: Names,
    check: str,
    laws: Sequence[str],
    covering: Sequence[tuple[str, Launch]] = (),
) -> Subject:
    """The cases of one dispatch: all classes of inputs where it is launched first, some at its other launches.

    `covering`: launches at sizes of the code, which get one class.
    """
    from ..golden import Budget

    dispatch = site.dispatch
    launches, reasons = _different(sites)
    text, cases, notes = str(site.executable), [], list(reasons)
    open_ = [law for law in laws if LAWS[law].concerns_special]
    notes += [f"no NaN and no infinities are tested: there the law {law} does not hold" for law in open_]
    notes += [f"two launches may differ: {k.not_repeatable} ({k.name})" for k in kernels if k.not_repeatable]
    skipped = "" if launches else (reasons[0] if reasons else "the host program never launches it")
    other = foreign(dispatch.target.backend, device)
    if other:
        launches, skipped = [], other
    assert site.function is not None
    places = _places([number for number, _ in launches])
    asked: list[tuple[str, Launch, list[tuple[str, int]], Budget | None]]
    name = _label(dispatch.name, wanted)
    asked = [
        (name + (f", {places[at]}" if len(launches) > 1 else ""), launch, _draws(dispatch, wanted, first=at == 0), None)
        for at, (_, launch) in enumerate(launches[: wanted.launches])
    ]
    known = {launch for _, launch, _, _ in asked}
    for sizes, launch in covering if launches else ():
        if launch not in known:
            known.add(launch)
            first_class = classes_for(dispatch.kind, quick=wanted.quick)[0]
            asked.append((f"{name}, {sizes}", launch, [(first_class, wanted.seed)], Budget(work=SAMPLED_FROM)))
    for at, (label, launch, draws, budget) in enumerate(asked):
        described = None
        for inputs, seed in draws:
            if wanted.case not in case_key(label, inputs, seed) or (open_ and inputs in WITH_SPECIAL):
                continue
            try:
                described = described or describe_launch(site.function, launch, names)
                case = make_case(
                    site.function, dispatch, launch, entry=entry, label=label, inputs=inputs, seed=seed,
                    local=device.startswith("local"), repeatable=not any(k.not_repeatable for k in kernels),
                    described=described, alignment=max(map(_alignment, kernels)),
                    composed=any(k.payload.kind.rewrites_body for k in kernels), budget=budget, laws=laws,
                    beside=budget is None,
                )  # fmt: skip
            except SubstituteError as error:
                skipped = str(error).partition("\n")[0]
                notes.append(f"{inputs}: {skipped}")
                continue
            cases.append(case)
            if at == 0 and inputs == classes_for(dispatch.kind, quick=True)[0]:
                notes += [f"the golden does not depend on {where}" for where in responds(site.function, case)]
    return Subject(
        name=dispatch.name, kernel=", ".join(k.name for k in kernels), kind=dispatch.kind, cases=tuple(cases),
        skipped="" if cases else skipped, notes=tuple(dict.fromkeys(notes)), text=text, check=check,
    )  # fmt: skip


def _alignment(kernel: Kernel) -> int:
    """What a kernel may count on: IREE's own layout and code count on that of bindings."""
    of_iree = kernel.abi == "raw" or kernel.payload.kind.launch == "iree" or kernel.payload.kind.rewrites_body
    return OF_BINDINGS if of_iree else kernel.alignment


def _places(numbers: Sequence[int]) -> list[str]:
    """What to call launches, by their positions in the program; one may be launched at several sizes."""
    return [
        f"launch {number}" + (f", sizes {numbers[:at].count(number)}" if numbers.count(number) > 1 else "")
        for at, number in enumerate(numbers)
    ]


def _label(name: str, wanted: Wanted) -> str:
    """The dispatch, and what its function is."""
    function = next((f for f in (wanted.labels or {}) if _is_of(f, name)), None)
    return name if function is None else f"{name}: {(wanted.labels or {})[function]}"


def _different(sites: Sequence[CallSite]) -> tuple[list[tuple[int, Launch]], list[str]]:
    """Launches that differ in anything, each with its position in the program, and why others are not known."""
    launches: dict[Launch, int] = {}
    reasons: dict[str, None] = {}
    for site in sites:
        if site.launch is None:
            reasons[f"launch {site.number} is not known: {site.reason}"] = None
        else:
            launches.setdefault(site.launch, site.number)
    # the largest first: it gets all classes of inputs
    ordered = sorted(launches.items(), key=lambda item: -sum(b.length for b in item[0].bindings))
    return [(number, launch) for launch, number in ordered], list(reasons)


def _draws(dispatch: Dispatch, wanted: Wanted, *, first: bool) -> list[tuple[str, int]]:
    """Class and seed of each case of one launch."""
    classes = classes_for(dispatch.kind, quick=wanted.quick)
    if not first:
        classes = classes[:1] if wanted.quick else classes[:2]
    draws = []
    for inputs in classes:
        count = wanted.seeds if inputs == "normal" and not wanted.quick and first else 1
        draws += [(inputs, wanted.seed + i) for i in range(count)]
    return draws


def _key(dispatch: Dispatch) -> Key:
    return dispatch.executable, dispatch.variant, dispatch.name
