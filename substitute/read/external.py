"""Exports whose code the program provides: they can be neither read nor replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iree.compiler import ir

KIND = "external"
"""Kind of a dispatch whose code is external and whose computation is therefore unknown."""

_PATH = re.compile(r'path = "([^"]*)"')


def external_reason(variant: ir.Operation, function: ir.Operation | None) -> str:
    """Return why this export's code is provided by the program, for messages; empty if there is no sign of that."""
    objects = f"an object that the program brings along ({_names(variant)})" if "objects" in variant.attributes else ""
    if function is not None:
        called = ", ".join(dict.fromkeys(_imported(function)))
        return f"its body calls {called} of {objects or 'something that is linked to it'}" if called else ""
    if objects:
        return f"its code is {objects}"
    inner = any(op.operation.name == "builtin.module" for block in variant.regions[0].blocks for op in block.operations)
    return "its code is in its final form already" if inner else "it has neither a body nor an object"


def _names(variant: ir.Operation) -> str:
    """Return the objects' names without their folders; those embedded in the program have none."""
    names = [path.rpartition("/")[2] for path in _PATH.findall(_head(str(variant.attributes["objects"])))]
    return ", ".join(dict.fromkeys(names)) or "embedded"


def _head(text: str) -> str:
    """Return the searchable start of an object: its data may be megabytes of text."""
    return text if len(text) < 1 << 16 else text[: 1 << 16]


def _imported(function: ir.Operation) -> Iterator[str]:
    """Yield the external functions that it calls."""
    from iree.compiler import ir

    module = function.parent
    assert module is not None
    declared = {
        ir.StringAttr(op.attributes["sym_name"]).value
        for block in module.regions[0].blocks
        for op in block.operations
        if op.operation.name == "func.func" and "hal.import.static" in op.operation.attributes
    }
    if declared:
        yield from _calls(function, declared)


def _calls(op: ir.Operation, declared: set[str]) -> Iterator[str]:
    from iree.compiler import ir

    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                if inner.operation.name == "func.call":
                    name = ir.FlatSymbolRefAttr(inner.operation.attributes["callee"]).value
                    if name in declared:
                        yield str(name)
                else:
                    yield from _calls(inner.operation, declared)
