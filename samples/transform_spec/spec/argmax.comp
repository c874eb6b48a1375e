#version 450
// The same as kernels/argmax/kernel.comp, for the layout that argmax.mlir declares: x, then the places as pairs of 32-bit
// words, and the length of a row as a push constant.
layout(local_size_x = 64) in;
layout(set = 0, binding = 0, std430) readonly buffer X { float x[]; };
layout(set = 0, binding = 1, std430) writeonly buffer At { uvec2 at[]; };
layout(push_constant) uniform Constants { uint N; };
shared float best[64];
shared uint place[64];

void main() {
  uint row = gl_WorkGroupID.x, lane = gl_LocalInvocationID.x;
  float largest = x[row * N + lane];
  uint here = lane;
  for (uint n = lane + 64; n < N; n += 64) {
    float value = x[row * N + n];
    if (value > largest) { largest = value; here = n; }
  }
  best[lane] = largest;
  place[lane] = here;
  for (uint width = 32; width > 0; width /= 2) {
    barrier();
    if (lane < width) {
      float other = best[lane + width];
      uint where = place[lane + width];
      if (other > best[lane] || (other == best[lane] && where < place[lane])) {
        best[lane] = other;
        place[lane] = where;
      }
    }
  }
  if (lane == 0) at[row] = uvec2(place[0], 0);
}
