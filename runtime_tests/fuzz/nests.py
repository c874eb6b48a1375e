"""Nests of loops: how operands are read, what reductions start from and combine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runtime_tests.fuzz.function import FLOATS, SETS, WIDTHS, Builder, Size, Tensor
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
    kind = c.weighted(
        (
            (30, "same"),
            (10, "permuted"),
            (18, "broadcast"),
            (10, "scalar"),
            (5, "constant"),
            (5, "strided"),
            (2, "window"),
            (1, "reversed"),
        )
    )
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


ACCUMULATORS = {
    "f32": ("f32", "f32", "f32", "f64"),
    "f16": ("f32", "f16"),
    "bf16": ("f32", "bf16"),
    "f64": ("f64",),
    "i8": ("i32", "i32", "i32", "i64", "i8"),
    "i16": ("i32", "i64", "i16"),
    "i32": ("i32", "i64"),
    "i64": ("i64",),
    "i1": ("i32",),
}


def initial(b: Builder, shape: Sequence[Size], element: str, known: Sequence[str | None], neutral: str) -> Tensor:
    """Draw the initial value of a reduction: its neutral element, some constant, or another tensor."""
    c = b.choices
    kind = c.weighted(((12, "neutral"), (1, "constant"), (2, "tensor")))
    if kind == "tensor":
        return b.operand(shape, element)
    empty = b.empty(shape, element, known)
    if kind == "constant":
        return b.filled(empty, b.scalar(element) if element != "i1" else b.scalar_constant("true", "i1"))
    return b.filled(empty, b.scalar_constant(neutral, element))


def zero(element: str) -> str:
    return "0.0" if element in FLOATS else "false" if element == "i1" else "0"


def suffix(element: str) -> str:
    return "f" if element in FLOATS else "i"


COMBINERS = {
    "max": ("arith.maximumf", "arith.maxsi", "0xFF80", ""),
    "min": ("arith.minimumf", "arith.minsi", "", ""),
    "sum": ("arith.addf", "arith.addi", "", ""),
    "prod": ("arith.mulf", "arith.muli", "", ""),
    "maxnum": ("arith.maxnumf", "arith.maxui", "", ""),
    "minnum": ("arith.minnumf", "arith.minui", "", ""),
}
INFINITY = {
    "f32": ("0xFF800000", "0x7F800000"),
    "f16": ("0xFC00", "0x7C00"),
    "bf16": ("0xFF80", "0x7F80"),
    "f64": ("0xFFF0000000000000", "0x7FF0000000000000"),
}


def neutral(kind: str, element: str) -> str:
    """The number that changes nothing; for `maxnum` on floats the infinity as well, or NaN."""
    if kind in ("sum", "or", "xor"):
        return zero(element)
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


def combined(body: Body, kind: str, a: Scalar, b: Scalar) -> Scalar:
    element = a[1]
    if kind in ("and", "or", "xor"):
        return body.emit(f"arith.{kind}i {a[0]}, {b[0]} : {element}", element)
    op = COMBINERS[kind][0 if element in FLOATS else 1]
    return body.emit(f"{op} {a[0]}, {b[0]} : {element}", element)
