"""Element-wise work inlined into the loop nests that read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .dispatch import Linear, Named, Nest, Program, Read, Stage, View
from .nest import ZERO, NestBuilder, compose, loop
from .scalar import Scalar

Emit = Callable[[tuple[Linear, ...], NestBuilder], int]
"""Function that creates the element of a value at some coordinates."""


class Inliner:
    """Temporaries that are computed where they are read."""

    def __init__(self) -> None:
        self._emitters: dict[int, Emit] = {}

    def define(self, temporary: int, emit: Emit) -> None:
        """Define the elements of a temporary."""
        self._emitters[temporary] = emit

    def define_nest(self, nest: Nest) -> None:
        """Define the temporary of an element-wise nest."""

        def emit(at: tuple[Linear, ...], builder: NestBuilder) -> int:
            loops = [ZERO] * len(nest.sizes)
            for coordinate, given in zip(nest.target, at, strict=True):
                if coordinate.loop is not None:
                    loops[coordinate.loop] = given
            return self._copy(nest, tuple(loops), builder)[0]

        self.define(nest.temporary, emit)

    def is_needed_whole(self, core: Stage) -> bool:
        """Return True for a named operation that reads a defined temporary, which it needs as a tensor."""
        return isinstance(core, Named) and any(read.source in self._emitters for read in core.reads)

    def rewrite(self, nest: Nest) -> Nest:
        """Return a nest with reads of defined temporaries replaced by what they compute."""
        if not any(read.source in self._emitters for read in nest.reads):
            return nest
        builder = NestBuilder()
        loops = tuple(loop(number) for number in range(len(nest.sizes)))
        results = self._copy(nest, loops, builder)
        reads, expr = builder.finish(results)
        return replace(nest, reads=reads, expr=expr)

    def read(self, read: Read, at: tuple[Linear, ...], builder: NestBuilder) -> int:
        """Return the node for the element of a read's source at some coordinates."""
        if not isinstance(read.source, View) and read.source in self._emitters:
            return self._emitters[read.source](at, builder)
        return builder.read(read.source, at, read.type)

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
        return self.read(read, tuple(compose(c, loops) for c in read.access), builder)


def inline_producers(program: Program) -> Program:
    """Return the program without element-wise cores: each is computed in the nests that read it.

    One that a named operation reads stays, and so do all others.
    """
    inliner = Inliner()
    cores: list[Stage] = []
    for core in program.cores:
        if isinstance(core, Nest) and not core.combiner:
            inliner.define_nest(core)
        elif inliner.is_needed_whole(core):
            return program
        else:
            cores.append(inliner.rewrite(core) if isinstance(core, Nest) else core)
    if len(cores) == len(program.cores):
        return program
    return replace(program, cores=tuple(cores), stores=tuple(inliner.rewrite(n) for n in program.stores))
