"""wgmma: what it reads of its accumulators and of shared memory."""

import pytest

from runtime_tests.cuda_sim.lane_programs import HEADER, Out, run_kernel

pytestmark = pytest.mark.unit
KERNEL = (
    HEADER.format(target="sm_90a")
    + """.visible .entry k(.param .u64 p)
{{ .reg .b64 %o, %d, %w; .reg .b32 %t, %s, %a; .reg .f32 %c<4>; .reg .pred %p; .shared .align 128 .b8 tile[4096];
ld.param.u64 %o, [p]; mov.u32 %t, %tid.x; mov.u32 %s, tile; mad.lo.u32 %a, %t, 32, %s;
st.shared.v4.b32 [%a], {{0, 0, 0, 0}}; st.shared.v4.b32 [%a+16], {{0, 0, 0, 0}};
fence.proxy.async.shared::cta; bar.sync 0; setp.gt.u32 %p, %t, {from_thread};
cvt.u64.u32 %d, %s; and.b64 %d, %d, 0x3FFFF; shr.u64 %d, %d, 4; or.b64 %d, %d, 0x0000001000080000;
wgmma.fence.sync.aligned;
wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {{%c0, %c1, %c2, %c3}}, %d, %d, {scale}, 1, 1, 0, 0;
wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;
mul.wide.u32 %w, %t, 4; add.u64 %o, %o, %w; st.global.f32 [%o], %c0; ret; }}
"""
)


@pytest.mark.parametrize(
    ("scale", "from_thread", "reads"), [("0", 0, False), ("%p", 1000, False), ("%p", 100, True), ("1", 0, True)]
)
def test_accumulators(scale, from_thread, reads):
    """The twin of each: a scale that is 1, or 1 in some threads, reads registers that nothing wrote."""
    ptx = KERNEL.format(scale=scale, from_thread=from_thread)
    (found,), report = run_kernel(ptx, "k", [Out((128,), "f4")], block=(128, 1, 1))
    assert ("uninitialised-register" in {f.kind for f in report.findings}) == reads
    assert (found == 0).all()


WHOLE = "st.shared.v4.b32 [%a], {0, 0, 0, 0};"


@pytest.mark.parametrize(
    ("stores", "unwritten"),
    [("st.shared.u8 [%a+1], 0;", False), ("", True)],
)
def test_an_element_of_which_one_byte_was_written(stores, unwritten):
    """The second byte of an element is only written by the right variant."""
    parts = f"st.shared.u8 [%a], 0; {stores} st.shared.u16 [%a+2], 0; st.shared.u32 [%a+4], 0; st.shared.u64 [%a+8], 0;"
    ptx = KERNEL.format(scale="0", from_thread=0)
    assert WHOLE in ptx
    _, report = run_kernel(ptx.replace(WHOLE, parts), "k", [Out((128,), "f4")], block=(128, 1, 1))
    assert ("uninitialised-memory" in {f.kind for f in report.findings}) == unwritten
