"""Right kernels as Python that writes LLVM IR with llvmlite, for each dispatch's own sizes."""

from __future__ import annotations

from runtime_tests.faults.kernel import Variant

_HEAD = """\
from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from substitute.model.plan import Request

F32, I64, PTR = ir.FloatType(), ir.IntType(64), ir.PointerType()


@contextmanager
def loop(builder: ir.IRBuilder, count: ir.Value, name: str) -> Iterator[ir.Value]:
    before = builder.block
    head, body, after = (builder.append_basic_block(f"{name}_{part}") for part in ("head", "body", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    phi = builder.phi(I64, name=f"{name}_index")
    phi.add_incoming(I64(0), before)
    builder.cbranch(builder.icmp_signed("<", phi, count), body, after)
    builder.position_at_end(body)
    yield phi
    following = builder.add(phi, I64(1))
    phi.add_incoming(following, builder.block)
    builder.branch(head)
    builder.position_at_end(after)


def generate(request: Request) -> str:
    module = ir.Module()
    parameters = [PTR] * len(request.parameters) + [I64] * (len(request.scalars) + 3)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name=request.entry)
    row = function.args[-3]
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def size(axis: str) -> ir.Value:
        value = request.match.axis(axis).size
        if isinstance(value, int):
            return I64(value)
        return function.args[len(request.parameters) + request.scalars.index(value)]

    def at(pointer: ir.Value, index: ir.Value) -> ir.Value:
        return builder.gep(pointer, [index], source_etype=F32)

"""
_MATMUL = """\
    a, b, c = function.args[:3]
    k_size, n_size = size("K"), size("N")
    a_row = at(a, builder.mul(row, k_size))
    c_row = at(c, builder.mul(row, n_size))
    with loop(builder, n_size, "clear") as n:
        builder.store(F32(0.0), at(c_row, n))
    with loop(builder, k_size, "k") as k:
        factor = builder.load(at(a_row, k), typ=F32)
        b_row = at(b, builder.mul(k, n_size))
        with loop(builder, n_size, "n") as n:
            place = at(c_row, n)
            product = builder.fmul(factor, builder.load(at(b_row, n), typ=F32), flags=["contract"])
            total = builder.fadd(builder.load(place, typ=F32), product, flags=["contract"])
            builder.store(total, place)
    builder.ret_void()
    return str(module)
"""
_ROW_SUM = """\
    x, y = function.args[:2]
    n_size = size("N")
    place = at(y, row)
    x_row = at(x, builder.mul(row, n_size))
    builder.store(F32(0.0), place)
    with loop(builder, n_size, "n") as n:
        total = builder.fadd(builder.load(place, typ=F32), builder.load(at(x_row, n), typ=F32))
        builder.store(total, place)
    builder.ret_void()
    return str(module)
"""
_DIFFERENCE = """\
    a, b, y = function.args[:3]
    with loop(builder, size("N"), "n") as n:
        double = builder.fmul(builder.load(at(a, n), typ=F32), F32(2.0))
        other = builder.load(at(b, n), typ=F32)
        value = builder.fsub(double, other)
        place = at(y, n)
        builder.store(value, place)
    builder.ret_void()
    return str(module)
"""
_BIAS = """\
    a, b, y = function.args[:3]
    n_size = size("N")
    a_row = at(a, builder.mul(row, n_size))
    y_row = at(y, builder.mul(row, n_size))
    with loop(builder, n_size, "n") as n:
        value = builder.fadd(builder.load(at(a_row, n), typ=F32), builder.load(at(b, n), typ=F32))
        place = at(y_row, n)
        builder.store(value, place)
    builder.ret_void()
    return str(module)
"""


def generator_controls() -> list[Variant]:
    """All right generators of LLVM IR."""
    rows, once = ("M", "1", "1"), ("1", "1", "1")
    bodies = (
        ("matmul", _MATMUL, rows),
        ("row_sum", _ROW_SUM, rows),
        ("difference", _DIFFERENCE, once),
        ("bias_add", _BIAS, rows),
    )
    return [
        Variant(name=f"{name}.py", definition=name, kind="llvm-generator", source=_HEAD + body, workgroup_count=count)
        for name, body, count in bodies
    ]
