"""Linear transforms of `iree_linalg_ext`: a stage of a fast Fourier transform, and Winograd's three."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .extensions import define
from .numbers import Arithmetic, Array, Element, Num
from .rules import RULES, Scalar
from .tensors import Tensor
from .unsupported import Unsupported
from .walk import Handler, Walker, integers

if TYPE_CHECKING:
    from iree.compiler import ir

ANGLE_ROUNDINGS = 3.0
"""Roundings in −2π/m·j: of π, of the quotient and of the product."""
TILE, KERNEL = 6, 3
"""The sizes of an output tile and of a kernel that IREE has Winograd's matrices for."""
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
"""Points at which the polynomials are evaluated; infinity is the last one."""


def fft(walker: Walker, op: ir.Operation) -> None:
    """Define one stage of a radix-2 transform along the last dimension, whose input has been reordered by bit
    reversal.
    """
    operands = list(op.operands)
    stage = walker.integer(operands[0])
    given = [walker.tensor(o) for o in operands[1:3]] if len(operands) == 5 else []
    real, imaginary = walker.tensor(operands[-2]), walker.tensor(operands[-1])
    length = real.shape[-1]
    size = 1 << stage
    if stage < 1 or length % size:
        raise Unsupported(f"stage {stage} of iree_linalg_ext.fft over {length} elements")

    def compute() -> list[Num]:
        factors = [g.whole() for g in given] if given else _factors(walker.how, real.element, size)
        return _butterfly(walker.how, real.element, factors, real.whole(), imaginary.whole(), size)

    work = real.count * 20.0 + real.whole_work() + imaginary.whole_work()
    define(walker, op, [(t.shape, t.element) for t in (real, imaginary)], compute, work)


def _factors(how: Arithmetic, element: Element, size: int) -> list[Num]:
    """Return cosine and sine of −2πj/size."""
    angle = -2.0 * np.pi / size * np.arange(size // 2)
    error = np.abs(angle) * (ANGLE_ROUNDINGS * how.unit(element)) if how.bounds else None
    return [_apply(how, element, name, Num(angle, error)) for name in ("math.cos", "math.sin")]


def _apply(how: Arithmetic, element: Element, name: str, *operands: Num) -> Num:
    scalar = Scalar(operands=(element,) * len(operands), result=element)
    return RULES[name](how, scalar, list(operands))


def _butterfly(
    how: Arithmetic, element: Element, factors: list[Num], real: Num, imaginary: Num, size: int
) -> list[Num]:
    """Replace elements j and j + size/2 of each group of `size` by a ± w·b."""

    def halves(num: Num) -> list[Num]:
        groups = num.map(lambda array: array.reshape(*array.shape[:-1], -1, size))
        parts = slice(size // 2), slice(size // 2, None)
        return [groups.map(lambda array, part=part: array[..., part]) for part in parts]

    (a_re, b_re), (a_im, b_im) = halves(real), halves(imaginary)
    w_re, w_im = factors

    def do(name: str, *operands: Num) -> Num:
        return _apply(how, element, name, *operands)

    t_re = do("arith.subf", do("arith.mulf", w_re, b_re), do("arith.mulf", w_im, b_im))
    t_im = do("arith.addf", do("arith.mulf", w_re, b_im), do("arith.mulf", w_im, b_re))
    found = []
    for whole, base, turned in ((real, a_re, t_re), (imaginary, a_im, t_im)):
        parts = [do("arith.addf", base, turned), do("arith.subf", base, turned)]
        value = np.concatenate([p.value for p in parts], axis=-1).reshape(whole.value.shape)
        error = None
        if how.bounds:
            error = np.concatenate([p.full_errors() for p in parts], axis=-1).reshape(whole.value.shape)
        found.append(Num(value, error, whole.depth + 2))
    return found


def winograd_matrices() -> tuple[Array, Array, Array]:
    """Return the matrices Aᵀ [6, 8], G [8, 3] and Bᵀ [8, 8] of F(6×6, 3×3) at `POINTS` (Cook and Toom's construction).

    The row of a point in Bᵀ is the polynomial with its zeros at all other points, and that in G the powers of the
    point divided by the value of that polynomial there. For the point 0 both have the other sign.
    """
    polynomial = np.poly(POINTS)[::-1]
    b, g = [], []
    for at, point in enumerate(POINTS):
        others = [other for n, other in enumerate(POINTS) if n != at]
        sign = -1.0 if point == 0 else 1.0
        b.append([*(sign * np.poly(others)[::-1]), 0.0])
        g.append(sign * np.power(point, np.arange(KERNEL)) / np.prod([point - other for other in others]))
    b.append(list(polynomial))
    g.append(np.eye(KERNEL)[-1])
    a = [*(np.power(point, np.arange(TILE)) for point in POINTS), np.eye(TILE)[-1]]
    return np.array(a).T, np.array(g), np.array(b)


A, G, B = winograd_matrices()


def _on_both_sides(how: Arithmetic, element: Element, matrix: Array, tiles: Num) -> Num:
    """Return M·t·Mᵀ for tiles in the last two dimensions, as two products that are each rounded."""
    value = matrix @ tiles.value @ matrix.T
    error = None
    depth = tiles.depth + matrix.shape[1]
    if how.bounds:
        step = how.sum_factor(matrix.shape[1] + 1, element)  # (the matrix is rounded as well)
        size = np.abs(matrix)
        spread = np.abs(tiles.value) * (2 * step + step * step) + tiles.full_errors() * (1 + step) ** 2
        error = size @ spread @ size.T
    return how.rounded(value, error, element, ulps=0.0, depth=depth)


def _check_sizes(op: ir.Operation) -> None:
    sizes = int(op.attributes["output_tile_size"].value), int(op.attributes["kernel_size"].value)
    if sizes != (TILE, KERNEL):
        raise Unsupported(f"{op.name} with a tile of {sizes[0]} and a kernel of {sizes[1]}")


def _transform(walker: Walker, op: ir.Operation, change: Callable[[Tensor, Tensor], Num]) -> None:
    _check_sizes(op)
    source, output = walker.tensor(op.operands[0]), walker.tensor(op.operands[1])
    work = output.count * 64.0 + source.whole_work()
    define(walker, op, [(output.shape, output.element)], lambda: [change(source, output)], work)


def winograd_input(walker: Walker, op: ir.Operation) -> None:
    """Define Bᵀ·t·B for overlapping tiles of an image, which is zero beyond its end: [8, 8, N, H', W', C]."""
    first = integers(op.attributes["image_dimensions"])[0] == 2

    def change(source: Tensor, output: Tensor) -> Num:
        side = TILE + KERNEL - 1
        rows, columns = output.shape[3], output.shape[4]
        whole = source.whole()
        images = whole if first else whole.map(lambda array: np.moveaxis(array, 3, 1))  # N, C, H, W
        sizes = zip((rows, columns), images.value.shape[2:], strict=True)
        high = [max(0, (n - 1) * TILE + side - size) for n, size in sizes]

        def tiles(array: Array) -> Array:
            padded = np.pad(array, ((0, 0), (0, 0), (0, high[0]), (0, high[1])))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
            return windows[:, :, ::TILE, ::TILE][:, :, :rows, :columns]

        found = _on_both_sides(walker.how, output.element, B, images.map(tiles))
        return found.map(lambda array: np.transpose(array, (4, 5, 0, 2, 3, 1)))

    _transform(walker, op, change)


def winograd_filter(walker: Walker, op: ir.Operation) -> None:
    """Define G·f·Gᵀ for every pair of channels: [8, 8, C, F]."""
    first = integers(op.attributes["kernel_dimensions"])[0] == 2

    def change(source: Tensor, output: Tensor) -> Num:
        order = (1, 0, 2, 3) if first else (2, 3, 0, 1)  # C, F, H, W
        kernels = source.whole().map(lambda array: np.transpose(array, order))
        found = _on_both_sides(walker.how, output.element, G, kernels)
        return found.map(lambda array: np.transpose(array, (2, 3, 0, 1)))

    _transform(walker, op, change)


def winograd_output(walker: Walker, op: ir.Operation) -> None:
    """Define Aᵀ·t·A, whose tiles are adjacent in the image."""
    first = integers(op.attributes["image_dimensions"])[0] == 2

    def change(source: Tensor, output: Tensor) -> Num:
        tiles = source.whole().map(lambda array: np.transpose(array, (2, 5, 3, 4, 0, 1)))  # N, C, H', W', 8, 8
        found = _on_both_sides(walker.how, output.element, A, tiles)

        def image(array: Array) -> Array:
            n, c, rows, columns = array.shape[:4]
            joined = np.transpose(array, (0, 1, 2, 4, 3, 5)).reshape(n, c, rows * TILE, columns * TILE)
            return joined if first else np.moveaxis(joined, 1, 3)

        return found.map(image)

    _transform(walker, op, change)


REGISTRY: tuple[tuple[str, Handler], ...] = (
    ("iree_linalg_ext.fft", fft),
    ("iree_linalg_ext.winograd.input_transform", winograd_input),
    ("iree_linalg_ext.winograd.filter_transform", winograd_filter),
    ("iree_linalg_ext.winograd.output_transform", winograd_output),
)
