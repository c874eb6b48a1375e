"""GLSL and SPIR-V kernels on the software Vulkan device: where operands lie, what is fused, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime_tests.kinds.models import (
    ALL_MARKED,
    CHAIN,
    COUNT,
    INPUTS,
    MATMUL,
    OPEN,
    PADDED,
    SLICES,
    SUBTRACT_DEFINITION,
    VULKAN_FLAGS,
    broadcast_definition,
    glsl_matmul,
    pad_marked,
    selection,
    subtract_operands,
)
from runtime_tests.kinds.programs import (
    MARK,
    MATMUL_DEFINITION,
    KernelFolder,
    Operand,
    build,
    floats,
    generic,
    matmul_operands,
    run,
)
from substitute.device import run_module
from substitute.errors import PayloadError
from substitute.payload.glsl import compile_glsl

pytestmark = pytest.mark.device


SPIRV_MATMUL = f"""#version 450
layout(local_size_x = 32) in;
layout(constant_id = 0) const int M = 1;
layout(constant_id = 1) const int K = 1;
layout(constant_id = 2) const int N = 1;
layout(constant_id = 3) const int A = 0;
layout(constant_id = 4) const int B = 0;
layout(constant_id = 5) const int C = 0;
layout(binding = 0, std430) readonly buffer First {{ float a[]; }};
layout(binding = 1, std430) readonly buffer Second {{ float b[]; }};
layout(binding = 2, std430) buffer Third {{ float c[]; }};
void main() {{
  int m = int(gl_WorkGroupID.y), n = int(gl_GlobalInvocationID.x);
  if (n >= N || m >= M) return;
  float sum = {MARK}.0;
  for (int k = 0; k < K; ++k) sum += a[A + m * K + k] * b[B + k * N + n];
  c[C + m * N + n] = sum;
}}
"""
CONSTANTS = {0: "M", 1: "K", 2: "N", 3: "offset.a", 4: "offset.b", 5: "offset.c"}


def spirv_matmul(constants: dict[int, str] = CONSTANTS) -> KernelFolder:
    return KernelFolder(
        compile_glsl(SPIRV_MATMUL, name="matmul"),
        kind="spirv",
        entry="main",
        backend="vulkan-spirv",
        definition=MATMUL_DEFINITION,
        operands=matmul_operands(),
        workgroup_size=(32, 1, 1),
        workgroup_count=COUNT,
        spec_constants=constants,
    )


@pytest.mark.parametrize("kernel", [glsl_matmul, spirv_matmul])
@pytest.mark.parametrize("name", ["main", "a model's $name {x}"], ids=["plain", "quoted"])
def test_a_chain_through_one_buffer(tmp_path: Path, vulkan_device: str, kernel: object, name: str) -> None:
    """The last product reads two intermediate results at different offsets of one binding."""
    assert callable(kernel)
    folder = kernel().write(tmp_path / "kernel")
    model = CHAIN.replace("@main", f'@"{name}"')
    (found,) = run(tmp_path, model, [folder], INPUTS, flags=VULKAN_FLAGS, substituted=3, device=vulkan_device)
    np.testing.assert_allclose(found, ALL_MARKED, rtol=1e-4, atol=1e-3)


def test_a_binary_that_takes_no_offsets_is_refused(tmp_path: Path, vulkan_device: str) -> None:
    del vulkan_device
    folder = spirv_matmul({0: "M", 1: "K", 2: "N"}).write(tmp_path / "kernel")
    built = build(tmp_path, CHAIN, [folder], flags=VULKAN_FLAGS, substituted=1)
    (_, second, _) = built.plan.decisions
    assert second.rules[-1].name == "payload.frozen"
    assert second.rules[-1].found == "c begins at element 384 of its binding, and no SpecId takes offset.c"


def test_a_binary_takes_no_open_sizes(tmp_path: Path, vulkan_device: str) -> None:
    del vulkan_device
    built = build(tmp_path, OPEN, [spirv_matmul().write(tmp_path / "kernel")], flags=VULKAN_FLAGS, substituted=0)
    (decision,) = built.plan.decisions
    assert decision.rules[-1].name == "payload.frozen"
    assert "M, for SpecId 0, is known at launch only" in decision.rules[-1].found


def test_glsl_with_open_sizes(tmp_path: Path, vulkan_device: str) -> None:
    built = build(tmp_path, OPEN, [glsl_matmul().write(tmp_path / "kernel")], flags=VULKAN_FLAGS)
    for m, n in ((3, 50), (40, 1), (17, 64)):
        a, b = floats(m, 32), floats(32, n)
        (found,) = run_module(built.vmfb, device=vulkan_device, inputs=[a, b])
        np.testing.assert_allclose(found, a @ b + MARK, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [16, 17, 32])
def test_conditions_over_open_sizes(tmp_path: Path, vulkan_device: str, n: int) -> None:
    """The kernel where its constraint holds, and IREE's code elsewhere: only the kernel adds the mark."""
    folder = glsl_matmul(constraints=["N % 16 == 0"]).write(tmp_path / "kernel")
    built = build(tmp_path, OPEN, [folder], flags=VULKAN_FLAGS)
    a, b = floats(5, 32), floats(32, n)
    (found,) = run_module(built.vmfb, device=vulkan_device, inputs=[a, b])
    np.testing.assert_allclose(found, a @ b + MARK * (n % 16 == 0), rtol=1e-4, atol=1e-4)


SUBTRACT = f"""
void main() {{
  int n = int(gl_GlobalInvocationID.x), m = int(gl_WorkGroupID.y);
  if (n < N) store_c(m, n, load_a(m, n) - load_b(m, n) + {MARK}.0);
}}
"""


def glsl_subtract() -> KernelFolder:
    return KernelFolder(
        SUBTRACT,
        kind="glsl",
        entry="main",
        backend="vulkan-spirv",
        definition=SUBTRACT_DEFINITION,
        operands=subtract_operands(strided=True),
        workgroup_size=(32, 1, 1),
        workgroup_count=COUNT,
    )


def test_strided_windows_of_two_inputs(tmp_path: Path, vulkan_device: str) -> None:
    a, b = floats(20, 30), floats(20, 30, seed=4)
    folder = glsl_subtract().write(tmp_path / "kernel")
    (found,) = run(tmp_path, SLICES, [folder], [a, b], flags=VULKAN_FLAGS, device=vulkan_device)
    np.testing.assert_allclose(found, a[2:18:2, 3:27:2] - b[4:12, 1:13] + MARK, rtol=1e-6)


def test_a_result_inside_of_a_padded_tensor(tmp_path: Path, vulkan_device: str) -> None:
    a, b = floats(8, 12), floats(8, 12, seed=4)
    folder = glsl_subtract().write(tmp_path / "kernel")
    (found,) = run(tmp_path, PADDED, [folder], [a, b], flags=VULKAN_FLAGS, device=vulkan_device)
    np.testing.assert_allclose(found, pad_marked(a, b), rtol=1e-6)


SUBTRACT_ROW = f"""
void main() {{
  int n = int(gl_GlobalInvocationID.x), m = int(gl_WorkGroupID.y);
  if (n < N) store_c(m, n, load_a(m, n) - load_k(n) + {MARK}.0);
}}
"""
ROW_OPERANDS = (Operand("a", "MN"), Operand("k", "N"), Operand("c", "MN"))


def model_with_a_constant() -> str:
    row = generic(
        ["i, j", "j", "i, j"],
        "%a, %k : tensor<8x4xf32>, tensor<4xf32>",
        "%e : tensor<8x4xf32>",
        "  ^bb0(%p: f32, %q: f32, %o: f32):\n    %s = arith.subf %p, %q : f32\n    linalg.yield %s : f32",
        "tensor<8x4xf32>",
    )
    return f"""
func.func @main(%a: tensor<8x4xf32>) -> tensor<8x4xf32> {{
  %k = arith.constant dense<[1.0, 2.0, 4.0, 8.5]> : tensor<4xf32>
  %e = tensor.empty() : tensor<8x4xf32>
  %r = {row}
  return %r : tensor<8x4xf32>
}}
"""


def test_a_constant_of_the_body(tmp_path: Path, vulkan_device: str) -> None:
    kernel = KernelFolder(
        SUBTRACT_ROW,
        kind="glsl",
        entry="main",
        backend="vulkan-spirv",
        definition=broadcast_definition(),
        operands=ROW_OPERANDS,
        workgroup_size=(32, 1, 1),
        workgroup_count=COUNT,
    )
    a = floats(8, 4)
    folder = kernel.write(tmp_path / "kernel")
    (found,) = run(tmp_path, model_with_a_constant(), [folder], [a], flags=VULKAN_FLAGS, device=vulkan_device)
    np.testing.assert_allclose(found, a - np.array([1, 2, 4, 8.5]) + MARK, rtol=1e-6)


def test_a_binary_does_not_get_constants_of_the_body(tmp_path: Path, vulkan_device: str) -> None:
    del vulkan_device
    source = SPIRV_MATMUL.replace("a[A + m * K + k] * b[B + k * N + n]", "a[A + k] * b[B + k]")
    kernel = KernelFolder(
        compile_glsl(source, name="rows"),
        kind="spirv",
        entry="main",
        backend="vulkan-spirv",
        definition=broadcast_definition(),
        operands=ROW_OPERANDS,
        workgroup_size=(32, 1, 1),
        workgroup_count=COUNT,
    )
    built = build(
        tmp_path, model_with_a_constant(), [kernel.write(tmp_path / "kernel")], flags=VULKAN_FLAGS, substituted=0
    )
    (decision,) = built.plan.decisions
    assert decision.rules[-1].name == "payload.frozen"
    assert decision.rules[-1].found == "k is a constant inside of the dispatch"


FUSED = """
func.func @main(%a: tensor<24x32xf32>, %b: tensor<32x40xf32>, %bias: tensor<40xf32>) -> tensor<24x40xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<24x40xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<24x40xf32>) -> tensor<24x40xf32>
  %c = linalg.matmul ins(%a, %b : tensor<24x32xf32>, tensor<32x40xf32>)
                     outs(%i : tensor<24x40xf32>) -> tensor<24x40xf32>
"""


def biased(shape: str, bias: str) -> str:
    """`c + bias`, a row."""
    matrix = f"tensor<{shape}xf32>"
    return generic(
        ["i, j", "j", "i, j"],
        f"%c, %bias : {matrix}, tensor<{bias}xf32>",
        f"%e : {matrix}",
        "  ^bb0(%p: f32, %q: f32, %o: f32):\n    %s = arith.addf %p, %q : f32\n    linalg.yield %s : f32",
        matrix,
    )


FUSED += f"  %r = {biased('24x40', '40')}\n  return %r : tensor<24x40xf32>\n}}\n"
FUSED_DEFINITION = MATMUL_DEFINITION.replace("%b: tensor<?x?xf32>)", "%b: tensor<?x?xf32>, %bias: tensor<?xf32>)")
FUSED_DEFINITION = FUSED_DEFINITION.replace("%empty", "%e").replace(
    "  return %c", f"  %r = {biased('?x?', '?')}\n  return %r"
)
BIAS = floats(40)


def test_an_epilogue_gets_what_was_fused(tmp_path: Path, vulkan_device: str) -> None:
    a, b = floats(24, 32), floats(32, 40)
    folder = glsl_matmul(slots=["epilogue"]).write(tmp_path / "kernel")
    (found,) = run(tmp_path, FUSED, [folder], [a, b, BIAS], flags=VULKAN_FLAGS, device=vulkan_device)
    np.testing.assert_allclose(found, a @ b + MARK + BIAS, rtol=1e-4, atol=1e-4)


def test_a_definition_that_names_the_fused_work(tmp_path: Path, vulkan_device: str) -> None:
    """The kernel adds the bias: its store function must not add it again."""
    a, b = floats(24, 32), floats(32, 40)
    kernel = glsl_matmul()
    kernel.payload = MATMUL.replace("store_c(m, n, sum)", "store_c(m, n, sum + load_bias(n))")
    kernel.definition = FUSED_DEFINITION
    kernel.operands = (*kernel.operands[:2], Operand("bias", "N", strided=True), kernel.operands[2])
    (found,) = run(
        tmp_path, FUSED, [kernel.write(tmp_path / "k")], [a, b, BIAS], flags=VULKAN_FLAGS, device=vulkan_device
    )
    np.testing.assert_allclose(found, a @ b + MARK + BIAS, rtol=1e-4, atol=1e-4)


def test_without_an_epilogue_nothing_may_be_fused(tmp_path: Path, vulkan_device: str) -> None:
    del vulkan_device
    plan = build(tmp_path, FUSED, [glsl_matmul().write(tmp_path / "k")], flags=VULKAN_FLAGS, substituted=0).plan
    assert plan.decisions[0].rules[-1].name == "structure.epilogue"


CHOOSE = f"""
void main() {{
  int n = int(gl_GlobalInvocationID.x);
  if (n >= N) return;
  i64 value = load_b(n);
  if (load_s(n)) value = i64_from_int(load_a(n));
  store_t(n, i64_add(value, i64_from_int({MARK})));
  store_below(n, !i64_negative(value));
}}
"""


def test_integers_and_booleans(tmp_path: Path, vulkan_device: str) -> None:
    definition = f"""
func.func @choose(%s: tensor<?xi1>, %a: tensor<?xi8>, %b: tensor<?xi64>) -> (tensor<?xi64>, tensor<?xi1>) {{
  %c0 = arith.constant 0 : index
  %n = tensor.dim %a, %c0 : tensor<?xi8>
  %e = tensor.empty(%n) : tensor<?xi64>
  %f = tensor.empty(%n) : tensor<?xi1>
  %r:2 = {selection("?")}
  return %r#0, %r#1 : tensor<?xi64>, tensor<?xi1>
}}
"""
    model = f"""
func.func @main(%s: tensor<36xi1>, %a: tensor<36xi8>, %b: tensor<36xi64>) -> (tensor<36xi1>, tensor<36xi64>) {{
  %e = tensor.empty() : tensor<36xi64>
  %f = tensor.empty() : tensor<36xi1>
  %r:2 = {selection("36")}
  return %r#1, %r#0 : tensor<36xi1>, tensor<36xi64>
}}
"""
    operands = [Operand(n, "N", strided=True) for n in ("s", "a", "b", "t", "below")]
    kernel = KernelFolder(
        CHOOSE,
        kind="glsl",
        entry="main",
        backend="vulkan-spirv",
        definition=definition,
        operands=operands,
        workgroup_size=(32, 1, 1),
        workgroup_count=("ceildiv(N, 32)", "1", "1"),
    )
    random = np.random.default_rng(5)
    s, a = random.integers(0, 2, 36).astype(bool), random.integers(-128, 128, 36).astype(np.int8)
    b = random.integers(-(2**62), 2**62, 36)
    folder = kernel.write(tmp_path / "kernel")
    found = run(tmp_path, model, [folder], [s, a, b], flags=VULKAN_FLAGS, device=vulkan_device)
    value = np.where(s, a.astype(np.int64), b)
    np.testing.assert_array_equal(found[0], value >= 0)
    np.testing.assert_array_equal(found[1], value + MARK)


RAW = f"""#version 450
layout(local_size_x = 32) in;
layout(binding = 0, std430) buffer First {{ float buffers[]; }};
layout(binding = 1, std430) buffer Second {{ float result[]; }};
void main() {{
  // IREE's layout as it is: both operands in binding 0, the second one 1536 bytes behind the first
  int m = int(gl_WorkGroupID.y), n = int(gl_GlobalInvocationID.x);
  if (n >= 8) return;
  float sum = {MARK}.0;
  for (int k = 0; k < 16; ++k) sum += buffers[m * 16 + k] * buffers[384 + k * 8 + n];
  result[m * 8 + n] = sum;
}}
"""


@pytest.mark.parametrize("kind", ["glsl", "spirv"])
def test_raw(tmp_path: Path, vulkan_device: str, kind: str) -> None:
    kernel = KernelFolder(
        RAW if kind == "glsl" else compile_glsl(RAW, name="raw"),
        kind=kind,
        entry="main",
        backend="vulkan-spirv",
        workgroup_size=(32, 1, 1),
        workgroup_count=("1", "24", "1"),
        keys={"abi": "raw", "bindings": 2, "dispatches": ["dispatch_2_"]},
    )
    folder = kernel.write(tmp_path / "kernel")
    (found,) = run(tmp_path, CHAIN, [folder], INPUTS, flags=VULKAN_FLAGS, device=vulkan_device)
    a, b, c, d = INPUTS
    np.testing.assert_allclose(found, a @ b @ (c @ d) + MARK, rtol=1e-4, atol=1e-3)


def test_raw_with_another_layout_is_refused(tmp_path: Path, vulkan_device: str) -> None:
    """One binding too many, which a driver would read as zeros."""
    del vulkan_device
    kernel = KernelFolder(
        RAW.replace("binding = 1", "binding = 2"),
        kind="glsl",
        entry="main",
        backend="vulkan-spirv",
        workgroup_size=(32, 1, 1),
        workgroup_count=("1", "24", "1"),
        keys={"abi": "raw", "bindings": 2, "dispatches": ["dispatch_2_"]},
    )
    with pytest.raises(PayloadError, match="binding 2"):
        build(tmp_path, CHAIN, [kernel.write(tmp_path / "kernel")], flags=VULKAN_FLAGS)
