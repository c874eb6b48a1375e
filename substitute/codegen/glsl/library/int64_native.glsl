// 64-bit integers on a target that has them.
#define i64 int64_t
i64 i64_words(uint low, uint high) { return int64_t(packUint2x32(uvec2(low, high))); }
uint i64_low(i64 a) { return unpackUint2x32(uint64_t(a)).x; }
uint i64_high(i64 a) { return unpackUint2x32(uint64_t(a)).y; }
i64 i64_add(i64 a, i64 b) { return a + b; }
i64 i64_sub(i64 a, i64 b) { return a - b; }
i64 i64_mul(i64 a, i64 b) { return a * b; }
i64 i64_and(i64 a, i64 b) { return a & b; }
i64 i64_or(i64 a, i64 b) { return a | b; }
i64 i64_xor(i64 a, i64 b) { return a ^ b; }
bool i64_eq(i64 a, i64 b) { return a == b; }
bool i64_slt(i64 a, i64 b) { return a < b; }
bool i64_ult(i64 a, i64 b) { return uint64_t(a) < uint64_t(b); }
i64 i64_shl(i64 a, uint n) { return n > 63u ? 0l : a << n; }
i64 i64_shru(i64 a, uint n) { return n > 63u ? 0l : int64_t(uint64_t(a) >> n); }
i64 i64_shrs(i64 a, uint n) { return a >> min(n, 63u); }
i64 i64_divu(i64 a, i64 b) { return b == 0l ? 0l : int64_t(uint64_t(a) / uint64_t(b)); }
