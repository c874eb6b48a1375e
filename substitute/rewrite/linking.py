"""Limits of IREE's linker: checks of modules that it cannot link, and repairs if it is switched off."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..flags import read_flags
from ..read.attributes import read_target
from ..read.module import children

if TYPE_CHECKING:
    from iree.compiler import ir

NO_LINKING = "--iree-hal-link-executables=false"


def check_linking(module: ir.Operation, flags: Sequence[str]) -> None:
    """Raise `UsageError` if some executables are for the CPU, some variants are not, and linking is on.

    IREE 3.13 links the CPU's variants of several executables and drops the others, so that the module loads on the CPU
    only; and if the module holds an external object as well, it crashes. Source: `linkExecutablesInto` in
    `compiler/src/iree/compiler/Codegen/Utils/LinkingUtils.cpp`, and the treatment of every variant in the LLVMCPU
    linking pipeline afterwards.
    """
    if read_flags(flags).switched_off("iree-hal-link-executables"):
        return
    executables = [list(_variants(op)) for op in children(module) if op.name == "hal.executable"]
    backends = [{_backend(variant) for variant in variants} for variants in executables]
    on_cpu = sum("llvm-cpu" in found for found in backends)
    mixed = on_cpu > 1 and any(len(found) > 1 for found in backends if "llvm-cpu" in found)
    external = on_cpu and any(not _has_body(v) for variants in executables for v in variants)
    if not mixed and not external:
        return
    raise UsageError(
        "IREE cannot link executables for the CPU and for other devices",
        expected=NO_LINKING,
        found=f"variants for {', '.join(sorted(set().union(*backends)))}{' (external objects)' if external else ''}",
        next_step=f"add {NO_LINKING}: the linker would {'crash' if external else 'forget all devices but the CPU'}",
    )


def order_all_exports(module: ir.Operation) -> None:
    """Apply `order_exports` to each executable whose exports are in another order, IREE's own or the user's."""
    for executable in children(module):
        if executable.name == "hal.executable":
            for variant in _variants(executable):
                order_exports(variant)


def order_exports(variant: ir.Operation) -> None:
    """Sort exports by their ordinals.

    The workaround `ORDER_EXPORTS`; harmless where it is not needed.
    """
    exports = [op for op in children(variant) if op.name == "hal.executable.export"]
    if all("ordinal" in op.attributes for op in exports):
        for before, after in pairwise(sorted(exports, key=ordinal)):
            after.move_after(before)


def ordinal(export: ir.Operation) -> int:
    """Return an export's number in the executable."""
    from iree.compiler import ir

    return int(ir.IntegerAttr(export.attributes["ordinal"]).value)


def _variants(executable: ir.Operation) -> list[ir.Operation]:
    return [op for op in children(executable) if op.name == "hal.executable.variant"]


def _has_body(variant: ir.Operation) -> bool:
    return any(op.name == "builtin.module" for op in children(variant))


def _backend(variant: ir.Operation) -> str:
    return read_target(variant.attributes["target"]).backend
