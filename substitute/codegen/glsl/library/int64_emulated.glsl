// 64-bit integers on a target without them, as (low, high) words.
#define i64 uvec2
i64 i64_words(uint low, uint high) { return uvec2(low, high); }
uint i64_low(i64 a) { return a.x; }
uint i64_high(i64 a) { return a.y; }
i64 i64_add(i64 a, i64 b) {
  uint carry;
  uint low = uaddCarry(a.x, b.x, carry);
  return uvec2(low, a.y + b.y + carry);
}
i64 i64_sub(i64 a, i64 b) {
  uint borrow;
  uint low = usubBorrow(a.x, b.x, borrow);
  return uvec2(low, a.y - b.y - borrow);
}
i64 i64_mul(i64 a, i64 b) {
  uint high, low;
  umulExtended(a.x, b.x, high, low);
  return uvec2(low, high + a.x * b.y + a.y * b.x);
}
i64 i64_and(i64 a, i64 b) { return a & b; }
i64 i64_or(i64 a, i64 b) { return a | b; }
i64 i64_xor(i64 a, i64 b) { return a ^ b; }
bool i64_eq(i64 a, i64 b) { return a == b; }
bool i64_slt(i64 a, i64 b) { return a.y == b.y ? a.x < b.x : int(a.y) < int(b.y); }
bool i64_ult(i64 a, i64 b) { return a.y == b.y ? a.x < b.x : a.y < b.y; }
i64 i64_shl(i64 a, uint n) {
  if (n == 0u) return a;
  if (n >= 32u) return uvec2(0u, n > 63u ? 0u : a.x << (n - 32u));
  return uvec2(a.x << n, (a.y << n) | (a.x >> (32u - n)));
}
i64 i64_shru(i64 a, uint n) {
  if (n == 0u) return a;
  if (n >= 32u) return uvec2(n > 63u ? 0u : a.y >> (n - 32u), 0u);
  return uvec2((a.x >> n) | (a.y << (32u - n)), a.y >> n);
}
i64 i64_shrs(i64 a, uint n) {
  uint sign = uint(int(a.y) >> 31);
  if (n == 0u) return a;
  if (n >= 32u) return uvec2(uint(int(a.y) >> min(n - 32u, 31u)), sign);
  return uvec2((a.x >> n) | (a.y << (32u - n)), uint(int(a.y) >> n));
}
i64 i64_divu(i64 a, i64 b) {  // 0 for b = 0, which is undefined in MLIR
  if (b == uvec2(0u)) return uvec2(0u);
  if (a.y == 0u && b.y == 0u) return uvec2(a.x / b.x, 0u);
  uvec2 quotient = uvec2(0u);
  uvec2 rest = uvec2(0u);
  for (int bit = 63; bit >= 0; --bit) {
    bool over = (rest.y >> 31) != 0u;
    rest = uvec2((rest.x << 1) | (i64_shru(a, uint(bit)).x & 1u), (rest.y << 1) | (rest.x >> 31));
    if (over || !i64_ult(rest, b)) {
      rest = i64_sub(rest, b);
      quotient = i64_or(quotient, i64_shl(uvec2(1u, 0u), uint(bit)));
    }
  }
  return quotient;
}
