#version 450
// A whole shader of its own, with no head from the toolkit: IREE's bindings in order (a, b, result) in set 0. Push
// constants, where a dispatch has them, are one block of 32-bit words. Here 64 workgroups take 64 elements each.
layout(local_size_x = 64) in;
layout(set = 0, binding = 0, std430) readonly buffer A { float a[]; };
layout(set = 0, binding = 1, std430) readonly buffer B { float b[]; };
layout(set = 0, binding = 2, std430) writeonly buffer Result { float result[]; };

void main() {
  uint i = gl_GlobalInvocationID.x;
  result[i] = a[i] * b[i];
}
