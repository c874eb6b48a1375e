"""Reader of all executables of a module at the `executable-sources` phase."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..model.dispatch import Dispatch, Program
from ..model.equalities import Equalities
from ..model.index import Index
from .attributes import read_layout, read_target
from .body import BodyReader
from .call_sites import Exported, equal_constants
from .external import KIND as EXTERNAL
from .external import external_reason
from .kind import kind_of
from .unread import Unread

if TYPE_CHECKING:
    from iree.compiler import ir


@dataclass(frozen=True, slots=True)
class Site:
    """A dispatch and the operations that hold it."""

    dispatch: Dispatch
    executable: ir.Operation
    variant: ir.Operation
    export: ir.Operation
    function: ir.Operation | None


def read_module(module: ir.Operation) -> list[Site]:
    """Return every export of every variant of every executable, in order.

    Raises `ModelError` for a program that is assigned to a device which nothing declares.
    """
    for op in children(module):
        if op.name == "stream.executable":  # which IREE leaves there if no target is given
            raise _without_device(module, symbol_name(op))
    equal = equal_constants(module)
    return [
        site
        for executable in children(module)
        if executable.name in ("hal.executable", "hal.executable.source")
        for site in read_executable(executable, equal if _is_private(executable) else {})
    ]


def _is_private(op: ir.Operation) -> bool:
    """Return True for an operation that no other module can name, so that all its uses are visible."""
    return "private" in str(op.attributes["sym_visibility"]) if "sym_visibility" in op.attributes else False


def _without_device(module: ir.Operation, executable: str) -> ModelError:
    promises = re.findall(r"#hal\.device\.promise<@[^>]*>", module.get_asm(large_elements_limit=4))
    return ModelError(
        "the model is for a device that is not declared",
        where=executable,
        expected="a flag that declares it: --iree-hal-target-device=NAME=local",
        found=", ".join(dict.fromkeys(promises)) or "no target",
        next_step="iree-compile says that it references a promised device that was not declared",
    )


def children(op: ir.Operation) -> Iterator[ir.Operation]:
    """Yield the operations directly inside."""
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner.operation


def symbol_name(op: ir.Operation) -> str:
    """Return the name that an operation defines."""
    from iree.compiler import ir

    return str(ir.StringAttr(op.attributes["sym_name"]).value)


def read_executable(
    executable: ir.Operation, equal: Mapping[Exported, Equalities] = MappingProxyType({})
) -> Iterator[Site]:
    """Yield every export of every variant of one executable; `equal` has the equalities at its call sites."""
    for variant in children(executable):
        if variant.name == "hal.executable.variant":
            functions = _functions(variant)
            for export in children(variant):
                if export.name == "hal.executable.export":
                    function = functions.get(symbol_name(export))
                    known = equal.get((symbol_name(executable), symbol_name(export)))
                    dispatch = read_dispatch(executable, variant, export, function, known)
                    yield Site(dispatch, executable, variant, export, function)


def find_sites(module: ir.Operation, known: Mapping[tuple[str, str, str], Dispatch]) -> Iterator[Site]:
    """Yield the sites of dispatches that were read before, by executable, variant and export, in a copy of a module."""
    for executable in children(module):
        if executable.name not in ("hal.executable", "hal.executable.source"):
            continue
        for variant in children(executable):
            if variant.name != "hal.executable.variant":
                continue
            functions = _functions(variant)
            for export in children(variant):
                if export.name == "hal.executable.export":
                    key = symbol_name(executable), symbol_name(variant), symbol_name(export)
                    if key in known:
                        yield Site(known[key], executable, variant, export, functions.get(key[2]))


def _functions(variant: ir.Operation) -> dict[str, ir.Operation]:
    return {
        symbol_name(function): function
        for inner in children(variant)
        if inner.name == "builtin.module"
        for function in children(inner)
        if function.name == "func.func"
    }


def read_dispatch(
    executable: ir.Operation,
    variant: ir.Operation,
    export: ir.Operation,
    function: ir.Operation | None,
    equal: Equalities | None = None,
) -> Dispatch:
    """Return one export with its computation, or the reason why its body could not be read."""
    program: Program | None = None
    reason = external = external_reason(variant, function)
    reader = BodyReader()
    if function is not None and not external:
        try:
            blocks = list(function.regions[0].blocks)
            if len(blocks) != 1:
                raise Unread("a body with control flow")
            known = Equalities(equal.pairs.items() if equal else ())
            while True:
                reader = BodyReader(known)
                reader.read_block(blocks[0])
                if not any([known.add(a, b) for a, b in reader.ties]):
                    break  # read again: equal sizes get one expression, and known ones are constants
            program = reader.program()
        except Unread as error:
            reason = f"it has {error}"
        except Exception as error:  # IREE's own code stays there, and the other dispatches are read
            reason = f"the reader failed, which is a bug in iree-substitute: {type(error).__name__}: {error}"
    return Dispatch(
        executable=symbol_name(executable),
        variant=symbol_name(variant),
        name=symbol_name(export),
        target=read_target(variant.attributes["target"]),
        layout=read_layout(export.attributes["layout"]),
        workload=_workload(export, reader),
        program=program,
        reason=reason,
        operations=tuple(reader.operations),
        kind=kind_of(program) if program else EXTERNAL if external else "unread",
        siblings=sum(op.name == "hal.executable.export" for op in children(variant)) - 1,
        has_body=function is not None,
    )


def _workload(export: ir.Operation, reader: BodyReader) -> tuple[Index | None, ...]:
    blocks = list(export.regions[0].blocks) if len(export.regions) else []
    count = len(blocks[0].arguments) - 1 if blocks else 0
    return tuple(reader.indices.workload.get(i) for i in range(count))
