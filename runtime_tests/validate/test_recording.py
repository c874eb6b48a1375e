"""Launches that are only known when the host program runs."""

from __future__ import annotations

import time

import pytest

from substitute.compiler import Compilation
from substitute.flags import with_default_target
from substitute.read.module import read_module
from substitute.validate.call_sites import CallSite, find_call_sites
from substitute.validate.recording import CALL_LIMIT, Recorder, known_call_sites

pytestmark = [pytest.mark.compile, pytest.mark.device]

COUNTDOWN = """
func.func @main(%x: tensor<16xf32>, %n: tensor<i32>) -> tensor<16xf32> {
  %zero = arith.constant 0 : i32
  %one = arith.constant dense<1> : tensor<i32>
  %r:2 = scf.while (%i = %n, %a = %x) : (tensor<i32>, tensor<16xf32>) -> (tensor<i32>, tensor<16xf32>) {
    %v = tensor.extract %i[] : tensor<i32>
    %c = arith.cmpi SIGN, %v, %zero : i32
    scf.condition(%c) %i, %a : tensor<i32>, tensor<16xf32>
  } do {
  ^bb0(%i: tensor<i32>, %a: tensor<16xf32>):
    %v = tensor.extract %i[] : tensor<i32>
    %f = arith.sitofp %v : i32 to f32
    %e = tensor.empty() : tensor<16xf32>
    %s = linalg.fill ins(%f : f32) outs(%e : tensor<16xf32>) -> tensor<16xf32>
    %q = arith.mulf %a, %s : tensor<16xf32>
    %j = arith.subi %i, %one : tensor<i32>
    scf.yield %j, %q : tensor<i32>, tensor<16xf32>
  }
  return %r#1 : tensor<16xf32>
}
"""
ARGUMENTS = """
func.func @scaled(%x: tensor<16xf32>, %s: f32, %n: i32) -> tensor<16xf32> {
  %hidden = util.optimization_barrier %s : f32
  %m = arith.sitofp %n : i32 to f32
  %e = tensor.empty() : tensor<16xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<16xf32>) outs(%e : tensor<16xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = arith.mulf %a, %hidden : f32
    %q = arith.addf %p, %m : f32
    linalg.yield %q : f32
  } -> tensor<16xf32>
  return %r : tensor<16xf32>
}
"""


def both(text: str) -> tuple[list[CallSite], list[CallSite]]:
    """The launches as they can be worked out, and those with what was recorded."""
    with Compilation(with_default_target(()), name="test") as compilation:
        compilation.parse(text.encode())
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        dispatches = [site.dispatch for site in read_module(compilation.module)]
        flags = {(d.executable, d.variant, d.name): d.layout.bindings for d in dispatches}
        before = str(compilation.module)
        found = find_call_sites(compilation.module, flags)
        recorded = known_call_sites(compilation, compilation.module, flags, {}, device="local-sync", signatures={})
        assert str(compilation.module) == before, "the module stays as it is"
        return found, recorded


def test_a_launch_in_a_loop_over_data() -> None:
    found, recorded = both(COUNTDOWN.replace("SIGN", "sgt"))
    assert [s.reason for s in found] == ["it depends on stream.resource.load", ""]
    assert all(s.launch is not None and s.reason == "" for s in recorded)
    assert recorded[0].launch is not None and recorded[0].launch.constants == (1,), "the first time round"
    assert recorded[1] == found[1]


def test_a_launch_that_no_run_comes_to() -> None:
    _, recorded = both(COUNTDOWN.replace("SIGN", "slt"))
    assert [s.reason for s in recorded] == [
        "it depends on stream.resource.load (no run with drawn inputs came there)",
        "",
    ]


def test_scalar_arguments_need_no_run() -> None:
    (found,), _ = both(ARGUMENTS)
    assert found.reason == "" and found.launch is not None and len(found.launch.constants) == 2


def test_a_run_that_never_ends_is_ended() -> None:
    recorder = Recorder(deadline=time.monotonic() + 3600)
    with pytest.raises(RuntimeError, match="takes too long"):
        for _ in range(CALL_LIMIT + 2):
            recorder.note(0, -1, 0)
    with pytest.raises(RuntimeError, match="takes too long"):
        Recorder(deadline=time.monotonic()).note(0, -1, 0)
