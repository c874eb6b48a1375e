"""The normal form of a graph, kept for the next comparison."""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Normal:
    """Every node of a graph in normal form."""

    nodes: tuple[Node, ...]
    laws: Mapping[str, int]
    """Laws that were applied, and how often."""


def normalise(nodes: tuple[Scalar, ...], mode: Mode, sizes: tuple[tuple[str, Index], ...] = ()) -> Normal:
    """Return the normal form of a graph's nodes, with the sizes of these axes in place of their names."""
    return _normalise(ByIdentity(nodes), mode, sizes)


@lru_cache(maxsize=4096)
def _normalise(key: ByIdentity, mode: Mode, sizes: tuple[tuple[str, Index], ...]) -> Normal:
    nodes = cast(tuple[Scalar, ...], key.held)
    form = (Form if mode == "all" else ExactForm)(dict(sizes))
    made: list[Node] = []
    for at, node in enumerate(nodes):
        made.append(form.build(at, node, [made[o] for o in node.operands]))
    return Normal(tuple(made), dict(form.applied))
