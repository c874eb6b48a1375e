"""Programs whose dispatches a kernel should take: its definition at many sizes, alone and among other work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..catalog.types import instantiate
from ..errors import UsageError
from ..model.dispatch import TensorType
from ..model.kernel import Form, Kernel
from ..model.parameter import ScalarParameter, format_value
from .call_sites import Shapes
from .covering import LOCAL, QUICK, Budget, cover_sizes
from .parameters import draw_values
from .shapes import EDGES, allowed, check_constraints, derived_axes, draw_sizes, open_axes
from .thresholds import Thresholds, read_source

Sizes = Mapping[str, int]
PARALLEL = ['"parallel"']
TAKE_OPEN_SIZES = frozenset({"llvm-cpu", "cuda"})
"""Backends on which finished code gets every size when it is launched, so that static ones change nothing in it."""
MANY_FORMS = 8
"""Number of forms above which they are taken to be the same one at many sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One public function of a program."""

    name: str
    text: str
    label: str
    """Name in messages: the form, and its sizes."""
    shapes: tuple[tuple[tuple[int, ...], ...], ...] = ()
    """Shapes of the arguments of a function of open sizes, one set per launch."""
    form: Form | None = None
    """Form that a function of open sizes calls."""
    axes: tuple[tuple[str, ...], ...] = ()
    """Axes of its arguments."""

    def shapes_at(self, sizes: Sizes) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the arguments of a function of open sizes."""
        return tuple(tuple(sizes[axis] for axis in axes) for axes in self.axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """An argument or a result of the definition."""

    axes: tuple[str, ...]
    type: TensorType
    """The definition's type; some of its sizes may be numbers."""

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def element(self) -> str:
        """IREE's name of the element type."""
        return self.type.element

    @property
    def declared(self) -> str:
        """The type in the definition."""
        return _type([size if isinstance(size, int) else None for size in self.type.shape], self.element)

    def at(self, sizes: Sizes) -> str:
        """Return the type at these sizes."""
        return _type([sizes[axis] for axis in self.axes], self.element)


def module_text(parts: Sequence[str]) -> bytes:
    """Return a module of function texts."""
    return ("module {\n" + "\n".join(parts) + "\n}\n").encode()


def shape_sets(functions: Sequence[Function]) -> tuple[Shapes, ...]:
    """Return the shapes for every launch of the functions of open sizes: set i of each."""
    most = max((len(f.shapes) for f in functions), default=0)
    return tuple({f.name: f.shapes[i] for f in functions if i < len(f.shapes)} for i in range(most)) or ({},)


def definition_parts(kernel: Kernel) -> str:
    """Return the definition's functions, private and renamed."""
    from iree.compiler import ir

    from ..read.definition import drop_identities

    path = definition_file(kernel)
    text = path.read_text(encoding="utf-8")
    if kernel.types:
        text = instantiate(text, kernel.types, str(path))
    with ir.Context() as context, ir.Location.unknown():
        module = ir.Module.parse(text, context)
        drop_identities(module.operation)
        for op in module.body.operations:
            if op.operation.name == "func.func":
                name = ir.StringAttr(op.operation.attributes["sym_name"]).value
                op.operation.attributes["sym_name"] = ir.StringAttr.get(_inner(name))
                op.operation.attributes["sym_visibility"] = ir.StringAttr.get("private")
        printed = [op.operation.get_asm(use_local_scope=True) for op in module.body.operations]
    return "\n".join(printed)


def definition_file(kernel: Kernel) -> Path:
    """Return the file of the kernel's definition. Raises `UsageError` for a kernel without one."""
    from ..catalog.manifest import MANIFEST_NAME, read_manifest

    found = read_manifest(kernel.folder / MANIFEST_NAME).definition
    if found is None:
        raise UsageError(f"{kernel.name} has no definition", where=str(kernel.folder))
    return found


def definition_functions(kernel: Kernel, *, quick: bool, random: np.random.Generator) -> list[Function]:
    """Return every form of a kernel's definition: at static sizes, at open ones, and within other work if it has
    slots.
    """
    from .contexts import context_functions

    check_constraints(kernel)
    functions: list[Function] = []
    forms = _forms(kernel, quick=quick, random=random)
    share = len(forms)
    most = 2**18 if quick else 2**22
    for form in forms:
        first = form is forms[0]
        of_many = 8 if share <= MANY_FORMS else 3
        count = (4 if first else 2) if quick else of_many
        drawn = draw_sizes(kernel, form, count=count, random=random, most=most)
        alike: list[dict[str, int]] = []
        if first or not quick:
            drawn += _sizes_of_code(kernel, form, drawn, quick=quick, share=share, random=random.spawn(1)[0])
            alike = _sizes_alike(kernel, form, drawn, quick=quick, most=most)
            drawn += alike
        if not drawn:
            raise UsageError(
                f"no sizes were found for @{form.name} of {kernel.name}",
                where=str(kernel.folder),
                expected="sizes of the definition's axes that fulfil the constraints",
                found=" and ".join(f"`{c.text}`" for c in kernel.constraints),
                next_step="validate a model in which it is used: iree-substitute validate MODEL --kernels DIR",
            )
        plain: list[Sizes] = list(drawn) if first or not quick else list(drawn[-1:])
        around: list[Sizes] = []
        if first and quick:
            plain, around = _divided(kernel, drawn, alike)
        made = [_function(kernel, form, sizes, len(functions) + i) for i, sizes in enumerate(plain)]
        made.append(_open_function(kernel, form, drawn, len(functions) + len(made)))
        used: list[Sizes] = list(drawn)
        for wrapping in _wrappings(kernel, first=form is kernel.forms[0], quick=quick):
            usable = [s for s in drawn if all(size > 1 for size in s.values())] or drawn
            # IREE may compute what comes before in a dispatch of its own, and the kernel then sees another one's sizes;
            # a dispatch that shares its sizes with another program's gets its offsets as constants
            apart = wrapping in ("prologue", "shared") or not around
            sizes = usable[int(random.integers(len(usable)))] if apart else around.pop(0)
            if wrapping == "shared":
                sizes = _other_sizes(kernel, form, drawn, random=random.spawn(1)[0], most=most) or sizes
            used.append(sizes)
            made.append(_function(kernel, form, sizes, len(functions) + len(made), wrapping))
        if form is kernel.forms[0] or not quick:
            number = len(functions) + len(made)
            more = context_functions(
                kernel, form, used, first=number, quick=quick, random=random.spawn(1)[0], around=around
            )
            made += more
            # sizes that code depends on, and for which there is no context
            left = around[len(more) :] if _depends_on_sizes(kernel) else []
            made += [_function(kernel, form, sizes, number + len(more) + at) for at, sizes in enumerate(left)]
        functions += made
    return functions


def _divided(kernel: Kernel, drawn: Sequence[Sizes], alike: Sequence[Sizes]) -> tuple[list[Sizes], list[Sizes]]:
    """Divide the sizes of a quick validation into those of programs of their own, and those that have work around them.

    Each is compiled once, and where the code depends on static sizes at each of them. Where it does not, the function
    of open sizes is launched at all of them. Sets that differ in a single axis stay beside each other.
    """
    depends = _depends_on_sizes(kernel)
    takes_open = kernel.abi == "canonical" and {target.backend for target in kernel.targets} <= TAKE_OPEN_SIZES
    if not takes_open and not depends:
        return list(drawn), []
    base = next((s for s in reversed(drawn) if s not in alike and all(size > 1 for size in s.values())), None)
    plain = [drawn[0], *([base, *alike] if alike and base is not None else drawn[1:2])]
    others = [sizes for sizes in drawn if sizes not in plain]
    around = [sizes for sizes in others if all(size > 1 for size in sizes.values())]
    return [*plain, *(s for s in others if depends and s not in around)], around


def _depends_on_sizes(kernel: Kernel) -> bool:
    """Return True if a kernel's code may be another one for other static sizes."""
    return bool(kernel.payload.spec_constants) or kernel.payload.kind.sees_dispatch


def _sizes_of_code(
    kernel: Kernel, form: Form, drawn: Sequence[Sizes], *, quick: bool, share: int, random: np.random.Generator
) -> list[dict[str, int]]:
    """Return sizes near the numbers of the source, for a kernel whose code depends on static sizes.

    Other code is the same at all sizes: it is tried at them as a function of open sizes, which is compiled once.
    """
    if kernel.payload.spec_constants:
        sets = 4 if quick else 16
    elif kernel.payload.kind.sees_dispatch:
        sets = 3 if quick else 10
    else:
        return []
    budget = Budget(seconds=0.4 if quick else 4.0, sets=-(-sets // share), bytes=QUICK.bytes)
    # a generator may branch on any number in its source
    numbers = Thresholds(compared=read_source(kernel).ordered)
    return cover_sizes(kernel, form, numbers, budget=budget, speed=LOCAL, random=random, without=drawn, empty=False)


def _sizes_alike(kernel: Kernel, form: Form, drawn: Sequence[Sizes], *, quick: bool, most: int) -> list[dict[str, int]]:
    """Return sets that differ from a drawn one in a single axis, for a generator, which may take them for the same.

    The last axes are those that are summed over; where there is little time there is one set.
    """
    base = next((dict(s) for s in reversed(drawn) if all(size > 1 for size in s.values())), None)
    if base is None or not kernel.payload.kind.sees_dispatch:
        return []
    found: list[dict[str, int]] = []
    for axis in reversed(open_axes(kernel, form)):
        for step in (3, -1, 16, base[axis]):
            sizes = {**base, axis: base[axis] + step}
            sizes |= derived_axes(kernel, form, {a: s for a, s in sizes.items() if a in open_axes(kernel, form)})
            fits = sizes not in drawn and allowed(kernel.constraints, sizes) and math.prod(sizes.values()) <= 4 * most
            if fits and all(size > 0 for size in sizes.values()):
                found.append(sizes)
                break
        if quick and found:
            break
    return found


def _forms(kernel: Kernel, *, quick: bool, random: np.random.Generator) -> Sequence[Form]:
    """Return all forms; if time is short, some of those that only differ in their sizes."""
    if not quick or len(kernel.forms) <= MANY_FORMS:
        return kernel.forms
    alike: dict[str, list[Form]] = {}
    for form in kernel.forms:
        alike.setdefault(form.name.rstrip("0123456789"), []).append(form)
    some: list[Form] = []
    for group in alike.values():
        others = group[1:-1]
        drawn = [others[int(random.integers(len(others)))]] if others else []
        some += dict.fromkeys([group[0], *drawn, group[-1]])
    return some


def _wrappings(kernel: Kernel, *, first: bool, quick: bool) -> list[str]:
    """Return the kinds of work around a call of the definition."""
    found = ["shared"] if first or not quick else []
    if "epilogue" in kernel.slots and (first or not quick):
        found += ["epilogue"] if quick else ["epilogue", "residual"]
    if "prologue" in kernel.slots and (first or not quick):
        found.append("prologue")
    return found


def _other_sizes(
    kernel: Kernel, form: Form, drawn: Sequence[Sizes], *, random: np.random.Generator, most: int
) -> dict[str, int] | None:
    """Return sizes that no other program has; None if there are none.

    IREE compiles a dispatch once for all places at which it is the same: offsets in which they differ become constants
    of the launch, and a payload that needs them when it is embedded would not be tried.
    """
    more = draw_sizes(kernel, form, count=len(drawn) + len(EDGES), random=random, most=most)
    return next((s for s in more if s not in drawn and all(size > 1 for size in s.values())), None)


def _inner(name: str) -> str:
    return f"definition_{name}"


def _type(shape: Sequence[int | None], element: str) -> str:
    return f"tensor<{''.join('?x' if s is None else f'{s}x' for s in shape)}{element}>"


def operands_of(kernel: Kernel, form: Form) -> tuple[list[Operand], list[Operand]]:
    """Return arguments and results."""
    pairs = list(zip(kernel.operands, form.program.operands, strict=True))
    arguments = [Operand(axes=spec.axes, type=o.type) for spec, o in pairs if o.kind == "argument"]
    return arguments, [Operand(axes=spec.axes, type=o.type) for spec, o in pairs if o.kind != "argument"]


def _function(kernel: Kernel, form: Form, sizes: Sizes, number: int, wrapping: str = "") -> Function:
    """Return the definition at fixed sizes, as a function."""
    arguments, results = operands_of(kernel, form)
    name = f"case_{number}"
    lines, names = [], []
    signature = []
    for i, argument in enumerate(arguments):
        fixed = argument.at(sizes)
        signature.append(f"%in{i}: {fixed}")
        more, value = _prepared(i, argument, fixed, wrapping)
        lines += [*more, f"%a{i} = tensor.cast {value} : {fixed} to {argument.declared}"]
        names.append(f"%a{i}")
    place = _place_of_parameters(kernel, form, number)
    values = draw_values(kernel, form, sizes, number)
    passed = [_parameter(p, values[p.name], place) for p in form.parameters]
    signature += [argument for p in passed for argument in p.arguments]
    lines += [line for p in passed for line in p.lines]
    lines += call_definition(form, names, arguments, results)
    returned, types = [], []
    for i, result in enumerate(results):
        fixed = result.at(sizes)
        if wrapping == "residual":
            signature.append(f"%more{i}: {fixed}")
        more, value = _finished(i, result, fixed, wrapping)
        lines += [f"%y{i} = tensor.cast %r{_of(i, results)} : {result.declared} to {fixed}", *more]
        returned.append(value)
        types.append(fixed)
    if wrapping == "shared" and arguments:  # the operand before the others is live as long as they are
        fixed = arguments[0].at(sizes)
        lines.append(_apart("%behind", ["%front"], fixed, arguments[0].rank, _double(arguments[0].element)))
        returned.append("%behind")
        types.append(fixed)
    text = function_text(name, signature, lines, returned, types)
    described = ", ".join(f"{a}={s}" for a, s in sizes.items())
    described += "".join(f", {p.described}" for p in passed)
    return Function(name=name, text=text, label=f"@{form.name} {described}" + (f", {wrapping}" if wrapping else ""))


def _prepared(number: int, argument: Operand, type_: str, wrapping: str) -> tuple[list[str], str]:
    """Return the work on an argument before the call, and the value that is passed.

    "shared": results of other dispatches, which IREE puts into one buffer, behind one that no operand is.
    """
    value, passed, double = f"%in{number}", f"%p{number}", _double(argument.element)
    if wrapping == "shared":
        front = [_apart("%front", [value, value], type_, argument.rank, _joined(argument.element))]
        return [*(front if number == 0 else []), _apart(passed, [value], type_, argument.rank, double)], passed
    if wrapping == "prologue" and number == 0:
        return [_elementwise(passed, [value], type_, argument.rank, double)], passed
    return [], value


def _finished(number: int, result: Operand, type_: str, wrapping: str) -> tuple[list[str], str]:
    """Return the work on a result of the call, and the value that is returned."""
    value, returned = f"%y{number}", f"%e{number}"
    if wrapping == "shared":
        return [_apart(returned, [value], type_, result.rank, _double(result.element))], returned
    if wrapping == "epilogue":
        return [_elementwise(returned, [value], type_, result.rank, _double(result.element))], returned
    if wrapping == "residual":
        values = [value, f"%more{number}"]
        return [_elementwise(returned, values, type_, result.rank, _joined(result.element))], returned
    return [], value


def _open_function(kernel: Kernel, form: Form, drawn: Sequence[Sizes], number: int) -> Function:
    """Return the definition with open sizes, launched at several of them, and with one axis of size 0."""
    arguments, results = operands_of(kernel, form)
    signature = [f"%a{i}: {argument.declared}" for i, argument in enumerate(arguments)]
    values = draw_values(kernel, form, drawn[0], number)
    passed = [_parameter(p, values[p.name], "constant") for p in form.parameters]
    lines = [line for p in passed for line in p.lines]
    lines += call_definition(form, [f"%a{i}" for i in range(len(arguments))], arguments, results)
    returned = [f"%r{_of(i, results)}" for i in range(len(results))]
    types = [result.declared for result in results]
    # no elements: of the first axis that has no size of its own
    pairs = zip(results[0].axes, results[0].type.shape, strict=True)
    empty = next((axis for axis, size in pairs if not isinstance(size, int)), None)
    drawn = [*drawn[:6], *({**sizes, empty: 0} for sizes in drawn[1:2] if empty is not None)]
    function = Function(
        name=f"case_{number}",
        text=function_text(f"case_{number}", signature, lines, returned, types),
        label=f"@{form.name} of open sizes" + "".join(f", {p.described}" for p in passed),
        form=form,
        axes=tuple(argument.axes for argument in arguments),
    )
    return replace(function, shapes=tuple(function.shapes_at(sizes) for sizes in drawn))


def _of(number: int, results: Sequence[object]) -> str:
    return f"#{number}" if len(results) > 1 else ""


def call_definition(
    form: Form, names: Sequence[str], arguments: Sequence[Operand], results: Sequence[Operand]
) -> list[str]:
    pairs = [(name, argument.declared) for name, argument in zip(names, arguments, strict=True)]
    for parameter in sorted(form.parameters, key=lambda p: p.position):
        pairs.insert(parameter.position, (f"%{parameter.name}", parameter.type))
    types = ", ".join(type_ for _, type_ in pairs)
    given = ", ".join(result.declared for result in results)
    many = f":{len(results)}" if len(results) > 1 else ""
    return [
        f"%r{many} = func.call @{_inner(form.name)}({', '.join(name for name, _ in pairs)}) : ({types}) -> ({given})"
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passed:
    """A parameter of the definition in one function."""

    arguments: tuple[str, ...] = ()
    """Arguments of the function that hold it."""
    lines: tuple[str, ...] = ()
    """Lines that define its value."""
    described: str


def parameters_of(kernel: Kernel, form: Form, sizes: Sizes, number: int) -> tuple[list[str], list[str], str]:
    """Return the arguments, the lines and the label of the definition's parameters in a function at these sizes."""
    values = draw_values(kernel, form, sizes, number)
    passed = [_parameter(p, values[p.name], "constant") for p in form.parameters]
    described = "".join(f", {p.described}" for p in passed)
    return [a for p in passed for a in p.arguments], [line for p in passed for line in p.lines], described


def _place_of_parameters(kernel: Kernel, form: Form, number: int) -> str:
    """Return the source of a function's parameter values: constants only, if the kernel takes or allows nothing
    else.
    """
    named = {name for condition in kernel.conditions for name in condition.names}
    free = kernel.payload.kind.parameters == "passed" and not any(p.name in named for p in form.parameters)
    return ("constant", "tensor", "constant", "argument")[number % 4] if free else "constant"


def _parameter(parameter: ScalarParameter, value: float | int, place: str) -> _Passed:
    name, type_ = parameter.name, parameter.type
    if place == "argument" and type_ not in ("i1", "index"):
        return _Passed(arguments=(f"%{name}: {type_}",), described=f"{name} an argument")
    if place == "tensor" and type_ not in ("i1", "index"):
        line = f"%{name} = tensor.extract %{name}_in[] : tensor<{type_}>"
        return _Passed(
            arguments=(f"%{name}_in: tensor<{type_}>",), lines=(line,), described=f"{name} a tensor of one element"
        )
    text = f"{value:.17e}" if isinstance(value, float) else str(value)
    described = f"{name}={format_value(value, type_)}"
    return _Passed(lines=(f"%{name} = arith.constant {text} : {type_}",), described=described)


def function_text(
    name: str, signature: Sequence[str], lines: Sequence[str], returned: Sequence[str], types: Sequence[str]
) -> str:
    body = "\n".join(f"  {line}" for line in lines)
    joined = ", ".join(types)
    return (
        f"func.func @{name}({', '.join(signature)}) -> ({joined}) {{\n{body}\n"
        f"  return {', '.join(returned)} : {joined}\n}}"
    )


def _elementwise(result: str, values: Sequence[str], type_: str, rank: int, body: str) -> str:
    loops = ", ".join(f"d{i}" for i in range(rank))
    identity = f"affine_map<({loops}) -> ({loops})>"
    element = type_.removesuffix(">").rpartition("x")[2].removeprefix("tensor<")
    inputs = ", ".join(f"%b{i}: {element}" for i in range(len(values)))
    return (
        f"{result} = linalg.generic {{indexing_maps = [{', '.join([identity] * (len(values) + 1))}], "
        f"iterator_types = [{', '.join(PARALLEL * rank)}]}} ins({', '.join(values)} : "
        f"{', '.join([type_] * len(values))}) outs({values[0]} : {type_}) {{\n"
        f"^bb0({inputs}, %o: {element}):\n{body}\nlinalg.yield %done : {element}\n}} -> {type_}"
    )


def _apart(result: str, values: Sequence[str], type_: str, rank: int, body: str) -> str:
    """Return an operation in a dispatch of its own, which IREE fuses with nothing.

    (An optimization barrier would do as much, but give each tensor a resource of its own.)
    """
    inner = _elementwise(f"{result}_inside", values, type_, rank, body)
    return f"{result} = flow.dispatch.region -> ({type_}) {{\n{inner}\nflow.return {result}_inside : {type_}\n}}"


def _double(element: str) -> str:
    """Return `%b0 + %b0`, which is exact, or for Booleans its complement."""
    if element == "i1":
        return "%one = arith.constant true\n%done = arith.xori %b0, %one : i1"
    op = "arith.addf" if element.startswith(("f", "bf")) else "arith.addi"
    return f"%done = {op} %b0, %b0 : {element}"


def _joined(element: str) -> str:
    """Return `max(%b0 + %b1, 0)`."""
    if element.startswith(("f", "bf")):
        return (
            f"%s = arith.addf %b0, %b1 : {element}\n%zero = arith.constant 0.0 : {element}\n"
            f"%done = arith.maximumf %s, %zero : {element}"
        )
    return f"%done = arith.{'xori' if element == 'i1' else 'addi'} %b0, %b1 : {element}"
