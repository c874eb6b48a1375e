#version 450
// b = a · b, an element each.
layout(local_size_x = 64) in;
layout(set = 0, binding = 0, std430) readonly buffer A { float a[]; };
layout(set = 0, binding = 1, std430) buffer B { float b[]; };
layout(push_constant) uniform Constants { uint size; };

void main() {
  uint i = gl_GlobalInvocationID.x;
  if (i < size) b[i] *= a[i];
}
