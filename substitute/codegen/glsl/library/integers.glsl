// Integers of up to 32 bits, held sign-extended in an int. GLSL leaves % undefined for negative operands.
int int_wrap8(int a) { return bitfieldExtract(a, 0, 8); }
int int_wrap16(int a) { return bitfieldExtract(a, 0, 16); }
int int_rems(int a, int b) { return a - (a / b) * b; }
int int_floordivs(int a, int b) {
  int q = a / b;
  return a - q * b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
int int_ceildivs(int a, int b) {
  int q = a / b;
  return a - q * b != 0 && (a < 0) == (b < 0) ? q + 1 : q;
}
uint uint_ceildiv(uint a, uint b) { return a / b + (a - (a / b) * b != 0u ? 1u : 0u); }
