"""Cases of every dispatch that kernels take: launches, inputs and goldens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..embed import Built
from ..errors import SubstituteError
from ..match.alignment import alignment_of
from ..model.accuracy import find_loosest
from ..model.dispatch import Dispatch
from ..model.index import evaluate
from ..model.laws import LAWS
from ..model.plan import Key, dispatch_key
from ..payload.spirv.verification import workgroup_limits
from ..progress import Clock
from .bundle import Subject
from .call_sites import CallSite, Shapes
from .case import Launch, case_key
from .inputs import WITH_SPECIAL, classes_for
from .operand_names import Names, names_of
from .prepare import describe_launch, make_case, responds
from .targets import foreign

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..golden import Budget
    from ..model.kernel import Kernel
    from ..model.plan import Plan
    from ..read.module import Site

SAMPLED_FROM = 2e7
"""Scalar operations from which the golden of a size that the code suggests is evaluated at some elements only."""
DEEPEST_BESIDE = 16_384
"""Terms of a sum beyond which IREE's own code is not run where there is little time: it takes seconds for one row."""
Cover = Callable[[Sequence[Built]], Mapping[str, Sequence["Sized"]]]
"""Takes the kernels' code, and gives shapes for functions by their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """Shapes for the arguments of a function of open dimensions, each of whose dispatches gets a case there."""

    label: str
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Selection of dispatches, and the number of cases of each."""

    quick: bool = False
    seed: int = 0
    seeds: int = 3
    """Number of draws of normal numbers, for statistics (one where `quick`)."""
    case: str = ""
    """Only cases whose `case_key` holds this text."""
    launches: int = 4
    """Number of different launches of a dispatch that get cases."""
    shapes: tuple[Shapes, ...] = ({},)
    """Several sets of sizes for open dimensions: each is a launch of its own."""
    labels: Mapping[str, str] | None = None
    """Labels of the dispatches of the model's functions, by a function's name; None: the exports' names."""
    turned: bool = False
    """Also compile the kernels with their workgroups in reverse order, and with counters of their branches."""
    emitted: bool = False
    """Also describe the code that is embedded, to attest it."""
    deferred: bool = False
    """Do not compile IREE's own code: it is done later, for the dispatches whose verdicts depend on it."""
    cover: Cover | None = None
    """Gives further shapes for functions of open dimensions, once the kernels' code is made."""


EVERYTHING = Wanted()
"""All dispatches with all of their cases."""


def make_subjects(
    stock: ir.Operation,
    plan: Plan,
    clock: Clock,
    wanted: Wanted,
    launches: Mapping[Key, Sequence[CallSite]],
    *,
    device: str,
    covering: Mapping[Key, Sequence[tuple[str, Launch]]] | None = None,
) -> tuple[Subject, ...]:
    """Return every dispatch that a kernel takes, with its cases; `covering`: launches at sizes of the code."""
    from ..read.module import read_module

    sites = {dispatch_key(s.dispatch): s for s in read_module(stock)}
    subjects = []
    with clock.step("evaluate the golden"):
        taken = kernels_of(plan)
        for number, (dispatch, kernels) in enumerate(taken.items()):
            clock.progress("evaluate the golden", number / len(taken))
            subjects.append(
                _subject(
                    sites[dispatch_key(dispatch)],
                    launches.get(dispatch_key(dispatch), []),
                    wanted,
                    entry=f"run_{number}",
                    kernels=kernels,
                    device=device,
                    names=_names(plan, dispatch),
                    check=plan.verdict_on(dispatch),
                    laws=_laws(plan, dispatch),
                    covering=(covering or {}).get(dispatch_key(dispatch), ()),
                )
            )
    if wanted.case:
        subjects = [s for s in subjects if s.cases]
    return _renumbered(subjects)


def kernels_of(plan: Plan) -> dict[Dispatch, list[Kernel]]:
    """Every substituted dispatch and the kernels it is given, one or several to choose from."""
    found: dict[Dispatch, list[Kernel]] = {}
    for substitution in plan.substitutions:
        found.setdefault(substitution.dispatch, []).append(substitution.kernel)
    return found


def refuse_grids(subject: Subject, built: Sequence[Built]) -> Subject:
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


def is_formed_in(function: str, dispatch: str) -> bool:
    """Return True if a dispatch is one that IREE formed in this function."""
    return dispatch.startswith(f"{function}_dispatch")


def _names(plan: Plan, dispatch: Dispatch) -> Names:
    return next((names_of(s) for s in plan.substitutions if s.dispatch == dispatch), ())


def _laws(plan: Plan, dispatch: Dispatch) -> tuple[str, ...]:
    """Return the laws by which any kernel of a dispatch was matched."""
    used = {law for s in plan.substitutions if s.dispatch == dispatch for law in s.match.laws}
    return tuple(sorted(used))


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
    declared = find_loosest(k.accuracy for k in kernels)
    spreads = declared is not None and declared.relative_to == "operands"
    notes += ["no NaN and no infinities are tested: the kernel may spread them"] if spreads else []
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
            if wanted.case not in case_key(label, inputs, seed) or ((open_ or spreads) and inputs in WITH_SPECIAL):
                continue
            try:
                described = described or describe_launch(site.function, launch, names)
                case = make_case(
                    site.function,
                    dispatch,
                    launch,
                    entry=entry,
                    label=label,
                    inputs=inputs,
                    seed=seed,
                    local=device.startswith("local"),
                    repeatable=not any(k.not_repeatable for k in kernels),
                    described=described,
                    alignment=max(map(alignment_of, kernels)),
                    composed=any(k.payload.kind.rewrites_body for k in kernels),
                    budget=budget,
                    laws=laws,
                    declared=declared,
                    beside=budget is None,
                )
            except SubstituteError as error:
                skipped = str(error).partition("\n")[0]
                notes.append(f"{inputs}: {skipped}")
                continue
            if wanted.quick and max((e.depth for e in case.expected), default=0) > DEEPEST_BESIDE:
                case = replace(case, beside=False)
            cases.append(case)
            if at == 0 and inputs == classes_for(dispatch.kind, quick=True)[0]:
                notes += [f"the golden does not depend on {where}" for where in responds(site.function, case)]
    return Subject(
        name=dispatch.name,
        kernel=", ".join(k.name for k in kernels),
        kind=dispatch.kind,
        cases=tuple(cases),
        skipped="" if cases else skipped,
        notes=tuple(dict.fromkeys(notes)),
        text=text,
        check=check,
        declared="" if declared is None else str(declared),
    )


def _places(numbers: Sequence[int]) -> list[str]:
    """Return labels of launches, from their positions in the program; one may be launched at several sizes."""
    return [
        f"launch {number}" + (f", sizes {numbers[:at].count(number)}" if numbers.count(number) > 1 else "")
        for at, number in enumerate(numbers)
    ]


def _label(name: str, wanted: Wanted) -> str:
    """The dispatch, and what its function is."""
    function = next((f for f in (wanted.labels or {}) if is_formed_in(f, name)), None)
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
