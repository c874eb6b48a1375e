"""The built-in Vulkan generators against NumPy, on the software Vulkan device."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from kernels.vulkan import elementwise, rows
from runtime_tests.payload.vulkan_run import (
    bias_relu,
    floats,
    loop,
    operand,
    pointwise,
    product_nest,
    read,
    run_program,
    type_of,
    view,
    write_shader,
)
from substitute.codegen.glsl.features import Features
from substitute.codegen.glsl.generator import refuse_program
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Linear, Named, Nest, Operand, Program, Read, TensorType, View, Write
from substitute.model.index import Expr, Index, mul, push
from substitute.model.scalar import GraphBuilder


def plain_store(sizes: tuple[Index, ...], result: View, access: tuple[Linear, ...]) -> Nest:
    graph = GraphBuilder()
    root = graph.add("read", "f32", (), 0)
    source = read(0, *(loop(i) for i in range(len(sizes))), type_=type_of(sizes))
    return pointwise(sizes, (source,), graph, (root,), (Write(view=result, access=access),))


@pytest.mark.parametrize(("m", "n", "k"), [(5, 70, 33), (64, 32, 16), (33, 8, 1)])
def test_matmul_with_fused_work(m: int, n: int, k: int) -> None:
    a, b, bias = floats(m, k), floats(n, k), floats(n)  # b is transposed
    operands = (operand(0, (m, k)), operand(1, (n, k)), operand(2, (n,)), operand(3, (m, n), written=True))
    core = product_nest(
        (m, n, k),
        "ppr",
        read(view(0, (m, k)), loop(0), loop(2)),
        read(view(1, (n, k)), loop(1), loop(2)),
        (0, 1),
        negate=True,
    )
    store = bias_relu((m, n), view(3, (m, n)), read(view(2, (n,)), loop(1)), (loop(0), loop(1)))
    program = Program(operands=operands, cores=(core,), stores=(store,))
    assert "shared-memory tiles" in write_shader("contraction", program, bindings=4).summary
    found = run_program("contraction", program, [a, b, bias], [((m, n), "f32")])[0]
    wanted = np.maximum(-a.astype(np.float64) @ b.T.astype(np.float64) + bias, 0)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_batched_matmul_into_a_transposed_window() -> None:
    batch, m, n, k = 3, 9, 10, 20
    a, b = floats(batch, m, k), floats(batch, k, n)
    # the result is [m, batch, n] inside of a [m, batch, n + 2] tensor, from column 2 on
    whole = operand(2, (m, batch, n + 2), written=True)
    window = View(operand=2, type=type_of((batch, m, n)), offset=2, strides=(n + 2, batch * (n + 2), 1))
    core = product_nest(
        (batch, m, n, k),
        "pppr",
        read(view(0, (batch, m, k)), loop(0), loop(1), loop(3)),
        read(view(1, (batch, k, n)), loop(0), loop(3), loop(2)),
        (0, 1, 2),
    )
    store = plain_store((batch, m, n), window, (loop(0), loop(1), loop(2)))
    operands = (operand(0, (batch, m, k)), operand(1, (batch, k, n)), whole)
    program = Program(operands=operands, cores=(core,), stores=(store,))
    found = run_program("contraction", program, [a, b], [((m, batch, n + 2), "f32")])[0]
    np.testing.assert_allclose(found[:, :, 2:], (a @ b).transpose(1, 0, 2), rtol=1e-4, atol=1e-5)


def test_dynamic_sizes_and_offsets_come_from_push_constants() -> None:
    m, n, k, skipped = 13, 21, 40, 16
    a, b = floats(skipped // 4 + m * k), floats(k, n)
    M, K = push(0), Expr("u64", (push(1), push(2)))
    first = View(operand=0, type=type_of((M, K)), offset=0, strides=(K, 1))
    result = View(operand=2, type=type_of((M, n)), offset=0, strides=(n, 1))
    operands = (
        operand(0, (M, K), byte_offset=push(3)),
        operand(1, (K, n)),
        operand(2, (M, n), written=True),
    )
    second = View(operand=1, type=type_of((K, n)), offset=0, strides=(n, 1))
    core = product_nest((M, n, K), "ppr", read(first, loop(0), loop(2)), read(second, loop(2), loop(1)), (0, 1))
    store = plain_store((M, n), result, (loop(0), loop(1)))
    program = Program(operands=operands, cores=(core,), stores=(store,))
    found = run_program("contraction", program, [a, b], [((m, n), "f32")], constants=[m, k, 0, skipped])[0]
    np.testing.assert_allclose(found, a[skipped // 4 :].reshape(m, k) @ b, rtol=1e-4, atol=1e-5)


def convolution(image: np.ndarray, weights: np.ndarray, stride: int) -> np.ndarray:
    """[C, H, W] and [O, C, KH, KW] to [O, OH, OW]."""
    windows = np.lib.stride_tricks.sliding_window_view(image, weights.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows.astype(np.float64), weights.astype(np.float64))


@pytest.mark.parametrize("kind", ["convolution", "contraction"])
def test_convolution_with_stride(kind: str) -> None:
    channels, out, size, taps, stride = 3, 6, 15, 3, 2
    side = (size - taps) // stride + 1
    image, weights, bias = floats(channels, size, size), floats(out, channels, taps, taps), floats(out)
    shape = (out, side, side)
    operands = (
        operand(0, (channels, size, size)),
        operand(1, (out, channels, taps, taps)),
        operand(2, (out,)),
        operand(3, shape, written=True),
    )
    across = Linear(terms=((1, stride), (4, 1)))
    along = Linear(terms=((2, stride), (5, 1)))
    core = product_nest(
        (out, side, side, channels, taps, taps),
        "ppprrr",
        read(view(0, (channels, size, size)), loop(3), across, along),
        read(view(1, (out, channels, taps, taps)), loop(0), loop(3), loop(4), loop(5)),
        (0, 1, 2),
    )
    store = bias_relu(shape, view(3, shape), read(view(2, (out,)), loop(0)), (loop(0), loop(1), loop(2)))
    program = Program(operands=operands, cores=(core,), stores=(store,))
    found = run_program(kind, program, [image, weights, bias], [(shape, "f32")])[0]
    wanted = np.maximum(convolution(image, weights, stride) + bias[:, None, None], 0)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_depthwise_convolution_has_several_results_per_invocation() -> None:
    channels, length, taps = 5, 22, 3
    shape = (channels, length - taps + 1)
    image, weights = floats(channels, length), floats(channels, taps)
    operands = (operand(0, (channels, length)), operand(1, (channels, taps)), operand(2, shape, written=True))
    window = Linear(terms=((1, 1), (2, 1)))
    core = product_nest(
        (*shape, taps),
        "ppr",
        read(view(0, (channels, length)), loop(0), window),
        read(view(1, (channels, taps)), loop(0), loop(2)),
        (0, 1),
    )
    program = Program(
        operands=operands, cores=(core,), stores=(plain_store(shape, view(2, shape), (loop(0), loop(1))),)
    )
    assert write_shader("convolution", program, bindings=3).summary == "direct, 4 results per invocation"
    found = run_program("convolution", program, [image, weights], [(shape, "f32")])[0]
    wanted = np.stack([np.correlate(row, w, "valid") for row, w in zip(image, weights, strict=True)])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def softmax_program(shape: tuple[int, ...], dimension: int) -> Program:
    rank = len(shape)
    whole = tuple(loop(d) for d in range(rank))
    core = Named(
        op="linalg.softmax",
        reads=(read(view(0, shape), *whole),),
        attributes=(("dimension", f"{dimension} : i64"),),
        temporaries=(0,),
        types=(type_of(shape),),
    )
    graph = GraphBuilder()
    root = graph.add("arith.mulf", "f32", (graph.add("read", "f32", (), 0), graph.add("constant", "f32", (), 2.0)))
    store = pointwise(
        shape, (read(0, *whole, type_=type_of(shape)),), graph, (root,), (Write(view=view(1, shape), access=whole),)
    )
    return Program(operands=(operand(0, shape), operand(1, shape, written=True)), cores=(core,), stores=(store,))


@pytest.mark.parametrize(("shape", "dimension"), [((3, 7, 130), 2), ((2, 33, 5), 1)])
def test_softmax(shape: tuple[int, ...], dimension: int) -> None:
    x = floats(*shape) * 50
    x[0, 0] = 1e4  # far above where exp overflows
    found = run_program("softmax", softmax_program(shape, dimension), [x], [(shape, "f32")])[0]
    e = np.exp(x.astype(np.float64) - x.max(dimension, keepdims=True))
    np.testing.assert_allclose(found, 2 * e / e.sum(dimension, keepdims=True), rtol=2e-5, atol=1e-7)


def test_softmax_of_work_in_front_of_it() -> None:
    """A mask for each column, and a scale of rank 0."""
    shape, plain = (3, 1, 7, 130), softmax_program((3, 1, 7, 130), 3)
    (core,) = plain.cores
    assert isinstance(core, Named)
    graph = GraphBuilder()
    x, scale, mask = (graph.add("read", "f32", (), n) for n in range(3))
    value = graph.add("arith.addf", "f32", (graph.add("arith.mulf", "f32", (x, scale)), mask))
    whole = (loop(0), Linear(terms=()), loop(1), loop(2))  # (a unit dimension is no loop)
    producer = Nest(
        sizes=(3, 7, 130),
        kinds=("parallel",) * 3,
        reads=(read(view(0, shape), *whole), read(view(2, ())), read(view(3, (130,)), loop(2))),
        expr=graph.graph((value,)),
        target=whole,
        temporary=5,
        type=type_of(shape),
    )
    core = replace(core, reads=(read(5, *whole, type_=type_of(shape)),))
    result = replace(plain.operands[1], binding=3)
    operands = (plain.operands[0], result, replace(operand(2, ()), binding=1), replace(operand(3, (130,)), binding=2))
    program = replace(plain, operands=operands, cores=(producer, core))
    a, factor, bias = floats(*shape), np.array(0.5, np.float32), floats(130)
    results = run_program("softmax", program, [a, factor, bias], [(shape, "f32")])
    scores = a.astype(np.float64) * 0.5 + bias
    e = np.exp(scores - scores.max(3, keepdims=True))
    np.testing.assert_allclose(results[0], 2 * e / e.sum(3, keepdims=True), rtol=2e-5, atol=1e-7)


def row_sum(reads: tuple[Read, ...], graph: GraphBuilder, root: int, rows: int, columns: int, number: int) -> Nest:
    return Nest(
        sizes=(rows, columns),
        kinds=("parallel", "reduction"),
        reads=reads,
        expr=graph.graph((root,)),
        combiner="arith.addf",
        init=0.0,
        target=(loop(0),),
        temporary=number,
        type=type_of((rows,)),
    )


def layer_norm(rows: int, columns: int) -> Program:
    """Two chained reductions, and what is broadcast back."""
    x = read(view(0, (rows, columns)), loop(0), loop(1))
    first = GraphBuilder()
    mean = row_sum((x,), first, first.add("read", "f32", (), 0), rows, columns, 0)

    def centred(graph: GraphBuilder) -> int:
        total = graph.add("read", "f32", (), 1)
        average = graph.add("arith.divf", "f32", (total, graph.add("constant", "f32", (), float(columns))))
        return graph.add("arith.subf", "f32", (graph.add("read", "f32", (), 0), average))

    of_row = type_of((rows,))
    second = GraphBuilder()
    d = centred(second)
    square = second.add("arith.mulf", "f32", (d, d))
    variance = row_sum((x, read(0, loop(0), type_=of_row)), second, square, rows, columns, 1)
    third = GraphBuilder()
    d = centred(third)
    v = third.add(
        "arith.divf", "f32", (third.add("read", "f32", (), 2), third.add("constant", "f32", (), float(columns)))
    )
    root = third.add("arith.mulf", "f32", (d, third.add("math.rsqrt", "f32", (v,))))
    store = pointwise(
        (rows, columns),
        (x, read(0, loop(0), type_=of_row), read(1, loop(0), type_=of_row)),
        third,
        (root,),
        (Write(view=view(1, (rows, columns)), access=(loop(0), loop(1))),),
    )
    operands = (operand(0, (rows, columns)), operand(1, (rows, columns), written=True))
    return Program(operands=operands, cores=(mean, variance), stores=(store,))


def test_layer_norm_by_rows() -> None:
    x = floats(11, 100) + 3
    found = run_program("row_reduce", layer_norm(11, 100), [x], [((11, 100), "f32")])[0]
    y = x.astype(np.float64)
    wanted = (y - y.mean(1, keepdims=True)) / y.std(1, keepdims=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_reduction_that_reads_another_row_is_refused() -> None:
    program = layer_norm(11, 11)
    variance = program.cores[1]
    assert isinstance(variance, Nest)
    crossed = dataclasses.replace(variance.reads[1], access=(loop(1),))
    broken = dataclasses.replace(variance, reads=(variance.reads[0], crossed))
    reason = rows.can_generate(dataclasses.replace(program, cores=(program.cores[0], broken)))
    assert reason == "a reduction that reads another row's result"


@pytest.mark.parametrize(
    ("combiner", "init", "function"),
    [("arith.maximumf", float("-inf"), np.max), ("arith.addf", 5.0, lambda a, axis: a.sum(axis) + 5)],
)
def test_reductions_of_whole_tensors(combiner: str, init: float, function: object) -> None:
    x = floats(9, 50)
    graph = GraphBuilder()
    core = Nest(
        sizes=(9, 50),
        kinds=("reduction", "reduction"),
        reads=(read(view(0, (9, 50)), loop(0), loop(1)),),
        expr=graph.graph((graph.add("read", "f32", (), 0),)),
        combiner=combiner,
        init=init,
        target=(),
        temporary=0,
        type=type_of(()),
    )
    graph = GraphBuilder()
    root = graph.add("read", "f32", (), 0)
    store = pointwise((), (read(0, type_=type_of(())),), graph, (root,), (Write(view=view(1, ()), access=()),))
    program = Program(operands=(operand(0, (9, 50)), operand(1, (), written=True)), cores=(core,), stores=(store,))
    found = run_program("row_reduce", program, [x], [((), "f32")])[0]
    np.testing.assert_allclose(found, function(x, axis=(0, 1)), rtol=1e-5)  # type: ignore[operator]


def lookup(rows: int, width: int, count: int) -> Program:
    """result[i, j] = table[ids[i] < 0 ? ids[i] + rows : ids[i], j] * scale[j], with scale a constant of the body."""
    graph = GraphBuilder()
    name = graph.add("read", "i64", (), 0)
    negative = graph.add("arith.cmpi", "i1", (name, graph.add("constant", "i64", (), 0)), "slt")
    wrapped = graph.add("arith.addi", "i64", (name, graph.add("constant", "i64", (), rows)))
    at = graph.add("arith.index_cast", "index", (graph.add("arith.select", "i64", (negative, wrapped, name)),))
    value = graph.add("gather", "f32", (at, graph.add("index", "index", (), 1)), 1)
    root = graph.add("arith.mulf", "f32", (value, graph.add("read", "f32", (), 2)))
    data = np.arange(width, dtype="<f4").tobytes()
    scale = Operand(kind="constant", type=type_of((width,)), access="readonly", data=data)
    table = Read(source=view(1, (rows, width)), access=(), type=type_of((rows, width)))
    nest = pointwise(
        (count, width),
        (read(view(0, (count,), "i64"), loop(0)), table, read(view(2, (width,)), loop(1))),
        graph,
        (root,),
        (Write(view=view(3, (count, width)), access=(loop(0), loop(1))),),
    )
    operands = (
        operand(0, (count,), "i64"),
        operand(1, (rows, width)),
        scale,
        operand(2, (count, width), written=True),
    )
    return Program(operands=operands, cores=(), stores=(nest,))


@pytest.mark.parametrize("features", [None, Features(int64=True)], ids=["emulated", "native"])
def test_gather_and_constants(features: Features | None) -> None:
    ids, table = np.array([4, -1, 0, 2, -5], np.int64), floats(5, 30)
    found = run_program("elementwise", lookup(5, 30, 5), [ids, table], [((5, 30), "f32")], features=features)[0]
    np.testing.assert_allclose(found, table[ids] * np.arange(30, dtype=np.float32), rtol=1e-6)


def test_reading_what_another_invocation_writes_is_refused() -> None:
    graph = GraphBuilder()
    root = graph.add("read", "f32", (), 0)
    both = view(0, (8,))
    nest = pointwise((7,), (read(both, loop(0, 1, 1)),), graph, (root,), (Write(view=both, access=(loop(0),)),))
    program = Program(operands=(operand(0, (8,), written=True),), cores=(), stores=(nest,))
    assert elementwise.can_generate(program) == "operand 0 is read and written at different places"


def test_results_that_tiles_cannot_take_go_one_by_one() -> None:
    # a matrix times a vector: nothing to share
    core = product_nest((8, 4), "pr", read(view(0, (8, 4)), loop(0), loop(1)), read(view(1, (4,)), loop(1)), (0,))
    operands = (operand(0, (8, 4)), operand(1, (4,)), operand(2, (8,), written=True))
    program = Program(operands=operands, cores=(core,), stores=(plain_store((8,), view(2, (8,)), (loop(0),)),))
    assert write_shader("contraction", program, bindings=3).summary.startswith("direct")
    a, b = floats(8, 4), floats(4)
    np.testing.assert_allclose(run_program("contraction", program, [a, b], [((8,), "f32")])[0], a @ b, rtol=1e-5)


def test_sizes_multiply_into_the_grid() -> None:
    program = lookup(5, 30, 5)
    nest = dataclasses.replace(program.stores[0], sizes=(mul(push(0), 2), 30))
    made = write_shader("elementwise", dataclasses.replace(program, stores=(nest,)), bindings=3, constants=1)
    groups = "ceildiv(mul(mul(push(0), 2), 30), 64)"
    assert [str(c) for c in made.workgroup_count] == [f"min({groups}, 32768)", f"ceildiv({groups}, 32768)", "1"]


@pytest.mark.parametrize(("float64", "reason"), [(False, "f64 on a target without it"), (True, "")])
def test_sums_in_f64_need_a_target_that_has_it(float64: bool, reason: str) -> None:
    graph = GraphBuilder()
    wide = graph.add("arith.extf", "f64", (graph.add("read", "f32", (), 0),))
    total = row_sum((read(view(0, (4, 9)), loop(0), loop(1)),), graph, wide, 4, 9, 0)
    total = replace(total, type=TensorType(shape=(4,), element="f64"))
    back = GraphBuilder()
    narrow = back.add("arith.truncf", "f32", (back.add("read", "f64", (), 0),))
    store = replace(plain_store((4,), view(1, (4,)), (loop(0),)), expr=back.graph((narrow,)))
    store = replace(store, reads=(read(0, loop(0), type_=TensorType(shape=(4,), element="f64")),))
    program = Program(operands=(operand(0, (4, 9)), operand(1, (4,))), cores=(total,), stores=(store,))
    assert refuse_program(rows.write_rows, program, Features(float64=float64)) == reason


def test_attention_is_no_shader() -> None:
    core = Named(op="iree_linalg_ext.attention", reads=(), attributes=(), temporaries=(0,), types=(type_of((4,)),))
    program = Program(operands=(operand(0, (4,), written=True),), cores=(core,), stores=())
    with pytest.raises(Unsupported, match=r"^a dispatch that is no softmax$"):
        write_shader("softmax", program, bindings=1)


def test_a_computation_in_f64_is_refused_where_the_target_has_none() -> None:
    graph = GraphBuilder()
    wide = graph.add("arith.extf", "f64", (graph.add("read", "f32", (), 0),))
    root = graph.add("arith.truncf", "f32", (graph.add("arith.mulf", "f64", (wide, wide)),))
    whole = (loop(0),)
    nest = pointwise((8,), (read(view(0, (8,)), *whole),), graph, (root,), (Write(view=view(1, (8,)), access=whole),))
    program = Program(operands=(operand(0, (8,)), operand(1, (8,), written=True)), cores=(), stores=(nest,))
    assert elementwise.can_generate(program) == "f64 on a target without it"
    assert "f64_exact_mul" in write_shader("elementwise", program, bindings=2, features=Features(float64=True)).text
