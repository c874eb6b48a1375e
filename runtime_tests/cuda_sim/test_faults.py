"""Every planted fault is found, with its kind and its line; the kernels as they should be give no finding."""

import numpy as np
import pytest

from runtime_tests.cuda_sim.fault_kernels import BODIES, text
from runtime_tests.cuda_sim.lane_programs import HEADER, Out, run_kernel
from runtime_tests.cuda_sim.planted_faults import FAULTS, Fault
from substitute.device.cuda_sim.faults import KINDS, STATUS, Finding, Report
from substitute.device.cuda_sim.launch import Limits, launch
from substitute.device.cuda_sim.memory import Memory
from substitute.device.cuda_sim.program import load

pytestmark = pytest.mark.unit
LIMITS = Limits(steps=20_000)
BLOCKS = {"copy": 3, "sum": 2, "rounds": 2}


def run(kernel: str, ptx: str) -> tuple[np.ndarray, Report]:
    blocks = BLOCKS.get(kernel, 1)
    count = 128 * blocks - (5 if kernel == "copy" else 0)
    words = np.arange(512 if kernel in ("async", "stages") else count, dtype="u4")
    (found,), report = run_kernel(
        ptx, "k", [words, Out((count,), "u4"), np.uint32(count)], block=(128, 1, 1), grid=(blocks, 1, 1), limits=LIMITS
    )
    return found, report


@pytest.mark.parametrize("kernel", BODIES)
def test_right_kernels_give_no_finding(kernel):
    _, report = run(kernel, text(BODIES[kernel]))
    assert not report.findings, "\n".join(map(str, report.findings))
    assert report.status == 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kernel}: {fault.name}")
def test_planted_faults_are_found(fault: Fault):
    body = BODIES[fault.kernel]
    assert body.count(fault.old) >= 1
    ptx = text(body.replace(fault.old, fault.new, 1))
    _, report = run(fault.kernel, ptx)
    kinds = fault.kind.split("|")
    matching = [f for f in report.findings if f.kind in kinds]
    assert matching, f"found instead: {[str(f) for f in report.findings]}"
    lines = ptx.splitlines()
    wanted = fault.line.strip()
    assert (
        any(wanted in lines[f.line - 1] or wanted in f.instruction for f in matching) or fault.kind == "step-limit"
    ), [str(f) for f in matching]
    assert all(f.kind in KINDS for f in report.findings)
    if any(f.fatal for f in report.findings):
        assert report.status in STATUS.values()


def test_there_are_enough_faults():
    assert len(FAULTS) >= 20 and len({f.name for f in FAULTS}) == len(FAULTS)


def test_what_right_kernels_compute():
    assert (run("reverse", text(BODIES["reverse"]))[0] == np.arange(128)[::-1]).all()
    assert (run("async", text(BODIES["async"]))[0] == np.arange(128) ^ 16).all()
    assert (run("bulk", text(BODIES["bulk"]))[0] == np.arange(128)).all()
    assert (run("histogram", text(BODIES["histogram"]))[0] == 32).all()
    assert (run("named", text(BODIES["named"]))[0] == np.tile(np.arange(64), 2)).all()
    rounds = run("rounds", text(BODIES["rounds"]))[0]
    assert (rounds == np.tile(4 * (np.arange(128) ^ 64) + 6, 2)).all()


def test_use_after_free_is_told_from_out_of_bounds():
    program = load(text(BODIES["copy"]), "sm_90a")
    memory = Memory(1 << 20)
    first, second = memory.allocate(512), memory.allocate(512)
    memory.write(first, bytes(512))
    arguments = [first.to_bytes(8, "little"), second.to_bytes(8, "little"), (128).to_bytes(4, "little")]

    def once() -> Report:
        packed = program.entries["k"].pack(arguments)
        return launch(program, "k", grid=(1, 1, 1), block=(128, 1, 1), parameters=packed, memory=memory)

    assert not once().findings
    memory.free(first)
    (finding,) = once().findings
    assert finding.kind == "use-after-free" and finding.count == 128 and once().status == 700


def test_message_and_report():
    _, report = run("copy", text(BODIES["copy"].replace("setp.ge", "setp.gt")))
    finding = report.findings[0]
    assert (
        str(finding)
        == f"k:{finding.line}: out-of-bounds: read of 4 bytes at global address {finding.address:#x}: 0 bytes past"
        " the end of input of 1,516 bytes at 0x7f0000000100; block (2, 0, 0), thread (123, 0, 0):"
        " ld.global.u32 %v, [%in];"
    )


def test_spin_wait_gives_others_their_turn():
    """The lower position spins on a flag that lanes further down set."""
    body = """
.shared .align 4 .b32 flag; mov.u32 %s, flag; setp.eq.u32 %p, %t, 0;
@%p st.shared.u32 [%s], 0;
bar.sync 0;
setp.eq.u32 %p, %t, 5;
@%p bra SET;
SPIN:
ld.volatile.shared.u32 %v, [%s]; setp.eq.u32 %q, %v, 0;
@%q bra SPIN;
bra OUT;
SET:
st.volatile.shared.u32 [%s], 1;
OUT:
st.global.u32 [%out], 1;
ret;
"""
    found, report = run_kernel(text(body), "k", [np.zeros(64, "u4"), Out((64,), "u4"), np.uint32(64)], block=(64, 1, 1))
    assert not report.findings, [str(f) for f in report.findings]
    assert (found[0] == 1).all()


def test_half_words_of_one_word_do_not_race():
    body = """
.shared .align 4 .b16 tile[128]; .reg .b16 %h; .reg .b32 %b; mov.u32 %s, tile; shr.u32 %b, %a, 1; add.u32 %s, %s, %b;
cvt.u16.u32 %h, %t; st.shared.u16 [%s], %h;
ld.shared.u16 %h, [%s]; cvt.u32.u16 %v, %h; st.global.u32 [%out], %v; ret;
"""
    found, report = run_kernel(
        text(body), "k", [np.zeros(128, "u4"), Out((128,), "u4"), np.uint32(0)], block=(128, 1, 1)
    )
    assert not report.findings and (found[0] == np.arange(128)).all()


def test_same_value_from_several_threads_is_no_race():
    body = """
.shared .align 4 .b32 one; mov.u32 %s, one;
st.shared.u32 [%s], 7;
bar.sync 0;
ld.shared.u32 %v, [%s]; st.global.u32 [%out], %v; ret;
"""
    right, planted = text(body), text(body.replace("[%s], 7", "[%s], %t"))
    arguments = [np.zeros(128, "u4"), Out((128,), "u4"), np.uint32(0)]
    assert not run_kernel(right, "k", arguments, block=(128, 1, 1))[1].findings
    assert [f.kind for f in run_kernel(planted, "k", arguments, block=(128, 1, 1))[1].findings] == ["race"]


def test_findings_are_bounded():
    lines = "".join(f"ld.global.u32 %v, [%in+{1 << 20 | 4 * n}];\n" for n in range(40))
    ptx = HEADER.format(target="sm_80") + text(lines + "ret;\n").split("\n", 3)[3]
    limits = Limits(findings=10)
    arguments = [np.zeros(32, "u4"), Out((32,), "u4"), np.uint32(0)]
    assert len(run_kernel(ptx, "k", arguments, target="sm_80", limits=limits)[1].findings) == 10


@pytest.mark.parametrize(("operands", "end"), [(3, "r0, r1, r2"), (64, "…")])
def test_a_long_instruction_is_shortened(operands: int, end: str) -> None:
    instruction = "wgmma.mma_async " + ", ".join(f"r{n}" for n in range(operands))
    finding = Finding(
        kind="race",
        entry="k",
        line=3,
        column=1,
        instruction=instruction,
        block=(0, 0, 0),
        thread=(1, 0, 0),
        address=16,
        space="shared",
        message="both write",
        count=2,
    )
    where = "k:3: race: both write; block (0, 0, 0), thread (1, 0, 0) (and 1 more)"
    assert str(finding).startswith(f"{where}: wgmma.mma_async r0")
    assert str(finding).endswith(end) and len(str(finding)) < 200
