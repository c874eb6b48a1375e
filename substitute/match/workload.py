"""Sizes of a dispatch that the host knows at launch: the workload."""

from __future__ import annotations

from ..model.dispatch import Dispatch
from ..model.index import Expr, Index


def unknown_to_host(dispatch: Dispatch, value: Index) -> Expr | None:
    """Return the first part of `value` that is not a function of the workload; None if the host can compute it all."""
    return _uncovered(value, {w for w in dispatch.workload if isinstance(w, Expr)})


def _uncovered(value: Index, covered: set[Expr]) -> Expr | None:
    if isinstance(value, int) or value in covered:
        return None
    if value.op in ("push", "symbol"):
        return value
    parts = (_uncovered(part, covered) for part in value.args if not isinstance(part, str))
    return next((part for part in parts if part is not None), None)
