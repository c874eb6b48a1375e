"""Does a dispatch compute what a kernel's definition says?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..model.dispatch import Linear, Named, Nest, Program, Read, Stage, View
from ..model.index import Expr
from ..model.kernel import Form, Kernel
from ..model.plan import Axis, Placement, Rule
from ..model.scalar import Scalar, ScalarGraph
from ..read.named import UNKNOWN
from .axes import assign, axis_of_loops, bind_axes
from .expression import LoopUse, Unified, loop_uses, unify
from .layout import check_contiguous, check_one_stride, place
from .memory import check_in_place
from .temporaries import Produced, check_temporary

Head = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """How one form lies on a dispatch."""

    axes: tuple[Axis, ...]
    arguments: tuple[View, ...]
    placements: tuple[Placement, ...]
    specificity: int


def head(program: Program) -> Head:
    """What the cores are, in order: the first and cheapest thing to compare."""
    return tuple(core.op if isinstance(core, Named) else core.combiner or "element-wise" for core in program.cores)


def match_form(kernel: Kernel, form: Form, program: Program) -> Shape | Rule:
    """How the form lies on the program, or the rule that failed closest to success."""
    wanted, found = head(form.program), head(program)
    if wanted != found:
        return Rule(name="structure.cores", passed=False, expected=_heads(wanted), found=_heads(found))
    in_place = check_in_place(kernel, program)
    if in_place is not None:
        return in_place
    state = _State({}, {}, {}, {})
    operation_count = 0
    for pattern, core in zip(form.program.cores, program.cores, strict=True):
        result = _match_core(kernel, form, pattern, core, state.produced)
        rule = result if isinstance(result, Rule) else state.add(result)
        if rule is not None:
            return rule
        assert isinstance(result, _CoreMatch)
        operation_count += result.operation_count
    stored = _match_stores(kernel, form, program, state)
    if isinstance(stored, Rule):
        return stored
    placements = tuple(placement for _, placement in sorted(state.placements.items()))
    written = tuple(w.view for nest in program.stores for w in nest.writes)
    if not kernel.slots and len(placements) == len(kernel.operands):
        arguments = tuple(placement.view for placement in placements)
    elif kernel.slots or _is_generated(kernel):
        sources = (source for _, source in sorted(state.sources.items()))
        arguments = (*(source.source for source in sources if isinstance(source.source, View)), *written)
    else:
        missing = (spec.name for number, spec in enumerate(kernel.operands) if number not in state.placements)
        return Rule(
            name="structure.operands", passed=False, expected="a definition that uses all its operands",
            found=f"nothing in the place of {', '.join(missing)}",
        )  # fmt: skip
    return Shape(tuple(state.axes.values()), arguments, placements, operation_count + stored)


@dataclass(frozen=True, slots=True)
class _CoreMatch:
    axes: tuple[Axis, ...]
    sources: dict[int, Read]
    """For each argument of the definition, the dispatch's read of it (absent under a prologue)."""
    placements: dict[int, Placement]
    operation_count: int
    produced: tuple[tuple[int, Produced], ...] = ()
    """The definition's temporaries that this core is, each with the dispatch's."""


@dataclass(frozen=True, slots=True)
class _State:
    """What the nests that matched so far have in common."""

    axes: dict[str, Axis]
    sources: dict[int, Read]
    placements: dict[int, Placement]
    produced: dict[int, Produced]

    def add(self, result: _CoreMatch) -> Rule | None:
        """Joins a nest in, or says where it contradicts the others."""
        for axis in result.axes:
            size = self.axes.get(axis.name, axis).size
            if size != axis.size:
                return Rule(
                    name="structure.axes", passed=False, expected=f"{axis.name} = {size} everywhere",
                    found=f"{axis.name} = {axis.size}",
                )  # fmt: skip
        for number, placement in result.placements.items():
            if self.placements.get(number, placement) != placement:
                return _two_tensors(placement.name)
        for axis in result.axes:
            self.axes.setdefault(axis.name, axis)
        self.sources.update(result.sources)
        self.placements.update(result.placements)
        self.produced.update(result.produced)
        return None


def _two_tensors(name: str) -> Rule:
    return Rule(
        name="structure.operands", passed=False, expected=f"one tensor in every place of {name}",
        found="two, or one read in two ways",
    )  # fmt: skip


def _is_generated(kernel: Kernel) -> bool:
    """A generator sees the whole dispatch; other payloads see their operands alone."""
    return kernel.payload.kind.endswith("-generator")


def _match_core(
    kernel: Kernel, form: Form, pattern: Stage, core: Stage, produced: Mapping[int, Produced]
) -> _CoreMatch | Rule:
    if isinstance(pattern, Named) and isinstance(core, Named):
        return _match_named(kernel, form, pattern, core)
    if not (isinstance(pattern, Nest) and isinstance(core, Nest)):
        return Rule(name="structure.cores", passed=False, expected="the same kinds of core", found="others")
    if pattern.type and core.type and pattern.type.element != core.type.element:
        return Rule(
            name="structure.type", passed=False, expected=f"accumulation in {pattern.type.element}",
            found=core.type.element,
        )  # fmt: skip
    if repr(pattern.init) != repr(core.init) and not _same_zero(pattern.init, core.init):
        return Rule(name="structure.init", passed=False, expected=f"a start from {pattern.init}", found=str(core.init))
    best: Rule | None = None
    for unified in itertools.islice(unify(pattern.expr, core.expr, prologue="prologue" in kernel.slots), 16):
        result = _bind(kernel, form, pattern, core, unified, produced)
        if isinstance(result, _CoreMatch):
            return result
        best = best or result  # the first order of operands is the one that people wrote
    return best or Rule(
        name="structure.body",
        passed=False,
        expected=_expression(pattern),
        found=_expression(core) + _prologue_hint(kernel, pattern, core),
    )


def _bind(
    kernel: Kernel, form: Form, pattern: Nest, core: Nest, unified: Unified, produced: Mapping[int, Produced]
) -> _CoreMatch | Rule:
    names = tuple(_name_of(kernel, form, read) for read in pattern.reads)
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
            name="structure.window", passed=False, expected="an input that is read through a moving window",
            found="every coordinate is one loop's index",
        )  # fmt: skip
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
        if isinstance(result, _CoreMatch):
            return result
        best = best or result
    assert best is not None
    return best


def _check_indices(unified: Unified, assignment: tuple[tuple[int, ...], ...], names: tuple[str, ...]) -> Rule | None:
    """The index of a loop that the definition computes with has to be that of the loop that runs over this axis."""
    for wanted, found in unified.loops.items():
        if assignment[wanted] != (found,):
            return Rule(
                name="structure.index", passed=False, expected=f"the index along {names[wanted]}",
                found=f"the index of loop d{found}",
            )  # fmt: skip
    return None


def _check_layouts(
    kernel: Kernel,
    form: Form,
    pattern: Nest,
    core: Nest,
    nodes: Mapping[int, int],
    axes: tuple[Axis, ...],
    produced: Mapping[int, Produced],
) -> _CoreMatch | Rule:
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
            return _two_tensors(kernel.operands[operand].name)
        placed = _placed(kernel, wanted.source, wanted.access, read.source, read.access, axes)
        if isinstance(placed, Rule):
            return placed
        if placements.setdefault(operand, placed) != placed:
            return _two_tensors(kernel.operands[operand].name)
    count = sum(1 for n in pattern.expr.nodes if n.op not in ("read", "constant", "index", "size"))
    made = Produced(number=core.temporary, wanted=pattern.target, found=core.target, loops=loops)
    return _CoreMatch((*axes, *gathered), sources, placements, count + 1, ((pattern.temporary, made),))


def _gathered(kernel: Kernel, wanted: View, source: View | int, axes: tuple[Axis, ...]) -> Placement | Rule:
    """Where the operand lies that is read at computed coordinates."""
    spec = kernel.operands[wanted.operand]
    if not isinstance(source, View):
        return _two_tensors(spec.name)
    if len(source.type.shape) != len(wanted.type.shape) or source.type.element != wanted.type.element:
        return Rule(name=f"structure.type.{spec.name}", passed=False, expected=str(wanted.type), found=str(source.type))
    for size, actual in zip(wanted.type.shape, source.type.shape, strict=True):
        if isinstance(size, int) and size != actual:
            return Rule(name="structure.size", passed=False, expected=f"{spec.name} of size {size}", found=str(actual))
    dimensions = tuple(((size, stride),) for size, stride in zip(source.type.shape, source.strides, strict=True))
    placed = Placement(name=spec.name, view=source, start=source.offset, dimensions=dimensions)
    rule = check_contiguous(spec, placed, wanted.type.shape, axes)
    return placed if spec.strided or rule.passed else rule


def _sizes_of(wanted: View, placed: Placement, axes: tuple[Axis, ...]) -> Iterator[Axis]:
    """The axes of a gathered operand that no loop runs over."""
    for size, actual in zip(wanted.type.shape, placed.view.type.shape, strict=True):
        if isinstance(size, Expr) and size.op == "symbol" and size.args[0] not in {axis.name for axis in axes}:
            yield Axis(name=str(size.args[0]), loops=(), sizes=(actual,))


def _placed(
    kernel: Kernel,
    wanted: View,
    wanted_access: tuple[Linear, ...],
    view: View,
    access: tuple[Linear, ...],
    axes: tuple[Axis, ...],
) -> Placement | Rule:
    """Where an operand lies, if the kernel can take it there."""
    spec, shape = kernel.operands[wanted.operand], wanted.type.shape
    if view.type.element != wanted.type.element:
        return Rule(
            name=f"structure.type.{spec.name}", passed=False, expected=wanted.type.element, found=view.type.element
        )
    placed = place(spec, wanted_access, shape, view, access, axes)
    if isinstance(placed, Rule):
        return placed
    rule = check_one_stride(spec, placed) if spec.strided else check_contiguous(spec, placed, shape, axes)
    if spec.strided and (_is_generated(kernel) or kernel.payload.kind == "glsl"):
        return placed  # these walk over several loops by themselves
    return placed if rule.passed else rule


def _match_named(kernel: Kernel, form: Form, pattern: Named, core: Named) -> _CoreMatch | Rule:
    """Softmax is seen as loops over its input; other named operations have to agree dimension by dimension."""
    if pattern.op == "linalg.softmax":
        wanted, found = _softmax_nest(pattern), _softmax_nest(core)
        axis_names = axis_of_loops(wanted, kernel.operands)
        choices = assign(
            wanted, _whole_uses(wanted), found, _whole_uses(found), kernel.groups, axis_names,
            (_name_of(kernel, form, pattern.reads[0]),),
        )  # fmt: skip
        if isinstance(choices, Rule):
            return choices
        if pattern.types[0].element != core.types[0].element:
            return Rule(
                name="structure.type", passed=False, expected=pattern.types[0].element, found=core.types[0].element
            )
        best: Rule | None = None
        for assignment in choices:
            axes = bind_axes(wanted, axis_names, assignment, found)
            result = axes if isinstance(axes, Rule) else _named_layouts(kernel, pattern, core, wanted, found, axes)
            if isinstance(result, _CoreMatch):
                return result
            best = best or result
        assert best is not None
        return best
    rule = _check_named(pattern, core)
    if rule is not None:
        return rule
    return _match_dimensions(kernel, pattern, core)


def _check_named(pattern: Named, core: Named) -> Rule | None:
    """Attributes, other operands and region have to be the same."""
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
            name="structure.operands", passed=False, expected=f"{len(pattern.reads)} inputs in memory",
            found=str(len(core.reads)),
        )  # fmt: skip
    return None


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _named_layouts(
    kernel: Kernel, pattern: Named, core: Named, wanted: Nest, found: Nest, axes: tuple[Axis, ...]
) -> _CoreMatch | Rule:
    """The one input of an operation that is seen as loops over it."""
    source, read = pattern.reads[0].source, core.reads[0]
    assert isinstance(source, View)
    made = Produced(
        number=core.temporaries[0], wanted=wanted.reads[0].access, found=found.reads[0].access,
        loops=tuple(axis.loops for axis in axes),
    )  # fmt: skip
    result = _CoreMatch(axes, {source.operand: read}, {}, 4, ((pattern.temporaries[0], made),))
    if "prologue" in kernel.slots:
        return result
    if not isinstance(read.source, View):
        return _two_tensors(kernel.operands[source.operand].name)
    placed = _placed(kernel, source, wanted.reads[0].access, read.source, found.reads[0].access, axes)
    return placed if isinstance(placed, Rule) else replace(result, placements={source.operand: placed})


def _match_dimensions(kernel: Kernel, pattern: Named, core: Named) -> _CoreMatch | Rule:
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
            continue
        sources[wanted.source.operand] = found
        if "prologue" in kernel.slots:
            continue
        if not isinstance(found.source, View):
            return _two_tensors(kernel.operands[wanted.source.operand].name)
        placed = _placed(kernel, wanted.source, wanted.access, found.source, found.access, tuple(axes))
        if isinstance(placed, Rule):
            return placed
        placements[wanted.source.operand] = placed
    made = []
    for temporary, number, type_ in zip(pattern.temporaries, core.temporaries, pattern.types, strict=True):
        dimensions = tuple(Linear(terms=((d, 1),)) for d in range(len(type_.shape)))
        loops = tuple((d,) for d in range(len(type_.shape)))
        made.append((temporary, Produced(number=number, wanted=dimensions, found=dimensions, loops=loops)))
    return _CoreMatch(tuple(bound.values()), sources, placements, 4, tuple(made))


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


def _match_stores(kernel: Kernel, form: Form, program: Program, state: _State) -> int | Rule:
    """What follows the cores: anything where there is an epilogue slot, else exactly what the definition stores."""
    if "epilogue" in kernel.slots:
        return 0
    if len(form.program.stores) != len(program.stores):
        return Rule(
            name="structure.epilogue", passed=False, expected="nothing after the core (no epilogue slot)",
            found=f"{len(program.stores)} loop nests that store",
        )  # fmt: skip
    count = 0
    for pattern, nest in zip(form.program.stores, program.stores, strict=True):
        rule = _match_store(kernel, form, pattern, nest, state)
        if rule is not None:
            return rule
        count += sum(1 for n in pattern.expr.nodes if n.operands)
    return count


def _match_store(kernel: Kernel, form: Form, pattern: Nest, nest: Nest, state: _State) -> Rule | None:
    """None where the nest stores what the pattern does; what is known of it then joins `state`."""
    best: Rule | None = None
    for ordered in _orders_of_results(nest):
        for unified in itertools.islice(unify(pattern.expr, ordered.expr, prologue=False), 16):
            result = _bind(kernel, form, pattern, ordered, unified, state.produced)
            if not isinstance(result, Rule):
                result = _with_writes(kernel, pattern, ordered, result)
            rule = result if isinstance(result, Rule) else state.add(result)
            if rule is None:
                return None
            best = best or rule
    return best or Rule(
        name="structure.epilogue",
        passed=False,
        expected=_expression(pattern) + " (the kernel has no epilogue slot)",
        found=_expression(nest),
    )


def _orders_of_results(nest: Nest) -> Iterator[Nest]:
    """The nest with its results in every order: IREE does not keep to the one that people write."""
    for order in itertools.islice(itertools.permutations(range(len(nest.writes))), 24):
        results = tuple(nest.expr.results[n] for n in order)
        writes = tuple(nest.writes[n] for n in order)
        yield replace(nest, expr=ScalarGraph(nest.expr.nodes, results), writes=writes)


def _with_writes(kernel: Kernel, pattern: Nest, nest: Nest, result: _CoreMatch) -> _CoreMatch | Rule:
    """Adds where the results lie."""
    placements = dict(result.placements)
    for wanted, found in zip(pattern.writes, nest.writes, strict=True):
        placed = _placed(kernel, wanted.view, wanted.access, found.view, found.access, result.axes)
        if isinstance(placed, Rule):
            return placed
        placements[wanted.view.operand] = placed
    return replace(result, placements=placements, produced=())


def _name_of(kernel: Kernel, form: Form, read: Read) -> str:
    if isinstance(read.source, View):
        return kernel.operands[read.source.operand].name
    return f"result {read.source}"


def _same_zero(a: object, b: object) -> bool:
    """A sum may start from 0.0 or -0.0: IREE writes both."""
    return a == b == 0


def _heads(value: Head) -> str:
    return " then ".join(value) if value else "element-wise work only"


def _prologue_hint(kernel: Kernel, pattern: Nest, core: Nest) -> str:
    if "prologue" in kernel.slots:
        return ""
    fits: Callable[[], Iterator[object]] = lambda: unify(pattern.expr, core.expr, prologue=True)  # noqa: E731
    return " (it would fit with a prologue slot)" if next(iter(fits()), None) else ""


def _expression(nest: Nest) -> str:
    """The scalar body for people: `addf(mulf(a, b))`."""

    def words(at: int, depth: int) -> str:
        node = nest.expr.nodes[at]
        if node.op == "read":
            return f"in{node.attribute}"
        if not node.operands:
            return str(node.attribute)
        inner = ", ".join(words(o, depth + 1) for o in node.operands) if depth < 3 else "…"
        return f"{node.op.partition('.')[2] or node.op}({inner})"

    body = ", ".join(words(r, 0) for r in nest.expr.results)
    return f"{nest.combiner.partition('.')[2]} of {body}" if nest.combiner else body
