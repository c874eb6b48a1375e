"""Expansion of named softmax into loops, so that a definition and a dispatch may use either form."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import cast

from ..model.dispatch import Linear, LoopKind, Named, Nest, Program, Stage, TensorType
from ..model.inlining import Emit, Inliner
from ..model.nest import ZERO, NestBuilder, loop
from ..read.operation import parallel
from .identity import ByIdentity


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
        self._inliner = Inliner()
        self._cores: list[Stage] = []

    def run(self) -> Program:
        for core in self._program.cores:
            if isinstance(core, Nest) and not core.combiner:
                self._inliner.define_nest(core)
            elif isinstance(core, Nest):
                self._cores.append(self._inliner.rewrite(core))
            elif _is_softmax(core):
                self._softmax(core)
            elif self._inliner.is_needed_whole(core):
                return self._program
            else:
                self._cores.append(core)
        stores = tuple(self._inliner.rewrite(nest) for nest in self._program.stores)
        return replace(self._program, cores=tuple(self._cores), stores=stores)

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
            x = self._inliner.read(read, at, builder)
            top = builder.read(highest, tuple(at[d] for d in outer), statistic)
            return builder.graph.add("math.exp", element, (builder.graph.add("arith.subf", element, (x, top)),))

        def result(at: tuple[Linear, ...], builder: NestBuilder) -> int:
            above = shifted(at, builder)
            below = builder.read(total, tuple(at[d] for d in outer), statistic)
            return builder.graph.add("arith.divf", element, (above, below))

        def whole(at: tuple[Linear, ...], builder: NestBuilder) -> int:
            return self._inliner.read(read, at, builder)

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
        self._inliner.define(core.temporaries[0], result)
