"""Applies a plan to a module: the only place that changes IR."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..catalog.constraints import Condition, Logic
from ..model.plan import Payload, Request
from .callout import replace_body
from .geometry import add_condition, set_workgroup_count, set_workgroup_size

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..read.module import Site

CALL_OUT_BACKENDS = frozenset({"llvm-cpu"})
"""Where a payload is linked to a shim; elsewhere the payload is the whole variant."""

FALLBACK_SUFFIX = "_iree"


def substitute_export(
    site: Site, request: Request, payload: Payload, condition: Condition = True, *, folder: Path | None = None
) -> None:
    """Puts a verified payload in the place of one export's body.

    Where `condition` is not known to hold, IREE's own code stays in as another export, chosen at launch. Object files
    are put into `folder`, which has to stay until the module is compiled.
    """
    from iree.compiler import ir

    dispatch = site.dispatch
    with ir.Location.unknown():
        if dispatch.target.backend in CALL_OUT_BACKENDS:
            if condition is not True:
                _keep_fallback(site, condition)
            replace_body(site, request, payload)
        else:
            _remove_body(site)
        if payload.workgroup_size is not None:
            set_workgroup_size(site.export, payload.workgroup_size, payload.shared_memory_bytes)
        set_workgroup_count(site.export, dispatch, payload.workgroup_count)
        _add_object(site.variant, payload, folder)


def _remove_body(site: Site) -> None:
    """An external variant has no inner module: its object is all there is."""
    for op in list(site.variant.regions[0].blocks[0].operations):
        if op.operation.name == "builtin.module":
            op.operation.erase()


def _keep_fallback(site: Site, condition: Condition) -> None:
    """A second export with the original body, named by the first one's `fallback`."""
    from iree.compiler import ir

    assert site.function is not None
    name = site.dispatch.name + FALLBACK_SUFFIX
    export = site.export.clone(ip=ir.InsertionPoint.after(site.export)).operation
    export.attributes["sym_name"] = ir.StringAttr.get(name)
    ordinal = ir.IntegerAttr(site.export.attributes["ordinal"])
    export.attributes["ordinal"] = ir.IntegerAttr.get(ordinal.type, _next_ordinal(site.variant))
    function = site.function.clone(ip=ir.InsertionPoint.after(site.function)).operation
    function.attributes["sym_name"] = ir.StringAttr.get(name)
    add_condition(site.export, site.dispatch, condition, name)


def _next_ordinal(variant: ir.Operation) -> int:
    from iree.compiler import ir

    ordinals = [
        int(ir.IntegerAttr(op.operation.attributes["ordinal"]).value)
        for op in variant.regions[0].blocks[0].operations
        if op.operation.name == "hal.executable.export"
    ]
    return max(ordinals) + 1


def _add_object(variant: ir.Operation, payload: Payload, folder: Path | None) -> None:
    from iree.compiler import ir

    if payload.kind == "object":
        # IREE writes an object that stands in the module to a file that it then forgets to fill
        assert folder is not None
        file = folder / f"{hashlib.sha256(payload.data).hexdigest()[:16]}.o"
        file.write_bytes(payload.data)
        fields = f"path = {_quoted(str(file))}"
    else:
        suffix = {"llvm-bitcode": "bc", "spirv": "spv", "ptx": "ptx"}[payload.kind]
        fields = f"path = {_quoted(f'{payload.entry}.{suffix}')}, data = {_blob(payload.data)}"
    object_ = ir.Attribute.parse(f"#hal.executable.object<{{{fields}}}>")
    known = list(ir.ArrayAttr(variant.attributes["objects"])) if "objects" in variant.attributes else []
    variant.attributes["objects"] = ir.ArrayAttr.get([*known, object_] if object_ not in known else known)


def _quoted(text: str) -> str:
    r"""A string as MLIR reads it: `"`, `\\` and what is not printable as two hexadecimal digits."""
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:02X}" for b in text.encode())
    return f'"{"".join(plain)}"'


def _blob(data: bytes) -> str:
    return f'dense<"0x{data.hex()}"> : vector<{len(data)}xi8>'


def join(conditions: list[Condition]) -> Condition:
    """All of them."""
    unknown = [c for c in conditions if c is not True]
    if any(c is False for c in unknown):
        return False
    if not unknown:
        return True
    return unknown[0] if len(unknown) == 1 else Logic(op="and", args=tuple(unknown))
