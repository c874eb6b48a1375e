// c = a · b, an element each. load_a, load_b, store_c and N come from the toolkit.
void main() {
  int i = int(gl_GlobalInvocationID.x);
  if (i < N) store_c(i, load_a(i) * load_b(i));
}
