"""Executables that are linked or not, mixed with external ones, shared, and with several exports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.models import CHAIN, INPUTS, matmul_folder
from runtime_tests.kinds.programs import MARK, KernelFolder, build, floats
from runtime_tests.variants.programs import (
    CPU,
    CUDA,
    HERE,
    NOWHERE,
    SIZE,
    VULKAN,
    cpu_pointwise,
    glsl_pointwise,
    marked_matmul,
    own_executable,
    two_exports,
)
from runtime_tests.variants.rewritten import rewritten
from substitute.device import run_module
from substitute.payload.glsl import compile_glsl
from substitute.rewrite.linking import NO_LINKING

pytestmark = [pytest.mark.compile, pytest.mark.device]

X = floats(SIZE)


def squares(doubled: float, squared: float) -> np.ndarray:
    """Return the results of `two_exports` and `own_executable` when the kernels for `double` and `square` add these
    numbers.
    """
    x = X.astype(np.float64)
    return (2 * x + doubled) ** 2 + squared + x * x + squared


def check(
    folder: Path, model: str, kernels: Sequence[KernelFolder], flags: Sequence[str], device: str, expected: np.ndarray
) -> bytes:
    """Compiles, runs, compares; the module."""
    written = [kernel.write(folder / f"{number}") for number, kernel in enumerate(kernels)]
    built = build(folder, model, written, flags=tuple(flags), substituted=len(kernels), isolate=NO_LINKING in flags)
    (found,) = run_module(built.vmfb, device=device, inputs=[X] if "@main(%x" in model else INPUTS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    return built.vmfb


# -- several exports in one executable -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llvm-ir", "object"])
@pytest.mark.parametrize("linking", [(), (NO_LINKING,)], ids=["linked", "apart"])
def test_both_exports_on_the_cpu(tmp_path: Path, kind: str, linking: tuple[str, ...]) -> None:
    kernels = [cpu_pointwise("addf", 3, kind=kind), cpu_pointwise("mulf", 5, kind=kind)]
    vmfb = check(tmp_path, two_exports(), kernels, (*CPU, *linking), "local-task", squares(3, 5))
    assert vmfb.count(b"\x7fELF") == (2 if linking else 1)


@pytest.mark.parametrize("linking", [(), (NO_LINKING,)], ids=["linked", "apart"])
def test_no_kernel_for_two_exports_on_the_cpu(tmp_path: Path, linking: tuple[str, ...]) -> None:
    """IREE 3.11 itself confuses the two if they are not linked."""
    check(tmp_path, two_exports(), [], (*CPU, *linking), "local-task", squares(0, 0))


@pytest.mark.parametrize("op", ["addf", "mulf"])
def test_one_of_two_exports_on_the_cpu(tmp_path: Path, op: str) -> None:
    expected = squares(3, 0) if op == "addf" else squares(0, 3)
    check(tmp_path, two_exports(), [cpu_pointwise(op, 3)], CPU, "local-task", expected)


def test_choices_in_one_of_two_exports_on_the_cpu(tmp_path: Path) -> None:
    """Further exports are added after both."""
    device = {"hal.dispatch::concurrency": ">= 1"}
    nobody = {"hal.dispatch::concurrency": "< 1"}
    kernels = [cpu_pointwise("addf", 3, device=device), cpu_pointwise("mulf", 5, device=nobody)]
    check(tmp_path, two_exports(), kernels, CPU, "local-task", squares(3, 0))


def test_exports_stand_in_the_order_of_their_ordinals(tmp_path: Path) -> None:
    """IREE 3.11 counts them as they stand: the one that is added is the last, whichever it belongs to."""
    kernel = cpu_pointwise("mulf", 5, device={"hal.dispatch::concurrency": ">= 1"})
    after = rewritten(two_exports(), [kernel.write(tmp_path / "kernel")], CPU)
    exports = after.executables[0].variants[0].exports
    assert [name.partition("_")[0] for name in exports[:2]] in (["square", "double"], ["double", "square"])
    assert exports[2:] == ["square_elementwise_48_f32_iree"]


def test_two_exports_share_a_kernel(tmp_path: Path) -> None:
    """`double` twice: one object, and one declaration of its function."""
    model = two_exports().replace("arith.mulf %p, %p", "arith.addf %p, %p")
    kernel = cpu_pointwise("addf", 3, kind="object").write(tmp_path / "kernel")
    (found,) = run_module(
        build(tmp_path, model, [kernel], flags=CPU, substituted=2).vmfb, device="local-task", inputs=[X]
    )
    np.testing.assert_allclose(found, 2 * (2 * X + 3) + 3 + 2 * X + 3, rtol=1e-5, atol=1e-5)


def test_one_of_two_exports_on_vulkan(tmp_path: Path, vulkan_device: str) -> None:
    """An external variant has one entry: the export moves to its own executable, and the other stays."""
    kernel = glsl_pointwise("addf", 3)
    check(tmp_path, two_exports(), [kernel], VULKAN, vulkan_device, squares(3, 0))
    after = rewritten(two_exports(), [kernel.write(tmp_path / "kernel")], VULKAN)
    exports = [(e.name, [(v.exports, v.body) for v in e.variants]) for e in after.executables]
    assert exports[:2] == [
        ("pair", [(["square_elementwise_48_f32"], True)]),
        ("pair_double_elementwise_48_f32", [(["double_elementwise_48_f32"], False)]),
    ]


def test_both_exports_on_vulkan(tmp_path: Path, vulkan_device: str) -> None:
    kernels = [glsl_pointwise("addf", 3), glsl_pointwise("mulf", 5)]
    check(tmp_path, two_exports(), kernels, VULKAN, vulkan_device, squares(3, 5))


def test_choices_in_two_exports_on_vulkan(tmp_path: Path, vulkan_device: str) -> None:
    kernels = [glsl_pointwise("addf", 3, device=HERE), glsl_pointwise("mulf", 5, device=NOWHERE)]
    check(tmp_path, two_exports(), kernels, VULKAN, vulkan_device, squares(3, 0))


# -- executables of the program's own ------------------------------------------------------------------------------

SHADER = f"""#version 450
layout(local_size_x = 64) in;
layout(binding = 0, std430) readonly buffer A {{ float x[]; }};
layout(binding = 1, std430) buffer B {{ float y[]; }};
void main() {{
  uint n = gl_GlobalInvocationID.x;
  if (n < {SIZE}) y[n] = x[n] + x[n] + MARK;
}}
"""
RAW = {"abi": "raw", "bindings": 2, "dispatches": ["^double"]}
FUNCTION = f"""
define void @kernel(ptr %x, ptr %y, i64 %id_x, i64 %id_y, i64 %id_z) {{
entry:
  br label %loop
loop:
  %n = phi i64 [0, %entry], [%next, %loop]
  %from = getelementptr float, ptr %x, i64 %n
  %to = getelementptr float, ptr %y, i64 %n
  %v = load float, ptr %from
  %twice = fadd float %v, %v
  %marked = fadd float %twice, 3.0
  store float %marked, ptr %to
  %next = add i64 %n, 1
  %end = icmp eq i64 %next, {SIZE}
  br i1 %end, label %done, label %loop
done:
  ret void
}}
"""


def raw_spirv(mark: float, **fields: object) -> KernelFolder:
    data = compile_glsl(SHADER.replace("MARK", f"{mark:.1f}"), name="shader")
    return KernelFolder(
        data,
        kind="spirv",
        name="raw",
        entry="main",
        backend="vulkan-spirv",
        workgroup_size=(64, 1, 1),
        keys=RAW,
        **fields,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("device", "mark"), [(None, 3), (HERE, 3), (NOWHERE, 0)], ids=["always", "here", "nowhere"])
def test_an_executable_source_on_vulkan(
    tmp_path: Path, vulkan_device: str, device: dict[str, str] | None, mark: float
) -> None:
    """A body that cannot be read is matched by name; what it is replaced by sees IREE's own layout."""
    kernel = raw_spirv(3, target={"device": device} if device else {})
    check(tmp_path, own_executable(), [kernel], VULKAN, vulkan_device, squares(mark, 0))


@pytest.mark.parametrize("linking", [(), (NO_LINKING,)], ids=["linked", "apart"])
def test_an_executable_source_on_the_cpu(tmp_path: Path, linking: tuple[str, ...]) -> None:
    kernel = KernelFolder(FUNCTION, name="raw", keys=RAW)
    check(tmp_path, own_executable(), [kernel], (*CPU, *linking), "local-task", squares(3, 0))


@pytest.mark.parametrize(("flags", "device"), [(CPU, "local-task"), (VULKAN, "vulkan")], ids=["cpu", "vulkan"])
def test_an_executable_source_is_left_alone(
    tmp_path: Path, vulkan_device: str, flags: tuple[str, ...], device: str
) -> None:
    del vulkan_device
    check(tmp_path, own_executable(), [], flags, device, squares(0, 0))
    file = tmp_path / "model.mlir"
    from substitute.inspection import inspect_model

    reasons = {d.name: d.reason for d in inspect_model(file, builtin=False, flags=flags).dispatches}
    assert reasons["double"] == reasons["square"] == "it has the operation scf.for"


def brought_along(folder: Path, mark: float) -> str:
    """Return a model with its own external executable, which adds a mark to `x + x`."""
    from runtime_tests.variants.programs import device_target

    data = compile_glsl(SHADER.replace("MARK", f"{mark:.1f}"), name="shader")
    target = device_target(folder, *VULKAN)
    return f"""
#target = {target}
module attributes {{hal.device.targets = [#hal.device.target<"vulkan", [#target]> : !hal.device]}} {{
  hal.executable private @own {{
    hal.executable.variant public @external target(#target) objects([
      #hal.executable.object<{{path = "own.spv", data = dense<"0x{data.hex()}"> : vector<{len(data)}xi8>}}>
    ]) {{
      hal.executable.export public @main ordinal(0) layout(#hal.pipeline.layout<bindings = [
        #hal.pipeline.binding<storage_buffer, ReadOnly>, #hal.pipeline.binding<storage_buffer>]>)
        count(%device: !hal.device) -> (index, index, index) {{
          %c1 = arith.constant 1 : index
          hal.return %c1, %c1, %c1 : index, index, index
      }}
    }}
  }}
  func.func @main(%x: tensor<{SIZE}xf32>) -> tensor<{SIZE}xf32> {{
    %y = flow.dispatch @own::@external::@main(%x) : (tensor<{SIZE}xf32>) -> tensor<{SIZE}xf32>
    return %y : tensor<{SIZE}xf32>
  }}
}}
"""


@pytest.mark.parametrize(("device", "mark"), [(None, 3), (HERE, 3), (NOWHERE, 11)], ids=["always", "here", "nowhere"])
def test_an_external_executable_that_the_program_brought(
    tmp_path: Path, vulkan_device: str, device: dict[str, str] | None, mark: float
) -> None:
    """It is replaced, or stays as the fallback."""
    model = brought_along(tmp_path, 11)
    check(tmp_path, model, [], (), vulkan_device, 2 * X + 11)
    kernel = raw_spirv(3, target={"device": device} if device else {})
    kernel.keys = {**RAW, "dispatches": ["^main$"]}
    check(tmp_path, model, [kernel], (), vulkan_device, 2 * X + mark)


# -- external and ordinary executables, linked and not --------------------------------------------------------------

A, B, C, D = (x.astype(np.float64) for x in INPUTS)
CHOSEN = {
    "first": (A @ B + 3) @ (C @ D),
    "second": A @ B @ (C @ D + 3),
    "last": A @ B @ (C @ D) + 3,
}


@pytest.mark.parametrize(("which", "linking"), [("first", ()), ("second", ()), ("last", ()), ("second", (NO_LINKING,))])
def test_one_external_executable_among_ordinary_ones(
    tmp_path: Path, vulkan_device: str, which: str, linking: tuple[str, ...]
) -> None:
    pattern = f"dispatch_{list(CHOSEN).index(which)}_"
    kernel = marked_matmul("one", 3, dispatches=[pattern])
    check(tmp_path, CHAIN, [kernel], (*VULKAN, *linking), vulkan_device, CHOSEN[which])


@pytest.mark.parametrize("linking", [(), (NO_LINKING,)], ids=["linked", "apart"])
def test_conditions_among_ordinary_executables(tmp_path: Path, linking: tuple[str, ...]) -> None:
    """Linking merges the exports that were added with those of other executables."""
    kernel = matmul_folder("llvm-ir", dispatches=["dispatch_1_"])
    kernel.target = {"device": {"hal.dispatch::concurrency": ">= 1"}}
    vmfb = check(tmp_path, CHAIN, [kernel], (*CPU, *linking), "local-task", A @ B @ (C @ D + MARK))
    assert vmfb.count(b"\x7fELF") == (3 if linking else 1)


@pytest.mark.parametrize("linking", [(), (NO_LINKING,)], ids=["linked", "apart"])
def test_external_variants_for_cuda_compile(tmp_path: Path, linking: tuple[str, ...]) -> None:
    from runtime_tests.variants.programs import hopper, targets

    kernel = hopper().write(tmp_path / "kernel")
    vmfb = build(tmp_path, CHAIN, [kernel], flags=(*CUDA, *linking), isolate=bool(linking)).vmfb
    assert sorted(targets(vmfb)) == ["sm_80"] * (3 if linking else 2) + ["sm_90a"]


# -- equal bodies ---------------------------------------------------------------------------------------------------

TYPE = "tensor<24x24xf32>"
POWER = f"""
func.func @main(%a: {TYPE}, %b: {TYPE}) -> {TYPE} {{
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : {TYPE}
  %i = linalg.fill ins(%zero : f32) outs(%e : {TYPE}) -> {TYPE}
  %p = linalg.matmul ins(%a, %b : {TYPE}, {TYPE}) outs(%i : {TYPE}) -> {TYPE}
  %q = linalg.matmul ins(%p, %b : {TYPE}, {TYPE}) outs(%i : {TYPE}) -> {TYPE}
  %r = linalg.matmul ins(%q, %b : {TYPE}, {TYPE}) outs(%i : {TYPE}) -> {TYPE}
  return %r : {TYPE}
}}
"""


@pytest.mark.parametrize(("device", "mark"), [(None, 3), (HERE, 3), (NOWHERE, 0)], ids=["always", "here", "nowhere"])
def test_an_executable_that_several_dispatches_share(
    tmp_path: Path, vulkan_device: str, device: dict[str, str] | None, mark: float
) -> None:
    """Every dispatch that names it gets the added variant."""
    kernel = marked_matmul("shared", 3, device=device).write(tmp_path / "kernel")
    after = rewritten(POWER, [kernel], VULKAN)
    tried = {tuple(dispatch) for dispatch in after.dispatches}
    assert len(after.dispatches) == 3
    assert len({names[0][0] for names in tried}) == len(after.executables) < 3, "IREE merged equal bodies"
    assert {len(names) for names in tried} == {1 if device is None else 2}
    built = build(tmp_path, POWER, [kernel], flags=VULKAN, substituted=len(after.executables))
    a, b = floats(24, 24), floats(24, 24, seed=5)
    (found,) = run_module(built.vmfb, device=vulkan_device, inputs=[a, b])
    expected = ((a.astype(np.float64) @ b + mark) @ b + mark) @ b + mark
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-2)
