"""Measure of the distance between a kernel and a dispatch that it does not match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import lru_cache

from ..model.dispatch import Named, Nest, Program, Stage
from ..model.kernel import Form, Kernel
from ..model.plan import Decision

Features = frozenset[tuple[Hashable, int]]
"""Elements of a program, each with its ordinal among equals, so that the intersection counts common ones."""

# fmt: off
_STAGES = ("target", "select", "layout.bindings", "layout.constants", "structure.read", "executable", "device",
           "structure.cores", "structure", "layout", "parameter", "constraint", "choice", "frozen", "numerics",
           "payload")
# fmt: on
"""The rules in the order in which they are checked."""
_FITS = 2.0
"""Score of a matching structure: more than any likeness, which is at most 1."""
_NAMED_COUNTS = 8
_OF_ITS_KIND = 1.5
"""Score of a dispatch of the right kind, for a kernel without a definition."""


def nearest_miss(decisions: Sequence[Decision]) -> Decision | None:
    """Return the rejected decision that came nearest; None if none is informative."""
    told = (d for d in decisions if not d.accepted and not (d.kernel.builtin and _asks_everything(d.kernel)))
    return max(told, key=nearness, default=None)


def nearness(decision: Decision) -> tuple[float, int, bool, bool, str]:
    """Return the nearness of a rejected kernel, greater being nearer.

    First the likeness of the two computations, where a matching structure counts most; then the rule that failed; then
    the user's own kernels; then a kernel of fixed element types; then, for a fixed order, the name.
    """
    kernel, stage = decision.kernel, _stage(decision.rules[-1].name)
    name = "".join(chr(0x10FFFF - ord(c)) for c in kernel.name)  # `max` prefers the first name of the alphabet
    return _score(decision, stage), stage, not kernel.builtin, not kernel.types, name


def nearest_form(kernel: Kernel, forms: Iterable[Form], program: Program) -> Form:
    """Return the form that is most like the program, the first of equals."""
    first, *others = forms
    return max((first, *others), key=lambda form: measure_likeness(kernel, form, program)) if others else first


def measure_likeness(kernel: Kernel, form: Form, program: Program) -> float:
    """Return the likeness of a form and a program: twice their common parts divided by the parts of both.

    Work after the cores does not count for a kernel with an epilogue, which accepts any, nor do producers for one with
    a prologue.
    """
    stores = "epilogue" not in kernel.slots or not form.program.cores
    producers = "prologue" not in kernel.slots
    wanted, found = (_features(_ById(p), stores, producers) for p in (form.program, program))
    return 2 * len(wanted & found) / max(1, len(wanted) + len(found))


def _asks_everything(kernel: Kernel) -> bool:
    """Return True for a rule that examines every dispatch itself: its refusal is not informative."""
    selective = kernel.forms or kernel.dispatches or kernel.kinds
    return kernel.payload.kind.selects_by_code and not selective


def _stage(rule: str) -> int:
    exact = [i for i, name in enumerate(_STAGES) if rule == name]
    return exact[0] if exact else max((i for i, name in enumerate(_STAGES) if rule.startswith(name)), default=0)


def _score(decision: Decision, stage: int) -> float:
    kernel, program = decision.kernel, decision.dispatch.program
    if _asks_everything(kernel):
        return -1.0
    if stage > _STAGES.index("layout") and kernel.forms:
        return _FITS
    if kernel.forms and program is not None:
        return max(measure_likeness(kernel, form, program) for form in kernel.forms)
    if kernel.dispatches or kernel.kinds:
        return 0.0 if stage <= _STAGES.index("select") else _OF_ITS_KIND
    return 0.0


class _ById:
    """Key that compares by identity: hashing a whole program takes longer than the cached computation."""

    __slots__ = ("program",)

    def __init__(self, program: Program) -> None:
        self.program = program

    def __hash__(self) -> int:
        return id(self.program)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.program is self.program


@lru_cache(maxsize=4096)
def _features(key: _ById, stores: bool, producers: bool) -> Features:
    cores = (core for core in key.program.cores if producers or isinstance(core, Named) or core.combiner)
    stages: tuple[Stage, ...] = (*cores, *(key.program.stores if stores else ()))
    counted = Counter(feature for stage in stages for feature in _of_stage(stage))
    return frozenset((feature, number) for feature, count in counted.items() for number in range(count))


def _of_stage(stage: Stage) -> Iterator[Hashable]:
    """Yield each operation twice: once by its kind, whatever its type, and once exactly."""
    if isinstance(stage, Named):
        # it is several loop nests in one, and unlike anything else
        yield from (("core", stage.op, number) for number in range(_NAMED_COUNTS))
        yield ("core", stage.op, stage.types[0].element)
        return
    yield from (("core", _family(stage.combiner)), ("core", stage.combiner, stage.type and stage.type.element))
    yield from (("loop", kind) for kind in stage.kinds)
    for read in stage.reads:
        yield ("read", read.type.element)
        yield ("window", any(len(coordinate.terms) > 1 for coordinate in read.access))
    yield from _of_body(stage)


def _of_body(nest: Nest) -> Iterator[Hashable]:
    for node in nest.expr.nodes:
        if node.operands:
            yield from (("operation", _family(node.op)), ("operation", node.op, node.type))
        elif node.op == "constant":
            yield ("constant", repr(node.attribute))


_FAMILIES = ("add", "sub", "mul", "div", "rem", "max", "min", "cmp", "ext", "trunc", "sh")


def _family(op: str) -> str:
    """Return the family of an operation: `add` for `arith.addf` and `arith.addi`."""
    name = op.partition(".")[2] or op
    return next((family for family in _FAMILIES if op.startswith("arith.") and name.startswith(family)), name)
