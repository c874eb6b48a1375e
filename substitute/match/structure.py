"""Does a dispatch compute what a kernel's definition says?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..model.dispatch import Named, Nest, Program, Stage, View
from ..model.kernel import Form, Kernel
from ..model.parameter import BoundParameter
from ..model.plan import Axis, Placement, Rule
from .by_laws import unify_bodies
from .difference import find_difference
from .expression import unify
from .memory import check_in_place
from .named import match_named
from .nests import bind_nest, operand_name
from .parameters import bind_parameters, find_conflict
from .state import NestMatch, State, is_generated
from .stores import match_stores

Head = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """Match of one form with a dispatch."""

    axes: tuple[Axis, ...]
    arguments: tuple[View, ...]
    placements: tuple[Placement, ...]
    specificity: int
    parameters: tuple[BoundParameter, ...] = ()
    laws: tuple[str, ...] = ()


def list_cores(program: Program) -> Head:
    """Return the cores in order, which are compared first because that is cheapest."""
    return tuple(core.op if isinstance(core, Named) else core.combiner or "element-wise" for core in program.cores)


def match_form(kernel: Kernel, form: Form, program: Program) -> Shape | Rule:
    """Return the match of the form with the program, or the rule that failed closest to success."""
    absent = _absent_type(kernel, form, program)
    if absent:
        return Rule(name="structure.type", passed=False, expected=f"operands of type {absent}", found="none")
    wanted, found = list_cores(form.program), list_cores(program)
    if wanted != found:
        return Rule(name="structure.cores", passed=False, expected=_heads(wanted), found=_heads(found))
    in_place = check_in_place(kernel, program)
    if in_place is not None:
        return in_place
    state = State({}, {}, {}, {}, {}, set())
    operation_count = 0
    for pattern, core in zip(form.program.cores, program.cores, strict=True):
        result = _match_core(kernel, form, pattern, core, state)
        rule = result if isinstance(result, Rule) else state.add(result)
        if rule is not None:
            return rule
        assert isinstance(result, NestMatch)
        operation_count += result.operation_count
    stored = match_stores(kernel, form, program, state)
    if isinstance(stored, Rule):
        return stored
    conflict = state.measure(kernel.operands)
    if conflict is not None:
        return conflict
    placements = tuple(placement for _, placement in sorted(state.placements.items()))
    written = tuple(w.view for nest in program.stores for w in nest.writes)
    if not kernel.slots and len(placements) == len(kernel.operands):
        arguments = tuple(placement.view for placement in placements)
    elif kernel.slots or is_generated(kernel):
        sources = (source for _, source in sorted(state.sources.items()))
        arguments = (*(source.source for source in sources if isinstance(source.source, View)), *written)
    else:
        missing = (spec.name for number, spec in enumerate(kernel.operands) if number not in state.placements)
        return Rule(
            name="structure.operands",
            passed=False,
            expected="a definition that uses all its operands",
            found=f"nothing that corresponds to {', '.join(missing)}",
        )
    parameters = bind_parameters(kernel, program, state.parameters)
    if isinstance(parameters, Rule):
        return parameters
    axes, laws = tuple(state.axes.values()), tuple(sorted(state.laws))
    return Shape(axes, arguments, placements, operation_count + stored, parameters, laws)


def _absent_type(kernel: Kernel, form: Form, program: Program) -> str:
    """Return an element type that no operand of a dispatch has: the cheapest check of a kernel with `[types]`."""
    if not kernel.types or kernel.slots or is_generated(kernel):
        return ""
    there = {operand.type.element for operand in program.operands}
    # (an i1 lies in memory as i8)
    wanted = {operand.type.element for operand in form.program.operands} - {"i1"}
    return min(wanted - there, default="")


def _match_core(kernel: Kernel, form: Form, pattern: Stage, core: Stage, state: State) -> NestMatch | Rule:
    if isinstance(pattern, Named) and isinstance(core, Named):
        return match_named(kernel, form, pattern, core, state.produced)
    if not (isinstance(pattern, Nest) and isinstance(core, Nest)):
        return Rule(name="structure.cores", passed=False, expected="the same kinds of core", found="others")
    if pattern.type and core.type and pattern.type.element != core.type.element:
        return Rule(
            name="structure.type",
            passed=False,
            expected=f"accumulation in {pattern.type.element}",
            found=core.type.element,
        )
    if repr(pattern.init) != repr(core.init) and not _same_zero(pattern.init, core.init):
        return Rule(name="structure.init", passed=False, expected=f"a start from {pattern.init}", found=str(core.init))
    best: Rule | None = None
    for unified in unify_bodies(pattern, core, state.sizes, kernel.laws, prologue="prologue" in kernel.slots):
        result = bind_nest(kernel, form, pattern, core, unified, state.produced)
        if isinstance(result, NestMatch):
            conflict = find_conflict(kernel, state.parameters, dict(result.parameters))
            if conflict is None:
                return result
            result = conflict
        best = best or result  # the first order of operands is the one that people wrote
    if best is not None:
        return best
    names = tuple(operand_name(kernel, form, read) for read in pattern.reads)
    what = f"{pattern.combiner.partition('.')[2]} of" if pattern.combiner else ""
    different = find_difference(pattern, core, names, prologue="prologue" in kernel.slots, what=what)
    return Rule(
        name="structure.body",
        passed=False,
        expected=different.expected,
        found=different.found + _prologue_hint(kernel, pattern, core),
    )


def _same_zero(a: object, b: object) -> bool:
    """Return True for 0.0 and -0.0: a sum may start from either, and IREE writes both."""
    return a == b == 0


def _heads(value: Head) -> str:
    return " then ".join(value) if value else "element-wise work only"


def _prologue_hint(kernel: Kernel, pattern: Nest, core: Nest) -> str:
    if "prologue" in kernel.slots:
        return ""
    fits: Callable[[], Iterator[object]] = lambda: unify(pattern.expr, core.expr, prologue=True)  # noqa: E731
    return " (it would fit with a prologue slot)" if next(iter(fits()), None) else ""
