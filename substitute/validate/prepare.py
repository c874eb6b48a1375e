"""Preparation of a case from a dispatch's body and a launch: operands, golden, exactness."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ValidationError
from ..model.accuracy import Accuracy
from ..model.dispatch import Dispatch, Nest
from .allowance import Allowance, allowance, decides_signs, keeps_bits
from .case import Area, Array, BindingRange, Bytes, Case, Expected, Filled, Launch
from .elements import SIGNIFICANT_BITS, is_float, quiet, smallest_normal, storage_type
from .inputs import Computation, draw
from .operand_names import Names, name_areas

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..golden import Budget, Store

SMALLEST_LENGTH = 64
"""Bytes that a binding has at least, if the host program gives it as many; an empty one gets them too, because not
every device can bind nothing."""
COPIES = frozenset({"copy", "gather"})


@quiet
def make_case(
    function: ir.Operation,
    dispatch: Dispatch,
    launch: Launch,
    *,
    entry: str,
    label: str,
    inputs: str,
    seed: int,
    local: bool = True,
    repeatable: bool = True,
    alignment: int = 1,
    described: tuple[Launch, tuple[Area, ...]] | None = None,
    budget: Budget | None = None,
    most: int | None = None,
    composed: bool = False,
    laws: Sequence[str] = (),
    declared: Accuracy | None = None,
    beside: bool = True,
) -> Case:
    """Draws operands of a class from a seed and evaluates the golden of a stock dispatch's body.

    `local`: a device that IREE runs on this machine's CPU; `described`: what `describe_launch` said of the launch, the
    same for all classes; `budget`: what the golden may cost; `most`: elements that are drawn of an operand, and
    repeated in one that has more; `composed`: it is IREE's own code that is judged, whose functions are composed of
    others; `laws`: those by which its kernel was matched; `declared`: the kernel's own bound of errors; `beside`:
    IREE's own code is run for it too. Raises `SubstituteError` (`Unsupported` for a body that the golden does not
    know, `ValidationError` for a launch that does not fit the body).
    """
    from ..golden import evaluate

    launch, areas = described or describe_launch(function, launch)
    sizes = _sizes(launch)
    contents = tuple(np.zeros(size, np.uint8) for size in sizes)
    narrow, of = narrowest(areas), computation(dispatch)
    read: list[tuple[int, int, int]] = []
    subnormal = False
    for number, area in enumerate(areas):
        if area.access != "writeonly":
            binding = launch.bindings[area.binding]
            window = contents[binding.resource][binding.offset : binding.offset + binding.length]
            operand = draw(area, inputs, np.random.default_rng([seed, number]), narrow=narrow, most=most, of=of)
            area.view(window)[...] = operand
            subnormal |= _has_subnormals(operand.reshape(-1)[:most], area.element)  # the rest repeats these
            start = binding.offset + area.offset
            read.append((binding.resource, start, start + area.size_bytes))
    # IREE lets the CPU take subnormal numbers for zero, and others may; only there a copy keeps them
    copies = dispatch.kind in COPIES and (dispatch.program is None or keeps_bits(dispatch.program))
    flushes = not local or not copies
    held = allowance(dispatch.program, inputs, flushes=flushes, subnormal=subnormal, laws=laws, declared=declared)
    outcome = evaluate(
        function,
        _windows(launch.bindings, contents),
        launch.constants,
        once=held.plain,
        exact_sums=declared is None,
        certain_zeros=dispatch.target.backend != "vulkan-spirv",
        budget=budget,
        composed=composed,
        flushes=flushes and subnormal,
    )
    worst = outcome
    if declared is not None and declared.relative_to == "operands":
        filled = _filled_with_largest(launch, areas, contents)
        worst = evaluate(function, filled, launch.constants, exact_sums=False, budget=budget)
    written = [
        (b.resource, b.offset + start, b.offset + stop)
        for number, b in enumerate(launch.bindings)
        for start, stop in outcome.written(number).tolist()
    ]
    return Case(
        label=label,
        entry=entry,
        launch=launch,
        areas=areas,
        sizes=sizes,
        filled=tuple(Filled(resource=r, start=a, data=contents[r][a:b].copy()) for r, a, b in _merged(read)),
        written=tuple(_merged(written)),
        expected=tuple(
            _of_store(store, held, areas, largest) for store, largest in zip(outcome.stores, worst.stores, strict=True)
        ),
        inputs=inputs,
        seed=seed,
        repeatable=repeatable,
        alignment=alignment,
        beside=beside,
        copies=copies and not flushes,
        signs=dispatch.program is not None and decides_signs(dispatch.program),
    )


def describe_launch(function: ir.Operation, launch: Launch, names: Names = ()) -> tuple[Launch, tuple[Area, ...]]:
    """Return the tensors that a body accesses in a launch, and the launch without memory beyond them.

    `names`: those that a kernel has for them.
    """
    from ..golden import describe

    spans = describe(function, launch.constants)
    areas = name_areas(
        [
            Area(
                binding=s.binding,
                offset=s.byte_offset,
                shape=s.shape,
                element=s.element,
                access=s.access,
                index_limit=s.index_limit,
            )
            for s in spans
        ],
        names,
    )
    ends = [0] * len(launch.bindings)
    for area in areas:
        ends[area.binding] = max(ends[area.binding], area.offset + area.size_bytes)
    for number, (binding, end) in enumerate(zip(launch.bindings, ends, strict=True)):
        if end > binding.length:
            raise ValidationError(
                "a dispatch sees more of an operand than it is given",
                where=", ".join(area.described for area in areas if area.binding == number),
                expected=f"{end} bytes",
                found=f"{binding.length} bytes",
            )
    bindings = tuple(
        replace(b, length=max(end, min(b.length or SMALLEST_LENGTH, SMALLEST_LENGTH)))
        for b, end in zip(launch.bindings, ends, strict=True)
    )
    return replace(launch, bindings=bindings), areas


def narrowest(areas: Iterable[Area]) -> str:
    """The floating-point type with the fewest significant bits; empty where there is none."""
    types = {a.element for a in areas if is_float(a.element)}
    return min(types, key=lambda t: SIGNIFICANT_BITS[t], default="")


def computation(dispatch: Dispatch) -> Computation:
    """The facts of a dispatch that decide which inputs are drawn."""
    program = dispatch.program
    nests = [] if program is None else [n for n in (*program.cores, *program.stores) if isinstance(n, Nest)]
    operations = {node.op for nest in nests for node in nest.expr.nodes} | {n.combiner for n in nests if n.combiner}
    return Computation(kind=dispatch.kind, operations=frozenset(operations))


@quiet
def _has_subnormals(operand: Array, element: str) -> bool:
    if not is_float(element):
        return False
    size = np.abs(operand.astype(np.float64))
    return bool(((size > 0) & (size < smallest_normal(element))).any())


def _sizes(launch: Launch) -> tuple[int, ...]:
    """Return the sizes of the buffers."""
    sizes = [0] * (1 + max((b.resource for b in launch.bindings), default=-1))
    for b in launch.bindings:
        sizes[b.resource] = max(sizes[b.resource], b.offset + b.length)
    return tuple(sizes)


@quiet
def _filled_with_largest(launch: Launch, areas: Sequence[Area], contents: Sequence[Bytes]) -> list[Bytes]:
    """Return the bindings with each floating-point operand's largest magnitude in all of its elements."""
    copied = [content.copy() for content in contents]
    windows = _windows(launch.bindings, copied)
    for area in areas:
        if area.access == "writeonly" or not is_float(area.element) or not area.size_bytes:
            continue
        operand = area.view(windows[area.binding])
        size = np.abs(operand.astype(np.float64))
        operand[...] = size.max(initial=0.0, where=np.isfinite(size))
    return windows


def _of_store(store: Store, held: Allowance, areas: Sequence[Area], largest: Store) -> Expected:
    span, golden = store.subspan, store.golden
    values, allowed = held.of_store(store, largest)
    area = Area(
        binding=span.binding, offset=span.byte_offset, shape=span.shape, element=span.element, access=span.access
    )
    name = next((a.name for a in areas if replace(a, index_limit=None, name="") == area), "")
    return Expected(
        area=replace(area, name=name),
        offsets=store.offsets,
        sizes=store.sizes,
        strides=store.strides,
        coordinates=store.coordinates,
        values=values,
        allowed=allowed,
        depth=golden.depth,
    )


def _merged(ranges: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The same bytes as few ranges, in order."""
    merged: list[tuple[int, int, int]] = []
    for resource, start, stop in sorted(r for r in ranges if r[1] < r[2]):
        if merged and merged[-1][0] == resource and start <= merged[-1][2]:
            merged[-1] = (resource, merged[-1][1], max(merged[-1][2], stop))
        else:
            merged.append((resource, start, stop))
    return merged


@quiet
def responds(function: ir.Operation, case: Case) -> tuple[str, ...]:
    """Return the operands that the golden does not depend on: drawn again, they change nothing.

    A case proves nothing about how such an operand is read.
    """
    from ..golden import evaluate

    before = [_as_float(e.values.astype(storage_type(e.area.element))) for e in case.expected]
    narrow, deaf = narrowest(case.areas), []
    for number, area in enumerate(case.areas):
        if area.access != "readonly" or not area.size_bytes:
            continue
        contents = case.contents()
        binding = case.launch.bindings[area.binding]
        window = contents[binding.resource][binding.offset : binding.offset + binding.length]
        random = np.random.default_rng([case.seed, number, 1])
        area.view(window)[...] = draw(area, case.inputs, random, narrow=narrow)
        outcome = evaluate(function, _windows(case.launch.bindings, contents), case.launch.constants, bounds=False)
        after = [_as_float(store.rounded()) for store in outcome.stores]
        if all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(before, after, strict=True)):
            deaf.append(area.described)
    return tuple(deaf)


def _as_float(values: NDArray[Any]) -> NDArray[Any]:
    """In a type that NumPy compares with NaN; integers as they are."""
    return values if values.dtype.kind in "iub" else values.astype(np.float64)


def _windows(bindings: Sequence[BindingRange], contents: Sequence[Bytes]) -> list[Bytes]:
    return [contents[b.resource][b.offset : b.offset + b.length] for b in bindings]
