"""Programs whose results depend on the order in which elements are stored."""

from __future__ import annotations

import pytest

from kernels.contraction import generator as contraction
from kernels.vulkan import tiles
from runtime_tests.read.executables import program_of
from runtime_tests.read.short_form import filled, generic, matmul
from substitute.codegen.hazards import refuse_hazards
from substitute.codegen.unsupported import Unsupported
from substitute.model.dispatch import Program

pytestmark = pytest.mark.compile
HEAD = "%zero = arith.constant 0.0 : f32\n"
WHOLE = "offsets = [0, 0], sizes = [8, 8], strides = [1, 1]"
LOADED = f"""
    %{{0}}_s = subspan {{1}} : DT<readwrite:!8x8xf32>
    %{{0}} = DT.load %{{0}}_s, {WHOLE} : DT<readwrite:!8x8xf32> -> !8x8xf32"""
STORED = f"""
    DT.store %r, %{{0}}_s, {WHOLE} : !8x8xf32 -> DT<readwrite:!8x8xf32>
    """
PRODUCT_SUM = """
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32"""


def product(target: str, loops: str = "i, j, k", kinds: str = "ppr") -> Program:
    """`a · b`, stored in the place of one of them."""
    maps = ", ".join(f"[[{loops} -> {at}]]" for at in ("i, k", "k, j", "i, j"))
    scalars = "%x: f32, %y: f32, %o: f32"
    made = generic("%r", maps, kinds, "%a, %b", "!8x8xf32, !8x8xf32", "%init", "!8x8xf32", PRODUCT_SUM, scalars)
    body = HEAD + LOADED.format("a", 0) + LOADED.format("b", 1) + filled("!8x8xf32") + made + STORED.format(target)
    return program_of(body, bindings=2)


def refusal(program: Program) -> str:
    try:
        refuse_hazards(program)
    except Unsupported as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize("target", ["a", "b"])
@pytest.mark.parametrize(("loops", "kinds"), [("i, j, k", "ppr"), ("i, k, j", "prp"), ("k, i, j", "rpp")])
def test_a_product_does_not_take_the_place_of_a_factor(target: str, loops: str, kinds: str) -> None:
    """With the loops i, k, j the factor is read by the coordinates by which the result is stored."""
    program = product(target, loops, kinds)
    assert "read and written at different places" in refusal(program)
    for generator in (contraction, tiles):
        assert "read and written at different places" in generator.can_generate(program)


def test_twin_in_memory_of_its_own() -> None:
    text = HEAD + "%a = input 0 !8x8xf32\n%b = input 1 !8x8xf32\n" + matmul(m=8, n=8, k=8) + "\noutput 2 %r !8x8xf32"
    program = program_of(text, bindings=3)
    assert [refusal(program), contraction.can_generate(program), tiles.can_generate(program)] == ["", "", ""]


def test_a_product_is_added_to_what_is_there() -> None:
    maps = "[[i, j, k -> i, k]], [[i, j, k -> k, j]], [[i, j, k -> i, j]]"
    scalars = "%x: f32, %y: f32, %o: f32"
    made = generic("%r", maps, "ppr", "%a, %b", "!8x8xf32, !8x8xf32", "%c", "!8x8xf32", PRODUCT_SUM, scalars)
    body = "%a = input 0 !8x8xf32\n%b = input 1 !8x8xf32\n" + LOADED.format("c", 2) + made + STORED.format("c")
    program = program_of(body, bindings=3)
    assert [refusal(program), contraction.can_generate(program)] == ["", ""]


def test_a_row_takes_its_own_place() -> None:
    """Its sum is complete before it is scaled."""
    sums = "\n    %s = arith.addf %o, %x : f32\n    linalg.yield %s : f32"
    scaled = "\n    %q = arith.divf %x, %y : f32\n    linalg.yield %q : f32"
    body = (
        HEAD
        + LOADED.format("a", 0)
        + filled("!8xf32")
        + generic(
            "%t", "[[i, j -> i, j]], [[i, j -> i]]", "pr", "%a", "!8x8xf32", "%init", "!8xf32", sums, "%x: f32, %o: f32"
        )
        + "\n%e = tensor.empty() : !8x8xf32"
        + generic(
            "%r",
            "[[i, j -> i, j]], [[i, j -> i]], [[i, j -> i, j]]",
            "pp",
            "%a, %t",
            "!8x8xf32, !8xf32",
            "%e",
            "!8x8xf32",
            scaled,
            "%x: f32, %y: f32, %o: f32",
        )
        + STORED.format("a")
    )
    assert refusal(program_of(body, bindings=1)) == ""
