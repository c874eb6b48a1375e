"""Modules in which every dispatch can be launched separately, on buffers that the caller lays out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..model.dispatch import Dispatch
from ..read.module import children, symbol_name
from ..rewrite.materialize import create
from .launch import IN_FLIGHT

if TYPE_CHECKING:
    from iree.compiler import ir

AFFINITY = "#hal.device.affinity<@{device}>"


def isolate_dispatches(module: ir.Operation, dispatches: Mapping[str, Dispatch], *, in_flight: bool = True) -> None:
    """Replaces the host program of a module at `executable-sources` by functions that launch one dispatch each.

    `dispatches` gives the functions' names; executables of other dispatches are removed. See `add_launches`.
    """
    wanted = {d.executable for d in dispatches.values()}
    choices = _choices(module)
    device = _remove_host_program(module, wanted, _backends(dispatches))
    _append_launches(module, dispatches, device, choices, in_flight)


def add_launches(module: ir.Operation, dispatches: Mapping[str, Dispatch], *, in_flight: bool = True) -> None:
    """Adds functions that launch one dispatch each to a module at `executable-sources`, whose host program stays.

    A function takes, for each binding, a `!hal.buffer`, a byte offset and a byte length, then the push constants, then
    the workload, all integers as i64. Another one, whose name ends in `IN_FLIGHT`, takes all of it twice and launches
    two grids; without `in_flight` it is left out.
    """
    _append_launches(module, dispatches, _device(module, _backends(dispatches)), _choices(module), in_flight)


def reverse_workgroups(module: ir.Operation) -> None:
    """Let the workgroups of kernels that are called out to run in reverse order: each does the work of its opposite."""
    from iree.compiler import ir

    asked: list[ir.Operation] = []

    def look(op: ir.Operation) -> ir.WalkResult:
        if op.name == "hal.interface.workgroup.id":
            asked.append(op.operation)
        return ir.WalkResult.ADVANCE

    module.walk(look)
    index = ir.IndexType.get(module.context)
    for op in asked:
        dimension = {"dimension": op.attributes["dimension"]}
        with module.context, ir.Location.unknown(), ir.InsertionPoint(op):
            one = create("arith.constant", [], [index], {"value": ir.IntegerAttr.get(index, 1)})
            count = create("hal.interface.workgroup.count", [], [index], dimension)
            own = create("hal.interface.workgroup.id", [], [index], dimension)
            last = create("arith.subi", [count, one], [index])
            op.result.replace_all_uses_with(create("arith.subi", [last, own], [index]))
        op.erase()


def _append_launches(
    module: ir.Operation,
    dispatches: Mapping[str, Dispatch],
    device: str,
    choices: Mapping[str, ir.Attribute],
    in_flight: bool,
) -> None:
    from iree.compiler import ir

    body = module.regions[0].blocks[0]
    with module.context, ir.Location.unknown():
        for name, dispatch in dispatches.items():
            # parsed by itself, where symbols of the module need not be known yet
            for grids in (1, 2) if in_flight else (1,):
                function = ir.Operation.parse(_function(name, dispatch, device, grids=grids)).operation
                body.append(function)
                _choose(function, choices)


def _choices(module: ir.Operation) -> dict[str, ir.Attribute]:
    """For each dispatch that the host program launches: all variants that it chooses from."""
    found: dict[str, ir.Attribute] = {}
    for op in walk(module):
        if op.name == "stream.cmd.dispatch":
            symbols = op.attributes["entry_points"]
            for symbol in symbols:
                found.setdefault(str(symbol), symbols)
    return found


def _choose(function: ir.Operation, choices: Mapping[str, ir.Attribute]) -> None:
    """Lets a function's launches choose as the host program does."""
    for op in walk(function):
        if op.name == "stream.cmd.dispatch":
            symbols = op.attributes["entry_points"]
            op.attributes["entry_points"] = choices.get(str(symbols[0]), symbols)


def walk(op: ir.Operation) -> Iterator[ir.Operation]:
    """All operations of a host program, in order, without what is inside of executables."""
    for inner in children(op):
        yield inner
        if inner.name != "hal.executable":
            yield from walk(inner)


def _backends(dispatches: Mapping[str, Dispatch]) -> set[str]:
    return {d.target.backend for d in dispatches.values()}


def _device(module: ir.Operation, backends: set[str]) -> str:
    """The name of the first device that one of the backends is for, else of the first; empty if there is none."""
    devices: list[tuple[bool, str]] = []
    for op in children(module):
        if op.name == "util.global" and str(op.attributes["type"]) == "!hal.device":
            target = str(op.attributes["initial_value"]) if "initial_value" in op.attributes else ""
            devices.append((any(f'target<"{backend}"' in target for backend in backends), symbol_name(op)))
    return next((name for fits, name in devices if fits), devices[0][1] if devices else "")


def _remove_host_program(module: ir.Operation, wanted: set[str], backends: set[str]) -> str:
    """Leaves the wanted executables and the devices; the name of the device for the backends."""
    for op in list(children(module)):
        if op.name == "util.global" and str(op.attributes["type"]) == "!hal.device":
            continue
        if op.name not in ("hal.executable", "hal.executable.source") or symbol_name(op) not in wanted:
            op.erase()
    return _device(module, backends)


def _function(name: str, dispatch: Dispatch, device: str, *, grids: int) -> str:
    arguments = [a for g in range(grids) for a in _arguments(dispatch, g)]
    name += IN_FLIGHT if grids > 1 else ""
    on = f"on({AFFINITY.format(device=_symbol(device))})"
    lines = [f"util.func public @{name}({', '.join(arguments)}) -> !hal.buffer {{"]
    for g in range(grids):
        lines += _decoded(dispatch, g, on)
    captured = ", ".join(
        f"%r{g}_{b} as %a{g}_{b}: !stream.resource<external>{{%s{g}_{b}}}"
        for g in range(grids)
        for b in range(len(dispatch.layout.bindings))
    )
    launches = "\n".join(_launch(dispatch, g) for g in range(grids))
    if grids > 1:
        launches = f"stream.cmd.concurrent {{\n{launches}\n}}"
    lines += [
        f"%done = stream.cmd.execute {on} with({captured}) {{",
        launches,
        "} => !stream.timepoint",
        "%ready = stream.timepoint.await %done => %r0_0 : !stream.resource<external>{%s0_0}",
        f"%out = stream.tensor.export {on} %ready : tensor<?xi8>{{%s0_0}} in "
        "!stream.resource<external>{%s0_0} -> !hal.buffer",
        "util.return %out : !hal.buffer",
        "}",
    ]
    return "\n".join(lines)


def _arguments(dispatch: Dispatch, g: int) -> Iterator[str]:
    for b in range(len(dispatch.layout.bindings)):
        yield f"%b{g}_{b}: !hal.buffer"
        yield f"%o{g}_{b}: i64"
        yield f"%l{g}_{b}: i64"
    for c in range(dispatch.layout.constants):
        yield f"%c{g}_{c}: i64"
    for w in range(len(dispatch.workload)):
        yield f"%w{g}_{w}: i64"


def _decoded(dispatch: Dispatch, g: int, on: str) -> Iterator[str]:
    for b in range(len(dispatch.layout.bindings)):
        at = f"{g}_{b}"
        yield f"%s{at} = hal.buffer.length<%b{at} : !hal.buffer> : index"
        yield (
            f"%r{at} = stream.tensor.import {on} %b{at} : !hal.buffer -> tensor<?xi8>{{%s{at}}} "
            f"in !stream.resource<external>{{%s{at}}}"
        )
        yield f"%oi{at} = arith.index_cast %o{at} : i64 to index"
        yield f"%li{at} = arith.index_cast %l{at} : i64 to index"
    for c in range(dispatch.layout.constants):
        yield f"%ci{g}_{c} = arith.trunci %c{g}_{c} : i64 to i32"
    for w in range(len(dispatch.workload)):
        yield f"%wi{g}_{w} = arith.index_cast %w{g}_{w} : i64 to index"


def _launch(dispatch: Dispatch, g: int) -> str:
    names = (dispatch.executable, dispatch.variant, dispatch.name)
    target = "::".join(f"@{_symbol(name)}" for name in names)
    workload = ", ".join(f"%wi{g}_{w}" for w in range(len(dispatch.workload)))
    constants = ", ".join(f"%ci{g}_{c}" for c in range(dispatch.layout.constants))
    types = ", ".join(["i32"] * dispatch.layout.constants)
    bindings = ",\n".join(
        f"{'ro' if read_only(flags) else 'rw'} %a{g}_{b}[%oi{g}_{b} for %li{g}_{b}] "
        f": !stream.resource<external>{{%s{g}_{b}}}"
        for b, flags in enumerate(dispatch.layout.bindings)
    )
    return (
        f"stream.cmd.dispatch {target}{f'[{workload}]' if workload else ''}"
        f"{f'({constants} : {types})' if constants else ''} {{\n{bindings}\n}}"
    )


def read_only(flags: str) -> bool:
    """True if a binding with these flags of the pipeline layout is only read."""
    return "ReadOnly" in flags


def _symbol(name: str) -> str:
    """A symbol's name as MLIR spells it."""
    plain = name.replace("_", "").replace("$", "").replace(".", "").isalnum() and name.isascii()
    if plain and not name[0].isdigit():
        return name
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:02X}" for b in name.encode()) + '"'
