// c[m, n] = a[m, n] * s[m]: a block for each row.
// The canonical ABI: a pointer per operand, then the axes in the order in which [operands] first names them: M, N.
extern "C" __global__ void __launch_bounds__(128)
scale_rows(const float *a, const float *s, float *c, unsigned M, unsigned N) {
  for (unsigned n = threadIdx.x; n < N; n += blockDim.x) {
    size_t at = size_t(blockIdx.x) * N + n;
    c[at] = a[at] * s[blockIdx.x];
  }
}
