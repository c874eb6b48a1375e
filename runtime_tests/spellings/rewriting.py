"""Spellings that are derived from a definition by random rewriting, and near misses, which nothing may match.

Both are made of the definition's own program, with numbers for its sizes, so that thousands cost no compilation. What
is a near miss is decided by evaluation: at some point the two bodies have other values.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from runtime_tests.match.scalar_graphs import evaluate
from runtime_tests.spellings.definitions import OPERATIONS, Operation, make_kernel
from runtime_tests.spellings.rewrites import EQUAL, WRONG
from runtime_tests.spellings.terms import Term, graph_of, tree_of
from substitute.match.planner import decide
from substitute.model.dispatch import (
    Dispatch,
    Linear,
    Named,
    Nest,
    Operand,
    PipelineLayout,
    Program,
    Read,
    Target,
    TensorType,
    View,
    Write,
)
from substitute.model.index import Expr, Index
from substitute.model.index import evaluate as evaluate_index
from substitute.model.kernel import Kernel
from substitute.model.scalar import Scalar, ScalarGraph

SIZES = {"R": 12, "C": 20, "M": 6, "K": 14, "N": 10, "P": 9, "V": 40}
POINTS = 160
NARROW_DIFFERENCE = 0.03
"""Relative difference of values that a narrow type tells apart, also after some operations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A program that was derived from a definition."""

    operation: str
    program: Program
    steps: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """Numbers of derived programs."""

    equal: int = 0
    near: int = 0
    accepted: list[Derived] = field(default_factory=list)
    """Near misses that were matched: there must be none."""
    missed: list[Derived] = field(default_factory=list)
    """Spellings that were not matched."""


def run(seed: int, count: int, *, mode: str = "all", element: str = "f32", only: frozenset[str] = frozenset()) -> Tally:
    """Judge `count` spellings and as many near misses of every operation.

    In another type than f32, the spellings round after every operation, and the definition once, at its end.
    """
    tally = Tally()
    for operation in OPERATIONS:
        if not _is_arithmetic(operation) or (only and operation.name not in only):
            continue
        rng = random.Random(f"{seed}:{operation.name}")
        kernel = _kernel(operation, mode, element)
        judged = replace(kernel, forms=kernel.forms[-1:])
        for _ in range(count):
            spelled = derive(operation, kernel, rng)
            tally.equal += 1
            if not decide(judged, make_dispatch(spelled.program), lambda _k, _d: "").accepted:
                tally.missed.append(spelled)
            wrong = derive_near_miss(operation, kernel, rng)
            if wrong is not None:
                if len(_nests(wrong.program)) == 1 and _is_renamed(_concrete(kernel.forms[0].program), wrong.program):
                    continue  # `z·n - x·k` is `x·k - z·n` of other operands
                tally.near += 1
                if decide(judged, make_dispatch(wrong.program), lambda _k, _d: "").accepted:
                    tally.accepted.append(wrong)
    return tally


def _is_arithmetic(operation: Operation) -> bool:
    """Return True for a definition of floats alone, which can be evaluated at random points."""
    return not operation.named and not operation.types and not any("upto(" in step.formula for step in operation.steps)


@cache
def _kernel(operation: Operation, mode: str, element: str) -> Kernel:
    return make_kernel(operation, element, laws=mode)


def derive(operation: Operation, kernel: Kernel, rng: random.Random) -> Derived:
    """Return another spelling of a definition's program."""
    program = _concrete(kernel.forms[0].program)
    steps: list[str] = []
    nests = [_rewritten(nest, rng, steps, rng.randint(1, 5)) for nest in _nests(program)]
    return Derived(operation=operation.name, program=_with_nests(program, nests), steps=tuple(steps))


def derive_near_miss(operation: Operation, kernel: Kernel, rng: random.Random) -> Derived | None:
    """Return a program that computes something else, by one change, spelled at random; None where none was found."""
    program = _concrete(kernel.forms[0].program)
    nests = list(_nests(program))
    at = rng.randrange(len(nests))
    for _ in range(20):
        steps: list[str] = []
        changed = _mutated(nests[at], rng, steps)
        if changed is None or not _differ(nests[at], changed):
            continue
        every = [changed if n == at else nest for n, nest in enumerate(nests)]
        every = [_rewritten(nest, rng, steps, rng.randint(0, 2)) for nest in every]
        if not _differ(nests[at], every[at]):
            continue
        return Derived(operation=operation.name, program=_with_nests(program, every), steps=tuple(steps))
    return None


def make_dispatch(program: Program) -> Dispatch:
    """Return a dispatch of this program."""
    operands = tuple(replace(o, kind="binding", binding=n) for n, o in enumerate(program.operands))
    flags = tuple("ReadOnly" if o.access == "readonly" else "" for o in operands)
    return Dispatch(
        executable="e",
        variant="cpu",
        name="d",
        target=Target(backend="llvm-cpu", format="embedded-elf-x86_64", config=()),
        layout=PipelineLayout(constants=0, bindings=flags),
        workload=(),
        program=replace(program, operands=operands),
        reason="",
        operations=(),
        kind="elementwise",
    )


def _nests(program: Program) -> list[Nest]:
    return [n for n in (*program.cores, *program.stores) if isinstance(n, Nest)]


def _with_nests(program: Program, nests: list[Nest]) -> Program:
    left = iter(nests)
    cores = tuple(core if isinstance(core, Named) else next(left) for core in program.cores)
    return replace(program, cores=cores, stores=tuple(left))


# -- sizes -----------------------------------------------------------------------------------------------------


def _number(value: Index) -> int:
    return value if isinstance(value, int) else evaluate_index(value, symbols=SIZES)


def _concrete(program: Program) -> Program:
    """Return a definition's program with numbers in place of its axes."""

    def change(value: object) -> object:
        if isinstance(value, Expr):
            return _number(value)
        if isinstance(value, tuple):
            return tuple(change(v) for v in value)
        if isinstance(value, (Linear, Read, TensorType, View, Write, Operand, Nest, Named, Program)):
            names = [n for n in value.__dataclass_fields__ if n != "expr"]
            return replace(value, **{n: change(getattr(value, n)) for n in names})  # type: ignore[arg-type]
        return value

    changed = change(program)
    assert isinstance(changed, Program)
    return _with_nests(changed, [replace(n, expr=_without_sizes(n.expr)) for n in _nests(changed)])


def _without_sizes(graph: ScalarGraph) -> ScalarGraph:
    """Return a graph in which sizes are constants, as frontends write them."""
    return graph_of([_folded(tree_of(graph, r)) for r in graph.results])


def _folded(term: Term) -> Term:
    term = replace(term, operands=tuple(_folded(o) for o in term.operands))
    if term.op == "size":
        return Term("constant", term.type, (), _number(term.attribute))  # type: ignore[arg-type]
    if term.op in ("arith.index_cast", "arith.sitofp") and term.operands[0].op == "constant":
        value = term.operands[0].attribute
        return Term("constant", term.type, (), float(value) if term.type != "index" and term.type[0] != "i" else value)  # type: ignore[arg-type]
    return term


# -- values ----------------------------------------------------------------------------------------------------


def _differ(one: Nest, other: Nest) -> bool:
    """Return True for bodies that have other values somewhere, or reductions that combine otherwise."""
    if one.combiner != other.combiner or one.init != other.init:
        return True
    narrow = any(node.type in ("f16", "bf16") for node in one.expr.nodes)
    return not _close(one.expr, other.expr, NARROW_DIFFERENCE if narrow else 1e-4)


def _is_renamed(one: Program, other: Program) -> bool:
    """Return True if a single body is another one with its operands exchanged."""
    (a,), (b,) = _nests(one), _nests(other)
    for order in itertools.permutations(range(len(a.reads))):
        nodes = tuple(replace(n, attribute=order[int(str(n.attribute))]) if n.op == "read" else n for n in b.expr.nodes)
        if _close(a.expr, ScalarGraph(nodes, b.expr.results), 1e-4):
            return True
    return False


def _close(one: ScalarGraph, other: ScalarGraph, tolerance: float) -> bool:
    (a, scale_a), (b, scale_b) = _values(one), _values(other)
    with np.errstate(all="ignore"):
        near = np.abs(a - b) <= tolerance * np.minimum(np.maximum(np.abs(a), np.abs(b)), np.fmax(scale_a, scale_b))
    return bool(np.all(near | (a == b) | (np.isnan(a) & np.isnan(b))))


def _values(graph: ScalarGraph) -> tuple[np.ndarray, np.ndarray]:
    wide = ScalarGraph(tuple(_widened(n) for n in graph.nodes), graph.results)
    rng = np.random.default_rng(3)
    points = {}
    for number in range(8):
        size = np.exp2(rng.uniform(-16, 3, POINTS))
        size[: POINTS // 2] *= rng.choice([-1, 1], POINTS // 2)  # the others are positive, for roots
        points[number] = size
    value, largest = evaluate(wide, points)
    return np.broadcast_to(value, (POINTS,)).astype(np.float64), largest


def _widened(node: Scalar) -> Scalar:
    return replace(node, type="f64") if node.type in ("f32", "f16", "bf16") else node


# -- changes ---------------------------------------------------------------------------------------------------


def _rewritten(nest: Nest, rng: random.Random, steps: list[str], count: int) -> Nest:
    trees = [tree_of(nest.expr, r) for r in nest.expr.results]
    for _ in range(count * 3):
        at = rng.randrange(len(trees))
        path = rng.choice(list(trees[at].paths()))
        rule = rng.choice(EQUAL)
        changed = rule(trees[at].at(path), rng)
        if changed is not None:
            steps.append(rule.__name__)
            trees[at] = trees[at].put(path, changed)
    made = replace(nest, expr=graph_of(trees))
    return made if _close(nest.expr, made.expr, 1e-5) else nest


def _mutated(nest: Nest, rng: random.Random, steps: list[str]) -> Nest | None:
    if nest.combiner and rng.random() < 0.1:
        steps.append("another reduction")
        other = "arith.addf" if nest.combiner == "arith.maximumf" else rng.choice(("arith.maximumf", "arith.mulf"))
        return replace(nest, combiner=other)
    trees = [tree_of(nest.expr, r) for r in nest.expr.results]
    at = rng.randrange(len(trees))
    path = rng.choice(list(trees[at].paths()))
    rule = rng.choice(WRONG)
    changed = rule(trees[at].at(path), rng)
    if changed is None:
        # another value of the same type, wherever it stands
        others = [t for t in map(trees[at].at, trees[at].paths()) if t.type == trees[at].at(path).type]
        changed = rng.choice(others)
        if changed == trees[at].at(path):
            return None
        steps.append("another value")
    else:
        steps.append(rule.__name__)
    trees[at] = trees[at].put(path, changed)
    reads = {n.attribute for n in graph_of(trees).nodes if n.op == "read"}
    if (nest.combiner and not reads) or any(int(str(read)) >= len(nest.reads) for read in reads):
        return None
    return replace(nest, expr=graph_of(trees))
