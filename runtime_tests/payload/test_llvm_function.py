"""The frame that generators fill: arguments, index arithmetic, loops, aliasing, hardware."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import pytest

llvm = pytest.importorskip("llvmlite.binding")
from llvmlite import ir  # noqa: E402

from runtime_tests.payload.llvm_programs import (  # noqa: E402
    HOST,
    Compiled,
    elementwise,
    expression,
    program,
    read,
    request,
    view,
)
from substitute.codegen.llvm.function import I64, Hardware, KernelFunction  # noqa: E402
from substitute.errors import PayloadError  # noqa: E402
from substitute.model.dispatch import Program  # noqa: E402
from substitute.model.index import FUNCTIONS, Expr, Index, apply, evaluate, push  # noqa: E402
from substitute.model.plan import Request  # noqa: E402

pytestmark = pytest.mark.device
COPY = expression(("read", "i64", (), 0))
SCALARS = (push(0), push(1), apply("mul", push(0), push(1)))


def simple(*, in_place: bool = False) -> Program:
    source = view(0, (4,), "i64")
    target = source if in_place else view(1, (4,), "i64")
    return program(1 if in_place else 2, [], [elementwise((4,), [read(source, "0")], COPY, (target, "0"))])


def build(req: Request, values: list[Index]) -> Any:
    """A kernel that stores index values into its second operand."""
    kernel = KernelFunction(req)
    for at, value in enumerate(values):
        address = kernel.element(kernel.pointers[1], ir.Constant(I64, at), I64)
        kernel.builder.store(kernel.index(value), address)
    out = (ctypes.c_int64 * (len(values) + 1))()
    compiled = Compiled(kernel.finish(), req)
    compiled.function(0, ctypes.addressof(out), *[evaluate(s, (7, 100)) for s in req.scalars], 0, 0, 0)  # type: ignore[arg-type]
    return list(out[: len(values)])


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_index_arithmetic_is_pythons(function: str) -> None:
    wanted, expressions = [], []
    for left in (apply("sub", push(0), 20), push(0), push(1)):
        for right in (push(0), push(1), -3):
            if function in ("shl", "shr", "u64") and (
                not isinstance(right, Expr) or right == push(1) or left not in SCALARS
            ):
                continue
            arguments = (left,) if function in ("trunc32", "sext32") else (left, right)
            expressions.append(Expr(function, arguments))
            wanted.append(evaluate(expressions[-1], (7, 100)))
    assert build(request(simple(), SCALARS), [*expressions, 5, SCALARS[2]]) == [*wanted, 5, 700]  # type: ignore[arg-type]


def test_a_value_that_is_no_argument_is_named() -> None:
    kernel = KernelFunction(request(simple(), (push(0),)))
    with pytest.raises(PayloadError) as caught:
        kernel.index(apply("add", push(0), push(5)))
    assert str(caught.value) == (
        "kernel: the kernel needs push(5), which is not among its arguments\n"
        "  expected:  one of: push(0)\n"
        "  found:     push(5)\n"
        "  next:      pass the value, or an expression that contains it, as a scalar of the request"
    )


@pytest.mark.parametrize(("start", "stop", "step"), [(0, 10, 1), (3, 10, 4), (5, 5, 1), (9, 2, 1)])
def test_loops_carry_values(start: int, stop: int, step: int) -> None:
    req = request(simple())
    kernel = KernelFunction(req)
    with kernel.loop(start, stop, step, [ir.Constant(I64, 1000)]) as outer:
        with kernel.loop(0, 2, 1, outer.carried) as inner:
            inner.carry(kernel.builder.add(inner.carried[0], outer.index))
        outer.carry(*inner.results)
    with kernel.when(kernel.builder.icmp_signed(">", outer.results[0], ir.Constant(I64, 0))):
        kernel.builder.store(outer.results[0], kernel.pointers[1])
    out = ctypes.c_int64(0)
    compiled = Compiled(kernel.finish(), req)
    compiled.function(0, ctypes.addressof(out), 0, 0, 0)
    assert out.value == 1000 + 2 * sum(range(start, stop, step))


def attributes(prog: Program) -> str:
    text = KernelFunction(request(prog)).finish()
    return next(line for line in text.splitlines() if line.startswith("define"))


def test_pointers_that_cannot_meet_are_noalias() -> None:
    assert attributes(simple()).count("noalias") == 2


def test_a_parameter_read_and_written_may_alias() -> None:
    assert "noalias" not in attributes(simple(in_place=True))


def test_ranges_of_one_binding_may_meet() -> None:
    prog = simple()
    first, second = prog.operands
    apart = replace(prog, operands=(first, replace(second, binding=0, byte_offset=32)))
    meeting = replace(prog, operands=(first, replace(second, binding=0, byte_offset=24)))
    unknown = replace(prog, operands=(first, replace(second, binding=0, byte_offset=push(0))))
    assert attributes(apart).count("noalias") == 2
    assert "noalias" not in attributes(meeting)
    assert attributes(unknown).count("noalias") == 2


@pytest.mark.parametrize(
    ("triple", "features", "wanted"),
    [
        ("x86_64-unknown", "", Hardware()),
        ("x86_64-unknown", "+avx2,+fma,+f16c,+sse4.1", Hardware(fma=True, rounding=True, half=True, vector_bytes=32)),
        ("x86_64-unknown", "+avx2,+sse4.1,-avx2", Hardware(rounding=True)),
        (
            "x86_64-unknown",
            "+avx512f,+avx2,+fma,+f16c,+sse4.1",
            Hardware(fma=True, rounding=True, half=True, vector_bytes=64),
        ),
        ("aarch64-unknown", "+neon", Hardware(fma=True, rounding=True, half=True)),
        ("riscv64-unknown", "+d,+zvl256b", Hardware(fma=True, rounding=True, vector_bytes=32)),
    ],
)
def test_hardware_of_a_target(triple: str, features: str, wanted: Hardware) -> None:
    target = replace(HOST, config=(("target_triple", triple), ("cpu_features", features)))
    assert Hardware.of(target) == wanted
    assert wanted.lanes(32) == wanted.vector_bytes // 4
