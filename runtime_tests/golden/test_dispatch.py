"""IREE's dispatches: the golden compared with stock IREE's results and with the reader's interpreter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from runtime_tests.conftest import CPU_FLAGS
from runtime_tests.golden.functions import Array, normal
from runtime_tests.read.interpreter import flat, run
from runtime_tests.read.programs import FUNCTIONS, Function
from substitute.compiler import Compilation
from substitute.device import Session
from substitute.errors import UsageError
from substitute.golden import Budget, Outcome, Unsupported, describe, evaluate
from substitute.read.module import Site, read_module
from substitute.validate.call_sites import find_call_sites

pytestmark = [pytest.mark.compile, pytest.mark.device]
BY_NAME = {f.name: f for f in FUNCTIONS}
INTERPRETED = [f.name for f in FUNCTIONS if f.name != "argmax"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """All functions in one module, before and after."""

    compilation: Compilation
    sites: dict[str, Site]
    constants: dict[str, tuple[int, ...]]
    """Push constants of each dispatch."""
    session: Session


@pytest.fixture(scope="module")
def compiled() -> Iterator[Compiled]:
    text = "".join(f.text for f in FUNCTIONS)
    with Compilation(CPU_FLAGS, name="functions") as compilation:
        compilation.parse(text.encode())
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        kept = compilation.module.clone().operation
        compilation.run("executable-sources", "end")
        sites = {site.dispatch.name.partition("_dispatch_")[0]: site for site in read_module(kept)}
        with Session(compilation.bytecode(), device="local-sync") as session:
            yield Compiled(compilation, sites, launched(kept, sites), session)


def launched(module: Any, sites: dict[str, Site]) -> dict[str, tuple[int, ...]]:
    by_key = {(s.dispatch.executable, s.dispatch.variant, s.dispatch.name): name for name, s in sites.items()}
    bindings = {key: sites[name].dispatch.layout.bindings for key, name in by_key.items()}
    shapes = {f.name: f.shapes for f in FUNCTIONS if f.shapes}
    found = {by_key[site.dispatch]: site.launch for site in find_call_sites(module, bindings, shapes)}
    return {name: launch.constants for name, launch in found.items() if launch is not None}


def inputs_of(function: Function) -> list[Array]:
    random = np.random.default_rng(11)
    values: list[Array] = []
    for number, type_ in enumerate(function.inputs):
        *sizes, element = type_.lstrip("!").split("x")
        shape = function.shapes[number] if function.shapes else tuple(map(int, sizes))
        if element[0] == "f":
            values.append(random.standard_normal(shape).astype(element.replace("f", "float")))
        else:
            values.append(random.integers(0, 11, shape).astype(element.replace("i", "int")))
    return values


def buffers_of(site: Site, inputs: list[Array], constants: Sequence[int]) -> list[Array]:
    """The bytes of each binding: the inputs in the order of those that fit, zeros where results go."""
    spans = describe(site.function, constants)
    ends = [0] * len(site.dispatch.layout.bindings)
    for span in spans:
        ends[span.binding] = max(ends[span.binding], span.byte_offset + span.size_bytes)
    buffers = [np.zeros(end, np.uint8) for end in ends]
    left = list(inputs)
    for span in spans:
        if span.access != "writeonly" and left:
            view = span.view(buffers[span.binding])
            fits = [i for i, x in enumerate(left) if x.size == view.size and x.dtype.itemsize == view.dtype.itemsize]
            if fits:  # (else it is filled with zeros before)
                view[...] = left.pop(fits[0]).reshape(view.shape).view(view.dtype)
    return buffers


def golden_of(compiled: Compiled, name: str, **options: Any) -> tuple[Outcome, list[Array], tuple[int, ...]]:
    site, inputs = compiled.sites[name], inputs_of(BY_NAME[name])
    constants = compiled.constants[name]
    buffers = buffers_of(site, inputs, constants)
    return evaluate(site.function, buffers, constants, **options), buffers, constants


@pytest.mark.parametrize("name", BY_NAME)
def test_stock_is_within_the_bound(compiled: Compiled, name: str) -> None:
    outcome, _, _ = golden_of(compiled, name)
    results = compiled.session.call(name, inputs_of(BY_NAME[name]))
    for store in outcome.stores:
        result = next(r for r in results if r.size >= store.golden.value.size)
        if store.sizes != store.subspan.shape:
            whole = np.zeros(store.subspan.size_bytes + store.subspan.byte_offset, np.uint8)
            store.subspan.view(whole)[...] = result.reshape(store.subspan.shape)
            result = store.read(whole)
        results = [r for r in results if r is not result] or results
        found = result.reshape(store.golden.value.shape).astype(np.float64)
        assert np.all(np.abs(found - store.golden.value.astype(np.float64)) <= store.golden.error)
        assert np.isfinite(store.golden.error).all()


@pytest.mark.parametrize("name", INTERPRETED)
def test_the_reader_reads_the_same(compiled: Compiled, name: str) -> None:
    """Two independent readings of one body: the golden's from the IR, and the interpreter's of our `Program`."""
    outcome, buffers, constants = golden_of(compiled, name)
    program = compiled.sites[name].dispatch.program
    assert program is not None
    spans = {(s.binding, s.byte_offset): s for s in outcome.subspans}
    memory = {}
    for number, operand in enumerate(program.operands):
        if operand.kind == "binding":
            span = spans[operand.binding, int(operand.byte_offset) if isinstance(operand.byte_offset, int) else 0]
            memory[number] = flat(span.view(buffers[span.binding]))
    run(program, memory, constants)
    for store in outcome.stores:
        number = next(
            i
            for i, o in enumerate(program.operands)
            if o.kind == "binding" and o.access != "readonly" and o.binding == store.subspan.binding
        )
        stored = memory[number][store.elements()].reshape(store.golden.value.shape)
        np.testing.assert_allclose(stored, store.golden.value.astype(np.float64), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["matmul_relu", "conv_strided", "softmax", "rms_norm", "gather", "padded", "two_results"]
)
def test_sampled_elements_are_those_of_the_whole(compiled: Compiled, name: str) -> None:
    whole, _, _ = golden_of(compiled, name)
    some, _, _ = golden_of(compiled, name, budget=Budget(work=-1.0, samples=16, seed=5))
    for a, b in zip(whole.stores, some.stores, strict=True):
        assert b.coordinates is not None and len(b.golden.value) == 16
        np.testing.assert_allclose(b.golden.value, a.golden.value[b.coordinates], rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(b.golden.error, a.golden.error[b.coordinates], rtol=1e-5, atol=1e-30)


def test_a_wrong_result_is_outside_of_the_bound(compiled: Compiled) -> None:
    """Twin: one element of an input changed changes the golden by more than its bound."""
    site, inputs = compiled.sites["matmul"], inputs_of(BY_NAME["matmul"])
    first = evaluate(site.function, buffers_of(site, inputs, []))
    inputs[0][2, 3] += 0.01
    second = evaluate(site.function, buffers_of(site, inputs, []))
    moved = np.abs(first.stores[0].golden.value - second.stores[0].golden.value) > first.stores[0].golden.error
    assert np.argwhere(moved.any(axis=1)).ravel().tolist() == [2]


def test_bindings_are_not_changed(compiled: Compiled) -> None:
    site, inputs = compiled.sites["sum_onto"], inputs_of(BY_NAME["sum_onto"])
    buffers = buffers_of(site, inputs, [])
    before = [b.copy() for b in buffers]
    evaluate(site.function, buffers)
    assert all(np.array_equal(a, b) for a, b in zip(before, buffers, strict=True))


def test_indices_have_a_limit(compiled: Compiled) -> None:
    limits = {s.element: s.index_limit for s in describe(compiled.sites["gather"].function)}
    assert limits["i32"] == 11 and limits["f32"] is None


def test_written_bytes_of_a_partial_store(compiled: Compiled) -> None:
    outcome, _, _ = golden_of(compiled, "padded")
    (store,) = [s for s in outcome.stores if s.sizes != s.subspan.shape] or [outcome.stores[-1]]
    marks = np.zeros(store.subspan.size_bytes, bool)
    for start, stop in store.ranges() - store.subspan.byte_offset:
        marks[start:stop] = True
    expected = np.zeros(store.subspan.shape, bool)
    expected.reshape(-1)[store.elements()] = True
    assert np.array_equal(marks.reshape(*store.subspan.shape, -1).all(axis=-1), expected)
    assert outcome.written(store.subspan.binding).shape[1] == 2
    assert outcome.written(99).shape == (0, 2)


def test_a_buffer_that_is_too_small_is_named(compiled: Compiled) -> None:
    site = compiled.sites["matmul"]
    with pytest.raises(UsageError) as caught:
        evaluate(site.function, [np.zeros(4, np.uint8)] * 3)
    assert str(caught.value) == (
        "binding 0: a tensor does not fit into its binding\n"
        "  expected:  at least 140 bytes\n"
        "  found:     4 bytes\n"
        "  next:      make the buffer larger, or check the push constants"
    )


def test_encoded_tensors_are_refused_by_name() -> None:
    text = """
func.func @f(%a: tensor<64x64xf32>, %b: tensor<64x64xf32>) -> tensor<64x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x64xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<64x64xf32>) -> tensor<64x64xf32>
  %r = linalg.matmul ins(%a, %b : tensor<64x64xf32>, tensor<64x64xf32>) outs(%i : tensor<64x64xf32>)
      -> tensor<64x64xf32>
  return %r : tensor<64x64xf32>
}"""
    with Compilation((*CPU_FLAGS, "--iree-opt-data-tiling"), name="tiled") as compilation:
        compilation.parse(text.encode())
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        refused = set()
        for site in read_module(compilation.module):
            try:
                describe(site.function)
            except Unsupported as error:
                refused.add(error.operation)
    assert refused and all("encoding" in operation for operation in refused)


def test_large_results_are_sampled_within_the_budget() -> None:
    text = """
func.func @f(%a: tensor<2048x2048xf32>, %b: tensor<2048x2048xf32>) -> tensor<2048x2048xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2048x2048xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<2048x2048xf32>) -> tensor<2048x2048xf32>
  %r = linalg.matmul ins(%a, %b : tensor<2048x2048xf32>, tensor<2048x2048xf32>) outs(%i : tensor<2048x2048xf32>)
      -> tensor<2048x2048xf32>
  return %r : tensor<2048x2048xf32>
}
func.func @rank_0(%a: tensor<37xf32>) -> tensor<f32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<f32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %r = linalg.reduce { arith.addf } ins(%a : tensor<37xf32>) outs(%i : tensor<f32>) dimensions = [0]
  return %r : tensor<f32>
}"""
    a, b = normal(2048, 2048, seed=1), normal(2048, 2048, seed=2)
    with Compilation(CPU_FLAGS, name="large") as compilation:
        compilation.parse(text.encode())
        compilation.run("start", "executable-sources")
        assert compilation.module is not None
        site, single = read_module(compilation.module)
        buffers = buffers_of(site, [a, b], [])
        outcome = evaluate(site.function, buffers, budget=Budget(work=1e8, samples=100))
        small = normal(37, seed=3)
        (one,) = evaluate(single.function, buffers_of(single, [small], []), budget=Budget(work=-1.0)).stores
    assert one.coordinates is None
    np.testing.assert_allclose(one.golden.value, small.astype(float).sum(), rtol=1e-11)
    (store,) = outcome.stores
    assert store.coordinates is not None
    i, j = store.coordinates
    expected = np.einsum("sk,ks->s", a.astype(float)[i], b.astype(float)[:, j])
    np.testing.assert_allclose(store.golden.value, expected, rtol=1e-11)
