// f64: comparisons and minima that know NaN.
bool is_nan(double x) {
  uvec2 words = unpackDouble2x32(x);
  uint high = words.y & 0x7fffffffu;
  return high > 0x7ff00000u || (high == 0x7ff00000u && words.x != 0u);
}
bool unordered(double a, double b) { return is_nan(a) || is_nan(b); }
double f64_maximum(double a, double b) { return is_nan(a) ? a : is_nan(b) ? b : max(a, b); }
double f64_minimum(double a, double b) { return is_nan(a) ? a : is_nan(b) ? b : min(a, b); }
double f64_maxnum(double a, double b) { return is_nan(a) ? b : is_nan(b) ? a : max(a, b); }
double f64_minnum(double a, double b) { return is_nan(a) ? b : is_nan(b) ? a : min(a, b); }

// `precise`: a driver may fold `x - x`, `0 / x` or `x + 0` as if there were no NaN, infinity or -0.
double f64_exact_add(double a, double b) {
  precise double r = a + b;
  return r;
}
double f64_exact_sub(double a, double b) {
  precise double r = a - b;
  return r;
}
double f64_exact_mul(double a, double b) {
  precise double r = a * b;
  return r;
}
double f64_exact_div(double a, double b) {
  precise double r = a / b;
  return r;
}

// A zero that drivers do not recognise: Mesa's llvmpipe takes `x / 0` for undefined, `x * 0` for 0 and `x + 0` for x.
#define f64_zero packDouble2x32(uvec2(0u, gl_LocalInvocationIndex >> 31))
