"""Unification of the scalar bodies of a definition and a dispatch in normal form, if their spellings differ."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..model.dispatch import Nest, View
from ..model.index import Index, leaves, product
from ..model.kernel import Kernel
from ..model.laws import Mode
from ..model.ops import COMMUTATIVE
from ..model.scalar import ScalarGraph
from .coefficient import Coefficient, agree, is_truncated
from .expression import Unified, unify, with_leaf
from .normal.functions import LOSE_DIGITS
from .normal.node import Kind, Node
from .normal.normalise import FormMode, Normal, normalise, normalise_wide
from .normal.products import turn_squares
from .normal.roundings import ROUND_LESS, computes_wide
from .normal.special import APPROXIMATED, name_functions
from .parameters import choose_parameters

_MOST_STEPS = 4000
_MOST_SIZES = 24
_SHORT_LOOP = 2**31

Sizes = tuple[tuple[str, Index], ...]
"""Axes of a definition and their sizes in the dispatch."""


_MOST_WAYS = 16


def unify_bodies(pattern: Nest, nest: Nest, sizes: Mapping[str, Index], kernel: Kernel) -> Iterator[Unified]:
    """Yield unifiers of two bodies, first those with equal spelling, then those by laws.

    Under a prologue laws are not applied: code that computes one part of a body needs it unchanged.
    """
    prologue = "prologue" in kernel.slots
    seen: list[tuple[object, object, object]] = []
    for unified in itertools.islice(unify(pattern.expr, nest.expr, prologue=prologue), _MOST_WAYS):
        seen.append((unified.nodes, unified.loops, unified.parameters))
        yield unified
    for choice in choose_parameters(pattern, nest) if not prologue else ():
        ways = unify_by_laws(choice.pattern, choice.nest, sizes, kernel.laws)
        if may_round_less(kernel) and computes_wide(choice.pattern):
            ways = itertools.chain(ways, unify_by_laws(choice.pattern, choice.nest, sizes, "all", wide=True))
        for unified in itertools.islice(ways, _MOST_WAYS):
            found = (unified.nodes, unified.loops, choice.nodes)
            if found not in seen:
                seen.append(found)
                yield replace(unified, parameters=choice.nodes)


def may_round_less(kernel: Kernel) -> bool:
    """Return True for code that computes its definition, and not the dispatch."""
    return kernel.laws == "all" and not kernel.slots and not kernel.payload.kind.sees_dispatch


def unify_by_laws(
    pattern: Nest, nest: Nest, sizes: Mapping[str, Index], mode: Mode, *, wide: bool = False
) -> Iterator[Unified]:
    """Yield every unifier of two bodies in normal form. `sizes` are those of the axes that are bound already.

    Where a definition computes with the size of another axis, the sizes of the dispatch's loops and tables are tried.
    `wide` compares both without the roundings inside of them.
    """
    if len(pattern.expr.results) != len(nest.expr.results):
        return
    functions = (
        frozenset(node.op for node in pattern.expr.nodes) & APPROXIMATED.keys() if mode == "all" else frozenset()
    )
    short = all(isinstance(size, int) and size < _SHORT_LOOP for size in nest.sizes)
    forms = list(_forms(nest.expr, mode, frozenset(functions), wide=wide, short=short))
    for chosen in _choose_sizes(pattern.expr, nest, sizes) if forms else ():
        made = (
            normalise_wide(pattern.expr.nodes, "all", chosen, short=short)
            if wide
            else normalise(pattern.expr.nodes, mode, chosen, short=short)
        )
        if made is None:
            return
        assumed = tuple(pair for pair in chosen if pair[0] not in sizes)
        for found in forms:
            exact = not wide and made.laws == found.laws
            for unified in _unify_forms(pattern, nest, made, found, exact=exact, truncates=mode == "all"):
                yield replace(unified, sizes=assumed)


def _forms(graph: ScalarGraph, mode: Mode, functions: frozenset[str], *, wide: bool, short: bool) -> Iterator[Normal]:
    """Yield the normal form of a dispatch, and the one without formulas that lose digits where it has any.

    `functions` are those that a definition names, and a dispatch may approximate.
    """
    named = name_functions(graph, functions) if functions else None
    if named is not None and not functions <= {node.op for node in named.nodes}:
        return  # no law makes such a function
    if named is not None and named.laws:
        graph = ScalarGraph(named.nodes, graph.results)
    loses = mode == "all" and any(node.op in LOSE_DIGITS for node in graph.nodes)
    modes: tuple[FormMode, ...] = (mode, "improved") if loses else (mode,)
    for number, own in enumerate(modes):
        made = normalise_wide(graph.nodes, own, short=short) if wide else normalise(graph.nodes, own, short=short)
        if made is not None and (not wide or made.is_steady(graph.results)) and (not number or made.is_improved):
            yield replace(made, laws={**made.laws, **Counter(named.laws)}) if named is not None else made


def _unify_forms(
    pattern: Nest, nest: Nest, wanted: Normal, found: Normal, *, exact: bool, truncates: bool
) -> Iterator[Unified]:
    pairs = [(wanted.nodes[p], found.nodes[g]) for p, g in zip(pattern.expr.results, nest.expr.results, strict=True)]
    if any(p.kind is not g.kind for p, g in pairs):
        return
    unifier = _Unifier(exact=exact, truncates=truncates)
    for bound in unifier.unify([_Pair(p, g) for p, g in pairs], {}):
        yield Unified(
            {number: at for (kind, number), at in bound.items() if kind == "source"},
            {number: loop for (kind, number), loop in bound.items() if kind == "loop"},
            {},
            laws=_applied(wanted, found) | _accumulation(pattern, nest) | unifier.laws,
        )


def _applied(wanted: Normal, found: Normal) -> frozenset[str]:
    """Return the laws by which one spelling becomes the other: those that one of them needed more often."""
    every = frozenset((*wanted.laws, *found.laws))
    return frozenset(n for n in every if wanted.laws.get(n, 0) != found.laws.get(n, 0)) or every


def _accumulation(pattern: Nest, nest: Nest) -> frozenset[str]:
    """Return the law by which a sum is rounded less: the definition accumulates in another type."""
    types = {n.type.element for n in (pattern, nest) if n.type is not None}
    return frozenset((ROUND_LESS,)) if len(types) > 1 else frozenset()


def _choose_sizes(pattern: ScalarGraph, nest: Nest, known: Mapping[str, Index]) -> Iterator[Sizes]:
    """Yield the sizes that a definition computes with: the known ones, and all ways to choose the others."""
    names = sorted(
        {
            str(leaf.args[0])
            for node in pattern.nodes
            if node.op == "size"
            for leaf in leaves(node.attribute)  # type: ignore[arg-type]
            if leaf.op == "symbol"
        }
    )
    own = tuple((name, known[name]) for name in names if name in known)
    others = [name for name in names if name not in known]
    if not others:
        yield own
        return
    inner = tuple(s for s, kind in zip(nest.sizes, nest.kinds, strict=True) if kind == "reduction")
    tables = (nest.reads[int(str(node.attribute))] for node in nest.expr.nodes if node.op == "gather")
    along = (size for table in tables if isinstance(table.source, View) for size in table.source.type.shape)
    candidates = list(dict.fromkeys((*nest.sizes, product(inner), *along)))
    for choice in itertools.islice(itertools.product(candidates, repeat=len(others)), _MOST_SIZES):
        yield (*own, *zip(others, choice, strict=True))


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two nodes that have to be unified."""

    wanted: Node
    found: Node


@dataclass(frozen=True, slots=True)
class _Bag:
    """Nodes that have to be unified with others in any order, each with a coefficient or None."""

    wanted: tuple[tuple[Node, Coefficient | None], ...]
    found: tuple[tuple[Node, Coefficient | None], ...]


_Task = _Pair | _Bag
_Bound = Mapping[tuple[str, int], int]


@dataclass(slots=True)
class _Unifier:
    """A search with backtracking, which gives up if there are too many ways."""

    exact: bool
    """True if both sides were normalised by the same laws, so that no constant was merged in one only."""
    truncates: bool = False
    """True where a constant of the dispatch may be the definition's, rounded towards zero."""
    steps: int = 0
    laws: frozenset[str] = frozenset()
    """Laws of constants that some way needed."""

    def unify(self, tasks: Sequence[_Task], bound: _Bound) -> Iterator[_Bound]:
        """Yield every way to do all tasks."""
        self.steps += 1
        if self.steps > _MOST_STEPS:
            return
        if not tasks:
            yield bound
            return
        first, rest = tasks[0], tasks[1:]
        if isinstance(first, _Bag):
            yield from self._unify_bag(first, rest, bound)
            return
        wanted, found = first.wanted, first.found
        if wanted.kind is not found.kind:
            return
        if wanted.op in ("read", "gather", "index"):
            kind, leaf = ("loop", found.attribute) if wanted.op == "index" else ("source", found.at)
            joined = with_leaf(bound, (kind, wanted.attribute), leaf)
            if joined is None:
                return
            bound = joined
        if wanted.op == "sum":
            bags = [_Bag(_scaled_parts(wanted), _scaled_parts(found))]
        elif wanted.op == "product":
            bags = [_plain(wanted.factors, found.factors), _plain(wanted.divisors, found.divisors)]
        elif wanted.op in _UNORDERED or (wanted.op in _COMPARISONS and wanted.attribute in _SYMMETRIC):
            bags = [_plain(wanted.parts, found.parts)]
        else:
            pairs = [_Pair(p, g) for p, g in zip(wanted.parts, found.parts, strict=True)]
            yield from self.unify([*pairs, *rest], bound) if self._same_numbers(wanted, found) else ()
            return
        if len(wanted.parts) != len(found.parts) or wanted.divided != found.divided:
            return
        if wanted.op != "sum" and not self._same_numbers(wanted, found):
            return
        yield from self.unify([*bags, *rest], bound)
        if wanted.op == "product":
            for turned in turn_squares(wanted.factors):
                yield from self.unify([_plain(turned, found.factors), bags[1], *rest], bound)

    def _unify_bag(self, bag: _Bag, rest: Sequence[_Task], bound: _Bound) -> Iterator[_Bound]:
        if not bag.wanted:
            yield from self.unify(rest, bound)
            return
        # the part with the fewest candidates is decided first
        likes: Counter[Kind] = Counter(node.kind for node, _ in bag.found)
        at = min(range(len(bag.wanted)), key=lambda i: likes[bag.wanted[i][0].kind])
        wanted, scale = bag.wanted[at]
        left = bag.wanted[:at] + bag.wanted[at + 1 :]
        for other, (found, factor) in enumerate(bag.found):
            if found.kind is not wanted.kind:
                continue
            if scale is not None and (factor is None or not self._agree(scale, factor, wanted.type)):
                continue
            remaining = _Bag(left, bag.found[:other] + bag.found[other + 1 :])
            yield from self.unify([_Pair(wanted, found), remaining, *rest], bound)

    def _same_numbers(self, wanted: Node, found: Node) -> bool:
        return len(wanted.coefficients) == len(found.coefficients) and all(
            self._agree(p, g, wanted.type) for p, g in zip(wanted.coefficients, found.coefficients, strict=True)
        )

    def _agree(self, wanted: Coefficient, found: Coefficient, element: str) -> bool:
        equal = wanted.value == found.value and wanted.factors == found.factors
        if equal or (not self.exact and agree(wanted, found, element)):
            return True
        if self.truncates and is_truncated(wanted, found, element):
            self.laws |= {"truncated-constant"}
            return True
        return False


_UNORDERED = COMMUTATIVE | {"maximum", "minimum"}
_COMPARISONS = frozenset(("arith.cmpf", "arith.cmpi"))
_SYMMETRIC = frozenset(("oeq", "one", "ord", "eq"))


def _scaled_parts(node: Node) -> tuple[tuple[Node, Coefficient | None], ...]:
    return tuple(zip(node.parts, node.coefficients, strict=True))


def _plain(wanted: Sequence[Node], found: Sequence[Node]) -> _Bag:
    return _Bag(tuple((n, None) for n in wanted), tuple((n, None) for n in found))
