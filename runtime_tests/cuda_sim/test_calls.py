"""Calls of what the driver brings (vprintf, __assertfail) and through pointers; stacks of a size known at run time."""

import numpy as np
import pytest

from runtime_tests.cuda_sim.lane_programs import Out, run_kernel
from substitute.device.cuda_sim import faults
from substitute.device.cuda_sim.faults import LoadError
from substitute.device.cuda_sim.program import load

pytestmark = pytest.mark.unit


def string(name: str, text: str) -> str:
    return f".global .align 1 .b8 {name}[] = {{{', '.join(str(b) for b in [*text.encode(), 0])}}};\n"


PTX = (
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 a);\n"
    ".extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e);\n"
    ".extern .func (.param .b64 r) malloc(.param .b64 n);\n"
    + string("form", "%3d|%-5.1f|%s|%llx|%c|%*u|%%\n")
    + string("word", "ab")
    + string("what", "t < 2")
    + """
.func (.param .b32 r) double(.param .b32 x) { .reg .b32 %x; ld.param.b32 %x, [x]; add.s32 %x, %x, %x;
  st.param.b32 [r], %x; ret; }
.func (.param .b32 r) square(.param .b32 x) { .reg .b32 %x; ld.param.b32 %x, [x]; mul.lo.s32 %x, %x, %x;
  st.param.b32 [r], %x; ret; }
.global .align 8 .u64 table[2] = {double, square};
.visible .entry k(.param .u64 p, .param .u32 n)
{
  .reg .b64 %o, %s, %f, %a; .reg .b32 %t, %n, %v, %i; .reg .f64 %d; .reg .pred %p;
  .local .align 8 .b8 args[48];
  ld.param.u64 %o, [p]; ld.param.u32 %n, [n]; mov.u32 %t, %tid.x; mul.wide.u32 %s, %t, 4; add.u64 %o, %o, %s;
  BODY
  st.global.u32 [%o], %v;
  ret;
}
"""
)
PRINT = """
  mov.u64 %a, args; st.local.u32 [%a], %t; mov.f64 %d, 0d3FF8000000000000; st.local.f64 [%a+8], %d;
  mov.u64 %f, word; cvta.global.u64 %f, %f; st.local.u64 [%a+16], %f;
  mov.u64 %f, 0xABCDEF012345; st.local.u64 [%a+24], %f;
  st.local.u32 [%a+32], 65; st.local.u32 [%a+36], 4; st.local.u32 [%a+40], 7;
  cvta.local.u64 %a, %a; mov.u64 %f, form; cvta.global.u64 %f, %f;
  { .param .b64 q0; st.param.b64 [q0], %f; .param .b64 q1; st.param.b64 [q1], %a; .param .b32 q2;
    call.uni (q2), vprintf, (q0, q1); ld.param.b32 %v, [q2]; }
"""
FAIL = """
  mov.u32 %v, 5; setp.lt.u32 %p, %t, %n; mov.u64 %f, what; cvta.global.u64 %f, %f; mov.u64 %a, 1;
  { .param .b64 q0; st.param.b64 [q0], %f; .param .b64 q1; st.param.b64 [q1], %f; .param .b32 q2; st.param.b32 [q2], 12;
    .param .b64 q3; st.param.b64 [q3], %f; .param .b64 q4; st.param.b64 [q4], %a;
    @!%p call.uni __assertfail, (q0, q1, q2, q3, q4); }
"""
POINTER = """
  and.b32 %i, %t, 1; mul.wide.u32 %s, %i, 8; mov.u64 %f, table; add.u64 %f, %f, %s; ld.global.u64 %f, [%f];
  { .param .b32 q0; st.param.b32 [q0], %t; .param .b32 q1;
    proto: .callprototype (.param .b32 _) _ (.param .b32 _);
    call (q1), %f, (q0), proto; ld.param.b32 %v, [q1]; }
"""
STACK = """
  .reg .b64 %saved; stacksave.u64 %saved; cvt.u64.u32 %s, %n; alloca.u64 %a, %s, 16; st.local.u32 [%a], %t;
  alloca.u64 %f, 16, 16; st.local.u32 [%f], 100; ld.local.u32 %v, [%a]; stackrestore.u64 %saved;
  alloca.u64 %f, 16, 16; ld.local.u32 %i, [%f]; add.u32 %v, %v, %i;
"""


def run(body: str, n: int):
    (found,), report = run_kernel(
        PTX.replace("BODY", body), "k", [Out((4,), "u4"), np.uint32(n)], block=(4, 1, 1), target="sm_80"
    )
    return found.tolist(), report


def test_vprintf_prints_for_each_thread_in_order():
    found, report = run(PRINT, 0)
    assert found == [7] * 4 and not report.findings
    assert report.printed == "".join(f"{t:3}|1.5  |ab|abcdef012345|A|   7|%\n" for t in range(4))


def test_a_failed_assertion_says_where():
    assert run(FAIL, 4)[1].status == faults.OK
    _, report = run(FAIL, 2)
    (one,) = report.findings
    assert report.status == faults.ASSERT and one.thread == (2, 0, 0)
    assert one.message == "t < 2:12: t < 2: assertion `t < 2` failed"


def test_calls_through_pointers():
    found, report = run(POINTER, 0)
    assert found == [0, 1, 4, 9] and not report.findings


def test_a_pointer_to_nothing_traps():
    _, report = run(POINTER.replace("ld.global.u64 %f, [%f]", "mov.u64 %f, 7"), 0)
    assert [f.kind for f in report.findings] == ["trap"]


def test_stack():
    found, report = run(STACK, 32)
    assert found == [0, 2, 4, 6] and not report.findings
    _, report = run(STACK, 20000)
    assert report.findings[0].kind == "out-of-bounds" and "stack has 16,384 bytes" in report.findings[0].message


def test_what_stays_out():
    body = "{ .param .b64 q0; st.param.b64 [q0], 8; .param .b64 q1; call (q1), malloc, (q0); }"
    with pytest.raises(LoadError, match="function malloc"):
        load(PTX.replace("BODY", body), "sm_80").entries["k"]
