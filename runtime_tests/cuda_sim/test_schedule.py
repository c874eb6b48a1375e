"""Threads that exit early, and threads that wait for each other in loops: right kernels without a finding."""

from __future__ import annotations

import numpy as np
import pytest

from runtime_tests.cuda_sim.lane_programs import HEADER as TEMPLATE
from runtime_tests.cuda_sim.lane_programs import Out, run_kernel
from substitute.device.cuda_sim.launch import Limits

HEADER = TEMPLATE.format(target="sm_90a")
EXITS = {
    "ret": "@%p ret;",
    "exit": "@%p exit;",
    "branch": "@%p bra DONE;",
    "branch over exit": "@!%p bra STAY;\nexit;\nSTAY:",
}
JOINTS = {
    "ballot": ("vote.sync.ballot.b32 %v, 1, 0xffffffff;", lambda left: (1 << left) - 1),
    "redux": ("redux.sync.add.u32 %v, 1, 0xffffffff;", lambda left: left),
    "syncwarp": ("bar.warp.sync 0xffffffff; mov.u32 %v, 7;", lambda left: 7),
    "shuffle": ("shfl.sync.idx.b32 %v, 5, 0, 31, 0xffffffff;", lambda left: 5),
}


@pytest.mark.parametrize("joint", JOINTS)
@pytest.mark.parametrize("way", EXITS)
def test_warps_wait_for_the_lanes_that_have_not_exited(way: str, joint: str) -> None:
    text, expected = JOINTS[joint]
    ptx = f"""{HEADER}
.visible .entry k(.param .u64 pout, .param .u32 pn) {{
.reg .b64 %o, %w; .reg .b32 %t, %n, %v; .reg .pred %p;
ld.param.u64 %o, [pout]; ld.param.u32 %n, [pn]; mov.u32 %t, %tid.x;
setp.ge.u32 %p, %t, %n;
{EXITS[way]}
{text}
mul.wide.u32 %w, %t, 4; add.u64 %o, %o, %w; st.global.u32 [%o], %v;
DONE:
ret;
}}"""
    (found,), report = run_kernel(ptx, "k", [Out((20,), "u4"), np.uint32(20)], block=(64, 1, 1))
    assert not report.findings, report.findings
    assert (found == expected(20)).all()


@pytest.mark.parametrize("way", EXITS)
def test_barriers_wait_for_the_threads_that_have_not_exited(way: str) -> None:
    """Every warp, part of a warp, with what the exited threads had written."""
    ptx = f"""{HEADER}
.visible .entry k(.param .u64 pout, .param .u32 pn) {{
.reg .b64 %o, %w; .reg .b32 %t, %n, %v, %a, %s; .reg .pred %p; .shared .align 4 .b32 tile[128];
ld.param.u64 %o, [pout]; ld.param.u32 %n, [pn]; mov.u32 %t, %tid.x; mov.u32 %s, tile;
shl.b32 %a, %t, 2; add.u32 %a, %s, %a; st.shared.u32 [%a], %t;
setp.ge.u32 %p, %t, %n;
{EXITS[way]}
bar.sync 0;
sub.u32 %v, 127, %t; shl.b32 %a, %v, 2; add.u32 %a, %s, %a; ld.shared.u32 %v, [%a];
mul.wide.u32 %w, %t, 4; add.u64 %o, %o, %w; st.global.u32 [%o], %v;
DONE:
ret;
}}"""
    (found,), report = run_kernel(ptx, "k", [Out((50,), "u4"), np.uint32(50)], block=(128, 1, 1))
    assert not report.findings, report.findings
    assert (found == np.arange(127, 77, -1)).all()


LOCK = f"""{HEADER}
.visible .entry k(.param .u64 plock) {{
.reg .b64 %l; .reg .b32 %t, %v, %s; .reg .pred %first, %again; .shared .align 4 .b32 got;
ld.param.u64 %l, [plock]; mov.u32 %t, %tid.x; mov.u32 %s, got; setp.eq.u32 %first, %t, 0;
SPIN:
@%first atom.global.acquire.gpu.cas.b32 %v, [%l], 0, 1;
@%first st.shared.b32 [%s], %v;
bar.sync 0;
ld.shared.b32 %v, [%s];
bar.sync 0;
setp.eq.u32 %again, %v, 1;
@%again bra SPIN;
@%first ld.global.u32 %v, [%l+4];
@%first add.u32 %v, %v, 1;
@%first st.global.u32 [%l+4], %v;
bar.sync 0;
@%first atom.global.release.gpu.exch.b32 %v, [%l], 0;
ret;
}}"""


def test_the_block_that_holds_a_lock_comes_to_run() -> None:
    """Others spin in a loop that has barriers in it."""
    (found,), report = run_kernel(
        LOCK, "k", [Out((2,), "u4", fill=0)], block=(64, 1, 1), grid=(4, 1, 1), limits=Limits(steps=200_000)
    )
    assert not report.findings, report.findings
    assert found.tolist() == [0, 4]
