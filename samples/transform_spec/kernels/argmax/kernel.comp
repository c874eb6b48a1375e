// Each of 64 invocations looks at every 64th element; then the 64 candidates are halved, six times, in shared memory.
layout(local_size_x = 64, local_size_y = 1, local_size_z = 1) in;
shared float best[64];
shared uint place[64];
shared uint end;

void main() {
  uint row = gl_WorkGroupID.x, lane = gl_LocalInvocationID.x;
  // the definition compares nothing with success once the largest number is a NaN: a row ends at its first one
  if (lane == 0) end = uint(N);
  barrier();
  for (uint n = lane; n < uint(N); n += 64) {
    if (isnan(float(load_x(int(row), int(n))))) { atomicMin(end, n); break; }
  }
  barrier();
  float largest = uintBitsToFloat(0xff800000u);
  uint at = 0;
  for (uint n = lane; n < end; n += 64) {
    float value = float(load_x(int(row), int(n)));
    if (value > largest) { largest = value; at = n; }
  }
  best[lane] = largest;
  place[lane] = at;
  for (uint width = 32; width > 0; width /= 2) {
    barrier();
    if (lane < width) {
      float other = best[lane + width];
      uint where = place[lane + width];
      // of equal numbers the first one counts, as in the definition
      if (other > best[lane] || (other == best[lane] && where < place[lane])) { best[lane] = other; place[lane] = where; }
    }
  }
  if (lane == 0) store_at(int(row), i64_from_uint(place[0]));
}
