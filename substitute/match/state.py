"""State of a match: the facts that the loop nests matched so far share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..model.dispatch import Read
from ..model.index import Index, product
from ..model.kernel import Kernel, OperandSpec
from ..model.parameter import ParameterValue
from ..model.plan import Axis, Placement, Rule
from .temporaries import Produced


@dataclass(frozen=True, slots=True)
class NestMatch:
    """Match of one nest of the definition with one of the dispatch."""

    axes: tuple[Axis, ...]
    sources: dict[int, Read]
    """Read of the dispatch for each argument of the definition (absent under a prologue)."""
    placements: dict[int, Placement]
    operation_count: int
    produced: tuple[tuple[int, Produced], ...] = ()
    """The definition's temporaries of this core, each with the dispatch's."""
    parameters: tuple[tuple[int, ParameterValue], ...] = ()
    """Values of the definition's parameters, by their numbers."""
    laws: frozenset[str] = frozenset()
    """Laws by which the two bodies have one form."""
    inputs: tuple[tuple[int, int], ...] = ()
    """Under a prologue: the node of the dispatch for each argument of the definition."""


@dataclass(frozen=True, slots=True)
class State:
    """Facts that the nests matched so far have in common."""

    axes: dict[str, Axis]
    sources: dict[int, Read]
    placements: dict[int, Placement]
    produced: dict[int, Produced]
    parameters: dict[int, ParameterValue]
    laws: set[str]
    inputs: dict[int, int] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, Index]:
        """Sizes of the axes that are bound."""
        return {name: axis.size for name, axis in self.axes.items()}

    def copy(self) -> State:
        """Return a copy of the state."""
        return State(
            dict(self.axes),
            dict(self.sources),
            dict(self.placements),
            dict(self.produced),
            dict(self.parameters),
            set(self.laws),
            dict(self.inputs),
        )

    def add(self, result: NestMatch) -> Rule | None:
        """Add a nest, or return the rule by which it contradicts the others."""
        for axis in result.axes:
            size = self.axes.get(axis.name, axis).size
            if size != axis.size:
                return Rule(
                    name="structure.axes",
                    passed=False,
                    expected=f"{axis.name} = {size} everywhere",
                    found=f"{axis.name} = {axis.size}",
                )
        for number, placement in result.placements.items():
            if self.placements.get(number, placement) != placement:
                return reject_two_tensors(placement.name)
        for axis in result.axes:
            self.axes.setdefault(axis.name, axis)
        self.sources.update(result.sources)
        self.placements.update(result.placements)
        self.produced.update(result.produced)
        self.parameters.update(result.parameters)
        self.laws.update(result.laws)
        self.inputs.update(result.inputs)
        return None

    def measure(self, operands: Sequence[OperandSpec]) -> Rule | None:
        """Add the axes of operands that no loop runs over, such as a window's, with the size of the part that is read.

        Returns the rule that fails if an axis has another size elsewhere.
        """
        for number, placement in sorted(self.placements.items()):
            spec = operands[number]
            for name, dimension in zip(spec.axes, placement.dimensions, strict=True):
                size = product(tuple(count for count, _ in dimension))
                axis = self.axes.setdefault(name, Axis(name=name, loops=(), sizes=(size,)))
                if axis.size != size:
                    return Rule(
                        name="structure.axes",
                        passed=False,
                        expected=f"{name} = {axis.size} everywhere",
                        found=f"{name} = {size} along {spec.name}",
                    )
        return None


def reject_two_tensors(name: str) -> Rule:
    """Return the failed rule for a definition that uses one operand twice where the dispatch has two tensors."""
    return Rule(
        name="structure.operands",
        passed=False,
        expected=f"one tensor in every place of {name}",
        found="two, or one read in two ways",
    )


def is_generated(kernel: Kernel) -> bool:
    """Return True for payloads that get the whole dispatch (generators, rules, IREE itself), not only operands."""
    return kernel.payload.kind.sees_dispatch
