#version 450
// c[m, n] = a[m] · b[n]: each invocation computes one element. A shader as any Vulkan program would have it; where the
// dispatch keeps the operands comes in by specialization constants, which the toolkit freezes for each dispatch.
layout(local_size_x = 64) in;
layout(constant_id = 0) const int N = 1;
layout(constant_id = 1) const int A = 0;
layout(constant_id = 2) const int B = 0;
layout(constant_id = 3) const int C = 0;
layout(set = 0, binding = 0, std430) readonly buffer First { float a[]; };
layout(set = 0, binding = 1, std430) readonly buffer Second { float b[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Third { float c[]; };

void main() {
  int m = int(gl_WorkGroupID.y), n = int(gl_GlobalInvocationID.x);
  if (n < N) c[C + m * N + n] = a[A + m] * b[B + n];
}
