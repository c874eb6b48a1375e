"""Failures that random programs found, each as its smallest function."""

from __future__ import annotations

import pytest

from runtime_tests.fuzz.function import Argument, Function, Size
from runtime_tests.fuzz.judge import judge_functions
from runtime_tests.fuzz.outcome import Setting

SOFTMAX_OF_A_CONSTANT = """() -> (tensor<3x4xf32>) {
  %x = arith.constant dense<2.0> : tensor<3x4xf32>
  %e = tensor.empty() : tensor<3x4xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<3x4xf32>) outs(%e : tensor<3x4xf32>) -> tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}"""
EXTREMUM_OF_NOTHING = """(%a: tensor<3x?xf32>) -> (tensor<3xf32>) {
  %inf = arith.constant 0x7F800000 : f32
  %e = tensor.empty() : tensor<3xf32>
  %i = linalg.fill ins(%inf : f32) outs(%e : tensor<3xf32>) -> tensor<3xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0)>],
    iterator_types = ["parallel", "reduction"]} ins(%a : tensor<3x?xf32>) outs(%i : tensor<3xf32>) {
  ^bb0(%x: f32, %b: f32):
    %m = arith.minimumf %b, %x : f32
    linalg.yield %m : f32
  } -> tensor<3xf32>
  return %r : tensor<3xf32>
}"""
ERROR_ALONG_ONE_AXIS = """(%a: tensor<6x5xi16>, %b: tensor<6xf64>) -> (tensor<6x5xi16>) {
  %e = tensor.empty() : tensor<6x5xi16>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0)>,
    affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
    ins(%a, %b : tensor<6x5xi16>, tensor<6xf64>) outs(%e : tensor<6x5xi16>) {
  ^bb0(%x: i16, %y: f64, %o: i16):
    %f = arith.truncf %y : f64 to f32
    %low = arith.constant -100.0 : f32
    %high = arith.constant 100.0 : f32
    %m = arith.maxnumf %f, %low : f32
    %n = arith.minnumf %m, %high : f32
    %i = arith.fptosi %n : f32 to i16
    %s = arith.addi %x, %i : i16
    linalg.yield %s : i16
  } -> tensor<6x5xi16>
  return %r : tensor<6x5xi16>
}"""
SIGN_OF_NAN = """(%a: tensor<64xf32>, %b: tensor<64xf32>) -> (tensor<64xf32>) {
  %e = tensor.empty() : tensor<64xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
    iterator_types = ["parallel"]} ins(%a, %b : tensor<64xf32>, tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%x: f32, %y: f32, %o: f32):
    %t = math.tanh %x : f32
    %z = arith.constant 0.0 : f32
    %m = arith.maximumf %x, %z : f32
    %q = arith.divf %t, %m : f32
    %c = math.copysign %y, %q : f32
    linalg.yield %c : f32
  } -> tensor<64xf32>
  return %r : tensor<64xf32>
}"""

BYTES_TIMES_A_CONSTANT = """(%a: tensor<3x16xi8>) -> (tensor<3x15xi32>) {
  %k = arith.constant dense<7> : tensor<15x16xi8>
  %one = arith.constant -1 : i32
  %e = tensor.empty() : tensor<3x15xi32>
  %i = linalg.fill ins(%one : i32) outs(%e : tensor<3x15xi32>) -> tensor<3x15xi32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d1, d2)>,
    affine_map<(d0, d1, d2) -> (d0, d1)>], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %k : tensor<3x16xi8>, tensor<15x16xi8>) outs(%i : tensor<3x15xi32>) {
  ^bb0(%x: i8, %y: i8, %s: i32):
    %u = arith.extsi %x : i8 to i32
    %v = arith.extsi %y : i8 to i32
    %p = arith.muli %u, %v : i32
    %t = arith.addi %s, %p : i32
    linalg.yield %t : i32
  } -> tensor<3x15xi32>
  return %r : tensor<3x15xi32>
}"""
REVERSED_WITHOUT_A_LIBRARY = """(%a: tensor<8x12xi8>, %b: tensor<8x12xi8>) -> (tensor<8x12xf64>) {
  %e = tensor.empty() : tensor<8x12xf64>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 11 - d1)>,
    affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
    ins(%a, %b : tensor<8x12xi8>, tensor<8x12xi8>) outs(%e : tensor<8x12xf64>) {
  ^bb0(%x: i8, %y: i8, %o: f64):
    %s = arith.sitofp %x : i8 to f64
    %t = arith.sitofp %y : i8 to f64
    %u = math.atan2 %s, %t : f64
    linalg.yield %u : f64
  } -> tensor<8x12xf64>
  return %r : tensor<8x12xf64>
}"""


def function(text: str, *arguments: Argument) -> Function:
    return Function(seed="", choices=(len(text),), arguments=arguments, parts=(text,), results=1, kinds=())


def argument(element: str, *sizes: int | tuple[int, int]) -> Argument:
    return Argument(tuple(Size((s, s)) if isinstance(s, int) else Size(s, open=True) for s in sizes), element)


@pytest.mark.device
def test_what_was_found_before() -> None:
    functions = [
        function(SOFTMAX_OF_A_CONSTANT),
        function(EXTREMUM_OF_NOTHING, argument("f32", 3, (4, 0))),
        function(ERROR_ALONG_ONE_AXIS, argument("i16", 6, 5), argument("f64", 6)),
        function(SIGN_OF_NAN, argument("f32", 64), argument("f32", 64)),
        function(BYTES_TIMES_A_CONSTANT, argument("i8", 3, 16)),
    ]
    report = judge_functions(functions, Setting())
    assert report.findings == []
    assert report.refused == {}
    assert report.counts["cases"] >= 5


@pytest.mark.device
def test_what_iree_does_not_compile_either_is_no_fault_of_a_kernel() -> None:
    """IREE's own code fails on the reversed map, and behind `reversed_reads` on the missing function."""
    arguments = (argument("i8", 8, 12), argument("i8", 8, 12))
    report = judge_functions([function(REVERSED_WITHOUT_A_LIBRARY, *arguments)], Setting(whole=False))
    assert report.findings == []
    assert list(report.refused) == [0] and "linalg.generic" in report.refused[0]
