"""A model's executables and dispatches as they are after kernels were put in, read from the IR."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from substitute.compiler import Compilation
from substitute.embed import substitute_dispatches
from substitute.frontend import plan_module, scratch_folder, worker_threads
from substitute.progress import Clock, silent
from substitute.read.module import children, symbol_name
from substitute.rewrite.host import list_references

_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge")


@dataclass(frozen=True)
class Variant:
    """One variant."""

    name: str
    architecture: str
    body: bool
    """IREE's own code, or a call-out; False for an external object."""
    asks: list[tuple[str, str, str, int]]
    """Category, key, comparison, number: what its condition asks the device."""
    gated: bool
    """The workgroup count of its first export may be zero by choice."""
    exports: list[str]


@dataclass(frozen=True)
class Executable:
    """One executable."""

    name: str
    variants: list[Variant]


@dataclass(frozen=True)
class Rewritten:
    """A module before IREE goes on."""

    executables: list[Executable]
    dispatches: list[list[tuple[str, str]]]
    """For each `stream.cmd.dispatch`, the executables and variants that it tries, in order."""


def rewritten(model: str, kernels: Sequence[Path], flags: Sequence[str]) -> Rewritten:
    """Compiles a model as far as its executables, puts the kernels in, and looks."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.mlir"
        file.write_text(model)
        with (
            worker_threads() as workers,
            scratch_folder() as scratch,
            Compilation(flags, name="model") as compilation,
        ):
            compilation.parse(file)
            compilation.run("start", "executable-sources")
            clock = Clock(silent)
            plan, sites = plan_module(compilation, clock, kernels, builtin=False, chosen=None, require=())
            substitute_dispatches(plan, sites, clock, workers, scratch)
            assert compilation.module is not None and compilation.module.verify()
            return look(compilation.module)


def look(module: Any) -> Rewritten:
    """Return the contents of a module."""
    ops = list(_walk(module))
    return Rewritten(
        executables=[
            Executable(symbol_name(op), [_variant(v) for v in children(op) if v.name == "hal.executable.variant"])
            for op in ops
            if op.name == "hal.executable"
        ],
        dispatches=[[r[:2] for r in list_references(op)] for op in ops if op.name == "stream.cmd.dispatch"],
    )


def _variant(op: Any) -> Variant:
    inner = list(children(op))
    exports = [e for e in inner if e.name == "hal.executable.export"]
    found = re.search(r'arch = "([^"]*)"', str(op.attributes["target"]))
    return Variant(
        name=symbol_name(op),
        architecture=found[1] if found else "",
        body=any(e.name == "builtin.module" for e in inner),
        asks=[question for e in inner if e.name == "hal.executable.condition" for question in _questions(e)],
        gated=any(o.name == "arith.select" for o in exports[0].regions[0].blocks[0].operations),
        exports=[symbol_name(e) for e in exports],
    )


def _questions(condition: Any) -> Iterator[tuple[str, str, str, int]]:
    ops = [op.operation for op in condition.regions[0].blocks[0].operations]
    for op in ops:
        if op.name == "arith.cmpi":
            query, number = op.operands[0].owner, op.operands[1].owner
            category, key = (str(query.attributes[name].value) for name in ("category", "key"))
            yield category, key, _PREDICATES[op.attributes["predicate"].value], number.attributes["value"].value


def _walk(op: Any) -> Iterator[Any]:
    for inner in children(op):
        yield inner
        yield from _walk(inner)
