// f16, bf16 and f8 values are held as f32 and rounded after each operation, to nearest even. That equals arithmetic
// in the small type for + - * / and sqrt, since 24 bits are at least 2 * 11 + 2 (S. Figueroa, 1995).

float f16_from_bits(uint bits) {
  uint magnitude = bits & 0x7fffu;
  uint sign = (bits & 0x8000u) << 16;
  if (magnitude >= 0x7c00u) return uintBitsToFloat(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude >= 0x0400u) return uintBitsToFloat(sign | ((magnitude + 0x1c000u) << 13));
  float r = float(magnitude) * 5.9604644775390625e-8;  // 2^-24
  return uintBitsToFloat(sign | floatBitsToUint(r));
}

uint f16_to_bits(float x) {
  uint bits = floatBitsToUint(x);
  uint sign = (bits >> 16) & 0x8000u;
  uint magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and above round to infinity
  if (magnitude >= 0x38800000u) {  // normal: 2^-14 and above
    uint odd = (magnitude >> 13) & 1u;
    return sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13);
  }
  if (magnitude < 0x33000000u) return sign;  // below 2^-25
  uint shift = 126u - (magnitude >> 23);  // 14 … 24: to units of 2^-24
  uint mantissa = (magnitude & 0x007fffffu) | 0x00800000u;
  uint quotient = mantissa >> shift;
  uint rest = mantissa & ((1u << shift) - 1u);
  uint tie = 1u << (shift - 1u);
  if (rest > tie || (rest == tie && (quotient & 1u) != 0u)) quotient += 1u;
  return sign | quotient;
}

float f16_rounded(float x) { return f16_from_bits(f16_to_bits(x)); }

float bf16_from_bits(uint bits) { return uintBitsToFloat(bits << 16); }

uint bf16_to_bits(float x) {
  uint bits = floatBitsToUint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

float bf16_rounded(float x) { return bf16_from_bits(bf16_to_bits(x)); }
