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
