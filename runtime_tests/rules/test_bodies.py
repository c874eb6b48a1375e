"""Replacement bodies in MLIR that IREE compiles, and IREE's own body with settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.programs import build, floats, run
from runtime_tests.rules.folders import BACKENDS, DOUBLE, FLAGS, elementwise, kernel
from substitute import compile_model
from substitute.device import run_module
from substitute.errors import PayloadError

pytestmark = pytest.mark.device

MANIFEST = """
name = "tripled"
{keys}
[operands]
x = ["N"]
y = ["N"]
[[target]]
backend = "{backend}"
[payload]
kind = "mlir"
file = "body.mlir"
entry = "body"
"""
BODY = elementwise("%q = arith.addf %x, %x : f32\n    %r = arith.addf %q, %x : f32", "?", name="body")


def body(folder: Path, text: str = BODY, *, device: str = "local-sync", keys: str = "") -> Path:
    manifest = MANIFEST.format(backend=BACKENDS[device], keys=keys)
    return kernel(folder, manifest, {"body.mlir": text, "definition.mlir": elementwise(DOUBLE, "?")})


@pytest.mark.parametrize("device", ["local-sync", "vulkan"])
@pytest.mark.parametrize("size", ["24x32", "?x32"])
def test_another_body(size: str, device: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """It computes something else than the definition, so that it is seen to run."""
    if device == "vulkan":
        request.getfixturevalue("vulkan_device")
    x = floats(24, 32)
    kernels = [body(tmp_path / "kernel", device=device)]
    (found,) = run(tmp_path, elementwise(DOUBLE, size), kernels, [x], device=device, flags=FLAGS[device])
    np.testing.assert_allclose(found, 3 * x, rtol=1e-6)


def test_a_kernel_takes_the_new_body(tmp_path: Path) -> None:
    (tmp_path / "model.mlir").write_text(elementwise(DOUBLE))
    made = compile_model(tmp_path / "model.mlir", kernels=[body(tmp_path / "kernel")])
    assert [s.kernel.name for s in made.plan.substitutions] == ["tripled", "elementwise"]


def test_an_operand_that_is_a_constant_of_the_dispatch(tmp_path: Path) -> None:
    numbers = np.arange(8, dtype=np.float32)
    text = ", ".join(f"{n:.1f}" for n in numbers)
    maps = "indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>]"
    program = """
func.func @main(%x: tensor<{n}xf32>{more}) -> tensor<{n}xf32> {{
  {head}
  %y = linalg.generic {{{maps}, iterator_types = ["parallel"]}}
      ins(%x, %c : tensor<{n}xf32>, tensor<{n}xf32>) outs(%e : tensor<{n}xf32>) {{
  ^bb0(%l: f32, %m: f32, %o: f32):
    %r = arith.{op} %l, %m : f32
    linalg.yield %r : f32
  }} -> tensor<{n}xf32>
  return %y : tensor<{n}xf32>
}}
"""
    head = f"%e = tensor.empty() : tensor<8xf32>\n  %c = arith.constant dense<[{text}]> : tensor<8xf32>"
    model = program.format(n=8, more="", head=head, maps=maps, op="mulf")
    open_head = (
        "%c0 = arith.constant 0 : index\n  %d = tensor.dim %x, %c0 : tensor<?xf32>\n"
        "  %e = tensor.empty(%d) : tensor<?xf32>"
    )
    definition = program.format(n="?", more=", %c: tensor<?xf32>", head=open_head, maps=maps, op="mulf")
    manifest = MANIFEST.format(backend="llvm-cpu", keys="").replace('x = ["N"]', 'x = ["N"]\nc = ["N"]')
    text = definition.replace("@main", "@body").replace("mulf", "subf")
    folder = kernel(tmp_path / "kernel", manifest, {"body.mlir": text, "definition.mlir": definition})
    x = floats(8)
    (found,) = run(tmp_path, model, [folder], [x])
    np.testing.assert_array_equal(found, x - numbers)


@pytest.mark.parametrize(
    ("text", "what", "found"),
    [
        ("func.func @body(", "the payload is not valid MLIR", "expected"),
        (BODY.replace("@body", "@bodi"), "the payload of tripled does not define @body", "@bodi"),
        (f"memref.global @m : memref<4xf32>\n{BODY}", "the payload of tripled holds more than functions", "memref"),
        (elementwise(DOUBLE, "?x?", name="body"), "@body does not fit main_dispatch_0", "tensor<?x?xf32>"),
        (elementwise(DOUBLE, "700", name="body"), "@body does not fit main_dispatch_0", "tensor<700xf32>"),
    ],
)
def test_wrong_bodies(tmp_path: Path, text: str, what: str, found: str) -> None:
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, elementwise(DOUBLE), [body(tmp_path / "kernel", text)])
    assert what in caught.value.what
    assert found in caught.value.found


def test_a_size_that_only_the_launch_knows_is_refused(tmp_path: Path) -> None:
    """The body is changed for good: nothing of IREE's is left for other sizes."""
    kernels = [body(tmp_path / "kernel", keys='constraints = ["N % 4 == 0"]')]
    refused = build(tmp_path, elementwise(DOUBLE, "?x32"), kernels, substituted=0)
    rule = refused.plan.decisions[0].rules[-1]
    assert (rule.name, rule.found) == ("choice", "N % 4 == 0")
    build(tmp_path, elementwise(DOUBLE, "24x32"), kernels)


TILES = """#iree_codegen.compilation_info<
  lowering_config = #iree_cpu.lowering_config<
    distribution = [{m}, 32, 0], vector_common_parallel = [8, 8, 0], vector_reduction = [0, 0, 4]>,
  translation_info = #iree_codegen.translation_info<pipeline = #iree_cpu.pipeline<DoubleTilingExpert>>>"""
OWN = """
name = "tiles"
kinds = ["contraction"]
[[target]]
backend = "llvm-cpu"
[payload]
kind = "iree"
[launch]
{launch}
"""
MATMUL = """
func.func @main(%a: tensor<64x48xf32>, %b: tensor<48x96xf32>) -> tensor<64x96xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x96xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<64x96xf32>) -> tensor<64x96xf32>
  %c = linalg.matmul ins(%a, %b : tensor<64x48xf32>, tensor<48x96xf32>) outs(%i : tensor<64x96xf32>)
      -> tensor<64x96xf32>
  return %c : tensor<64x96xf32>
}
"""


def test_a_new_workgroup_count_for_the_same_body(tmp_path: Path) -> None:
    vmfbs = []
    for m in (16, 32):
        manifest = OWN.format(launch=f"compilation_info = '''{TILES.format(m=m)}'''")
        built = build(tmp_path, MATMUL, [kernel(tmp_path / f"tiles{m}", manifest, {})])
        vmfbs.append(built.vmfb)
        a, b = floats(64, 48), floats(48, 96)
        (found,) = run_module(built.vmfb, device="local-sync", inputs=[a, b])
        np.testing.assert_allclose(found, a @ b, rtol=1e-4, atol=1e-4)
    assert vmfbs[0] != vmfbs[1]


@pytest.mark.usefixtures("vulkan_device")
def test_a_new_workgroup_size_for_the_same_body(tmp_path: Path) -> None:
    """IREE's shader with 32 invocations instead of its default: the size is in its SPIR-V."""
    info = (
        "#iree_codegen.compilation_info<lowering_config = #iree_codegen.lowering_config<tile_sizes = [[32], [1]]>, "
        "translation_info = #iree_codegen.translation_info<pipeline = #iree_gpu.spirv_pipeline<BaseVectorize> "
        "workgroup_size = [32, 1, 1]>>"
    )
    manifest = OWN.format(launch=f"compilation_info = '{info}'").replace("contraction", "elementwise")
    folder = kernel(tmp_path / "small", manifest.replace("llvm-cpu", "vulkan-spirv"), {})
    built = build(tmp_path, elementwise(DOUBLE), [folder], flags=FLAGS["vulkan"])
    x = floats(24, 32)
    (found,) = run_module(built.vmfb, device="vulkan", inputs=[x])
    np.testing.assert_allclose(found, 2 * x, rtol=1e-6)
    assert np.array([17, 32, 1, 1], "<u4").tobytes() in built.vmfb  # OpExecutionMode … LocalSize 32 1 1
    stock = build(tmp_path, elementwise(DOUBLE), [], flags=FLAGS["vulkan"], substituted=0)
    assert np.array([17, 32, 1, 1], "<u4").tobytes() not in stock.vmfb


def test_the_count_is_the_tiles(tmp_path: Path) -> None:
    """64/16 · 96/32 workgroups, as the compiler prints them."""
    from substitute.compiler import Compilation
    from substitute.embed import substitute_dispatches
    from substitute.flags import with_default_target
    from substitute.frontend import plan_module, scratch_folder, worker_threads
    from substitute.progress import Clock, silent

    manifest = OWN.format(launch=f"compilation_info = '''{TILES.format(m=16)}'''")
    folder = kernel(tmp_path / "tiles", manifest, {})
    with Compilation(with_default_target(()), name="model") as compilation, scratch_folder() as scratch:
        compilation.parse(MATMUL.encode())
        compilation.run("start", "executable-sources")
        plan, sites = plan_module(compilation, Clock(silent), [folder], builtin=False, chosen=None, require=())
        with worker_threads() as workers:
            substitute_dispatches(plan, sites, Clock(silent), workers, scratch)
        del sites
        compilation.run("executable-sources", "executable-targets")
        assert compilation.module is not None
        text = str(compilation.module)
    assert "%c12 = arith.constant 12 : index" in text


@pytest.mark.parametrize(
    ("launch", "what", "found"),
    [
        ('workgroup_count = ["1", "1", "1"]', "tiles cannot say how many workgroups main_dispatch_0", "tiles out"),
        ('compilation_info = "#iree_codegen.compilation_inf<>"', "the compilation_info cannot be used", "unknown"),
        ('compilation_info = "3 : i64"', "the compilation_info cannot be used", "3 : i64"),
    ],
)
def test_wrong_settings(tmp_path: Path, launch: str, what: str, found: str) -> None:
    with pytest.raises(PayloadError) as caught:
        build(tmp_path, MATMUL, [kernel(tmp_path / "tiles", OWN.format(launch=launch), {})])
    assert what in caught.value.what
    assert found in caught.value.found


DISTRIBUTED = '''
from iree.compiler import ir

LOOP = """
func.func @NAME() {
  %zero = arith.constant 0 : index
  %end = arith.constant 768 : index
  %id = hal.interface.workgroup.id[0] : index
  %count = hal.interface.workgroup.count[0] : index
  %x = hal.interface.binding.subspan layout(LAYOUT) binding(0) offset(%zero) : memref<768xf32>
  %y = hal.interface.binding.subspan layout(LAYOUT) binding(1) offset(%zero) : memref<768xf32>
  scf.for %i = %id to %end step %count {
    %v = memref.load %x[%i] : memref<768xf32>
    %r = arith.addf %v, %v : f32
    memref.store %r, %y[%i] : memref<768xf32>
  }
  return
}
"""

def rewrite(site):
    layout = str(site.export.attributes["layout"]).removeprefix("#hal.pipeline.layout")
    module = ir.Module.parse(LOOP.replace("NAME", site.dispatch.name).replace("LAYOUT", layout))
    function = next(iter(module.body.operations))
    function.operation.clone(ip=ir.InsertionPoint(site.function))
    site.function.erase()
    block = site.export.regions[0].blocks[0]
    for op in reversed(list(block.operations)):
        op.operation.erase()
    with ir.InsertionPoint(block):
        index = ir.IndexType.get()
        one = ir.Operation.create(
            "arith.constant", results=[index], attributes={"value": ir.IntegerAttr.get(index, 1)}
        ).result
        ir.Operation.create("hal.return", operands=[one, one, one])
'''


@pytest.mark.parametrize("count", [1, 5])
def test_another_count_for_a_body_that_is_distributed_already(count: int, tmp_path: Path) -> None:
    """A rule makes a loop that strides by the number of workgroups; how many there are is then anybody's choice."""
    rule = 'name = "stride"\n[[target]]\nbackend = "llvm-cpu"\n[payload]\nkind = "rule"\nfile = "rule.py"\n'
    own = 'name = "more"\nkinds = ["unread"]\n[[target]]\nbackend = "llvm-cpu"\n[payload]\nkind = "iree"\n[launch]\n'
    own += f'workgroup_count = ["{count}", "1", "1"]\n'
    kernels = [kernel(tmp_path / "rule", rule, {"rule.py": DISTRIBUTED}), kernel(tmp_path / "more", own, {})]
    x = floats(24, 32)
    model = elementwise(DOUBLE)
    made = build(tmp_path, model, kernels, substituted=2)
    (found,) = run_module(made.vmfb, device="local-sync", inputs=[x])
    np.testing.assert_allclose(found, 2 * x, rtol=1e-6)
    assert [s.kernel.name for s in made.plan.substitutions] == ["stride", "more"]
    assert next(iter(made.payloads.values())).workgroup_count == (count, 1, 1)
