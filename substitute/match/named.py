"""Match of operations that are not loop nests (softmax, attention, …) with those of a definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..model.dispatch import Linear, Named, Nest, Read, View
from ..model.index import Expr
from ..model.kernel import Form, Kernel
from ..model.parameter import ParameterValue
from ..model.plan import Axis, Placement, Rule
from ..model.scalar import Scalar, ScalarGraph
from ..read.named import UNKNOWN
from .axes import assign, axis_of_loops, bind_axes
from .difference import describe_expression
from .expression import LoopUse, loop_uses, unify
from .nests import operand_name, place_operand
from .parameters import find_conflict, find_values, reject_value
from .state import NestMatch, reject_two_tensors
from .temporaries import Produced, check_temporary


def match_named(
    kernel: Kernel, form: Form, pattern: Named, core: Named, produced: Mapping[int, Produced]
) -> NestMatch | Rule:
    """Match a named operation: softmax as loops over its input, others dimension by dimension."""
    if pattern.op == "linalg.softmax":
        wanted, found = _softmax_nest(pattern), _softmax_nest(core)
        axis_names = axis_of_loops(wanted, kernel.operands)
        choices = assign(
            wanted,
            _whole_uses(wanted),
            found,
            _whole_uses(found),
            kernel.groups,
            axis_names,
            (operand_name(kernel, form, pattern.reads[0]),),
        )
        if isinstance(choices, Rule):
            return choices
        if pattern.types[0].element != core.types[0].element:
            return Rule(
                name="structure.type", passed=False, expected=pattern.types[0].element, found=core.types[0].element
            )
        best: Rule | None = None
        for assignment in choices:
            axes = bind_axes(wanted, axis_names, assignment, found)
            result = (
                axes if isinstance(axes, Rule) else _named_layouts(kernel, pattern, core, wanted, found, axes, produced)
            )
            if isinstance(result, NestMatch):
                return result
            best = best or result
        assert best is not None
        return best
    rule = _check_named(pattern, core)
    if rule is not None:
        return rule
    parameters = _match_scalars(kernel, pattern, core)
    if isinstance(parameters, Rule):
        return parameters
    result = _match_dimensions(kernel, pattern, core, produced)
    return result if isinstance(result, Rule) else replace(result, parameters=tuple(parameters.items()))


def _match_scalars(kernel: Kernel, pattern: Named, core: Named) -> dict[int, ParameterValue] | Rule:
    """Return the values of the parameters that are scalar operands; other scalars have to be equal."""
    found: dict[int, ParameterValue] = {}
    for wanted, actual in zip(pattern.scalars, core.scalars, strict=True):
        known = not wanted.reads and all(node.op != UNKNOWN for node in wanted.expr.nodes)
        unified = None if not known else next(unify(wanted.expr, actual.expr, prologue=False), None)
        if unified is None:
            name = "structure.scalars"
            expected, words = (describe_expression(nest, nest.expr.results[0]) for nest in (wanted, actual))
            return Rule(name=name, passed=False, expected=expected, found=words)
        values = find_values(kernel, actual, unified.parameters)
        if isinstance(values, int):
            return reject_value(kernel, values)
        conflict = find_conflict(kernel, found, values)
        if conflict is not None:
            return conflict
        found |= values
    return found


def _check_named(pattern: Named, core: Named) -> Rule | None:
    """Check that attributes, other operands and region are equal."""
    wanted = {**dict(pattern.attributes), "region": pattern.region}
    found = {**dict(core.attributes), "region": core.region}
    for key in dict.fromkeys((*wanted, *found)):
        expected, actual = wanted.get(key, "(none)"), found.get(key, "(none)")
        if expected != actual or UNKNOWN in actual:
            return Rule(
                name=f"structure.{key}", passed=False, expected=_in_one_line(expected), found=_in_one_line(actual)
            )
    if len(pattern.reads) != len(core.reads):
        return Rule(
            name="structure.operands",
            passed=False,
            expected=f"{len(pattern.reads)} inputs in memory",
            found=str(len(core.reads)),
        )
    return None


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _named_layouts(
    kernel: Kernel,
    pattern: Named,
    core: Named,
    wanted: Nest,
    found: Nest,
    axes: tuple[Axis, ...],
    produced: Mapping[int, Produced],
) -> NestMatch | Rule:
    """Return the single input of an operation that is treated as loops over it."""
    source, read = pattern.reads[0].source, core.reads[0]
    made = Produced(
        number=core.temporaries[0],
        wanted=wanted.reads[0].access,
        found=found.reads[0].access,
        loops=tuple(axis.loops for axis in axes),
    )
    own = {source.operand: read} if isinstance(source, View) and isinstance(read.source, View) else {}
    result = NestMatch(axes, own, {}, 4, ((pattern.temporaries[0], made),))
    if not isinstance(source, View):
        loops = tuple(axis.loops for axis in axes)
        return check_temporary(produced, wanted.reads[0], found.reads[0], loops) or result
    if "prologue" in kernel.slots:
        return result
    if not isinstance(read.source, View):
        return reject_two_tensors(kernel.operands[source.operand].name)
    placed = place_operand(kernel, source, wanted.reads[0].access, read.source, found.reads[0].access, axes)
    return placed if isinstance(placed, Rule) else replace(result, placements={source.operand: placed})


def _match_dimensions(
    kernel: Kernel, pattern: Named, core: Named, produced: Mapping[int, Produced]
) -> NestMatch | Rule:
    bound: dict[str, Axis] = {}
    sources: dict[int, Read] = {}
    placements: dict[int, Placement] = {}
    for wanted, found in zip(pattern.reads, core.reads, strict=True):
        if len(wanted.type.shape) != len(found.type.shape) or wanted.type.element != found.type.element:
            return Rule(name="structure.type", passed=False, expected=str(wanted.type), found=str(found.type))
        axes: list[Axis] = []
        for dimension, (size, actual) in enumerate(zip(wanted.type.shape, found.type.shape, strict=True)):
            name = str(size.args[0]) if isinstance(size, Expr) and size.op == "symbol" else str(size)
            axes.append(Axis(name=name, loops=(dimension,), sizes=(actual,)))
            axis = bound.setdefault(name, Axis(name=name, loops=(), sizes=(actual,)))
            if axis.size != actual or (isinstance(size, int) and size != actual):
                return Rule(name="structure.size", passed=False, expected=f"{name} = {axis.size}", found=str(actual))
        if not isinstance(wanted.source, View):
            rule = check_temporary(produced, wanted, found, tuple(axis.loops for axis in axes))
            if rule is not None:
                return rule
            continue
        if isinstance(found.source, View):
            sources[wanted.source.operand] = found
        if "prologue" in kernel.slots:
            continue
        if not isinstance(found.source, View):
            return reject_two_tensors(kernel.operands[wanted.source.operand].name)
        placed = place_operand(kernel, wanted.source, wanted.access, found.source, found.access, tuple(axes))
        if isinstance(placed, Rule):
            return placed
        placements[wanted.source.operand] = placed
    made = []
    for temporary, number, type_ in zip(pattern.temporaries, core.temporaries, pattern.types, strict=True):
        dimensions = tuple(Linear(terms=((d, 1),)) for d in range(len(type_.shape)))
        loops = tuple((d,) for d in range(len(type_.shape)))
        made.append((temporary, Produced(number=number, wanted=dimensions, found=dimensions, loops=loops)))
    return NestMatch(tuple(bound.values()), sources, placements, 4, tuple(made))


def _softmax_nest(named: Named) -> Nest:
    shape = named.reads[0].type.shape
    dimension = int(dict(named.attributes)["dimension"].partition(":")[0])
    nest_read = named.reads[0]
    kept = [d for d, s in enumerate(shape) if s != 1 or d == dimension]
    loop_of = {d: i for i, d in enumerate(kept)}
    access = tuple(Linear(terms=((loop_of[d], 1),)) if d in loop_of else Linear(terms=()) for d in range(len(shape)))
    return Nest(
        sizes=tuple(shape[d] for d in kept),
        kinds=tuple("reduction" if d == dimension else "parallel" for d in kept),
        reads=(replace(nest_read, access=access),),
        expr=ScalarGraph((Scalar("read", nest_read.type.element, (), 0),), (0,)),
    )


def _whole_uses(nest: Nest) -> tuple[LoopUse, ...]:
    return loop_uses(nest, {0: 0})
