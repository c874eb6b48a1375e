// Functions of f32 that GLSL lacks. The math functions are written by `mathematics.py`.

#define f32_infinity uintBitsToFloat(0x7f800000u)
#define f32_nan uintBitsToFloat(0x7fc00000u)

// isnan() may be folded away by a driver that assumes there are no NaNs; the bits cannot.
bool is_nan(float x) { return (floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u; }
bool is_inf(float x) { return (floatBitsToUint(x) & 0x7fffffffu) == 0x7f800000u; }
bool sign_bit(float x) { return (floatBitsToUint(x) >> 31) != 0u; }
bool unordered(float a, float b) { return is_nan(a) || is_nan(b); }

float f32_copysign(float a, float b) {
  return uintBitsToFloat((floatBitsToUint(a) & 0x7fffffffu) | (floatBitsToUint(b) & 0x80000000u));
}

float f32_maximum(float a, float b) {
  if (unordered(a, b)) return f32_nan;
  if (a == b) return sign_bit(a) ? b : a;
  return a > b ? a : b;
}

float f32_minimum(float a, float b) {
  if (unordered(a, b)) return f32_nan;
  if (a == b) return sign_bit(a) ? a : b;
  return a < b ? a : b;
}

float f32_maxnum(float a, float b) {
  if (is_nan(a)) return b;
  if (is_nan(b)) return a;
  return f32_maximum(a, b);
}

float f32_minnum(float a, float b) {
  if (is_nan(a)) return b;
  if (is_nan(b)) return a;
  return f32_minimum(a, b);
}

float f32_scale(float x, int n) {  // x * 2^n, |n| <= 252
  int half_n = n / 2;
  return x * uintBitsToFloat(uint(half_n + 127) << 23) * uintBitsToFloat(uint(n - half_n + 127) << 23);
}

float f32_powi(float x, int n) {
  uint count = uint(abs(n));
  float r = 1.0;
  for (float square = x; count != 0u; count >>= 1, square = square * square) {
    if ((count & 1u) != 0u) r = r * square;
  }
  return n < 0 ? 1.0 / r : r;
}

float f32_rem(float a, float b) {  // C's fmod, exact: long division on the bits
  if (unordered(a, b) || is_inf(a) || b == 0.0) return f32_nan;
  float x = abs(a);
  float y = abs(b);
  if (is_inf(b) || x < y) return a;
  for (int step = 0; step < 300 && x >= y; ++step) {
    int shift = int(floatBitsToUint(x) >> 23) - int(floatBitsToUint(y) >> 23);
    float t = f32_scale(y, clamp(shift, 0, 250));
    if (t > x || is_inf(t)) t = f32_scale(y, clamp(shift - 1, 0, 250));
    x = x - t;
  }
  return f32_copysign(x, a);
}

float f32_round(float x) {  // half away from zero
  float t = trunc(x);
  return f32_copysign(abs(x - t) >= 0.5 ? abs(t) + 1.0 : abs(t), x);
}

int f32_to_int(float x) {
  // out of range is poison in MLIR; saturate, so that every driver does the same
  if (!(x > -2147483648.0)) return is_nan(x) ? 0 : int(0x80000000u);
  return x >= 2147483648.0 ? 2147483647 : int(x);
}

uint f32_to_uint(float x) {
  if (!(x > 0.0)) return 0u;
  return x >= 4294967296.0 ? 0xffffffffu : uint(x);
}

// `precise`: a driver may fold `x - x`, `0 / x` or `x + 0` as if there were no NaN, infinity or -0.
float f32_exact_add(float a, float b) {
  precise float r = a + b;
  return r;
}
float f32_exact_sub(float a, float b) {
  precise float r = a - b;
  return r;
}
float f32_exact_mul(float a, float b) {
  precise float r = a * b;
  return r;
}
float f32_exact_div(float a, float b) {
  precise float r = a / b;
  return r;
}

// A zero that drivers do not recognise: Mesa's llvmpipe takes `x / 0` for undefined, `x * 0` for 0 and `x + 0` for x.
#define f32_zero uintBitsToFloat(gl_LocalInvocationIndex >> 31)
