// What is the same for native and emulated 64-bit integers; below `int64_native.glsl` or `int64_emulated.glsl`.
i64 i64_from_int(int a) { return i64_words(uint(a), uint(a >> 31)); }
i64 i64_from_uint(uint a) { return i64_words(a, 0u); }
int i64_to_int(i64 a) { return int(i64_low(a)); }
i64 i64_neg(i64 a) { return i64_sub(i64_from_uint(0u), a); }
bool i64_negative(i64 a) { return int(i64_high(a)) < 0; }
bool i64_zero(i64 a) { return (i64_low(a) | i64_high(a)) == 0u; }
i64 i64_abs(i64 a) { if (i64_negative(a)) return i64_neg(a); return a; }
i64 i64_remu(i64 a, i64 b) { return i64_sub(a, i64_mul(i64_divu(a, b), b)); }
i64 i64_divs(i64 a, i64 b) {
  i64 q = i64_divu(i64_abs(a), i64_abs(b));
  if (i64_negative(a) != i64_negative(b)) return i64_neg(q);
  return q;
}
i64 i64_rems(i64 a, i64 b) { return i64_sub(a, i64_mul(i64_divs(a, b), b)); }
i64 i64_floordivs(i64 a, i64 b) {
  i64 q = i64_divs(a, b);
  bool inexact = !i64_zero(i64_sub(a, i64_mul(q, b)));
  if (inexact && i64_negative(a) != i64_negative(b)) return i64_sub(q, i64_from_uint(1u));
  return q;
}
i64 i64_ceildivs(i64 a, i64 b) {
  i64 q = i64_divs(a, b);
  bool inexact = !i64_zero(i64_sub(a, i64_mul(q, b)));
  if (inexact && i64_negative(a) == i64_negative(b)) return i64_add(q, i64_from_uint(1u));
  return q;
}
i64 i64_ceildivu(i64 a, i64 b) {
  i64 q = i64_divu(a, b);
  if (i64_zero(i64_sub(a, i64_mul(q, b)))) return q;
  return i64_add(q, i64_from_uint(1u));
}
i64 i64_maxs(i64 a, i64 b) { if (i64_slt(a, b)) return b; return a; }
i64 i64_mins(i64 a, i64 b) { if (i64_slt(b, a)) return b; return a; }
i64 i64_maxu(i64 a, i64 b) { if (i64_ult(a, b)) return b; return a; }
i64 i64_minu(i64 a, i64 b) { if (i64_ult(b, a)) return b; return a; }
i64 i64_select(bool c, i64 a, i64 b) { if (c) return a; return b; }
float i64_uint_to_float(i64 a) {
  uint high = i64_high(a);
  uint low = i64_low(a);
  if (high == 0u) return float(low);
  // one rounding instead of two: keep 32 bits and fold what is shifted out into the lowest of them
  int shift = findMSB(high) + 1;
  i64 kept = i64_shru(a, uint(shift));
  bool sticky = !i64_eq(i64_shl(kept, uint(shift)), a);
  uint top = i64_low(kept) | (sticky ? 1u : 0u);
  return float(top) * uintBitsToFloat(uint(shift + 127) << 23);
}
float i64_to_float(i64 a) {
  float r = i64_uint_to_float(i64_abs(a));
  return i64_negative(a) ? -r : r;
}
i64 i64_from_float_magnitude(float x) {  // 0 <= x < 2^64, rounded toward zero
  if (x < 4294967296.0) return i64_from_uint(uint(x));
  uint bits = floatBitsToUint(x);
  return i64_shl(i64_from_uint((bits & 0x007fffffu) | 0x00800000u), (bits >> 23) - 150u);
}
i64 i64_from_float(float x) {  // saturates; 0 for NaN
  if (x >= 9223372036854775808.0) return i64_words(0xffffffffu, 0x7fffffffu);
  if (x <= -9223372036854775808.0) return i64_words(0u, 0x80000000u);
  if (x >= 0.0) return i64_from_float_magnitude(x);
  if (x < 0.0) return i64_neg(i64_from_float_magnitude(-x));
  return i64_from_uint(0u);
}
i64 i64_from_float_unsigned(float x) {
  if (x >= 18446744073709551616.0) return i64_words(0xffffffffu, 0xffffffffu);
  if (x > 0.0) return i64_from_float_magnitude(x);
  return i64_from_uint(0u);
}
