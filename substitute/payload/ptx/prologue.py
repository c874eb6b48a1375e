"""Values known at launch, as PTX that computes them from IREE's push constants.

All arithmetic is in 64 bits, two's complement, and means what `model.index.FUNCTIONS` says.
"""

from __future__ import annotations

from ...errors import PayloadError
from ...model.index import Expr, Index

_PLAIN = {
    "add": "add.s64",
    "sub": "sub.s64",
    "mul": "mul.lo.s64",
    "min": "min.s64",
    "max": "max.s64",
    "and": "and.b64",
    "or": "or.b64",
    "xor": "xor.b64",
}


_MEMORY_BITS = {"f16": 16, "bf16": 16, "i16": 16, "i8": 8, "i1": 8}


class Prologue:
    """Lines of PTX at the start of an entry; every value is computed once.

    `prefix` begins every name that it makes, and may occur nowhere else in the module.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.lines: list[str] = []
        self._counts = {"d": 0, "w": 0, "h": 0, "p": 0}
        self._wide: dict[Index, str] = {}
        self._words: dict[Index, str] = {}

    def binding(self, number: int) -> str:
        """Return the parameter that holds a binding's pointer."""
        return f"{self.prefix}_binding_{number}"

    def constant(self, number: int) -> str:
        """Return the parameter that holds a push constant."""
        return f"{self.prefix}_constant_{number}"

    def new(self, kind: str) -> str:
        """Return a new register: `d` 64 bits, `w` 32 bits, `h` 16 bits, `p` predicate."""
        number = self._counts[kind]
        self._counts[kind] = number + 1
        return f"%{self.prefix}_{kind}{number}"

    def declarations(self) -> list[str]:
        """Return declarations of all registers."""
        types = {"d": "b64", "w": "b32", "h": "b16", "p": "pred"}
        return [f".reg .{types[k]} %{self.prefix}_{k}<{n}>;" for k, n in self._counts.items() if n]

    def pointer(self, binding: int, byte_offset: Index) -> str:
        """Return a 64-bit register with the address of a binding plus an offset."""
        base = self.new("d")
        self.lines.append(f"ld.param.u64 {base}, [{self.binding(binding)}];")
        if byte_offset == 0:
            return base
        return self._emit("add.s64", base, self.wide(byte_offset))

    def wide(self, value: Index) -> str:
        """Return a 64-bit register, or a literal."""
        if isinstance(value, int):
            return literal(value)
        if value not in self._wide:
            self._wide[value] = self._compute(value)
        return self._wide[value]

    def word(self, value: Index) -> str:
        """Return a 32-bit register with the low half, or a literal."""
        if isinstance(value, int):
            return literal(value & 0xFFFFFFFF)
        if value not in self._words:
            register = self.new("w")
            if value.op == "push":
                self.lines.append(f"ld.param.u32 {register}, [{self.constant(int(str(value.args[0])))}];")
            else:
                self.lines.append(f"cvt.u32.u64 {register}, {self.wide(value)};")
            self._words[value] = register
        return self._words[value]

    def loaded(self, type_: str, address: str) -> str:
        """Return a register with one element of memory: of 64 bits, or of 32 with undefined upper bits."""
        wide = type_ in ("f64", "i64", "index")
        register = self.new("d" if wide else "w")
        bits = 64 if wide else _MEMORY_BITS.get(type_, 32)
        self.lines.append(f"ld.global.{'b' if bits >= 32 else 'u'}{bits} {register}, [{address}];")
        return register

    def widened(self, type_: str, register: str) -> str:
        """Return the value that the low bits of `register` have in a type, as f32 or a 32-bit integer."""
        if type_ not in _MEMORY_BITS:
            return register
        result = self.new("w")
        if type_ == "f16":
            half = self.new("h")
            self.lines.append(f"cvt.u16.u32 {half}, {register};")
            self.lines.append(f"cvt.f32.f16 {result}, {half};")
        elif type_ == "i1":
            self.lines.append(f"and.b32 {result}, {register}, 1;")
        else:
            shift = 16 if type_ == "bf16" else 32 - _MEMORY_BITS[type_]
            self.lines.append(f"shl.b32 {result}, {register}, {shift};")
            if type_ != "bf16":
                upper, result = result, self.new("w")
                self.lines.append(f"shr.s32 {result}, {upper}, {shift};")
        return result

    def _emit(self, opcode: str, *operands: str) -> str:
        register = self.new("d")
        self.lines.append(f"{opcode} {register}, {', '.join(operands)};")
        return register

    def _compute(self, value: Expr) -> str:
        if value.op == "push":
            return self._emit("cvt.u64.u32", self.word(value))
        if value.op == "symbol":
            raise PayloadError(
                f"the size {value} is not known when the dispatch is launched",
                expected="sizes, offsets and strides in terms of push constants",
                found=f"the axis {value}",
                next_step="report this: it is a bug of the toolkit",
            )
        args = [a for a in value.args if not isinstance(a, str)]
        if value.op in _PLAIN:
            return self._emit(_PLAIN[value.op], self.wide(args[0]), self.wide(args[1]))
        if value.op == "u64":
            return self._pair(args[0], args[1])
        if value.op == "trunc32":
            return self._emit("and.b64", self.wide(args[0]), "0xFFFFFFFF")
        if value.op == "sext32":
            return self._emit("cvt.s64.s32", self.word(args[0]))
        if value.op in ("shl", "shr"):
            return self._emit("shl.b64" if value.op == "shl" else "shr.s64", self.wide(args[0]), self.word(args[1]))
        return self._division(value.op, args[0], args[1])

    def _pair(self, low: Index, high: Index) -> str:
        if isinstance(low, Expr) and isinstance(high, Expr) and low.op == high.op == "push":
            return self._emit("mov.b64", f"{{{self.word(low)}, {self.word(high)}}}")
        return self._emit("or.b64", self.wide(low), self._emit("shl.b64", self.wide(high), "32"))

    def _division(self, op: str, a: Index, b: Index) -> str:
        """Emit Python's `//`, its `%`, or division towards plus infinity; PTX rounds towards zero."""
        power = b.bit_length() - 1 if isinstance(b, int) and b > 0 and b & (b - 1) == 0 else None
        if op == "rem" and power is not None:
            return self._emit("and.b64", self.wide(a), literal((1 << power) - 1))
        if op == "ceildiv":
            negated = self._emit("neg.s64", self.wide(a))
            quotient = self._floor(negated, self.wide(b), power)
            return self._emit("neg.s64", quotient)
        if op == "floordiv":
            return self._floor(self.wide(a), self.wide(b), power)
        assert op == "rem", op
        quotient = self._floor(self.wide(a), self.wide(b), power)
        return self._emit("sub.s64", self.wide(a), self._emit("mul.lo.s64", quotient, self.wide(b)))

    def _floor(self, a: str, b: str, power: int | None) -> str:
        if power is not None:
            return self._emit("shr.s64", a, str(power))
        quotient = self._emit("div.s64", a, b)
        rest = self._emit("sub.s64", a, self._emit("mul.lo.s64", quotient, b))
        uneven, below = self.new("p"), self.new("p")
        signs = self._emit("xor.b64", rest, b)
        self.lines.append(f"setp.ne.s64 {uneven}, {rest}, 0;")
        self.lines.append(f"setp.lt.and.s64 {below}, {signs}, 0, {uneven};")
        return self._emit("add.s64", quotient, self._emit("selp.s64", "-1", "0", below))


def literal(value: int) -> str:
    """Return a 64-bit constant, as a signed number."""
    value &= (1 << 64) - 1
    return str(value - (1 << 64) if value >> 63 else value)
