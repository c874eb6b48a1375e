"""Launches of dispatches in a host program, evaluated from the IR."""

from __future__ import annotations

from typing import Any

import pytest

from substitute.compiler import Compilation
from substitute.flags import with_default_target
from substitute.model.index import evaluate
from substitute.read.module import read_module
from substitute.validate.call_sites import CallSite, Evaluator, Shapes, Unknown, find_call_sites

pytestmark = pytest.mark.compile

CHAIN = """
func.func @chain(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %M = tensor.dim %a, %c0 : tensor<?x?xf32>
  %N = tensor.dim %b, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%M, %N) : tensor<?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  %d = linalg.matmul ins(%c, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  %e = linalg.matmul ins(%d, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %e : tensor<?x?xf32>
}
"""


def sites_of(text: str, shapes: Shapes, *, drawn: bool = False) -> tuple[list[CallSite], dict[str, Any]]:
    with Compilation(with_default_target(()), name="test") as compilation:
        compilation.parse(text.encode())
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        dispatches = {s.dispatch.name: s.dispatch for s in read_module(compilation.module)}
        flags = {(d.executable, d.variant, d.name): d.layout.bindings for d in dispatches.values()}
        return find_call_sites(compilation.module, flags, shapes, drawn=drawn), dispatches


def test_open_sizes() -> None:
    sites, dispatches = sites_of(CHAIN, {"chain": [(5, 7), (7, 7)]})
    launches = [s.launch for s in sites]
    assert len(launches) == 3
    for site, launch in zip(sites, launches, strict=True):
        assert launch is not None and site.reason == ""
        program = dispatches[site.dispatch[2]].program
        assert program is not None
        # the sizes that the dispatch computes from its constants are those of the call
        shapes = {tuple(evaluate(s, launch.constants) for s in o.type.shape) for o in program.operands}
        assert shapes == {(5, 7), (7, 7)}
        for operand in program.operands:
            binding = launch.bindings[operand.binding]
            size = 4 * int(evaluate(operand.type.shape[0], launch.constants)) * 7
            assert 0 <= evaluate(operand.byte_offset, launch.constants) <= binding.length - size
    first, second, last = launches
    assert first is not None and second is not None and last is not None
    assert [b.read_only for b in first.bindings] == [True, True, False]
    # the second reads and writes one and the same buffer; the others write into one of their own
    assert second.bindings[0].resource == second.bindings[2].resource != second.bindings[1].resource
    assert len({b.resource for b in first.bindings}) == 3


def test_sizes_that_nobody_gives() -> None:
    sites, _ = sites_of(CHAIN, {})
    assert all(s.launch is not None and set(s.launch.workload) == {8} for s in sites)
    other, _ = sites_of(CHAIN, {"": [(5, 7), (7, 7)]})
    assert all(s.launch is not None and set(s.launch.workload) == {5, 7} for s in other)


def test_drawn_sizes_lie_in_the_range_that_the_program_assumes() -> None:
    text = """
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @f(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %M = tensor.dim %a, %c0 : tensor<?x?xf32>
  %K0 = tensor.dim %a, %c1 : tensor<?x?xf32>
  %K = util.assume.int %K0<umin = 32, umax = 96, udiv = 16> : index
  %x = flow.tensor.tie_shape %a : tensor<?x?xf32>{%M, %K}
  %e = tensor.empty(%M, %K) : tensor<?x?xf32>
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
    ins(%x, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%e : tensor<?x?xf32>) {
  ^bb0(%s: f32, %t: f32, %o: f32):
    %u = arith.addf %s, %t : f32
    linalg.yield %u : f32
  } -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}"""
    for size, expected in ((8, 32), (33, 48), (4000, 96)):
        (site,), _ = sites_of(text, {"": ((size,) * 2,) * 2}, drawn=True)
        assert site.launch is not None
        assert {b.length for b in site.launch.bindings} == {4 * expected * expected}
    (site,), _ = sites_of(text, {"": ((5, 7),) * 2})  # a person's own sizes stay
    assert site.launch is not None and {b.length for b in site.launch.bindings} == {4 * 5 * 7}


def test_what_cannot_be_known() -> None:
    from iree.compiler import ir

    with ir.Context() as context, ir.Location.unknown():
        module = ir.Module.parse(
            "func.func @f(%x: index, %t: tensor<4xindex>) -> (index, index) {\n"
            "%c3 = arith.constant 3 : index\n%c5 = arith.constant 5 : index\n%p = arith.cmpi ult, %c3, %c5 : index\n"
            "%s = arith.select %p, %c5, %x : index\n%v = tensor.extract %t[%c3] : tensor<4xindex>\n"
            "%w = arith.addi %v, %c3 : index\nreturn %s, %w : index, index\n}",
            context,
        )
        (function,) = module.body.operations
        returned = list(function.regions[0].blocks[0].operations)[-1].operands
        assert Evaluator().value(returned[0]) == 5
        with pytest.raises(Unknown, match=r"it depends on tensor\.extract"):
            Evaluator().value(returned[1])
