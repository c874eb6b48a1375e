#version 450
// The block is as wide as the constant says: 8 on lavapipe, 32 or 64 on a GPU.
layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 0) const uint LANES = 1;
layout(constant_id = 1) const uint N = 1;
layout(set = 0, binding = 0) readonly buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly buffer Y { float y[]; };
shared float partial[LANES];

void main() {
  uint row = gl_WorkGroupID.x, lane = gl_LocalInvocationID.x;
  float sum = 0.0;
  for (uint n = lane; n < N; n += LANES) sum += x[row * N + n];
  partial[lane] = sum;
  barrier();
  if (lane == 0) {
    for (uint other = 1; other < LANES; ++other) sum += partial[other];
    y[row] = sum;
  }
}
