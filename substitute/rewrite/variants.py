"""Choices among external objects: variants for those that depend on the device, separate dispatches for those on sizes.

A variant is chosen once for each device, by its condition, and an export's `fallback` cannot name another variant. So
choices that depend on the sizes of a launch become separate dispatches before the ordinary one. All of them are
recorded; each but one has no workgroups, and the runtime drops it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PlanError
from ..read.module import children, symbol_name
from .choice import Choice, Gate, all_of, none_of
from .final import put_final_body
from .geometry import add_variant_condition, gate_workgroup_count, set_workgroup_count, set_workgroup_size
from .host import HostProgram, Reference, list_references, site_in
from .objects import add_object

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site


def put_outside(site: Site, choices: Sequence[Choice], host: HostProgram | None, folder: Path | None) -> None:
    """Add a variant to the executable for each choice that depends on the device, before IREE's own.

    Without `host` there can only be one export and one total choice. Raises `PlanError`.
    """
    exports = sum(op.name == "hal.executable.export" for op in children(site.variant))
    if len(choices) == 1 and choices[0].total and exports == 1:
        make_external(site, choices[0], folder)
        return
    if host is None:
        raise PlanError(
            f"{site.dispatch.name} cannot get a choice of kernels",
            where=site.dispatch.executable,
            expected="the host program, in which the dispatch names its variants",
            found="one executable alone",
            next_step="use `iree-substitute compile`, or a kernel without `device` and run-time constraints",
        )
    if exports > 1:
        site = _take_apart(site, host)
    gates = _gates(choices)
    for choice, gate in zip(choices, gates, strict=True):
        if choice.run_time is not True:
            _dispatch_before(site, choice, gate, host, folder)
    sized = [gate for choice, gate in zip(choices, gates, strict=True) if choice.run_time is not True]
    _by_device(site, [c for c in choices if c.run_time is True], none_of(sized), host, folder)


def make_external(site: Site, choice: Choice, folder: Path | None) -> None:
    """Make a variant external: it has no inner module, only its object."""
    if not put_final_body(site, choice.request, choice.payload):
        _remove_body(site.variant)
    if "objects" in site.variant.attributes:
        del site.variant.attributes["objects"]  # from a program that provided an external executable
    _set_launch(site.export, site, choice)
    add_object(site.variant, choice.payload, folder)


def _gates(choices: Sequence[Choice]) -> list[Gate]:
    """Return the condition of each choice: it fits, and no earlier one does."""
    return [all_of((none_of([c.gate for c in choices[:at]]), choice.gate)) for at, choice in enumerate(choices)]


def _by_device(site: Site, choices: Sequence[Choice], gate: Gate, host: HostProgram, folder: Path | None) -> None:
    """Insert variants in the order of the choices; the last choice replaces IREE's own if it is total."""
    executable, own = symbol_name(site.executable), symbol_name(site.variant)
    added: list[str] = []
    for choice in choices:
        if choice.total:
            make_external(site, choice, folder)
            break
        variant = _insert_variant(site, choice, folder)
        added.append(symbol_name(variant))
        gate_workgroup_count(_export_of(variant, site), site.dispatch, gate)
    gate_workgroup_count(site.export, site.dispatch, gate)
    for dispatch in host.dispatches(executable, site.dispatch.name):
        named: list[Reference] = []
        for reference in list_references(dispatch):
            if reference == (executable, own, site.dispatch.name):
                named += [(executable, variant, site.dispatch.name) for variant in added]
            named.append(reference)
        host.redirect(dispatch, executable, named)


def _dispatch_before(site: Site, choice: Choice, gate: Gate, host: HostProgram, folder: Path | None) -> None:
    """Copy the executable for one choice, dispatched before the original wherever that is dispatched."""
    from iree.compiler import ir

    original = symbol_name(site.executable)
    copy = site.executable.clone(ip=ir.InsertionPoint(site.executable)).operation
    copy.attributes["sym_name"] = ir.StringAttr.get(host.unique_name(f"{original}_{_symbol(choice)}"))
    inner = site_in(copy, site)
    others = [v for v in _variants(copy) if v != inner.variant]
    if choice.device or others:
        # another device has to load it too, but never launches it
        for variant in (inner.variant, *others):
            for export in children(variant):
                if export.name == "hal.executable.export":
                    gate_workgroup_count(export, site.dispatch, False)
        variant = _insert_variant(inner, choice, folder)
        if not choice.device:
            inner.variant.erase()
    else:
        make_external(inner, choice, folder)
        variant = inner.variant
    gate_workgroup_count(_export_of(variant, site), site.dispatch, gate)
    named = [(symbol_name(copy), symbol_name(v), site.dispatch.name) for v in _variants(copy)]
    for dispatch in host.dispatches(original, site.dispatch.name):
        host.copy_before(dispatch, named)


def _insert_variant(site: Site, choice: Choice, folder: Path | None) -> ir.Operation:
    """Create an external variant before the site's own, for the devices that pass the choice's tests."""
    from iree.compiler import ir

    variant = site.variant.clone(ip=ir.InsertionPoint(site.variant)).operation
    name = f"{symbol_name(site.variant)}_{_symbol(choice)}"
    taken = {symbol_name(v) for v in _variants(site.executable) if v != variant}
    while name in taken:
        name += "_"
    variant.attributes["sym_name"] = ir.StringAttr.get(name)
    if "objects" in variant.attributes:
        del variant.attributes["objects"]
    if choice.variant:
        text = str(variant.attributes["target"])
        variant.attributes["target"] = ir.Attribute.parse(
            re.sub(r'arch = "[^"]*"', f'arch = "{choice.variant}"', text, count=1)
        )
    _remove_body(variant)
    if choice.device:
        add_variant_condition(variant, choice.device)
    _set_launch(_export_of(variant, site), site, choice)
    add_object(variant, choice.payload, folder)
    return variant


def _take_apart(site: Site, host: HostProgram) -> Site:
    """Move the export to its own executable: an external variant is one object with one entry."""
    from iree.compiler import ir

    name = site.dispatch.name
    original = symbol_name(site.executable)
    copy = site.executable.clone(ip=ir.InsertionPoint.after(site.executable)).operation
    new = host.unique_name(f"{original}_{_plain(name)}")
    copy.attributes["sym_name"] = ir.StringAttr.get(new)
    for variant in _variants(copy):
        _keep_exports(variant, lambda export: export == name)
    for dispatch in host.dispatches(original, name):
        host.redirect(dispatch, original, [(new, v, e) for x, v, e in list_references(dispatch) if x == original])
    for variant in _variants(site.executable):
        _keep_exports(variant, lambda export: export != name)
    host.moved[original, name] = copy
    return site_in(copy, site)


def _keep_exports(variant: ir.Operation, wanted: Callable[[str], bool]) -> None:
    """Remove the other exports, with their functions."""
    removed = set()
    for op in list(children(variant)):
        if op.name == "hal.executable.export" and not wanted(symbol_name(op)):
            removed.add(symbol_name(op))
            op.erase()
    for module in list(children(variant)):
        if module.name == "builtin.module":
            for op in list(children(module)):
                if "sym_name" in op.attributes and symbol_name(op) in removed:
                    op.erase()


def _remove_body(variant: ir.Operation) -> None:
    for op in list(children(variant)):
        if op.name == "builtin.module":
            op.erase()


def _set_launch(export: ir.Operation, site: Site, choice: Choice) -> None:
    payload = choice.payload
    if payload.workgroup_size is not None:
        set_workgroup_size(export, payload.workgroup_size, payload.shared_memory_bytes)
    if payload.workgroup_count is not None:
        set_workgroup_count(export, site.dispatch, payload.workgroup_count)


def _variants(executable: ir.Operation) -> list[ir.Operation]:
    return [op for op in children(executable) if op.name == "hal.executable.variant"]


def _export_of(variant: ir.Operation, site: Site) -> ir.Operation:
    exports = [op for op in children(variant) if op.name == "hal.executable.export"]
    return next(op for op in exports if symbol_name(op) == site.dispatch.name)


def _symbol(choice: Choice) -> str:
    """Return the name of a variant or an executable for this choice."""
    return _plain("_".join(filter(None, (choice.request.substitution.kernel.name, choice.variant))))


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)
