"""Exports whose code the program brings along: there is nothing in them to read or to replace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iree.compiler import ir

KIND = "external"
"""What such a dispatch is, in the place of what it computes."""

_PATH = re.compile(r'path = "([^"]*)"')


def external_reason(variant: ir.Operation, function: ir.Operation | None) -> str:
    """Why this export's code is the program's own, for a person; empty if it is not, as far as can be seen."""
    objects = f"an object that the program brings along ({_names(variant)})" if "objects" in variant.attributes else ""
    if function is not None:
        called = ", ".join(dict.fromkeys(_imported(function)))
        return f"its body calls {called} of {objects or 'something that is linked to it'}" if called else ""
    if objects:
        return f"its code is {objects}"
    inner = any(op.operation.name == "builtin.module" for block in variant.regions[0].blocks for op in block.operations)
    return "its code is in its final form already" if inner else "it has neither a body nor an object"


def _names(variant: ir.Operation) -> str:
    """The objects' names without their folders; those that lie in the program itself have none."""
    names = [path.rpartition("/")[2] for path in _PATH.findall(_head(str(variant.attributes["objects"])))]
    return ", ".join(dict.fromkeys(names)) or "embedded"


def _head(text: str) -> str:
    """What can be searched: an object's data may be megabytes of text."""
    return text if len(text) < 1 << 16 else text[: 1 << 16]


def _imported(function: ir.Operation) -> Iterator[str]:
    """The functions that it calls and that a linker has to find."""
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
