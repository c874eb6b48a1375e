"""Packed elements and complex numbers in memory."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from substitute.golden.layout import pack, stored_form, stored_store, unpack
from substitute.golden.memory import Golden, Store, Subspan
from substitute.golden.numbers import element_of
from substitute.golden.unsupported import Unsupported
from substitute.validate.audit import audit_model

unit = pytest.mark.unit


def span(element: str, *shape: int, index_limit: int | None = None) -> Subspan:
    return Subspan(binding=0, byte_offset=8, element=element, shape=shape, access="writeonly", index_limit=index_limit)


def store_of(place: Subspan, values: object, error: object = 0.0, offsets: tuple[int, ...] | None = None) -> Store:
    value = np.array(values)
    golden = Golden(value=value, error=np.broadcast_to(error, value.shape), depth=1, element=place.element)
    return Store(
        subspan=place,
        offsets=offsets or (0,) * value.ndim,
        sizes=value.shape,
        strides=(1,) * value.ndim,
        coordinates=None,
        golden=golden,
    )


@unit
@pytest.mark.parametrize(("name", "bits"), [("packed i1", 1), ("i2", 2), ("i4", 4), ("f4E2M1FN", 4)])
def test_every_byte_comes_back(name: str, bits: int) -> None:
    element, raw = element_of(name), np.arange(256, dtype=np.uint8)
    assert element.packed and element.bits == bits
    values = unpack(raw, element, 256 * 8 // bits)
    assert np.array_equal(pack(values, element), raw)
    assert span(name, 4, 4).size_bytes == 16 * bits // 8


@unit
def test_the_first_element_lies_in_the_lowest_bits() -> None:
    assert unpack(np.array([0xF1, 0x78], np.uint8), element_of("i4"), 4).tolist() == [1, -1, -8, 7]
    assert unpack(np.array([0b11_10_01_00], np.uint8), element_of("i2"), 4).tolist() == [0, 1, -2, -1]


@unit
def test_a_byte_with_a_doubtful_element_is_not_judged() -> None:
    found = stored_store(store_of(span("i4", 2, 2), [[1, -1], [2, 3]], [[0, 0], [0, 1]]))
    assert found.subspan.element == "i8" and found.sizes == found.subspan.shape == (2,)
    assert found.golden.value.view(np.uint8).tolist() == [0xF1, 0x32]
    assert found.golden.error.tolist() == [0, np.inf]


@unit
def test_what_cannot_be_said_in_bytes_is_refused() -> None:
    with pytest.raises(Unsupported, match="a store of some elements of type i4"):
        stored_store(store_of(span("i4", 4), [1, 2], offsets=(2,)))
    with pytest.raises(Unsupported, match="an index of type i4"):
        stored_form(span("i4", 4, index_limit=3))


@unit
def test_complex_numbers_are_pairs() -> None:
    found = stored_store(store_of(span("complex<f32>", 2), [1 + 2j, 3 - 4j], [0.5, np.inf], offsets=(0,)))
    assert (found.subspan.element, found.subspan.shape, found.sizes) == ("f32", (2, 2), (2, 2))
    assert found.golden.value.tolist() == [[1, 2], [3, -4]]
    assert found.golden.error.tolist() == [[0.5, 0.5], [np.inf, np.inf]]
    assert stored_form(span("i8", 3)) == span("i8", 3)


MODEL = """
!bits = tensor<64xi1, #iree_encoding.packed_storage>
#id = affine_map<(i) -> (i)>
func.func @narrow(%a: tensor<8x9xi8>) -> tensor<8x9xi4> {
  %r = arith.trunci %a : tensor<8x9xi8> to tensor<8x9xi4>
  return %r : tensor<8x9xi4>
}
func.func @turned(%a: tensor<6x8xi4>) -> tensor<8x6xi4> {
  %e = tensor.empty() : tensor<8x6xi4>
  %r = linalg.transpose ins(%a : tensor<6x8xi4>) outs(%e : tensor<8x6xi4>) permutation = [1, 0]
  return %r : tensor<8x6xi4>
}
func.func @wide(%a: tensor<64xi2>) -> tensor<64xi32> {
  %r = arith.extui %a : tensor<64xi2> to tensor<64xi32>
  return %r : tensor<64xi32>
}
func.func @bits(%a: !bits, %b: !bits) -> !bits {
  %e = tensor.empty() : !bits
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%a, %b : !bits, !bits) outs(%e : !bits) {
  ^bb0(%x: i1, %y: i1, %o: i1):
    %p = arith.xori %x, %y : i1
    linalg.yield %p : i1
  } -> !bits
  return %r : !bits
}
func.func @scaled(%a: tensor<4xcomplex<f32>>) -> tensor<4xcomplex<f32>> {
  %c = arith.constant dense<[(1.0, 2.0), (3.0, 4.0), (-1.0, 0.5), (0.0, -4.0)]> : tensor<4xcomplex<f32>>
  %e = tensor.empty() : tensor<4xcomplex<f32>>
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%a, %c : tensor<4xcomplex<f32>>, tensor<4xcomplex<f32>>) outs(%e : tensor<4xcomplex<f32>>) {
  ^bb0(%x: complex<f32>, %y: complex<f32>, %o: complex<f32>):
    %p = complex.mul %x, %y : complex<f32>
    linalg.yield %p : complex<f32>
  } -> tensor<4xcomplex<f32>>
  return %r : tensor<4xcomplex<f32>>
}
"""


@pytest.mark.compile
@pytest.mark.device
def test_iree_lays_them_out_so(tmp_path: Path) -> None:
    path = tmp_path / "model.mlir"
    path.write_text(MODEL)
    # IREE 3.13 compiles no masked stores of i4, which it makes for AVX-512
    flags = ("--iree-llvmcpu-target-cpu=haswell",) if platform.machine() == "x86_64" else ()
    audit = audit_model(path, device="local-sync", flags=flags)
    assert [(a.name.partition("_dispatch")[0], a.outcome, a.reason) for a in audit.dispatches] == [
        (name, "right", "") for name in ("narrow", "turned", "wide", "bits", "scaled")
    ]
