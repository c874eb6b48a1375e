"""A profile as a table and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ..model.index import Index
from ..profile.machine import Machine
from ..profile.profile import Profile, ProfileRow, Side
from .tables import BAD, DIM, GOOD, NAME, NARROW, make_table, stack_texts
from .text import find_common_prefix, format_count, format_expression


def profile_table(profile: Profile, *, width: int | None) -> RenderableType:
    """Return one row for each dispatch, the slowest under IREE first, and the totals."""
    dispatches = [row.dispatch for row in profile.rows if row.dispatch is not None]
    prefix = "" if width is None else find_common_prefix(dispatches)
    narrow = width is not None and width < NARROW
    table = make_table(width)
    table.add_column("dispatch", overflow="fold", ratio=2)
    for head in ("launches", "IREE µs", "share", "kernel µs", "faster"):
        table.add_column(head, justify="right", no_wrap=True)
    if not narrow:
        table.add_column("FLOP", justify="right", no_wrap=True)
        table.add_column("roofline", justify="right", no_wrap=True)
    table.add_column("kernel, or why none", overflow="fold", ratio=2)
    total = profile.total_us("stock")
    for row in profile.rows:
        ratio = row.ratio
        style = "" if ratio is None else GOOD if ratio >= 1 else BAD
        side = row.stock or row.ours
        cells = [
            Text(row.name.removeprefix(prefix), style=NAME),
            Text(str(side.count) if side else "?"),
            Text(_time(row.stock)),
            Text(f"{100 * row.stock.median_us / total:.1f} %" if row.stock and total else ""),
            Text(_time(row.ours) if row.kernel else ""),
            Text(f"{ratio:.2f}×" if ratio is not None else "", style=style),
        ]
        if not narrow:
            cells += [Text(format_count(row.cost.flops) if row.cost else "?"), Text(_roofline(row, profile.machine))]
        texts = [Text(row.kernel, style=GOOD)] if row.kernel else []
        texts += [Text(row.reason, style=DIM)] if row.reason else []
        table.add_row(*cells, stack_texts(texts, width))
    return Group(table, *_notes(profile, prefix))


def _notes(profile: Profile, prefix: str) -> list[Text]:
    stock, ours = profile.total_us("stock"), profile.total_us("ours")
    given = "drawn" if profile.drawn else "given"
    notes = [
        Text(
            f"one call of {profile.function}({', '.join(profile.inputs)}), inputs {given}, on {profile.device}: "
            f"all dispatches take {stock:,.1f} µs with IREE's code, {ours:,.1f} µs with kernels "
            f"({stock / max(ours, 1e-9):.2f}×)"
        )
    ]
    if profile.machine is not None:
        notes.append(
            Text(
                f"roofline: measured here, {format_count(round(profile.machine.flops_per_s), 'FLOP/s')} (NumPy's f32 "
                f"matrix product, threads: {profile.machine.threads}) and "
                f"{format_count(round(profile.machine.bytes_per_s), 'B/s')} (one core's copy); "
                "what a dispatch takes at least at these rates, as a share of IREE's time → of the kernel's; above 100 "
                "% where its data lie in caches, or the machine was busy while it was measured",
                style=DIM,
            )
        )
    if prefix:
        notes.append(Text(f"All names begin with {prefix}", style=DIM))
    return notes


def _time(side: Side | None) -> str:
    return "" if side is None else f"{side.median_us:,.1f}"


def _roofline(row: ProfileRow, machine: Machine | None) -> str:
    limit = least_us(row, machine)
    if limit is None or row.stock is None:
        return ""
    shares = [f"{100 * limit / max(row.stock.median_us, 1e-9):.0f}"]
    if row.kernel and row.ours is not None:
        shares.append(f"{100 * limit / max(row.ours.median_us, 1e-9):.0f}")
    return f"{' → '.join(shares)} %"


def least_us(row: ProfileRow, machine: Machine | None) -> float | None:
    """Return the least time of all launches of a dispatch at the machine's rates; None where it is not known."""
    side = row.stock or row.ours
    if machine is None or row.cost is None or side is None:
        return None
    flops, size = row.cost.flops, row.cost.bytes
    if not isinstance(flops, int) or not isinstance(size, int):
        return None
    return machine.attainable(flops, size) * 1e6 * side.count


def profile_to_json(profile: Profile) -> dict[str, Any]:
    """Return the whole profile; times are microseconds of one call."""
    machine = profile.machine
    return {
        "model": str(profile.model),
        "device": profile.device,
        "function": profile.function,
        "inputs": list(profile.inputs),
        "inputs_drawn": profile.drawn,
        "stock_us": profile.total_us("stock"),
        "kernels_us": profile.total_us("ours"),
        "machine": None
        if machine is None
        else {
            "flops_per_s": machine.flops_per_s,
            "bytes_per_s": machine.bytes_per_s,
            "threads": machine.threads,
        },
        "dispatches": [_row_to_json(row, profile) for row in profile.rows],
    }


def _row_to_json(row: ProfileRow, profile: Profile) -> dict[str, Any]:
    total = profile.total_us("stock")
    side = row.stock or row.ours
    return {
        "name": row.name,
        "launches": side.count if side else None,
        "stock_us": row.stock.median_us if row.stock else None,
        "stock_spread_us": row.stock.spread_us if row.stock else None,
        "share": row.stock.median_us / total if row.stock and total else None,
        "kernels_us": row.ours.median_us if row.ours else None,
        "kernels_spread_us": row.ours.spread_us if row.ours else None,
        "faster": row.ratio,
        "kernel": row.kernel or None,
        "reason": row.reason or None,
        "kind": row.dispatch.kind if row.dispatch else None,
        "flops": _number(row.cost.flops) if row.cost else None,
        "bytes": _number(row.cost.bytes) if row.cost else None,
        "least_us": least_us(row, profile.machine),
    }


def _number(value: Index | None) -> int | str | None:
    """Return a size, or the formula over push constants."""
    return value if value is None or isinstance(value, int) else format_expression(value)
