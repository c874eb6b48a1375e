"""Operations that move elements: gathers, slices, pads, concatenations, transpositions, reshapes."""

from __future__ import annotations

from runtime_tests.fuzz.function import SETS, Builder, Size, Tensor
from runtime_tests.fuzz.nests import Read, dims, extents, nest
from runtime_tests.fuzz.scalars import Body
from runtime_tests.fuzz.windows import padded


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
