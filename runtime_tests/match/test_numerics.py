"""Flags of the compiler that demand something of numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime_tests.match.definitions import body_of, matmul_dispatch, matmul_kernel
from runtime_tests.match.kernels import kernel, takes_all
from runtime_tests.read.short_form import elementwise, filled, generic
from substitute.flags import read_flags
from substitute.match.planner import decide
from substitute.model.dispatch import Dispatch
from substitute.model.kernel import Kernel
from substitute.model.numerics import DEMANDS, MEANINGS
from substitute.model.plan import Rule

pytestmark = pytest.mark.compile

ORDER = "--iree-llvmcpu-reassociate-fp-reductions=false"
ROUNDINGS = "--iree-llvmcpu-skip-intermediate-roundings=0"
ANY = kernel(kind="llvm-generator")
"""Takes every dispatch of the CPU."""


def fits(made: Kernel, dispatch: Dispatch, *flags: str) -> bool:
    return decide(made, dispatch, takes_all, demands=read_flags(flags).demands).accepted


def reduced(operation: str, element: str) -> Dispatch:
    """The rows of a matrix, reduced."""
    row, matrix = f"!8x{element}", f"!8x16x{element}"
    zero = f"%none = arith.constant {0 if element[0] == 'i' else 0.0} : {element}\n"
    return body_of(
        f"{zero}%a = input 0 {matrix}{filled(row, value='%none')}"
        + generic(
            "%r",
            "[[m, n -> m, n]], [[m, n -> m]]",
            "pr",
            "%a",
            matrix,
            "%init",
            row,
            f"\n%y = {operation} %o, %x : {element}\nlinalg.yield %y : {element}",
            f"%x: {element}, %o: {element}",
        )
        + f"\noutput 1 %r {row}"
    )


def test_a_sum_under_the_order_of_its_loops() -> None:
    found = decide(matmul_kernel(), matmul_dispatch(), takes_all, demands=read_flags([ORDER]).demands)
    assert found.rules[-1] == Rule(
        name="numerics",
        passed=False,
        found="keeps = []",
        expected=f'a kernel with keeps = ["order"]: {MEANINGS["order"]}, as {ORDER} demands',
    )
    assert fits(matmul_kernel(), matmul_dispatch())
    assert fits(matmul_kernel(), matmul_dispatch(), ORDER.partition("=")[0])
    assert fits(matmul_kernel(), matmul_dispatch(), ORDER, ORDER.replace("false", "1")), "the last one counts"
    assert fits(matmul_kernel(keeps=frozenset({"order"})), matmul_dispatch(), ORDER)
    assert not fits(matmul_kernel(keeps=frozenset({"roundings"})), matmul_dispatch(), ORDER)
    assert fits(matmul_kernel(), matmul_dispatch(), "--iree-vmvx-skip-intermediate-roundings=false"), "another backend"
    assert fits(matmul_kernel(kind="mlir"), matmul_dispatch(), ORDER), "IREE compiles the body, and obeys its flags"


@pytest.mark.parametrize(
    ("operation", "element", "order", "roundings"),
    [
        ("arith.addf", "f32", False, True),
        ("arith.mulf", "f32", False, True),
        ("arith.addf", "f16", False, False),
        ("arith.maximumf", "f32", True, True),
        ("arith.addi", "i32", True, True),
    ],
)
def test_which_reductions_are_subject_to_a_demand(operation: str, element: str, order: bool, roundings: bool) -> None:
    dispatch = reduced(operation, element)
    assert dispatch.program is not None, dispatch.reason
    assert (fits(ANY, dispatch, ORDER), fits(ANY, dispatch, ROUNDINGS)) == (order, roundings)


def test_what_cannot_be_read_may_be_subject_to_any_demand() -> None:
    unread = replace(matmul_dispatch(), program=None, reason="it has a loop")
    assert not fits(replace(ANY, abi="raw"), unread, ORDER)
    assert fits(replace(ANY, abi="raw"), unread)


def test_element_wise_work_has_no_order() -> None:
    text = elementwise("%s", "%a", "!8x8xf32", "\n    %y = arith.divf %x, %x : f32")
    dispatch = body_of(f"%a = input 0 !8x8xf32{text}\noutput 1 %s !8x8xf32")
    assert dispatch.program is not None, dispatch.reason
    assert fits(ANY, dispatch, ORDER, ROUNDINGS)


def test_every_flag_exists_and_demands_something() -> None:
    """Its names are those of the compiler, whatever its version."""
    from iree.compiler.api import ctypes_dl

    from substitute.compiler import _flags_of_the_process

    known = _flags_of_the_process() | {f[2:].partition("=")[0] for f in ctypes_dl.Session().get_flags(False)}
    for rule in DEMANDS:
        assert rule.name in known
        assert [d.kind for d in read_flags([f"--{rule.name}={rule.values[0]}"]).demands] == [rule.kind]
        permits = "0" if "true" in rule.values else "1"
        assert read_flags([f"--{rule.name}={permits}"]).demands == ()
