"""Scalar graphs: equal nodes are one node, and only what is needed is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from substitute.model.scalar import GraphBuilder, Scalar, ScalarGraph

pytestmark = pytest.mark.unit


def test_equal_nodes_are_one_node() -> None:
    builder = GraphBuilder()
    a, b = builder.add("read", "f32", (), 0), builder.add("read", "f32", (), 0)
    assert a == b
    assert builder.add("arith.addf", "f32", (a, b)) == builder.add("arith.addf", "f32", (a, a))
    assert len(builder.nodes) == 2


def test_twin_what_differs_stays_apart() -> None:
    builder = GraphBuilder()
    constants = [0, 0.0, -0.0, 1, 1.0, True, float("nan")]
    assert len({builder.add("constant", "f32", (), c) for c in constants}) == len(constants)
    assert builder.add("constant", "f32", (), float("nan")) == 6  # NaN is no number, but it is one constant
    assert builder.add("constant", "f64", (), 1.0) == 7
    less, more = (builder.add("arith.cmpf", "i1", (0, 1), p) for p in ("olt", "ogt"))
    assert less != more


def test_depends_on_follows_operands() -> None:
    graph = ScalarGraph(
        (
            Scalar("read", "f32", (), 0),
            Scalar("read", "f32", (), 1),
            Scalar("constant", "f32", (), 2.0),
            Scalar("arith.addf", "f32", (0, 0)),
            Scalar("arith.mulf", "f32", (3, 2)),
        ),
        (4,),
    )
    assert graph.depends_on(4) == {0, 2, 3, 4}
    assert graph.depends_on(1) == {1}


def test_a_graph_has_what_its_results_need() -> None:
    builder = GraphBuilder()
    a, unused, b = (builder.add("read", "f32", (), n) for n in range(3))
    total = builder.add("arith.addf", "f32", (a, b))
    graph = builder.graph((total, a))
    assert [n.attribute for n in graph.nodes if n.op == "read"] == [0, 2]
    assert graph.nodes[graph.results[0]] == Scalar("arith.addf", "f32", (0, 1))
    assert graph.results[1] == 0
    assert unused == 1


def test_inlining_replaces_leaves() -> None:
    inner = ScalarGraph(
        (Scalar("read", "f32", (), 0), Scalar("index", "index", (), 1), Scalar("math.exp", "f32", (0,))), (2, 1)
    )
    builder = GraphBuilder()
    x = builder.add("read", "f32", (), 5)
    results = builder.inline(inner, lambda leaf: x if leaf.op == "read" else None)
    graph = builder.graph(results)
    assert graph.nodes[graph.results[0]] == Scalar("math.exp", "f32", (0,))
    assert graph.nodes[0] == Scalar("read", "f32", (), 5)
    assert graph.nodes[graph.results[1]] == Scalar("index", "index", (), 1)


@given(st.lists(st.tuples(st.sampled_from(["arith.addf", "arith.mulf"]), st.integers(0, 99), st.integers(0, 99))))
def test_operands_stand_before_their_users(operations: list[tuple[str, int, int]]) -> None:
    builder = GraphBuilder()
    known = [builder.add("read", "f32", (), n) for n in range(2)]
    for op, a, b in operations:
        known.append(builder.add(op, "f32", (known[a % len(known)], known[b % len(known)])))
    graph = builder.graph((known[-1],))
    assert all(o < at for at, node in enumerate(graph.nodes) for o in node.operands)
    assert len(set(graph.nodes)) == len(graph.nodes)
    assert graph.depends_on(graph.results[0]) == set(range(len(graph.nodes)))
