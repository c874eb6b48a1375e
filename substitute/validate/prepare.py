"""From a dispatch's body and a launch to a case: operands drawn, golden evaluated, exactness decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ValidationError
from ..model.dispatch import Dispatch, Nest, Program
from .case import Area, BindingRange, Bytes, Case, Expected, Filled, Launch
from .elements import SIGNIFICANT_BITS, is_float, smallest_normal
from .inputs import draw

if TYPE_CHECKING:
    from iree.compiler import ir

    from ..golden import Outcome, Store

_FLOAT_OPS = "addf subf mulf negf maximumf minimumf maxnumf minnumf select cmpf extf truncf sitofp uitofp"
_OTHER_OPS = ("read", "index", "gather", "size", "constant", "math.absf", "math.fma")
EXACT_OPS = frozenset((*_OTHER_OPS, *(f"arith.{name}" for name in _FLOAT_OPS.split())))
"""What gives an integer that is exact for operands that are integers and small."""
EXACT_COMBINERS = frozenset(f"arith.{name}" for name in ("addf", "maximumf", "minimumf", "maxnumf", "minnumf"))
LARGEST_EXACT = {"exact": 3, "ones": 1}
"""Classes of inputs that are integers, and the largest of them (1 in types of few bits)."""
SLACK = 2.0
"""What is allowed, in units of the golden's bound, which is for the order in which the body says things: where sums are
short, adding a fused residual first instead of last (as IREE's own code does) may cost 1.7 of it."""
SPARE_BITS = 3
"""Room for what an epilogue adds to the sums."""
SMALLEST_LENGTH = 64
"""Bytes that a binding has at least, if the host program gives it as many; an empty one gets them too, because not
every device can bind nothing."""
COPIES = frozenset({"copy", "gather"})


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
) -> Case:
    """Draws operands of a class from a seed and evaluates the golden of a stock dispatch's body.

    `local`: a device that IREE runs on this machine's CPU. Raises `SubstituteError` (`Unsupported` for a body that
    the golden does not know, `ValidationError` for a launch that does not fit the body).
    """
    from ..golden import evaluate

    launch, areas = describe_launch(function, launch)
    sizes = _sizes(launch)
    contents = tuple(np.zeros(size, np.uint8) for size in sizes)
    read: list[tuple[int, int, int]] = []
    for number, area in enumerate(areas):
        if area.access != "writeonly":
            binding = launch.bindings[area.binding]
            window = contents[binding.resource][binding.offset : binding.offset + binding.length]
            area.view(window)[...] = draw(area, inputs, np.random.default_rng([seed, number]))
            start = binding.offset + area.offset
            read.append((binding.resource, start, start + area.size_bytes))
    outcome = evaluate(
        function,
        [contents[b.resource][b.offset : b.offset + b.length] for b in launch.bindings],
        launch.constants,
    )
    written = [
        (b.resource, b.offset + start, b.offset + stop)
        for number, b in enumerate(launch.bindings)
        for start, stop in outcome.written(number).tolist()
    ]
    # IREE lets the CPU take subnormal numbers for zero, and others may; only there a copy keeps them
    flushes = not local or dispatch.kind not in COPIES
    largest = 0
    if inputs in LARGEST_EXACT and dispatch.program is not None and is_exact(dispatch.program):
        largest = LARGEST_EXACT[inputs]
    return Case(
        label=label, entry=entry, launch=launch, areas=areas, sizes=sizes,
        filled=tuple(Filled(resource=r, start=a, data=contents[r][a:b].copy()) for r, a, b in _merged(read)),
        written=tuple(_merged(written)), expected=_expected(outcome, largest=largest, flushes=flushes), inputs=inputs,
        seed=seed, repeatable=repeatable, copies=dispatch.kind in COPIES and not flushes,
    )  # fmt: skip


def describe_launch(function: ir.Operation, launch: Launch) -> tuple[Launch, tuple[Area, ...]]:
    """The tensors that a body sees in a launch, and the launch without what lies behind the last of them."""
    from ..golden import describe

    areas = tuple(
        Area(binding=s.binding, offset=s.byte_offset, shape=s.shape, element=s.element, access=s.access,
             index_limit=s.index_limit)
        for s in describe(function, launch.constants)
    )  # fmt: skip
    ends = [0] * len(launch.bindings)
    for area in areas:
        ends[area.binding] = max(ends[area.binding], area.offset + area.size_bytes)
    for number, (binding, end) in enumerate(zip(launch.bindings, ends, strict=True)):
        if end > binding.length:
            raise ValidationError(
                "a dispatch sees more of a binding than it is given", where=f"binding {number}",
                expected=f"{end} bytes", found=f"{binding.length} bytes",
            )  # fmt: skip
    bindings = tuple(
        replace(b, length=max(end, min(b.length or SMALLEST_LENGTH, SMALLEST_LENGTH)))
        for b, end in zip(launch.bindings, ends, strict=True)
    )
    return replace(launch, bindings=bindings), areas


def is_exact(program: Program) -> bool:
    """True if small integers give integers: one reduction at most, and nothing that has to be rounded."""
    cores = [core for core in program.cores if isinstance(core, Nest)]
    if len(cores) != len(program.cores) or len(cores) > 1:
        return False
    if any(core.combiner and core.combiner not in EXACT_COMBINERS for core in cores):
        return False
    return all(
        node.op in EXACT_OPS and (node.op != "constant" or float(node.attribute or 0).is_integer())  # type: ignore[arg-type]
        for nest in (*cores, *program.stores)
        for node in nest.expr.nodes
        if is_float(node.type)
    )


def _sizes(launch: Launch) -> tuple[int, ...]:
    """How large the buffers have to be."""
    sizes = [0] * (1 + max((b.resource for b in launch.bindings), default=-1))
    for b in launch.bindings:
        sizes[b.resource] = max(sizes[b.resource], b.offset + b.length)
    return tuple(sizes)


def _expected(outcome: Outcome, *, largest: int, flushes: bool) -> tuple[Expected, ...]:
    return tuple(_of_store(store, largest=largest, flushes=flushes) for store in outcome.stores)


def _of_store(store: Store, *, largest: int, flushes: bool) -> Expected:
    span, golden = store.subspan, store.golden
    allowed = SLACK * np.broadcast_to(np.asarray(golden.error, np.float64), np.shape(golden.value))
    if flushes and is_float(span.element):
        allowed = allowed + 2 * (1 + golden.depth) * smallest_normal(span.element)
    if largest and is_float(span.element):
        exact = _representable(golden.value, golden.depth * largest**2, span.element)
        allowed = np.where(exact & np.isfinite(allowed), 0.0, allowed)
    return Expected(
        area=Area(binding=span.binding, offset=span.byte_offset, shape=span.shape, element=span.element,
                  access=span.access, index_limit=None),
        offsets=store.offsets, sizes=store.sizes, strides=store.strides, coordinates=store.coordinates,
        values=golden.value, allowed=np.array(allowed), depth=golden.depth,
    )  # fmt: skip


def _representable(value: NDArray[Any], sum_: int, element: str) -> NDArray[np.bool_]:
    """Where every partial sum, at most `sum_`, and the result are integers that the type holds exactly."""
    limit = 2.0 ** (SIGNIFICANT_BITS[element] - SPARE_BITS)
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(value) <= limit) & (value == np.rint(value)) & (sum_ <= limit))


def _merged(ranges: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The same bytes as few ranges, in order."""
    merged: list[tuple[int, int, int]] = []
    for resource, start, stop in sorted(r for r in ranges if r[1] < r[2]):
        if merged and merged[-1][0] == resource and start <= merged[-1][2]:
            merged[-1] = (resource, merged[-1][1], max(merged[-1][2], stop))
        else:
            merged.append((resource, start, stop))
    return merged


def responds(function: ir.Operation, case: Case, expected: Sequence[NDArray[Any]] | None = None) -> tuple[str, ...]:
    """The operands that the golden does not depend on: drawn anew, they change nothing.

    A case proves nothing about how such an operand is read.
    """
    from ..golden import evaluate

    before = [e.values for e in case.expected] if expected is None else expected
    deaf = []
    for number, area in enumerate(case.areas):
        if area.access != "readonly" or not area.size_bytes:
            continue
        contents = case.contents()
        binding = case.launch.bindings[area.binding]
        window = contents[binding.resource][binding.offset : binding.offset + binding.length]
        area.view(window)[...] = draw(area, case.inputs, np.random.default_rng([case.seed, number, 1]))
        outcome = evaluate(function, _windows(case.launch.bindings, contents), case.launch.constants)
        after = [store.golden.value for store in outcome.stores]
        if all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(before, after, strict=True)):
            deaf.append(f"binding {area.binding} at byte {area.offset}")
    return tuple(deaf)


def _windows(bindings: Sequence[BindingRange], contents: Sequence[Bytes]) -> list[Bytes]:
    return [contents[b.resource][b.offset : b.offset + b.length] for b in bindings]
