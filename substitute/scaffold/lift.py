"""Lifts a dispatch to a definition: a function on tensors of the sizes that its loops have, `?` where any size will do.

Windows of operands become tensors of their own, with one dimension for each loop that moves over them: offsets, slices
and strides are the dispatch's, and the toolkit binds them. A size stays a number where the computation depends on it:
in windows (`2 * p + r`), and where no argument has it as a dimension.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from ..match.spelled_out import spell_out
from ..model.dispatch import Linear, Named, Nest, Program, View
from ..model.elements import ELEMENT
from ..model.index import Expr, Index, mul
from ..model.kernel import OperandSpec
from ..model.parameter import SCALAR_TYPES
from ..model.scalar import Scalar
from ..read.tensors import row_major
from .classes import LoopClasses, classify, name_axes
from .draft import Draft, NotExpressible
from .mlir_text import Leaf, constant, write_graph


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dimension:
    """One dimension of a tensor of the definition."""

    terms: tuple[tuple[int, Index], ...]
    """Loops of the nest that move along it; empty for a tensor that is gathered from."""
    stride: Index
    axis: Hashable
    """The axis, or for a window or a gathered tensor a name of its own."""
    size: Index


@dataclass(slots=True)
class _Tensor:
    name: str
    element: str
    dimensions: tuple[_Dimension, ...]
    strided: bool


@dataclass(slots=True)
class _Lifter:
    program: Program
    stages: tuple[Nest, ...]
    classes: LoopClasses
    fixed: set[Hashable] = field(default_factory=set)
    """Axes whose size is part of the computation."""
    arguments: dict[tuple[object, ...], _Tensor] = field(default_factory=dict)
    results: list[_Tensor] = field(default_factory=list)
    parameters: dict[tuple[str, Expr], str] = field(default_factory=dict)

    def axis(self, stage: int, loop: int) -> Hashable:
        return self.classes.find((stage, loop))


def lift(program: Program, name: str) -> Draft:
    """Return a definition of what a program computes. Raises `NotExpressible`."""
    program = spell_out(program) or program
    for core in program.cores:
        if isinstance(core, Named):
            raise NotExpressible(f"{core.op}, for which there is no simple code")
    stages = (*(core for core in program.cores if isinstance(core, Nest)), *program.stores)
    lifter = _Lifter(program, stages, classify(program, stages))
    _fix_windows(lifter)
    reads = [[_argument(lifter, number, at) for at in range(len(nest.reads))] for number, nest in enumerate(stages)]
    for number, nest in enumerate(stages):
        for write in nest.writes:
            dimensions = _dimensions(lifter, number, write.view, write.access)
            strided = not _is_plain(dimensions)
            lifter.results.append(_Tensor("", write.view.type.element, dimensions, strided))
    _name_tensors(lifter)
    return _write(lifter, reads, name)


def _fix_windows(lifter: _Lifter) -> None:
    """Keep the sizes of loops that move together along one dimension, or that read a window of a temporary."""
    for number, nest in enumerate(lifter.stages):
        accesses = [read.access for read in nest.reads] + [write.access for write in nest.writes]
        for access in accesses:
            for coordinate in access:
                if len(coordinate.terms) > 1:
                    lifter.fixed |= {lifter.axis(number, loop) for loop, _ in coordinate.terms}
        for read in nest.reads:
            if not isinstance(read.source, int):
                continue
            core = next(n for n, s in enumerate(lifter.stages) if s.temporary == read.source)
            for wanted, given in zip(read.access, lifter.stages[core].target, strict=False):
                if wanted.loop is None or given.loop is None:
                    lifter.fixed |= {lifter.axis(number, loop) for loop, _ in wanted.terms}
                    lifter.fixed |= {lifter.axis(core, loop) for loop, _ in given.terms}
                elif lifter.axis(number, wanted.loop) != lifter.axis(core, given.loop):
                    lifter.fixed |= {lifter.axis(number, wanted.loop), lifter.axis(core, given.loop)}


def _argument(lifter: _Lifter, stage: int, at: int) -> _Tensor | int:
    """Return the argument that a read is, or the number of the temporary."""
    nest = lifter.stages[stage]
    read = nest.reads[at]
    if isinstance(read.source, int):
        return read.source
    view = read.source
    if at in nest.gathered:
        sizes = view.type.shape
        dimensions = tuple(
            _Dimension(terms=(), stride=stride, axis=(view, "gathered", d), size=size)
            for d, (size, stride) in enumerate(zip(sizes, view.strides, strict=True))
        )
        key: tuple[object, ...] = (view, "gathered")
        strided = view.strides != row_major(sizes)
    else:
        dimensions = _dimensions(lifter, stage, view, read.access)
        key = (view, tuple(c.constant for c in read.access), tuple((d.axis, d.stride) for d in dimensions))
        strided = not _is_plain(dimensions)
    if key not in lifter.arguments:
        lifter.arguments[key] = _Tensor("", view.type.element, dimensions, strided)
    return lifter.arguments[key]


def _dimensions(lifter: _Lifter, stage: int, view: View, access: tuple[Linear, ...]) -> tuple[_Dimension, ...]:
    """Return the dimensions along which the loops of a nest move over a window."""
    found: list[_Dimension] = []
    seen: set[int] = set()
    for number, (coordinate, stride) in enumerate(zip(access, view.strides, strict=True)):
        if not coordinate.terms:
            continue
        loops = [loop for loop, _ in coordinate.terms]
        if seen.intersection(loops):
            raise NotExpressible("an operand along whose diagonal a loop moves")
        seen.update(loops)
        if len(loops) == 1:
            size, step = lifter.stages[stage].sizes[loops[0]], mul(coordinate.terms[0][1], stride)
            axis = lifter.axis(stage, loops[0])
            found.append(_Dimension(terms=((loops[0], 1),), stride=step, axis=axis, size=size))
            continue
        extent = 1
        for loop, coefficient in coordinate.terms:
            size = lifter.stages[stage].sizes[loop]
            if not isinstance(size, int) or not isinstance(coefficient, int):
                raise NotExpressible("a window over a size that is only known at launch")
            if coefficient < 0:
                raise NotExpressible("a window that runs backwards")
            extent += coefficient * (size - 1)
        found.append(_Dimension(terms=coordinate.terms, stride=stride, axis=(view, "window", number), size=extent))
    return tuple(found)


def _is_plain(dimensions: Sequence[_Dimension]) -> bool:
    """Return True for a tensor that is row-major without gaps."""
    step: Index = 1
    for dimension in reversed(dimensions):
        if dimension.stride != step:
            return False
        step = mul(dimension.size, step)
    return True


def _name_tensors(lifter: _Lifter) -> None:
    arguments = list(lifter.arguments.values())
    letters = ["x"] if len(arguments) == 1 else [*"abcdefgh", *(f"x{n}" for n in range(len(arguments)))]
    for tensor, name in zip(arguments, letters, strict=False):
        tensor.name = name
    for number, tensor in enumerate(lifter.results):
        tensor.name = "y" if len(lifter.results) == 1 else f"y{number}"
    for tensor in (*arguments, *lifter.results):
        element = ELEMENT.get(tensor.element)
        if element is None or not element.numpy:
            raise NotExpressible(f"elements of type {tensor.element}")


def _write(lifter: _Lifter, reads: list[list[_Tensor | int]], name: str) -> Draft:
    names = _axis_names(lifter)
    arguments = list(lifter.arguments.values())
    free = {
        d.axis for tensor in arguments for d in tensor.dimensions if len(d.terms) == 1 and d.axis not in lifter.fixed
    }
    free |= {d.axis for t in arguments for d in t.dimensions if not d.terms and isinstance(d.size, Expr)}
    text = _Text(lifter, names, free)
    body = text.body(reads)
    signature = [f"%{t.name}: {text.type(t)}" for t in arguments]
    signature += [f"%{parameter}: {type_}" for (type_, _), parameter in lifter.parameters.items()]
    results = [text.type(t) for t in lifter.results]
    returned = results[0] if len(results) == 1 else f"({', '.join(results)})"
    sizes = text.prelude(arguments)
    lines = [f"func.func @{name}({', '.join(signature)}) -> {returned} {{", *sizes, *body]
    values = ", ".join(text.values[t.name] for t in lifter.results)
    lines += [f"  return {values} : {', '.join(results)}", "}"]
    operands = tuple(
        OperandSpec(name=t.name, axes=tuple(names[d.axis] for d in t.dimensions), strided=t.strided)
        for t in (*arguments, *lifter.results)
    )
    return Draft(text="\n".join(lines) + "\n", operands=operands, parameters=tuple(lifter.parameters.values()))


def _axis_names(lifter: _Lifter) -> dict[Hashable, str]:
    """Name axes of results first, then the others in the order of the arguments."""
    summed = {
        lifter.axis(number, loop)
        for number, nest in enumerate(lifter.stages)
        for loop, kind in enumerate(nest.kinds)
        if kind == "reduction"
    }
    tensors = (*lifter.results, *lifter.arguments.values())
    order = [(d.axis, d.axis in summed) for t in tensors for d in t.dimensions]
    first = [(a, False) for a, _ in order[: sum(len(t.dimensions) for t in lifter.results)]]
    return name_axes([*first, *order])


@dataclass(slots=True)
class _Text:
    lifter: _Lifter
    names: dict[Hashable, str]
    free: set[Hashable]
    used: dict[Hashable, str] = field(default_factory=dict)
    """Sizes that the function computes with, by axis."""
    values: dict[str, str] = field(default_factory=dict)
    """MLIR's names of results."""

    def type(self, tensor: _Tensor) -> str:
        sizes = "".join(f"{'?' if d.axis in self.free else d.size}x" for d in tensor.dimensions)
        self._known([d.axis for d in tensor.dimensions], [d.size for d in tensor.dimensions])
        return f"tensor<{sizes}{tensor.element}>"

    def _known(self, axes: Sequence[Hashable], sizes: Sequence[Index]) -> None:
        for axis, size in zip(axes, sizes, strict=True):
            if axis not in self.free and not isinstance(size, int):
                raise NotExpressible("a result with a size that no argument has")

    def prelude(self, arguments: Sequence[_Tensor]) -> list[str]:
        """Return the sizes of free axes, each of the first argument that has it."""
        lines: list[str] = []
        constants: set[int] = set()
        for axis, name in self.used.items():
            tensor, number = next((t, n) for t in arguments for n, d in enumerate(t.dimensions) if d.axis == axis)
            if number not in constants:
                constants.add(number)
                lines.append(f"  %c{number} = arith.constant {number} : index")
            lines.append(f"  %{name} = tensor.dim %{tensor.name}, %c{number} : {self.type(tensor)}")
        return lines

    def size(self, axis: Hashable) -> str:
        self.used.setdefault(axis, self.names[axis])
        return f"%{self.names[axis]}"

    def empty(self, axes: Sequence[Hashable], sizes: Sequence[Index], element: str) -> tuple[str, str]:
        """Return the operation that makes a tensor, and its type."""
        self._known(axes, sizes)
        dynamic = ", ".join(self.size(axis) for axis in axes if axis in self.free)
        shape = "".join(f"{'?' if a in self.free else s}x" for a, s in zip(axes, sizes, strict=True))
        type_ = f"tensor<{shape}{element}>"
        return f"tensor.empty({dynamic}) : {type_}", type_

    def body(self, reads: list[list[_Tensor | int]]) -> list[str]:
        lines: list[str] = []
        stored = 0
        for number, nest in enumerate(self.lifter.stages):
            outputs = []
            if nest.writes:
                for _ in nest.writes:
                    tensor = self.lifter.results[stored]
                    stored += 1
                    axes = [d.axis for d in tensor.dimensions]
                    loops = [d.terms for d in tensor.dimensions]
                    if any(len(terms) > 1 for terms in loops):
                        raise NotExpressible("a result in whose dimension two loops move")
                    sizes = [d.size for d in tensor.dimensions]
                    outputs.append((tensor.name, axes, sizes, tensor.element, [terms[0][0] for terms in loops]))
            else:
                outputs.append(self._temporary(number, nest))
            if self._is_copy(nest, outputs):
                self.values[outputs[0][0]] = f"%t{nest.reads[0].source}"
                continue
            lines += self._stage(number, nest, reads[number], outputs)
        return lines

    def _is_copy(self, nest: Nest, outputs: Sequence[tuple[str, list[Hashable], list[Index], str, list[int]]]) -> bool:
        """Return True for a nest that stores an intermediate result as it is."""
        if len(nest.writes) != 1 or nest.combiner or [node.op for node in nest.expr.nodes] != ["read"]:
            return False
        (read,) = nest.reads
        loops = [coordinate.loop for coordinate in read.access]
        return isinstance(read.source, int) and loops == outputs[0][4] == list(range(len(nest.sizes)))

    def _temporary(self, number: int, nest: Nest) -> tuple[str, list[Hashable], list[Index], str, list[int]]:
        loops = [coordinate.loop for coordinate in nest.target]
        if nest.type is None or any(loop is None for loop in loops):
            raise NotExpressible("a reduction into a slice")
        plain = [loop for loop in loops if loop is not None]
        axes = [self.lifter.axis(number, loop) for loop in plain]
        return f"t{nest.temporary}", axes, [nest.sizes[loop] for loop in plain], nest.type.element, plain

    def _stage(
        self,
        number: int,
        nest: Nest,
        reads: list[_Tensor | int],
        outputs: list[tuple[str, list[Hashable], list[Index], str, list[int]]],
    ) -> list[str]:
        lines: list[str] = []
        inits, out_types = [], []
        for name, axes, sizes, element, _ in outputs:
            empty, type_ = self.empty(axes, sizes, element)
            lines.append(f"  %{name}_empty = {empty}")
            init = f"%{name}_empty"
            if nest.combiner:
                if nest.init is None:
                    raise NotExpressible("a reduction that starts from a value in memory")
                lines.append(f"  %{name}_start = {constant(nest.init, element)}")
                lines.append(
                    f"  %{name}_init = linalg.fill ins(%{name}_start : {element}) outs({init} : {type_}) -> {type_}"
                )
                init = f"%{name}_init"
            inits.append(init)
            out_types.append(type_)
        inputs, maps, types, blocks = self._inputs(number, nest, reads, lines)
        maps += [_map(len(nest.sizes), [((loop, 1),) for loop in loops]) for *_, loops in outputs]
        kinds = ", ".join(f'"{kind}"' for kind in nest.kinds)
        region, results = write_graph(nest.expr, self._leaf(reads, blocks))
        elements = [element for _, _, _, element, _ in outputs]
        head = [f"%in{at}: {type_.rpartition('x')[2].rstrip('>').removeprefix('tensor<')}" for at, type_ in types]
        head += [f"%out{at}: {element}" for at, element in enumerate(elements)]
        if nest.combiner:
            region.append(f"    %next = {nest.combiner} %out0, {results[0]} : {elements[0]}")
            results = ["%next"]
        ins = f" ins({', '.join(inputs)} : {', '.join(t for _, t in types)})" if inputs else ""
        joined = ", ".join(out_types)
        left = f"%{outputs[0][0]}" if len(outputs) == 1 else f"%nest{number}:{len(outputs)}"
        joined_maps = ",\n                       ".join(maps)
        lines += [
            f"  {left} = linalg.generic {{",
            f"      indexing_maps = [{joined_maps}],",
            f"      iterator_types = [{kinds}]}}{ins} outs({', '.join(inits)} : {joined}) {{",
            f"  ^bb0({', '.join(head)}):",
            *region,
            f"    linalg.yield {', '.join(results)} : {', '.join(elements)}",
            f"  }} -> {joined if len(outputs) == 1 else f'({joined})'}",
        ]
        for at, (name, *_) in enumerate(outputs):
            self.values[name] = f"%{name}" if len(outputs) == 1 else f"%nest{number}#{at}"
        return lines

    def _inputs(
        self, number: int, nest: Nest, reads: list[_Tensor | int], lines: list[str]
    ) -> tuple[list[str], list[str], list[tuple[int, str]], dict[int, str]]:
        """Return operands, their maps and types with the number in the block, and the names of the reads."""
        inputs: list[str] = []
        maps: list[str] = []
        types: list[tuple[int, str]] = []
        blocks: dict[int, str] = {}
        known = {loop for write in nest.writes for c in write.access for loop in [c.loop] if loop is not None}
        known |= {c.loop for c in nest.target if c.loop is not None}
        for at, read in enumerate(reads):
            if at in nest.gathered:
                continue
            if isinstance(read, int):
                core = next(n for n, s in enumerate(self.lifter.stages) if s.temporary == read)
                name, axes, sizes, element, _ = self._temporary(core, self.lifter.stages[core])
                _, type_ = self.empty(axes, sizes, element)
                terms = [c.terms for c in nest.reads[at].access]
                if any(c.constant != 0 for c in nest.reads[at].access):
                    raise NotExpressible("a window of an intermediate result")
            else:
                name, type_ = read.name, self.type(read)
                terms = [d.terms for d in self._as_read(number, nest, at)]
            blocks[at] = f"%in{at}"
            inputs.append(f"%{name}")
            maps.append(_map(len(nest.sizes), terms))
            types.append((at, type_))
            known |= {t[0][0] for t in terms if len(t) == 1 and t[0][1] == 1}
        missing = [loop for loop in range(len(nest.sizes)) if loop not in known]
        if missing:  # an operand that only says how often these loops run
            sizes = [nest.sizes[loop] for loop in missing]
            if any(not isinstance(size, int) for size in sizes):
                raise NotExpressible("a loop whose size no argument has")
            at = len(reads)
            shape = "".join(f"{size}x" for size in sizes)
            inputs.append(f"%loops{number}")
            maps.append(_map(len(nest.sizes), [((loop, 1),) for loop in missing]))
            types.append((at, f"tensor<{shape}f32>"))
            lines.append(f"  %loops{number} = tensor.empty() : tensor<{shape}f32>")
        return inputs, maps, types, blocks

    def _as_read(self, number: int, nest: Nest, at: int) -> tuple[_Dimension, ...]:
        """Return the dimensions of an argument in terms of this nest's own loops."""
        source = nest.reads[at].source
        assert isinstance(source, View)
        return _dimensions(self.lifter, number, source, nest.reads[at].access)

    def _leaf(self, reads: list[_Tensor | int], blocks: dict[int, str]) -> Leaf:
        def leaf(node: Scalar, operands: tuple[str, ...]) -> str | tuple[str, str]:
            if node.op == "read":
                assert isinstance(node.attribute, int)
                return blocks[node.attribute]
            if node.op == "index":
                return f"linalg.index {node.attribute} : index", "index"
            if node.op == "gather":
                assert isinstance(node.attribute, int)
                source = reads[node.attribute]
                if isinstance(source, int):
                    raise NotExpressible("a gather from an intermediate result")
                return f"tensor.extract %{source.name}[{', '.join(operands)}] : {self.type(source)}", node.type
            assert node.op == "size", node.op
            return self._value(node)

        return leaf

    def _value(self, node: Scalar) -> str | tuple[str, str]:
        """Return an integer that is known at launch: the size of an axis, or a parameter."""
        value = node.attribute
        assert isinstance(value, Expr)
        for stage, nest in enumerate(self.lifter.stages):
            for loop, size in enumerate(nest.sizes):
                axis = self.lifter.axis(stage, loop)
                if size == value and axis in self.free:
                    name = self.size(axis)
                    return name if node.type == "index" else (f"arith.index_cast {name} : index to {node.type}", "")
        if node.type not in SCALAR_TYPES:
            raise NotExpressible(f"a value of type {node.type} that a launch gives")
        key = (node.type, value)
        if key not in self.lifter.parameters:
            self.lifter.parameters[key] = f"p{len(self.lifter.parameters)}"
        return f"%{self.lifter.parameters[key]}"


def _map(loops: int, dimensions: Sequence[tuple[tuple[int, Index], ...]]) -> str:
    names = ", ".join(f"d{n}" for n in range(loops))
    sums = [
        " + ".join(f"d{loop}" if coefficient == 1 else f"d{loop} * {coefficient}" for loop, coefficient in terms) or "0"
        for terms in dimensions
    ]
    return f"affine_map<({names}) -> ({', '.join(sums)})>"
