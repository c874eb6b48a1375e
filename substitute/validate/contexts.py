"""Programs that embed a definition in other work.

Frontends fuse work before and after it, pass operands in other orders, and leave some sizes open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from ..model.kernel import Form, Kernel
from .elements import SIGNIFICANT_BITS, storage_type
from .programs import Function, Operand, call_definition, function_text, operands_of, parameters_of
from .shapes import EDGES, allowed, derived_axes, draw_sizes, open_axes

Sizes = Mapping[str, int]
NARROWER = {"f32": "f16", "f64": "f32", "i32": "i8", "i64": "i32", "i16": "i8"}
"""Type from which an operand of a type is often converted."""
WIDER = {"f32": "f64", "f16": "f32", "bf16": "f32", "i8": "i32", "i16": "i32", "i32": "i64"}

MOST_SINGLE = 8
"""Number of contexts with a single step that are tried with a kernel's first form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The work around a call of the definition."""

    name: str
    arguments: Mapping[int, Sequence[str]]
    """Steps that make each argument, by its number, see `_Writer.argument`."""
    results: Sequence[str] = ()
    """Steps after each result, see `_Writer.result`."""
    open_axes: Sequence[int] = ()
    """Axes of the definition, in order, whose sizes are open."""


def context_functions(
    kernel: Kernel,
    form: Form,
    drawn: Sequence[Sizes],
    *,
    first: int,
    quick: bool,
    random: np.random.Generator,
    around: Sequence[Sizes] = (),
) -> list[Function]:
    """Return a function for each context that the kernel's slots and strides allow.

    `first` is the number of the first one; `drawn` are the sizes of the programs without a context, and `around` those
    that the first functions get.
    """
    # a dispatch that other programs share would get its offsets as constants, and not be tried without them
    more = draw_sizes(kernel, form, count=2 * len(drawn) + len(EDGES), random=random, most=2**18 if quick else 2**22)
    known = list(drawn)
    usable: list[Sizes] = [s for s in more if s not in known and all(size > 1 for size in s.values())]
    usable = usable or [s for s in known if all(size > 1 for size in s.values())]
    if not usable:
        return []
    functions: list[Function] = []
    turn = int(random.integers(64))
    contexts = contexts_of(kernel, form, quick=True, turn=turn)
    if not quick:  # all single steps take long: some of them, others with another seed
        single = contexts_of(kernel, form, quick=False, turn=turn)[len(contexts) :]
        chosen = random.permutation(len(single))[: MOST_SINGLE if form is kernel.forms[0] else 1]
        contexts += [single[at] for at in sorted(chosen.tolist())]
    for context in contexts:
        given = around[len(functions) : len(functions) + 1]
        sizes = given[0] if given else usable[int(random.integers(len(usable)))]
        others = usable[int(random.integers(len(usable)))]
        made = _write(kernel, form, context, sizes, others, first + len(functions))
        if made is not None:
            functions.append(made)
    return functions


def contexts_of(kernel: Kernel, form: Form, *, quick: bool, turn: int = 0) -> list[Context]:
    """Return the contexts for a kernel: a few with many steps, and if there is time each step alone.

    `turn`, a number that is drawn, decides which axis is open alone.
    """
    arguments, results = operands_of(kernel, form)
    strided = [
        number
        for number, (spec, operand) in enumerate(zip(kernel.operands, [*arguments, *results], strict=False))
        if spec.strided and operand.rank > 1
    ]
    inputs = [n for n in strided if n < len(arguments) and not kernel.operands[n].rows]
    rows = [n for n in strided if n < len(arguments) and kernel.operands[n].rows]
    found: list[Context] = []
    count = len({axis for operand in (*arguments, *results) for axis in operand.axes})
    one = (turn % count,) if count > 1 else ()
    biased = "epilogue" in kernel.slots and all(result.element.startswith(("f", "bf")) for result in results)
    if one and not biased:  # else there is work after the operation in the program with one open size
        found.append(Context(name="one size open", arguments={}, open_axes=one))
    if count > 2:
        others = tuple(at for at in range(count) if at != turn % count)
        found.append(Context(name="all sizes but one open", arguments={}, open_axes=others))
    if "epilogue" in kernel.slots:
        found += [
            Context(name="scaled and biased", arguments={}, results=("scalar", "last", "clamp"), open_axes=one),
            Context(
                name="biased by rows, residual, narrowed",
                arguments={},
                results=("first", "residual", "narrow"),
                open_axes=(0,),
            ),
        ]
    if "prologue" in kernel.slots:
        last = len(arguments) - 1
        found.append(Context(name="dequantised", arguments={0: ("dequantised",), last: ("scalar",)}))
    if inputs:
        found.append(Context(name="operands transposed", arguments={n: ("transposed",) for n in inputs}))
    if rows:
        found.append(Context(name="operands of wider tensors", arguments={n: ("sliced",) for n in rows}))
    if not quick:
        found += [
            Context(name=f"argument {n} of a wider tensor", arguments={n: ("sliced",)}) for n in (*rows, *inputs)[:4]
        ]
        found += _thorough(kernel, len(arguments), inputs)
    return found


def _thorough(kernel: Kernel, arguments: int, strided: Sequence[int]) -> list[Context]:
    found = [
        Context(name=f"other sizes open: {', '.join(map(str, axes))}", arguments={}, open_axes=axes)
        for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
    ]
    if "epilogue" in kernel.slots:
        found += [
            Context(name="stored transposed", arguments={}, results=("transposed",)),
            Context(name="two results", arguments={}, results=("two",)),
            Context(name="activated", arguments={}, results=("tanh",), open_axes=(1,)),
            Context(name="residual alone", arguments={}, results=("residual",), open_axes=(0, 1)),
            Context(name="biased", arguments={}, results=("last",), open_axes=(2,)),
            Context(name="biased by rows", arguments={}, results=("first",)),
            Context(name="scaled", arguments={}, results=("scalar",), open_axes=(0, 2)),
            Context(name="widened", arguments={}, results=("wide", "last")),
        ]
    for number in range(arguments):
        if "prologue" in kernel.slots:
            found += [
                Context(name=f"argument {number} biased", arguments={number: ("last",)}, open_axes=(number,)),
                Context(name=f"argument {number} converted", arguments={number: ("narrow",)}),
                Context(name=f"argument {number} broadcast", arguments={number: ("broadcast",)}),
            ]
        if number in strided and len(strided) > 1:
            found.append(
                Context(name=f"argument {number} transposed", arguments={number: ("transposed",)}, open_axes=(0,))
            )
        if number in strided:
            found.append(Context(name=f"argument {number} repeated", arguments={number: ("broadcast",)}))
    return found


def _write(kernel: Kernel, form: Form, context: Context, sizes: Sizes, others: Sizes, number: int) -> Function | None:
    """Return the function; None if a step does not apply to the types or ranks."""
    arguments, results = operands_of(kernel, form)
    named = list(dict.fromkeys(a for o in (*arguments, *results) for a in o.axes))
    fixed = {a for o in (*arguments, *results) for a, s in zip(o.axes, o.type.shape, strict=True) if isinstance(s, int)}
    opened = {named[at] for at in context.open_axes if at < len(named)} - fixed
    if context.open_axes and not opened:
        return None
    if not context.arguments and not context.results and (opened | fixed) >= set(named):
        return None  # all sizes are open: such a function exists already
    writer = _Writer(open_axes=opened)
    passed = []
    for at, argument in enumerate(arguments):
        value = writer.argument(at, argument, context.arguments.get(at, ()), sizes)
        if value is None:
            return None
        passed.append(value)
    signature, lines, described = parameters_of(kernel, form, sizes, number)
    writer.lines += lines
    writer.lines += call_definition(form, passed, arguments, results)
    for at, result in enumerate(results):
        of = f"#{at}" if len(results) > 1 else ""
        if not writer.result(at, f"%r{of}", result, context.results, sizes):
            return None
    launches = [sizes]
    changed = {**sizes, **{axis: others[axis] for axis in opened}}
    changed |= derived_axes(kernel, form, {axis: changed[axis] for axis in open_axes(kernel, form)})
    closed = all(changed[axis] == size for axis, size in sizes.items() if axis not in opened)
    if opened and closed and changed != sizes and allowed(kernel.constraints, changed):
        launches.append(changed)
    shapes = [tuple(tuple(at[axis] for axis in axes) for axes, _ in writer.signature) for at in launches]
    text = function_text(
        f"case_{number}",
        [*(f"%in{n}: {type_}" for n, (_, type_) in enumerate(writer.signature)), *signature],
        writer.lines,
        [value for value, _ in writer.returned],
        [type_ for _, type_ in writer.returned],
    )
    spelled = ", ".join(f"{a}={'?' if a in opened else s}" for a, s in sizes.items())
    return Function(
        name=f"case_{number}",
        text=text,
        label=f"@{form.name} {spelled}{described}, {context.name}",
        shapes=tuple(shapes) if opened else (),
    )


class _Writer:
    """The lines of one function."""

    def __init__(self, *, open_axes: Set[str]) -> None:
        self.open_axes = open_axes
        self.signature: list[tuple[tuple[str, ...], str]] = []
        """Axes and type of each argument `%in0`, `%in1`, …"""
        self.lines: list[str] = []
        self.returned: list[tuple[str, str]] = []
        self._count = 0

    def argument(self, number: int, operand: Operand, steps: Sequence[str], sizes: Sizes) -> str | None:
        """Return the value that is passed; None if a step does not apply.

        `transposed`: given in the other order; `broadcast`: given without its first axis; `narrow`: of a narrower
        type; `dequantised`: integers with a scale for each column; `scalar` and `last`: times a number of a tensor
        without axes, plus a number for each column; `sliced`: all rows of a tensor that has more columns, from the
        third one on.
        """
        axes, element = operand.axes, operand.element
        if element == "i1":
            return None
        step = steps[0] if steps else ""
        given, source = axes, element
        if step in ("transposed", "broadcast"):
            if len(axes) < 2:
                return None
            given = axes[::-1] if step == "transposed" else axes[1:]
        if step == "narrow" or (step == "dequantised" and not element.startswith("f")):
            if element not in NARROWER:
                return None
            step, source = "narrow", NARROWER[element]
        elif step == "dequantised":
            source = "i8"
        if step == "sliced":
            return self._sliced(operand, sizes)
        value = self._input(given, source, sizes)
        if step in ("scalar", "last"):
            value = self._combined(value, axes, element, step, sizes)
        elif step == "dequantised":
            if not axes:
                return None
            scale = self._input(axes[-1:], element, sizes)
            body = f"%f = arith.sitofp %b0 : i8 to {element}\n%done = arith.mulf %f, %b1 : {element}"
            value = self._generic([(value, given, source), (scale, axes[-1:], element)], axes, element, body, sizes)
        elif step:
            body = _converted("%b0", source, element) if source != element else ""
            value = self._generic([(value, given, source)], axes, element, body, sizes)
        type_ = self._type(axes, element, sizes)
        if type_ == operand.declared:
            return value
        return self._line(f"tensor.cast {value} : {type_} to {operand.declared}")

    def _sliced(self, operand: Operand, sizes: Sizes) -> str | None:
        axes, element = operand.axes, operand.element
        if len(axes) < 2 or set(axes) & self.open_axes:
            return None
        shape = [sizes[axis] for axis in axes]
        wider = f"tensor<{''.join(f'{size}x' for size in (*shape[:-1], shape[-1] + 5))}{element}>"
        self.signature.append((axes, wider))
        offsets = ", ".join([*["0"] * (len(shape) - 1), "2"])
        lengths, steps = ", ".join(map(str, shape)), ", ".join(["1"] * len(shape))
        type_ = self._type(axes, element, sizes)
        value = self._line(
            f"tensor.extract_slice %in{len(self.signature) - 1}[{offsets}] [{lengths}] [{steps}] : {wider} to {type_}"
        )
        if type_ == operand.declared:
            return value
        return self._line(f"tensor.cast {value} : {type_} to {operand.declared}")

    def result(self, number: int, value: str, operand: Operand, steps: Sequence[str], sizes: Sizes) -> bool:
        """Append the steps after a result; return False if a step does not apply.

        `first`, `last`: plus a number for each row, or column; `scalar`: times a number of a tensor; `residual`: plus
        another tensor; `clamp`, `tanh`; `narrow`, `wide`: stored in another type; `transposed`: in the other order;
        `two`: stored as it is and, with a bias, again.
        """
        axes, element = operand.axes, operand.element
        if element == "i1":
            return False
        type_ = self._type(axes, element, sizes)
        if type_ != operand.declared:
            value = self._line(f"tensor.cast {value} : {operand.declared} to {type_}")
        for step in steps:
            if step in ("scalar", "first", "last", "residual", "two"):
                if step != "scalar" and not axes:
                    return False
                before = value
                value = self._combined(value, axes, element, "last" if step == "two" else step, sizes)
                if step == "two":
                    self.returned.append((before, type_))
            elif step in ("clamp", "tanh"):
                if not element.startswith(("f", "bf")):
                    return False
                body = f"%done = math.tanh %b0 : {element}"
                if step == "clamp":
                    body = f"%zero = arith.constant 0.0 : {element}\n%done = arith.maximumf %b0, %zero : {element}"
                value = self._generic([(value, axes, element)], axes, element, body, sizes)
            elif step == "transposed":
                if len(axes) < 2:
                    return False
                value, axes = self._generic([(value, axes, element)], axes[::-1], element, "", sizes), axes[::-1]
            else:
                other = (NARROWER if step == "narrow" else WIDER).get(element)
                if other is None:
                    return False
                value = self._generic([(value, axes, element)], axes, other, _converted("%b0", element, other), sizes)
                element = other
        self.returned.append((value, self._type(axes, element, sizes)))
        return True

    def _combined(self, value: str, axes: tuple[str, ...], element: str, how: str, sizes: Sizes) -> str:
        other: tuple[str, ...] = {"scalar": (), "first": axes[:1], "last": axes[-1:], "residual": axes}[how]
        more = self._input(other, element, sizes)
        name = "mul" if how == "scalar" else "add"
        body = f"%done = arith.{name}{'f' if element.startswith(('f', 'bf')) else 'i'} %b0, %b1 : {element}"
        return self._generic([(value, axes, element), (more, other, element)], axes, element, body, sizes)

    def _input(self, axes: tuple[str, ...], element: str, sizes: Sizes) -> str:
        self.signature.append((axes, self._type(axes, element, sizes)))
        return f"%in{len(self.signature) - 1}"

    def _type(self, axes: Sequence[str], element: str, sizes: Sizes) -> str:
        return f"tensor<{''.join('?x' if a in self.open_axes else f'{sizes[a]}x' for a in axes)}{element}>"

    def _line(self, text: str) -> str:
        self._count += 1
        self.lines.append(f"%v{self._count} = {text}")
        return f"%v{self._count}"

    def _generic(
        self,
        inputs: Sequence[tuple[str, tuple[str, ...], str]],
        axes: tuple[str, ...],
        element: str,
        body: str,
        sizes: Sizes,
    ) -> str:
        """Return an element-wise operation over `axes`; an empty body returns `%b0`."""
        extents = []
        for axis in axes:
            if axis in self.open_axes:
                source, of, kind = next(i for i in inputs if axis in i[1])
                at = self._line(f"arith.constant {of.index(axis)} : index")
                extents.append(self._line(f"tensor.dim {source}, {at} : {self._type(of, kind, sizes)}"))
        type_ = self._type(axes, element, sizes)
        empty = self._line(f"tensor.empty({', '.join(extents)}) : {type_}")
        loops = ", ".join(f"d{i}" for i in range(len(axes)))

        def map_of(of: Sequence[str]) -> str:
            return f"affine_map<({loops}) -> ({', '.join(f'd{axes.index(a)}' for a in of)})>"

        maps = ", ".join([*(map_of(of) for _, of, _ in inputs), map_of(axes)])
        types = ", ".join(self._type(of, kind, sizes) for _, of, kind in inputs)
        block = ", ".join([*(f"%b{i}: {kind}" for i, (_, _, kind) in enumerate(inputs)), f"%o: {element}"])
        done = "%done" if body else "%b0"
        parallel = ", ".join(['"parallel"'] * len(axes))
        return self._line(
            f"linalg.generic {{indexing_maps = [{maps}], iterator_types = [{parallel}]}} "
            f"ins({', '.join(v for v, _, _ in inputs)} : {types}) outs({empty} : {type_}) {{\n^bb0({block}):\n"
            f"{body}\nlinalg.yield {done} : {element}\n}} -> {type_}"
        )


def _converted(value: str, source: str, target: str) -> str:
    """Return a conversion between types of one kind."""
    floats = source.startswith(("f", "bf"))
    wider = (
        SIGNIFICANT_BITS[target] > SIGNIFICANT_BITS[source]
        if floats
        else storage_type(target).itemsize > storage_type(source).itemsize
    )
    name = ("extf" if wider else "truncf") if floats else ("extsi" if wider else "trunci")
    return f"%done = arith.{name} {value} : {source} to {target}"
