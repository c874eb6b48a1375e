"""Equal values are one node; hashes that collide make no others equal."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from runtime_tests.match.scalar_graphs import graph
from substitute.match.coefficient import ONE, Coefficient, number
from substitute.match.normal import node as nodes
from substitute.match.normal.node import Node, NodeTable
from substitute.match.normal.normalise import normalise

pytestmark = pytest.mark.unit


class Colliding(str):
    """A name with the hash of all others."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7

    def __format__(self, spec: str) -> str:
        return self

    def __str__(self) -> str:
        return self


class ByHash(dict[Any, Any]):
    """A table that takes keys of one hash for one key."""

    def get(self, key: object, default: object = None) -> Any:
        return super().get(hash(key), default)

    def setdefault(self, key: object, default: object = None) -> Any:
        return super().setdefault(hash(key), default)

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(hash(key), value)


@pytest.fixture
def collisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every number one hash, and every kind and node too."""
    for class_ in (Coefficient, nodes.Kind, Node):
        monkeypatch.setattr(class_, "__hash__", lambda _: 7)


def make(table: NodeTable) -> list[Node]:
    """Return nodes no two of which are equal, of names and numbers that collide."""
    x = table.node("read", "f32", attribute=0)
    ops = [table.node(Colliding(name), "f32", (x,)) for name in ("math.exp", "math.log", "math.sin")]
    sums = [table.sum_of("f32", [(number(n), ops[0]), (ONE, ops[1])]) for n in (2, 3)]
    products = [table.product_of("f32", number(n), ops[:2], (ops[2],)) for n in (2, 3)]
    return [x, *ops, *sums, *products, table.product_of("f32", number(2), ops[1:], (ops[0],))]


@pytest.mark.usefixtures("collisions")
def test_nothing_is_equated_where_every_hash_collides() -> None:
    made = make(NodeTable())
    assert len({id(node) for node in made}) == len(made)
    assert made[1].kind is not made[2].kind
    text = "exp(a * 2.0) / (b + 3.0) - log(a * 3.0) * (b + 2.0)"
    form = normalise(graph(text).nodes, "all").nodes
    assert len({id(node) for node in form}) == len(form)


@pytest.mark.usefixtures("collisions")
def test_a_table_that_compares_hashes_equates_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names and numbers above do collide."""
    monkeypatch.setattr(nodes, "_KINDS", ByHash())
    table = NodeTable()
    table._known = ByHash()
    made = make(table)
    assert made[1] is made[2] is made[3]
    assert made[4] is made[5]


def test_equal_values_are_one_node_whatever_the_order_of_their_operands() -> None:
    table = NodeTable()
    a, b, c = (table.node("read", "f32", attribute=n) for n in range(3))
    terms = [(ONE, a), (number(2), b), (number(3), c)]
    assert len({table.sum_of("f32", order) for order in itertools.permutations(terms)}) == 1
    assert len({table.product_of("f32", ONE, order, (c,)) for order in itertools.permutations((a, b, b))}) == 1
    assert table.product_of("f32", ONE, (a, b), (c,)) is not table.product_of("f32", ONE, (a, c), (b,))
    assert table.node("arith.subf", "f32", (a, b)) is not table.node("arith.subf", "f32", (b, a))


def test_kinds_sort_alike_whatever_was_made_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of two spellings of a difference is kept depends on this order."""
    names = ("math.exp", "math.log", "math.sin", "math.tanh")
    found = []
    for order in (names, names[::-1]):
        monkeypatch.setattr(nodes, "_KINDS", {})
        table = NodeTable()
        x = table.node("read", "f32", attribute=0)
        made = [table.node(name, "f32", (x,)) for name in order]
        assert len({node.kind for node in made}) == len(names)
        found.append([kind.order for kind in nodes.in_order([node.kind for node in made])])
    assert found[0] == found[1]
