// Functions of f32 that GLSL lacks, or for which Vulkan's precision requirements are too weak (Vulkan specification,
// "Precision and Operation of SPIR-V Instructions": exp may be wrong by 3 + 2|x| ULP, asin and atan by 4096 ULP).
// Polynomials and reductions follow Cephes (S. Moshier, netlib.org/cephes) and the public double-float literature
// (T. J. Dekker, 1971); nothing here relies on a fused multiply-add.

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

float f32_expm1_reduced(float r) {  // exp(r) - 1 for |r| <= 0.35
  float p = 1.9875691500e-4;
  p = p * r + 1.3981999507e-3;
  p = p * r + 8.3334519073e-3;
  p = p * r + 4.1665795894e-2;
  p = p * r + 1.6666665459e-1;
  p = p * r + 5.0000001201e-1;
  return p * (r * r) + r;
}

float f32_exp(float x) {
  if (is_nan(x)) return x;
  if (x > 88.7228394) return f32_infinity;
  if (x < -104.0) return 0.0;
  float n = floor(x * 1.44269504 + 0.5);
  precise float r = x - n * 0.693359375;
  r = r - n * -2.12194440e-4;
  return f32_scale(f32_expm1_reduced(r) + 1.0, int(n));
}

float f32_exp2(float x) {
  if (is_nan(x)) return x;
  if (x >= 128.0) return f32_infinity;
  if (x < -151.0) return 0.0;
  float n = floor(x + 0.5);
  return f32_scale(f32_expm1_reduced((x - n) * 0.693147181) + 1.0, int(n));
}

float f32_expm1(float x) { return abs(x) <= 0.34 ? f32_expm1_reduced(x) : f32_exp(x) - 1.0; }

float f32_split(float x, out int exponent) {  // x > 0, finite: x = m * 2^exponent, m in [sqrt(1/2), sqrt(2))
  bool tiny = x < 1.17549435e-38;
  uint bits = floatBitsToUint(tiny ? x * 8388608.0 : x);
  exponent = int(bits >> 23) - 126 - (tiny ? 23 : 0);
  float m = uintBitsToFloat((bits & 0x007fffffu) | 0x3f000000u);
  if (m < 0.707106781) {
    m = m + m;
    exponent -= 1;
  }
  return m;
}

float f32_log_reduced(float f, float z) {  // log(1 + f) - f + z / 2, with z = f * f
  float p = 7.0376836292e-2;
  p = p * f - 1.1514610310e-1;
  p = p * f + 1.1676998740e-1;
  p = p * f - 1.2420140846e-1;
  p = p * f + 1.4249322787e-1;
  p = p * f - 1.6668057665e-1;
  p = p * f + 2.0000714765e-1;
  p = p * f - 2.4999993993e-1;
  p = p * f + 3.3333331174e-1;
  return p * f * z;
}

float f32_log_special(float x) {  // for x that is not positive and finite
  if (is_nan(x)) return x;
  if (x == 0.0) return -f32_infinity;
  return x < 0.0 ? f32_nan : f32_infinity;
}

float f32_log(float x) {
  if (!(x > 0.0) || is_inf(x)) return f32_log_special(x);
  int e;
  precise float f = f32_split(x, e) - 1.0;
  float n = float(e);
  float z = f * f;
  precise float y = f32_log_reduced(f, z) + n * -2.12194440e-4;
  y = y - 0.5 * z;
  precise float result = (f + y) + n * 0.693359375;
  return result;
}

float f32_log2(float x) {
  if (!(x > 0.0) || is_inf(x)) return f32_log_special(x);
  int e;
  precise float f = f32_split(x, e) - 1.0;
  float z = f * f;
  precise float y = f32_log_reduced(f, z) - 0.5 * z;
  // log2(e) = 1 + 0.44269504: the leading 1 is exact
  precise float result = ((y * 0.44269504 + f * 0.44269504) + y) + f;
  return result + float(e);
}

float f32_log10(float x) { return f32_log(x) * 0.434294482; }

float f32_log1p(float x) {
  if (is_nan(x) || x == f32_infinity) return x;
  precise float u = 1.0 + x;
  precise float d = u - 1.0;
  if (d == 0.0) return x;
  return f32_log(u) * (x / d);
}

float f32_tanh(float x) {
  float a = abs(x);
  if (is_nan(x)) return x;
  if (a < 0.625) {
    float s = x * x;
    float p = -5.70498872745e-3;
    p = p * s + 2.06390887954e-2;
    p = p * s - 5.37397155531e-2;
    p = p * s + 1.33314422036e-1;
    p = p * s - 3.33332819422e-1;
    return p * s * x + x;
  }
  // exp would overflow to infinity from 44 on; the result is 1 from 9.01 on
  float r = a > 9.02 ? 1.0 : 1.0 - 2.0 / (f32_exp(2.0 * a) + 1.0);
  return f32_copysign(r, x);
}

float f32_sinh(float x) {
  float a = abs(x);
  if (a < 1.0) {
    float s = x * x;
    return ((2.03721912945e-4 * s + 8.33028376239e-3) * s + 1.66667160211e-1) * s * x + x;
  }
  float h = f32_exp(0.5 * a);  // exp(a) alone overflows before sinh does
  return f32_copysign(0.5 * h * h - 0.5 / h / h, x);
}

float f32_cosh(float x) {
  float h = f32_exp(0.5 * abs(x));
  return 0.5 * h * h + 0.5 / h / h;
}

float f32_asinh(float x) {
  float a = abs(x);
  float r = a > 1.0e9 ? f32_log(a) + 0.693147181 : f32_log1p(a + a * a / (1.0 + sqrt(a * a + 1.0)));
  return is_nan(x) ? x : f32_copysign(r, x);
}

float f32_acosh(float x) {
  float t = x - 1.0;
  if (!(t >= 0.0)) return f32_nan;
  return x > 1.0e9 ? f32_log(x) + 0.693147181 : f32_log1p(t + sqrt(2.0 * t + t * t));
}

float f32_atanh(float x) {
  float a = abs(x);
  if (!(a <= 1.0)) return f32_nan;
  return f32_copysign(0.5 * f32_log1p(2.0 * a / (1.0 - a)), x);
}

// erf by the two-interval minimax approximation of N. Juffa; below 1 ULP on f32.
float f32_erf(float x) {
  float t = abs(x);
  float s = x * x;
  if (t > 0.927734375) {
    float r = -1.72853470e-5 * t + 3.83197126e-4;
    float u = -3.88396438e-3 * t + 2.42546219e-2;
    r = r * s + u;
    r = r * t - 1.06777877e-1;
    r = r * t - 6.34846687e-1;
    r = r * t - 1.28717512e-1;
    r = r * t - t;
    return t > 4.0 ? f32_copysign(1.0, x) : f32_copysign(1.0 - f32_exp(r), x);
  }
  float r = -5.96761703e-4;
  r = r * s + 4.99119423e-3;
  r = r * s - 2.67681349e-2;
  r = r * s + 1.12819925e-1;
  r = r * s - 3.76125336e-1;
  r = r * s + 1.28379166e-1;
  return r * x + x;
}

const uint two_over_pi[6] = uint[](0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u);

// Payne and Hanek's reduction: 96 bits of 2/pi times the 24 bits of x. Only for |x| >= 2^13.
float f32_reduce_huge(float x, out int quadrant) {
  uint bits = floatBitsToUint(x);
  uint mantissa = ((bits & 0x007fffffu) | 0x00800000u) << 8;
  int e = int((bits >> 23) & 0xffu) - 126;
  int word = e >> 5;
  int shift = e & 31;
  uint hi = word > 0 ? two_over_pi[max(word - 1, 0)] : 0u;
  uint mid = two_over_pi[word];
  uint lo = two_over_pi[min(word + 1, 5)];
  uint below = two_over_pi[min(word + 2, 5)];
  if (shift != 0) {
    hi = (hi << shift) | (mid >> (32 - shift));
    mid = (mid << shift) | (lo >> (32 - shift));
    lo = (lo << shift) | (below >> (32 - shift));
  }
  uint high, low, carry, unused;
  umulExtended(mantissa, lo, carry, unused);
  umulExtended(mantissa, mid, high, low);
  uint overflow;
  low = uaddCarry(low, carry, overflow);
  high = high + overflow + mantissa * hi;
  quadrant = int(high >> 30);  // 2.62 fixed point
  high &= 0x3fffffffu;
  bool negative = (high & 0x20000000u) != 0u;
  if (negative) {  // the fraction is at least a half: take its distance to one
    quadrant += 1;
    low = ~low + 1u;
    high = (~high + (low == 0u ? 1u : 0u)) & 0x3fffffffu;
  }
  float r = (float(high) * 4294967296.0 + float(low)) * (1.57079633 / 4611686018427387904.0);
  if (negative) r = -r;
  if (x < 0.0) {
    r = -r;
    quadrant = -quadrant;
  }
  return r;
}

float f32_reduce(float x, out int quadrant) {  // x minus the nearest multiple of pi/2
  if (abs(x) >= 8192.0) return f32_reduce_huge(x, quadrant);
  float n = floor(x * 0.636619772 + 0.5);
  quadrant = int(n);
  precise float r = x - n * 1.5703125;
  r = r - n * 4.837512969970703125e-4;
  r = r - n * 7.54978995489188216e-8;
  return r;
}

float f32_sin_quadrant(float r, int quadrant) {
  float s = r * r;
  float value;
  if ((quadrant & 1) != 0) {
    value = ((2.443315711809948e-5 * s - 1.388731625493765e-3) * s + 4.166664568298827e-2) * s * s - 0.5 * s + 1.0;
  } else {
    value = ((-1.9515295891e-4 * s + 8.3321608736e-3) * s - 1.6666654611e-1) * s * r + r;
  }
  return (quadrant & 2) != 0 ? -value : value;
}

float f32_sin(float x) {
  if (is_nan(x) || is_inf(x)) return f32_nan;
  int quadrant;
  float r = f32_reduce(x, quadrant);
  return f32_sin_quadrant(r, quadrant);
}

float f32_cos(float x) {
  if (is_nan(x) || is_inf(x)) return f32_nan;
  int quadrant;
  float r = f32_reduce(x, quadrant);
  return f32_sin_quadrant(r, quadrant + 1);
}

float f32_tan(float x) { return f32_sin(x) / f32_cos(x); }

float f32_atan(float x) {
  if (is_nan(x)) return x;
  float a = abs(x);
  float base = 0.0;
  float t = a;
  if (a > 2.414213562) {
    base = 1.57079633;
    t = -1.0 / a;
  } else if (a > 0.4142135624) {
    base = 0.785398163;
    t = (a - 1.0) / (a + 1.0);
  }
  float s = t * t;
  float p = (((8.05374449538e-2 * s - 1.38776856032e-1) * s + 1.99777106478e-1) * s - 3.33329491539e-1) * s * t + t;
  return f32_copysign(base + p, x);
}

float f32_atan2(float y, float x) {
  if (unordered(x, y)) return f32_nan;
  const float pi = 3.14159265;
  if (x == 0.0 && y == 0.0) return f32_copysign(sign_bit(x) ? pi : 0.0, y);
  if (is_inf(x) && is_inf(y)) return f32_copysign(x > 0.0 ? 0.785398163 : 2.35619449, y);
  if (x == 0.0 || is_inf(y)) return f32_copysign(1.57079633, y);
  if (is_inf(x)) return f32_copysign(x > 0.0 ? 0.0 : pi, y);
  float t = f32_atan(abs(y / x));
  return f32_copysign(x < 0.0 ? pi - t : t, y);
}

float f32_asin(float x) {
  float a = abs(x);
  if (!(a <= 1.0)) return f32_nan;
  bool large = a > 0.5;
  float z = large ? 0.5 * (1.0 - a) : a * a;
  float t = large ? sqrt(z) : a;
  float p = 4.2163199048e-2;
  p = p * z + 2.4181311049e-2;
  p = p * z + 4.5470025998e-2;
  p = p * z + 7.4953002686e-2;
  p = p * z + 1.6666752422e-1;
  float r = p * z * t + t;
  return f32_copysign(large ? 1.57079633 - 2.0 * r : r, x);
}

float f32_acos(float x) {
  if (x > 0.5) return 2.0 * f32_asin(sqrt(0.5 * (1.0 - x)));
  if (x < -0.5) return 3.14159265 - 2.0 * f32_asin(sqrt(0.5 * (1.0 + x)));
  return 1.57079633 - f32_asin(x);
}

float f32_product_error(float a, float b, float product) {  // a * b - product, exactly (Dekker)
  precise float ca = 4097.0 * a;
  precise float ah = ca - (ca - a);
  precise float al = a - ah;
  precise float cb = 4097.0 * b;
  precise float bh = cb - (cb - b);
  precise float bl = b - bh;
  precise float error = ((ah * bh - product) + ah * bl + al * bh) + al * bl;
  return error;
}

vec2 f32_log_pair(float x) {  // log(x) as high + low, x > 0 and finite
  int e;
  float m = f32_split(x, e);
  float n = float(e);
  precise float sum = m + 1.0;
  precise float sum_low = m - (sum - 1.0);  // m + 1 = sum + sum_low exactly
  precise float f = m - 1.0;
  precise float q = f / sum;
  precise float product = q * sum;
  precise float rest = ((f - product) - f32_product_error(q, sum, product)) - q * sum_low;
  precise float q_low = rest / sum;
  float s = q * q;
  float r = 0.1293334961;
  r = r * s + 0.1419928074;
  r = r * s + 0.2000148296;
  r = r * s + 0.3333332539;
  precise float cube = s * q;
  precise float cube_low = f32_product_error(q, q, s) * q + f32_product_error(s, q, cube) + 3.0 * s * q_low;
  precise float tail = 2.0 * (r * cube + (r * cube_low + q_low));
  precise float lead = n * 0.693359375;  // exact: nine bits times eight
  precise float twice = 2.0 * q;
  precise float high = lead + twice;
  precise float b = high - lead;
  precise float error = (lead - (high - b)) + (twice - b);
  precise float low = (tail + n * -2.12194440e-4) + error;
  precise float total = high + low;
  precise float total_low = (high - total) + low;
  return vec2(total, total_low);
}

float f32_pow_positive(float x, float y) {  // x > 0 and finite, y finite
  vec2 l = f32_log_pair(x);
  precise float t = y * l.x;
  if (t > 89.0) return f32_infinity;
  if (t < -105.0) return 0.0;
  // Dekker's splitting overflows for a huge y; then l.x is so small that its product needs no correction
  precise float t_low = (abs(y) < 1.0e30 ? f32_product_error(y, l.x, t) : 0.0) + y * l.y;
  precise float total = t + t_low;
  precise float rest = (t - total) + t_low;
  float r = f32_exp(total);
  return is_inf(r) ? r : r + r * rest;
}

float f32_pow(float x, float y) {
  if (y == 0.0 || x == 1.0) return 1.0;
  if (unordered(x, y)) return f32_nan;
  float a = abs(x);
  if (is_inf(y)) {
    if (a == 1.0) return 1.0;
    return (a > 1.0) == (y > 0.0) ? f32_infinity : 0.0;
  }
  bool whole = floor(y) == y;
  bool odd = whole && abs(y) < 16777216.0 && (int(y) & 1) != 0;
  if (a == 0.0 || is_inf(a)) {
    float r = (a == 0.0) == (y > 0.0) ? 0.0 : f32_infinity;
    return odd && sign_bit(x) ? -r : r;
  }
  if (x < 0.0 && !whole) return f32_nan;
  float r = f32_pow_positive(a, y);
  return odd && x < 0.0 ? -r : r;
}

float f32_powi(float x, int n) {
  uint count = uint(abs(n));
  float r = 1.0;
  for (float square = x; count != 0u; count >>= 1, square = square * square) {
    if ((count & 1u) != 0u) r = r * square;
  }
  return n < 0 ? 1.0 / r : r;
}

float f32_cbrt(float x) {
  if (x == 0.0 || is_nan(x) || is_inf(x)) return x;
  float a = abs(x);
  float r = f32_exp(f32_log(a) * 0.333333333);
  r = r - (r - a / (r * r)) * 0.333333333;
  return f32_copysign(r, x);
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
