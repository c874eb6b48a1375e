"""Programs that generators leave to IREE because they are known to be slow, and similar ones that are accepted."""

from __future__ import annotations

import pytest

from kernels.contraction import generator as contraction
from kernels.rows import generator as loops
from runtime_tests.payload.contraction_programs import Case, build
from runtime_tests.read.executables import program_of
from runtime_tests.read.short_form import elementwise, filled
from substitute.model.dispatch import Program

pytestmark = pytest.mark.compile


def pairwise(second: str, body: str, kinds: str = "parallel, parallel, reduction", out: str = "m, n") -> Program:
    """A sum over k of `body` (from %x and %y to %v), for 8×16×32."""
    shape = "!16x32xf32" if second == "n, k" else "!32x16xf32"
    iterators = ", ".join(f'"{kind}"' for kind in kinds.split(", "))
    return program_of(
        f"""%a = input 0 !8x32xf32
        %b = input 1 {shape}
        %zero = arith.constant 0.0 : f32{filled("!8x16xf32")}
        %r = linalg.generic {{indexing_maps = [[[m, n, k -> m, k]], [[m, n, k -> {second}]], [[m, n, k -> {out}]]],
            iterator_types = [{iterators}]}} ins(%a, %b : !8x32xf32, {shape}) outs(%init : !8x16xf32) {{
        ^bb0(%x: f32, %y: f32, %o: f32):
          {body}
          %s = arith.addf %o, %v : f32
          linalg.yield %s : f32
        }} -> !8x16xf32
        output 2 %r !8x16xf32"""
    )


DISTANCE = "%d = arith.subf %x, %y : f32\n %v = arith.mulf %d, %d : f32"
EXPONENTIAL = "%e = math.exp %x : f32\n %v = arith.mulf %e, %y : f32"


@pytest.mark.parametrize(
    ("second", "body", "refused"),
    [
        ("k, n", DISTANCE, True),
        ("n, k", DISTANCE, False),
        ("k, n", EXPONENTIAL, True),
        ("n, k", EXPONENTIAL, True),
        ("k, n", "%v = arith.mulf %x, %y : f32", True),
    ],
)
def test_loops_leave_rows_times_columns(second: str, body: str, refused: bool) -> None:
    assert ("no tiles" in loops.can_generate(pairwise(second, body))) is refused


def test_a_contraction_leaves_rows_times_rows() -> None:
    rows = build(Case(spec="m,k;m,k->m", sizes=dict(m=8, k=32)))
    assert "reduction of rows" in contraction.can_generate(rows)
    assert not loops.can_generate(rows)
    assert not contraction.can_generate(build(Case(spec="b,m,k;b,k,n->b,m,n", sizes=dict(b=3, m=4, n=5, k=6))))


@pytest.mark.parametrize(("function", "refused"), [("sin", True), ("log1p", True), ("exp", False), ("sqrt", False)])
def test_slow_functions(function: str, refused: bool) -> None:
    body = elementwise("%r", "%a", "!4x8xf32", f"\n    %y = math.{function} %x : f32")
    program = program_of(f"%a = input 0 !4x8xf32{body}\noutput 1 %r !4x8xf32", bindings=2)
    assert (f"math.{function}" in loops.can_generate(program)) is refused
