"""`iree-substitute kernels`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import catalog_options, json_option
from .terminal import progress, show, show_json, terminal_width

if TYPE_CHECKING:
    from ..model.kernel import Kernel


@click.command("kernels")
@catalog_options
@click.option("--backend", metavar="NAME", help="Only kernels for this backend, such as llvm-cpu.")
@click.option("--check", is_flag=True, help="Also read every kernel's definition.")
@json_option
def command(kernels: tuple[Path, ...], builtin: bool, backend: str | None, check: bool, as_json: bool) -> None:
    """List the kernels that can be used."""
    from ..catalog.catalog import load_catalog, load_manifests

    if check:
        from ..read.definition import read_forms

        with progress() as report:
            report("reading definitions", None)
            found = list(load_catalog(kernels, builtin=builtin, read_forms=read_forms).kernels)
    else:
        found = sorted((m.kernel for m in load_manifests(kernels, builtin=builtin)), key=lambda k: k.name)
    if backend is not None:
        found = [k for k in found if any(t.backend == backend for t in k.targets)]
    if as_json:
        show_json({"kernels": [_as_json(kernel) for kernel in found]})
    else:
        from ..report.tables import kernels_table

        show(kernels_table(found, width=terminal_width()))


def _as_json(kernel: Kernel) -> dict[str, Any]:
    return {
        "name": kernel.name,
        "summary": kernel.summary,
        "folder": str(kernel.folder),
        "builtin": kernel.builtin,
        "abi": kernel.abi,
        "backends": list(dict.fromkeys(target.backend for target in kernel.targets)),
        "payload": kernel.payload.kind.name,
        "operands": [{"name": o.name, "axes": list(o.axes), "strided": o.strided} for o in kernel.operands],
        "parameters": [{"name": p.name, "type": p.type} for p in kernel.parameters],
        "slots": sorted(kernel.slots),
        "constraints": [constraint.text for constraint in kernel.constraints],
        "conditions": [condition.text for condition in kernel.conditions],
        "priority": kernel.priority,
    }
