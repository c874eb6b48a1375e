"""Discovery of launches by running the host program: a copy of it reports every integer of a launch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SubstituteError
from ..isolate import Call, isolated
from ..model.plan import Key
from ..progress import Progress, silent
from .call_sites import CallSite, Recorded, Shapes, find_call_sites, launch_values
from .harness import walk
from .model_inputs import draw_inputs, input_types

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..compiler import Compilation

RECORDER = "recorder"
"""Module whose functions the changed host program calls."""
CALL_LIMIT = 20_000
"""Limit of launches in a run: a loop of the host program may be endless with drawn inputs."""
SECONDS_LIMIT = 60.0
INTEGERS = (None, 1, 2, 3)
"""Integer inputs of each run, until every launch was met: drawn from 0 and 1, or all this number."""


def known_call_sites(
    compilation: Compilation,
    module: ir.Operation,
    flags: Mapping[Key, tuple[str, ...]],
    shapes: Shapes,
    *,
    device: str,
    signatures: Mapping[str, tuple[str, ...]],
    progress: Progress = silent,
) -> list[CallSite]:
    """Return all launches of a module at `executable-sources`, which stays as it is.

    What cannot be worked out from the host program is recorded while IREE's own code runs on the device with drawn
    inputs, in a child process. `signatures` gives the functions' arguments where the module does not declare them.
    """
    found = find_call_sites(module, flags, shapes)
    wanted = {site.number for site in found if site.launch is None}
    if not wanted:
        return found
    progress("record launches", None)
    try:
        recording = _compiled(compilation, module, wanted)
        call = Call(record_launches, {"module": recording, "device": device, "signatures": signatures})
        recorded: Recorded = isolated(call, progress)
    except SubstituteError as error:
        return [_with_reason(site, str(error).partition("\n")[0]) for site in found]
    again = find_call_sites(module, flags, shapes, recorded)
    return [_with_reason(site, "no run with drawn inputs came there") for site in again]


def _with_reason(site: CallSite, why: str) -> CallSite:
    return site if site.launch is not None else replace(site, reason=f"{site.reason} ({why})")


def _compiled(compilation: Compilation, module: ir.Operation, wanted: set[int]) -> bytes:
    """Compile a copy of the module that records the launches with these numbers. Raises `CompilerError`."""
    original, copy = compilation.module, module.clone().operation
    try:
        insert_calls(copy, wanted)
        compilation.module = copy
        compilation.run("executable-sources", "end")
        return compilation.bytecode()
    finally:
        compilation.module = original


def insert_calls(module: ir.Operation, wanted: set[int]) -> None:
    """Make the host program call the recorder before it launches, with each value of the launches in `wanted`.

    Before every other launch it calls as well, so that a run that never ends is noticed.
    """
    from iree.compiler import ir

    launches = [op for op in walk(module) if op.name == "stream.cmd.dispatch"]
    with module.context, ir.Location.unknown():
        for number, op in enumerate(launches):
            values = launch_values(op) if number in wanted else []
            place = _host_operation(op)
            if any(_is_inside(value, place) for value in values):
                continue
            with ir.InsertionPoint(place):
                _call(number, -1, _constant(0, 64))
                for position, value in enumerate(values):
                    _call(number, position, _as_i64(value))
        declaration = ir.Operation.parse(f"util.func private @{RECORDER}.note(i32, i32, i64)")
        module.regions[0].blocks[0].append(declaration)


def _host_operation(op: ir.Operation) -> ir.Operation:
    """Return the operation of the host program that a launch lies in."""
    found = op
    at: Any = op
    while at is not None and at.name not in ("util.func", "func.func", "util.initializer", "builtin.module"):
        if at.name == "stream.cmd.execute":
            found = at
        at = at.parent.operation if hasattr(at.parent, "operation") else at.parent
    return found


def _is_inside(value: ir.Value, place: ir.Operation) -> bool:
    from iree.compiler import ir

    at: Any = value.owner.owner if isinstance(value, ir.BlockArgument) else value.owner
    while at is not None:
        at = at.operation if hasattr(at, "operation") else at
        if at == place:
            return True
        at = at.parent
    return False


def _constant(value: int, width: int) -> ir.Value:
    from iree.compiler import ir

    type_ = ir.IntegerType.get_signless(width)
    return ir.Operation.create(
        "arith.constant", results=[type_], attributes={"value": ir.IntegerAttr.get(type_, value)}
    ).result


def _as_i64(value: ir.Value) -> ir.Value:
    from iree.compiler import ir

    wide = ir.IntegerType.get_signless(64)
    if value.type == wide:
        return value
    name = "arith.index_cast" if isinstance(value.type, ir.IndexType) else "arith.extui"
    return ir.Operation.create(name, results=[wide], operands=[value]).result


def _call(number: int, position: int, value: ir.Value) -> None:
    from iree.compiler import ir

    ir.Operation.create(
        "util.call",
        operands=[_constant(number, 32), _constant(position, 32), value],
        attributes={"callee": ir.FlatSymbolRefAttr.get(f"{RECORDER}.note")},
    )


@dataclass(slots=True)
class Recorder:
    """Records the values of the first launch at each place that does any work."""

    deadline: float
    calls: int = 0
    rows: dict[int, list[dict[int, int]]] = field(default_factory=dict)

    def note(self, number: int, position: int, value: int) -> None:
        """Record one value. Raises `RuntimeError` to end a run that takes too long."""
        if position < 0:
            self.calls += 1
            if self.calls > CALL_LIMIT or time.monotonic() > self.deadline:
                raise RuntimeError("the run takes too long")
            self.rows.setdefault(number, []).append({})
            del self.rows[number][1:-1]  # the first launch, which is being recorded
        else:
            self.rows[number][-1][position] = value

    def launches(self) -> dict[int, tuple[int, ...]]:
        """Return the values of each place, in order."""
        found = {}
        for number, rows in self.rows.items():
            if rows[0]:
                found[number] = tuple(rows[0][position] for position in sorted(rows[0]))
        return found


def record_launches(
    *, module: bytes, device: str, signatures: Mapping[str, tuple[str, ...]], progress: Progress = silent
) -> dict[int, tuple[int, ...]]:
    """Run all functions of a module that `insert_calls` changed; return the values of each launch that was met.

    Raises `DeviceError` if the module cannot be loaded.
    """
    from ..device import Session

    recorder = Recorder(deadline=time.monotonic() + SECONDS_LIMIT)
    with Session(module, device=device, imports={RECORDER: {"note": ("0iiI_v", recorder.note)}}) as session:
        for integer in INTEGERS:
            for function in session.functions:
                try:
                    inputs = draw_inputs(function.name, input_types(function, signatures), seed=0)
                    session.call(function.name, [_with_integers(array, integer) for array in inputs])
                except (SubstituteError, OverflowError):
                    continue  # launches before a failure are known
    return recorder.launches()


def _with_integers(array: np.ndarray[Any, Any], value: int | None) -> np.ndarray[Any, Any]:
    if value is None or array.dtype.kind not in "iu":
        return array
    return np.full_like(array, value)
