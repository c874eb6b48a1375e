"""Comparison of two spellings by their normal forms."""

from __future__ import annotations

from runtime_tests.match.scalar_graphs import nest
from substitute.match.by_laws import unify_by_laws


def unified(left: str, right: str, mode: str = "all", element: str = "f32", *, wide: bool = False) -> bool:
    """Return True if a definition `left` and a dispatch `right` have one form, every operand being itself."""
    wanted, found = nest(left, element), nest(right, element)
    return any(
        all(found.expr.nodes[at].attribute == n for n, at in bound.nodes.items())
        for bound in unify_by_laws(wanted, found, {}, mode, wide=wide)  # type: ignore[arg-type]
    )
