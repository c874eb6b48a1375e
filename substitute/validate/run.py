"""Judges a bundle on a device, in a process of its own, so that a kernel that crashes fails and nothing more."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from ..device.raw import RawModule
from ..errors import CompilerCrash
from ..isolate import Call, Progress, isolated
from .bundle import Bundle, Subject
from .judge import STANDARD, Options, judge_dispatch
from .verdict import CaseVerdict, DispatchVerdict

RUN = "run "
"""What the progress says before the name of a dispatch."""


def judge_bundle(
    bundle: Bundle, *, device: str | None = None, options: Options = STANDARD, progress: Progress
) -> tuple[DispatchVerdict, ...]:
    """All dispatches of a bundle, in this process. Raises `DeviceError` if the modules cannot be loaded."""
    judged = [s for s in bundle.subjects if s.cases]
    if not judged:
        return tuple(_skipped(s) for s in bundle.subjects)
    device = device or bundle.device
    baseline = RawModule(bundle.baseline, device=device) if bundle.baseline is not None else None
    verdicts = {}
    with RawModule(bundle.candidate, device=device) as candidate:
        for number, subject in enumerate(judged):
            progress(RUN + subject.name, number / len(judged))
            verdict = judge_dispatch(
                candidate, subject.cases, name=subject.name, kernel=subject.kernel, options=options,
                baseline=baseline if subject.cases[0].entry in bundle.beside else None,
            )  # fmt: skip
            verdicts[subject.name] = replace(verdict, notes=(*verdict.notes, *subject.notes))
    if baseline is not None:
        baseline.close()
    return tuple(verdicts[s.name] if s.cases else _skipped(s) for s in bundle.subjects)


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
        if not crash.where.startswith(RUN):
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
    """The same in child processes: a dispatch in which one dies has failed, and the others are judged without it."""
    crashed: dict[str, DispatchVerdict] = {}
    while True:
        left = tuple(s for s in bundle.subjects if s.name not in crashed)
        arguments = {"bundle": replace(bundle, subjects=left), "device": device, "options": options}
        try:
            done = {v.name: v for v in isolated(Call(judge_bundle, arguments), progress)}
        except CompilerCrash as crash:
            name = crash.where.removeprefix(RUN)
            subject = next((s for s in left if s.name == name), None)
            if subject is None or not crash.where.startswith(RUN):
                raise
            crashed[name] = _crash(subject, crash.found)
            continue
        return tuple(crashed[s.name] if s.name in crashed else done[s.name] for s in bundle.subjects)


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
