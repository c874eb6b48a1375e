"""Right kernels as GLSL against the canonical ABI, as a shader generator, and as finished SPIR-V."""

from __future__ import annotations

from runtime_tests.faults.kernel import Variant

Count = tuple[str, str, str]
Size = tuple[int, int, int]

_MATMUL = """\
void main() {
  int m = int(gl_GlobalInvocationID.y), n = int(gl_GlobalInvocationID.x);
  if (m >= M || n >= N) return;
  float sum = 0.0;
  for (int k = 0; k < K; ++k) {
    sum += load_a(m, k) * load_b(LOAD);
  }
  store_c(m, n, sum);
}
"""
_TILED = """\
shared float left[8][8];
shared float right[8][8];
void main() {
  int x = int(gl_LocalInvocationID.x), y = int(gl_LocalInvocationID.y);
  int m = int(gl_WorkGroupID.y) * 8 + y, n = int(gl_WorkGroupID.x) * 8 + x;
  float sum = 0.0;
  for (int t = 0; t < K; t += 8) {
    left[y][x] = m < M && t + x < K ? load_a(m, t + x) : 0.0;
    right[y][x] = t + y < K && n < N ? load_b(t + y, n) : 0.0;
    barrier();
    for (int k = 0; k < 8; ++k) {
      sum += left[y][k] * right[k][x];
    }
    barrier();
  }
  if (m < M && n < N) {
    store_c(m, n, sum);
  }
}
"""
_ROW_SUM = """\
shared float parts[64];
void main() {
  int m = int(gl_WorkGroupID.x), i = int(gl_LocalInvocationID.x);
  float sum = 0.0;
  for (int n = i; n < N; n += 64) {
    sum += load_x(m, n);
  }
  parts[i] = sum;
  barrier();
  for (int half_ = 32; half_ > 0; half_ /= 2) {
    if (i < half_) {
      parts[i] += parts[i + half_];
    }
    barrier();
  }
  if (i == 0) {
    store_y(m, parts[0]);
  }
}
"""
_SOFTMAX = """\
void main() {
  int m = int(gl_GlobalInvocationID.x);
  if (m >= M) return;
  float most = load_x(m, 0);
  for (int n = 1; n < N; ++n) {
    most = f32_maximum(most, load_x(m, n));
  }
  float sum = 0.0;
  for (int n = 0; n < N; ++n) {
    sum += f32_exp(load_x(m, n) - most);
  }
  for (int n = 0; n < N; ++n) {
    store_y(m, n, f32_exp(load_x(m, n) - most) / sum);
  }
}
"""
_ELEMENTS = """\
void main() {
  int n = int(gl_GlobalInvocationID.x);
  if (n >= N) return;
  store_y(n, VALUE);
}
"""
_TRANSPOSE = """\
void main() {
  int m = int(gl_GlobalInvocationID.y), n = int(gl_GlobalInvocationID.x);
  if (m >= M || n >= N) return;
  store_y(n, m, load_x(m, n));
}
"""
_BIAS = """\
void main() {
  int m = int(gl_GlobalInvocationID.y), n = int(gl_GlobalInvocationID.x);
  if (m >= M || n >= N) return;
  store_y(m, n, load_a(m, n) + load_b(n));
}
"""
_RAW_MATMUL = """\
#version 450
layout(local_size_x = 16, local_size_y = 4) in;
layout(constant_id = 0) const int M = 1;
layout(constant_id = 1) const int K = 1;
layout(constant_id = 2) const int N = 1;
layout(constant_id = 3) const int A = 0;
layout(constant_id = 4) const int B = 0;
layout(constant_id = 5) const int C = 0;
layout(set = 0, binding = 0, std430) readonly buffer First { float a[]; };
layout(set = 0, binding = 1, std430) readonly buffer Second { float b[]; };
layout(set = 0, binding = 2, std430) buffer Third { float c[]; };
void main() {
  int m = int(gl_GlobalInvocationID.y), n = int(gl_GlobalInvocationID.x);
  if (m >= M || n >= N) return;
  float sum = 0.0;
  for (int k = 0; k < K; ++k) {
    sum += a[A + m * K + k] * b[B + k * N + n];
  }
  c[C + m * N + n] = sum;
}
"""
_RAW_DIFFERENCE = """\
#version 450
layout(local_size_x = 64) in;
layout(constant_id = 0) const int N = 1;
layout(constant_id = 3) const int A = 0;
layout(constant_id = 4) const int B = 0;
layout(constant_id = 5) const int C = 0;
layout(set = 0, binding = 0, std430) readonly buffer First { float a[]; };
layout(set = 0, binding = 1, std430) readonly buffer Second { float b[]; };
layout(set = 0, binding = 2, std430) buffer Third { float c[]; };
void main() {
  int n = int(gl_GlobalInvocationID.x);
  if (n >= N) return;
  c[C + n] = 2.0 * a[A + n] - b[B + n];
}
"""
_GENERATOR = '''\
"""Writes a shader for each dispatch: the body below, behind the head that the toolkit writes."""

from substitute.model.plan import Request
from substitute.payload.glsl.prelude import canonical_source


def generate(request: Request) -> str:
    """The whole shader."""
    return canonical_source(request, BODY)


BODY = """
SOURCE"""
'''
_SQUARE: Size = (16, 4, 1)
_TILES: Count = ("ceildiv(N, 16)", "ceildiv(M, 4)", "1")
_LINE: Count = ("ceildiv(N, 64)", "1", "1")


def shader_controls() -> list[Variant]:
    """All right kernels for Vulkan."""
    difference = _ELEMENTS.replace("VALUE", "2.0 * load_a(n) - load_b(n)")
    bodies: list[tuple[str, str, str, Count, Size]] = [
        ("matmul", "matmul", _MATMUL.replace("LOAD", "k, n"), _TILES, _SQUARE),
        ("matmul_tiled", "matmul", _TILED, ("ceildiv(N, 8)", "ceildiv(M, 8)", "1"), (8, 8, 1)),
        ("matmul_transposed", "matmul_transposed", _MATMUL.replace("LOAD", "n, k"), _TILES, _SQUARE),
        ("row_sum", "row_sum", _ROW_SUM, ("M", "1", "1"), (64, 1, 1)),
        ("softmax", "softmax", _SOFTMAX, ("ceildiv(M, 32)", "1", "1"), (32, 1, 1)),
        ("difference", "difference", difference, _LINE, (64, 1, 1)),
        (
            "clamp",
            "clamp",
            _ELEMENTS.replace("VALUE", "f32_minimum(f32_maximum(load_x(n), 0.0), 6.0)"),
            _LINE,
            (64, 1, 1),
        ),
        ("silu", "silu", _ELEMENTS.replace("VALUE", "load_x(n) / (f32_exp(-load_x(n)) + 1.0)"), _LINE, (64, 1, 1)),
        (
            "integers",
            "integers",
            _ELEMENTS.replace("VALUE", "max(load_a(n) * load_a(n), load_b(n)) - load_b(n)"),
            _LINE,
            (64, 1, 1),
        ),
        ("transpose", "transpose", _TRANSPOSE, _TILES, _SQUARE),
        ("bias_add", "bias_add", _BIAS, _TILES, _SQUARE),
    ]
    found = [
        Variant(name=f"{name}.comp", definition=d, kind="glsl", source=source, workgroup_count=c, workgroup_size=s)
        for name, d, source, c, s in bodies
    ]
    found += [
        Variant(
            name=f"{name}.shader_py",
            definition=d,
            kind="glsl-generator",
            source=_GENERATOR.replace("SOURCE", source),
            workgroup_count=c,
            workgroup_size=s,
        )
        for name, d, source, c, s in bodies
        if name in ("matmul", "row_sum", "difference")
    ]
    spec = tuple((i + 3, f"offset.{name}") for i, name in enumerate("abc"))
    found.append(
        Variant(
            name="matmul.spv",
            definition="matmul",
            kind="spirv",
            source=_RAW_MATMUL,
            workgroup_count=_TILES,
            workgroup_size=_SQUARE,
            spec_constants=((0, "M"), (1, "K"), (2, "N"), *spec),
        )
    )
    spec = tuple((i + 3, f"offset.{name}") for i, name in enumerate("aby"))
    found.append(
        Variant(
            name="difference.spv",
            definition="difference",
            kind="spirv",
            source=_RAW_DIFFERENCE,
            workgroup_count=_LINE,
            workgroup_size=(64, 1, 1),
            spec_constants=((0, "N"), *spec),
        )
    )
    return found
