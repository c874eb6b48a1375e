"""The normal form of a graph, cached for the next comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, cast

from ...model.index import Index
from ...model.laws import LAWS
from ...model.scalar import Scalar
from ..identity import ByIdentity
from .exact import ExactForm
from .form import Form, ImprovedForm
from .node import Node
from .roundings import ROUND_LESS, widen

FormMode = Literal["all", "exact", "improved"]
"""The laws that a kernel accepts, or `improved`: those, and the ones that only a dispatch may need."""


@dataclass(frozen=True, slots=True)
class Normal:
    """Every node of a graph in normal form."""

    nodes: tuple[Node, ...]
    laws: Mapping[str, int]
    """Applied laws, with their counts."""
    steps: frozenset[Node] = frozenset()
    """For a body without its roundings, values that may differ much from those with them."""

    @property
    def is_improved(self) -> bool:
        """Return True if a law was applied that only a dispatch may need."""
        return any(LAWS[law].one_way and not LAWS[law].rounds_less for law in self.laws)

    def is_steady(self, results: Iterable[int]) -> bool:
        """Return True if no result needs one of the `steps`."""
        seen: set[Node] = set()
        left = [self.nodes[result] for result in results] if self.steps else []
        while left:
            node = left.pop()
            if node in self.steps:
                return False
            if node not in seen:
                seen.add(node)
                left.extend(node.parts)
        return True


def normalise(
    nodes: tuple[Scalar, ...], mode: FormMode, sizes: tuple[tuple[str, Index], ...] = (), *, short: bool = False
) -> Normal:
    """Return the normal form of a graph's nodes, with the sizes of these axes in place of their names.

    `short` loops have an index of 32 bits.
    """
    return _normalise(ByIdentity(nodes), mode, sizes, short)


@lru_cache(maxsize=4096)
def _normalise(key: ByIdentity, mode: FormMode, sizes: tuple[tuple[str, Index], ...], short: bool) -> Normal:
    form = _FORMS[mode](dict(sizes))
    form.loops_are_short = short
    return _build(form, cast(tuple[Scalar, ...], key.held))


def normalise_wide(
    nodes: tuple[Scalar, ...],
    mode: FormMode = "all",
    sizes: tuple[tuple[str, Index], ...] = (),
    *,
    short: bool = False,
) -> Normal | None:
    """Return the normal form of a graph without the roundings inside of it; None where there is none."""
    return _normalise_wide(ByIdentity(nodes), mode, sizes, short)


@lru_cache(maxsize=4096)
def _normalise_wide(
    key: ByIdentity, mode: FormMode, sizes: tuple[tuple[str, Index], ...], short: bool
) -> Normal | None:
    wide = widen(cast(tuple[Scalar, ...], key.held))
    if wide is None:
        return None
    form = _FORMS[mode](dict(sizes))
    form.loops_are_short = short
    form.applied[ROUND_LESS] += wide.dropped
    made = _build(form, wide.nodes)
    return replace(made, steps=frozenset(made.nodes[at] for at in wide.steps))


def _build(form: Form, nodes: tuple[Scalar, ...]) -> Normal:
    made: list[Node] = []
    for at, node in enumerate(nodes):
        made.append(form.build(at, node, [made[o] for o in node.operands]))
    return Normal(tuple(made), dict(form.applied))


_FORMS: dict[FormMode, type[Form]] = {"all": Form, "exact": ExactForm, "improved": ImprovedForm}
