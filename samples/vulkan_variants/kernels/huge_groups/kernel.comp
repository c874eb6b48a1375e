void main() {
  int n = int(gl_GlobalInvocationID.x);
  if (n < N) store_z(n, load_x(n) * load_y(n));
}
