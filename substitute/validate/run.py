"""Judges a bundle on a device, in a process of its own, so that a kernel that crashes fails and nothing more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import cast

from ..device.raw import RawModule
from ..errors import CompilerCrash, DeviceError
from ..isolate import Call, Progress, isolated
from . import baseline
from .baseline import Theirs, run_baselines, run_baselines_apart, set_beside, words
from .bundle import Bundle, Subject
from .case import Case
from .judge import STANDARD, Judged, Options, conclude, judge_cases
from .verdict import CaseVerdict, DispatchVerdict

RUN = "run "
"""What the progress says before the name of a dispatch."""
APART = frozenset({"cuda", "cuda-sim"})
"""Drivers on which IREE's own code runs in a process of its own: a fault there can only be left by ending it."""
PATIENCE_S = 10.0
PATIENCE_SHARE = 0.5
"""How long it may take: the seconds in any case, else this share of what the kernels took, which are launched more
often. Simulated and software devices are slow, and its part of a verdict is the smaller one."""


def judge_bundle(
    bundle: Bundle, *, device: str | None = None, options: Options = STANDARD, progress: Progress
) -> tuple[DispatchVerdict, ...]:
    """All dispatches of a bundle, in this process; IREE's own code only after every candidate.

    Raises `DeviceError` if the candidates cannot be loaded.
    """
    judged = [s for s in bundle.subjects if s.cases]
    if not judged:
        return tuple(_skipped(s) for s in bundle.subjects)
    device = device or bundle.device
    alone: dict[str, list[Judged]] = {}
    start = time.perf_counter()
    with RawModule(bundle.candidate, device=device) as candidate:
        for number, subject in enumerate(judged):
            progress(RUN + subject.name, number / len(judged))
            alone[subject.name] = judge_cases(candidate, subject.cases, options=options)
    patience_s = max(PATIENCE_S, PATIENCE_SHARE * (time.perf_counter() - start))
    beside, missing = _baselines(bundle, judged, device, patience_s, progress)
    verdicts = {}
    for subject in judged:
        cases = [
            set_beside(j.verdict, case, theirs, at=j.at, zeros=j.zeros)
            if (theirs := beside.get(id(case))) is not None
            else j.verdict
            for j, case in zip(alone[subject.name], subject.cases, strict=True)
        ]
        verdict = conclude(subject.name, subject.kernel, cases, options=options)
        verdicts[subject.name] = replace(verdict, notes=(*verdict.notes, *subject.notes, *missing))
    return tuple(verdicts[s.name] if s.cases else _skipped(s) for s in bundle.subjects)


def _baselines(
    bundle: Bundle, judged: Sequence[Subject], device: str, patience_s: float, progress: Progress
) -> tuple[dict[int, Theirs], tuple[str, ...]]:
    """What IREE's own code gives, by the case's `id`; and why it is missing for some."""
    compared = [subject.cases for subject in judged if subject.cases[0].entry in bundle.beside]
    # in turns, so that every dispatch has its share of the time
    cases = [case for turn in zip_longest(*compared) for case in turn if case is not None]
    if bundle.baseline is None or not cases:
        return {}, ()
    if device.partition("://")[0] in APART:
        found, why = run_baselines_apart(
            module=bundle.baseline, device=device, cases=cases, patience_s=patience_s, progress=progress
        )
    else:
        found, why = _here(bundle.baseline, device, cases, patience_s, progress)
    missing = (f"IREE's own code was not run in {len(cases) - len(found)} of {len(cases)} cases: {why}",) if why else ()
    return {id(case): theirs for case, theirs in zip(cases, found, strict=False)}, missing


def _here(
    module: bytes, device: str, cases: Sequence[Case], patience_s: float, progress: Progress
) -> tuple[tuple[Theirs, ...], str]:
    try:
        found = run_baselines(module=module, device=device, cases=cases, patience_s=patience_s, progress=progress)
    except DeviceError as error:
        return (), words(error)
    return found, "" if len(found) == len(cases) else f"it took {device} with it"


def build_and_judge(
    build: Call, *, isolate: bool, options: Options = STANDARD, progress: Progress
) -> tuple[Mapping[str, float], tuple[DispatchVerdict, ...]]:
    """What `build` makes (a `Bundle`), judged at once in the same child process; the time of its steps, and verdicts.

    Only if that process dies while it runs a kernel are the two done one after the other.
    """
    if not isolate:
        return _build_and_judge(build, options, progress)
    try:
        done = isolated(Call(_build_and_judge, {"build": build, "options": options}), progress)
        return cast(tuple[Mapping[str, float], tuple[DispatchVerdict, ...]], done)
    except CompilerCrash as crash:
        if not crash.where.startswith((RUN, baseline.RUN)):
            raise
    bundle: Bundle = isolated(build, progress)
    start = time.perf_counter()
    verdicts = judge_isolated(bundle, options=options, progress=progress)
    return {**bundle.seconds, "run": time.perf_counter() - start}, verdicts


def _build_and_judge(
    build: Call, options: Options, progress: Progress
) -> tuple[Mapping[str, float], tuple[DispatchVerdict, ...]]:
    bundle: Bundle = build(progress)
    start = time.perf_counter()
    verdicts = judge_bundle(bundle, options=options, progress=progress)
    return {**bundle.seconds, "run": time.perf_counter() - start}, verdicts


def judge_isolated(
    bundle: Bundle, *, device: str | None = None, options: Options = STANDARD, progress: Progress
) -> tuple[DispatchVerdict, ...]:
    """The same in child processes: a dispatch in which one dies has failed, and the others are judged without it.

    One that dies of IREE's own code says nothing of the candidates, which are judged without.
    """
    crashed: dict[str, DispatchVerdict] = {}
    while True:
        left = tuple(s for s in bundle.subjects if s.name not in crashed)
        arguments = {"bundle": replace(bundle, subjects=left), "device": device, "options": options}
        try:
            done = {v.name: v for v in isolated(Call(judge_bundle, arguments), progress)}
        except CompilerCrash as crash:
            if crash.where.startswith(baseline.RUN) and bundle.baseline is not None:
                bundle = _without_baseline(bundle, f"IREE's own code was not run: it ended its process ({crash.found})")
                continue
            name = crash.where.removeprefix(RUN)
            subject = next((s for s in left if s.name == name), None)
            if subject is None or not crash.where.startswith(RUN):
                raise
            crashed[name] = _crash(subject, crash.found)
            continue
        return tuple(crashed[s.name] if s.name in crashed else done[s.name] for s in bundle.subjects)


def _without_baseline(bundle: Bundle, note: str) -> Bundle:
    subjects = tuple(replace(s, notes=(*s.notes, note)) if s.cases else s for s in bundle.subjects)
    return replace(bundle, baseline=None, subjects=subjects)


def _crash(subject: Subject, found: str) -> DispatchVerdict:
    first = subject.cases[0]
    case = CaseVerdict(
        label=first.label, inputs=first.inputs, seed=first.seed, stage="launch",
        message=f"the process that ran it died: {found}",
    )  # fmt: skip
    return DispatchVerdict(name=subject.name, kernel=subject.kernel, cases=(case,), notes=subject.notes)


def _skipped(subject: Subject) -> DispatchVerdict:
    return DispatchVerdict(
        name=subject.name, kernel=subject.kernel, cases=(), skipped=subject.skipped or "no case was asked for",
        notes=subject.notes,
    )  # fmt: skip
