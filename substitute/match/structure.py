"""Check that a dispatch computes a kernel's definition."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

from ..model.dispatch import Named, Nest, Program, Stage, View
from ..model.kernel import Form, Kernel
from ..model.parameter import BoundParameter
from ..model.plan import Axis, Placement, Rule
from .by_laws import may_round_less, unify_bodies
from .difference import find_difference
from .expression import unify
from .identity import ByIdentity
from .memory import check_in_place
from .named import match_named
from .nests import bind_nest, operand_name
from .normal.roundings import NARROW, WIDE, computes_wide
from .parameters import bind_parameters, find_conflict
from .spelled_out import spell_out
from .state import NestMatch, State, is_generated
from .stores import match_stores

Head = tuple[str, ...]
_ELEMENTWISE = "element-wise"
_SOFTMAX = "linalg.softmax"
_MOST_WAYS = 48
"""Limit of the ways to match the nests of one form."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Match of one form with a dispatch."""

    axes: tuple[Axis, ...]
    arguments: tuple[View, ...]
    placements: tuple[Placement, ...]
    specificity: int
    parameters: tuple[BoundParameter, ...] = ()
    laws: tuple[str, ...] = ()
    inputs: tuple[tuple[str, int], ...] = ()


def list_cores(program: Program) -> Head:
    """Return the cores in order, which are compared first because that is cheapest."""
    return _list_cores(ByIdentity(program))


@lru_cache(maxsize=4096)
def _list_cores(key: ByIdentity) -> Head:
    program = cast(Program, key.held)
    return tuple(core.op if isinstance(core, Named) else core.combiner or _ELEMENTWISE for core in program.cores)


def omit_producers(program: Program) -> Program:
    """Return the program without the element-wise cores that only named operations read.

    They are work in front of these operations, which goes into the kernel's prologue.
    """
    named = {read.source for core in program.cores if isinstance(core, Named) for read in core.reads}
    nests = [stage for stage in (*program.cores, *program.stores) if isinstance(stage, Nest)]
    others = {read.source for nest in nests for read in nest.reads}
    cores = tuple(c for c in program.cores if isinstance(c, Named) or c.combiner or c.temporary not in named - others)
    return program if len(cores) == len(program.cores) else replace(program, cores=cores)


def refuse_by_cores(kernel: Kernel, program: Program) -> Rule | None:
    """Return the rule that every form of a kernel fails for other cores; None where `match_form` has to decide.

    Most pairs of a kernel and a dispatch end here, so that a large catalog costs little.
    """
    return None if kernel.types else _refuse_by_cores(ByIdentity(kernel), list_cores(program))


@lru_cache(maxsize=1 << 16)
def _refuse_by_cores(key: ByIdentity, found: Head) -> Rule | None:
    kernel = cast(Kernel, key.held)
    heads = {list_cores(form.program) for form in kernel.forms}
    if len(heads) != 1 or found in heads or _SOFTMAX in found or _ELEMENTWISE in found:
        return None
    (wanted,) = heads
    if _SOFTMAX in wanted:
        return None
    return Rule(name="structure.cores", passed=False, expected=_heads(wanted), found=_heads(found))


def match_form(kernel: Kernel, form: Form, program: Program) -> Shape | Rule:
    """Return the match of the form with the program, or the rule that failed closest to success."""
    absent = _absent_type(kernel, form, program)
    if absent:
        return Rule(name="structure.type", passed=False, expected=f"operands of type {absent}", found="none")
    wanted, found = list_cores(form.program), list_cores(program)
    alike = wanted == found
    named = _SOFTMAX in wanted or _SOFTMAX in found
    if named and (not alike or _ELEMENTWISE in wanted) and not kernel.slots and not is_generated(kernel):
        # code that sees the dispatch would look for the operation that its definition names
        own, spelled = spell_out(form.program), spell_out(program)
        if own is not None or spelled is not None:
            form, program = replace(form, program=own or form.program), spelled or program
            alike = list_cores(form.program) == list_cores(program)
    bare = program
    if not alike and _ELEMENTWISE in found and "prologue" in kernel.slots:
        bare = omit_producers(program)
        alike = list_cores(bare) == wanted
    if not alike:
        return Rule(name="structure.cores", passed=False, expected=_heads(wanted), found=_heads(found))
    in_place = check_in_place(kernel, program)
    if in_place is not None:
        return in_place
    state = State({}, {}, {}, {}, {}, set())
    best: Rule | None = None
    for result in itertools.islice(_match_from(kernel, form, bare, 0, state, 0), _MOST_WAYS):
        if isinstance(result, Shape):
            return result
        best = best or result  # the first order of operands is that of the source
    assert best is not None
    return best


def _match_from(
    kernel: Kernel, form: Form, program: Program, at: int, state: State, operation_count: int
) -> Iterator[Shape | Rule]:
    """Yield the outcome of each way to match the cores from this one on, and then the stores.

    The operands of a matched core may still be exchanged, which only later nests determine.
    """
    if at == len(program.cores):
        yield _conclude(kernel, form, program, state, operation_count)
        return
    for result in _match_core(kernel, form, form.program.cores[at], program.cores[at], state):
        if isinstance(result, Rule):
            yield result
            continue
        own = state.copy()
        rule = own.add(result)
        if rule is not None:
            yield rule
            continue
        yield from _match_from(kernel, form, program, at + 1, own, operation_count + result.operation_count)


def _conclude(kernel: Kernel, form: Form, program: Program, state: State, operation_count: int) -> Shape | Rule:
    """Match the stores, once all cores are matched."""
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
    inputs = tuple((kernel.operands[number].name, node) for number, node in sorted(state.inputs.items()))
    return Shape(axes, arguments, placements, operation_count + stored, parameters, laws, inputs)


def _absent_type(kernel: Kernel, form: Form, program: Program) -> str:
    """Return an element type that no operand of a dispatch has: the cheapest check of a kernel with `[types]`."""
    if not kernel.types or kernel.slots or is_generated(kernel):
        return ""
    there = {operand.type.element for operand in program.operands}
    # (an i1 is stored as i8)
    wanted = {operand.type.element for operand in form.program.operands} - {"i1"}
    return min(wanted - there, default="")


def _match_core(kernel: Kernel, form: Form, pattern: Stage, core: Stage, state: State) -> Iterator[NestMatch | Rule]:
    """Yield every match of a core, or the rule that fails if there is none."""
    if isinstance(pattern, Named) and isinstance(core, Named):
        named = match_named(kernel, form, pattern, core, state.produced)
        conflict = None if isinstance(named, Rule) else find_conflict(kernel, state.parameters, dict(named.parameters))
        yield conflict or named
        return
    if not (isinstance(pattern, Nest) and isinstance(core, Nest)):
        yield Rule(name="structure.cores", passed=False, expected="the same kinds of core", found="others")
        return
    if not _may_accumulate(kernel, pattern, core):
        assert pattern.type and core.type
        expected = f"accumulation in {pattern.type.element}"
        yield Rule(name="structure.type", passed=False, expected=expected, found=core.type.element)
        return
    if repr(pattern.init) != repr(core.init) and not _same_zero(pattern.init, core.init):
        yield Rule(name="structure.init", passed=False, expected=f"a start from {pattern.init}", found=str(core.init))
        return
    unified_once = False
    for unified in unify_bodies(pattern, core, state.sizes, kernel):
        unified_once = True
        result = bind_nest(kernel, form, pattern, core, unified, state.produced)
        if isinstance(result, NestMatch):
            yield find_conflict(kernel, state.parameters, dict(result.parameters)) or result
        else:
            yield result
    if not unified_once:
        yield _reject_body(kernel, form, pattern, core)


def _may_accumulate(kernel: Kernel, pattern: Nest, core: Nest) -> bool:
    """Return True if the definition's nest accumulates in the dispatch's type, or rounds less than that."""
    if pattern.type is None or core.type is None or pattern.type.element == core.type.element:
        return True
    narrower = pattern.type.element == WIDE and core.type.element in NARROW
    return narrower and may_round_less(kernel) and computes_wide(pattern)


def _reject_body(kernel: Kernel, form: Form, pattern: Nest, core: Nest) -> Rule:
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


@lru_cache(maxsize=1024)
def _heads(value: Head) -> str:
    return " then ".join(value) if value else "element-wise work only"


def _prologue_hint(kernel: Kernel, pattern: Nest, core: Nest) -> str:
    if "prologue" in kernel.slots:
        return ""
    fits: Callable[[], Iterator[object]] = lambda: unify(pattern.expr, core.expr, prologue=True)  # noqa: E731
    return " (it would fit with a prologue slot)" if next(iter(fits()), None) else ""
