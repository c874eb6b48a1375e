"""Choices inside one variant: exports of a call-out backend, each with a condition and a fallback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..read.module import children, symbol_name
from .callout import replace_body
from .choice import Choice
from .final import put_final_body
from .geometry import add_condition, set_workgroup_count, set_workgroup_size
from .linking import order_exports, ordinal
from .objects import add_object

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site

FALLBACK_SUFFIX = "_iree"
"""Suffix of the export of IREE's own code if it stays in the variant."""


def put_inside(site: Site, choices: Sequence[Choice], folder: Path | None) -> None:
    """Make the export try the choices in turn at each launch; IREE's own code is the last, unless one is total.

    The executable holds all of it, and can therefore be linked with others, and be compiled alone.
    """
    name = site.dispatch.name
    names = [name, *(f"{name}_or_{number}" for number in range(1, len(choices)))]
    if not choices[-1].total:
        names.append(name + FALLBACK_SUFFIX)
    sites = [site]
    for other in names[1:]:
        sites.append(_copy(site, sites[-1], other))
    for number, choice in enumerate(choices):
        one = sites[number]
        if number + 1 < len(names):
            add_condition(one.export, site.dispatch, choice.gate, names[number + 1])
        if not put_final_body(one, choice.request, choice.payload):
            replace_body(one, choice.request, choice.payload)
        if choice.payload.workgroup_size is not None:
            set_workgroup_size(one.export, choice.payload.workgroup_size, choice.payload.shared_memory_bytes)
        if choice.payload.workgroup_count is not None:
            set_workgroup_count(one.export, site.dispatch, choice.payload.workgroup_count)
        add_object(site.variant, choice.payload, folder)
    order_exports(site.variant)


def _copy(site: Site, after: Site, name: str) -> Site:
    """Append a copy of the export with its original body."""
    from iree.compiler import ir

    assert site.function is not None
    assert after.function is not None
    export = site.export.clone(ip=ir.InsertionPoint.after(after.export)).operation
    export.attributes["sym_name"] = ir.StringAttr.get(name)
    of_type = ir.IntegerAttr(site.export.attributes["ordinal"]).type
    export.attributes["ordinal"] = ir.IntegerAttr.get(of_type, _next_ordinal(site.variant, name))
    function = site.function.clone(ip=ir.InsertionPoint.after(after.function)).operation
    function.attributes["sym_name"] = ir.StringAttr.get(name)
    return replace(site, export=export, function=function)


def _next_ordinal(variant: ir.Operation, new: str) -> int:
    exports = [op for op in children(variant) if op.name == "hal.executable.export" and symbol_name(op) != new]
    return max(map(ordinal, exports)) + 1
