#version 450
// c = a · b, an element each. IREE's own layout: binding i in set 0, then the push constants as one block of 32-bit words.
layout(local_size_x = 64) in;
layout(set = 0, binding = 0, std430) readonly buffer A { float a[]; };
layout(set = 0, binding = 1, std430) readonly buffer B { float b[]; };
layout(set = 0, binding = 2, std430) writeonly buffer C { float c[]; };
layout(push_constant) uniform Constants { uint size; };

void main() {
  uint i = gl_GlobalInvocationID.x;
  if (i < size) c[i] = a[i] * b[i];
}
