"""What functions are made of: one generator for each kind of operation on tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from runtime_tests.fuzz.function import FLOATS, INTEGERS, SETS, WIDTHS, Builder, Size, Tensor
from runtime_tests.fuzz.scalars import Body, Scalar


@dataclass(frozen=True, slots=True)
class Read:
    """An operand of a nest and how it is indexed: one affine expression for each dimension."""

    tensor: Tensor
    access: tuple[str, ...]


def nest(
    b: Builder,
    loops: Sequence[Size],
    kinds: Sequence[str],
    reads: Sequence[Read],
    outs: Sequence[Read],
    body: Body,
    yielded: Sequence[Scalar],
    inside: Sequence[str],
) -> list[Tensor]:
    """Writes a `linalg.generic`; its results. `inside` names the region's arguments."""
    dims = ", ".join(f"d{i}" for i in range(len(loops)))
    maps = ", ".join(f"affine_map<({dims}) -> ({', '.join(r.access)})>" for r in (*reads, *outs))
    iterators = ", ".join(f'"{kind}"' for kind in kinds)
    arguments = ", ".join(f"{n}: {r.tensor.element}" for n, r in zip(inside, (*reads, *outs), strict=True))
    results = [Tensor(b.name(), o.tensor.shape, o.tensor.element) for o in outs]
    types = ", ".join(o.tensor.type for o in outs)
    name = results[0].name + (f":{len(outs)}" if len(outs) > 1 else "")
    ins = ""
    if reads:
        ins = f"ins({', '.join(r.tensor.name for r in reads)} : {', '.join(r.tensor.type for r in reads)}) "
    b.line(
        f"{name} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{iterators}]}} {ins}"
        f"outs({', '.join(o.tensor.name for o in outs)} : {types}) {{"
    )
    b.line(f"^bb0({arguments}):")
    b.lines += body.lines
    b.line(f"  linalg.yield {', '.join(n for n, _ in yielded)} : {', '.join(t for _, t in yielded)}")
    b.line(f"}} -> ({types})" if len(outs) > 1 else f"}} -> {types}")
    if len(outs) > 1:
        results = [replace(r, name=f"{results[0].name}#{i}") for i, r in enumerate(results)]
    b.values += results
    return results


def extents(b: Builder, loops: Sequence[Size], reads: Sequence[Read]) -> list[str | None]:
    """A value for the size of each open loop, from an operand that is read along it."""
    found: list[str | None] = []
    for number, loop in enumerate(loops):
        value = None
        if loop.open:
            places = [
                (r.tensor, d)
                for r in reads
                for d, a in enumerate(r.access)
                if a == f"d{number}" and r.tensor.shape[d].values == loop.values
            ]
            tensor, d = places[b.choices.below(len(places))]
            value = b.extent(tensor, d) if tensor.shape[d].open else b.index(tensor.shape[d].values[0])
        found.append(value)
    return found


def dims(numbers: Sequence[int]) -> tuple[str, ...]:
    """`d0`, `d1`, …"""
    return tuple(f"d{n}" for n in numbers)


def any_read(b: Builder, loops: Sequence[Size], element: str) -> Read:
    """An operand of a nest under some map of its loops."""
    c = b.choices
    rank = len(loops)
    kind = c.weighted((
        (30, "same"), (10, "permuted"), (18, "broadcast"), (10, "scalar"), (5, "constant"), (5, "strided"),
        (2, "window"), (1, "reversed"),
    ))  # fmt: skip
    order = list(range(rank))
    if kind == "permuted":
        order = c.permuted(order)
    if kind == "broadcast":
        order = c.permuted([d for d in order if c.chance(50)])
    if kind == "scalar":
        order = []
    access = list(dims(order))
    shape = [loops[d] for d in order]
    if kind == "constant" and rank:
        at = c.below(rank + 1)
        size = Size((c.pick((3, 1, 2, 5)),) * SETS)
        access.insert(at, str(c.below(size.values[0])))
        shape.insert(at, size)
        if c.chance(50) and len(access) > 1:
            gone = (at + 1) % len(access)
            del access[gone], shape[gone]
    fixed = [d for d in range(rank) if not loops[d].open]
    if kind == "strided" and rank:
        d, stride, more = c.below(rank), c.pick((2, 3)), c.pick((0, 1))
        access[d] = f"d{d} * {stride}" + (f" + {more}" if more and not c.chance(50) else "")
        shape[d] = loops[d].span(stride, more)
    if kind == "window" and len(fixed) > 1:
        d, e = fixed[:2]
        access[d] = f"d{d} + d{e}"
        shape[d] = Size(tuple(x + y - 1 for x, y in zip(loops[d].values, loops[e].values, strict=True)))
        del access[e], shape[e]
    if kind == "reversed" and fixed:
        d = fixed[-1]
        access[d] = f"{loops[d].values[0] - 1} - d{d}"
    return Read(b.operand(shape, element), tuple(access))


def elementwise(b: Builder) -> None:
    """A nest of parallel loops with up to four operands and two results."""
    c = b.choices
    b.kinds.append("elementwise")
    if b.values and c.chance(75):
        first = b.values[-1] if c.chance(70) else c.pick(b.values)
        order = c.permuted(list(range(first.rank)))
        loops = [Size((1,) * SETS)] * first.rank
        for at, d in enumerate(order):
            loops[d] = first.shape[at]
        reads = [Read(first, dims(order))]
    else:
        loops = b.sizes(c.pick((2, 1, 3, 2, 0, 4, 5)))
        reads = [Read(b.operand(loops, b.element()), dims(range(len(loops))))]
    for _ in range(c.pick((0, 1, 1, 2, 3))):
        reads.append(any_read(b, loops, b.element()))
    if c.chance(8):
        reads.append(reads[0])
    body = Body(c, b.name("x")[1:])
    inside = [f"%in{i}" for i in range(len(reads))]
    inputs: list[Scalar] = [(n, r.tensor.element) for n, r in zip(inside, reads, strict=True)]
    if c.chance(8):
        inputs.append((b.scalar(e := c.pick(("f32", "i32", "i64"))), e))
    if loops and c.chance(6):
        inputs.append(body.converted(body.emit(f"linalg.index {c.below(len(loops))} : index", "index"), "i32"))
    outs, yielded = [], []
    for number in range(c.pick((1, 1, 1, 1, 1, 1, 2))):
        element = b.element() if c.chance(30) else reads[0].tensor.element
        order = c.permuted(list(range(len(loops)))) if c.chance(15) else list(range(len(loops)))
        shape = [loops[d] for d in order]
        inside.append(f"%out{number}")
        if c.chance(10):  # what is there already is read as well
            target = b.operand(shape, element)
            inputs.append((inside[-1], element))
        else:
            known = extents(b, loops, reads)
            target = b.empty(shape, element, [known[d] for d in order])
        outs.append(Read(target, dims(order)))
        yielded.append(body.expression(inputs, element))
    nest(b, loops, ["parallel"] * len(loops), reads, outs, body, yielded, inside)


ACCUMULATORS = {
    "f32": ("f32", "f32", "f32", "f64"), "f16": ("f32", "f16"), "bf16": ("f32", "bf16"), "f64": ("f64",),
    "i8": ("i32", "i32", "i32", "i64", "i8"), "i16": ("i32", "i64", "i16"), "i32": ("i32", "i64"), "i64": ("i64",),
    "i1": ("i32",),
}  # fmt: skip


def initial(b: Builder, shape: Sequence[Size], element: str, known: Sequence[str | None], neutral: str) -> Tensor:
    """What a reduction starts from: its neutral element, some constant, or another tensor."""
    c = b.choices
    kind = c.weighted(((12, "neutral"), (1, "constant"), (2, "tensor")))
    if kind == "tensor":
        return b.operand(shape, element)
    empty = b.empty(shape, element, known)
    if kind == "constant":
        return b.filled(empty, b.scalar(element) if element != "i1" else b.scalar_constant("true", "i1"))
    return b.filled(empty, b.scalar_constant(neutral, element))


def contraction(b: Builder) -> None:
    """A product summed over some loops: any mixture of batch, row, column and sum loops."""
    c = b.choices
    b.kinds.append("contraction")
    counts = c.weighted((
        (10, (0, 1, 1, 1)), (5, (1, 1, 1, 1)), (3, (0, 1, 0, 1)), (2, (0, 0, 1, 1)), (1, (0, 0, 0, 1)),
        (2, (2, 1, 1, 1)), (2, (0, 2, 1, 1)), (2, (0, 1, 2, 1)), (2, (0, 1, 1, 2)), (1, (1, 2, 1, 1)),
        (1, (1, 0, 1, 1)), (1, (1, 1, 0, 1)), (1, (0, 2, 2, 1)), (1, (1, 1, 1, 2)), (1, (0, 1, 1, 0)),
    ))  # fmt: skip
    roles = [role for role, count in zip("bmnk", counts, strict=True) for _ in range(count)]
    loops: list[Size] = []
    reuse = [v for v in b.values if v.rank == counts[0] + counts[1] + counts[3] and v.element != "i1"]
    given: Tensor | None = None
    if reuse and c.chance(60):
        given = c.pick(list(reversed(reuse)))
        sizes = iter(given.shape)
        most = 40_000
        for size in given.shape:
            most = max(1, most // max(*size.values, 1))
        loops = [b.size(most=most) if r == "n" else next(sizes) for r in roles]
    else:
        loops = b.sizes(len(roles))
    if c.chance(4) and roles.count("k") and not b.open:
        loops = [Size(tuple(min(v, 4) for v in s.values), s.open) for s in loops]
        loops[roles.index("k")] = Size((c.pick((300, 513)),) * SETS)
        given = None
    order = c.permuted(range(len(roles))) if c.chance(30) else list(range(len(roles)))
    roles, loops = [roles[i] for i in order], [loops[i] for i in order]
    left = [i for i, r in enumerate(roles) if r in "bmk"]
    right = [i for i, r in enumerate(roles) if r in "bkn"]
    out = [i for i, r in enumerate(roles) if r in "bmn"]
    left = c.permuted(left) if given is None else sorted(left, key=lambda i: order[i])
    if not c.chance(50):
        right = sorted(right, key=lambda i: ("bkn".index(roles[i]), order[i]))
    right, out = c.permuted(right), c.permuted(out) if c.chance(25) else sorted(out, key=lambda i: order[i])
    element = c.pick((*FLOATS[:3], "i8", "f32", "i32", "f64", "i16")) if c.chance(25) else b.main
    element = given.element if given else element
    element = "f32" if element == "i1" else element
    other = c.pick((*FLOATS, *INTEGERS)) if c.chance(6) else element
    total = c.pick(ACCUMULATORS[element])
    if (total in FLOATS) != (other in FLOATS):
        other = element
    a = given or b.operand([loops[i] for i in left], element)
    left_read = Read(a, dims(left))
    right_read = Read(b.operand([loops[i] for i in right], other), dims(right))
    reads = [left_read, right_read]
    if counts[2] == counts[1] and c.chance(5) and a.shape == right_read.tensor.shape and a.element == other:
        reads[1] = Read(a, dims(right))
    points = c.chance(8)
    if points:
        reads += [Read(b.operand([], r.tensor.element), ()) for r in list(reads)]
    known = extents(b, loops, reads)
    target = initial(b, [loops[i] for i in out], total, [known[i] for i in out], _zero(total))
    body = Body(c, b.name("x")[1:])
    inside = [f"%in{i}" for i in range(len(reads))]
    factors = []
    for number in (0, 1):
        value = body.converted((inside[number], reads[number].tensor.element), total)
        if points:
            point = body.converted((inside[number + 2], reads[number + 2].tensor.element), total)
            value = body.emit(f"arith.sub{_suffix(total)} {value[0]}, {point[0]} : {total}", total)
        if c.chance(4):
            value = body.unary(value)
        factors.append(value)
    product = body.emit(f"arith.mul{_suffix(total)} {factors[0][0]}, {factors[1][0]} : {total}", total)
    terms = ("%acc", product[0]) if not c.chance(30) else (product[0], "%acc")
    found = body.emit(f"arith.add{_suffix(total)} {terms[0]}, {terms[1]} : {total}", total)
    kinds = ["reduction" if r == "k" else "parallel" for r in roles]
    nest(b, loops, kinds, reads, [Read(target, dims(out))], body, [found], [*inside, "%acc"])


def _zero(element: str) -> str:
    return "0.0" if element in FLOATS else "false" if element == "i1" else "0"


def _suffix(element: str) -> str:
    return "f" if element in FLOATS else "i"


def _window(b: Builder, rank: int) -> tuple[list[Size], list[Size], list[int], list[int]]:
    """Output sizes, taps, strides and dilations of each axis of a window."""
    c = b.choices
    outputs = [b.size(most=12) for _ in range(rank)]
    taps = [Size((c.pick((3, 1, 2, 5, 3, 4, 7)),) * SETS) for _ in range(rank)]
    strides = [c.pick((1, 1, 2, 1, 3)) for _ in range(rank)]
    dilations = [c.pick((1, 1, 1, 2, 3)) for _ in range(rank)]
    return outputs, taps, strides, dilations


def _reach(out: Size, tap: Size, stride: int, dilation: int) -> Size:
    span = dilation * (tap.values[0] - 1)
    return out.span(stride, span)


def _along(at: int, tap: int, stride: int, dilation: int) -> str:
    first = f"d{at}" if stride == 1 else f"d{at} * {stride}"
    return f"{first} + d{tap}" if dilation == 1 else f"{first} + d{tap} * {dilation}"


def _padded(b: Builder, shape: Sequence[Size], element: str, axes: Sequence[int], value: str = "0") -> Tensor:
    """An operand of this shape, which is a smaller one behind a `tensor.pad` now and then."""
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


def convolution(b: Builder) -> None:
    """1-D and 2-D (now and then 3-D), in either layout, strided, dilated, grouped or depthwise."""
    c = b.choices
    b.kinds.append("convolution")
    rank = c.pick((2, 2, 1, 2, 1, 3))
    outputs, taps, strides, dilations = _window(b, rank)
    if rank == 3:
        outputs = [Size(tuple(min(v, 4) for v in s.values), s.open) for s in outputs]
        taps = [Size(tuple(min(v, 3) for v in s.values)) for s in taps]
    form = c.pick(("plain", "plain", "depthwise", "grouped", "multiplied"))
    sizes = [b.size(most=4), *outputs]
    roles = ["b", *["o"] * rank]
    channels = {"plain": "fc", "depthwise": "g", "grouped": "gfc", "multiplied": "gf"}[form]
    for role in channels:
        sizes.append(b.size(most=16 if form in ("plain", "depthwise") else 5))
        roles.append(role)
    sizes += taps
    roles += ["t"] * rank
    outs = [i for i, r in enumerate(roles) if r == "o"]
    windows = [i for i, r in enumerate(roles) if r == "t"]
    batch = [0] if not c.chance(20) else []
    if not batch:
        sizes, roles = sizes[1:], roles[1:]
        outs, windows = [i - 1 for i in outs], [i - 1 for i in windows]
    groups = [i for i, r in enumerate(roles) if r == "g"]
    filters = [i for i, r in enumerate(roles) if r == "f"]
    inputs = [i for i, r in enumerate(roles) if r == "c"]
    spatial = [
        (_along(o, t, s, d), _reach(sizes[o], sizes[t], s, d))
        for o, t, s, d in zip(outs, windows, strides, dilations, strict=True)
    ]
    last = c.chance(50)
    image = [(f"d{i}", sizes[i]) for i in batch]
    channel = [(f"d{i}", sizes[i]) for i in (*groups, *inputs)]
    image += [*spatial, *channel] if last else [*channel, *spatial]
    taken = [*filters, *groups, *inputs, *windows] if not last else [*windows, *groups, *inputs, *filters]
    kernel = c.permuted(taken) if c.chance(20) else taken
    out = [*batch, *outs, *groups, *filters] if last else [*batch, *groups, *filters, *outs]
    out = c.permuted(out) if c.chance(15) else out
    element = c.pick((*FLOATS[:3], "i8", "f32")) if c.chance(25) else b.main
    element = "f32" if element == "i1" else element
    total = c.pick(ACCUMULATORS[element])
    axes = [d for d, (a, _) in enumerate(image) if "+" in a]
    source = _padded(b, [s for _, s in image], element, axes)
    reads = [
        Read(source, tuple(a for a, _ in image)),
        Read(b.operand([sizes[i] for i in kernel], element), dims(kernel)),
    ]
    known = _window_extents(b, sizes, reads, outs, windows, strides, dilations, source, axes)
    target = initial(b, [sizes[i] for i in out], total, [known[i] for i in out], _zero(total))
    body = Body(c, b.name("x")[1:])
    x, y = (body.converted((f"%in{i}", element), total) for i in (0, 1))
    product = body.emit(f"arith.mul{_suffix(total)} {x[0]}, {y[0]} : {total}", total)
    found = body.emit(f"arith.add{_suffix(total)} %acc, {product[0]} : {total}", total)
    kinds = ["reduction" if r in "ct" else "parallel" for r in roles]
    nest(b, sizes, kinds, reads, [Read(target, dims(out))], body, [found], ["%in0", "%in1", "%acc"])


def _window_extents(
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
    """As `extents`, where an output's size follows from the input's."""
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


COMBINERS = {
    "max": ("arith.maximumf", "arith.maxsi", "0xFF80", ""), "min": ("arith.minimumf", "arith.minsi", "", ""),
    "sum": ("arith.addf", "arith.addi", "", ""), "prod": ("arith.mulf", "arith.muli", "", ""),
    "maxnum": ("arith.maxnumf", "arith.maxui", "", ""), "minnum": ("arith.minnumf", "arith.minui", "", ""),
}  # fmt: skip
INFINITY = {"f32": ("0xFF800000", "0x7F800000"), "f16": ("0xFC00", "0x7C00"), "bf16": ("0xFF80", "0x7F80"),
            "f64": ("0xFFF0000000000000", "0x7FF0000000000000")}  # fmt: skip


def neutral(kind: str, element: str) -> str:
    """The number that changes nothing; for `maxnum` on floats the infinity as well, or NaN."""
    if kind in ("sum", "or", "xor"):
        return _zero(element)
    if kind in ("prod",):
        return "1.0" if element in FLOATS else "1"
    low = kind in ("max", "maxnum")
    if element in FLOATS:
        return INFINITY[element][0 if low else 1]
    width = WIDTHS[element]
    if kind in ("maxnum", "minnum"):
        return "0" if low else "-1"
    if kind == "and":
        return "true" if element == "i1" else "-1"
    return str(-(2 ** (width - 1)) if low else 2 ** (width - 1) - 1)


def _combined(body: Body, kind: str, a: Scalar, b: Scalar) -> Scalar:
    element = a[1]
    if kind in ("and", "or", "xor"):
        return body.emit(f"arith.{kind}i {a[0]}, {b[0]} : {element}", element)
    op = COMBINERS[kind][0 if element in FLOATS else 1]
    return body.emit(f"{op} {a[0]}, {b[0]} : {element}", element)


def pooling(b: Builder) -> None:
    """Maximum, minimum or sum over a moving window."""
    c = b.choices
    b.kinds.append("pooling")
    rank = c.pick((2, 1, 2))
    outputs, taps, strides, dilations = _window(b, rank)
    last = c.chance(50)
    batch, channel = b.size(most=3), b.size(most=17)
    loops = [batch, *outputs, channel, *taps] if last else [batch, channel, *outputs, *taps]
    outs = list(range(1, 1 + rank)) if last else list(range(2, 2 + rank))
    windows = list(range(2 + rank, 2 + 2 * rank))
    access = [f"d{i}" for i in range(2 + rank)]
    shape = list(loops[: 2 + rank])
    for o, t, s, d in zip(outs, windows, strides, dilations, strict=True):
        access[o], shape[o] = _along(o, t, s, d), _reach(loops[o], loops[t], s, d)
    element = "f32" if b.main == "i1" else b.main
    kind = c.pick(("max", "sum", "min", "maxnum", "minnum", "prod"))
    source = _padded(b, shape, element, outs, "-1" if kind != "sum" else "0")
    reads = [Read(source, tuple(access)), Read(b.empty(taps, element, [None] * rank), dims(windows))]
    known = _window_extents(b, loops, reads[:1], outs, windows, strides, dilations, source, outs)
    kept = list(range(2 + rank))
    start = neutral(kind, element)
    target = initial(b, [loops[i] for i in kept], element, [known[i] for i in kept], start)
    body = Body(c, b.name("x")[1:])
    found = _combined(body, kind, *((("%acc", element), ("%in0", element))[:: -1 if c.chance(30) else 1]))
    kinds = ["parallel"] * (2 + rank) + ["reduction"] * rank
    nest(b, loops, kinds, reads, [Read(target, dims(kept))], body, [found], ["%in0", "%in1", "%acc"])


def reduction(b: Builder) -> None:
    """Over any set of loops, with something computed on the way; now and then two at once."""
    c = b.choices
    b.kinds.append("reduction")
    source = c.pick(list(reversed(b.values))) if b.values and c.chance(60) else None
    if source is None or not source.rank:
        source = b.operand(b.sizes(c.pick((2, 1, 3, 4, 5))), b.element())
    loops = list(source.shape)
    order = c.permuted(list(range(len(loops))))
    if c.chance(70):
        count = c.pick((1, 1, 2, 3))
        reduced = set(range(len(loops))[-count:])
    else:
        reduced = {d for d in range(len(loops)) if c.chance(50)} or {c.below(len(loops))}
    placed = [Size((1,) * SETS)] * len(loops)
    for at, d in enumerate(order):
        placed[d] = source.shape[at]
    loops = placed
    reads = [Read(source, dims(order))]
    if c.chance(20):
        reads.append(any_read(b, loops, b.element()))
    kinds = ["reduction" if d in reduced else "parallel" for d in range(len(loops))]
    known = extents(b, loops, reads)
    kept = [d for d in range(len(loops)) if d not in reduced]
    body = Body(c, b.name("x")[1:])
    inside = [f"%in{i}" for i in range(len(reads))]
    inputs: list[Scalar] = [(n, r.tensor.element) for n, r in zip(inside, reads, strict=True)]
    outs, yielded = [], []
    for number in range(c.pick((1, 1, 1, 1, 1, 2))):
        element = b.element()
        if c.chance(60) and source.element != "i1":
            element = source.element
        names = ("and", "or") if element == "i1" else ("sum", "max", "min", "prod", "maxnum", "minnum")
        if element in INTEGERS and c.chance(20):
            names = ("and", "or", "xor")
        kind = c.pick(names)
        out = c.permuted(kept) if c.chance(15) else kept
        target = initial(b, [loops[d] for d in out], element, [known[d] for d in out], neutral(kind, element))
        inside.append(f"%acc{number}")
        if c.chance(50):
            value = body.converted(inputs[0], element)
            if len(inputs) > 1:
                value = body.joined(value, inputs[1], element)
        else:
            value = body.expression(inputs, element, more=2)
        pair = [(inside[-1], element), value]
        yielded.append(_combined(body, kind, *(pair if not c.chance(30) else pair[::-1])))
        outs.append(Read(target, dims(out)))
    nest(b, loops, kinds, reads, outs, body, yielded, inside)


def argument_of(b: Builder) -> None:
    """The largest or smallest number and where it is."""
    c = b.choices
    b.kinds.append("argmax")
    element = "f32" if b.main == "i1" else b.main
    loops = b.sizes(c.pick((2, 1, 3)))
    axis = len(loops) - 1 if not c.chance(30) else c.below(len(loops))
    source = b.operand(loops, element)
    order = c.permuted(list(range(len(loops))))
    placed = list(loops)
    for at, d in enumerate(order):
        placed[d] = source.shape[at]
    reads = [Read(source, dims(order))]
    known = extents(b, placed, reads)
    kept = [d for d in range(len(loops)) if d != axis]
    index = c.pick(("i64", "i32"))
    kind = c.pick(("max", "min"))
    empty = [b.empty([placed[d] for d in kept], e, [known[d] for d in kept]) for e in (element, index)]
    start = neutral(kind, element)
    targets = [b.filled(empty[0], b.scalar_constant(start, element)), b.filled(empty[1], b.scalar_constant("0", index))]
    body = Body(c, b.name("x")[1:])
    place = body.emit(f"linalg.index {axis} : index", "index")
    number = body.emit(f"arith.index_cast {place[0]} : index to {index}", index)
    best = _combined(body, kind, ("%in0", element), ("%acc0", element))
    if element in FLOATS:
        predicate = "ogt" if kind == "max" else "olt"
        better = body.emit(f"arith.cmpf {predicate}, %in0, %acc0 : {element}", "i1")
    else:
        better = body.emit(f"arith.cmpi {'sgt' if kind == 'max' else 'slt'}, %in0, %acc0 : {element}", "i1")
    where = body.selected(better, number, ("%acc1", index))
    kinds = ["reduction" if d == axis else "parallel" for d in range(len(loops))]
    outs = [Read(t, dims(kept)) for t in targets]
    nest(b, placed, kinds, reads, outs, body, [best, where], ["%in0", "%acc0", "%acc1"])


def softmax(b: Builder) -> None:
    """`linalg.softmax` along any dimension."""
    c = b.choices
    b.kinds.append("softmax")
    element = b.main if b.main in FLOATS else "f32"
    fitting = [v for v in b.values if v.element == element and v.rank]
    if fitting and c.chance(60):
        source = c.pick(list(reversed(fitting)))
    else:
        source = b.operand(b.sizes(c.pick((2, 3, 1, 4))), element)
    axis = source.rank - 1 if not c.chance(30) else c.below(source.rank)
    known = extents(b, source.shape, [Read(source, dims(range(source.rank)))])
    target = b.empty(source.shape, element, known)
    found = Tensor(b.name(), source.shape, element)
    b.line(
        f"{found.name} = linalg.softmax dimension({axis}) ins({source.name} : {source.type}) "
        f"outs({target.name} : {target.type}) -> {target.type}"
    )
    b.values.append(found)


def norm(b: Builder) -> None:
    """A row divided by something of the row: layer, RMS, L2 and maximum norms, and softmax by hand."""
    c = b.choices
    b.kinds.append("norm")
    element = b.main if b.main in FLOATS else "f32"
    loops = b.sizes(c.pick((2, 1, 3)))
    source = b.operand(loops, element)
    rank = len(loops)
    whole, rows = dims(range(rank)), dims(range(rank - 1))
    form = c.pick(("layer", "rms", "softmax", "l2", "maximum"))
    wide = c.pick(("f32", element)) if element in ("f16", "bf16") else element
    known = extents(b, loops, [Read(source, whole)])

    def widened(body: Body, inside: Sequence[str], reads: Sequence[Read]) -> list[Scalar]:
        return [body.converted((n, r.tensor.element), wide) for n, r in zip(inside, reads, strict=True)]

    def row(reads: Sequence[Read], kind: str, function: Callable[[Body, list[Scalar]], Scalar]) -> Tensor:
        empty = b.empty(loops[:-1], wide, known[:-1])
        target = b.filled(empty, b.scalar_constant(neutral(kind, wide), wide))
        body = Body(c, b.name("x")[1:])
        inside = [f"%in{i}" for i in range(len(reads))]
        value = function(body, widened(body, inside, reads))
        kinds = ["parallel"] * (rank - 1) + ["reduction"]
        found = _combined(body, kind, value, ("%acc", wide))
        return nest(b, loops, kinds, reads, [Read(target, rows)], body, [found], [*inside, "%acc"])[0]

    def every(reads: Sequence[Read], function: Callable[[Body, list[Scalar]], Scalar], to: str) -> Tensor:
        target = b.empty(loops, to, known)
        body = Body(c, b.name("x")[1:])
        inside = [f"%in{i}" for i in range(len(reads))]
        value = function(body, widened(body, inside, reads))
        found = body.converted(value, to)
        return nest(b, loops, ["parallel"] * rank, reads, [Read(target, whole)], body, [found], [*inside, "%o"])[0]

    def op(name: str) -> Callable[[Body, list[Scalar]], Scalar]:
        return lambda body, v: body.emit(f"{name} {', '.join(n for n, _ in v)} : {wide}", wide)

    def square(body: Body, v: list[Scalar]) -> Scalar:
        return body.emit(f"arith.mulf {v[0][0]}, {v[0][0]} : {wide}", wide)

    def scaled(body: Body, v: list[Scalar]) -> Scalar:
        """x · rsqrt(s / n + ε), and more operands as gains."""
        n = body.constant(f"{max(loops[-1].values[0], 1)}.0", wide)
        epsilon = body.constant(c.pick(("1.0e-5", "1.0e-6", "1.0e-12")), wide)
        mean = body.emit(f"arith.divf {v[1][0]}, {n[0]} : {wide}", wide)
        more = body.emit(f"arith.addf {mean[0]}, {epsilon[0]} : {wide}", wide)
        root = body.emit(f"math.rsqrt {more[0]} : {wide}", wide)
        found = body.emit(f"arith.mulf {v[0][0]}, {root[0]} : {wide}", wide)
        for gain, name in zip(v[2:], ("arith.mulf", "arith.addf"), strict=False):
            found = body.emit(f"{name} {found[0]}, {gain[0]} : {wide}", wide)
        return found

    x = Read(source, whole)
    gains = [Read(b.operand(loops[-1:], element), (f"d{rank - 1}",)) for _ in range(c.pick((0, 1, 2)))]
    if form == "rms":
        total = row([x], "sum", square)
        every([x, Read(total, rows), *gains], scaled, element)
    elif form == "layer":
        total = row([x], "sum", lambda body, v: v[0])
        count = f"{max(loops[-1].values[0], 1)}.0"

        def centred(body: Body, v: list[Scalar]) -> Scalar:
            n = body.constant(count, wide)
            mean = body.emit(f"arith.divf {v[1][0]}, {n[0]} : {wide}", wide)
            return body.emit(f"arith.subf {v[0][0]}, {mean[0]} : {wide}", wide)

        middle = every([x, Read(total, rows)], centred, wide)
        squares = row([Read(middle, whole)], "sum", square)
        every([Read(middle, whole), Read(squares, rows), *gains], scaled, element)
    elif form == "softmax":
        most = row([x], "max", lambda body, v: v[0])

        def exponential(body: Body, v: list[Scalar]) -> Scalar:
            less = body.emit(f"arith.subf {v[0][0]}, {v[1][0]} : {wide}", wide)
            return body.emit(f"math.exp {less[0]} : {wide}", wide)

        powers = every([x, Read(most, rows)], exponential, wide)
        total = row([Read(powers, whole)], "sum", lambda body, v: v[0])
        every([Read(powers, whole), Read(total, rows)], op("arith.divf"), element)
    elif form == "l2":
        total = row([x], "sum", square)

        def unit(body: Body, v: list[Scalar]) -> Scalar:
            root = body.emit(f"math.sqrt {v[1][0]} : {wide}", wide)
            low = body.constant("1.0e-3", wide)
            more = body.emit(f"arith.maximumf {root[0]}, {low[0]} : {wide}", wide)
            return body.emit(f"arith.divf {v[0][0]}, {more[0]} : {wide}", wide)

        every([x, Read(total, rows)], unit, element)
    else:
        most = row([x], "max", op("math.absf"))
        every([x, Read(most, rows)], op("arith.subf"), element)


def gather(b: Builder) -> None:
    """Rows of a table, by indices."""
    c = b.choices
    b.kinds.append("gather")
    table = b.sizes(c.pick((2, 1, 3)), most=2000)
    table[0] = Size((c.pick((5, 1, 8, 17, 100)),) * SETS)
    places = b.sizes(c.pick((1, 2, 1)), most=60)
    element = b.element()
    source = b.operand(table, element)
    kind = c.pick(("i64", "i32"))
    limit = table[0].values[0]
    indices = b.argument(places, kind, limit)
    loops = [*places, *table[1:]]
    reads = [Read(indices, dims(range(len(places))))]
    inner = [Read(source, ("0", *dims(range(len(places), len(loops)))))]
    known = extents(b, loops, [*reads, *inner])
    target = b.empty(loops, element, known)
    body = Body(c, b.name("x")[1:])
    where = body.emit(f"arith.index_cast %in0 : {kind} to index", "index")
    rest = [body.emit(f"linalg.index {d} : index", "index") for d in range(len(places), len(loops))]
    at = ", ".join(n for n, _ in (where, *rest))
    value = body.emit(f"tensor.extract {source.name}[{at}] : {source.type}", element)
    if c.chance(30):
        value = body.expression([value], element)
    outs = [Read(target, dims(range(len(loops))))]
    nest(b, loops, ["parallel"] * len(loops), reads, outs, body, [value], ["%in0", "%o"])


def _source(b: Builder, most: int = 4) -> Tensor:
    c = b.choices
    fitting = [v for v in b.values if 0 < v.rank <= most]
    if fitting and c.chance(65):
        return c.pick(list(reversed(fitting)))
    return b.operand(b.sizes(1 + c.below(most)), b.element())


def movement(b: Builder) -> None:
    """A slice, pad, concatenation, insertion, transposition, broadcast or reshape."""
    c = b.choices
    kind = c.pick(("transpose", "slice", "pad", "concat", "insert", "reshape", "broadcast"))
    b.kinds.append(kind)
    source = _source(b)
    rank = source.rank
    found: Tensor
    if kind == "transpose":
        order = c.permuted(list(range(rank)))
        known = extents(b, source.shape, [Read(source, dims(range(rank)))])
        target = b.empty([source.shape[d] for d in order], source.element, [known[d] for d in order])
        found = Tensor(b.name(), target.shape, target.element)
        b.line(
            f"{found.name} = linalg.transpose ins({source.name} : {source.type}) outs({target.name} : {target.type}) "
            f"permutation = [{', '.join(map(str, order))}]"
        )
    elif kind == "broadcast":
        at = c.below(rank + 1)
        size = Size((c.pick((3, 1, 2, 8)),) * SETS)
        known = extents(b, source.shape, [Read(source, dims(range(rank)))])
        shape = [*source.shape[:at], size, *source.shape[at:]]
        target = b.empty(shape, source.element, [*known[:at], None, *known[at:]])
        found = Tensor(b.name(), target.shape, target.element)
        b.line(
            f"{found.name} = linalg.broadcast ins({source.name} : {source.type}) outs({target.name} : {target.type}) "
            f"dimensions = [{at}]"
        )
    elif kind == "pad":
        low = [c.pick((0, 1, 0, 2)) for _ in range(rank)]
        high = [c.pick((0, 1, 0, 3)) for _ in range(rank)]
        padded(b, source, low, high, c.pick(("0", "1", "-1")))
        return
    elif kind == "concat":
        axis = c.below(rank)
        other = b.operand([s if d != axis else b.size(most=9) for d, s in enumerate(source.shape)], source.element)
        parts = [source, other] if not c.chance(15) else [source, other, source]
        size = Size(
            tuple(sum(p.shape[axis].values[i] for p in parts) for i in range(SETS)),
            any(p.shape[axis].open for p in parts),
        )
        found = Tensor(b.name(), tuple(size if d == axis else s for d, s in enumerate(source.shape)), source.element)
        b.line(
            f"{found.name} = tensor.concat dim({axis}) {', '.join(p.name for p in parts)} : "
            f"({', '.join(p.type for p in parts)}) -> {found.type}"
        )
    elif kind in ("slice", "insert"):
        if any(s.open or s.values[0] == 0 for s in source.shape):
            return
        offsets, strides, sizes = [], [], []
        for s in source.shape:
            n = s.values[0]
            stride = c.pick((1, 1, 2, 3)) if kind == "slice" else 1
            offset = c.below(n) if c.chance(50) else 0
            most = (n - offset - 1) // stride + 1
            offsets.append(offset)
            strides.append(stride)
            sizes.append(most - (c.below(most) if c.chance(40) else 0))
        part = tuple(Size((n,) * SETS) for n in sizes)
        where = "".join(f"[{', '.join(map(str, numbers))}]" for numbers in (offsets, sizes, strides))
        if kind == "slice":
            found = Tensor(b.name(), part, source.element)
            b.line(f"{found.name} = tensor.extract_slice {source.name}{where} : {source.type} to {found.type}")
        else:
            inner = b.operand(part, source.element)
            found = Tensor(b.name(), source.shape, source.element)
            b.line(
                f"{found.name} = tensor.insert_slice {inner.name} into {source.name}{where} : "
                f"{inner.type} into {source.type}"
            )
    else:
        if any(s.open for s in source.shape) or rank < 2:
            return
        at = c.below(rank - 1)
        groups = [[d] for d in range(at)] + [[at, at + 1]] + [[d] for d in range(at + 2, rank)]
        size = Size((source.shape[at].values[0] * source.shape[at + 1].values[0],) * SETS)
        shape = (*source.shape[:at], size, *source.shape[at + 2 :])
        found = Tensor(b.name(), shape, source.element)
        b.line(f"{found.name} = tensor.collapse_shape {source.name} {groups} : {source.type} into {found.type}")
        if c.chance(50):
            b.values.append(found)
            back = Tensor(b.name(), source.shape, source.element)
            sizes_text = ", ".join(str(s.values[0]) for s in source.shape)
            b.line(
                f"{back.name} = tensor.expand_shape {found.name} {groups} output_shape [{sizes_text}] : "
                f"{found.type} into {back.type}"
            )
            found = back
    b.values.append(found)


OPERATIONS: tuple[tuple[int, Callable[[Builder], None]], ...] = (
    (24, elementwise), (22, contraction), (12, convolution), (6, pooling), (14, reduction), (4, argument_of),
    (5, softmax), (6, norm), (4, gather), (10, movement),
)  # fmt: skip
FOLLOWING: tuple[tuple[int, Callable[[Builder], None]], ...] = (
    (40, elementwise), (8, contraction), (4, convolution), (10, reduction), (3, softmax), (3, norm), (10, movement),
)  # fmt: skip
