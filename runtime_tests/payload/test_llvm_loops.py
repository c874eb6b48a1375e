"""Generated loop kernels against NumPy in float64: every shape of program, at odd sizes, with guard zones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("llvmlite.binding")
from kernels.rows.generator import can_generate, generate
from runtime_tests.payload.llvm_programs import (
    HOST,
    NUMPY,
    elementwise,
    execute,
    expression,
    linear,
    program,
    read,
    reduction,
    request,
    view,
)
from substitute.errors import PayloadError
from substitute.model.dispatch import Named, Nest, Program, Read, TensorType
from substitute.model.index import Index, apply, push
from substitute.model.scalar import ScalarGraph

pytestmark = pytest.mark.device
ADD = expression(("read", "f32", (), 0), ("read", "f32", (), 1), ("arith.addf", "f32", (0, 1)))
COPY = expression(("read", "f32", (), 0))
SQUARE = expression(("read", "f32", (), 0), ("arith.mulf", "f32", (0, 0)))
ODD = (1, 7, 17, 33, 1000, 5000)
PAIRS = ((1, 1), (1, 7), (7, 17), (33, 64), (200, 300))


def numbers(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def zeros(*shape: int, element: str = "f32") -> Any:
    return np.zeros(shape, NUMPY[element])


def of(shape: Sequence[Index], element: str = "f32") -> TensorType:
    return TensorType(shape=tuple(shape), element=element)


@pytest.mark.parametrize("n", ODD)
def test_elementwise_sum(n: int) -> None:
    a, b = numbers(n), numbers(n)[::-1].copy()
    reads = [read(view(0, (n,)), "0"), read(view(1, (n,)), "0")]
    prog = program(3, [], [elementwise((n,), reads, ADD, (view(2, (n,)), "0"))])
    np.testing.assert_array_equal(execute(prog, [a, b, zeros(n)])[2], a + b)


def test_a_changed_operation_changes_the_result() -> None:
    n = 33
    wrong = expression(("read", "f32", (), 0), ("read", "f32", (), 1), ("arith.subf", "f32", (0, 1)))
    reads = [read(view(0, (n,)), "0"), read(view(1, (n,)), "0")]
    prog = program(3, [], [elementwise((n,), reads, wrong, (view(2, (n,)), "0"))])
    assert not np.array_equal(execute(prog, [numbers(n), numbers(n), zeros(n)])[2], 2 * numbers(n))


def test_a_store_past_the_end_is_noticed() -> None:
    """The twin of every guard check: one element too many must not pass."""
    prog = program(2, [], [elementwise((18,), [read(view(0, (18,)), "0")], COPY, (view(1, (18,)), "0"))])
    with pytest.raises(AssertionError, match="operand 1: written outside"):
        execute(prog, [numbers(18), zeros(17)])


@pytest.mark.parametrize(("m", "n"), PAIRS)
def test_transposed_and_broadcast(m: int, n: int) -> None:
    a, b = numbers(n, m), numbers(n)
    reads = [read(view(0, (n, m)), "1", "0"), read(view(1, (n,)), "1")]
    prog = program(3, [], [elementwise((m, n), reads, ADD, (view(2, (m, n)), "0", "1"))])
    np.testing.assert_array_equal(execute(prog, [a, b, zeros(m, n)])[2], a.T + b)


def test_windows_of_larger_tensors() -> None:
    """A strided window is read, and a window inside a larger result is written; the rest of it stays."""
    a, c = numbers(10, 12), numbers(9, 20)
    source = view(0, (5, 4), strides=(24, 3), offset=1)
    target = view(1, (5, 4), strides=(20, 1), offset=42)
    prog = program(2, [], [elementwise((5, 4), [read(source, "0", "1")], COPY, (target, "0", "1"))])
    wanted = c.copy()
    wanted[2:7, 2:6] = a[::2, 1::3]
    np.testing.assert_array_equal(execute(prog, [a, c])[1], wanted)


def test_several_results_and_a_permuted_store() -> None:
    m, n = 9, 21
    both = expression(
        ("read", "f32", (), 0), ("arith.negf", "f32", (0,)), ("arith.mulf", "f32", (0, 0)), results=(1, 2)
    )
    nest = elementwise(
        (m, n), [read(view(0, (m, n)), "0", "1")], both, (view(1, (m, n)), "0", "1"), (view(2, (n, m)), "1", "0")
    )
    a = numbers(m, n)
    out = execute(program(3, [], [nest]), [a, zeros(m, n), zeros(n, m)])
    np.testing.assert_array_equal(out[1], -a)
    np.testing.assert_array_equal(out[2], (a * a).T)


def test_two_halves_of_one_result() -> None:
    """Concatenation: two stores to windows side by side."""
    a, b = numbers(6, 5), numbers(6, 8)
    left, right = view(2, (6, 5), strides=(13, 1)), view(2, (6, 8), strides=(13, 1), offset=5)
    prog = program(
        3,
        [],
        [
            elementwise((6, 5), [read(view(0, (6, 5)), "0", "1")], COPY, (left, "0", "1")),
            elementwise((6, 8), [read(view(1, (6, 8)), "0", "1")], COPY, (right, "0", "1")),
        ],
    )
    np.testing.assert_array_equal(execute(prog, [a, b, zeros(6, 13)])[2], np.concatenate([a, b], axis=1))
    again = replace(prog.stores[1], writes=(replace(prog.stores[1].writes[0], view=replace(right, offset=4)),))
    assert can_generate(replace(prog, stores=(prog.stores[0], again))) == "two results are stored to the same place"


def test_in_place() -> None:
    n = 100
    prog = program(
        2, [], [elementwise((n,), [read(view(0, (n,)), "0"), read(view(1, (n,)), "0")], ADD, (view(0, (n,)), "0"))]
    )
    a, b = numbers(n), numbers(n)
    np.testing.assert_array_equal(execute(prog, [a, b])[0], a + b)


def test_a_shift_in_place_is_refused() -> None:
    v = view(0, (100,))
    shifted = read(view(0, (99,)), "0")
    prog = program(1, [], [elementwise((99,), [shifted], COPY, (replace(v, offset=1), "0"))])
    assert can_generate(prog) == "a result overwrites what is read elsewhere"
    with pytest.raises(PayloadError, match="no loop code for this dispatch: a result overwrites"):
        generate(request(prog))


@pytest.mark.parametrize("rows", [1, 9])
def test_gather(rows: int) -> None:
    """Embedding: rows of a table by number, and a mask of i1 with the loop's own index in the computation."""
    table, ids = numbers(50, 19), np.random.default_rng(1).integers(0, 50, rows)
    look = expression(
        ("read", "i64", (), 0),
        ("arith.index_cast", "index", (0,)),
        ("index", "index", (), 1),
        ("gather", "f32", (1, 2), 1),
        ("arith.index_cast", "i32", (2,)),
        ("arith.sitofp", "f32", (4,)),
        ("arith.addf", "f32", (3, 5)),
        ("arith.cmpf", "i1", (3, 5), "olt"),
        results=(6, 7),
    )
    nest = elementwise(
        (rows, 19),
        [read(view(0, (rows,), "i64"), "0"), Read(source=view(1, (50, 19)), access=(), type=of((50, 19)))],
        look,
        (view(2, (rows, 19)), "0", "1"),
        (view(3, (rows, 19), "i1"), "0", "1"),
    )
    out = execute(program(4, [], [nest]), [ids, table, zeros(rows, 19), zeros(rows, 19, element="i1")])
    np.testing.assert_array_equal(out[2], table[ids] + np.arange(19, dtype=np.float32))
    np.testing.assert_array_equal(out[3], (table[ids] < np.arange(19)).astype(np.int8))


@pytest.mark.parametrize("rows", [0, 1, 6, 400])
@pytest.mark.parametrize("columns", [1, 37])
def test_dynamic_sizes(rows: int, columns: int) -> None:
    """Sizes, a stride and an offset that are only known at launch."""
    m = apply("u64", push(0), push(1))
    n = push(2)
    reads = [read(view(0, (m, n), offset=push(3)), "0", "1"), read(view(1, (n,)), "1")]
    prog = program(3, [], [elementwise((m, n), reads, ADD, (view(2, (m, n)), "0", "1"))])
    a, b = numbers(5 + rows * columns), numbers(columns)
    out = execute(prog, [a, b, zeros(max(rows, 1), columns)], scalars=(m, n), push=(rows, 0, columns, 5))  # type: ignore[arg-type]
    if rows:
        np.testing.assert_array_equal(out[2], a[5:].reshape(rows, columns) + b)
    else:
        assert not out[2].any()


def sum_of(
    shape: tuple[int, ...],
    kinds: str,
    combiner: str = "arith.addf",
    init: float | int = 0.0,
    element: str = "f32",
    expr: ScalarGraph = COPY,
) -> Program:
    """A reduction of a whole row-major tensor, stored as it is."""
    kept = [k for k, kind in enumerate(kinds) if kind == "p"]
    type_ = of([shape[k] for k in kept], element)
    core = reduction(
        shape,
        kinds,
        [read(view(0, shape, element), *map(str, range(len(shape))))],
        expr,
        combiner,
        init,
        [str(k) for k in kept],
        0,
        type_,
    )
    store = elementwise(
        type_.shape,
        [read(0, *map(str, range(len(kept))), type=type_)],
        expression(("read", element, (), 0)),
        (view(1, type_.shape, element), *map(str, range(len(kept)))),
    )
    return program(2, [core], [store])


@pytest.mark.parametrize("shape", [*PAIRS, (8, 1000), (3, 5000)])
@pytest.mark.parametrize("kinds", ["pr", "rp", "rr"])
def test_sum(shape: tuple[int, int], kinds: str) -> None:
    a = numbers(*shape)
    axis = tuple(k for k, kind in enumerate(kinds) if kind == "r")
    wanted = a.astype(np.float64).sum(axis=axis)
    found = execute(sum_of(shape, kinds), [a, np.zeros(wanted.shape, np.float32)])[1]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kinds", ["prpr", "rprp", "rppr", "prrp"])
def test_loops_anywhere(kinds: str) -> None:
    shape = (3, 5, 4, 9)
    a = numbers(*shape)
    axis = tuple(k for k, kind in enumerate(kinds) if kind == "r")
    wanted = (a.astype(np.float64) ** 2).sum(axis=axis)
    found = execute(sum_of(shape, kinds, expr=SQUARE), [a, np.zeros(wanted.shape, np.float32)])[1]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


COMBINERS: tuple[tuple[str, str, float | int, Any], ...] = (
    ("arith.mulf", "f32", 1.0, np.multiply),
    ("arith.maximumf", "f32", -math.inf, np.maximum),
    ("arith.minimumf", "f32", math.inf, np.minimum),
    ("arith.maxnumf", "f32", -math.inf, np.fmax),
    ("arith.minnumf", "f32", math.inf, np.fmin),
    ("arith.addi", "i32", 3, np.add),
    ("arith.muli", "i64", 1, np.multiply),
    ("arith.andi", "i8", -1, np.bitwise_and),
    ("arith.ori", "i1", 0, np.bitwise_or),
    ("arith.xori", "i16", 0, np.bitwise_xor),
    ("arith.maxsi", "i32", -(2**31), np.maximum),
    ("arith.minsi", "i8", 127, np.minimum),
    ("arith.addf", "f64", 0.0, np.add),
    ("arith.addf", "f16", 0.0, np.add),
    ("arith.maxui", "i16", 0, None),
    ("arith.minui", "i16", -1, None),
)


@pytest.mark.parametrize(("combiner", "element", "init", "reference"), COMBINERS)
@pytest.mark.parametrize("kinds", ["pr", "rp"])
def test_combiners(combiner: str, element: str, init: float | int, reference: Any, kinds: str) -> None:
    random = np.random.default_rng(5)
    shape = (5, 45) if kinds == "pr" else (45, 19)
    type_ = NUMPY[element]
    low, high = (0, 2) if element == "i1" else (-100, 100)
    a = (random.uniform(0.8, 1.25, shape) if element.startswith("f") else random.integers(low, high, shape)).astype(
        type_
    )
    prog = sum_of(shape, kinds, combiner, init, element, expression(("read", element, (), 0)))
    axis = kinds.index("r")
    wide = a.astype(np.float64) if element.startswith("f") else a
    if reference is None:
        unsigned = a.view(np.uint16)
        wanted = (unsigned.max if combiner.endswith("maxui") else unsigned.min)(axis=axis).view(np.int16)
    else:
        wanted = reference.reduce(wide, axis=axis, dtype=wide.dtype)
    if combiner == "arith.addi":
        wanted = wanted + init
    found = execute(prog, [a, np.zeros(wanted.shape, type_)])[1]
    if element.startswith("f"):
        np.testing.assert_allclose(found, wanted, rtol=1e-3 if element == "f16" else 1e-5)
    else:
        np.testing.assert_array_equal(found, wanted.astype(type_))


@pytest.mark.parametrize("kinds", ["pr", "rp"])
def test_nan_in_reductions(kinds: str) -> None:
    """`maximumf` hands NaN on, `maxnumf` passes over it, wherever in the row it is."""
    shape = (70, 70)
    a = numbers(*shape)
    index = np.arange(70)
    a[index, index] = np.nan
    a[3] = np.nan if kinds == "pr" else a[3]
    axis = kinds.index("r")
    found = execute(sum_of(shape, kinds, "arith.maximumf", -math.inf), [a, zeros(70)])[1]
    assert np.isnan(found).all()
    found = execute(sum_of(shape, kinds, "arith.maxnumf", -math.inf), [a, zeros(70)])[1]
    with np.errstate(invalid="ignore"):
        wanted = np.fmax.reduce(a, axis=axis, initial=-math.inf)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_pooling(channels_last: bool, stride: int) -> None:
    n, h, w, c, k = 2, 11, 13, 10, 3
    oh, ow = (h - k) // stride + 1, (w - k) // stride + 1
    a = numbers(n, h, w, c) if channels_last else numbers(n, c, h, w)
    row, column = f"{stride}*2+4", f"{stride}*3+5"
    access = ("0", row, column, "1") if channels_last else ("0", "1", row, column)
    type_ = of((n, c, oh, ow))
    core = reduction(
        (n, c, oh, ow, k, k),
        "pppprr",
        [read(view(0, a.shape), *access)],
        COPY,
        "arith.maximumf",
        -math.inf,
        ["0", "1", "2", "3"],
        0,
        type_,
    )
    half = expression(("read", "f32", (), 0), ("constant", "f32", (), 0.5), ("arith.mulf", "f32", (0, 1)))
    target = (
        (view(1, (n, oh, ow, c)), "0", "2", "3", "1")
        if channels_last
        else (view(1, (n, c, oh, ow)), "0", "1", "2", "3")
    )
    prog = program(2, [core], [elementwise((n, c, oh, ow), [read(0, "0", "1", "2", "3", type=type_)], half, target)])
    planes = a.transpose(0, 3, 1, 2) if channels_last else a
    wanted = (
        np.stack(
            [
                planes[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
                for i in range(k)
                for j in range(k)
            ]
        ).max(axis=0)
        * 0.5
    )
    wanted = wanted.transpose(0, 2, 3, 1) if channels_last else wanted
    found = execute(prog, [a, np.zeros(wanted.shape, np.float32)])[1]
    np.testing.assert_array_equal(found, wanted.astype(np.float32))


def layer_norm(m: Index, n: Index, *, in_place: bool = False, transposed: bool = False) -> Program:
    """Mean, then variance around it, then normalisation with scale and shift."""
    shape, strides = (m, n), ((1, m) if transposed else None)
    x = read(view(0, shape, strides=strides), "0", "1")
    row = of((m,))
    size = ("size", "index", (), n)
    mean = reduction(shape, "pr", [x], COPY, "arith.addf", 0.0, ["0"], 0, row)
    centred = (
        ("read", "f32", (), 0),
        ("read", "f32", (), 1),
        size,
        ("arith.index_cast", "i64", (2,)),
        ("arith.sitofp", "f32", (3,)),
        ("arith.divf", "f32", (1, 4)),
        ("arith.subf", "f32", (0, 5)),
    )
    variance = reduction(
        shape,
        "pr",
        [x, read(0, "0", type=row)],
        expression(*centred, ("arith.mulf", "f32", (6, 6))),
        "arith.addf",
        0.0,
        ["0"],
        1,
        row,
    )
    final = expression(
        *centred,
        ("read", "f32", (), 2),
        ("arith.divf", "f32", (7, 4)),
        ("constant", "f32", (), 1e-5),
        ("arith.addf", "f32", (8, 9)),
        ("math.rsqrt", "f32", (10,)),
        ("arith.mulf", "f32", (6, 11)),
        ("read", "f32", (), 3),
        ("arith.mulf", "f32", (12, 13)),
        ("read", "f32", (), 4),
        ("arith.addf", "f32", (14, 15)),
    )
    reads = [x, read(0, "0", type=row), read(1, "0", type=row), read(view(1, (n,)), "1"), read(view(2, (n,)), "1")]
    target = view(0 if in_place else 3, shape, strides=strides)
    store = elementwise(shape, reads, final, (target, "0", "1"))
    return program(3 if in_place else 4, [mean, variance], [store])


def layer_norm_reference(a: Any, g: Any, b: Any) -> Any:
    wide = a.astype(np.float64)
    centred = wide - wide.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * g + b


@pytest.mark.parametrize(("m", "n"), [(1, 7), (5, 17), (33, 64), (4, 1000)])
@pytest.mark.parametrize("form", ["plain", "in_place", "transposed"])
def test_layer_norm(m: int, n: int, form: str) -> None:
    a, g, b = numbers(m, n), numbers(n), numbers(n)[::-1].copy()
    prog = layer_norm(m, n, in_place=form == "in_place", transposed=form == "transposed")
    memory = a.T.copy() if form == "transposed" else a
    out = execute(prog, [memory, g, b] if form == "in_place" else [memory, g, b, np.zeros_like(memory)])
    found = out[0] if form == "in_place" else out[3]
    found = found.T if form == "transposed" else found
    np.testing.assert_allclose(found, layer_norm_reference(a, g, b), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("m", "n"), [(1, 7), (5, 33), (40, 1000)])
def test_dynamic_layer_norm(m: int, n: int) -> None:
    a, g, b = numbers(m, n), numbers(n), numbers(n)
    prog = layer_norm(push(0), push(1))
    out = execute(prog, [a, g, b, np.zeros_like(a)], scalars=(push(0), push(1)), push=(m, n))  # type: ignore[arg-type]
    np.testing.assert_allclose(out[3], layer_norm_reference(a, g, b), rtol=1e-4, atol=1e-5)


def test_an_in_place_norm_over_shifted_rows_is_refused() -> None:
    prog = layer_norm(5, 17, in_place=True)
    shifted = replace(prog.stores[0].writes[0], view=view(0, (4, 17), offset=17))
    prog = replace(prog, stores=(replace(prog.stores[0], writes=(shifted,)),))
    assert can_generate(prog) == "a result overwrites what is read elsewhere"


def test_a_second_reduction_over_the_first_ones_result() -> None:
    """s[p, q] = Σ_r x[p, q, r]; t[p] = max_q s[p, q]; y[p, q] = s[p, q] - t[p]."""
    p, q, r = 6, 12, 35
    a = numbers(p, q, r)
    inner, outer = of((p, q)), of((p,))
    first = reduction(
        (p, q, r), "ppr", [read(view(0, (p, q, r)), "0", "1", "2")], COPY, "arith.addf", 0.0, ["0", "1"], 0, inner
    )
    second = reduction(
        (p, q), "pr", [read(0, "0", "1", type=inner)], COPY, "arith.maximumf", -math.inf, ["0"], 1, outer
    )
    difference = expression(("read", "f32", (), 0), ("read", "f32", (), 1), ("arith.subf", "f32", (0, 1)))
    store = elementwise(
        (p, q), [read(0, "0", "1", type=inner), read(1, "0", type=outer)], difference, (view(1, (q, p)), "1", "0")
    )
    s = a.astype(np.float64).sum(axis=2)
    found = execute(program(2, [first, second], [store]), [a, zeros(q, p)])[1]
    np.testing.assert_allclose(found, (s - s.max(axis=1, keepdims=True)).T, atol=1e-4)


def softmax(shape: tuple[int, ...], dimension: int, element: str = "f32", *, mask: bool = False) -> Program:
    """Softmax, times two plus one as an epilogue where there is a mask."""
    type_ = of(shape, element)
    loops = tuple(str(k) for k in range(sum(n != 1 for n in shape)))
    left = iter(loops)
    coordinates: tuple[str | int, ...] = tuple(next(left) if n != 1 else 0 for n in shape)
    named = Named(
        op="linalg.softmax",
        # as bodies are read: unit dimensions are no loops
        reads=(Read(source=view(0, shape, element), access=tuple(map(linear, coordinates)), type=type_),),
        attributes=(("dimension", f"{dimension} : i64"),),
        temporaries=(0,),
        types=(type_,),
    )
    nodes: list[tuple[Any, ...]] = [("read", element, (), 0)]
    reads = [read(0, *coordinates, type=type_)]
    if mask:
        nodes += [("read", element, (), 1), ("arith.mulf", element, (0, 1))]
        reads.append(read(view(2, shape, element), *coordinates))
    sizes = tuple(n for n in shape if n != 1)
    store = elementwise(sizes, reads, expression(*nodes), (view(1, shape, element), *coordinates))
    return program(3 if mask else 2, [named], [store])


def softmax_reference(a: Any, axis: int) -> Any:
    wide = a.astype(np.float64)
    e = np.exp(wide - wide.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize("shape", [(2, 7), (5, 17), (33, 64), (3, 1000), (2, 5003), (2, 1, 3, 20), (1, 3, 1, 7), (9,)])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mask", [True, False])
def test_softmax(shape: tuple[int, ...], last: bool, mask: bool) -> None:
    a = numbers(*shape) * 5
    axis = len(shape) - 1 if last else 0
    out = execute(softmax(shape, axis, mask=mask), [a, np.zeros_like(a)] + ([a] if mask else []))[1]
    np.testing.assert_allclose(out, softmax_reference(a, axis) * (a if mask else 1.0), rtol=5e-6)


def masked_softmax(shape: tuple[int, int, int], dimension: int, work: Sequence[tuple[Any, ...]]) -> Program:
    """Softmax of `work` over x[i, j, k], a mask[k], and a scale of rank 0."""
    plain = softmax(shape, dimension)
    (core,) = plain.cores
    assert isinstance(core, Named)
    whole = ("0", "1", "2")
    producer = Nest(
        sizes=shape,
        kinds=("parallel",) * 3,
        reads=(read(view(0, shape), *whole), read(view(2, shape[2:]), "2"), read(view(3, ()))),
        expr=expression(*work),
        target=tuple(map(linear, whole)),
        temporary=7,
        type=of(shape),
    )
    core = replace(core, reads=(Read(source=7, access=tuple(map(linear, whole)), type=of(shape)),))
    return program(4, [producer, core], plain.stores)


MASKED = (
    ("read", "f32", (), 0),
    ("read", "f32", (), 2),
    ("arith.mulf", "f32", (0, 1)),
    ("read", "f32", (), 1),
    ("index", "index", (), 2),
    ("index", "index", (), 1),
    ("arith.cmpi", "i1", (4, 5), "sle"),
    ("arith.addf", "f32", (2, 3)),
    ("arith.select", "f32", (6, 7, 3)),
)
HEAVY = (*MASKED[:4], ("math.tanh", "f32", (2,)), ("arith.mulf", "f32", (4, 3)))


@pytest.mark.parametrize("shape", [(2, 5, 17), (3, 33, 64), (2, 3, 3000)])
@pytest.mark.parametrize("dimension", [2, 0])
@pytest.mark.parametrize("work", [MASKED, HEAVY], ids=["mask", "tanh"])
def test_softmax_of_work_in_front_of_it(shape: tuple[int, int, int], dimension: int, work: Any) -> None:
    x, mask, scale = numbers(*shape) * 3, numbers(shape[2]), np.float32(0.75)
    out = execute(masked_softmax(shape, dimension, work), [x, np.zeros_like(x), mask, np.array(scale)])[1]
    if work is HEAVY:
        scores = np.tanh(x * scale) * mask
    else:
        row, column = np.indices(shape)[1:]
        scores = np.where(column <= row, x * scale + mask, mask)
    np.testing.assert_allclose(out, softmax_reference(scores, dimension), rtol=5e-6)


def test_work_in_front_of_a_softmax_is_done_once_if_it_is_heavy() -> None:
    text = generate(request(masked_softmax((2, 5, 64), 2, HEAVY))).text
    again = generate(request(masked_softmax((2, 5, 3000), 2, HEAVY))).text  # (no room for a row and its exponentials)
    assert text.count("alloca") > generate(request(masked_softmax((2, 5, 64), 2, MASKED))).text.count("alloca")
    assert again.count("alloca") < text.count("alloca")


def test_softmax_of_far_apart_numbers() -> None:
    a = np.array([[0, -200, 300, -np.inf], [-np.inf, -np.inf, 2, 2], [1e30, 0, 0, 0]] * 11, np.float32)
    found = execute(softmax((33, 4), 1), [a, np.zeros_like(a)])[1]
    np.testing.assert_allclose(found, softmax_reference(a, 1), rtol=1e-6, atol=1e-37)
    assert found[0, 3] == 0


@pytest.mark.parametrize("element", ["f16", "bf16", "f64"])
def test_softmax_of_other_types(element: str) -> None:
    a = numbers(5, 45).astype(NUMPY[element])
    found = execute(softmax((5, 45), 1, element), [a, np.zeros_like(a)])[1]
    limit = {"f16": 1e-3, "bf16": 1e-2, "f64": 1e-14}[element]
    np.testing.assert_allclose(found.astype(np.float64), softmax_reference(a, 1), rtol=limit, atol=1e-7)


def test_bf16_results_are_rounded_to_nearest_even() -> None:
    n = 4096
    a = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    narrow = expression(("read", "f32", (), 0), ("arith.truncf", "bf16", (0,)))
    prog = program(2, [], [elementwise((n,), [read(view(0, (n,)), "0")], narrow, (view(1, (n,), "bf16"), "0"))])
    found = execute(prog, [a, zeros(n, element="bf16")])[1]
    np.testing.assert_array_equal(found.view(np.int16), a.astype(ml_dtypes.bfloat16).view(np.int16))


@pytest.mark.parametrize("optimised", [True, False])
def test_what_is_generated_is_right_before_optimisation(optimised: bool) -> None:
    a = numbers(33, 17)
    out = execute(softmax((33, 17), 1), [a, np.zeros_like(a)], optimised=optimised)[1]
    np.testing.assert_allclose(out, softmax_reference(a, 1), rtol=5e-6)


def test_big_work_is_split_and_small_work_is_not() -> None:
    count = generate(request(softmax((4096, 1000), 1))).workgroup_count[0]
    assert isinstance(count, int) and 32 <= count <= 256
    assert generate(request(softmax((4, 10), 1))).workgroup_count == (1, 1, 1)


def test_dynamic_work_is_split_by_an_expression() -> None:
    count = generate(request(layer_norm(push(0), push(1)), (push(0), push(1)))).workgroup_count[0]
    assert str(count).startswith("max(1, min(256, ceildiv(")


REFUSED: tuple[tuple[str, Program, str], ...] = (
    (
        "named",
        program(
            1,
            [Named(op="iree_linalg_ext.sort", reads=(), attributes=(), temporaries=(0,), types=(of((4,)),))],
            [elementwise((4,), [], expression(("constant", "f32", (), 1.0)), (view(0, (4,)), "0"))],
        ),
        "iree_linalg_ext.sort is no loop nest",
    ),
    ("combiner", sum_of((4, 4), "pr", "arith.subf"), "reductions with arith.subf are not handled"),
    (
        "operation",
        program(
            2,
            [],
            [
                elementwise(
                    (4,),
                    [read(view(0, (4,)), "0")],
                    expression(("read", "f32", (), 0), ("math.gamma", "f32", (0,))),
                    (view(1, (4,)), "0"),
                )
            ],
        ),
        "math.gamma has no LLVM code",
    ),
)


@pytest.mark.parametrize(("name", "prog", "reason"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refusals(name: str, prog: Program, reason: str) -> None:
    assert can_generate(prog) == reason


def test_a_reduction_that_starts_from_a_tensor_is_refused() -> None:
    prog = sum_of((4, 4), "pr")
    core = prog.cores[0]
    assert isinstance(core, Nest)
    assert can_generate(prog) == ""
    assert can_generate(replace(prog, cores=(replace(core, init=None),))) == "a reduction starts from a tensor"


def test_plain_x86_without_fma_and_wide_vectors() -> None:
    config = tuple((k, {"cpu": "x86-64", "cpu_features": ""}.get(k, v)) for k, v in HOST.config)
    a = numbers(9, 45)
    out = execute(softmax((9, 45), 1), [a, np.zeros_like(a)], target=replace(HOST, config=config))[1]
    np.testing.assert_allclose(out, softmax_reference(a, 1), rtol=5e-6)
