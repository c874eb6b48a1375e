// Kernels as people write them: nvcc -arch=sm_80 -O3 -ptx plain.cu -o plain.ptx
#include <cuda_fp16.h>
extern "C" __global__ void saxpy(const float* x, const float* y, float* z, float a, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) z[i] = a * x[i] + y[i];
}
extern "C" __global__ void softmax(const float* x, float* y, int n) {
  __shared__ float s[8];
  const float* r = x + (size_t)blockIdx.x * n; float* o = y + (size_t)blockIdx.x * n;
  float m = -1e30f; for (int i = threadIdx.x; i < n; i += blockDim.x) m = fmaxf(m, r[i]);
  for (int k = 16; k; k >>= 1) m = fmaxf(m, __shfl_xor_sync(~0u, m, k));
  if ((threadIdx.x & 31) == 0) s[threadIdx.x >> 5] = m;
  __syncthreads();
  m = s[0]; for (int i = 1; i < blockDim.x / 32; i++) m = fmaxf(m, s[i]);
  __syncthreads();
  float e = 0; for (int i = threadIdx.x; i < n; i += blockDim.x) e += __expf(r[i] - m);
  for (int k = 16; k; k >>= 1) e += __shfl_xor_sync(~0u, e, k);
  if ((threadIdx.x & 31) == 0) s[threadIdx.x >> 5] = e;
  __syncthreads();
  e = 0; for (int i = 0; i < blockDim.x / 32; i++) e += s[i];
  for (int i = threadIdx.x; i < n; i += blockDim.x) o[i] = __expf(r[i] - m) / e;
}
#define T 16
extern "C" __global__ void matmul(const float* A, const float* B, float* C, int n) {
  __shared__ float a[T][T], b[T][T];
  int x = threadIdx.x, y = threadIdx.y, c = blockIdx.x * T + x, r = blockIdx.y * T + y; float s = 0;
  for (int k = 0; k < n; k += T) {
    a[y][x] = A[r * n + k + x]; b[y][x] = B[(k + y) * n + c]; __syncthreads();
    for (int j = 0; j < T; j++) s = fmaf(a[y][j], b[j][x], s);
    __syncthreads();
  }
  C[r * n + c] = s;
}
extern "C" __global__ void histogram(const unsigned char* x, unsigned* bins, int n) {
  __shared__ unsigned s[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) s[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&s[x[i]], 1u);
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) if (s[i]) atomicAdd(&bins[i], s[i]);
}
extern "C" __global__ void transpose(const double* x, double* y, int n) {
  extern __shared__ double t[];
  t[threadIdx.y * 33 + threadIdx.x] = x[(blockIdx.y * 32 + threadIdx.y) * n + blockIdx.x * 32 + threadIdx.x];
  __syncthreads();
  y[(blockIdx.x * 32 + threadIdx.y) * n + blockIdx.y * 32 + threadIdx.x] = t[threadIdx.x * 33 + threadIdx.y];
}
__constant__ int weights[8] = {3, -1, 4, -1, 5, -9, 2, 6};
__device__ float bias[2] = {0.5f, -2.0f};
__device__ __noinline__ int mix(int a, int b) { return b ? (a % b) * weights[b & 7] + a / b : a; }
extern "C" __global__ void odds(const int* x, const half2* h, int* y, half2* g, double* d) {
  int i = threadIdx.x, v = x[i], stack[6];
  for (int k = 0; k < 6; k++) stack[(v + k) % 6 < 0 ? 0 : (v + k) % 6] = mix(v, k);
  int r = 0;
  switch (v & 7) { case 0: r = __popc(v); break; case 1: r = __clz(v); break; case 2: r = __brev(v); break; case 3: r = v >> 3; break;
                   case 4: r = __ffs(v); break; case 5: r = (int)(v * bias[0] + bias[1]); break; case 6: r = __byte_perm(v, i, 0x5140); break;
                   default: r = __dp4a(v, i, 7); }
  y[i] = r + stack[i % 6 < 0 ? 0 : 0] * 0 + __reduce_add_sync(~0u, v & 15) + __popc(__ballot_sync(~0u, v & 1));
  g[i] = __hfma2(h[i], __float2half2_rn(2.0f), h[i ^ 0]);
  d[i] = sqrt((double)v * v + 1.0) / 3.0 + exp2((double)(i & 3));
}
extern "C" __global__ void collatz(const int* x, int* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, n = 0;
  for (long long v = x[i]; v > 1; v = v & 1 ? 3 * v + 1 : v / 2) n++;
  y[i] = n;
}
