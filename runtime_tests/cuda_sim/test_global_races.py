"""Races in device memory: right kernels that synchronise in every common way, and what each becomes without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from runtime_tests.cuda_sim.lane_programs import HEADER, Out, run_kernel
from substitute.device.cuda_sim.launch import Limits, Multiprocessors

PROLOGUE = f"""{HEADER.format(target="sm_80")}
.visible .entry k(.param .u64 pdata, .param .u64 psync) {{
.reg .b64 %d, %s, %a, %m, %w; .reg .b32 %t, %b, %n, %g, %i, %v, %x; .reg .pred %p, %q, %first; .shared .b32 flag;
ld.param.u64 %d, [pdata]; ld.param.u64 %s, [psync]; mov.u32 %t, %tid.x; mov.u32 %b, %ctaid.x; mov.u32 %n, %ntid.x;
mov.u32 %g, %nctaid.x; mad.lo.u32 %i, %b, %n, %t; mul.wide.u32 %w, %i, 4; add.u64 %a, %d, %w;
mul.lo.u32 %x, %n, %g; sub.u32 %x, %x, 1; sub.u32 %x, %x, %i; mul.wide.u32 %w, %x, 4; add.u64 %m, %d, %w;
setp.eq.u32 %first, %t, 0; mov.u32 %v, 0;
"""
"""%a: this thread's word of the data, %m: the word that mirrors it in the grid, %s: words that are zero at first."""


def barrier(number: int) -> str:
    """A barrier of the whole grid, by counting."""
    return f"""bar.sync 0;
@!%first bra OVER{number};
membar.gl;
atom.global.add.u32 %x, [%s], 1; mul.lo.u32 %x, %g, {number};
WAIT{number}: ld.volatile.global.u32 %v, [%s]; setp.lt.u32 %p, %v, %x; @%p bra WAIT{number};
membar.gl;
OVER{number}: bar.sync 0;
"""


LOCK = """@!%first bra OVER;
SPIN: atom.global.cas.b32 %x, [%s], 0, 1; setp.ne.u32 %p, %x, 0; @%p bra SPIN;
membar.gl;
ld.global.u32 %v, [%d]; add.u32 %v, %v, 1; st.global.u32 [%d], %v;
fence.acq_rel.gpu;
atom.global.exch.b32 %x, [%s], 0;
OVER: ret;"""
TICKET = """st.global.u32 [%a], %i;
membar.gl;
bar.sync 0;
@%first atom.global.inc.u32 %x, [%s], 1000; @%first st.shared.u32 [flag], %x;
bar.sync 0;
ld.shared.u32 %v, [flag]; sub.u32 %x, %g, 1; setp.ne.u32 %p, %v, %x; @%p ret;
ld.global.u32 %v, [%m]; red.global.add.u32 [%s+4], %v;
ret;"""
FLAG = """setp.ne.u32 %p, %b, 0; mul.wide.u32 %w, %t, 4; add.u64 %m, %d, %w;
@%p bra CONSUMER;
st.global.u32 [%m], %t;
bar.sync 0;
@%first st.release.gpu.global.u32 [%s], 1;
ret;
CONSUMER:
@!%first bra MEET;
POLL: ld.acquire.gpu.global.u32 %x, [%s]; setp.eq.u32 %q, %x, 0; @%q bra POLL;
MEET: bar.sync 0;
ld.global.u32 %v, [%m]; add.u32 %v, %v, 1; st.global.u32 [%a], %v;
ret;"""
RIGHT = {
    "each its own": "ld.global.u32 %v, [%a]; add.u32 %v, %v, 3; st.global.u32 [%a], %v; ret;",
    "atomic": "red.global.add.u32 [%d], 1; atom.global.max.u32 %x, [%d+4], %i; ret;",
    "the same value": "st.global.u32 [%d], 7; ret;",
    "block barrier": """xor.b32 %x, %t, 63; mad.lo.u32 %x, %b, %n, %x; mul.wide.u32 %w, %x, 4; add.u64 %m, %d, %w;
st.global.u32 [%a], %t;
bar.sync 0; // one
ld.global.u32 %v, [%m];
bar.sync 0; // two
st.global.u32 [%a], %v; ret;""",
    "warp barrier": """xor.b32 %x, %i, 1; mul.wide.u32 %w, %x, 4; add.u64 %m, %d, %w;
st.global.u32 [%a], %t;
bar.warp.sync 0xffffffff;
ld.global.u32 %v, [%m]; st.global.u32 [%s], 1; ret;""",
    "grid barrier": f"""st.global.u32 [%a], %i;
{barrier(1)}
sub.u64 %w, %m, 0; ld.global.u32 %v, [%m];
{barrier(2).replace("%v", "%b")}
st.global.u32 [%a], %v; ret;""",
    "lock": LOCK,
    "ticket": TICKET,
    "flag": FLAG,
    "wide": """mul.wide.u32 %w, %i, 16; add.u64 %a, %d, %w; .reg .b32 %k<4>;
ld.global.v4.u32 {%k0, %k1, %k2, %k3}, [%a]; st.global.v4.u32 [%a], {%k1, %k0, %k3, %k2}; ret;""",
    "rows": """mad.lo.u32 %x, %b, 100, %t; mul.wide.u32 %w, %x, 4; add.u64 %m, %d, %w;
st.global.u32 [%m], %i; ld.global.u32 %v, [%m]; st.global.u32 [%m+8000], %v; ret;""",
    "bytes": """cvt.u64.u32 %w, %i; add.u64 %a, %d, %w; ld.global.u8 %v, [%a]; add.u32 %v, %v, 1;
st.global.u8 [%a], %v; ret;""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A change of a right kernel after which it has a race."""

    kernel: str
    old: str
    new: str


FAULTS = {
    "not atomic": Fault(
        kernel="atomic",
        old="red.global.add.u32 [%d], 1;",
        new="ld.global.u32 %v, [%d]; add.u32 %v, %v, 1; st.global.u32 [%d], %v;",
    ),
    "plain read of an atomic": Fault(kernel="atomic", old="ret;", new="ld.global.u32 %v, [%d]; ret;"),
    "different values": Fault(kernel="the same value", old="7", new="%b"),
    "different values in a warp": Fault(kernel="the same value", old="7", new="%t"),
    "the next block's row": Fault(kernel="rows", old="ld.global.u32 %v, [%m]", new="ld.global.u32 %v, [%m+400]"),
    "the next block's row, first": Fault(
        kernel="rows",
        old="st.global.u32 [%m],",
        new="ld.global.u32 %v, [%m+400]; st.global.u32 [%m],",
    ),
    "rows that overlap": Fault(kernel="rows", old="100", new="32"),
    "the next one's": Fault(kernel="each its own", old="ld.global.u32 %v, [%a]", new="ld.global.u32 %v, [%a+4]"),
    "without the first barrier": Fault(kernel="block barrier", old="bar.sync 0; // one", new=""),
    "without the second barrier": Fault(kernel="block barrier", old="bar.sync 0; // two", new=""),
    "without the warp's barrier": Fault(kernel="warp barrier", old="bar.warp.sync 0xffffffff;", new=""),
    "without the second grid barrier": Fault(kernel="grid barrier", old=barrier(2).replace("%v", "%b"), new=""),
    "a grid barrier without a fence": Fault(kernel="grid barrier", old="membar.gl;\natom", new="atom"),
    "a lock without a fence": Fault(kernel="lock", old="fence.acq_rel.gpu;", new=""),
    "a lock with the block's fence": Fault(kernel="lock", old="fence.acq_rel.gpu;", new="fence.acq_rel.cta;"),
    "a ticket without a fence": Fault(kernel="ticket", old="membar.gl;", new=""),
    "a ticket with the block's fence": Fault(kernel="ticket", old="membar.gl;", new="membar.cta;"),
    "a ticket without a barrier": Fault(kernel="ticket", old="membar.gl;\nbar.sync 0;", new="@%first membar.gl;"),
    "a flag that is not released": Fault(kernel="flag", old="st.release.gpu", new="st.relaxed.gpu"),
    "a flag for the block": Fault(kernel="flag", old="st.release.gpu", new="st.release.cta"),
    "a flag that comes first": Fault(
        kernel="flag",
        old="st.global.u32 [%m], %t;\nbar.sync 0;\n@%first st.release.gpu.global.u32 [%s], 1;",
        new="@%first st.release.gpu.global.u32 [%s], 1;\nbar.sync 0;\nst.global.u32 [%m], %t;",
    ),
    "a flag that nobody reads": Fault(kernel="flag", old="@!%first bra MEET;", new="bra MEET;"),
}


def races_of(body: str, *, blocks: int = 3, lanes: int = 8192) -> list[str]:
    """Return the messages of races; other findings are not expected."""
    arguments = [Out((4096,), "u4", fill=0), Out((16,), "u4", fill=0)]
    limits = Limits(steps=300_000, lanes=lanes)
    _, report = run_kernel(
        PROLOGUE + body + "}\n", "k", arguments, block=(64, 1, 1), grid=(blocks, 1, 1), limits=limits, target="sm_80"
    )
    assert {(finding.kind, finding.space) for finding in report.findings} <= {("race", "global")}, report.findings
    return [finding.message for finding in report.findings]


@pytest.mark.parametrize("name", RIGHT)
def test_right_kernels_have_no_race(name: str) -> None:
    assert not races_of(RIGHT[name])
    # also where not all blocks run at the same time here
    assert not races_of(RIGHT[name], lanes=64)


@pytest.mark.parametrize("name", FAULTS)
def test_races_are_found(name: str) -> None:
    fault = FAULTS[name]
    assert fault.old in RIGHT[fault.kernel]
    planted = RIGHT[fault.kernel].replace(fault.old, fault.new)
    assert races_of(planted)
    if fault.kernel == "rows":
        assert races_of(planted, lanes=64)


def test_a_race_of_blocks_that_run_one_after_the_other() -> None:
    (message,) = races_of("setp.eq.u32 %p, %t, 5; @%p st.global.u32 [%d+8], %b; ret;", blocks=2, lanes=64)
    assert "(8 bytes into output) is written by thread 5 of block (1, 0, 0)" in message
    assert "was read or written by thread 5 of block (0, 0, 0) with nothing that orders the two" in message


def test_rows_of_memory_are_checked_as_single_words_are() -> None:
    """Whole rows go through NumPy as slices."""
    body = "mad.lo.u32 %x, %b, 100, %t; mul.wide.u32 %w, %x, 4; add.u64 %m, %d, %w; {} ret;}}\n"
    seen = {}
    for name, instruction in {
        "right": "st.global.u32 [%m], %i; ld.global.u32 %v, [%m];",
        "past the end": "st.global.u32 [%m+4], %i;",
        "unwritten": "ld.global.u32 %v, [%m]; st.global.u32 [%s], %v;",
        "odd": "st.global.u32 [%m+2], %i;",
    }.items():
        outputs = [Out((264,), "u4"), Out((16,), "u4", fill=0)]
        (data, _), report = run_kernel(
            PROLOGUE + body.format(instruction), "k", outputs, block=(64, 1, 1), grid=(3, 1, 1), target="sm_80"
        )
        seen[name] = sorted({finding.kind for finding in report.findings} - {"race"})
        if name == "right":
            rows = np.add.outer(100 * np.arange(3), np.arange(64))
            assert (data[rows] == np.arange(192).reshape(3, 64)).all()
    expected = {
        "right": [],
        "past the end": ["out-of-bounds"],
        "unwritten": ["uninitialised-memory"],
        "odd": ["misaligned"],
    }
    assert seen == expected


def test_lanes_in_several_allocations() -> None:
    """One load: threads below 9 read memory that is never written, the others read writes of block 0."""
    body = """setp.lt.u32 %p, %t, 9; selp.b64 %m, %s, %m, %p; setp.eq.u32 %q, %b, 0;
@%q st.global.u32 [%a], %i; @!%q ld.global.u32 %v, [%m]; ret;"""
    (message,) = races_of(body, blocks=2)
    assert "is read by thread 9 of block (1, 0, 0) and was written by thread 54 of block (0, 0, 0)" in message
    assert not races_of(body.replace("%t, 9", "%t, 64"), blocks=2)


@pytest.mark.parametrize(("offset", "found"), [(0, False), (4, True)])
def test_asynchronous_copies_read_device_memory(offset: int, found: bool) -> None:
    tile = ".shared .align 16 .b8 room[1024]; mul.lo.u32 %v, %t, 4; mov.b32 %x, room; add.u32 %x, %x, %v; "
    body = "cp.async.ca.shared.global [%x], [%a+{}], 4; cp.async.wait_all; st.global.u32 [%a], %i; ret;"
    assert bool(races_of(tile + body.format(offset))) == found


def test_blocks_that_wait_for_each_other_run_together() -> None:
    """At most as many as the device holds: a barrier over more blocks never ends on a device either."""
    body = barrier(1) + "ret;}\n"
    arguments = [Out((4096,), "u4", fill=0), Out((16,), "u4", fill=0)]
    for multiprocessors, kinds in ((108, set()), (1, {"step-limit"})):
        limits = Limits(steps=100_000, lanes=256, device=Multiprocessors(multiprocessors=multiprocessors))
        _, report = run_kernel(
            PROLOGUE + body, "k", arguments, block=(64, 1, 1), grid=(100, 1, 1), limits=limits, target="sm_80"
        )
        assert {finding.kind for finding in report.findings} == kinds
