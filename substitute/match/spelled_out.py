"""Expansion of named softmax into loops, so that a definition and a dispatch may use either form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import cast

from ..model.dispatch import Linear, LoopKind, Named, Nest, Program, Read, Stage, TensorType, View
from ..model.scalar import Scalar
from ..read.nest import ZERO, NestBuilder, compose, loop
from ..read.operation import parallel
from .identity import ByIdentity

Emit = Callable[[tuple[Linear, ...], NestBuilder], int]
"""Function that creates the element of a value at some coordinates."""


def spell_out(program: Program) -> Program | None:
    """Return the program with each softmax as a maximum, a sum and their use; None if it has none.

    Element-wise work before a softmax is inlined, as before any other loops.
    """
    if not any(_is_softmax(core) for core in program.cores):
        return None
    return _spell_out(ByIdentity(program))


@lru_cache(maxsize=1024)
def _spell_out(key: ByIdentity) -> Program:
    """Expand a program; cached, as each program is compared with many."""
    return _Speller(cast(Program, key.held)).run()


def _is_softmax(core: Stage) -> bool:
    if not isinstance(core, Named) or core.op != "linalg.softmax":
        return False
    return core.reads[0].type.shape[_dimension(core)] != 1


def _dimension(core: Named) -> int:
    return int(dict(core.attributes)["dimension"].partition(":")[0])


class _Speller:
    def __init__(self, program: Program) -> None:
        self._program = program
        numbers = [n for c in program.cores for n in (c.temporaries if isinstance(c, Named) else (c.temporary,))]
        self._next = max(numbers, default=-1) + 1
        self._inlined: dict[int, Emit] = {}
        self._cores: list[Stage] = []

    def run(self) -> Program:
        for core in self._program.cores:
            if isinstance(core, Named):
                if _is_softmax(core):
                    self._softmax(core)
                else:
                    self._cores.append(core)
            elif core.combiner:
                self._cores.append(self._nest(core))
            else:
                self._inlined[core.temporary] = self._elementwise(core)
        read_by_name = {r.source for c in self._cores if isinstance(c, Named) for r in c.reads}
        if read_by_name & self._inlined.keys():
            return self._program  # another named operation needs the whole tensor
        return replace(
            self._program, cores=tuple(self._cores), stores=tuple(self._nest(n) for n in self._program.stores)
        )

    def _nest(self, nest: Nest) -> Nest:
        """Return a nest with reads of an inlined value replaced by its body."""
        if not any(read.source in self._inlined for read in nest.reads):
            return nest
        builder = NestBuilder()
        loops = tuple(loop(number) for number in range(len(nest.sizes)))
        results = self._copy(nest, loops, builder)
        reads, expr = builder.finish(results)
        return replace(nest, reads=reads, expr=expr)

    def _copy(self, nest: Nest, loops: tuple[Linear, ...], builder: NestBuilder) -> tuple[int, ...]:
        """Create a nest's body at these coordinates of its loops; return its results."""
        moved: list[int] = []
        for node in nest.expr.nodes:
            operands = tuple(moved[o] for o in node.operands)
            moved.append(self._node(nest, node, operands, loops, builder))
        return tuple(moved[r] for r in nest.expr.results)

    def _node(
        self, nest: Nest, node: Scalar, operands: tuple[int, ...], loops: tuple[Linear, ...], builder: NestBuilder
    ) -> int:
        if node.op == "index":
            return builder.coordinate(loops[int(str(node.attribute))])
        if node.op == "gather":
            read = nest.reads[int(str(node.attribute))]
            return builder.gather(read.source, read.type, operands)
        if node.op != "read":
            return builder.graph.add(node.op, node.type, operands, node.attribute)
        read = nest.reads[int(str(node.attribute))]
        return self._read(read, tuple(compose(c, loops) for c in read.access), builder)

    def _read(self, read: Read, at: tuple[Linear, ...], builder: NestBuilder) -> int:
        if not isinstance(read.source, View) and read.source in self._inlined:
            return self._inlined[read.source](at, builder)
        return builder.read(read.source, at, read.type)

    def _elementwise(self, nest: Nest) -> Emit:
        def emit(at: tuple[Linear, ...], builder: NestBuilder) -> int:
            loops = [ZERO] * len(nest.sizes)
            for coordinate, given in zip(nest.target, at, strict=True):
                if coordinate.loop is not None:
                    loops[coordinate.loop] = given
            return self._copy(nest, tuple(loops), builder)[0]

        return emit

    def _softmax(self, core: Named) -> None:
        read, shape, element = core.reads[0], core.reads[0].type.shape, core.types[0].element
        along = _dimension(core)
        moving = [d for d, size in enumerate(shape) if size != 1]
        outer = [d for d in moving if d != along]
        order = [*outer, along]
        kinds: tuple[LoopKind, ...] = (*parallel(len(outer)), "reduction")
        at = tuple(loop(order.index(d)) if d in order else ZERO for d in range(len(shape)))
        statistic = TensorType(shape=tuple(shape[d] for d in outer), element=element)
        target = tuple(loop(number) for number in range(len(outer)))
        highest, total = self._next, self._next + 1
        self._next += 2

        def shifted(at: tuple[Linear, ...], builder: NestBuilder) -> int:
            x = self._read(read, at, builder)
            top = builder.read(highest, tuple(at[d] for d in outer), statistic)
            return builder.graph.add("math.exp", element, (builder.graph.add("arith.subf", element, (x, top)),))

        def result(at: tuple[Linear, ...], builder: NestBuilder) -> int:
            above = shifted(at, builder)
            below = builder.read(total, tuple(at[d] for d in outer), statistic)
            return builder.graph.add("arith.divf", element, (above, below))

        def whole(at: tuple[Linear, ...], builder: NestBuilder) -> int:
            return self._read(read, at, builder)

        emitters: tuple[tuple[Emit, str, float, int], ...] = (
            (whole, "arith.maximumf", -math.inf, highest),
            (shifted, "arith.addf", 0.0, total),
        )
        for emit, combiner, start, number in emitters:
            builder = NestBuilder()
            reads, expr = builder.finish((emit(at, builder),))
            self._cores.append(
                Nest(
                    sizes=tuple(shape[d] for d in order),
                    kinds=kinds,
                    reads=reads,
                    expr=expr,
                    combiner=combiner,
                    init=start,
                    target=target,
                    temporary=number,
                    type=statistic,
                )
            )
        self._inlined[core.temporaries[0]] = result
