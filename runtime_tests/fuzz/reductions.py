"""Pooling, reductions, positions of extremes, softmax and norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runtime_tests.fuzz.function import FLOATS, INTEGERS, SETS, Builder, Size, Tensor
from runtime_tests.fuzz.nests import Read, any_read, combined, dims, extents, initial, nest, neutral
from runtime_tests.fuzz.scalars import Body, Scalar
from runtime_tests.fuzz.windows import along, draw_window, maybe_padded, reach, window_extents


def pooling(b: Builder) -> None:
    """Maximum, minimum or sum over a moving window."""
    c = b.choices
    b.kinds.append("pooling")
    rank = c.pick((2, 1, 2))
    outputs, taps, strides, dilations = draw_window(b, rank)
    last = c.chance(50)
    batch, channel = b.size(most=3), b.size(most=17)
    loops = [batch, *outputs, channel, *taps] if last else [batch, channel, *outputs, *taps]
    outs = list(range(1, 1 + rank)) if last else list(range(2, 2 + rank))
    windows = list(range(2 + rank, 2 + 2 * rank))
    access = [f"d{i}" for i in range(2 + rank)]
    shape = list(loops[: 2 + rank])
    for o, t, s, d in zip(outs, windows, strides, dilations, strict=True):
        access[o], shape[o] = along(o, t, s, d), reach(loops[o], loops[t], s, d)
    element = "f32" if b.main == "i1" else b.main
    kind = c.pick(("max", "sum", "min", "maxnum", "minnum", "prod"))
    source = maybe_padded(b, shape, element, outs, "-1" if kind != "sum" else "0")
    reads = [Read(source, tuple(access)), Read(b.empty(taps, element, [None] * rank), dims(windows))]
    known = window_extents(b, loops, reads[:1], outs, windows, strides, dilations, source, outs)
    kept = list(range(2 + rank))
    start = neutral(kind, element)
    target = initial(b, [loops[i] for i in kept], element, [known[i] for i in kept], start)
    body = Body(c, b.name("x")[1:])
    found = combined(body, kind, *((("%acc", element), ("%in0", element))[:: -1 if c.chance(30) else 1]))
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
        yielded.append(combined(body, kind, *(pair if not c.chance(30) else pair[::-1])))
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
    best = combined(body, kind, ("%in0", element), ("%acc0", element))
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
        found = combined(body, kind, value, ("%acc", wide))
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
