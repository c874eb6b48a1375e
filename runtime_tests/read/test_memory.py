"""Operands in memory: bindings, byte offsets, windows, partial stores, constants of the body."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from runtime_tests.read.executables import core_of, dispatch_of, executable, program_of, sites
from runtime_tests.read.short_form import elementwise
from substitute.model.dispatch import Linear, Program, View
from substitute.model.index import Expr, add, evaluate, mul, parse, push

pytestmark = pytest.mark.compile

ZERO = "%zero = arith.constant 0.0 : f32\n"
DOUBLE = "\n    %y = arith.addf %x, %x : f32"


def first_view(program: Program) -> View:
    source = program.stores[0].reads[0].source
    assert isinstance(source, View)
    return source


def test_static_operands() -> None:
    program = program_of(
        "%a = input 0 !4x8xf32" + elementwise("%r", "%a", "!4x8xf32", DOUBLE) + "\noutput 1 %r !4x8xf32", bindings=2
    )
    read, write = program.operands
    assert [(o.kind, o.binding, o.byte_offset, o.access, str(o.type)) for o in (read, write)] == [
        ("binding", 0, 0, "readonly", "4x8xf32"),
        ("binding", 1, 0, "writeonly", "4x8xf32"),
    ]
    assert program.cores == ()
    (store,) = program.stores
    assert (store.sizes, store.kinds) == ((4, 8), ("parallel", "parallel"))
    assert store.writes[0].view == View(operand=1, type=write.type, offset=0, strides=(8, 1))


def test_constant_offset() -> None:
    body = """
    %at = arith.constant 1088 : index
    %s = subspan 0 offset(%at) : DT<readonly:!4x8xf32>
    %a = DT.load %s, offsets = [0, 0], sizes = [4, 8], strides = [1, 1] : DT<readonly:!4x8xf32> -> !4x8xf32
    """
    program = program_of(body + elementwise("%r", "%a", "!4x8xf32", DOUBLE) + "\noutput 1 %r !4x8xf32", bindings=2)
    assert [o.byte_offset for o in program.operands] == [1088, 0]


def test_offset_from_a_push_constant() -> None:
    """The values of `util.assume.int` are a list over call sites, which matching must not depend on."""
    body = """
    %p = push 1
    %i = arith.index_castui %p : i32 to index
    %at = util.assume.int %i[<umin = 64, umax = 64, udiv = 64>, <umin = 512, umax = 512, udiv = 512>] : index
    %s = subspan 0 offset(%at) : DT<readonly:!4x8xf32>
    %a = DT.load %s, offsets = [0, 0], sizes = [4, 8], strides = [1, 1] : DT<readonly:!4x8xf32> -> !4x8xf32
    """
    text = body + elementwise("%r", "%a", "!4x8xf32", DOUBLE) + "\noutput 1 %r !4x8xf32"
    program = program_of(text, bindings=2, constants=2)
    assert program.operands[0].byte_offset == push(1)
    other = program_of(text.replace("512", "4096"), bindings=2, constants=2)
    assert other == program


def test_sizes_in_pairs_of_push_constants_and_workload() -> None:
    body = """
    %n = size 2
    %w = iree_tensor_ext.dispatch.workload.ordinal %n, 0 : index
    %s = subspan 0 : DT<readonly:!?x8xf32>{%w}
    %t = subspan 1 : DT<writeonly:!?x8xf32>{%w}
    %a = DT.load %s, offsets = [0, 0], sizes = [%w, 8], strides = [1, 1] : DT<readonly:!?x8xf32>{%w} -> !?x8xf32
    DT.store %a, %t, offsets = [0, 0], sizes = [%w, 8], strides = [1, 1] : !?x8xf32 -> DT<writeonly:!?x8xf32>{%w}
    """
    dispatch = dispatch_of(body, bindings=2, constants=4, workload=1)
    size = Expr("u64", (push(2), push(3)))
    assert dispatch.program is not None
    assert dispatch.program.operands[0].type.shape == (size, 8)
    assert dispatch.program.stores[0].sizes == (size, 8)
    assert dispatch.workload == (size,)
    assert dispatch.layout.constants == 4
    assert dispatch.kind == "copy"


def test_workload_that_the_body_does_not_name() -> None:
    dispatch = dispatch_of("%a = input 0 !4x8xf32\noutput 1 %a !4x8xf32", bindings=2, workload=2)
    assert dispatch.workload == (None, None)


def test_several_subspans_on_one_binding_are_operands_of_their_own() -> None:
    body = """
    %o = arith.constant 128 : index
    %s = subspan 0 : DT<readonly:!4x8xf32>
    %t = subspan 0 offset(%o) : DT<readonly:!8xf32>
    %a = DT.load %s, offsets = [0, 0], sizes = [4, 8], strides = [1, 1] : DT<readonly:!4x8xf32> -> !4x8xf32
    %b = DT.load %t, offsets = [0], sizes = [8], strides = [1] : DT<readonly:!8xf32> -> !8xf32
    %e = tensor.empty() : !4x8xf32
    %r = linalg.generic {indexing_maps = [[[i, j -> i, j]], [[i, j -> j]], [[i, j -> i, j]]],
        iterator_types = ["parallel", "parallel"]} ins(%a, %b : !4x8xf32, !8xf32) outs(%e : !4x8xf32) {
    ^bb0(%x: f32, %z: f32, %out: f32):
      %y = arith.addf %x, %z : f32
      linalg.yield %y : f32
    } -> !4x8xf32
    output 1 %r !4x8xf32
    """
    program = program_of(body, bindings=2)
    assert [(o.binding, o.byte_offset) for o in program.operands] == [(0, 0), (0, 128), (1, 0)]
    assert [r.access for r in program.stores[0].reads] == [
        (Linear(terms=((0, 1),)), Linear(terms=((1, 1),))),
        (Linear(terms=((1, 1),)),),
    ]


def test_a_rank_reducing_window() -> None:
    body = """
    %s = subspan 0 : DT<readonly:!3x6x10xf32>
    %a = DT.load %s, offsets = [2, 1, 4], sizes = [1, 4, 5], strides = [1, 1, 1]
        : DT<readonly:!3x6x10xf32> -> !4x5xf32
    output 1 %a !4x5xf32
    """
    view = first_view(program_of(body, bindings=2))
    assert (view.offset, view.strides, view.type.shape) == (2 * 60 + 10 + 4, (10, 1), (4, 5))


def test_unit_dimensions_that_stay_and_that_go() -> None:
    """Two of the three dimensions of size one in the window are dropped; which ones makes no difference."""
    body = """
    %s = subspan 0 : DT<readonly:!2x1x7x4xf32>
    %a = DT.load %s, offsets = [1, 0, 3, 0], sizes = [1, 1, 1, 4], strides = [1, 1, 1, 1]
        : DT<readonly:!2x1x7x4xf32> -> !1x4xf32
    output 1 %a !1x4xf32
    """
    program = program_of(body, bindings=2)
    view = first_view(program)
    assert (view.offset, view.strides[1]) == (28 + 12, 1)
    assert program.stores[0].sizes == (4,)


def test_a_strided_load_with_a_dynamic_offset() -> None:
    body = """
    %p = push 0
    %o = arith.index_castui %p : i32 to index
    %s = subspan 0 : DT<readonly:!20x30xf32>
    %a = DT.load %s, offsets = [%o, 1], sizes = [4, 8], strides = [3, 2] : DT<readonly:!20x30xf32> -> !4x8xf32
    output 1 %a !4x8xf32
    """
    view = first_view(program_of(body, bindings=2, constants=1))
    assert view.offset == add(mul(push(0), 30), 1)
    assert view.strides == (90, 2)


def test_a_partial_store_into_a_readwrite_tensor() -> None:
    body = """
    %a = input 0 !4x5xf32
    %t = subspan 1 : DT<readwrite:!7x9xf32>
    DT.store %a, %t, offsets = [2, 3], sizes = [4, 5], strides = [1, 1] : !4x5xf32 -> DT<readwrite:!7x9xf32>
    """
    program = program_of(body, bindings=2)
    view = program.stores[0].writes[0].view
    assert program.operands[view.operand].access == "readwrite"
    assert (view.offset, view.strides, view.type.shape) == (21, (9, 1), (4, 5))


def test_slices_of_computed_tensors() -> None:
    body = (
        elementwise("%t", "%a", "!6x8xf32", DOUBLE)
        + """
    %r = tensor.extract_slice %t[1, 2] [4, 3] [1, 2] : !6x8xf32 to !4x3xf32
    output 1 %r !4x3xf32
    """
    )
    (store,) = program_of(ZERO + "%a = input 0 !6x8xf32" + body, bindings=2).stores
    assert store.sizes == (4, 3)
    assert store.reads[0].access == (Linear(terms=((0, 1),), constant=1), Linear(terms=((1, 2),), constant=2))


def test_expanded_and_collapsed_shapes() -> None:
    body = """
    %a = input 0 !6x8xf32
    %s = tensor.expand_shape %a [[0, 1], [2]] output_shape [2, 3, 8] : !6x8xf32 into !2x3x8xf32
    output 1 %s !2x3x8xf32
    """
    (store,) = program_of(body, bindings=2).stores
    assert store.sizes == (2, 3, 8)
    assert store.reads[0].access == (Linear(terms=((0, 3), (1, 1))), Linear(terms=((2, 1),)))
    body = """
    %a = input 0 !2x3x8xf32
    %s = tensor.collapse_shape %a [[0, 1], [2]] : !2x3x8xf32 into !6x8xf32
    output 1 %s !6x8xf32
    """
    view = first_view(program_of(body, bindings=2))
    assert (view.type.shape, view.strides) == ((6, 8), (8, 1))


def test_a_computed_tensor_is_collapsed_as_it_is_stored() -> None:
    body = (
        elementwise("%t", "%a", "!6x8xf32", DOUBLE)
        + """
    %r = tensor.collapse_shape %t [[0, 1]] : !6x8xf32 into !48xf32
    %o = subspan 1 : DT<readwrite:!99xf32>
    DT.store %r, %o, offsets = [3], sizes = [48], strides = [2] : !48xf32 -> DT<readwrite:!99xf32>
    """
    )
    (store,) = program_of(ZERO + "%a = input 0 !6x8xf32" + body, bindings=2).stores
    view = store.writes[0].view
    assert (store.sizes, view.type.shape, view.strides, view.offset) == ((6, 8), (6, 8), (16, 2), 3)


def test_a_computed_tensor_that_is_collapsed_and_read_cannot_be_read() -> None:
    body = (
        elementwise("%t", "%a", "!6x8xf32", DOUBLE)
        + """
    %f = tensor.collapse_shape %t [[0, 1]] : !6x8xf32 into !48xf32
    %g = math.exp %f : !48xf32
    output 1 %g !48xf32
    """
    )
    dispatch = dispatch_of(ZERO + "%a = input 0 !6x8xf32" + body, bindings=2)
    assert dispatch.reason == "it has tensor.collapse_shape of a computed tensor"


def test_a_window_with_gaps_cannot_be_collapsed() -> None:
    body = """
    %s = subspan 0 : DT<readonly:!2x5x8xf32>
    %a = DT.load %s, offsets = [0, 0, 0], sizes = [2, 3, 8], strides = [1, 1, 1] : DT<readonly:!2x5x8xf32> -> !2x3x8xf32
    %c = tensor.collapse_shape %a [[0, 1], [2]] : !2x3x8xf32 into !6x8xf32
    output 1 %c !6x8xf32
    """
    dispatch = dispatch_of(body, bindings=2)
    assert dispatch.reason == "it has tensor.collapse_shape of a window that is not contiguous"
    assert dispatch.program is None
    assert dispatch.kind == "unread"


def constant_program(text: str, type_: str) -> Program:
    return program_of(f"%k = arith.constant {text} : {type_}\noutput 0 %k {type_}", bindings=1)


@pytest.mark.parametrize(
    ("text", "type_", "dtype", "values"),
    [
        ("dense<[[1.0, 2.0], [3.0, -4.5]]>", "!2x2xf32", np.float32, [1, 2, 3, -4.5]),
        ("dense<[1.0, -2.5, 0x7F80]>", "!3xbf16", ml_dtypes.bfloat16, [1, -2.5, np.inf]),
        ("dense<[1.0, 2.0]>", "!2xf16", np.float16, [1, 2]),
        ("dense<[1.0, 0x7FF0000000000000]>", "!2xf64", np.float64, [1, np.inf]),
        ("dense<[true, false, false]>", "!3xi1", np.uint8, [1, 0, 0]),
        ("dense<[1, -2, 127]>", "!3xi8", np.int8, [1, -2, 127]),
        ("dense<[1, -2]>", "!2xi64", np.int64, [1, -2]),
    ],
)
def test_dense_constants(text: str, type_: str, dtype: type, values: list[float]) -> None:
    program = constant_program(text, type_)
    (operand,) = [o for o in program.operands if o.kind == "constant"]
    assert np.frombuffer(operand.data, dtype).astype(float).tolist() == values


def test_a_resource_constant() -> None:
    text = executable("%k = arith.constant dense_resource<weights> : !3xf32\noutput 0 %k !3xf32", bindings=1)
    blob = "0x04000000" + np.array([1.5, -2, 3], np.float32).tobytes().hex()
    text += f'\n{{-# dialect_resources: {{builtin: {{weights: "{blob}"}}}} #-}}\n'
    (site,) = sites(text)
    assert site.dispatch.program is not None
    (operand,) = [o for o in site.dispatch.program.operands if o.kind == "constant"]
    assert np.frombuffer(operand.data, np.float32).tolist() == [1.5, -2, 3]


def test_an_elided_constant_is_read_without_its_elements() -> None:
    text = executable("%k = arith.constant dense_resource<__elided__> : !3xf32\noutput 0 %k !3xf32", bindings=1)
    (site,) = sites(text)
    assert site.dispatch.program is not None
    (operand,) = [o for o in site.dispatch.program.operands if o.kind == "constant"]
    assert operand.data == b""


def test_twin_a_constant_with_other_elements_than_its_type_has_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "%k = arith.constant dense<[true, false, true]> : !3xi1\noutput 0 %k !3xi1"
    assert dispatch_of(body, bindings=1).program is not None
    monkeypatch.setattr("substitute.read.body.constant_bytes", lambda *_: b"")
    assert dispatch_of(body, bindings=1).reason.startswith(
        "it has a constant of type 3xi1 whose elements are not known"
    )


def test_a_splat_constant_is_a_scalar() -> None:
    program = constant_program("dense<2.5>", "!4x4xf32")
    assert [o.kind for o in program.operands] == ["binding"]
    assert program.stores[0].expr.nodes[0].attribute == 2.5


@pytest.mark.parametrize(
    ("lines", "offset"),
    [
        ("%x = arith.muli %i, %c4 : index\n%o = arith.addi %x, %c4 : index", "add(mul(push(0), 4), 4)"),
        ("%x = arith.ceildivui %i, %c4 : index\n%o = arith.muli %x, %c4 : index", "mul(ceildiv(push(0), 4), 4)"),
        ("%o = arith.subi %i, %c4 : index", "sub(push(0), 4)"),
        ("%x = arith.minui %i, %c4 : index\n%o = arith.maxui %x, %c4 : index", "max(min(push(0), 4), 4)"),
        ("%o = affine.apply affine_map<()[s] -> (s * 4 + 8)>()[%i]", "add(mul(push(0), 4), 8)"),
        (
            "%o = affine.apply affine_map<(d)[s] -> (d mod 5 + s floordiv 2)>(%i)[%i]",
            "add(rem(push(0), 5), floordiv(push(0), 2))",
        ),
        ("%x = arith.index_cast %p : i32 to index\n%o = arith.addi %x, %c4 : index", "add(sext32(push(0)), 4)"),
        ("%x = arith.remui %i, %c4 : index\n%o = arith.shli %x, %c4 : index", "shl(rem(push(0), 4), 4)"),
    ],
)
def test_index_arithmetic(lines: str, offset: str) -> None:
    body = f"""
    %c4 = arith.constant 4 : index
    %p = push 0
    %i = arith.index_castui %p : i32 to index
    {lines}
    %s = subspan 0 offset(%o) : DT<readonly:!8xf32>
    %a = DT.load %s, offsets = [0], sizes = [8], strides = [1] : DT<readonly:!8xf32> -> !8xf32
    output 1 %a !8xf32
    """
    program = program_of(body, bindings=2, constants=1)
    assert program.operands[0].byte_offset == parse(offset)
    assert evaluate(program.operands[0].byte_offset, (37,)) == evaluate(parse(offset), (37,))


def test_a_result_whose_size_is_open_where_an_input_says_one() -> None:
    """The loop is dropped, and with it the dimension of the reduction's result."""
    body = """
    %n = size 0
    %zero = arith.constant 0.0 : f32
    %a = input 0 !1x8xf32
    %t = subspan 1 : DT<writeonly:!?xf32>{%n}
    %e = tensor.empty(%n) : !?xf32
    %i = linalg.fill ins(%zero : f32) outs(%e : !?xf32) -> !?xf32
    %r = linalg.generic {indexing_maps = [[[i, j -> i, j]], [[i, j -> i]]], iterator_types = ["parallel", "reduction"]}
        ins(%a : !1x8xf32) outs(%i : !?xf32) {
    ^bb0(%x: f32, %o: f32):
      %y = arith.addf %o, %x : f32
      linalg.yield %y : f32
    } -> !?xf32
    DT.store %r, %t, offsets = [0], sizes = [%n], strides = [1] : !?xf32 -> DT<writeonly:!?xf32>{%n}
    """
    program = program_of(body, bindings=2, constants=2)
    core = core_of(program)
    assert core.type is not None
    assert len(core.target) == len(core.type.shape) == 0
    assert core.sizes == (8,)
    assert program.stores[0].reads[0].access == ()
