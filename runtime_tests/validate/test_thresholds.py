"""Numbers of a kernel's code, in each language that code comes in."""

from __future__ import annotations

import struct

import pytest

from substitute.validate.thresholds import Thresholds, join, scan_llvm, scan_ptx, scan_python, scan_spirv, scan_text

pytestmark = pytest.mark.unit

LLVM = """
define void @k(ptr %x, i64 %n, i64 %i) {
  %room = alloca [96 x float], align 16
  %c = icmp sgt i64 %n, 1500
  %m = tail call i64 @llvm.smin.i64(i64 %n, i64 700)
  %r = and i64 %n, 63
  %b = and i64 %n, -16
  %d = udiv i64 %n, 48
  %s = shl nuw i64 %i, 5
  %t = add nuw nsw i64 %i, 40
  %w = trunc i64 %n to i16
  %f = fmul float 3.000000e+00, 5.000000e+00
  switch i64 %n, label %out [ i64 77, label %one
    i64 91, label %two ]
}
declare void @other(ptr align 8192)
!0 = !{i64 555}
"""


def test_llvm_ir() -> None:
    found = scan_llvm(LLVM)
    assert set(found.compared) == {1500, 700, 77, 91, 32768, 65536}
    assert set(found.stepped) == {96, 64, 16, 48, 32, 40}


def test_a_byte_of_a_number_may_be_made_by_shifts() -> None:
    found = scan_llvm(
        "  %a = shl i32 %n, 24\n  %b = ashr exact i32 %a, 24\n  %c = shl <4 x i64> %v, <i64 48, i64 48>\n"
    )
    assert set(found.compared) == {128, 256, 32768, 65536}


def test_ptx() -> None:
    found = scan_ptx(
        ".shared .align 4 .b8 room[4096];\n"
        "@%p1 bra $L_2;\n"
        "setp.gt.u32 %p1, %r1, 1023;\n"
        "and.b32 %r2, %r1, 127;\n"
        "mad.lo.s32 %r3, %r4, 192, %r5;\n"
        "shl.b32 %r6, %r7, 6;\n"
        "mov.f32 %f1, 0f00000000; // 999\n"
        "setp.gt.f32 %p2, %f1, 0f44800000;\n"
        "ld.global.f32 %f2, [%rd1+20000];\n"
    )
    assert set(found.compared) == {1023}
    assert set(found.stepped) == {4096, 1024, 128, 192, 64}


def test_spirv() -> None:
    def words(op: int, *operands: int) -> list[int]:
        return [(len(operands) + 1) << 16 | op, *operands]

    code = [0x07230203, 0x10300, 0, 20, 0]
    code += words(21, 1, 32, 0) + words(22, 2, 32)  # OpTypeInt, OpTypeFloat
    code += words(43, 1, 3, 300) + words(43, 2, 4, 0x447A0000) + words(43, 1, 5, 31) + words(43, 1, 6, 12)
    code += words(176, 7, 8, 9, 3)  # OpULessThan
    code += words(199, 7, 10, 9, 5) + words(132, 7, 11, 9, 6)  # OpBitwiseAnd, OpIMul
    found = scan_spirv(struct.pack(f"<{len(code)}I", *code))
    assert (found.compared, found.stepped) == ((300,), (32, 12))


def test_sources() -> None:
    found = scan_text("for (uint k = 0u; k < 260u; k += 24u) { /* 777 */ } // 888\nfloat x = 555.0;")
    assert 260 in found.compared
    assert {260, 24} <= set(found.stepped) and not {777, 888, 555} & set(found.stepped)
    found = scan_python("WIDTH = 7 * 32\nif rows > 1 << 9 and flag is True:\n    tile = 20\n")
    assert set(found.compared) == {512}
    assert {224, 20} <= set(found.stepped)


def test_compared_numbers_come_first() -> None:
    both = join([Thresholds(compared=(9,), stepped=(70,)), Thresholds(compared=(30,), stepped=(70, 9))])
    assert both.ordered == (9, 30, 70)
    assert scan_text("if (n > 40 || n > 900 || n < 8388608)").compared == (900, 40, 8388608)
    assert not Thresholds() and both
