"""Spellings that are derived from a definition by random rewriting, and near misses, which nothing may match.

Both are made of the definition's own program, with numbers for its sizes, so that thousands cost no compilation. What
is a near miss is decided by evaluation: at some point the two bodies have other values.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from runtime_tests.match.scalar_graphs import evaluate
from runtime_tests.spellings.definitions import OPERATIONS, Operation, make_kernel
from substitute.match.planner import decide
from substitute.model.dispatch import Dispatch, Named, Nest, Operand, PipelineLayout, Program, Target
from substitute.model.index import Index
from substitute.model.index import evaluate as evaluate_index
from substitute.model.kernel import Kernel
from substitute.model.scalar import GraphBuilder, Scalar, ScalarGraph

SIZES = {"R": 12, "C": 20, "M": 6, "K": 14, "N": 10, "P": 9, "V": 40}
POINTS = 160


@dataclass(frozen=True, slots=True)
class Term:
    """A scalar expression as a tree."""

    op: str
    type: str
    operands: tuple[Term, ...] = ()
    attribute: object = None

    def paths(self) -> Iterator[tuple[int, ...]]:
        """Yield the place of every subtree."""
        yield ()
        for at, operand in enumerate(self.operands):
            yield from ((at, *path) for path in operand.paths())

    def at(self, path: tuple[int, ...]) -> Term:
        """Return the subtree at a place."""
        return self if not path else self.operands[path[0]].at(path[1:])

    def put(self, path: tuple[int, ...], other: Term) -> Term:
        """Return the tree with another subtree at a place."""
        if not path:
            return other
        operands = list(self.operands)
        operands[path[0]] = operands[path[0]].put(path[1:], other)
        return replace(self, operands=tuple(operands))


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


def run(seed: int, count: int, *, mode: str = "all", only: frozenset[str] = frozenset()) -> Tally:
    """Judge `count` spellings and as many near misses of every operation."""
    tally = Tally()
    for operation in OPERATIONS:
        if operation.named or operation.types or (only and operation.name not in only):
            continue
        rng = random.Random(f"{seed}:{operation.name}")
        kernel = _kernel(operation, mode)
        for _ in range(count):
            spelled = derive(operation, kernel, rng)
            tally.equal += 1
            if not decide(kernel, make_dispatch(spelled.program), lambda _k, _d: "").accepted:
                tally.missed.append(spelled)
            wrong = derive_near_miss(operation, kernel, rng)
            if wrong is not None:
                if len(_nests(wrong.program)) == 1 and _is_renamed(_concrete(kernel.forms[0].program), wrong.program):
                    continue  # `z·n - x·k` is `x·k - z·n` of other operands
                tally.near += 1
                if decide(kernel, make_dispatch(wrong.program), lambda _k, _d: "").accepted:
                    tally.accepted.append(wrong)
    return tally


@cache
def _kernel(operation: Operation, mode: str) -> Kernel:
    return make_kernel(operation, "f32", laws=mode)


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
        from substitute.model.dispatch import Linear, Read, TensorType, View, Write
        from substitute.model.index import Expr

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
    return _graph([_folded(_tree(graph, r)) for r in graph.results])


def _folded(term: Term) -> Term:
    term = replace(term, operands=tuple(_folded(o) for o in term.operands))
    if term.op == "size":
        return Term("constant", term.type, (), _number(term.attribute))  # type: ignore[arg-type]
    if term.op in ("arith.index_cast", "arith.sitofp") and term.operands[0].op == "constant":
        value = term.operands[0].attribute
        return Term("constant", term.type, (), float(value) if term.type == "f32" else value)  # type: ignore[arg-type]
    return term


def _tree(graph: ScalarGraph, at: int) -> Term:
    node = graph.nodes[at]
    return Term(node.op, node.type, tuple(_tree(graph, o) for o in node.operands), node.attribute)


def _graph(terms: list[Term]) -> ScalarGraph:
    builder = GraphBuilder()

    def add(term: Term) -> int:
        return builder.add(term.op, term.type, tuple(add(o) for o in term.operands), term.attribute)

    return builder.graph(tuple(add(t) for t in terms))


# -- values ----------------------------------------------------------------------------------------------------


def _differ(one: Nest, other: Nest) -> bool:
    """Return True for bodies that have other values somewhere, or reductions that combine otherwise."""
    if one.combiner != other.combiner or one.init != other.init:
        return True
    return not _close(one.expr, other.expr, 1e-4)


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
    return replace(node, type="f64") if node.type == "f32" else node


# -- laws ------------------------------------------------------------------------------------------------------

Rewrite = Callable[[Term, random.Random], Term | None]


def _rewritten(nest: Nest, rng: random.Random, steps: list[str], count: int) -> Nest:
    trees = [_tree(nest.expr, r) for r in nest.expr.results]
    for _ in range(count * 3):
        at = rng.randrange(len(trees))
        path = rng.choice(list(trees[at].paths()))
        rule = rng.choice(EQUAL)
        changed = rule(trees[at].at(path), rng)
        if changed is not None:
            steps.append(rule.__name__)
            trees[at] = trees[at].put(path, changed)
    made = replace(nest, expr=_graph(trees))
    return made if _close(nest.expr, made.expr, 1e-5) else nest


def _mutated(nest: Nest, rng: random.Random, steps: list[str]) -> Nest | None:
    if nest.combiner and rng.random() < 0.1:
        steps.append("another reduction")
        other = "arith.addf" if nest.combiner == "arith.maximumf" else rng.choice(("arith.maximumf", "arith.mulf"))
        return replace(nest, combiner=other)
    trees = [_tree(nest.expr, r) for r in nest.expr.results]
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
    reads = {n.attribute for n in _graph(trees).nodes if n.op == "read"}
    if (nest.combiner and not reads) or any(int(str(read)) >= len(nest.reads) for read in reads):
        return None
    return replace(nest, expr=_graph(trees))


def _call(op: str, like: Term, *operands: Term, attribute: object = None, type_: str = "") -> Term:
    name = f"arith.{op}" if op in _ARITH else f"math.{op}"
    return Term(name, type_ or like.type, operands, attribute)


_ARITH = frozenset(("addf", "subf", "mulf", "divf", "negf", "maximumf", "minimumf", "select", "cmpf"))


def _const(value: float, like: Term) -> Term:
    return Term("constant", like.type, (), float(np.float32(value)))


def _is(term: Term, *ops: str) -> bool:
    return term.op.partition(".")[2] in ops


def _is_const(term: Term) -> bool:
    return term.op == "constant" and isinstance(term.attribute, float)


def commute(t: Term, rng: random.Random) -> Term | None:
    return replace(t, operands=t.operands[::-1]) if _is(t, "addf", "mulf", "maximumf", "minimumf") else None


def associate(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "addf", "mulf") or t.operands[0].op != t.op:
        return None
    (a, b), c = t.operands[0].operands, t.operands[1]
    return replace(t, operands=(a, replace(t, operands=(b, c))))


def subtract_by_adding(t: Term, rng: random.Random) -> Term | None:
    return _call("addf", t, t.operands[0], _call("negf", t, t.operands[1])) if _is(t, "subf") else None


def negate_by_product(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "negf"):
        return None
    if rng.random() < 0.5:
        return _call("mulf", t, t.operands[0], _const(-1, t))
    return _call("subf", t, _const(0, t), t.operands[0])


def negate_twice(t: Term, rng: random.Random) -> Term | None:
    return _call("negf", t, _call("negf", t, t)) if t.type == "f32" and rng.random() < 0.3 else None


def move_sign(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf", "divf"):
        return None
    a, b = t.operands
    return replace(t, operands=(_call("negf", t, a), _call("negf", t, b)))


def reciprocal(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "divf"):
        return None
    a, b = t.operands
    if _is_const(b) and rng.random() < 0.7:
        return _call("mulf", t, a, _const(1 / float(str(b.attribute)), t))
    return _call("mulf", t, a, _call("divf", t, _const(1, t), b))


def quotient(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf") or not _is_const(t.operands[1]) or not t.operands[1].attribute:
        return None
    return _call("divf", t, t.operands[0], _const(1 / float(str(t.operands[1].attribute)), t))


def root(t: Term, rng: random.Random) -> Term | None:
    if _is(t, "rsqrt"):
        if rng.random() < 0.5:
            return _call("powf", t, t.operands[0], _const(-0.5, t))
        return _call("divf", t, _const(1, t), _call("sqrt", t, t.operands[0]))
    if _is(t, "divf") and _is(t.operands[1], "sqrt"):
        return _call("mulf", t, t.operands[0], _call("rsqrt", t, *t.operands[1].operands))
    return None


def power(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf"):
        return None
    a, b = t.operands
    if a == b:
        return _call("powf", t, a, _const(2, t))
    if _is(a, "mulf") and a.operands == (b, b):
        return _call("powf", t, b, _const(3, t))
    return None


def choose(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "maximumf", "minimumf") or not _is_const(t.operands[1]):
        return None
    a, b = t.operands
    up = _is(t, "maximumf")
    if rng.random() < 0.5:
        return _call("select", t, _call("cmpf", t, a, b, attribute="ugt" if up else "ult", type_="i1"), a, b)
    return _call("select", t, _call("cmpf", t, a, b, attribute="olt" if up else "ogt", type_="i1"), b, a)


_INVERSE = {
    "olt": "uge",
    "ole": "ugt",
    "ogt": "ule",
    "oge": "ult",
    "ult": "oge",
    "ule": "ogt",
    "ugt": "ole",
    "uge": "olt",
}
_SWAPPED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


def swap_arms(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "select") or not _is(t.operands[0], "cmpf"):
        return None
    condition, a, b = t.operands
    inverse = replace(condition, attribute=_INVERSE[str(condition.attribute)])
    return replace(t, operands=(inverse, b, a))


def swap_comparison(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "cmpf"):
        return None
    predicate = str(t.attribute)
    return replace(t, operands=t.operands[::-1], attribute=predicate[0] + _SWAPPED[predicate[1:]])


def split_constant(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf") or not _is_const(t.operands[0]):
        return None
    half = _const(float(str(t.operands[0].attribute)) / 2, t)
    return _call("mulf", t, half, _call("mulf", t, _const(2, t), t.operands[1]))


def distribute(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "mulf"):
        return None
    for a, b in (t.operands, t.operands[::-1]):
        if _is_const(a) and _is(b, "addf"):
            return _call("addf", t, _call("mulf", t, a, b.operands[0]), _call("mulf", t, b.operands[1], a))
    return None


def factor_out(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "addf") or not all(_is(o, "mulf") for o in t.operands):
        return None
    (a, b), (c, d) = (o.operands for o in t.operands)
    return _call("mulf", t, a, _call("addf", t, b, d)) if a == c else None


def turn_difference(t: Term, rng: random.Random) -> Term | None:
    return _call("negf", t, _call("subf", t, *t.operands[::-1])) if _is(t, "subf") else None


EQUAL: tuple[Rewrite, ...] = (
    commute,
    commute,
    associate,
    subtract_by_adding,
    negate_by_product,
    negate_twice,
    move_sign,
    reciprocal,
    quotient,
    root,
    power,
    choose,
    swap_arms,
    swap_comparison,
    split_constant,
    distribute,
    factor_out,
    turn_difference,
)


def another_constant(t: Term, rng: random.Random) -> Term | None:
    if not _is_const(t):
        return None
    value = float(str(t.attribute))
    changes = (value * 1.01, value * 2, -value, value + 1, value / 3, 0.0, value * 0.9995, 1.0)
    return replace(t, attribute=float(np.float32(rng.choice(changes))))


def another_function(t: Term, rng: random.Random) -> Term | None:
    families = (
        ("exp", "exp2", "expm1"),
        ("tanh", "erf", "atan"),
        ("sqrt", "rsqrt", "cbrt"),
        ("log", "log2", "log1p"),
        ("addf", "subf", "mulf", "divf"),
        ("maximumf", "minimumf"),
    )
    name = t.op.partition(".")[2]
    family = next((f for f in families if name in f), None)
    if family is None:
        return None
    return _call(rng.choice([n for n in family if n != name]), t, *t.operands)


def swap_operands(t: Term, rng: random.Random) -> Term | None:
    return replace(t, operands=t.operands[::-1]) if _is(t, "subf", "divf", "cmpf") else None


def swap_choice(t: Term, rng: random.Random) -> Term | None:
    return replace(t, operands=(t.operands[0], t.operands[2], t.operands[1])) if _is(t, "select") else None


def drop(t: Term, rng: random.Random) -> Term | None:
    if len(t.operands) != 2 or _is(t, "cmpf"):
        return None
    return rng.choice(t.operands)


def drop_function(t: Term, rng: random.Random) -> Term | None:
    return t.operands[0] if len(t.operands) == 1 and t.operands[0].type == t.type else None


def another_read(t: Term, rng: random.Random) -> Term | None:
    return replace(t, attribute=rng.randrange(4)) if t.op == "read" else None


def twice(t: Term, rng: random.Random) -> Term | None:
    if t.type != "f32":
        return None
    op = rng.choice(("mulf", "addf", "absf", "negf"))
    return _call(op, t, *((t, t) if op in ("mulf", "addf") else (t,)))


def shift(t: Term, rng: random.Random) -> Term | None:
    return _call("addf", t, t, _const(rng.choice((1e-3, 1.0, -1.0, 1e-5)), t)) if t.type == "f32" else None


def another_predicate(t: Term, rng: random.Random) -> Term | None:
    if not _is(t, "cmpf"):
        return None
    return replace(t, attribute=rng.choice(("oeq", "ogt", "olt", "one", "uge")))


WRONG: tuple[Rewrite, ...] = (
    another_constant,
    another_constant,
    another_function,
    another_function,
    swap_operands,
    swap_choice,
    drop,
    drop,
    drop_function,
    another_read,
    another_read,
    twice,
    shift,
    another_predicate,
)
