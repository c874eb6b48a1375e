"""Does a dispatch compute what a kernel's definition says?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..model.dispatch import Named, Nest, Program, Read, Stage, View
from ..model.kernel import Form, Kernel
from ..model.plan import Axis, Rule
from .axes import assign, bind_axes
from .expression import LoopUse, loop_uses, unify
from .layout import check_contiguous

Head = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """How one form lies on a dispatch."""

    axes: tuple[Axis, ...]
    arguments: tuple[View, ...]
    specificity: int


def head(program: Program) -> Head:
    """What the cores are, in order: the first and cheapest thing to compare."""
    return tuple(core.op if isinstance(core, Named) else core.combiner or "element-wise" for core in program.cores)


def match_form(kernel: Kernel, form: Form, program: Program) -> Shape | Rule:
    """How the form lies on the program, or the rule that failed closest to success."""
    wanted, found = head(form.program), head(program)
    if wanted != found:
        return Rule(name="structure.cores", passed=False, expected=_heads(wanted), found=_heads(found))
    axes: dict[str, Axis] = {}
    sources: dict[int, Read] = {}
    operation_count = 0
    for pattern, core in zip(form.program.cores, program.cores, strict=True):
        result = _match_core(kernel, form, pattern, core)
        if isinstance(result, Rule):
            return result
        for axis in result.axes:
            known = axes.setdefault(axis.name, axis)
            if known.size != axis.size:
                return Rule(
                    name="structure.axes", passed=False, expected=f"{axis.name} = {known.size} everywhere",
                    found=f"{axis.name} = {axis.size}",
                )  # fmt: skip
        sources.update(result.sources)
        operation_count += result.operation_count
    stored = _match_stores(kernel, form, program, axes)
    if isinstance(stored, Rule):
        return stored
    arguments = tuple(
        source.source for _, source in sorted(sources.items()) if isinstance(source.source, View)
    )  # fmt: skip
    written = tuple(w.view for nest in program.stores for w in nest.writes)
    return Shape(tuple(axes.values()), (*arguments, *written), operation_count + stored)


@dataclass(frozen=True, slots=True)
class _CoreMatch:
    axes: tuple[Axis, ...]
    sources: dict[int, Read]
    """For each argument of the definition, the dispatch's read of it (absent under a prologue)."""
    operation_count: int


def _match_core(kernel: Kernel, form: Form, pattern: Stage, core: Stage) -> _CoreMatch | Rule:
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
        result = _bind(kernel, form, pattern, core, unified.nodes)
        if isinstance(result, _CoreMatch):
            return result
        best = best or result  # the first order of operands is the one that people wrote
    return best or Rule(
        name="structure.body",
        passed=False,
        expected=_expression(pattern),
        found=_expression(core) + _prologue_hint(kernel, pattern, core),
    )


def _bind(kernel: Kernel, form: Form, pattern: Nest, core: Nest, nodes: Mapping[int, int]) -> _CoreMatch | Rule:
    names = tuple(_name_of(kernel, form, read) for read in pattern.reads)
    pattern_roots = {
        node.attribute: at
        for at, node in enumerate(pattern.expr.nodes)
        if node.op == "read" and isinstance(node.attribute, int)
    }
    pattern_uses = loop_uses(pattern, pattern_roots)
    uses = loop_uses(core, nodes)
    if any(u.windowed for u in pattern_uses) and not any(u.windowed for u in uses):
        return Rule(
            name="structure.window", passed=False, expected="an input that is read through a moving window",
            found="every coordinate is one loop's index",
        )  # fmt: skip
    choices = assign(pattern, pattern_uses, core, uses, kernel.groups, names)
    if isinstance(choices, Rule):
        return choices
    best: Rule | None = None
    for assignment in choices:
        axes = bind_axes(pattern, assignment, core)
        if isinstance(axes, Rule):
            best = best or axes
            continue
        sources = _check_layouts(kernel, form, pattern, core, nodes, axes)
        if isinstance(sources, Rule):
            best = best or sources
            continue
        count = sum(1 for n in pattern.expr.nodes if n.op not in ("read", "constant", "index", "size"))
        return _CoreMatch(axes, sources, count + 1)
    assert best is not None
    return best


def _check_layouts(
    kernel: Kernel, form: Form, pattern: Nest, core: Nest, nodes: Mapping[int, int], axes: tuple[Axis, ...]
) -> dict[int, Read] | Rule:
    sources: dict[int, Read] = {}
    for number, wanted in enumerate(pattern.reads):
        if not isinstance(wanted.source, View):
            continue
        operand = wanted.source.operand
        spec = kernel.operands[operand]
        node = core.expr.nodes[nodes[number]] if number in nodes else None
        if node is None or node.op != "read":
            continue
        assert isinstance(node.attribute, int)
        read = core.reads[node.attribute]
        sources[operand] = read
        if spec.strided or not isinstance(read.source, View):
            continue
        rule = check_contiguous(spec, read.source, read.access, wanted.access, wanted.source.type.shape, axes)
        if not rule.passed:
            return rule
    return sources


def _match_named(kernel: Kernel, form: Form, pattern: Named, core: Named) -> _CoreMatch | Rule:
    """Softmax is seen as loops over its input; other named operations have to agree dimension by dimension."""
    if pattern.op == "linalg.softmax":
        wanted, found = _softmax_nest(pattern), _softmax_nest(core)
        choices = assign(
            wanted, _whole_uses(wanted), found, _whole_uses(found), kernel.groups,
            (_name_of(kernel, form, pattern.reads[0]),),
        )  # fmt: skip
        if isinstance(choices, Rule):
            return choices
        if pattern.types[0].element != core.types[0].element:
            return Rule(
                name="structure.type", passed=False, expected=pattern.types[0].element, found=core.types[0].element
            )
        axes = bind_axes(wanted, next(choices), found)
        if isinstance(axes, Rule):
            return axes
        return _CoreMatch(axes, {0: core.reads[0]}, 4)
    if pattern.attributes != core.attributes or pattern.region != core.region:
        return Rule(
            name="structure.attributes", passed=False, expected=str(dict(pattern.attributes)),
            found=str(dict(core.attributes)),
        )  # fmt: skip
    return _match_dimensions(pattern, core)


def _match_dimensions(pattern: Named, core: Named) -> _CoreMatch | Rule:
    from ..model.index import Expr

    bound: dict[str, Axis] = {}
    for wanted, found in zip(pattern.reads, core.reads, strict=False):
        if len(wanted.type.shape) != len(found.type.shape) or wanted.type.element != found.type.element:
            return Rule(name="structure.type", passed=False, expected=str(wanted.type), found=str(found.type))
        for size, actual in zip(wanted.type.shape, found.type.shape, strict=True):
            name = str(size.args[0]) if isinstance(size, Expr) and size.op == "symbol" else str(size)
            axis = bound.setdefault(name, Axis(name=name, loops=(), sizes=(actual,)))
            if axis.size != actual or (isinstance(size, int) and size != actual):
                return Rule(name="structure.size", passed=False, expected=f"{name} = {axis.size}", found=str(actual))
    return _CoreMatch(tuple(bound.values()), dict(enumerate(core.reads)), 4)


def _softmax_nest(named: Named) -> Nest:
    shape = named.reads[0].type.shape
    dimension = int(dict(named.attributes)["dimension"].partition(":")[0])
    nest_read = named.reads[0]
    kept = [d for d, s in enumerate(shape) if s != 1 or d == dimension]
    from ..model.dispatch import Linear

    place = {d: i for i, d in enumerate(kept)}
    access = tuple(Linear(terms=((place[d], 1),)) if d in place else Linear(terms=()) for d in range(len(shape)))
    from ..model.scalar import Scalar, ScalarGraph

    return Nest(
        sizes=tuple(shape[d] for d in kept),
        kinds=tuple("reduction" if d == dimension else "parallel" for d in kept),
        reads=(replace(nest_read, access=access),),
        expr=ScalarGraph((Scalar("read", nest_read.type.element, (), 0),), (0,)),
    )


def _whole_uses(nest: Nest) -> tuple[LoopUse, ...]:
    return loop_uses(nest, {0: 0})


def _match_stores(kernel: Kernel, form: Form, program: Program, axes: dict[str, Axis]) -> int | Rule:
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
        rule = _match_store(kernel, form, pattern, nest, axes)
        if not rule.passed:
            return rule
        count += sum(1 for n in pattern.expr.nodes if n.operands)
    return count


def _match_store(kernel: Kernel, form: Form, pattern: Nest, nest: Nest, known: dict[str, Axis]) -> Rule:
    best: Rule | None = None
    for unified in itertools.islice(unify(pattern.expr, nest.expr, prologue=False), 16):
        result = _bind(kernel, form, pattern, nest, unified.nodes)
        if isinstance(result, Rule):
            best = best or result
            continue
        for axis in result.axes:
            size = known.setdefault(axis.name, axis).size
            if size != axis.size:
                best = Rule(name="structure.axes", passed=False, expected=f"{axis.name} = {size}", found=str(axis.size))
                break
        else:
            return _check_writes(kernel, form, pattern, nest, result.axes)
    return best or Rule(
        name="structure.epilogue",
        passed=False,
        expected=_expression(pattern) + " (the kernel has no epilogue slot)",
        found=_expression(nest),
    )


def _check_writes(kernel: Kernel, form: Form, pattern: Nest, nest: Nest, axes: tuple[Axis, ...]) -> Rule:
    for wanted, found in zip(pattern.writes, nest.writes, strict=True):
        spec = kernel.operands[wanted.view.operand]
        if spec.strided:
            continue
        rule = check_contiguous(spec, found.view, found.access, wanted.access, wanted.view.type.shape, axes)
        if not rule.passed:
            return rule
    return Rule(name="structure.epilogue", passed=True, expected="", found="")


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
