"""Windows that move over a tensor, and padding around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runtime_tests.fuzz.function import FLOATS, SETS, Builder, Size, Tensor
from runtime_tests.fuzz.nests import Read, extents


def draw_window(b: Builder, rank: int) -> tuple[list[Size], list[Size], list[int], list[int]]:
    """Output sizes, taps, strides and dilations of each axis of a window."""
    c = b.choices
    outputs = [b.size(most=12) for _ in range(rank)]
    taps = [Size((c.pick((3, 1, 2, 5, 3, 4, 7)),) * SETS) for _ in range(rank)]
    strides = [c.pick((1, 1, 2, 1, 3)) for _ in range(rank)]
    dilations = [c.pick((1, 1, 1, 2, 3)) for _ in range(rank)]
    return outputs, taps, strides, dilations


def reach(out: Size, tap: Size, stride: int, dilation: int) -> Size:
    span = dilation * (tap.values[0] - 1)
    return out.span(stride, span)


def along(at: int, tap: int, stride: int, dilation: int) -> str:
    first = f"d{at}" if stride == 1 else f"d{at} * {stride}"
    return f"{first} + d{tap}" if dilation == 1 else f"{first} + d{tap} * {dilation}"


def maybe_padded(b: Builder, shape: Sequence[Size], element: str, axes: Sequence[int], value: str = "0") -> Tensor:
    """Return an operand of this shape, sometimes a smaller one after a `tensor.pad`."""
    c = b.choices
    if c.chance(65) or any(s.open for s in shape) or any(shape[d].values[0] < 3 for d in axes):
        return b.operand(shape, element)
    low, high = [0] * len(shape), [0] * len(shape)
    inner = list(shape)
    for d in axes:
        low[d], high[d] = c.pick((1, 0, 1)), c.pick((1, 0, 1))
        inner[d] = shape[d].plus(-low[d] - high[d])
    return padded(b, b.operand(inner, element), low, high, value)


def padded(b: Builder, source: Tensor, low: Sequence[int], high: Sequence[int], value: str) -> Tensor:
    """A `tensor.pad`."""
    shape = tuple(s.plus(x + y) for s, x, y in zip(source.shape, low, high, strict=True))
    found = Tensor(b.name(), shape, source.element)
    literal = value if source.element not in FLOATS or "." in value else f"{value}.0"
    constant = b.scalar_constant("false" if source.element == "i1" else literal, source.element)
    places = ", ".join(f"%p{i}: index" for i in range(source.rank))
    below, above = (", ".join(map(str, numbers)) for numbers in (low, high))
    b.line(f"{found.name} = tensor.pad {source.name} low[{below}] high[{above}] {{")
    b.line(f"^bb0({places}):")
    b.line(f"  tensor.yield {constant} : {source.element}")
    b.line(f"}} : {source.type} to {found.type}")
    b.values.append(found)
    return found


def window_extents(
    b: Builder,
    loops: Sequence[Size],
    reads: Sequence[Read],
    outs: Sequence[int],
    windows: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    source: Tensor,
    axes: Sequence[int],
) -> list[str | None]:
    """Return `extents`, where an output's size follows from the input's."""
    windowed = dict(zip(outs, zip(windows, strides, dilations, axes, strict=True), strict=True))
    fixed = [replace(s, open=False) if i in windowed else s for i, s in enumerate(loops)]
    found = extents(b, fixed, reads)
    for loop, (window, stride, dilation, axis) in windowed.items():
        if loops[loop].open:
            size = b.extent(source, axis)
            span = b.name("d")
            b.line(f"{span} = arith.subi {size}, {b.index(dilation * (loops[window].values[0] - 1))} : index")
            if stride > 1:
                up, down = b.name("d"), b.name("d")
                b.line(f"{up} = arith.addi {span}, {b.index(stride - 1)} : index")
                b.line(f"{down} = arith.divui {up}, {b.index(stride)} : index")
                span = down
            found[loop] = span
    return found
