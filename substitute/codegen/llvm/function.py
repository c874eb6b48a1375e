"""The function that a kernel generator fills: pointers, sizes, index arithmetic, loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from llvmlite import ir

from substitute.codegen.hazards import share_memory
from substitute.errors import PayloadError
from substitute.model.dispatch import Target
from substitute.model.index import Expr, Index
from substitute.model.plan import Parameter, Request

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
PTR = ir.PointerType()
PASSED: dict[str, ir.Type] = {"f32": ir.FloatType(), "f64": ir.DoubleType(), "i32": I32, "i64": I64}
"""Types in which parameters of a definition are passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Instructions of the target whose absence would become a call that cannot be linked."""

    fma: bool = False
    rounding: bool = False
    """floor, ceil, trunc and round-to-even."""
    half: bool = False
    """Conversions between f16 and f32."""
    vector_bytes: int = 16

    @classmethod
    def of(cls, target: Target) -> Hardware:
        """Return the instructions of a variant's triple and CPU features."""
        features, architecture = target.features, target.get("target_triple").split("-")[0]
        if architecture in ("aarch64", "arm64"):
            return cls(fma=True, rounding=True, half=True)
        if architecture.startswith("riscv"):
            bytes_ = max([16] + [int(f[3:-1]) // 8 for f in features if f.startswith("zvl") and f[3:-1].isdigit()])
            return cls(fma="d" in features, rounding="d" in features, half="zfh" in features, vector_bytes=bytes_)
        wide = 32 if "avx2" in features else 16
        wide = 64 if "avx512f" in features and "prefer-256-bit" not in features else wide
        return cls(fma="fma" in features, rounding="sse4.1" in features, half="f16c" in features, vector_bytes=wide)

    def lanes(self, element_bits: int) -> int:
        """Return the elements of a full vector register."""
        return max(1, self.vector_bytes * 8 // element_bits)


@dataclass(slots=True)
class Loop:
    """An open counted loop: its index, the carried values, and their next values."""

    index: ir.Value
    carried: tuple[ir.Value, ...]
    """The values at the start of this iteration."""
    following: tuple[ir.Value, ...] | None = None
    results: tuple[ir.Value, ...] = field(default=())
    """The values after the last iteration; set once the loop is closed."""

    def carry(self, *values: ir.Value) -> None:
        """Set the carried values of the next iteration."""
        self.following = values


class KernelFunction:
    """`void entry(ptr parameters…, i64 scalars…, values…, i64 wg_x, wg_y, wg_z)` with a builder at its start.

    A generator emits through `builder`, reads sizes with `index` and the definition's parameters with `parameter`,
    opens loops with `loop`, and ends with `finish`.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.hardware = Hardware.of(request.substitution.dispatch.target)
        self.module = ir.Module(name=request.entry, context=ir.Context())
        count = len(request.parameters)
        values = [PASSED[value.passed_type] for value in request.values]
        types = [PTR] * count + [I64] * len(request.scalars) + values + [I64] * 3
        signature = ir.FunctionType(ir.VoidType(), types)
        self.function = ir.Function(self.module, signature, name=request.entry)
        self.function.attributes.add("nounwind")
        for at, parameter in enumerate(request.parameters):
            argument = self.function.args[at]
            argument.name = f"p{at}"
            if not may_overlap(parameter, at, request.parameters):
                argument.add_attribute("noalias")
        self.workgroup: tuple[ir.Value, ir.Value, ir.Value] = tuple(self.function.args[-3:])
        self._open_blocks()
        self._take(self.function.args[:count], self.function.args[count:-3])

    def _open_blocks(self) -> None:
        self.entry_block = self.function.append_basic_block("entry")
        self._body = self.function.append_basic_block("body")
        self._entry_builder = ir.IRBuilder(self.entry_block)
        self.builder = ir.IRBuilder(self._body)

    def _take(self, pointers: Sequence[ir.Value], numbers: Sequence[ir.Value]) -> None:
        """Set the values of the request's parameters, and those of its scalars and then values."""
        request, count = self.request, len(self.request.scalars)
        self.pointers: tuple[ir.Value, ...] = tuple(pointers)
        self.scalars: tuple[ir.Value, ...] = tuple(numbers[:count])
        self._values = {v.name: a for v, a in zip(request.values, numbers[count:], strict=True)}
        self._indices: dict[Index, ir.Value] = dict(zip(request.scalars, self.scalars, strict=True))

    def index(self, value: Index) -> ir.Value:
        """Return `value` as i64: a constant, the scalar argument that equals it, or computed from those.

        Computed values are in the entry block, so they may be used anywhere. Raises `PayloadError` for a push constant
        or axis that no scalar gives.
        """
        if isinstance(value, int):
            return ir.Constant(I64, value)
        if value not in self._indices:
            self._indices[value] = self._compute(value)
        return self._indices[value]

    def parameter(self, name: str) -> ir.Value:
        """Return a parameter of the definition: a constant, or an argument; `f16` and `bf16` as f32, short integers as
        i32.

        Raises `KeyError`.
        """
        if name in self._values:
            return self._values[name]
        bound = self.request.match.parameter(name)
        return ir.Constant(PASSED[bound.passed_type], bound.value.constant)

    def _compute(self, value: Expr) -> ir.Value:
        if value.op in ("push", "symbol"):
            raise PayloadError(
                f"the kernel needs {value}, which is not among its arguments",
                where=self.request.entry,
                expected=f"one of: {', '.join(str(s) for s in self.request.scalars) or 'no scalars'}",
                found=str(value),
                next_step="pass the value, or an expression that contains it, as a scalar of the request",
            )
        args = [self.index(a) for a in value.args if not isinstance(a, str)]
        return emit_index_op(self._entry_builder, value.op, args)

    @contextmanager
    def loop(
        self, start: ir.Value | int, stop: ir.Value | int, step: ir.Value | int = 1, carried: Sequence[ir.Value] = ()
    ) -> Iterator[Loop]:
        """Open a loop over `start, start + step, … < stop` (signed, step positive).

        Inside, call `loop.carry(...)` if there are carried values; after it, `loop.results` holds their last values.
        """
        first, last, by = (ir.Constant(I64, v) if isinstance(v, int) else v for v in (start, stop, step))
        builder, before = self.builder, self.builder.block
        header = self.function.append_basic_block("loop")
        body = self.function.append_basic_block("each")
        after = self.function.append_basic_block("done")
        builder.branch(header)
        builder.position_at_end(header)
        index = builder.phi(I64, "i")
        index.add_incoming(first, before)
        phis = []
        for value in carried:
            phis.append(builder.phi(value.type))
            phis[-1].add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", index, last), body, after)
        builder.position_at_end(body)
        loop = Loop(index, tuple(phis))
        yield loop
        following = loop.following if loop.following is not None else loop.carried
        assert len(following) == len(phis), "carry() takes one value per carried value"
        index.add_incoming(builder.add(index, by, flags=("nsw",)), builder.block)
        for phi, value in zip(phis, following, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(header)
        builder.position_at_end(after)
        loop.results = tuple(phis)

    @contextmanager
    def when(self, condition: ir.Value) -> Iterator[None]:
        """Emit a branch around the code emitted inside: it runs only if the i1 `condition` holds."""
        inside = self.function.append_basic_block("then")
        after = self.function.append_basic_block("after")
        self.builder.cbranch(condition, inside, after)
        self.builder.position_at_end(inside)
        yield
        self.builder.branch(after)
        self.builder.position_at_end(after)

    def element(self, pointer: ir.Value, offset: ir.Value, element_type: ir.Type) -> ir.Value:
        """Return the address `offset` elements after `pointer`."""
        return self.builder.gep(pointer, [offset], inbounds=True, source_etype=element_type)

    def stack(self, element_type: ir.Type, count: int, align: int = 64) -> ir.Value:
        """Return stack memory for `count` elements, allocated for the whole function."""
        room = self._entry_builder.alloca(ir.ArrayType(element_type, count))
        room.align = align
        room.type = PTR  # llvmlite still types an alloca's pointer, which then fits no other element type
        return room

    def finish(self) -> str:
        """Close the function and return the module's text."""
        self.close()
        return str(self.module)

    def close(self, result: ir.Value | None = None) -> None:
        """Close the function, which returns `result`, or nothing."""
        self._entry_builder.branch(self._body)
        if result is None:
            self.builder.ret_void()
        else:
            self.builder.ret(result)


def emit_index_op(builder: ir.IRBuilder, op: str, args: Sequence[ir.Value]) -> ir.Value:
    """Emit one function of `substitute.model.index.FUNCTIONS` on i64 values."""
    simple = {
        "add": builder.add,
        "sub": builder.sub,
        "mul": builder.mul,
        "and": builder.and_,
        "or": builder.or_,
        "xor": builder.xor,
        "shl": builder.shl,
        "shr": builder.lshr,
    }
    if op in simple:
        return simple[op](*args)
    if op == "u64":
        return builder.or_(args[0], builder.shl(args[1], ir.Constant(I64, 32)))
    if op in ("min", "max"):
        return builder.select(builder.icmp_signed("<" if op == "min" else ">", *args), *args)
    if op == "trunc32":
        return builder.and_(args[0], ir.Constant(I64, 0xFFFFFFFF))
    if op == "sext32":
        return builder.sext(builder.trunc(args[0], I32), I64)
    if op in ("floordiv", "rem", "ceildiv"):
        return _divide(builder, op, args[0], args[1])
    raise PayloadError(f"index expressions cannot use {op!r}")


def _divide(builder: ir.IRBuilder, op: str, a: ir.Value, b: ir.Value) -> ir.Value:
    """Emit Python's `//` and `%`, and `-(-a // b)`."""
    zero, one = ir.Constant(I64, 0), ir.Constant(I64, 1)
    if not isinstance(b, ir.Constant):
        # a size of 0 whose quotient is never used must not trap at the kernel's start
        b = builder.select(builder.icmp_signed("==", b, zero), one, b)
    quotient, rest = builder.sdiv(a, b), builder.srem(a, b)
    inexact = builder.icmp_signed("!=", rest, zero)
    opposite = builder.icmp_signed("<", builder.xor(rest, b), zero)
    if op == "ceildiv":
        up = builder.and_(inexact, builder.not_(opposite))
        return builder.add(quotient, builder.zext(up, I64))
    down = builder.and_(inexact, opposite)
    if op == "floordiv":
        return builder.sub(quotient, builder.select(down, one, zero))
    return builder.add(rest, builder.select(down, b, zero))


def may_overlap(parameter: Parameter, at: int, parameters: Sequence[Parameter]) -> bool:
    """Return whether a store through one pointer may be visible through another one (or this one, read and written)."""
    if parameter.read and parameter.written:
        return True
    return any(
        (parameter.written or other.written)
        and (parameter.view.operand == other.view.operand or share_memory(parameter.operand, other.operand))
        for position, other in enumerate(parameters)
        if position != at
    )
