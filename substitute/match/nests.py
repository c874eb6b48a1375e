"""Match of one loop nest of a definition with one of a dispatch: body, loops, and placement of the operands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ..model.dispatch import Linear, Nest, Read, View
from ..model.index import Expr
from ..model.kernel import Form, Kernel
from ..model.plan import Axis, Placement, Rule
from .axes import assign, axis_of_loops, bind_axes
from .expression import Unified, loop_uses
from .layout import check_contiguous, check_one_stride, check_rows, place
from .parameters import find_values, reject_value
from .state import NestMatch, reject_two_tensors
from .temporaries import Produced, check_temporary


def bind_nest(
    kernel: Kernel, form: Form, pattern: Nest, core: Nest, unified: Unified, produced: Mapping[int, Produced]
) -> NestMatch | Rule:
    """Match a definition's nest with `core`, whose body is unified with it; else return the rule that failed last."""
    parameters = find_values(kernel, core, unified.parameters)
    if isinstance(parameters, int):
        return reject_value(kernel, parameters)
    names = tuple(operand_name(kernel, form, read) for read in pattern.reads)
    axis_names = axis_of_loops(pattern, kernel.operands)
    pattern_roots = {
        node.attribute: at
        for at, node in enumerate(pattern.expr.nodes)
        if node.op == "read" and isinstance(node.attribute, int)
    }
    pattern_uses = loop_uses(pattern, pattern_roots)
    uses = loop_uses(core, {read: node for read, node in unified.nodes.items() if read in pattern_roots})
    if any(u.windowed for u in pattern_uses) and not any(u.windowed for u in uses):
        return Rule(
            name="structure.window",
            passed=False,
            expected="an input that is read through a moving window",
            found="every coordinate is one loop's index",
        )
    choices = assign(pattern, pattern_uses, core, uses, kernel.groups, axis_names, names)
    if isinstance(choices, Rule):
        return choices
    best: Rule | None = None
    for assignment in choices:
        axes = bind_axes(pattern, axis_names, assignment, core)
        if isinstance(axes, Rule):
            best = best or axes
            continue
        rule = _check_indices(unified, assignment, axis_names)
        result = rule or _check_layouts(kernel, form, pattern, core, unified.nodes, axes, produced)
        if isinstance(result, NestMatch):
            result = _check_sizes(unified, result.axes) or result
        if isinstance(result, NestMatch):
            values = tuple(sorted(parameters.items(), key=lambda item: item[0]))
            return replace(result, parameters=values, laws=unified.laws)
        best = best or result
    assert best is not None
    return best


def _check_indices(unified: Unified, assignment: tuple[tuple[int, ...], ...], names: tuple[str, ...]) -> Rule | None:
    """Check that each loop index in the definition's computation is the index of the loop over the same axis."""
    for wanted, found in unified.loops.items():
        if assignment[wanted] != (found,):
            return Rule(
                name="structure.index",
                passed=False,
                expected=f"the index along {names[wanted]}",
                found=f"the index of loop d{found}",
            )
    return None


def _check_sizes(unified: Unified, axes: tuple[Axis, ...]) -> Rule | None:
    """Check that each size that the definition computes with is the size of that axis."""
    known = {axis.name: axis.size for axis in axes}
    for name, size in unified.sizes:
        if known.get(name) != size:
            found = f"{size}, where {name} is {known[name]}" if name in known else f"{size}, and no loop along {name}"
            return Rule(name="structure.size", passed=False, expected=f"the size of {name} as a number", found=found)
    return None


def _check_layouts(
    kernel: Kernel,
    form: Form,
    pattern: Nest,
    core: Nest,
    nodes: Mapping[int, int],
    axes: tuple[Axis, ...],
    produced: Mapping[int, Produced],
) -> NestMatch | Rule:
    sources: dict[int, Read] = {}
    placements: dict[int, Placement] = {}
    loops = tuple(axis.loops for axis in axes)
    gathered: list[Axis] = []
    for number, wanted in enumerate(pattern.reads):
        node = core.expr.nodes[nodes[number]] if number in nodes else None
        if node is None or node.op not in ("read", "gather"):
            continue
        assert isinstance(node.attribute, int)
        read = core.reads[node.attribute]
        if node.op == "gather":
            if "prologue" not in kernel.slots and isinstance(wanted.source, View):
                placed = _gathered(kernel, wanted.source, read.source, axes)
                if isinstance(placed, Rule):
                    return placed
                placements[wanted.source.operand] = placed
                gathered += _sizes_of(wanted.source, placed, axes)
            continue
        if not isinstance(wanted.source, View):
            rule = None if "prologue" in kernel.slots else check_temporary(produced, wanted, read, loops)
            if rule is not None:
                return rule
            continue
        operand = wanted.source.operand
        sources[operand] = read
        if "prologue" in kernel.slots:
            continue
        if not isinstance(read.source, View):
            return reject_two_tensors(kernel.operands[operand].name)
        placed = place_operand(kernel, wanted.source, wanted.access, read.source, read.access, axes)
        if isinstance(placed, Rule):
            return placed
        if placements.setdefault(operand, placed) != placed:
            return reject_two_tensors(kernel.operands[operand].name)
    count = sum(1 for n in pattern.expr.nodes if n.op not in ("read", "constant", "index", "size", "parameter"))
    made = Produced(number=core.temporary, wanted=pattern.target, found=core.target, loops=loops)
    inputs = _inputs(kernel, form, pattern, nodes)
    return NestMatch((*axes, *gathered), sources, placements, count + 1, ((pattern.temporary, made),), inputs=inputs)


def _inputs(kernel: Kernel, form: Form, pattern: Nest, nodes: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the node of the dispatch for each argument behind a prologue slot of a single reduction.

    An argument that is read in two ways, or not at the indices of loops, has none.
    """
    if "prologue" not in kernel.slots or len(form.program.cores) != 1:
        return ()
    found: dict[int, set[int | None]] = {}
    for number, read in enumerate(pattern.reads):
        if number in nodes and isinstance(read.source, View):
            plain = all(c.loop is not None and c.constant == 0 for c in read.access)
            found.setdefault(read.source.operand, set()).add(nodes[number] if plain else None)
    single = ((operand, places.pop()) for operand, places in found.items() if len(places) == 1)
    return tuple((operand, node) for operand, node in single if node is not None)


def _gathered(kernel: Kernel, wanted: View, source: View | int, axes: tuple[Axis, ...]) -> Placement | Rule:
    """Return the placement of an operand that is read at computed coordinates."""
    spec = kernel.operands[wanted.operand]
    if not isinstance(source, View):
        return reject_two_tensors(spec.name)
    if len(source.type.shape) != len(wanted.type.shape) or source.type.element != wanted.type.element:
        return Rule(name=f"structure.type.{spec.name}", passed=False, expected=str(wanted.type), found=str(source.type))
    for size, actual in zip(wanted.type.shape, source.type.shape, strict=True):
        if isinstance(size, int) and size != actual:
            return Rule(name="structure.size", passed=False, expected=f"{spec.name} of size {size}", found=str(actual))
    dimensions = tuple(((size, stride),) for size, stride in zip(source.type.shape, source.strides, strict=True))
    placed = Placement(name=spec.name, view=source, start=source.offset, dimensions=dimensions)
    if spec.strided:
        rule = check_rows(spec, placed) if spec.rows else None
    else:
        rule = check_contiguous(spec, placed, wanted.type.shape, axes)
    return placed if rule is None or rule.passed else rule


def _sizes_of(wanted: View, placed: Placement, axes: tuple[Axis, ...]) -> Iterator[Axis]:
    """Yield the axes of a gathered operand that no loop runs over, with their sizes."""
    for size, actual in zip(wanted.type.shape, placed.view.type.shape, strict=True):
        if isinstance(size, Expr) and size.op == "symbol" and size.args[0] not in {axis.name for axis in axes}:
            yield Axis(name=str(size.args[0]), loops=(), sizes=(actual,))


def place_operand(
    kernel: Kernel,
    wanted: View,
    wanted_access: tuple[Linear, ...],
    view: View,
    access: tuple[Linear, ...],
    axes: tuple[Axis, ...],
) -> Placement | Rule:
    """Return the placement of an operand, or the rule that fails if the kernel cannot accept it."""
    spec, shape = kernel.operands[wanted.operand], wanted.type.shape
    if view.type.element != wanted.type.element:
        return Rule(
            name=f"structure.type.{spec.name}", passed=False, expected=wanted.type.element, found=view.type.element
        )
    placed = place(spec, wanted_access, shape, view, access, axes)
    if isinstance(placed, Rule):
        return placed
    rule = check_one_stride(spec, placed) if spec.strided else check_contiguous(spec, placed, shape, axes)
    if spec.strided and kernel.payload.kind.strides == "read":
        rule = replace(rule, passed=True)  # these handle several loops themselves
    if spec.rows and rule.passed:
        rule = check_rows(spec, placed)
    return placed if rule.passed else rule


def operand_name(kernel: Kernel, form: Form, read: Read) -> str:
    """Return the name of a definition's read, for messages."""
    if isinstance(read.source, View):
        return kernel.operands[read.source.operand].name
    return f"result {read.source}"
