"""The host program around the executables: its dispatches, and the names that they refer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..read.module import children, symbol_name

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site

_EXECUTABLES = ("hal.executable", "hal.executable.source")
Reference = tuple[str, str, str]
"""Executable, variant, export."""


def has_host(module: ir.Operation) -> bool:
    """Return True if the module holds more than executables; the filter gets a single executable."""
    return any(op.name not in _EXECUTABLES for op in children(module))


class HostProgram:
    """A module's dispatches, found once and kept up to date while executables are split and added."""

    def __init__(self, module: ir.Operation) -> None:
        self.module = module
        self._names = {symbol_name(op) for op in children(module) if op.name in _EXECUTABLES}
        self._dispatches: dict[str, list[ir.Operation]] = {}
        self.moved: dict[tuple[str, str], ir.Operation] = {}
        """Executables that exports (executable, export) were moved to."""
        for op in children(module):
            if op.name not in _EXECUTABLES:
                self._index(op)

    def _index(self, op: ir.Operation) -> None:
        for inner in children(op):
            if inner.name == "stream.cmd.dispatch":
                for executable in {reference[0] for reference in list_references(inner)}:
                    self._dispatches.setdefault(executable, []).append(inner)
            else:
                self._index(inner)

    def dispatches(self, executable: str, export: str) -> list[ir.Operation]:
        """Return every `stream.cmd.dispatch` of an export, in whatever variant."""
        found = self._dispatches.get(executable, [])
        return [op for op in found if any(r[0] == executable and r[2] == export for r in list_references(op))]

    def redirect(self, dispatch: ir.Operation, executable: str, named: Sequence[Reference]) -> None:
        """Make a dispatch of `executable` try these exports, in this order."""
        self._dispatches[executable].remove(dispatch)
        set_references(dispatch, named)
        self._dispatches.setdefault(named[0][0], []).append(dispatch)

    def copy_before(self, dispatch: ir.Operation, named: Sequence[Reference]) -> None:
        """Insert a copy of a dispatch before it, with the same operands, that tries these exports."""
        from iree.compiler import ir

        copy = dispatch.clone(ip=ir.InsertionPoint(dispatch)).operation
        set_references(copy, named)
        self._dispatches.setdefault(named[0][0], []).append(copy)

    def where_now(self, site: Site) -> Site:
        """Return the site, found again if its export was moved to another executable."""
        moved = self.moved.get((site.dispatch.executable, site.dispatch.name))
        return site if moved is None else site_in(moved, site)

    def unique_name(self, name: str) -> str:
        """Return a name that no executable has, and reserve it."""
        unique, number = name, 1
        while unique in self._names:
            unique, number = f"{name}_{number}", number + 1
        self._names.add(unique)
        return unique


def site_in(executable: ir.Operation, site: Site) -> Site:
    """Return the same site in a copy of its executable."""
    dispatch = site.dispatch
    variant = next(v for v in children(executable) if "target" in v.attributes and symbol_name(v) == dispatch.variant)
    inner = [op for module in children(variant) if module.name == "builtin.module" for op in children(module)]
    named = [op for op in (*children(variant), *inner) if "sym_name" in op.attributes]
    found = {op.name: op for op in named if symbol_name(op) == dispatch.name}
    return replace(
        site,
        executable=executable,
        variant=variant,
        export=found["hal.executable.export"],
        function=found.get("func.func"),
    )


def list_references(dispatch: ir.Operation) -> list[Reference]:
    """Return the exports that a dispatch tries, in order."""
    from iree.compiler import ir

    found = [ir.SymbolRefAttr(a).value for a in ir.ArrayAttr(dispatch.attributes["entry_points"])]
    return [(str(path[0]), str(path[1]), str(path[2])) for path in found if len(path) == 3]


def set_references(dispatch: ir.Operation, named: Sequence[Reference]) -> None:
    """Set the exports that a dispatch tries; the first whose variant the device accepts is launched."""
    from iree.compiler import ir

    dispatch.attributes["entry_points"] = ir.ArrayAttr.get([ir.SymbolRefAttr.get(list(path)) for path in named])
