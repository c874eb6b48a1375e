"""Raw kernels for the CPU: IREE's layout as it is, and what is checked of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir

from runtime_tests.kinds.models import CHAIN, INPUTS, OPEN
from runtime_tests.kinds.programs import CPU_KINDS, MARK, KernelFolder, build, floats, run
from substitute.device import run_module
from substitute.errors import PayloadError, PlanError
from substitute.pipeline import compile_model

pytestmark = pytest.mark.device

F32, I64, PTR = ir.FloatType(), ir.IntType(64), ir.PointerType()


def raw_matmul(bindings: int, constants: int, where: tuple[tuple[int, int], ...], sizes: tuple[object, ...]) -> str:
    """`c = a · b + mark`, one row per workgroup.

    `where`: (binding, offset in elements) of a, b and c; `sizes`: K and N, each a number or the push constants that
    hold it, low word first.
    """
    module = ir.Module(name="raw", context=ir.Context())
    type_ = ir.FunctionType(ir.VoidType(), [PTR] * bindings + [I64] * (constants + 3))
    function = ir.Function(module, type_, name="kernel")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    arguments = list(function.args)

    def size(value: object) -> ir.Value:
        if isinstance(value, int):
            return I64(value)
        low, high = (arguments[bindings + n] for n in value)  # type: ignore[attr-defined]
        return b.or_(low, b.shl(high, I64(32)))

    places = [b.gep(arguments[n], [I64(at)], source_etype=F32) for n, at in where]
    k_size, n_size = (size(s) for s in sizes)
    row = arguments[-3]

    def loop(count: ir.Value, body: object) -> None:
        before = b.block
        head, inside, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(I64)
        index.add_incoming(I64(0), before)
        b.cbranch(b.icmp_signed("<", index, count), inside, after)
        b.position_at_end(inside)
        body(index)  # type: ignore[operator]
        index.add_incoming(b.add(index, I64(1)), b.block)
        b.branch(head)
        b.position_at_end(after)

    def element(place: ir.Value, i: ir.Value, width: ir.Value, j: ir.Value) -> ir.Value:
        return b.gep(place, [b.add(b.mul(i, width), j)], source_etype=F32)

    def column(n: ir.Value) -> None:
        target = element(places[2], row, n_size, n)
        b.store(F32(MARK), target)

        def step(k: ir.Value) -> None:
            x = b.load(element(places[0], row, k_size, k), typ=F32)
            y = b.load(element(places[1], k, n_size, n), typ=F32)
            b.store(b.fadd(b.load(target, typ=F32), b.fmul(x, y)), target)

        loop(k_size, step)

    loop(n_size, column)
    b.ret_void()
    return str(module)


def raw_folder(text: str, kind: str, bindings: int, constants: int, rows: int, pattern: str) -> KernelFolder:
    keys = {"abi": "raw", "bindings": bindings, "constants": constants, "dispatches": [pattern]}
    return KernelFolder(text, kind=kind, workgroup_count=(str(rows), "1", "1"), keys=keys)


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_two_operands_in_one_binding(tmp_path: Path, kind: str) -> None:
    """a and b are in binding 0, b 1536 bytes after a: the kernel adds that itself."""
    text = raw_matmul(2, 0, ((0, 0), (0, 384), (1, 0)), (16, 8))
    folder = raw_folder(text, kind, 2, 0, 24, "dispatch_2_").write(tmp_path / "kernel")
    (found,) = run(tmp_path, CHAIN, [folder], INPUTS)
    a, b, c, d = INPUTS
    np.testing.assert_allclose(found, a @ b @ (c @ d) + MARK, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", CPU_KINDS)
def test_push_constants(tmp_path: Path, kind: str) -> None:
    """M is constants 0 and 1, N is 2 and 3; the launch geometry of a raw kernel is what its manifest says."""
    text = raw_matmul(3, 4, ((0, 0), (1, 0), (2, 0)), (32, (2, 3)))
    folder = raw_folder(text, kind, 3, 4, 5, "matmul").write(tmp_path / "kernel")
    built = build(tmp_path, OPEN, [folder])
    for n in (50, 1):
        a, b = floats(5, 32), floats(32, n)
        (found,) = run_module(built.vmfb, device="local-sync", inputs=[a, b])
        np.testing.assert_allclose(found, a @ b + MARK, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("bindings", "constants", "rule"), [(3, 0, "layout.bindings"), (2, 1, "layout.constants")])
def test_another_layout_is_refused(tmp_path: Path, bindings: int, constants: int, rule: str) -> None:
    text = raw_matmul(2, 0, ((0, 0), (0, 384), (1, 0)), (16, 8))
    folder = raw_folder(text, "llvm-ir", bindings, constants, 24, "dispatch_2_").write(tmp_path / "kernel")
    model = tmp_path / "model.mlir"
    model.write_text(CHAIN)
    with pytest.raises(PlanError, match="took no dispatch") as caught:
        compile_model(model, kernels=[folder], builtin=False, require=["marked"])
    assert caught.value.found.endswith(f"(rule {rule})")


def test_other_parameters_are_refused(tmp_path: Path) -> None:
    """The manifest is right, the function is not: it would read its third pointer from nowhere."""
    text = raw_matmul(3, 0, ((0, 0), (1, 0), (2, 0)), (16, 8))
    folder = raw_folder(text, "llvm-ir", 2, 0, 24, "dispatch_2_").write(tmp_path / "kernel")
    with pytest.raises(PayloadError, match="does not have the parameters") as caught:
        build(tmp_path, CHAIN, [folder])
    assert caught.value.expected == "void (ptr binding0, ptr binding1, i64 id_x, i64 id_y, i64 id_z)"
    assert caught.value.found == "void (ptr, ptr, ptr, i64, i64, i64)"
