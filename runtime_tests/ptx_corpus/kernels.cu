// Everyday device code, each kernel with a reference in compilers.py. n is the number of elements.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cstdio>

extern "C" __global__ void divide_128(const unsigned long long *x, unsigned long long *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned __int128 v = ((unsigned __int128)x[2 * i] << 64) | x[2 * i + 1];
  v /= 10;
  y[2 * i] = (unsigned long long)(v >> 64);
  y[2 * i + 1] = (unsigned long long)v;
}

extern "C" __global__ void halves(const __half2 *a, const __half2 *b, __half2 *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = __hadd2(__hmul2(__hgt2(a[i], b[i]), a[i]), __hmax2(a[i], b[i]));
}

extern "C" __global__ void bytes(const unsigned *a, const unsigned *b, unsigned *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = __vabsdiffu4(a[i], b[i]) + __vaddus2(a[i], b[i]) + __fns(a[i], 3, 2) + __byte_perm(a[i], b[i], 0x2461);
}

extern "C" __global__ void sums(const float *x, float *y, int n) {
  __shared__ float part[32];
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
  for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float all = 0;
    for (int w = 0; w < blockDim.x / 32; ++w) all += part[w];
    y[0] = all;
  }
}

__device__ int choose(int kind, int v) {
  switch (kind) {
    case 0: return v + 1;
    case 1: return v * v;
    case 2: return __popc(v);
    case 3: return __clz(v);
    case 4: return v >> 2;
    case 5: return v % 7;
    case 6: return v / 3;
    default: return -v;
  }
}
extern "C" __global__ void choices(const int *x, int *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  int table[8];
  for (int k = 0; k < 8; ++k) table[k] = choose(k, x[i % n]);
  if (i < n) y[i] = table[(i + x[i]) & 7];
}

extern "C" __global__ void numbers(const double *x, double *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = sqrt(x[i]) + exp(-x[i]) * sin(x[i]) / (1.0 + x[i]);
}

extern "C" __global__ void singles(const float *x, float *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = expf(-x[i]) + tanhf(x[i]) * logf(1.0f + x[i]) + rsqrtf(x[i] + 1.0f) + x[i] / 3.0f;
}

extern "C" __global__ void counts(const int *x, int *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(&y[x[i] & 7], 1);
  if (i < n) atomicMax(&y[8], x[i]);
}

typedef int (*function)(int);
__device__ int twice(int v) { return 2 * v; }
__device__ int square(int v) { return v * v; }
__device__ function table[2] = {twice, square};
extern "C" __global__ void pointers(const int *x, int *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = table[x[i] & 1](x[i]);
}

extern "C" __global__ void prints(const int *x, int *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i == 1) printf("%d of %d: %s\n", i, n, "here");
  if (i < n) y[i] = (int)__bfloat162float(__float2bfloat16((float)x[i]));
}
