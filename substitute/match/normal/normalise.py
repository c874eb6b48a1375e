"""The normal form of a graph, kept for the next comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from ...model.index import Index
from ...model.laws import Mode
from ...model.scalar import Scalar
from ..identity import ByIdentity
from .exact import ExactForm
from .form import Form
from .node import Node
from .roundings import ROUND_LESS, widen


@dataclass(frozen=True, slots=True)
class Normal:
    """Every node of a graph in normal form."""

    nodes: tuple[Node, ...]
    laws: Mapping[str, int]
    """Laws that were applied, and how often."""
    steps: frozenset[Node] = frozenset()
    """Of a body without its roundings, values that may be far from those with them."""

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


def normalise(nodes: tuple[Scalar, ...], mode: Mode, sizes: tuple[tuple[str, Index], ...] = ()) -> Normal:
    """Return the normal form of a graph's nodes, with the sizes of these axes in place of their names."""
    return _normalise(ByIdentity(nodes), mode, sizes)


@lru_cache(maxsize=4096)
def _normalise(key: ByIdentity, mode: Mode, sizes: tuple[tuple[str, Index], ...]) -> Normal:
    form = (Form if mode == "all" else ExactForm)(dict(sizes))
    made = _build(form, cast(tuple[Scalar, ...], key.held))
    return Normal(tuple(made), dict(form.applied))


def normalise_wide(nodes: tuple[Scalar, ...], sizes: tuple[tuple[str, Index], ...] = ()) -> Normal | None:
    """Return the normal form of a graph without the roundings inside of it; None where there is none."""
    return _normalise_wide(ByIdentity(nodes), sizes)


@lru_cache(maxsize=4096)
def _normalise_wide(key: ByIdentity, sizes: tuple[tuple[str, Index], ...]) -> Normal | None:
    wide = widen(cast(tuple[Scalar, ...], key.held))
    if wide is None:
        return None
    form = Form(dict(sizes))
    made = _build(form, wide.nodes)
    form.applied[ROUND_LESS] += wide.dropped
    return Normal(tuple(made), dict(form.applied), frozenset(made[at] for at in wide.steps))


def _build(form: Form, nodes: tuple[Scalar, ...]) -> list[Node]:
    made: list[Node] = []
    for at, node in enumerate(nodes):
        made.append(form.build(at, node, [made[o] for o in node.operands]))
    return made
