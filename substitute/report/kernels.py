"""Kernels of a catalog: as a list, one in detail, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..model.kernel import Kernel
from ..payload.calls import describe_operands, describe_strides
from .tables import DIM, NAME, NARROW, make_table, stack_texts
from .text import format_backends, format_operand_axes

UNSTATED = "not stated in kernel.toml"


def kernels_table(kernels: Sequence[Kernel], *, width: int | None) -> RenderableType:
    """Return the catalog."""
    narrow = width is not None and width < NARROW
    table = make_table(width, leading=1)
    table.add_column("kernel", overflow="fold", ratio=1)
    table.add_column("backend: payload", overflow="fold", ratio=1)
    table.add_column("operands, slots, constraints", overflow="fold", ratio=1)
    if not narrow:
        table.add_column("summary", overflow="fold", ratio=1)
    for kernel in kernels:
        name, summary = Text(kernel.name, style=NAME), Text(kernel.summary)
        payload = kernel.payload.kind.name + (" (raw)" if kernel.abi == "raw" else "")
        table.add_row(
            stack_texts([name, summary], width) if narrow else name,
            Text(f"{format_backends(kernel)}: {payload}"),
            stack_texts(_offers(kernel), width),
            *([] if narrow else [summary]),
        )
    return Group(table, Text(f"{len(kernels)} kernel{'s' * (len(kernels) != 1)}"))


def _offers(kernel: Kernel) -> list[Text]:
    offers = [Text(format_operand_axes(kernel))]
    if kernel.kinds:
        offers.append(Text(f"dispatches of kind {', '.join(kernel.kinds)}"))
    if kernel.dispatches:
        offers.append(Text(f"dispatches named {' or '.join(kernel.dispatches)}"))
    if kernel.slots:
        offers.append(Text("slots: " + ", ".join(sorted(kernel.slots)), style=DIM))
    conditions = [*(c.text for c in kernel.constraints), *(c.text for c in kernel.conditions)]
    if conditions:
        offers.append(Text("where " + ", ".join(conditions), style=DIM))
    return offers


def kernel_details(kernel: Kernel, *, width: int | None) -> RenderableType:
    """Return everything that a manifest specifies of one kernel, and how its code is called."""
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True, style=DIM if width is not None else "")
    facts.add_column(overflow="fold")
    for name, values in _facts(kernel):
        for number, value in enumerate(values):
            facts.add_row("" if number else name, Text(value))
    title = Text(kernel.name, style=NAME)
    title.append(f"  {kernel.summary}" if kernel.summary else "", style="not bold")
    call = Text("\n".join(f"  {line}" for line in kernel.payload.kind.describe_call(kernel).splitlines()))
    return Group(title, facts, Text(f"called as (kind {kernel.payload.kind.name}, {kernel.abi} ABI):"), call)


def _facts(kernel: Kernel) -> list[tuple[str, list[str]]]:
    launch = kernel.launch
    geometry = []
    if launch.workgroup_size is not None:
        geometry.append(f"workgroups of {'×'.join(map(str, launch.workgroup_size))}")
    if launch.workgroup_count is not None:
        geometry.append(f"as many as [{', '.join(launch.workgroup_count)}]")
    if launch.shared_memory_bytes:
        geometry.append(f"{launch.shared_memory_bytes} bytes of shared memory")
    if not geometry and kernel.payload.kind.launch != "manifest":
        geometry = [f"decided by {'the generator' if kernel.payload.kind.launch == 'code' else 'IREE'}"]
    facts = [
        ("folder", [f"{kernel.folder}{' (built in)' if kernel.builtin else ''}"]),
        ("code", [f"{kernel.payload.path.name}{f', {kernel.payload.entry}' if kernel.payload.entry else ''}"]),
        ("licence", [kernel.license or UNSTATED]),
        ("authors", list(kernel.authors)),
        ("targets", format_backends(kernel).split(", ") if not _has_needs(kernel) else [format_backends(kernel)]),
        ("forms", [f"@{form.name}" for form in kernel.forms]),
        ("types", [f"{name} = {type_}" for name, type_ in kernel.types]),
        ("operands", [_operand(*pair) for pair in zip(kernel.operands, describe_operands(kernel), strict=True)]),
        ("parameters", [str(parameter) for parameter in kernel.parameters]),
        ("groups", [f"{axis} may be any number of loops" for axis in sorted(kernel.groups)]),
        ("slots", [", ".join(sorted(kernel.slots)) or "none: only the operation without fused work"]),
        ("where", [*(c.text for c in kernel.constraints), *(c.text for c in kernel.conditions)]),
        ("dispatches", [*(f"of kind {k}" for k in kernel.kinds), *(f"named {d}" for d in kernel.dispatches)]),
        ("alignment", [f"{kernel.alignment} bytes"] if kernel.alignment > 1 else []),
        ("laws", ["exact: only spellings with the same bits"] if kernel.laws == "exact" else []),
        ("keeps", [", ".join(sorted(kernel.keeps))] if kernel.keeps else []),
        ("not repeatable", [kernel.not_repeatable] if kernel.not_repeatable else []),
        ("launch", [", ".join(geometry)] if geometry else []),
        ("linked", [str(path) for path in kernel.payload.objects]),
    ]
    return [(name, values) for name, values in facts if values]


def _has_needs(kernel: Kernel) -> bool:
    return any(t.architectures or t.features or t.config or t.device for t in kernel.targets)


def _operand(spec: Any, facts: tuple[str, bool]) -> str:
    element, is_result = facts
    strides = f", {describe_strides(spec)}" if spec.strided else ""
    words = [f"{spec.name}[{', '.join(spec.axes)}]", element or "any type"]
    return f"{' '.join(words)}, {'result' if is_result else 'argument'}{strides}"


def kernel_to_json(kernel: Kernel, *, details: bool = False) -> dict[str, Any]:
    """Return one kernel; with `details` also how its code is called, and facts that need its definition."""
    value: dict[str, Any] = {
        "name": kernel.name,
        "summary": kernel.summary,
        "license": kernel.license or None,
        "authors": list(kernel.authors),
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
    if details:
        for operand, (element, is_result) in zip(value["operands"], describe_operands(kernel), strict=True):
            operand |= {"type": element or None, "result": is_result}
        value["file"] = str(kernel.payload.path)
        value["entry"] = kernel.payload.entry
        value["forms"] = [form.name for form in kernel.forms]
        value["call"] = kernel.payload.kind.describe_call(kernel)
    return value
