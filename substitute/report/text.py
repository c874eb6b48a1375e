"""Formatting of numbers, shapes and names for reports."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..model.constraints import render_size
from ..model.dispatch import Dispatch, Operand, TensorType
from ..model.index import Index, leaves
from ..model.kernel import Kernel
from ..model.plan import Axis, Match

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
MAX_EXPRESSION = 40
"""Length above which an expression over push constants is not shown."""


def format_count(value: Index | None, unit: str = "") -> str:
    """Format a number with an SI prefix: `2.35 G`; `dynamic` if it depends on launch sizes, `?` if it is unknown."""
    if value is None:
        return "?"
    if not isinstance(value, int):
        return "dynamic"
    number, prefix = float(value), 0
    while number >= 999.5 and prefix < len(_PREFIXES) - 1:
        number, prefix = number / 1000, prefix + 1
    digits = f"{number:.0f}" if prefix == 0 or number >= 99.95 else f"{number:#.3g}"
    return f"{digits} {_PREFIXES[prefix]}{unit}".rstrip()


def format_tensor(value: TensorType) -> str:
    """Format a type: `64x?xf32`; an axis as its name, a size that is only known at launch as `?`."""
    sizes = [format_size(s) for s in value.shape]
    return "x".join([*sizes, value.element])


def format_size(value: Index) -> str:
    """Format a size: a number, an axis's name, or `?` for an expression over push constants."""
    if isinstance(value, int) or all(leaf.op == "symbol" for leaf in leaves(value)):
        return render_size(value)
    return "?"


def format_expression(value: Index) -> str:
    """Format an expression; `?` if it is longer than `MAX_EXPRESSION`."""
    text = render_size(value)
    return text if len(text) <= MAX_EXPRESSION else "?"


def format_signature(operands: Sequence[Operand]) -> str:
    """Format operands: `64x256xf32, 256xf32 → 64x256xf32`; one that is read and written is on both sides."""
    reads = [format_tensor(o.type) for o in operands if o.access != "writeonly"]
    writes = [format_tensor(o.type) for o in operands if o.access != "readonly"]
    return f"{', '.join(_counted(reads)) or '()'} → {', '.join(_counted(writes)) or '()'}"


def _counted(texts: Sequence[str]) -> list[str]:
    """Replace runs of equal texts by one text with the count."""
    groups = [(text, len(list(group))) for text, group in groupby(texts)]
    return [text if number == 1 else f"{text} (×{number})" for text, number in groups]


def format_operations(names: Sequence[str]) -> str:
    """Format the names of operations: `fill, matmul, generic (×2)`, without the linalg dialect's prefix."""
    return ", ".join(_counted([n.removeprefix("linalg.").removeprefix("iree_linalg_ext.") for n in names]))


def format_axes(match: Match) -> str:
    """Format the axes with their sizes, then the parameters with their values."""
    axes = [f"{axis.name} = {format_axis_size(axis)}" for axis in match.axes]
    return ", ".join([*axes, *map(str, match.parameters)])


def format_axis_size(axis: Axis) -> str:
    """Format the sizes of the loops of an axis."""
    return "·".join(format_size(s) for s in axis.sizes) or "1"


def format_target(dispatch: Dispatch) -> str:
    return ", ".join(filter(None, (dispatch.target.backend, dispatch.target.format)))


def format_operand_axes(kernel: Kernel) -> str:
    operands = [f"{o.name}[{','.join(o.axes)}]" for o in kernel.operands]
    return " ".join([*operands, *(p.name for p in kernel.parameters)])


def format_backends(kernel: Kernel) -> str:
    """Format the backends that a kernel is for, with their required features."""
    words: list[str] = []
    for target in kernel.targets:
        needs = [*target.architectures, *target.features, *(f"{k}={v}" for k, v in target.config)]
        needs += [str(test) for test in target.device]
        words.append(target.backend + (f" ({', '.join(needs)})" if needs else ""))
    return ", ".join(dict.fromkeys(words))


def find_common_prefix(dispatches: Sequence[Dispatch]) -> str:
    """Return the common prefix of all names, up to their number: `main_graph$async_dispatch_`."""
    if len(dispatches) < 2:
        return ""
    before, found, _ = dispatches[0].name.partition("_dispatch_")
    prefix = before + found
    return prefix if found and all(d.name.startswith(prefix) for d in dispatches) else ""
