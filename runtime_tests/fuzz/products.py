"""Contractions and convolutions: sums of products."""

from __future__ import annotations

from runtime_tests.fuzz.function import FLOATS, INTEGERS, SETS, Builder, Size, Tensor
from runtime_tests.fuzz.nests import ACCUMULATORS, Read, dims, extents, initial, nest, suffix, zero
from runtime_tests.fuzz.scalars import Body
from runtime_tests.fuzz.windows import along, draw_window, maybe_padded, reach, window_extents


def contraction(b: Builder) -> None:
    """A product summed over some loops: any mixture of batch, row, column and sum loops."""
    c = b.choices
    b.kinds.append("contraction")
    counts = c.weighted(
        (
            (10, (0, 1, 1, 1)),
            (5, (1, 1, 1, 1)),
            (3, (0, 1, 0, 1)),
            (2, (0, 0, 1, 1)),
            (1, (0, 0, 0, 1)),
            (2, (2, 1, 1, 1)),
            (2, (0, 2, 1, 1)),
            (2, (0, 1, 2, 1)),
            (2, (0, 1, 1, 2)),
            (1, (1, 2, 1, 1)),
            (1, (1, 0, 1, 1)),
            (1, (1, 1, 0, 1)),
            (1, (0, 2, 2, 1)),
            (1, (1, 1, 1, 2)),
            (1, (0, 1, 1, 0)),
        )
    )
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
    target = initial(b, [loops[i] for i in out], total, [known[i] for i in out], zero(total))
    body = Body(c, b.name("x")[1:])
    inside = [f"%in{i}" for i in range(len(reads))]
    factors = []
    for number in (0, 1):
        value = body.converted((inside[number], reads[number].tensor.element), total)
        if points:
            point = body.converted((inside[number + 2], reads[number + 2].tensor.element), total)
            value = body.emit(f"arith.sub{suffix(total)} {value[0]}, {point[0]} : {total}", total)
        if c.chance(4):
            value = body.unary(value)
        factors.append(value)
    product = body.emit(f"arith.mul{suffix(total)} {factors[0][0]}, {factors[1][0]} : {total}", total)
    terms = ("%acc", product[0]) if not c.chance(30) else (product[0], "%acc")
    found = body.emit(f"arith.add{suffix(total)} {terms[0]}, {terms[1]} : {total}", total)
    kinds = ["reduction" if r == "k" else "parallel" for r in roles]
    nest(b, loops, kinds, reads, [Read(target, dims(out))], body, [found], [*inside, "%acc"])


def convolution(b: Builder) -> None:
    """1-D and 2-D (now and then 3-D), in either layout, strided, dilated, grouped or depthwise."""
    c = b.choices
    b.kinds.append("convolution")
    rank = c.pick((2, 2, 1, 2, 1, 3))
    outputs, taps, strides, dilations = draw_window(b, rank)
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
        (along(o, t, s, d), reach(sizes[o], sizes[t], s, d))
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
    source = maybe_padded(b, [s for _, s in image], element, axes)
    reads = [
        Read(source, tuple(a for a, _ in image)),
        Read(b.operand([sizes[i] for i in kernel], element), dims(kernel)),
    ]
    known = window_extents(b, sizes, reads, outs, windows, strides, dilations, source, axes)
    target = initial(b, [sizes[i] for i in out], total, [known[i] for i in out], zero(total))
    body = Body(c, b.name("x")[1:])
    x, y = (body.converted((f"%in{i}", element), total) for i in (0, 1))
    product = body.emit(f"arith.mul{suffix(total)} {x[0]}, {y[0]} : {total}", total)
    found = body.emit(f"arith.add{suffix(total)} %acc, {product[0]} : {total}", total)
    kinds = ["reduction" if r in "ct" else "parallel" for r in roles]
    nest(b, sizes, kinds, reads, [Read(target, dims(out))], body, [found], ["%in0", "%in1", "%acc"])
