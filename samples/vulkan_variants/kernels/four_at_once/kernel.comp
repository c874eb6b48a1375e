void main() {
  int first = 4 * int(gl_GlobalInvocationID.x);
  if (first >= N) return;
  for (int n = first; n < first + 4; ++n) store_z(n, load_x(n) * load_y(n));
}
