"""`iree_linalg_ext.attention`: softmax(scale · Q Kᵀ + mask) V, from the evaluator's own products and softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .affine import Map, projection, read_map
from .body import Body, Step
from .nests import Nest, NestResult
from .numbers import Arithmetic, Array, Element, Num, element_of
from .rules import RULES, Scalar
from .softmax import Softmax
from .tensors import Filled, Tensor
from .unsupported import Unsupported
from .walk import Walker, region

if TYPE_CHECKING:
    from iree.compiler import ir


def attention(walker: Walker, op: ir.Operation) -> None:
    """Define the result of an attention operation. Operands: query, key, value, scale, mask (optional), initial
    output.
    """
    maps = [read_map(attribute.value) for attribute in op.attributes["indexing_maps"]]
    query, key, value = (walker.tensor(op.operands[i]) for i in range(3))
    scale, output = walker.scalar(op.operands[3]), walker.tensor(op.operands[len(op.operands) - 1])
    mask = walker.tensor(op.operands[4]) if len(op.operands) == 6 else None
    if any(None in map_.single() for map_ in (*maps[:3], *maps[4:])):
        raise Unsupported("iree_linalg_ext.attention with computed coordinates")
    # scores are computed in at least single precision
    score = element_of("f32") if query.element.bits < 32 else query.element
    count = maps[0].dimensions
    q, k, v, out = (_dims(maps[i]) for i in (0, 1, 2, len(maps) - 1))
    inner = [d for d in k if d in q and d not in v and d not in out]
    keys = [d for d in k if d in v and d not in q and d not in out]
    if len(keys) != 1:
        raise Unsupported("iree_linalg_ext.attention over several key dimensions")
    scores = [d for d in range(count) if (d in q or d in k) and d not in inner]
    sizes = _sizes(count, ((query, q), (key, k), (value, v)))
    how = walker.how
    shape = [sizes[d] for d in scores]
    products = _nest(how, count, (query, q), (key, k), scores, shape, score, _sum_of_products(how, score))
    masked: Tensor = _modified(walker, op, products, scale, scores, count, shape, score)
    if mask is not None:
        masked = _masked(how, masked, scores, mask, _dims(maps[4]), count, shape, score)
    weights: Tensor = Softmax(how, masked, scores.index(keys[0]), score, masked=mask is not None)
    if value.element.bits < score.bits:
        weights = _elementwise(how, [weights], _cast(how, score, value.element), value.element)
    found = _nest(how, count, (weights, scores), (value, v), out, output.shape, score, _sum_of_products(how, score))
    walker.values[op.results[0]] = _elementwise(how, [found], _cast(how, score, output.element), output.element)


def _dims(map_: Map) -> list[int]:
    return [d for d in map_.single() if d is not None]


def _sizes(count: int, tensors: Sequence[tuple[Tensor, list[int]]]) -> dict[int, int]:
    return {d: size for tensor, dims in tensors for d, size in zip(dims, tensor.shape, strict=True)}


def _nest(
    how: Arithmetic,
    count: int,
    left: tuple[Tensor, list[int]],
    right: tuple[Tensor, list[int]],
    out: list[int],
    shape: Sequence[int],
    element: Element,
    body: Body,
) -> NestResult:
    """Return a nest over the dimensions that its operands use, renumbered without gaps."""
    used = [d for d in range(count) if d in left[1] or d in right[1] or d in out]
    zero = Filled(shape, element, Num(np.zeros((), element.compute)))
    maps = [projection(len(used), [used.index(d) for d in dims]) for dims in (left[1], right[1], out)]
    return NestResult(Nest(how, body, [left[0], right[0], zero], maps, 1), 0)


def _step(name: str, how: Arithmetic, scalar: Scalar, positions: tuple[int, ...]) -> Step:
    def step(values: list[Num], dimensions: Sequence[Array]) -> tuple[Num, ...]:
        return (RULES[name](how, scalar, [values[at] for at in positions]),)

    return step


def _body(
    how: Arithmetic,
    element: Element,
    arguments: int,
    names: Sequence[tuple[str, tuple[int, ...], Any]],
    captured: tuple[tuple[int, Num], ...] = (),
) -> Body:
    """Return a region of steps (operation, positions, scalar or None for this element type) that yields the last
    value.
    """
    first = arguments + len(captured)
    scalars = [s or Scalar(operands=(element,) * len(at), result=element) for _, at, s in names]
    return Body(
        arguments=arguments,
        captured=captured,
        count=first + len(names),
        results=(first + len(names) - 1,),
        steps=tuple(_step(name, how, s, at) for (name, at, _), s in zip(names, scalars, strict=True)),
        names=tuple(name for name, _, _ in names),
        uses=tuple(at for _, at, _ in names),
        defines=tuple((first + i,) for i in range(len(names))),
    )


def _sum_of_products(how: Arithmetic, element: Element) -> Body:
    return _body(how, element, 3, [("arith.mulf", (0, 1), None), ("arith.addf", (2, 3), None)])


def _cast(how: Arithmetic, source: Element, target: Element) -> Body:
    name = "arith.truncf" if target.bits < source.bits else "arith.extf"
    return _body(how, target, 2, [(name, (0,), Scalar(operands=(source,), result=target))])


def _elementwise(how: Arithmetic, inputs: Sequence[Tensor], body: Body, element: Element) -> Tensor:
    shape = inputs[0].shape
    maps = [projection(len(shape), range(len(shape)))] * (len(inputs) + 1)
    zero = Filled(shape, element, Num(np.zeros((), element.compute)))
    return NestResult(Nest(how, body, [*inputs, zero], maps, 1), 0)


def _modified(
    walker: Walker,
    op: ir.Operation,
    products: Tensor,
    scale: Num,
    scores: list[int],
    count: int,
    shape: Sequence[int],
    element: Element,
) -> Tensor:
    """Return the products multiplied by the scale and passed through the operation's region."""
    scaled = _elementwise(
        walker.how, [products], _body(walker.how, element, 2, [("arith.mulf", (0, 2), None)], ((2, scale),)), element
    )
    body = region(walker, op.regions[0].blocks[0])
    if not body.names and body.results == (0,):
        return scaled
    if body.arguments != 1 or "linalg.index" in body.names:
        raise Unsupported("iree_linalg_ext.attention with a score function of the place")
    maps = [projection(len(shape), range(len(shape)))] * 2
    widened = _with_output(body)
    zero = Filled(shape, element, Num(np.zeros((), element.compute)))
    return NestResult(Nest(walker.how, widened, [scaled, zero], maps, 1), 0)


def _with_output(body: Body) -> Body:
    """Return the region with an unused argument appended to its own."""

    def moved(at: int) -> int:
        return at if at < body.arguments else at + 1

    def shift(step: Step) -> Step:
        def run(values: list[Num], dimensions: Sequence[Array]) -> tuple[Num, ...]:
            return step(values[: body.arguments] + values[body.arguments + 1 :], dimensions)

        return run

    return Body(
        arguments=body.arguments + 1,
        steps=tuple(shift(step) for step in body.steps),
        names=body.names,
        captured=tuple((moved(at), num) for at, num in body.captured),
        count=body.count + 1,
        results=tuple(moved(at) for at in body.results),
        uses=tuple(tuple(moved(at) for at in use) for use in body.uses),
        defines=tuple(tuple(moved(at) for at in define) for define in body.defines),
    )


def _masked(
    how: Arithmetic,
    scores: Tensor,
    dims: list[int],
    mask: Tensor,
    mask_dims: list[int],
    count: int,
    shape: Sequence[int],
    element: Element,
) -> Tensor:
    """Return the scores with the mask added; a Boolean mask stands for 0 where it is set and −∞ elsewhere."""
    if mask.element.is_float:
        name = "arith.extf" if mask.element.bits < element.bits else "arith.truncf"
        cast = [(name, (1,), Scalar(operands=(mask.element,), result=element))]
        same = mask.element.name == element.name
        body = _body(how, element, 3, [*([] if same else cast), ("arith.addf", (0, 1 if same else 3), None)])
    else:
        if mask.element.kind != "boolean":
            mask = _lowest_bit(how, mask)
        select = Scalar(operands=(element_of("i1"), element, element), result=element)
        numbers = ((3, Num(np.zeros(()))), (4, Num(np.array(-np.inf))))
        body = _body(how, element, 3, [("arith.select", (1, 3, 4), select), ("arith.addf", (0, 5), None)], numbers)
    return _nest(how, count, (scores, dims), (mask, mask_dims), dims, shape, element, body)


def _lowest_bit(how: Arithmetic, mask: Tensor) -> Tensor:
    """Return a mask as `i1`, taken from the lowest bit of a wider integer."""
    boolean = element_of("i1")
    body = _body(how, boolean, 2, [("arith.trunci", (0,), Scalar(operands=(mask.element,), result=boolean))])
    return _elementwise(how, [mask], body, boolean)
