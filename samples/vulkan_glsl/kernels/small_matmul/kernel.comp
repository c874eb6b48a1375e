// One invocation per element of c. load_a, load_b, store_c and the axes' names come from the toolkit: it knows in which
// binding, at which offset and with which strides the dispatch keeps each operand.
void main() {
  int n = int(gl_GlobalInvocationID.x);
  int m = int(gl_GlobalInvocationID.y);
  if (m >= M || n >= N) return;
  float sum = 0.0;
  for (int k = 0; k < K; ++k) sum += load_a(m, k) * load_b(k, n);
  store_c(m, n, sum);  // bias and ReLU, which IREE fused behind the product, are applied in here
}
