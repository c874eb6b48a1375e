"""The golden: a function of linalg, tensor, arith and math operations evaluated in NumPy, straight from the IR."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..bindings import settle_bindings
from ..errors import UsageError
from .layout import stored_form, stored_store
from .memory import Golden, Outcome, Store, Subspan
from .numbers import Arithmetic, Array, Growth, Num, Rounding, element_of, from_storage
from .tensors import WHOLE_LIMIT, Known, Tensor
from .unsupported import Unsupported
from .walk import Stored, Walker

if TYPE_CHECKING:
    from iree.compiler import ir


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limit on the work for one result; a result above it is evaluated at samples only."""

    work: float = 3e9
    """Scalar operations, which take about a nanosecond each."""
    samples: int = 4096
    """Number of elements that are evaluated of a result above the limit."""
    seed: int = 0


def evaluate(
    function: ir.Operation,
    bindings: Sequence[NDArray[np.uint8] | bytes],
    constants: Sequence[int] = (),
    *,
    bounds: bool = True,
    budget: Budget | None = None,
    rounding: Rounding = "ideal",
    units: Mapping[str, float] | None = None,
    growth: Growth = "certain",
    once: bool = False,
    exact_sums: bool = True,
    certain_zeros: bool = True,
    composed: bool = False,
    flushes: bool = False,
) -> Outcome:
    """Return the stores that a dispatch's `func.func` (at `executable-sources`) should make. The bindings are not
    changed.

    `bindings` are the bytes of each binding, `constants` the push constants; `once`, `exact_sums`, `certain_zeros`,
    `composed` and `flushes` are those of `Arithmetic`. Raises `Unsupported`, and `UsageError` for buffers that are too
    small.
    """
    start = time.perf_counter()
    how = Arithmetic(
        bounds=bounds,
        rounding=rounding,
        units=units or {},
        growth=growth,
        once=once,
        exact_sums=exact_sums,
        certain_zeros=certain_zeros,
        composed=composed,
        flushes=flushes,
    )
    buffers = [np.frombuffer(b, np.uint8) if isinstance(b, bytes) else b for b in bindings]
    walker = Walker(how, buffers, constants)
    budget = budget or Budget()
    with _located(function), np.errstate(all="ignore"):
        walker.run(function)
        stores = tuple(stored_store(_store(stored, how, budget)) for stored in walker.stores)
        subspans = tuple(map(stored_form, walker.subspans))
    return Outcome(stores=stores, subspans=subspans, seconds=time.perf_counter() - start)


def evaluate_function(
    function: ir.Operation,
    arguments: Sequence[Array],
    *,
    bounds: bool = True,
    rounding: Rounding = "ideal",
    units: Mapping[str, float] | None = None,
    growth: Growth = "certain",
    exact_sums: bool = True,
    certain_zeros: bool = True,
    composed: bool = False,
) -> tuple[Golden, ...]:
    """Return the results of a `func.func` on tensors and scalars, such as a kernel's definition.

    `arguments` are in their storage types (a scalar has no dimensions). Raises `Unsupported` and `UsageError`.
    """
    how = Arithmetic(
        bounds=bounds,
        rounding=rounding,
        units=units or {},
        growth=growth,
        exact_sums=exact_sums,
        certain_zeros=certain_zeros,
        composed=composed,
    )
    walker = Walker(how, (), ())
    with _located(function), np.errstate(all="ignore"):
        _bind_arguments(walker, function, arguments)
        results = walker.run(function)
        goldens = []
        for result in results:
            element = result.element if isinstance(result, Tensor) else element_of(str(result.value.dtype))
            assert isinstance(result, Tensor), "a definition returns tensors"
            goldens.append(_golden(result.whole(), element.name, result.shape))
    return tuple(goldens)


def _bind_arguments(walker: Walker, function: ir.Operation, arguments: Sequence[Array]) -> None:
    from iree.compiler import ir

    parameters = list(function.regions[0].blocks[0].arguments)
    if len(parameters) != len(arguments):
        raise UsageError(
            "wrong number of arguments",
            expected=f"{len(parameters)} arrays",
            found=f"{len(arguments)}",
            next_step="see the function's signature",
        )
    for parameter, argument in zip(parameters, arguments, strict=True):
        tensor = isinstance(parameter.type, ir.RankedTensorType)
        shaped = ir.RankedTensorType(parameter.type) if tensor else None
        element = element_of(str(shaped.element_type) if shaped is not None else str(parameter.type))
        array = np.asarray(argument)
        wrong_rank = shaped is not None and shaped.rank != array.ndim
        if wrong_rank or array.dtype not in (element.storage, element.compute):
            raise UsageError(
                "an argument does not fit",
                expected=str(parameter.type),
                found=f"{array.dtype} {array.shape}",
                next_step="give each argument in the type that it has in memory",
            )
        num = Num(from_storage(array, element) if array.dtype == element.storage else array)
        walker.values[parameter] = Known(num, element) if tensor else num


class _located:
    """Context that adds the function's name to errors that have no location."""

    def __init__(self, function: ir.Operation) -> None:
        self._function = function

    def __enter__(self) -> None:
        settle_bindings()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Unsupported | UsageError) and not error.where:
            error.where = str(self._function.attributes["sym_name"]).strip('"')


def _store(stored: Stored, how: Arithmetic, budget: Budget) -> Store:
    tensor = stored.value
    coordinates = None
    # a tensor of rank 0 has a single element and cannot be sampled
    if tensor.shape and (tensor.whole_work() > budget.work or tensor.count > WHOLE_LIMIT):
        coordinates = sample(tensor.shape, budget.samples, budget.seed)
        num = tensor.at(coordinates)
        shape: tuple[int, ...] = (len(coordinates[0]),)
        full = _expanded(coordinates, tensor.shape, stored.sizes)
    else:
        num, shape, full = tensor.whole(), stored.sizes, None
    return Store(
        subspan=stored.subspan,
        offsets=stored.offsets,
        sizes=stored.sizes,
        strides=stored.strides,
        coordinates=full,
        golden=_golden(num, stored.subspan.element, shape),
    )


def _golden(num: Num, element: str, shape: tuple[int, ...]) -> Golden:
    value = np.broadcast_to(num.value, num.value.shape).reshape(shape)
    error = np.zeros(()) if num.error is None else num.full_errors().reshape(shape)
    return Golden(value=value, error=np.broadcast_to(error, shape), depth=num.depth, element=element)


def sample(shape: Sequence[int], count: int, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Return coordinates to evaluate: both ends of every axis, and random ones."""
    random = np.random.default_rng(seed)
    drawn = [random.integers(0, size, count) for size in shape]
    ends = min(count, 2 ** min(len(shape), 6))
    for d, size in enumerate(shape):
        drawn[d][:ends] = [size - 1 if (i >> (d % 6)) & 1 else 0 for i in range(ends)]
    return tuple(np.asarray(d, np.int64) for d in drawn)


def _expanded(
    coordinates: tuple[NDArray[np.int64], ...], shape: Sequence[int], sizes: Sequence[int]
) -> tuple[NDArray[np.int64], ...]:
    """Return coordinates in the stored slice, which may have dimensions of size 1 that the value lacks."""
    if tuple(shape) == tuple(sizes):
        return coordinates
    from .tensors import kept_dimensions

    full = [np.zeros(len(coordinates[0]), np.int64) for _ in sizes]
    for at, coordinate in zip(kept_dimensions(sizes, shape), coordinates, strict=True):
        full[at] = coordinate
    return tuple(full)


def describe(function: ir.Operation, constants: Sequence[int] = ()) -> tuple[Subspan, ...]:
    """Return the tensors that a dispatch reads and writes, in the order of the body, as they lie in memory.

    Raises `Unsupported`.
    """
    from .limits import index_limits

    walker = Walker(Arithmetic(bounds=False), None, constants)
    with _located(function):
        walker.run(function)
        return tuple(map(stored_form, index_limits(function, walker)))
