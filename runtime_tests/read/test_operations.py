"""Translation of a body's operations: cores, element-wise nests, named operations, or a reason."""

from __future__ import annotations

import pytest

from runtime_tests.read.executables import CUDA, VULKAN, core_of, dispatch_of, executable, program_of, sites
from runtime_tests.read.short_form import attention, elementwise, filled, generic, matmul
from substitute.match.target import architecture
from substitute.model.dispatch import Linear, Named, Nest, View
from substitute.model.index import evaluate, push
from substitute.read.body import BodyReader

pytestmark = pytest.mark.compile

HEAD = "%zero = arith.constant 0.0 : f32\n%low = arith.constant 0xFF800000 : f32\n"
PRODUCT_SUM = """
    %p = arith.mulf %x, %z : f32
    %y = arith.addf %o, %p : f32
    linalg.yield %y : f32"""


def loops(*numbers: int) -> tuple[Linear, ...]:
    return tuple(Linear(terms=((n, 1),)) for n in numbers)


def ops(nest: Nest) -> list[str]:
    return [n.op for n in nest.expr.nodes]


def test_a_matmul_named_and_generic_is_the_same_program() -> None:
    head = HEAD + "%a = input 0 !5x7xf32\n%b = input 1 !7x6xf32"
    named = program_of(head + matmul() + "\noutput 2 %r !5x6xf32")
    body = filled("!5x6xf32") + generic(
        "%r",
        "[[m, n, k -> m, k]], [[m, n, k -> k, n]], [[m, n, k -> m, n]]",
        "ppr",
        "%a, %b",
        "!5x7xf32, !7x6xf32",
        "%init",
        "!5x6xf32",
        PRODUCT_SUM,
        "%x: f32, %z: f32, %o: f32",
    )
    assert program_of(head + body + "\noutput 2 %r !5x6xf32") == named
    core = core_of(named)
    assert (core.sizes, core.kinds) == ((5, 6, 7), ("parallel", "parallel", "reduction"))
    assert (core.combiner, core.init, core.target) == ("arith.addf", 0.0, loops(0, 1))
    assert [r.access for r in core.reads] == [loops(0, 2), loops(2, 1)]
    assert ops(core) == ["read", "read", "arith.mulf"]
    assert named.stores[0].reads[0].source == core.temporary


def test_unit_loops_are_dropped() -> None:
    body = HEAD + "%a = input 0 !1x7xf32\n%b = input 1 !7x6xf32" + matmul(m=1) + "\noutput 2 %r !1x6xf32"
    program = program_of(body)
    core = core_of(program)
    assert core.sizes == (6, 7)
    assert core.target == loops(0)
    assert core.type is not None
    assert core.type.shape == (6,)
    assert core.reads[0].access == (Linear(terms=()), Linear(terms=((1, 1),)))
    assert program.stores[0].sizes == (6,)


def test_producers_are_inlined_and_consumers_are_stores() -> None:
    body = (
        HEAD
        + "%a = input 0 !5x7xf32\n%b = input 1 !7x6xf32"
        + elementwise("%h", "%a", "!5x7xf32", "\n    %y = math.exp %x : f32")
        + matmul("%h", result="%t")
        + elementwise("%r", "%t", "!5x6xf32", "\n    %y = arith.maximumf %x, %zero : f32")
        + "\noutput 2 %r !5x6xf32"
    )
    dispatch = dispatch_of(body)
    assert dispatch.operations == ("linalg.generic", "linalg.matmul", "linalg.generic")
    assert dispatch.kind == "contraction"
    assert dispatch.program is not None
    assert ops(core_of(dispatch.program)) == ["read", "math.exp", "read", "arith.mulf"]
    assert ops(dispatch.program.stores[0]) == ["read", "constant", "arith.maximumf"]


def test_a_reduction_that_starts_from_a_tensor_joins_it_in_afterwards() -> None:
    body = (
        HEAD
        + "%a = input 0 !5x7xf32\n%b = input 1 !7x6xf32\n%c = input 2 !5x6xf32"
        + """
  %r = linalg.matmul ins(%a, %b : !5x7xf32, !7x6xf32) outs(%c : !5x6xf32) -> !5x6xf32
    output 3 %r !5x6xf32"""
    )
    program = program_of(body, bindings=4)
    core = core_of(program)
    assert repr(core.init) == "-0.0"  # adds to nothing
    assert ops(program.stores[0]) == ["read", "read", "arith.addf"]


def test_a_start_that_is_a_constant() -> None:
    body = (
        HEAD
        + "%three = arith.constant 3.0 : f32\n%a = input 0 !6x9xf32"
        + filled("!6xf32", "%three")
        + """
  %r = linalg.reduce { arith.addf } ins(%a : !6x9xf32) outs(%init : !6xf32) dimensions = [1]
    output 1 %r !6xf32"""
    )
    assert core_of(program_of(body, bindings=2)).init == 3.0


def test_a_start_that_is_known_at_launch() -> None:
    body = (
        "%p = push 0\n%f = arith.sitofp %p : i32 to f32\n%a = input 0 !6x9xf32"
        + filled("!6xf32", "%f")
        + """
  %r = linalg.reduce { arith.maximumf } ins(%a : !6x9xf32) outs(%init : !6xf32) dimensions = [1]
    output 1 %r !6xf32"""
    )
    program = program_of(body, bindings=2, constants=1)
    assert core_of(program).init == float("-inf")
    store = program.stores[0]
    assert set(ops(store)) == {"size", "arith.sitofp", "read", "arith.maximumf"}
    assert next(n.attribute for n in store.expr.nodes if n.op == "size") == push(0)


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("%d = arith.subf %o, %x : f32\n linalg.yield %d : f32", False),
        ("%d = arith.divf %x, %o : f32\n linalg.yield %d : f32", False),
        ("%q = arith.mulf %x, %o : f32\n%d = arith.addf %o, %q : f32\n linalg.yield %d : f32", False),
        ("%d = arith.addf %o, %o : f32\n linalg.yield %d : f32", False),
        ("%d = arith.addf %x, %o : f32\n linalg.yield %d : f32", True),
        ("%q = arith.mulf %x, %x : f32\n%d = arith.minnumf %q, %o : f32\n linalg.yield %d : f32", True),
    ],
)
def test_only_associative_combiners_are_reductions(body: str, known: bool) -> None:
    text = (
        HEAD
        + "%a = input 0 !6x9xf32"
        + filled("!6xf32")
        + generic(
            "%r",
            "[[i, j -> i, j]], [[i, j -> i]]",
            "pr",
            "%a",
            "!6x9xf32",
            "%init",
            "!6xf32",
            "\n" + body,
            "%x: f32, %o: f32",
        )
        + "\noutput 1 %r !6xf32"
    )
    core = program_of(text, bindings=2).cores[0]
    assert isinstance(core, Nest) == known
    assert isinstance(core, Named) != known


def test_several_results() -> None:
    body = """
  %a = input 0 !5x6xf32
  %e = tensor.empty() : !5x6xf32
  %r:2 = linalg.generic {indexing_maps = [[[i, j -> i, j]], [[i, j -> i, j]], [[i, j -> i, j]]],
      iterator_types = ["parallel", "parallel"]} ins(%a : !5x6xf32) outs(%e, %e : !5x6xf32, !5x6xf32) {
  ^bb0(%x: f32, %o: f32, %q: f32):
    %y = math.exp %x : f32
    %z = arith.negf %y : f32
    linalg.yield %y, %z : f32, f32
  } -> (!5x6xf32, !5x6xf32)
  %s = tensor.cast %r#0 : !5x6xf32 to !5x6xf32
  %t = tensor.cast %r#1 : !5x6xf32 to !5x6xf32
  output 1 %s !5x6xf32
  output 2 %t !5x6xf32"""
    (store,) = program_of(body).stores
    assert [w.view.operand for w in store.writes] == [1, 2]
    assert ops(store) == ["read", "math.exp", "arith.negf"]
    assert store.expr.results == (1, 2)


def test_results_over_other_loops_are_nests_of_their_own() -> None:
    body = (
        HEAD
        + "%a = input 0 !6x9xf32\n%b = input 1 !6x9xf32"
        + filled("!6xf32")
        + """
  %r = linalg.reduce { arith.addf } ins(%a : !6x9xf32) outs(%init : !6xf32) dimensions = [1]
  output 2 %r !6xf32
  output 3 %b !6x9xf32"""
    )
    program = program_of(body, bindings=4)
    assert [n.sizes for n in program.stores] == [(6,), (6, 9)]


def test_a_gather_under_an_index_that_is_computed() -> None:
    body = (
        "%a = input 0 !11x5xf32\n%b = input 1 !4xi64\n%e = tensor.empty() : !4x5xf32"
        + generic(
            "%r",
            "[[i, j -> i]], [[i, j -> i, j]]",
            "pp",
            "%b",
            "!4xi64",
            "%e",
            "!4x5xf32",
            """
    %at = arith.index_cast %x : i64 to index
    %j = linalg.index 1 : index
    %y = tensor.extract %a[%at, %j] : !11x5xf32
    linalg.yield %y : f32""",
            "%x: i64, %o: f32",
        )
        + "\noutput 2 %r !4x5xf32"
    )
    dispatch = dispatch_of(body)
    assert dispatch.kind == "gather"
    assert dispatch.program is not None
    (store,) = dispatch.program.stores
    gather = next(n for n in store.expr.nodes if n.op == "gather")
    assert [store.expr.nodes[o].op for o in gather.operands] == ["arith.index_cast", "index"]
    assert isinstance(gather.attribute, int)
    assert store.reads[gather.attribute].access == ()
    assert store.reads[gather.attribute].type.shape == (11, 5)


@pytest.mark.parametrize(("index", "has"), [("d0 - 3", {"arith.remsi", "arith.addi"}), ("d0 + 3", set())])
def test_a_modulus_of_what_may_be_negative(index: str, has: set[str]) -> None:
    """`mod` of MLIR is never negative, a remainder has the sign of what is divided."""
    body = (
        "%a = input 0 !8xf32\n%e = tensor.empty() : !8xf32"
        + generic(
            "%r",
            "[[i -> i]]",
            "p",
            "",
            "",
            "%e",
            "!8xf32",
            f"""
    %i = linalg.index 0 : index
    %at = affine.apply affine_map<(d0) -> (({index}) mod 8)>(%i)
    %y = tensor.extract %a[%at] : !8xf32
    linalg.yield %y : f32""",
            "%o: f32",
        )
        + "\noutput 1 %r !8xf32"
    )
    used = ops(program_of(body, bindings=2).stores[0])
    assert "arith.remui" in used
    assert ("arith.remsi" in used) == bool(has)


@pytest.mark.parametrize(("rounding", "read"), [("", True), ("to_nearest_even", True), ("downward", False)])
def test_a_rounding_mode_is_part_of_an_operation(rounding: str, read: bool) -> None:
    """`fastmath` only permits, while a rounding mode is a demand."""
    body = (
        "%a = input 0 !8xf32\n%e = tensor.empty() : !8xf16"
        + generic(
            "%r",
            "[[i -> i]], [[i -> i]]",
            "p",
            "%a",
            "!8xf32",
            "%e",
            "!8xf16",
            f"""
    %y = arith.truncf %x {rounding} fastmath<fast> : f32 to f16
    linalg.yield %y : f16""",
            "%x: f32, %o: f16",
        )
        + "\noutput 1 %r !8xf16"
    )
    found = dispatch_of(body, bindings=2)
    assert (found.program is not None) == read
    assert ("rounding mode" in found.reason) != read


def test_a_mask_of_bytes() -> None:
    """An i1 is stored as a byte: IREE loads i8 and truncates whole tensors."""
    body = (
        HEAD
        + """
  %a = input 0 !4x8xi8
  %m = arith.trunci %a : !4x8xi8 to !4x8xi1
  %b = input 1 !4x8xf32
  %e = tensor.empty() : !4x8xf32"""
        + generic(
            "%r",
            "[[i, j -> i, j]], [[i, j -> i, j]], [[i, j -> i, j]]",
            "pp",
            "%m, %b",
            "!4x8xi1, !4x8xf32",
            "%e",
            "!4x8xf32",
            "\n    %y = arith.select %x, %z, %zero : f32\n    linalg.yield %y : f32",
            "%x: i1, %z: f32, %o: f32",
        )
        + "\noutput 2 %r !4x8xf32"
    )
    (store,) = program_of(body).stores
    assert ops(store) == ["read", "arith.trunci", "read", "constant", "arith.select"]
    assert store.expr.nodes[1].type == "i1"


def test_softmax_is_named() -> None:
    body = """
  %a = input 0 !4x8xf32
  %e = tensor.empty() : !4x8xf32
  %r = linalg.softmax dimension(1) ins(%a : !4x8xf32) outs(%e : !4x8xf32) -> !4x8xf32
  output 1 %r !4x8xf32"""
    program = program_of(body, bindings=2)
    (core,) = program.cores
    assert isinstance(core, Named)
    assert (core.op, dict(core.attributes)) == ("linalg.softmax", {"dimension": "1 : i64"})
    assert program.stores[0].reads[0].source == core.temporaries[0]


def test_attention_is_named_with_its_scale() -> None:
    dispatch = dispatch_of(attention(), bindings=4)
    assert dispatch.kind == "attention"
    assert dispatch.program is not None
    (core,) = dispatch.program.cores
    assert isinstance(core, Named)
    assert [str(r.type) for r in core.reads] == ["2x4x8xf32", "2x6x8xf32", "2x6x3xf32"]
    assert dict(core.attributes)["operands"] == "read, read, read, scalar, empty"
    assert [node.attribute for node in core.scalars[0].expr.nodes] == [0.125]
    assert core.region == "(%0: f32):\n  iree_linalg_ext.yield(%0)"


def test_twin_another_scale_is_another_operation() -> None:
    assert program_of(attention("0.25"), bindings=4).cores != program_of(attention(), bindings=4).cores


def argmax(captured: str = "2.0", before: str = "") -> str:
    return (
        HEAD
        + before
        + "%a = input 0 !6x9xf32"
        + f"\n  %k = arith.constant {captured} : f32"
        + """
  %none = arith.constant 0 : i32"""
        + filled("!6xf32", "%low")
        + filled("!6xi32", "%none", "%at")
        + """
  %v:2 = linalg.generic {indexing_maps = [[[i, j -> i, j]], [[i, j -> i]], [[i, j -> i]]],
      iterator_types = ["parallel", "reduction"]} ins(%a : !6x9xf32) outs(%init, %at : !6xf32, !6xi32) {
  ^bb0(%x: f32, %best: f32, %where: i32):
    %j = linalg.index 1 : index
    %ji = arith.index_cast %j : index to i32
    %s = arith.mulf %x, %k : f32
    %more = arith.cmpf ogt, %s, %best : f32
    %y = arith.select %more, %s, %best : f32
    %w = arith.select %more, %ji, %where : i32
    linalg.yield %y, %w : f32, i32
  } -> (!6xf32, !6xi32)
  %r = tensor.cast %v#1 : !6xi32 to !6xi32
  output 1 %r !6xi32"""
    )


def test_a_region_reads_the_same_wherever_it_stands() -> None:
    """MLIR's own text numbers values by what stands before them in the function."""
    (core,) = program_of(argmax(), bindings=2).cores
    (moved,) = program_of(argmax(before="%unused = arith.constant 5 : index\n"), bindings=2).cores
    assert moved == core
    assert isinstance(core, Named)
    assert "arith.mulf(%0, 2.0 : f32)" in core.region
    assert dict(core.attributes)["operands"] == "read, -inf everywhere, 0 everywhere"


def test_twin_a_captured_value_is_part_of_it() -> None:
    assert program_of(argmax("3.0"), bindings=2).cores != program_of(argmax(), bindings=2).cores


def guarded(arm: str) -> str:
    """An element-wise body of which one arm of an `scf.if` computes `%v` where the row is not 0."""
    return (
        "%a = input 0 !4x8xf32"
        + elementwise(
            "%r",
            "%a",
            "!4x8xf32",
            f"""
    %c0 = arith.constant 0 : index
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %there = arith.cmpi ne, %i, %c0 : index
    %y = scf.if %there -> (f32) {{
      {arm}
      scf.yield %v : f32
    }} else {{
      scf.yield %x : f32
    }}""",
        )
        + "\noutput 1 %r !4x8xf32"
    )


UNREAD = {
    "scf": (
        """
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %a = input 0 !8xf32
  %r = scf.for %i = %c0 to %c1 step %c1 iter_args(%t = %a) -> (!8xf32) {
    scf.yield %t : !8xf32
  }
  output 1 %r !8xf32""",
        "it has the operation scf.for",
    ),
    "control flow": ("  cf.br ^next\n^next:", "it has a body with control flow"),
    "encoded": (
        """
  %s = subspan 0 : DT<readonly:tensor<4x8xf32, #iree_encoding.testing<>>>
  %a = DT.load %s, offsets = [0, 0], sizes = [4, 8], strides = [1, 1]
      : DT<readonly:tensor<4x8xf32, #iree_encoding.testing<>>> -> tensor<4x8xf32, #iree_encoding.testing<>>""",
        "it has an encoded tensor (tensor<4x8xf32>); compile without data tiling",
    ),
    "sub-byte": (
        """
  %s = subspan 0 : DT<readonly:tensor<8xi4>>
  %a = DT.load %s, offsets = [0], sizes = [8], strides = [1] : DT<readonly:tensor<8xi4>> -> tensor<8xi4>""",
        "it has elements of type i4, which cannot be addressed one by one",
    ),
    "complex": (
        """
  %s = subspan 0 : DT<readonly:tensor<8xcomplex<f32>>>
  %a = DT.load %s, offsets = [0], sizes = [8], strides = [1]
      : DT<readonly:tensor<8xcomplex<f32>>> -> tensor<8xcomplex<f32>>""",
        "it has elements of type complex<f32>, which no kernel takes",
    ),
    "complex constant": (
        "  %a = arith.constant dense<[(1.0, 2.0), (3.0, 4.0)]> : tensor<2xcomplex<f32>>",
        "it has a constant with elements of type complex<f32>",
    ),
    "unknown integer": (
        """
  %c1 = arith.constant 1 : index
  %p = push 0
  %i = arith.index_castui %p : i32 to index
  %q = arith.cmpi eq, %i, %c1 : index
  %o = arith.select %q, %i, %c1 : index
  %s = subspan 0 offset(%o) : DT<readonly:!8xf32>
  %a = DT.load %s, offsets = [0], sizes = [8], strides = [1] : DT<readonly:!8xf32> -> !8xf32
  %t = subspan 1 : DT<writeonly:!8xf32>
  DT.store %a, %t, offsets = [0], sizes = [8], strides = [1] : !8xf32 -> DT<writeonly:!8xf32>""",
        "it has an integer computed by arith.select",
    ),
    "element in an arm": (
        guarded("%v = tensor.extract %a[%i, %j] : !4x8xf32"),
        "it has tensor.extract in an arm of scf.if",
    ),
    "division in an arm": (
        guarded(
            "%q = arith.remui %j, %i : index\n%k = arith.index_cast %q : index to i32\n"
            "%v = arith.sitofp %k : i32 to f32"
        ),
        "it has arith.remui in an arm of scf.if, with a divisor that may be 0 or -1",
    ),
    "store in an arm": (
        """
  %a = input 0 !8xf32
  %t = subspan 1 : DT<writeonly:!8xf32>
  %yes = arith.constant true
  scf.if %yes {
    DT.store %a, %t, offsets = [0], sizes = [8], strides = [1] : !8xf32 -> DT<writeonly:!8xf32>
  }""",
        "it has the operation scf.if",
    ),
}


def test_an_arm_without_danger_is_read() -> None:
    dispatch = dispatch_of(guarded("%v = math.exp %x : f32"), bindings=2)
    assert dispatch.program is not None, dispatch.reason
    assert ops(dispatch.program.stores[0])[-1] == "arith.select"


def test_coordinates_of_an_offset_known_at_launch() -> None:
    text = """
  %n = size 0
  %d:2 = affine.delinearize_index %n into (6, 4) : index, index
  %s = subspan 0 : DT<readonly:!6x4xf32>
  %a = DT.load %s, offsets = [%d#0, %d#1], sizes = [1, 1], strides = [1, 1] : DT<readonly:!6x4xf32> -> !1x1xf32
  output 1 %a !1x1xf32"""
    program = program_of(text, bindings=2, constants=2)
    (read,) = program.stores[0].reads
    assert isinstance(read.source, View)
    # row-major: the element's position is the number itself
    assert [evaluate(read.source.offset, (n, 0)) for n in (0, 3, 4, 23)] == [0, 3, 4, 23]


@pytest.mark.parametrize("what", UNREAD)
def test_what_cannot_be_read_has_a_reason(what: str) -> None:
    body, reason = UNREAD[what]
    dispatch = dispatch_of(body, bindings=2, constants=1)
    assert (dispatch.program, dispatch.reason, dispatch.kind) == (None, reason, "unread")


def test_a_fault_of_the_reader_costs_one_dispatch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: BodyReader, block: object) -> None:
        raise KeyError("f9")

    monkeypatch.setattr(BodyReader, "read_block", fail)
    dispatch = dispatch_of("%a = input 0 !8xf32\noutput 1 %a !8xf32", bindings=2)
    assert dispatch.kind == "unread"
    assert dispatch.reason == "the reader failed, which is a bug in iree-substitute: KeyError: 'f9'"


def test_an_export_without_a_body() -> None:
    text = executable("%a = input 0 !8xf32\noutput 1 %a !8xf32", bindings=2)
    start, end = text.index("    builtin.module {"), text.rindex("    }\n  }\n}")
    (site,) = sites(text[:start] + text[end + 6 :])
    assert site.function is None
    assert (site.dispatch.kind, site.dispatch.reason) == ("external", "it has neither a body nor an object")
    assert with_objects(text[:start] + text[end + 6 :]) == (
        "external",
        "its code is an object that the program brings along (add.o, sub.o)",
    )


def with_objects(text: str) -> tuple[str, str]:
    """Kind and reason of the export with two objects."""
    paths = ("some/where/add.o", "sub.o")
    objects = ", ".join(f'#hal.executable.object<{{path = "{path}"}}>' for path in paths)
    (site,) = sites(text.replace("}>) {", "}>) objects([" + objects + "]) {", 1))
    return site.dispatch.kind, site.dispatch.reason


CALL = """
  %a = subspan 0 : memref<8xf32>
  %c8 = arith.constant 8 : index
  func.call @add(%a, %c8) : (memref<8xf32>, index) -> ()"""


def test_a_body_that_calls_what_the_program_brings_along() -> None:
    """A function that stands there as well is no reason."""
    text = executable(CALL, bindings=1)
    imported = "func.func private @add(memref<8xf32>, index) attributes {hal.import.static}"
    inner = "func.func private @add(%a: memref<8xf32>, %n: index) { return }"
    place = "      func.func @main_dispatch_0_work()"
    reason = "its body calls add of an object that the program brings along (add.o, sub.o)"
    assert with_objects(text.replace(place, f"{imported}\n{place}")) == ("external", reason)
    assert with_objects(text.replace(place, f"{inner}\n{place}")) == ("unread", "it has the operation func.call")


@pytest.mark.parametrize(
    ("target", "backend", "format", "arch"),
    [
        (None, "llvm-cpu", "embedded-elf-x86_64", "x86_64"),
        (VULKAN, "vulkan-spirv", "vulkan-spirv-fb", "vp_android_baseline_2022"),
        (CUDA, "cuda", "cuda-nvptx-fb", "sm_80"),
    ],
)
def test_targets(target: str | None, backend: str, format: str, arch: str) -> None:
    options = {} if target is None else {"target": target}
    dispatch = dispatch_of("%a = input 0 !8xf32\noutput 1 %a !8xf32", bindings=2, **options)
    assert (dispatch.target.backend, dispatch.target.format, architecture(dispatch.target)) == (backend, format, arch)
    assert dispatch.layout.bindings == ("ReadOnly|Indirect", "Indirect")
    if target is None:
        assert dispatch.target.features == {"avx2", "fma"}
        assert dispatch.target.get("native_vector_size") == "32 : i64"
        assert dispatch.target.get("nothing", "else") == "else"
