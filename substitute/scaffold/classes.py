"""Loops of different nests that run over one axis, and their names."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..model.dispatch import Linear, Nest, Program, View
from ..model.index import Index

Loop = tuple[int, int]
"""Number of the stage (cores, then stores) and of the loop in it."""
PARALLEL = ("M", "N", "O", "P", "Q", "S", "T", "U", "V", "W")
REDUCTION = ("K", "L", "R", "C", "J", "I", "H", "G")


@dataclass(slots=True)
class LoopClasses:
    """Sets of loops, and of operands' dimensions, of which each is one axis."""

    stages: tuple[Nest, ...]
    _parent: dict[Hashable, Hashable] = field(default_factory=dict)
    _loops: dict[Hashable, set[Loop]] = field(default_factory=dict)

    def find(self, node: Hashable) -> Hashable:
        """Return the representative of a node's set."""
        parent = self._parent.setdefault(node, node)
        if parent == node:
            return node
        root = self.find(parent)
        self._parent[node] = root
        return root

    def size(self, loop: Loop) -> Index:
        """Return the size of a loop."""
        return self.stages[loop[0]].sizes[loop[1]]

    def join(self, a: Hashable, b: Hashable) -> bool:
        """Make two nodes one axis, unless that would make two loops of one nest the same; True if they are one."""
        first, second = self.find(a), self.find(b)
        if first == second:
            return True
        members = self._members(first) | self._members(second)
        if len({stage for stage, _ in members}) < len(members) or len({self.size(m) for m in members}) > 1:
            return False
        self._parent[second] = first
        self._loops[first] = members
        return True

    def _members(self, root: Hashable) -> set[Loop]:
        known = self._loops.get(root)
        if known is None:
            is_loop = isinstance(root, tuple) and len(root) == 2 and all(isinstance(part, int) for part in root)
            known = self._loops[root] = {root} if is_loop else set()  # type: ignore[arg-type]
        return known


def classify(program: Program, stages: Sequence[Nest]) -> LoopClasses:
    """Return the axes of a program: a loop is joined with those that number the same dimension of a tensor."""
    classes = LoopClasses(tuple(stages))
    produced = {nest.temporary: (number, nest) for number, nest in enumerate(stages) if nest.temporary >= 0}
    for number, nest in enumerate(stages):
        for read in nest.reads:
            if isinstance(read.source, int):
                core, producer = produced[read.source]
                for wanted, given in zip(read.access, producer.target, strict=False):
                    if wanted.loop is not None and given.loop is not None:
                        classes.join((core, given.loop), (number, wanted.loop))
        for source, access in list_views(nest):
            for dimension, coordinate in enumerate(access):
                if coordinate.loop is not None:
                    classes.join((number, coordinate.loop), (source, dimension, "dimension"))
    return classes


def list_views(nest: Nest) -> Iterator[tuple[View, tuple[Linear, ...]]]:
    """Yield the windows that a nest reads, without those it gathers from, and then those that it writes."""
    gathered = nest.gathered
    for number, read in enumerate(nest.reads):
        if isinstance(read.source, View) and number not in gathered:
            yield read.source, read.access
    for write in nest.writes:
        yield write.view, write.access


def list_operands(nest: Nest) -> Iterator[View]:
    """Yield the windows that a nest reads, gathers from and writes."""
    yield from (read.source for read in nest.reads if not isinstance(read.source, int))
    yield from (write.view for write in nest.writes)


def name_axes(order: Iterable[tuple[Hashable, bool]], taken: Iterable[str] = ()) -> dict[Hashable, str]:
    """Return a name for each axis: `order` gives them with True for one that is summed over."""
    names: dict[Hashable, str] = {}
    used = set(taken)
    for axis, summed in order:
        if axis in names:
            continue
        letters = (*(REDUCTION if summed else PARALLEL), *(REDUCTION + PARALLEL))
        numbered = (f"{'K' if summed else 'M'}{n}" for n in range(1000))
        names[axis] = next(name for name in (*letters, *numbered) if name not in used)
        used.add(names[axis])
    return names
