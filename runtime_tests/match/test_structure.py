"""Does a dispatch compute what a definition says? Above all: what must not be accepted."""

from __future__ import annotations

import pytest

from runtime_tests.match.definitions import (
    GATHER,
    GRAM,
    RELU,
    SOFTMAX,
    STATISTICS,
    TRANSPOSE,
    TRIANGLE,
    X8,
    body_of,
    convolution_dispatch,
    convolution_kernel,
    gather_dispatch,
    lower_triangle,
    matmul_dispatch,
    matmul_kernel,
    product,
    softmax_of,
    statistics,
    window,
)
from runtime_tests.match.kernels import HEAD, MATMUL, MATMUL_OPERANDS, accepted, kernel, refused
from runtime_tests.read.executables import dispatch_of
from runtime_tests.read.short_form import matmul
from substitute.model.dispatch import Dispatch
from substitute.model.index import Expr, push
from substitute.model.plan import Axis, Match, Rule

pytestmark = pytest.mark.compile

A, B, C = "[[m, n, k -> m, k]]", "[[m, n, k -> k, n]]", "[[m, n, k -> m, n]]"
A_T, B_T, C_T = "[[m, n, k -> k, m]]", "[[m, n, k -> n, k]]", "[[m, n, k -> n, m]]"


def placed(match: Match) -> dict[str, tuple[int, object, object]]:
    """Operand → (operand of the dispatch, start, dimensions)."""
    return {p.name: (p.view.operand, p.start, p.dimensions) for p in match.placements}


# -- matrix multiplication -----------------------------------------------------------------------------------------


def test_axes_and_placements() -> None:
    match = accepted(matmul_kernel(), matmul_dispatch(4, 6, 5))
    assert match.axes == (
        Axis(name="M", loops=(0,), sizes=(4,)),
        Axis(name="N", loops=(1,), sizes=(6,)),
        Axis(name="K", loops=(2,), sizes=(5,)),
    )
    assert placed(match) == {
        "a": (0, 0, (((4, 5),), ((5, 1),))),
        "b": (1, 0, (((5, 6),), ((6, 1),))),
        "c": (2, 0, (((4, 6),), ((6, 1),))),
    }
    assert (match.form, match.fallback) == ("matmul", ())


@pytest.mark.parametrize(("m", "n", "k"), [(1, 8, 8), (8, 1, 8), (8, 8, 1), (1, 1, 8), (1, 8, 1), (1, 1, 1)])
def test_axes_of_size_one_have_no_loop(m: int, n: int, k: int) -> None:
    match = accepted(matmul_kernel(), matmul_dispatch(m, n, k))
    assert [match.axis(name).size for name in "MNK"] == [m, n, k]


@pytest.mark.parametrize(
    ("maps", "kinds"),
    [
        ((A, B, C), "ppr"),
        (("[[n, m, k -> m, k]]", "[[n, m, k -> k, n]]", "[[n, m, k -> m, n]]"), "ppr"),
        (("[[k, m, n -> m, k]]", "[[k, m, n -> k, n]]", "[[k, m, n -> m, n]]"), "rpp"),
    ],
)
def test_loops_in_any_order(maps: tuple[str, str, str], kinds: str) -> None:
    match = accepted(matmul_kernel(), product(*maps, kinds))
    assert [placed(match)[name][0] for name in "abc"] == [0, 1, 2]


def test_the_product_in_the_other_order() -> None:
    """`b[k, n] · a[m, k]` is the same; the operands are bound by what they are, not by where they stand."""
    swapped = "\n    %p = arith.mulf %z, %x : f32\n    %y = arith.addf %o, %p : f32\n    linalg.yield %y : f32"
    assert [placed(accepted(matmul_kernel(), product(A, B, C, "ppr", body=swapped)))[n][0] for n in "abc"] == [0, 1, 2]
    turned = accepted(matmul_kernel(), product("[[m, n, k -> k, n]]", "[[m, n, k -> m, k]]", C, "ppr"))
    assert [placed(turned)[name][0] for name in "abc"] == [1, 0, 2]


@pytest.mark.parametrize(
    ("maps", "name", "axis", "found"),
    [
        ((A_T, B, C), "a", "K", "stride 8"),
        ((A, B_T, C), "b", "N", "stride 8"),
        ((A, B, C_T), "c", "N", "stride 8"),
    ],
)
def test_transposed_operands_of_a_square_product(maps: tuple[str, str, str], name: str, axis: str, found: str) -> None:
    dispatch = product(*maps, "ppr")
    assert refused(matmul_kernel(), dispatch) == Rule(
        name=f"layout.{name}",
        passed=False,
        found=found,
        expected=f"stride 1 along {axis} (row-major, no gaps), or `strided = true` in kernel.toml",
    )
    match = accepted(matmul_kernel(strided="abc"), dispatch)
    assert placed(match)[name][2] == (((8, 1),), ((8, 8),))


def test_a_transposed_store_of_a_square_product() -> None:
    assert refused(matmul_kernel(), matmul_dispatch(after=TRANSPOSE)).name == "layout.c"
    match = accepted(matmul_kernel(strided="c"), matmul_dispatch(after=TRANSPOSE))
    assert placed(match)["c"][2] == (((8, 1),), ((8, 8),))


def test_gaps_between_rows() -> None:
    gaps = window("%a", 0, "!8x8xf32", "!8x16xf32", "0, 4", "8, 8")
    dispatch = product(A, B, C, "ppr", before=gaps)
    assert refused(matmul_kernel(), dispatch).found == "stride 16"
    assert placed(accepted(matmul_kernel(strided="a"), dispatch))["a"] == (0, 4, (((8, 16),), ((8, 1),)))
    whole_rows = product(A, B, C, "ppr", before=window("%a", 0, "!8x8xf32", "!20x8xf32", "3, 0", "8, 8"))
    assert placed(accepted(matmul_kernel(), whole_rows))["a"] == (0, 24, (((8, 8),), ((8, 1),)))


def test_a_broadcast_operand_is_another_computation() -> None:
    rule = refused(
        matmul_kernel(strided="abc"),
        product(A, "[[m, n, k -> n]]", C, "ppr", ("!8x8xf32", "!8xf32", "!8x8xf32")),
    )
    assert (rule.name, rule.found) == ("structure.loops", "loop d2 of size 8: a reduction loop in a")


def test_a_diagonal_is_another_layout() -> None:
    rule = refused(matmul_kernel(), product("[[m, n, k -> k, k]]", B, "[[m, n, k -> m, n]]", "ppr"))
    assert rule.name == "structure.loops"
    match = product("[[n, k -> k, k]]", "[[n, k -> k, n]]", "[[n, k -> n]]", "pr", ("!8x8xf32", "!8x8xf32", "!8xf32"))
    assert refused(matmul_kernel(), match).found == "stride 9"


# -- one tensor or two ---------------------------------------------------------------------------------------------


def test_a_times_itself_is_no_definition_of_a_times_b() -> None:
    gram = kernel(GRAM, {"a": "MK", "c": "MM"})
    assert refused(gram, product(A, B_T, C, "ppr")) == Rule(
        name="structure.operands",
        passed=False,
        expected="one tensor in every place of a",
        found="two, or one read in two ways",
    )
    same = product(A, B_T, C, "ppr", operands="%a, %a")
    assert placed(accepted(gram, same))["a"][0] == 0


def test_a_product_of_two_takes_one_tensor_twice() -> None:
    """a · aᵀ is a · b, where the kernel takes b in any layout: each operand with its own strides."""
    match = accepted(matmul_kernel(strided="b"), product(A, B_T, C, "ppr", operands="%a, %a"))
    assert placed(match)["a"] == (0, 0, (((8, 8),), ((8, 1),)))
    assert placed(match)["b"] == (0, 0, (((8, 1),), ((8, 8),)))


def test_a_square_is_no_product_of_two() -> None:
    square = "\n    %p = arith.mulf %x, %x : f32\n    %y = arith.addf %p, %o : f32\n    linalg.yield %y : f32"
    rule = refused(matmul_kernel(strided="abc"), product(A, B, C, "ppr", body=square))
    assert (rule.name, rule.expected, rule.found) == (
        "structure.body",
        "two operands, a and b",
        "in0 in both places",
    )


# -- loops that one axis takes -------------------------------------------------------------------------------------

TWO = ("[[m, q, n, k -> m, q, k]]", "[[m, q, n, k -> k, n]]", "[[m, q, n, k -> m, q, n]]")
TWO_TYPES = ("!4x5x8xf32", "!8x6xf32", "!4x5x6xf32")


def test_two_loops_need_a_group() -> None:
    dispatch = product(*TWO, "pppr", TWO_TYPES)
    assert refused(matmul_kernel(), dispatch) == Rule(
        name="structure.loops",
        passed=False,
        expected="at most 1 loops for M",
        found="2 loops, each a parallel loop in a (only axes named in `groups` take several)",
    )
    match = accepted(matmul_kernel(groups="M"), dispatch)
    assert (match.axis("M").sizes, match.axis("M").size) == ((4, 5), 20)
    assert placed(match)["a"][2] == (((4, 40), (5, 8)), ((8, 1),))


def test_a_group_that_memory_has_in_another_order() -> None:
    dispatch = product("[[m, q, n, k -> q, m, k]]", *TWO[1:], "pppr", ("!5x4x8xf32", *TWO_TYPES[1:]))
    assert refused(matmul_kernel(groups="M"), dispatch).found == "stride 32"
    rule = refused(matmul_kernel(groups="M", strided="abc"), dispatch)
    assert (rule.expected, rule.found) == (
        "one stride along M",
        "4 elements with stride 8 and 5 elements with stride 32",
    )
    # a generator sees both loops
    assert accepted(matmul_kernel(groups="M", strided="abc", kind="llvm-generator"), dispatch).axis("M").size == 20


def test_a_group_in_two_orders() -> None:
    maps = ("[[m, n, k, l -> m, k, l]]", "[[m, n, k, l -> l, k, n]]", "[[m, n, k, l -> m, n]]")
    dispatch = product(*maps, "pprr", ("!4x5x8xf32", "!8x5x6xf32", "!4x6xf32"))
    assert refused(matmul_kernel(groups="MNK"), dispatch).name == "layout.b"


# -- windows -------------------------------------------------------------------------------------------------------

WINDOWS = {"p + k": 6, "p * 2 + k": 9, "p + k * 2": 8, "p * 2 + k * 2": 11, "p * 4 + k * 2": 17, "p + k + 1": 7}


@pytest.mark.parametrize("strided", ["", "x"])
@pytest.mark.parametrize("defined", ["p + k", "p * 2 + k", "p + k * 2"])
@pytest.mark.parametrize("moves", WINDOWS)
def test_windows_move_as_the_definition_says(defined: str, moves: str, strided: str) -> None:
    """A dispatch may skip elements everywhere alike where the operand is strided, and start where it likes."""
    dispatch, made = convolution_dispatch(moves, WINDOWS[moves]), convolution_kernel(defined, strided=strided)
    fits = {
        "p + k": {"p + k": (0, 1), "p + k + 1": (1, 1), "p * 2 + k * 2": (0, 2)},
        "p * 2 + k": {"p * 2 + k": (0, 1), "p * 4 + k * 2": (0, 2)},
        "p + k * 2": {"p + k * 2": (0, 1)},
    }[defined]
    start_and_stride = fits.get(moves)
    if start_and_stride is None or (start_and_stride[1] != 1 and not strided):
        assert refused(made, dispatch).name == "layout.x"
        return
    start, stride = start_and_stride
    operand, found, ((part,),) = placed(accepted(made, dispatch))["x"]  # type: ignore[misc]
    assert (operand, found, part[1]) == (0, start, stride)


def test_a_window_is_needed() -> None:
    rule = refused(convolution_kernel("p + k"), matmul_dispatch())
    assert (rule.name, rule.expected) == ("structure.window", "an input that is read through a moving window")
    rule = refused(matmul_kernel(strided="abc"), convolution_dispatch("p + k", 6))
    assert (rule.name, rule.found) == ("structure.loops", "loop d0 of size 4: a parallel loop in a (windowed)")


# -- start, types, sizes -------------------------------------------------------------------------------------------


def test_the_start_of_a_sum() -> None:
    def started(value: str) -> Dispatch:
        return body_of(
            f"%s = arith.constant {value} : f32\n%a = input 0 !8x8xf32\n%b = input 1 !8x8xf32"
            + matmul(m=8, n=8, k=8).replace("%zero", "%s")
            + "\noutput 2 %r !8x8xf32"
        )

    assert refused(matmul_kernel(), started("1.0")) == Rule(
        name="structure.init", passed=False, expected="a start from 0.0", found="1.0"
    )
    accepted(matmul_kernel(), started("-0.0"))
    onto = body_of(
        "%a = input 0 !8x8xf32\n%b = input 1 !8x8xf32\n%c = input 2 !8x8xf32\n"
        "%r = linalg.matmul ins(%a, %b : !8x8xf32, !8x8xf32) outs(%c : !8x8xf32) -> !8x8xf32\noutput 3 %r !8x8xf32",
        bindings=4,
    )
    assert refused(matmul_kernel(), onto).name == "structure.epilogue"


def test_element_types() -> None:
    half = body_of(
        "%h = arith.constant 0.0 : f16\n%a = input 0 !8x8xf16\n%b = input 1 !8x8xf16"
        + matmul(m=8, n=8, k=8).replace("f32", "f16").replace("%zero", "%h")
        + "\noutput 2 %r !8x8xf16"
    )
    assert refused(matmul_kernel(), half) == Rule(
        name="structure.type", passed=False, expected="accumulation in f32", found="f16"
    )
    mixed = body_of(
        "%a = input 0 !8x8xf16\n%b = input 1 !8x8xf16"
        + matmul(m=8, n=8, k=8).replace("!8x8xf32, !8x8xf32)", "!8x8xf16, !8x8xf16)")
        + "\noutput 2 %r !8x8xf32"
    )
    assert refused(matmul_kernel(), mixed) == Rule(
        name="structure.body",
        passed=False,
        expected="a : f32 as it lies in memory, in mulf(a, b)",
        found="extf(in0) : f32, in mulf(extf(…), extf(…)) (it would fit with a prologue slot)",
    )
    accepted(matmul_kernel(kind="llvm-generator", slots=["prologue"]), mixed)


STATIC = f"""
func.func @matmul(%a: !?x?xf32, %b: !?x16xf32) -> !?x16xf32 {{{HEAD}
  %m = tensor.dim %a, %c0 : !?x?xf32
  %e = tensor.empty(%m) : !?x16xf32
  %i = linalg.fill ins(%zero : f32) outs(%e : !?x16xf32) -> !?x16xf32
  %c = linalg.matmul ins(%a, %b : !?x?xf32, !?x16xf32) outs(%i : !?x16xf32) -> !?x16xf32
  return %c : !?x16xf32
}}
"""


def test_static_sizes_in_a_definition() -> None:
    made = kernel(STATIC, MATMUL_OPERANDS, constraints=["N % 16 == 0"])
    match = accepted(made, matmul_dispatch(4, 16, 8))
    assert [(axis.name, axis.size) for axis in match.axes] == [("M", 4), ("N", 16), ("K", 8)]
    assert refused(made, matmul_dispatch(16, 8, 16)) == Rule(
        name="structure.size", passed=False, expected="a loop of size 16", found="8"
    )


def test_dynamic_sizes() -> None:
    body = """
    %m = size 0
    %n = size 2
    %a_s = subspan 0 : DT<readonly:!?x8xf32>{%m}
    %b_s = subspan 1 : DT<readonly:!8x?xf32>{%n}
    %c_s = subspan 2 : DT<writeonly:!?x?xf32>{%m, %n}
    %a = DT.load %a_s, offsets = [0, 0], sizes = [%m, 8], strides = [1, 1] : DT<readonly:!?x8xf32>{%m} -> !?x8xf32
    %b = DT.load %b_s, offsets = [0, 0], sizes = [8, %n], strides = [1, 1] : DT<readonly:!8x?xf32>{%n} -> !8x?xf32
    %e = tensor.empty(%m, %n) : !?x?xf32
    %i = linalg.fill ins(%zero : f32) outs(%e : !?x?xf32) -> !?x?xf32
    %r = linalg.matmul ins(%a, %b : !?x8xf32, !8x?xf32) outs(%i : !?x?xf32) -> !?x?xf32
    DT.store %r, %c_s, offsets = [0, 0], sizes = [%m, %n], strides = [1, 1]
        : !?x?xf32 -> DT<writeonly:!?x?xf32>{%m, %n}
    """
    match = accepted(matmul_kernel(), body_of(body, constants=4))
    n = Expr("u64", (push(2), push(3)))
    assert [match.axis(a).size for a in "MNK"] == [Expr("u64", (push(0), push(1))), n, 8]
    assert placed(match)["b"][2] == (((8, n),), ((n, 1),))


# -- slots ---------------------------------------------------------------------------------------------------------


def test_an_epilogue_needs_its_slot() -> None:
    rule = refused(matmul_kernel(), matmul_dispatch(after=RELU))
    assert rule == Rule(
        name="structure.epilogue",
        passed=False,
        expected="result 0 : f32 as it is (the kernel has no epilogue slot)",
        found="maximumf(in0, 0.0) : f32",
    )
    match = accepted(matmul_kernel(kind="glsl", slots=["epilogue"]), matmul_dispatch(after=RELU))
    assert list(placed(match)) == ["a", "b"]


def test_a_second_result_needs_the_slot() -> None:
    two = body_of(
        f"%a = input 0 !8x8xf32\n%b = input 1 !8x8xf32{matmul(m=8, n=8, k=8)}{RELU}"
        "\noutput 2 %r !8x8xf32\noutput 3 %s !8x8xf32",
        bindings=4,
    )
    assert refused(matmul_kernel(), two).name == "structure.epilogue"
    beside = body_of(
        f"%a = input 0 !8x8xf32\n%b = input 1 !8x8xf32\n%z = input 3 !5xf32{matmul(m=8, n=8, k=8)}"
        "\noutput 2 %r !8x8xf32\noutput 4 %z !5xf32",
        bindings=5,
    )
    assert refused(matmul_kernel(), beside) == Rule(
        name="structure.epilogue",
        passed=False,
        expected="nothing after the core (no epilogue slot)",
        found="2 loop nests that store",
    )


RELU_DEFINITION = MATMUL.replace(
    "return %c",
    "%z = linalg.map { arith.maximumf } ins(%c, %i : !?x?xf32, !?x?xf32) outs(%e : !?x?xf32)\n  return %z",
)


def test_an_epilogue_that_the_definition_has() -> None:
    made = kernel(RELU_DEFINITION, MATMUL_OPERANDS)
    more = accepted(made, matmul_dispatch(after=RELU)).specificity
    assert more > accepted(matmul_kernel(), matmul_dispatch()).specificity
    assert refused(made, matmul_dispatch()) == Rule(
        name="structure.epilogue",
        passed=False,
        expected="maximumf(result 0, 0.0) : f32 (the kernel has no epilogue slot)",
        found="in0 : f32",
    )


# -- several cores, softmax ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("strided", ["", "xy"])
def test_cores_are_tied_to_each_other(strided: str) -> None:
    made = kernel(STATISTICS, {"x": "RC", "y": "RC"}, strided=strided)

    def of(**options: object) -> Dispatch:
        text = f"{X8}\n%x2 = input 1 !8x8xf32\n{statistics('!8x8xf32', '!8xf32', **options)}\noutput 2 %r !8x8xf32"  # type: ignore[arg-type]
        return body_of(text)

    assert accepted(made, of()).axis("C").size == 8
    assert refused(made, of(order="%sm, %mx")) == Rule(
        name="structure.temporaries",
        passed=False,
        expected="results of the core, read as the definition reads them",
        found="another result, or its axes in another order",
    )
    refused(made, of(across="[[i, j -> j]]"))
    assert refused(made, of(sources=("%x", "%x2", "%x"))).name == "structure.operands"
    assert refused(made, of(sources=("%x", "%x", "%x2"))).name == "structure.operands"


def test_softmax() -> None:
    made = kernel(SOFTMAX, {"x": "RC", "y": "RC"})
    accepted(made, softmax_of())
    assert refused(made, softmax_of(0)).name == "layout.x"
    assert refused(made, softmax_of(after=TRANSPOSE)).name == "layout.y"
    part = softmax_of(source=window("%x", 0, "!8x8xf32", "!8x16xf32", "0, 4", "8, 8"))
    assert refused(made, part).found == "stride 16"
    free = kernel(SOFTMAX, {"x": "RC", "y": "RC"}, strided="xy")
    assert placed(accepted(free, part))["x"][1] == 4
    assert placed(accepted(free, softmax_of(0)))["x"][2] == (((8, 1),), ((8, 8),))
    assert placed(accepted(free, softmax_of(after=TRANSPOSE)))["y"][2] == (((8, 1),), ((8, 8),))


def test_what_the_cores_are_comes_first() -> None:
    rule = refused(kernel(SOFTMAX, {"x": "RC", "y": "RC"}), matmul_dispatch())
    assert rule == Rule(name="structure.cores", passed=False, expected="linalg.softmax", found="arith.addf")
    copy = dispatch_of("%a = input 0 !8xf32\noutput 1 %a !8xf32", bindings=2)
    assert refused(matmul_kernel(), copy).found == "element-wise work only"


# -- indices and gathers -------------------------------------------------------------------------------------------


def test_the_index_that_the_definition_computes_with() -> None:
    """The lower triangle of x, where only the index says which of two equal axes is which."""

    def of(inputs: str, outputs: str, indices: tuple[int, int]) -> Dispatch:
        return body_of(f"{X8}{lower_triangle(inputs, outputs, indices)}\noutput 1 %r !8x8xf32", bindings=2)

    same, turned = "[[i, j -> i, j]]", "[[i, j -> j, i]]"
    for strided in ("", "y", "xy"):
        made = kernel(TRIANGLE, {"x": "MN", "y": "MN"}, strided=strided)
        accepted(made, of(same, same, (0, 1)))
        accepted(made, of(turned, turned, (1, 0)))
        if strided != "xy":
            refused(made, of(turned, turned, (0, 1)))
            refused(made, of(same, same, (1, 0)))
            refused(made, of(turned, same, (0, 1)))
    # xᵀ's lower triangle, and x's upper one as the lower one of xᵀ: other strides of the same computation
    free = kernel(TRIANGLE, {"x": "MN", "y": "MN"}, strided="xy")
    assert placed(accepted(free, of(turned, same, (0, 1))))["x"][2] == (((8, 1),), ((8, 8),))
    assert placed(accepted(free, of(same, same, (1, 0))))["y"][2] == (((8, 1),), ((8, 8),))


def test_gathers() -> None:
    made = kernel(GATHER, {"t": "VN", "i": "M", "y": "MN"})
    match = accepted(made, gather_dispatch())
    assert placed(match)["t"] == (0, 0, (((9, 8),), ((8, 1),)))
    assert {a.name: a.size for a in match.axes} == {"M": 4, "N": 8, "V": 9}
    part = gather_dispatch(window("%t", 0, "!9x8xf32", "!9x16xf32", "0, 4", "9, 8"))
    assert refused(made, part).name == "layout.t"
    assert refused(kernel(GATHER, {"t": "VN", "i": "M", "y": "MN"}, kind="llvm-generator"), part).name == "layout.t"
    assert placed(accepted(kernel(GATHER, {"t": "VN", "i": "M", "y": "MN"}, strided="t"), part))["t"][1] == 4


# -- memory --------------------------------------------------------------------------------------------------------


def test_a_result_in_the_place_of_an_input() -> None:
    in_place = (
        """
    %a = input 0 !8x8xf32
    %b_s = subspan 1 : DT<readwrite:!8x8xf32>
    %b = DT.load %b_s, offsets = [0, 0], sizes = [8, 8], strides = [1, 1] : DT<readwrite:!8x8xf32> -> !8x8xf32
    """
        + matmul(m=8, n=8, k=8)
        + """
    DT.store %r, %b_s, offsets = [0, 0], sizes = [8, 8], strides = [1, 1] : !8x8xf32 -> DT<readwrite:!8x8xf32>
    """
    )
    assert refused(matmul_kernel(), body_of(in_place, bindings=2)) == Rule(
        name="structure.memory",
        passed=False,
        expected="results in memory that the dispatch does not read",
        found="a result that overwrites an input in binding 1",
    )


def triangle_in_place(inputs: str) -> Dispatch:
    text = (
        """
    %x_s = subspan 0 : DT<readwrite:!8x8xf32>
    %x = DT.load %x_s, offsets = [0, 0], sizes = [8, 8], strides = [1, 1] : DT<readwrite:!8x8xf32> -> !8x8xf32
    """
        + lower_triangle(inputs, "[[i, j -> i, j]]", (0, 1))
        + """
    DT.store %r, %x_s, offsets = [0, 0], sizes = [8, 8], strides = [1, 1] : !8x8xf32 -> DT<readwrite:!8x8xf32>
    """
    )
    return body_of(text, bindings=1)


def test_element_by_element_a_result_may_take_an_inputs_place() -> None:
    made = kernel(TRIANGLE, {"x": "MN", "y": "MN"}, strided="xy")
    accepted(made, triangle_in_place("[[i, j -> i, j]]"))
    assert refused(made, triangle_in_place("[[i, j -> j, i]]")).name == "structure.memory"
