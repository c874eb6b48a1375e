"""Slots of PTX: scalar operations against NumPy, one by one, and marks that say something wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from ml_dtypes import bfloat16

from runtime_tests.cuda_sim.lane_programs import apply
from runtime_tests.ulp.errors import ulps
from substitute.catalog.catalog import load_catalog
from substitute.codegen.unsupported import Unsupported
from substitute.errors import PayloadError
from substitute.model.dispatch import Linear, Named, Nest, Operand, Program, Read, TensorType, View, Write
from substitute.model.index import Index, push
from substitute.model.kernel import Kernel
from substitute.model.scalar import Scalar, ScalarGraph
from substitute.payload.ptx.parse import parse
from substitute.payload.ptx.slots.block import Block
from substitute.payload.ptx.slots.marks import marks_of
from substitute.payload.ptx.slots.mathematics import FUNCTIONS, integer_power
from substitute.payload.ptx.slots.scalars import KIND, constant, operation
from substitute.payload.ptx.slots.writer import Writer

pytestmark = pytest.mark.unit
Array = np.ndarray[Any, Any]
NUMPY = {
    "i1": bool,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "index": np.int64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": bfloat16,
}
BLOBS = Path(__file__).parents[2] / "ptx_blobs"


def evaluate(
    op: str, result: str, types: tuple[str, ...], arrays: tuple[Array, ...], attribute: object = None
) -> Array:
    """One operation over arrays, as the instructions that a slot gets, on the executor."""
    block = Block("slot")
    inputs, args = [], []
    for number, (type_, array) in enumerate(zip(types, arrays, strict=True)):
        wide = array.astype(np.float32 if KIND[type_] == "f" else np.int64 if KIND[type_] == "d" else np.int32)
        inputs.append(wide)
        name = f"%a{number}"
        args.append(block.test("setp.ne.u32", name, "0") if type_ == "i1" else name)
    nodes = tuple(Scalar("read", type_, (), n) for n, type_ in enumerate(types))
    value = operation(block, Scalar(op, result, tuple(range(len(types))), attribute), nodes, tuple(args))
    kind = KIND[result]
    if kind == "p":
        value = block.word("selp.b32", "1", "0", value)
    block.line(f"mov.b{64 if kind == 'd' else 32} %d0, {value};")
    out = {"f": "float32", "d": "int64"}.get(kind, "int32")
    (found,) = apply("\n".join(block.text("the operation")), inputs, [out])
    return found.astype(NUMPY[result])


def sample(limit: float) -> Array:
    """Both signs, from tiny to `limit`, and what is no ordinary number."""
    rng = np.random.default_rng(0)
    size = np.concatenate([np.exp(rng.uniform(-12, np.log(limit), 300)), rng.uniform(0, limit, 180)])
    values = [*size, *(-size), 0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan]
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("name", "limit", "worst"),
    [
        ("exp", 87.0, 3),
        ("expm1", 80.0, 3),
        ("exp2", 120.0, 3),
        ("tanh", 12.0, 3),
        ("erf", 5.0, 3),
        ("sin", 1e30, 2),
        ("cos", 1e30, 2),
        ("tan", 1e30, 3),
        ("log", 1e30, 2),
        ("log1p", 1e30, 2),
        ("log2", 1e30, 2),
        ("log10", 1e30, 2),
        ("sinh", 80.0, 3),
        ("cosh", 80.0, 3),
        ("arcsinh", 1e30, 3),
        ("arctan", 1e30, 3),
        ("cbrt", 1e30, 2),
        ("arcsin", 1.0, 3),
        ("arccos", 1.0, 3),
        ("arctanh", 1.0, 3),
    ],
)
def test_functions(name: str, limit: float, worst: float) -> None:
    """Within a few units of the last place of the function in float64."""
    x = sample(limit)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        expected = np.array([math.erf(v) for v in wide]) if name == "erf" else getattr(np, name)(wide)
    found = evaluate(f"math.{name.replace('arc', 'a')}", "f32", ("f32",), (x,))
    assert ulps(found, expected, np.float32).max() <= worst
    wrong = found * np.float32(1.000002)
    assert ulps(wrong, expected, np.float32).max() > worst, "the bound tells a wrong result"


@pytest.mark.parametrize(("op", "reference"), [("powf", np.power), ("atan2", np.arctan2)])
def test_functions_of_two_operands(op: str, reference: Any) -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(sample(30.0)[::34], sample(30.0)[::34]))
    with np.errstate(all="ignore"):
        expected = reference(x.astype(np.float64), y.astype(np.float64))
    found = evaluate(f"math.{op}", "f32", ("f32", "f32"), (x, y))
    normal = ~((np.abs(expected) < 2.0**-126) & (expected != 0))
    with np.errstate(over="ignore"):
        assert ulps(found[normal], expected[normal], np.float32).max() <= 3
        wrong = found * np.float32(1.000002)
        assert ulps(wrong[normal], expected[normal], np.float32).max() > 3


def test_powers_by_squaring() -> None:
    x = np.linspace(-2, 2, 33, dtype=np.float32) + np.float32(0.01)
    for exponent in (-3, 0, 1, 2, 3, 7):
        block = Block("slot")
        block.line(f"mov.f32 %d0, {integer_power(block, '%a0', exponent)};")
        (found,) = apply("\n".join(block.text("a power")), [x], ["float32"])
        np.testing.assert_allclose(found, x.astype(np.float64) ** exponent, rtol=1e-6)


_A = np.array([1.5, -2.25, 0.0, -0.0, 3e4, -7.5, np.inf, np.nan, 1e-3, 2.0], np.float32)
_B = np.array([2.5, -2.25, -0.0, 0.0, 1.0, np.nan, -np.inf, np.nan, 8.0, -3.0], np.float32)


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        ("addf", np.add),
        ("subf", np.subtract),
        ("mulf", np.multiply),
        ("divf", np.divide),
        ("maximumf", np.maximum),
        ("minimumf", np.minimum),
        ("maxnumf", np.fmax),
        ("minnumf", np.fmin),
        ("copysign", np.copysign),
    ],
)
@pytest.mark.parametrize("type_", ["f32", "f16", "bf16"])
def test_float_arithmetic(op: str, reference: Any, type_: str) -> None:
    """Small floats are rounded after each operation."""
    a, b = _A.astype(NUMPY[type_]), _B.astype(NUMPY[type_])
    with np.errstate(all="ignore"):
        expected = reference(a.astype(np.float32), b.astype(np.float32)).astype(NUMPY[type_])
    dialect = "math" if op == "copysign" else "arith"
    found = evaluate(f"{dialect}.{op}", type_, (type_, type_), (a, b))
    np.testing.assert_array_equal(found.astype(np.float32), expected.astype(np.float32))


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        ("negf", np.negative),
        ("absf", np.abs),
        ("floor", np.floor),
        ("ceil", np.ceil),
        ("trunc", np.trunc),
        ("roundeven", np.rint),
        ("sqrt", np.sqrt),
    ],
)
def test_float_operations_of_one_operand(op: str, reference: Any) -> None:
    with np.errstate(all="ignore"):
        expected = reference(_A)
    np.testing.assert_array_equal(
        evaluate(f"math.{op}" if op != "negf" else "arith.negf", "f32", ("f32",), (_A,)), expected
    )


def test_no_number_is_found() -> None:
    np.testing.assert_array_equal(evaluate("math.isnan", "i1", ("f32",), (_B,)), np.isnan(_B))


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ("oeq", _A == _B),
        ("one", (_A < _B) | (_A > _B)),
        ("olt", _A < _B),
        ("oge", _A >= _B),
        ("une", _A != _B),
        ("ult", ~(_A >= _B)),
        ("uge", ~(_A < _B)),
        ("ord", ~(np.isnan(_A) | np.isnan(_B))),
        ("uno", np.isnan(_A) | np.isnan(_B)),
        ("true", np.ones(10, bool)),
        ("false", np.zeros(10, bool)),
    ],
)
def test_float_comparisons(predicate: str, expected: Array) -> None:
    np.testing.assert_array_equal(evaluate("arith.cmpf", "i1", ("f32", "f32"), (_A, _B), predicate), expected)


def _truncating(a: Array, b: Array) -> Array:
    return (np.sign(a) * np.sign(b) * (np.abs(a.astype(np.int64)) // np.abs(b.astype(np.int64)))).astype(a.dtype)


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        ("addi", lambda a, b, u: a + b),
        ("subi", lambda a, b, u: a - b),
        ("muli", lambda a, b, u: a * b),
        ("divsi", lambda a, b, u: _truncating(a, b)),
        ("remsi", lambda a, b, u: a - _truncating(a, b) * b),
        ("divui", lambda a, b, u: (a.view(u) // b.view(u)).view(a.dtype)),
        ("remui", lambda a, b, u: (a.view(u) % b.view(u)).view(a.dtype)),
        ("andi", lambda a, b, u: a & b),
        ("ori", lambda a, b, u: a | b),
        ("xori", lambda a, b, u: a ^ b),
        ("maxsi", lambda a, b, u: np.maximum(a, b)),
        ("minui", lambda a, b, u: np.minimum(a.view(u), b.view(u)).view(a.dtype)),
    ],
)
@pytest.mark.parametrize("type_", ["i8", "i16", "i32", "i64"])
def test_integers(op: str, reference: Any, type_: str) -> None:
    numpy = np.dtype(NUMPY[type_])
    rng = np.random.default_rng(1)
    low, high = np.iinfo(numpy).min, np.iinfo(numpy).max
    a = rng.integers(low, high, 64, numpy, endpoint=True)
    b = np.where(np.arange(64) % 2, rng.integers(low, high, 64, numpy, endpoint=True), numpy.type(3))
    b[b == 0] = 7
    with np.errstate(all="ignore"):
        expected = reference(a, b, np.dtype(f"u{numpy.name}"))
    np.testing.assert_array_equal(evaluate(f"arith.{op}", type_, (type_, type_), (a, b)), expected)


@pytest.mark.parametrize(
    ("op", "predicate", "type_"),
    [
        ("cmpi", "slt", "i32"),
        ("cmpi", "uge", "i32"),
        ("cmpi", "ult", "i8"),
        ("cmpi", "eq", "i64"),
        ("cmpi", "sgt", "index"),
    ],
)
def test_integer_comparisons(op: str, predicate: str, type_: str) -> None:
    numpy = np.dtype(NUMPY[type_])
    a, b = np.array([1, -1, 5, -7, 0], numpy), np.array([-1, 1, 5, -8, 9], numpy)
    left, right = (a, b) if predicate[0] != "u" else (a.view(f"u{numpy.name}"), b.view(f"u{numpy.name}"))
    expected = {"lt": left < right, "ge": left >= right, "gt": left > right, "eq": left == right}[
        predicate[1:] if predicate != "eq" else "eq"
    ]
    np.testing.assert_array_equal(evaluate(f"arith.{op}", "i1", (type_, type_), (a, b), predicate), expected)


@pytest.mark.parametrize(
    ("op", "source", "target", "values", "expected"),
    [
        ("truncf", "f32", "f16", [1.0009, 70000.0], [1.0009765625, math.inf]),
        ("truncf", "f32", "bf16", [1.005, -3.014], [1.0078125, -3.015625]),
        ("sitofp", "i64", "f32", [-3, 1 << 40], [-3.0, 2.0**40]),
        ("uitofp", "i8", "f32", [-1, 5], [255.0, 5.0]),
        ("uitofp", "i1", "f32", [0, 1], [0.0, 1.0]),
        ("sitofp", "i1", "f32", [0, 1], [0.0, -1.0]),
        ("fptosi", "f32", "i32", [2.9, -2.9], [2, -2]),
        ("fptosi", "f32", "i64", [-(2.0**35), 1.5], [-(1 << 35), 1]),
        ("extsi", "i8", "i64", [-1, 7], [-1, 7]),
        ("extui", "i8", "i32", [-1, 7], [255, 7]),
        ("trunci", "i64", "i8", [300, -129], [44, 127]),
        ("index_cast", "i32", "index", [-5, 6], [-5, 6]),
        ("trunci", "i32", "i1", [2, 3], [0, 1]),
        ("bitcast", "f32", "i32", [1.0, -0.0], [0x3F800000, -(1 << 31)]),
    ],
)
def test_casts(op: str, source: str, target: str, values: list[float], expected: list[float]) -> None:
    array = np.array(values, NUMPY[source])
    found = evaluate(f"arith.{op}", target, (source,), (array,))
    np.testing.assert_array_equal(found.astype(np.float64), np.array(expected, np.float64))


def test_what_has_no_form_is_named() -> None:
    cases = (
        ("arith.addf", "f64", ("f64", "f64")),
        ("math.ctpop", "i32", ("i32",)),
        ("math.isinf", "i1", ("f32",)),
        ("math.fpowi", "f32", ("f32", "i32")),
    )
    for op, result, types in cases:
        nodes = tuple(Scalar("read", t, (), n) for n, t in enumerate(types))
        with pytest.raises(Unsupported, match=op):
            operation(Block("slot"), Scalar(op, result, tuple(range(len(types)))), nodes, ("%a0", "%a1")[: len(types)])
    with pytest.raises(Unsupported, match="f64"):
        constant(Block("slot"), 1.0, "f64")
    assert "exp" in FUNCTIONS


def copy_of(kind: Literal["binding", "constant"], elements: Index) -> Program:
    """A dispatch that copies one operand into another one, every third element from the second on."""
    type_ = TensorType(shape=(elements,), element="f32")
    source = Operand(kind=kind, type=type_, access="readonly", binding=0 if kind == "binding" else -1, data=b"abcd")
    target = Operand(kind="binding", type=type_, access="writeonly", binding=1)
    loop = (Linear(terms=((0, 1),)),)
    views = [View(operand=n, type=type_, offset=1 - n, strides=(push(0) if n else 3,)) for n in range(2)]
    nest = Nest(
        sizes=(elements,),
        kinds=("parallel",),
        reads=(Read(source=views[0], access=loop, type=type_),),
        expr=ScalarGraph((Scalar("read", "f32", (), 0),), (0,)),
        writes=(Write(view=views[1], access=loop),),
    )
    return Program(operands=(source, target), cores=(), stores=(nest,))


def test_addresses_of_loads_and_stores() -> None:
    """A value that is only known at launch, here a stride, becomes an additional parameter."""
    writer, block = Writer(copy_of("binding", 50), "slot"), Block("slot")
    writer.store_computed(block, writer.computed(block, {0: "%i"}), {0: "%i"})
    assert block.lines == [
        "mad.lo.s64 %slot_d0, %i, 3, 1;",
        "mad.lo.s64 %slot_d1, %slot_d0, 4, %slot_base0;",
        "ld.global.f32 %slot_f0, [%slot_d1];",
        "mad.lo.s64 %slot_d2, %i, %slot_value0, 0;",
        "mad.lo.s64 %slot_d3, %slot_d2, 4, %slot_base1;",
        "st.global.f32 [%slot_d3], %slot_f0;",
    ]
    assert list(writer.pointers) == [0, 1] and list(writer.values) == [push(0)]


def test_constants_become_data_of_the_module_if_they_are_small() -> None:
    Writer(copy_of("constant", 16384), "slot").computed(Block("slot"), {0: "%i"})
    for elements in (16385, push(0)):
        with pytest.raises(Unsupported, match="constant"):
            Writer(copy_of("constant", elements), "slot").computed(Block("slot"), {0: "%i"})


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    kernels = load_catalog([BLOBS / "row_sum"], builtin=False, backends=frozenset(["cuda"])).kernels
    return next(k for k in kernels if k.name == "cuda_row_sum")


MARKED = (BLOBS / "row_sum" / "kernel.ptx").read_text()


def test_marks_are_found(kernel: Kernel) -> None:
    module = parse(MARKED, name="row_sum")
    load, store = marks_of(module, module.entries[0], kernel)
    assert (load.is_store, load.operand, load.coordinates) == (False, "x", (("row", 32), ("c", 32)))
    assert (store.is_store, store.operand, store.coordinates) == (True, "y", (("row", 32),))
    assert store.spread is not None and (store.spread.register, store.spread.threads) == ("thread", 128)


@pytest.mark.parametrize(
    ("old", "new", "what", "found"),
    [
        ("slot load x[row, c]", "slot laod x[row, c]", "a slot cannot be read", "slot laod x[row, c]"),
        ("slot load x[row, c]", "slot load x[row]", "names no operand with these coordinates", "slot load x[row]"),
        (
            "slot load x[row, c]",
            "slot load z[row, c]",
            "names no operand with these coordinates",
            "slot load z[row, c]",
        ),
        ("slot load x[row, c]", "slot load x[row, total]", "total is no register that can be a coordinate", ""),
        (
            "slot load x[row, c]",
            "slot store y[row]",
            "a slot stands in front of something else",
            "ld.global.f32 x, [at];",
        ),
        ("by thread of 128", "by offset of 128", "offset is no register that can be a coordinate", ""),
    ],
)
def test_marks_that_cannot_be_used(kernel: Kernel, old: str, new: str, what: str, found: str) -> None:
    assert old in MARKED
    module = parse(MARKED.replace(old, new), name="row_sum")
    with pytest.raises(PayloadError) as error:
        marks_of(module, module.entries[0], kernel)
    assert what in str(error.value) and found in str(error.value)
    assert f'.pragma "{new if "slot" in new else "slot store y[row] " + new}";' in str(error.value), "the line is shown"


def softmax_of(*producers: Nest, source: View | int) -> Program:
    """Softmax over the last dimension of 4 x 1 x 8 elements, stored nowhere."""
    type_ = TensorType(shape=(4, 1, 8), element="f32")
    whole = (Linear(terms=((0, 1),)), Linear(terms=()), Linear(terms=((1, 1),)))
    core = Named(
        op="linalg.softmax",
        reads=(Read(source=source, access=whole, type=type_),),
        attributes=(("dimension", "2 : i64"),),
        temporaries=(1,),
        types=(type_,),
    )
    operands = tuple(Operand(kind="binding", type=type_, access="readonly", binding=n) for n in range(2))
    return Program(operands=operands, cores=(*producers, core), stores=())


def test_a_slot_in_front_of_a_softmax_computes_what_is_fused_there() -> None:
    type_ = TensorType(shape=(4, 1, 8), element="f32")
    whole = (Linear(terms=((0, 1),)), Linear(terms=()), Linear(terms=((1, 1),)))
    views = [View(operand=n, type=type_, offset=0, strides=(8, 8, 1)) for n in range(2)]
    nodes = (Scalar("read", "f32", (), 0), Scalar("read", "f32", (), 1), Scalar("arith.mulf", "f32", (0, 1)))
    producer = Nest(
        sizes=(4, 8),
        kinds=("parallel", "parallel"),
        reads=tuple(Read(source=view, access=whole, type=type_) for view in views),
        expr=ScalarGraph(nodes, (2,)),
        target=whole,
        temporary=0,
        type=type_,
    )
    texts = []
    for program in (softmax_of(source=views[0]), softmax_of(producer, source=0)):
        block = Block("slot")
        Writer(program, "slot").computed(block, {0: "%row", 1: "%column"})
        texts.append("\n".join(block.text("slot")))
    assert [text.count("ld.global") for text in texts] == [1, 2]
    assert ["mul.rn.f32" in text for text in texts] == [False, True]
    two = replace(softmax_of(source=views[0]), cores=(*softmax_of(source=views[0]).cores, *softmax_of(source=1).cores))
    with pytest.raises(Unsupported, match=r"^2 operations that are more than element-wise$"):
        Writer(two, "slot").computed(Block("slot"), {0: "%row", 1: "%column"})
