"""Runs a model with and without kernels under IREE's profiler, and joins the times with what took each dispatch."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..device import DispatchEvent, Session, record_dispatches
from ..device.timing import spread_of
from ..errors import DeviceError
from ..match.nearness import nearest_miss
from ..model.dispatch import Dispatch
from ..model.plan import dispatch_key
from ..pipeline import CompileResult, compile_model
from ..progress import Clock, Progress, silent
from ..report.cost import Cost, cost_of
from ..validate.model_inputs import DYNAMIC_SIZE, draw_inputs, input_types
from ..validate.targets import flags_for
from .machine import Machine, measure_machine

CALLS, ROUNDS = 5, 3
"""Calls of the function in each run, of which the first does not count, and runs of each module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Times of one dispatch in one module."""

    median_us: float
    """Microseconds in one call of the function, all call sites together."""
    spread_us: float
    """Distance between the quartiles."""
    count: int
    """Launches in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRow:
    """One dispatch."""

    name: str
    dispatch: Dispatch | None
    """None for an export that is not among the dispatches."""
    stock: Side | None
    """None where IREE's own module does not launch it."""
    ours: Side | None
    kernel: str
    """Kernels that take it; empty: none."""
    reason: str
    """Verdict on the kernel, or why there is none."""
    cost: Cost | None

    @property
    def ratio(self) -> float | None:
        """Time of IREE's own code ÷ time with our kernels; None if one of them was not measured."""
        if not self.kernel or self.stock is None or self.ours is None:
            return None
        return self.stock.median_us / max(self.ours.median_us, 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A model on a device."""

    model: Path
    device: str
    function: str
    inputs: tuple[str, ...]
    """Types of the arguments, such as `4x2048xi32`."""
    drawn: bool
    """True if nobody gave the inputs."""
    rows: tuple[ProfileRow, ...]
    """The slowest under IREE first."""
    machine: Machine | None
    """None where nothing is known of the device."""
    events: Mapping[str, tuple[DispatchEvent, ...]]
    """Dispatches of the last call of each module: `IREE` and `with kernels`."""
    compiled: CompileResult | None = None
    """The model with kernels, where its code was asked for."""

    def total_us(self, side: str) -> float:
        """Return the time of all dispatches of a call: of `stock`, or of `ours`."""
        sides = (row.stock if side == "stock" else row.ours for row in self.rows)
        return sum(one.median_us for one in sides if one is not None)


def profile_model(
    model: Path,
    *,
    device: str = "local-task",
    kernels: Sequence[Path] = (),
    builtin: bool = True,
    flags: Sequence[str] = (),
    function: str | None = None,
    inputs: Sequence[Any] = (),
    size: int = DYNAMIC_SIZE,
    seed: int = 0,
    calls: int = CALLS,
    rounds: int = ROUNDS,
    roofline: bool = True,
    keep_ir: bool = False,
    isolate: bool = False,
    progress: Progress = silent,
) -> Profile:
    """Time each dispatch of a model as one call of its function launches it, with IREE's own code and with kernels.

    Kernels are checked first, as `compile` does: what is wrong or slower is left out, and its row says so. Without
    `inputs` they are drawn from `seed`, open sizes being `size`. `keep_ir`: the result has the code as well.
    Raises `SubstituteError`.
    """
    clock = Clock(progress)
    flags = flags_for(device, flags)
    common = {"flags": flags, "isolate": isolate, "progress": progress}
    result = compile_model(model, kernels=kernels, builtin=builtin, keep_ir=keep_ir, **common)  # type: ignore[arg-type]
    stock = compile_model(model, substitute=False, **common)  # type: ignore[arg-type]
    with Session(stock.vmfb, device=device) as session:
        called = session.function(function)
    values = list(inputs) or draw_inputs(called.name, input_types(called, stock.signatures), seed, size)
    modules = {"IREE": stock.vmfb, "with kernels": result.vmfb}
    recorded: dict[str, list[list[DispatchEvent]]] = {name: [] for name in modules}
    with clock.step("profile"):
        for turn in range(rounds):
            for at, (name, vmfb) in enumerate(modules.items()):
                clock.progress("profile", (turn * len(modules) + at) / (rounds * len(modules)))
                events = record_dispatches(vmfb, device=device, function=called.name, inputs=values, calls=calls + 1)
                recorded[name] += split_calls(events, calls + 1)[1:]
    threads = 1 if device == "local-sync" else len(os.sched_getaffinity(0))
    measured = measure_machine(threads) if roofline and device.startswith("local-") else None
    return Profile(
        model=model,
        device=device,
        function=called.name,
        inputs=tuple(_describe(value) for value in values),
        drawn=not inputs,
        rows=join_rows(result, summarize(recorded["IREE"]), summarize(recorded["with kernels"])),
        machine=measured,
        events={name: tuple(runs[-1]) if runs else () for name, runs in recorded.items()},
        compiled=result if keep_ir else None,
    )


def split_calls(events: Sequence[DispatchEvent], calls: int) -> list[list[DispatchEvent]]:
    """Return the dispatches of each call: every call launches the same. Raises `DeviceError` where they do not."""
    if not events:
        raise DeviceError(
            "the profiler saw no dispatch",
            expected="a function that runs something on the device",
            found="none",
            next_step="choose another --function",
        )
    each, rest = divmod(len(events), calls)
    if rest:
        raise DeviceError(
            "calls of the function launch different numbers of dispatches",
            expected=f"a multiple of {calls}",
            found=f"{len(events)} dispatches",
            next_step="give inputs for which it does the same each time",
        )
    return [list(events[n * each : (n + 1) * each]) for n in range(calls)]


def summarize(calls: Sequence[Sequence[DispatchEvent]]) -> dict[str, Side]:
    """Return the times of each export over calls."""
    found: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for call in calls:
        totals: dict[str, float] = {}
        for event in call:
            totals[event.name] = totals.get(event.name, 0.0) + event.duration_ns / 1000
        for name, total in totals.items():
            found.setdefault(name, []).append(total)
            counts[name] = sum(event.name == name for event in call)
    return {
        name: Side(median_us=statistics.median(samples), spread_us=spread_of(samples), count=counts[name])
        for name, samples in found.items()
    }


def join_rows(result: CompileResult, stock: Mapping[str, Side], ours: Mapping[str, Side]) -> tuple[ProfileRow, ...]:
    """Return a row for each export that either module launches, or that a plan knows, the slowest first."""
    dispatches = {dispatch.name: dispatch for dispatch in result.plan.dispatches}
    names = dict.fromkeys((*stock, *ours))
    rows = [
        ProfileRow(
            name=name,
            dispatch=dispatches.get(name),
            stock=stock.get(name),
            ours=ours.get(name),
            kernel=", ".join(s.kernel.name for s in result.plan.substitutions if s.dispatch.name == name),
            reason=_reason(result, dispatches.get(name)),
            cost=_cost(dispatches.get(name)),
        )
        for name in names
    ]
    return tuple(
        sorted(rows, key=lambda row: -(row.stock or row.ours or Side(median_us=0, spread_us=0, count=0)).median_us)
    )


def _cost(dispatch: Dispatch | None) -> Cost | None:
    return cost_of(dispatch.program) if dispatch is not None and dispatch.program is not None else None


def _reason(result: CompileResult, dispatch: Dispatch | None) -> str:
    """Return the verdict on the kernel that takes a dispatch, or why none does."""
    if dispatch is None:
        return "not a dispatch of the model"
    key = dispatch_key(dispatch)
    for checked in result.checked:
        if checked.key == key:
            return f"left out: {checked.names} is {checked.verdict.text}" if checked.left_out else checked.verdict.text
    if any(dispatch_key(s.dispatch) == key for s in result.plan.substitutions):
        return ""
    nearest = nearest_miss([d for d in result.plan.decisions if dispatch_key(d.dispatch) == key])
    if nearest is None:
        return "no kernel for this backend" if dispatch.program else f"cannot be read: {dispatch.reason}"
    failed = next((rule for rule in nearest.rules if not rule.passed), None)
    if failed is None:
        return f"nearest: {nearest.kernel.name}"
    return f"nearest: {nearest.kernel.name}; {failed.name}: expected {failed.expected}, found {failed.found}"


def _describe(value: Any) -> str:
    import numpy as np

    from ..device.value_type import type_of

    return str(type_of(np.asarray(value)))
