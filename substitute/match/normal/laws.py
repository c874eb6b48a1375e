"""Interface through which the families of laws call each other; each family is a file of this folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ...model.index import Index
from ..coefficient import Coefficient
from .node import Node, NodeTable


class Laws(NodeTable, ABC):
    """Base class that makes nodes, and counts the applied laws of `model/laws.py`."""

    def __init__(self, sizes: Mapping[str, Index]) -> None:
        super().__init__()
        self.applied: Counter[str] = Counter()
        self.sizes = sizes
        """Sizes of axes, which replace their names."""
        self.loops_are_short = False
        """True if an integer of 32 bits holds the index of every loop."""

    @abstractmethod
    def terms(self, a: Node, scale: Coefficient) -> list[tuple[Coefficient, Node]]:
        """Return the summands of a scaled value."""

    @abstractmethod
    def sum(self, type_: str, terms: Sequence[tuple[Coefficient, Node]]) -> Node:
        """Return the sum of scaled nodes, none of which is a sum or a scaled one."""

    @abstractmethod
    def product(self, type_: str, scale: Coefficient, factors: Iterable[Node], divisors: Iterable[Node]) -> Node:
        """Return the flattened product."""

    @abstractmethod
    def cut(self, kind: str, type_: str, a: Node, end: Coefficient) -> Node:
        """Return a value cut off at a constant: its `maximum` or `minimum` with it."""

    @abstractmethod
    def joined_terms(
        self, type_: str, terms: Sequence[tuple[Coefficient, Node]]
    ) -> list[tuple[Coefficient, Node]] | None:
        """Return the terms of a sum of floats with two of them as a function; None where no two are."""

    @abstractmethod
    def guarded(self, type_: str, condition: Node, a: Node, b: Node) -> Node | None:
        """Return a choice between what a function is for some operands and for others; None for any other choice."""

    @abstractmethod
    def select(self, type_: str, condition: Node, a: Node, b: Node) -> Node:
        """Return a selection."""

    @abstractmethod
    def gate(self, type_: str, x: Node, below: Node, above: Node) -> Node:
        """Return `below` where `x` is negative and else `above`, which are multiples of it."""

    @abstractmethod
    def slopes(self, type_: str, a: Node, below: Coefficient, above: Coefficient) -> Node:
        """Return `below · a` where `a` is negative and `above · a` where it is positive."""
