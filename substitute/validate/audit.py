"""Audit of stock IREE: each dispatch is run against its golden, to find what IREE itself computes wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..device.raw import RawModule
from ..errors import CompilerCrash, CompilerError, SubstituteError
from ..isolate import Call, isolated, notify
from ..match.alignment import OF_BINDINGS
from ..model.plan import Key, dispatch_key
from ..progress import Clock, Progress, silent
from .call_sites import CallSite
from .case import Case
from .judge import Options, judge_case
from .prepare import make_case
from .targets import flags_for, foreign
from .verdict import CaseVerdict, Place

if TYPE_CHECKING:
    from ..compiler import Compilation
    from ..model.dispatch import Dispatch
    from ..read.module import Site

Outcome = Literal["right", "wrong", "not compiled", "not judged"]
RUN, COMPILE = "run ", "compile "
"""Prefixes of the progress before the name of a dispatch."""
ALL_COMPILED = "compile the dispatches"
"""Progress while they are compiled together."""
INPUTS = ("normal", "special")
"""Classes of inputs that every dispatch is run with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """Outcome of one dispatch."""

    name: str
    kind: str
    """Kind of computation."""
    outcome: Outcome
    reason: str = ""
    """The error, or the reason why it was not judged."""
    inputs: str = ""
    """Class of inputs at which it failed; all of them if it did not."""
    place: Place | None = None
    """The first wrong element."""
    largest_absolute: float = 0.0
    largest_ulp: float = 0.0
    share: float = 0.0
    """Largest error as a share of the rounding error (the analytic bound)."""
    golden_seconds: float = 0.0
    """Time of drawing inputs and evaluating the golden, all classes together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """All dispatches of a model, as IREE compiles them for a device."""

    device: str
    seed: int
    dispatches: tuple[Audited, ...]
    seconds: dict[str, float]
    """Wall-clock time of each step."""

    @property
    def passed(self) -> bool:
        """True if something was judged, nothing is wrong and every dispatch was compiled."""
        return self.count("right") > 0 and all(d.outcome in ("right", "not judged") for d in self.dispatches)

    @property
    def nothing_judged(self) -> bool:
        """True if nothing was judged."""
        return not any(d.outcome != "not judged" for d in self.dispatches)

    @property
    def compile_seconds(self) -> float:
        """Time of IREE's compiler."""
        return sum(seconds for step, seconds in self.seconds.items() if step.startswith("compile"))

    def count(self, outcome: Outcome) -> int:
        """Return the number of dispatches with this outcome."""
        return sum(d.outcome == outcome for d in self.dispatches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A dispatch with its cases."""

    name: str
    kind: str
    cases: tuple[Case, ...]
    skipped: str
    """Reason why there are none; empty if there are."""
    golden_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A module of single dispatches with the cases for them, and what could not be prepared."""

    module: bytes
    subjects: tuple[Subject, ...]
    refused: tuple[Audited, ...]
    """Dispatches that IREE does not compile, or compiles for another device."""
    order: tuple[str, ...]
    """All dispatches in the order of the module."""
    seconds: dict[str, float]


def audit_model(
    model: Path | bytes,
    *,
    device: str = "local-task",
    flags: Sequence[str] = (),
    seed: int = 0,
    inputs: Sequence[str] = INPUTS,
    only: str = "",
    isolate: bool = False,
    progress: Progress = silent,
) -> Audit:
    """Compile a model with IREE alone and run each dispatch on a device against its golden.

    Each is run as its first launch in the host program launches it, on drawn operands; with `only`, those whose name
    holds that text. With `isolate` compiler and dispatches run in child processes, so that a crash is the fault of one
    dispatch. Raises `SubstituteError` for what cannot be compiled at all.
    """
    arguments = {"model": model, "device": device, "flags": flags, "seed": seed, "inputs": inputs, "only": only}
    prepared = _prepared(arguments, isolate, progress)
    start = time.perf_counter()
    judged = [s for s in prepared.subjects if s.cases]
    found = {refused.name: refused for refused in prepared.refused}
    found |= {
        s.name: Audited(name=s.name, kind=s.kind, outcome="not judged", reason=s.skipped)
        for s in prepared.subjects
        if not s.cases
    }
    while judged:
        call = Call(judge_subjects, {"module": prepared.module, "subjects": judged, "device": device})
        try:
            done = isolated(call, progress) if isolate else call(progress)
        except CompilerCrash as crash:
            done = [crashed(judged, crash)]
        found |= {audited.name: audited for audited in done}
        judged = [s for s in judged if s.name not in found]
    seconds = {**prepared.seconds, "run": time.perf_counter() - start}
    return Audit(device=device, seed=seed, dispatches=tuple(found[n] for n in prepared.order), seconds=seconds)


def _prepared(arguments: Mapping[str, Any], isolate: bool, progress: Progress) -> Prepared:
    """The result of `prepare_audit`; once more for each dispatch that crashes the compiler, to name it."""
    crashing: dict[str, str] = {}
    one_by_one = False
    while True:
        call = Call(prepare_audit, {**arguments, "one_by_one": one_by_one, "crashing": crashing})
        try:
            prepared: Prepared = isolated(call, progress) if isolate else call(progress)
            return prepared
        except CompilerCrash as crash:
            name = crash.where.removeprefix(COMPILE)
            if one_by_one and crash.where.startswith(COMPILE) and name not in crashing:
                crashing[name] = crash.found
            elif one_by_one or crash.where != ALL_COMPILED:
                raise _of_iree(crash, arguments) from None
            one_by_one = True


def _of_iree(crash: CompilerCrash, arguments: Mapping[str, Any]) -> SubstituteError:
    """Report a crash of the compiler: an audit has no kernels."""
    from ..crash import crash_without_kernels

    model = arguments["model"]
    flags = flags_for(arguments["device"], arguments["flags"])
    return crash_without_kernels(crash, str(model) if isinstance(model, Path) else "model", flags)


def judge_subjects(
    *, module: bytes, subjects: Sequence[Subject], device: str, progress: Progress = silent
) -> list[Audited]:
    """Runs and judges all cases. Raises `DeviceError` if the module cannot be loaded."""
    found = []
    with RawModule(module, device=device) as raw:
        for number, subject in enumerate(subjects):
            progress(RUN + subject.name, number / len(subjects))
            verdicts = [judge_case(raw, case, options=Options(in_flight=False, pages=False)) for case in subject.cases]
            found.append(audited(subject, verdicts))
    return found


def audited(subject: Subject, verdicts: Sequence[CaseVerdict]) -> Audited:
    """Return the outcome of a dispatch from the verdicts on its cases."""
    first = next((verdict for verdict in verdicts if not verdict.passed), None)
    weak = not any(verdict.judged for verdict in verdicts)
    outcome: Outcome = "wrong" if first is not None else "not judged" if weak else "right"
    reason = "no element of its results can be judged" if weak else ""
    return Audited(
        name=subject.name,
        kind=subject.kind,
        outcome=outcome,
        reason=f"{first.stage}: {first.message}" if first is not None else reason,
        inputs=first.inputs if first is not None else ", ".join(verdict.inputs for verdict in verdicts),
        place=first.place if first is not None else None,
        largest_absolute=max((v.errors.largest_absolute for v in verdicts), default=0.0),
        largest_ulp=max((v.errors.largest_ulp for v in verdicts), default=0.0),
        share=max((verdict.worst for verdict in verdicts), default=0.0),
        golden_seconds=subject.golden_seconds,
    )


def crashed(subjects: Sequence[Subject], crash: CompilerCrash) -> Audited:
    """The dispatch that was running when its process died."""
    name = crash.where.removeprefix(RUN)
    subject = next((s for s in subjects if s.name == name), None)
    if subject is None:
        raise crash
    return Audited(
        name=name,
        kind=subject.kind,
        outcome="wrong",
        reason=f"the process that ran it died: {crash.found}",
        golden_seconds=subject.golden_seconds,
    )


def prepare_audit(
    *,
    model: Path | bytes,
    device: str,
    flags: Sequence[str],
    seed: int,
    inputs: Sequence[str],
    only: str = "",
    one_by_one: bool = False,
    crashing: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = silent,
) -> Prepared:
    """Compile the dispatches of a model and evaluate their goldens. Raises `SubstituteError`.

    `one_by_one`: each is compiled alone first, except those that are known to crash the compiler (name → how).
    """
    from ..compiler import Compilation, load_model
    from ..flags import with_default_target
    from ..read.interface import misread_types
    from ..read.module import read_module
    from ..read.signature import read_signatures
    from .recording import known_call_sites

    clock = Clock(progress)
    chosen = with_default_target(flags_for(device, flags))
    with Compilation(chosen, name=str(model) if isinstance(model, Path) else "model") as compilation:
        with clock.step("compile to dispatches"):
            compilation.parse(load_model(model) if isinstance(model, Path) else model)
            assert compilation.module is not None
            signatures = read_signatures(compilation.module)
            compilation.run("start", "executable-sources")
        assert compilation.module is not None
        if warning := misread_types(compilation.module, compilation.flags):
            notify(f"warning: {warning}")
        sites = [site for site in read_module(compilation.module) if only in site.dispatch.name]
        others = {dispatch_key(s.dispatch): _not_here(s.dispatch, device) for s in sites}
        mine = [site for site in sites if others[dispatch_key(site.dispatch)] is None]
        with clock.step("find the launches"):
            launches: dict[Key, list[CallSite]] = {}
            bindings = {dispatch_key(site.dispatch): site.dispatch.layout.bindings for site in sites}
            for found in known_call_sites(
                compilation, compilation.module, bindings, {}, device=device, signatures=signatures, progress=progress
            ):
                launches.setdefault(found.dispatch, []).append(found)
        with clock.step(ALL_COMPILED):
            module, refused = _compiled(compilation, mine, one_by_one, crashing, progress)
        taken = [site for site in mine if dispatch_key(site.dispatch) not in refused]
        subjects = []
        with clock.step("evaluate the golden"):
            for number, site in enumerate(taken):
                progress("evaluate the golden", number / len(taken))
                known = launches.get(dispatch_key(site.dispatch), [])
                subjects.append(_subject(site, known, inputs, seed, _entry(number), device))
    return Prepared(
        module=module,
        subjects=tuple(subjects),
        refused=(*refused.values(), *filter(None, others.values())),
        order=tuple(site.dispatch.name for site in sites),
        seconds=dict(clock.seconds),
    )


def _not_here(dispatch: Dispatch, device: str) -> Audited | None:
    """Return the outcome of a dispatch that is compiled for another device; None if it is not."""
    reason = foreign(dispatch.target.backend, device)
    return Audited(name=dispatch.name, kind=dispatch.kind, outcome="not judged", reason=reason) if reason else None


def _entry(number: int) -> str:
    """Return the name of the function that launches a dispatch."""
    return f"run_{number}"


def _isolated(compilation: Compilation, dispatches: Sequence[Dispatch]) -> bytes:
    """Return a module that launches each dispatch separately; the compilation's own module is not changed."""
    from .harness import isolate_dispatches

    original = compilation.module
    assert original is not None
    copy = original.clone().operation
    try:
        isolate_dispatches(copy, {_entry(i): dispatch for i, dispatch in enumerate(dispatches)})
        compilation.module = copy
        compilation.run("executable-sources", "end")
        return compilation.bytecode()
    finally:
        compilation.module = original


def _compiled(
    compilation: Compilation, sites: Sequence[Site], one_by_one: bool, crashing: Mapping[str, str], progress: Progress
) -> tuple[bytes, dict[Key, Audited]]:
    """The module of all dispatches that IREE compiles, and those that it does not."""
    if not one_by_one:
        try:
            return _isolated(compilation, [site.dispatch for site in sites]) if sites else b"", {}
        except CompilerError:
            crashing = {}
    refused = _refused(compilation, sites, crashing, progress)
    if one_by_one:
        progress(ALL_COMPILED, None)
    taken = [site.dispatch for site in sites if dispatch_key(site.dispatch) not in refused]
    return _isolated(compilation, taken) if taken else b"", refused


def _refused(
    compilation: Compilation, sites: Sequence[Site], crashing: Mapping[str, str], progress: Progress
) -> dict[Key, Audited]:
    """The dispatches that IREE's code generator does not take, each with its words."""
    found: dict[Key, Audited] = {}
    for number, site in enumerate(sites):
        name = site.dispatch.name
        if name in crashing:
            found[dispatch_key(site.dispatch)] = Audited(
                name=name,
                kind=site.dispatch.kind,
                outcome="not compiled",
                reason=f"the compiler crashed: {crashing[name]}",
            )
            continue
        progress(COMPILE + name, number / len(sites))
        try:
            _isolated(compilation, [site.dispatch])
        except CompilerError as error:
            words = error.details.strip().splitlines()
            found[dispatch_key(site.dispatch)] = Audited(
                name=site.dispatch.name,
                kind=site.dispatch.kind,
                outcome="not compiled",
                reason=words[0].strip() if words else error.found,
            )
    return found


def _subject(
    site: Site, sites: Sequence[CallSite], inputs: Sequence[str], seed: int, entry: str, device: str
) -> Subject:
    """The cases of one dispatch at its first launch that is known."""
    dispatch = site.dispatch
    launch = next((s.launch for s in sites if s.launch is not None), None)
    cases: tuple[Case, ...] = ()
    skipped = ""
    start = time.perf_counter()
    if launch is None:
        skipped = f"its launch is not known: {sites[0].reason}" if sites else "the host program never launches it"
    elif site.function is None:
        skipped = "it has no body"
    else:
        try:
            cases = tuple(
                make_case(
                    site.function,
                    dispatch,
                    launch,
                    entry=entry,
                    label=dispatch.name,
                    inputs=kind,
                    seed=seed,
                    local=device.startswith("local"),
                    alignment=OF_BINDINGS,
                    composed=True,
                )
                for kind in inputs
            )
        except SubstituteError as error:
            skipped = str(error).partition("\n")[0]
        except Exception as error:  # a fault of the golden must not take the other dispatches' verdicts with it
            skipped = f"the golden failed, which is a bug in iree-substitute: {type(error).__name__}: {error}"
    return Subject(
        name=dispatch.name,
        kind=dispatch.kind,
        cases=cases,
        skipped=skipped,
        golden_seconds=time.perf_counter() - start,
    )
