"""Interaction of lanes and memory: shuffles, votes, reductions, atomics, barriers, vectors, calls, switches."""

import numpy as np
import pytest

from runtime_tests.cuda_sim.fault_kernels import text
from runtime_tests.cuda_sim.lane_programs import HEADER, Out, apply, run_kernel

pytestmark = pytest.mark.unit
RANDOM = np.random.default_rng(8)
LANES = np.arange(64)


def words(count: int = 64) -> np.ndarray:
    return RANDOM.integers(0, 1 << 32, count, dtype="u4")


@pytest.mark.parametrize("width", [32, 16, 8])
@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
def test_shuffle(mode, width):
    """PTX ISA 9.7.9.6, the pseudo code, lane by lane."""
    a, by = words(), RANDOM.integers(0, 32, 64).astype("u4")
    clamp = ((32 - width) << 8) | (0 if mode == "up" else 31)
    body = f"shfl.sync.{mode}.b32 %d0|%p, %a0, %a1, {clamp}, 0xffffffff; selp.u32 %d1, 1, 0, %p;"
    found, inside = apply(body, [a, by], ["u4", "u4"])
    for lane in range(64):
        own, b = lane % 32, int(by[lane]) & 31
        segment, c = clamp >> 8 & 31, clamp & 31
        top, bottom = own & segment | c & ~segment, own & segment
        source = {"up": own - b, "down": own + b, "bfly": own ^ b, "idx": bottom | b & ~segment}[mode]
        valid = source >= top if mode == "up" else source <= top
        assert int(inside[lane]) == valid
        assert found[lane] == a[lane - own + (source if valid else own)]


def test_votes():
    a = (words() & 3) * (LANES >= 32)
    body = """setp.ne.u32 %p, %a0, 0; vote.sync.ballot.b32 %d0, %p, 0xffffffff; vote.sync.any.pred %q, %p, 0xffffffff;
selp.u32 %d1, 1, 0, %q; vote.sync.all.pred %q, !%p, 0xffffffff; selp.u32 %d2, 1, 0, %q;
vote.sync.uni.pred %q, %p, 0xffffffff; selp.u32 %d3, 1, 0, %q; activemask.b32 %d4;"""
    ballot, some, none, uniform, active = apply(body, [a.astype("u4")], ["u4"] * 5)
    for half in (0, 1):
        group = a[32 * half : 32 * half + 32] != 0
        assert int(ballot[32 * half]) == sum(1 << j for j in range(32) if group[j])
        assert (some[32 * half], none[32 * half], uniform[32 * half]) == (
            group.any(),
            not group.any(),
            group.all() or not group.any(),
        )
    assert (active == 0xFFFFFFFF).all()


def test_match_and_elect():
    a = words() & 3
    a[:32] = 9
    body = """match.any.sync.b32 %d0, %a0, 0xffffffff; match.all.sync.b32 %d1|%p, %a0, 0xffffffff;
selp.u32 %d2, 1, 0, %p;
elect.sync %d3|%p, 0xffffffff; selp.u32 %d4, 1, 0, %p;"""
    some, every, same, leader, leads = apply(body, [a], ["u4"] * 5)
    for lane in range(64):
        group = a[lane // 32 * 32 : lane // 32 * 32 + 32]
        assert int(some[lane]) == sum(1 << j for j in range(32) if group[j] == a[lane])
    assert (same == (LANES < 32)).all() and (every == np.where(LANES < 32, 0xFFFFFFFF, 0)).all()
    assert (leader == 0).all() and (leads == (LANES % 32 == 0)).all()


@pytest.mark.parametrize(
    "operation, rule",
    [
        ("add.u32", lambda g: np.add.reduce(g, dtype="u4")),
        ("min.u32", np.min),
        ("max.s32", lambda g: g.view("i4").max().view("u4")),
        ("and.b32", np.bitwise_and.reduce),
        ("or.b32", np.bitwise_or.reduce),
        ("xor.b32", np.bitwise_xor.reduce),
    ],
)
def test_warp_reductions(operation, rule):
    a = words()
    (found,) = apply(f"redux.sync.{operation} %d0, %a0, 0xffffffff;", [a], ["u4"])
    assert found[0] == rule(a[:32]) and found[63] == rule(a[32:])


def atomic_kernel(instruction: str) -> str:
    """Thread i works on word i % 4 of a zeroed or preset output and keeps what it got."""
    return (
        HEADER.format(target="sm_90a")
        + f"""
.visible .entry k(.param .u64 pin, .param .u64 pwords, .param .u64 pout) {{
.reg .b64 %in, %words, %out, %w; .reg .b32 %t, %a, %b, %old, %m; .reg .f32 %f; .reg .pred %p;
ld.param.u64 %in, [pin]; ld.param.u64 %words, [pwords]; ld.param.u64 %out, [pout]; mov.u32 %t, %tid.x;
mul.wide.u32 %w, %t, 4; add.u64 %in, %in, %w; add.u64 %out, %out, %w; and.b32 %m, %t, 3; mul.wide.u32 %w, %m, 4;
add.u64 %words, %words, %w; ld.global.u32 %a, [%in]; mov.b32 %f, %a; mov.u32 %b, %t;
{instruction}
st.global.u32 [%out], %old; ret; }}"""
    )


@pytest.mark.parametrize(
    "operation, rule",
    [
        ("add.u32", lambda o, a, t: o + a),
        ("min.u32", lambda o, a, t: min(o, a)),
        ("max.u32", lambda o, a, t: max(o, a)),
        ("and.b32", lambda o, a, t: o & a),
        ("or.b32", lambda o, a, t: o | a),
        ("xor.b32", lambda o, a, t: o ^ a),
        ("exch.b32", lambda o, a, t: a),
        ("inc.u32", lambda o, a, t: 0 if o >= a else o + 1),
        ("dec.u32", lambda o, a, t: a if o == 0 or o > a else o - 1),
        ("cas.b32", lambda o, a, t: t if o == a else o),
    ],
)
@pytest.mark.parametrize("space", ["global", "generic"])
def test_atomics_take_turns(operation, rule, space):
    a = words() % np.uint32(7)
    start = np.array([5, 0, 3, 6], "u4")
    name = operation.replace("cas.b32", "cas.b32")
    extra = ", %b" if "cas" in operation else ""
    prefix = "atom.global." if space == "global" else "atom."
    kernel = atomic_kernel(f"{prefix}{name} %old, [%words], %a{extra};")
    # the words are an input that the kernel changes: a second kernel argument, read back through its turns
    found, report = run_kernel(kernel, "k", [a, start, Out((64,), "u4")], block=(64, 1, 1))
    assert not report.findings
    state = start.tolist()
    for t in range(64):
        assert int(found[0][t]) == state[t % 4], t
        state[t % 4] = rule(state[t % 4], int(a[t]), t) & 0xFFFFFFFF


def test_float_atomics():
    a = RANDOM.integers(-8, 8, 64).astype("f4")
    kernel = atomic_kernel("atom.global.add.f32 %f, [%words], %f; mov.b32 %old, %f;")
    found, _ = run_kernel(kernel, "k", [a, np.zeros(4, "f4"), Out((64,), "f4")], block=(64, 1, 1))
    assert all(found[0][t] == a[t % 4 : t : 4].sum() for t in range(64))
    pair = atomic_kernel("atom.global.add.noftz.f16x2 %old, [%words], %a;")
    halves = RANDOM.integers(-4, 4, 128).astype("f2")
    found, _ = run_kernel(pair, "k", [halves.view("u4"), np.zeros(4, "u4"), Out((64,), "u4")], block=(64, 1, 1))
    summed = [halves.reshape(64, 2)[t % 4 : t : 4].sum(axis=0) for t in range(64)]
    assert (found[0].view("f2").reshape(64, 2) == np.array(summed)).all()


def test_block_reductions_by_barrier():
    body = """.reg .b32 %c; ld.global.u32 %v, [%in]; setp.gt.u32 %p, %v, 9;
bar.red.popc.u32 %c, 0, %p; bar.red.and.pred %q, 0, %p; selp.u32 %x, 100, 0, %q; add.u32 %c, %c, %x;
bar.red.or.pred %q, 0, %p; selp.u32 %x, 1000, 0, %q; add.u32 %c, %c, %x; st.global.u32 [%out], %c; ret;"""
    a = np.array([*range(64), *[3] * 64, *[30] * 64], "u4")
    found, report = run_kernel(text(body), "k", [a, Out((192,), "u4"), np.uint32(0)], block=(64, 1, 1), grid=(3, 1, 1))
    assert not report.findings
    assert found[0].tolist() == [54 + 1000] * 64 + [0] * 64 + [64 + 100 + 1000] * 64


@pytest.mark.parametrize("vector, type_", [("v2", "b32"), ("v4", "b32"), ("v2", "b64"), ("v4", "b16"), ("v8", "b32")])
def test_vectors_and_caches(vector, type_):
    n, size = int(vector[1]), int(type_[1:]) // 8
    regs = "{" + ", ".join(f"%r{j}" for j in range(n)) + "}"
    body = f""".reg .{type_} %r<8>; mul.wide.u32 %w, %t, {n * size}; add.u64 %in, %gin, %w; add.u64 %out, %gout, %w;
ld.global.nc.L1::no_allocate.{vector}.{type_} {regs}, [%in]; st.global.cs.{vector}.{type_} [%out], {regs}; ret;"""
    data = RANDOM.integers(0, 255, (32, n * size)).astype("u1")
    found, report = run_kernel(text(body), "k", [data, Out(data.shape, "u1"), np.uint32(0)])
    assert not report.findings and (found[0] == data).all()


def test_generic_addresses_of_three_spaces_in_one_instruction():
    body = """
.shared .align 4 .b32 box; .local .align 4 .b32 mine; .reg .b64 %g0, %g1, %g2;
mov.u64 %g0, box; cvta.shared.u64 %g0, %g0; mov.u64 %g1, mine; cvta.local.u64 %g1, %g1; cvta.global.u64 %g2, %in;
st.u32 [%g1], %t; setp.eq.u32 %p, %t, 0; @%p st.u32 [%g0], 77;
bar.sync 0;
rem.u32 %x, %t, 3; setp.eq.u32 %p, %x, 0; setp.eq.u32 %q, %x, 1;
selp.b64 %g1, %g1, %g2, %q; selp.b64 %g0, %g0, %g1, %p;
isspacep.shared %e, %g0; ld.u32 %v, [%g0]; @%e add.u32 %v, %v, 1000; st.global.u32 [%out], %v; ret;
"""
    data = words(64) % np.uint32(500)
    found, report = run_kernel(text(body), "k", [data, Out((64,), "u4"), np.uint32(0)], block=(64, 1, 1))
    assert not report.findings, [str(f) for f in report.findings]
    expected = np.where(LANES % 3 == 0, 1077, np.where(LANES % 3 == 1, LANES, data))
    assert (found[0] == expected).all()


FUNCTIONS = """
.func (.reg .b32 %r) square (.reg .b32 %x) { mul.lo.u32 %r, %x, %x; ret; }
.func (.param .b32 r) pick (.param .b32 x, .param .align 4 .b8 s[8]) {
.reg .b32 %a, %b, %c; .reg .pred %p; ld.param.b32 %a, [x]; ld.param.b32 %b, [s+4]; setp.gt.u32 %p, %a, 9;
@%p bra BIG;
st.param.b32 [r], %b; ret;
BIG: call (%c), square, (%a); st.param.b32 [r], %c; ret; }
"""


def test_calls_and_switches():
    body = """
.reg .b32 %k; { .param .b32 p0; .param .align 4 .b8 p1[8]; .param .b32 r0;
st.param.b32 [p0], %t; st.param.b32 [p1], 1; st.param.b32 [p1+4], 4;
call.uni (r0), pick, (p0, p1); ld.param.b32 %v, [r0]; }
and.b32 %k, %t, 3;
jumps: .branchtargets ZERO, ONE, TWO, TWO;
brx.idx %k, jumps;
ZERO: add.u32 %v, %v, 10000; bra DONE;
ONE: add.u32 %v, %v, 20000; bra DONE;
TWO: add.u32 %v, %v, 30000;
DONE: st.global.u32 [%out], %v; ret;
"""
    header, _, rest = text(body).partition(".const")
    found, report = run_kernel(f"{header}{FUNCTIONS}.const{rest}", "k", [words(32), Out((32,), "u4"), np.uint32(0)])
    assert not report.findings, [str(f) for f in report.findings]
    t = np.arange(32)
    expected = np.where(t > 9, t * t, 4) + np.choose(t & 3, [10000, 20000, 30000, 30000])
    assert (found[0] == expected).all()


def test_special_registers():
    names = ["%laneid", "%warpid", "%ctaid.x", "%ctaid.y", "%tid.y", "%ntid.x", "%nctaid.y", "%lanemask_lt", "%nwarpid"]
    stores = "".join(f"mov.u32 %v, {name}; st.global.u32 [%out+{4 * n}], %v;\n" for n, name in enumerate(names))
    body = f"""mov.u32 %x, %ctaid.y; mov.u32 %y, %nctaid.x; mov.u32 %v, %ctaid.x; mad.lo.u32 %x, %x, %y, %v;
mov.u32 %y, %tid.y; mov.u32 %v, %ntid.x; mad.lo.u32 %y, %y, %v, %t; mad.lo.u32 %x, %x, 48, %y;
mul.wide.u32 %w, %x, {4 * len(names)}; add.u64 %out, %gout, %w; {stores} ret;"""
    found, report = run_kernel(
        text(body),
        "k",
        [words(8), Out((2, 3, 3, 16, len(names)), "u4"), np.uint32(0)],
        block=(16, 3, 1),
        grid=(3, 2, 1),
    )
    assert not report.findings
    for (cy, cx, y, x), row in np.ndenumerate(np.zeros((2, 3, 3, 16))):
        lane = (16 * y + x) % 32
        expected = [lane, (16 * y + x) // 32, cx, cy, y, 16, 2, (1 << lane) - 1, 2]
        assert found[0][cy, cx, y, x].tolist() == expected, row


def test_divergent_loops_meet_again():
    """Collatz steps: every lane leaves its loop at another time; a warp-wide sum after it needs all of them."""
    body = """
mov.u32 %v, %i; add.u32 %v, %v, 1; mov.u32 %x, 0;
LOOP:
setp.le.u32 %p, %v, 1;
@%p bra DONE;
and.b32 %y, %v, 1; setp.eq.u32 %q, %y, 0; add.u32 %x, %x, 1;
@%q bra EVEN;
mad.lo.u32 %v, %v, 3, 1; bra LOOP;
EVEN:
shr.u32 %v, %v, 1; bra LOOP;
DONE:
redux.sync.add.u32 %y, %x, 0xffffffff; mad.lo.u32 %x, %y, 1000, %x; st.global.u32 [%out], %x; ret;
"""

    def steps(n: int) -> int:
        count = 0
        while n > 1:
            n, count = (3 * n + 1 if n % 2 else n // 2), count + 1
        return count

    found, report = run_kernel(
        text(body), "k", [words(128), Out((128,), "u4"), np.uint32(0)], block=(64, 1, 1), grid=(2, 1, 1)
    )
    assert not report.findings
    counts = np.array([steps(n + 1) for n in range(128)])
    assert (found[0] == np.repeat(counts.reshape(4, 32).sum(axis=1), 32) * 1000 + counts).all()


@pytest.mark.parametrize("branch", ["@%q bra LOOP;", "@!%p bra LOOP;"])
def test_a_loop_of_one_segment_that_lanes_leave_one_by_one(branch):
    """Each takes its values along, those that it only copied and those that only the loop knows; nothing runs twice."""
    turns = RANDOM.permutation(64).astype("u4") + 1
    entry = f"""
.visible .entry k(.param .u64 n, .param .u64 d0, .param .u64 d1) {{
.reg .b64 %n, %a, %b, %w; .reg .b32 %t, %i, %s, %x, %y; .reg .pred %p, %q;
mov.u32 %t, %tid.x; mul.wide.u32 %w, %t, 4;
ld.param.u64 %n, [n]; add.u64 %n, %n, %w; ld.global.u32 %x, [%n];
ld.param.u64 %a, [d0]; add.u64 %a, %a, %w; ld.param.u64 %b, [d1]; add.u64 %b, %b, %w;
mov.u32 %i, 0; mov.u32 %s, %t; mov.u32 %y, %i;
setp.gt.u32 %p, %t, 63; @%p bra END;
LOOP: mov.u32 %y, %s; add.u32 %i, %i, 1; mad.lo.u32 %s, %s, 3, %i; setp.lt.u32 %q, %i, %x; setp.ge.u32 %p, %i, %x;
{branch}
END: st.global.u32 [%a], %s; st.global.u32 [%b], %y;
ret; }}"""
    (last, before), report = run_kernel(
        HEADER.format(target="sm_80") + entry,
        "k",
        [turns, Out((64,), "u4"), Out((64,), "u4")],
        block=(64, 1, 1),
        target="sm_80",
    )
    assert not report.findings
    for thread, count in enumerate(turns.tolist()):
        values = [thread]
        for turn in range(1, count + 1):
            values.append((3 * values[-1] + turn) % (1 << 32))
        assert [int(before[thread]), int(last[thread])] == values[-2:]
    assert report.lane_instructions == 64 * (14 + 3) + 6 * int(turns.sum())


def test_ring_of_bulk_copies_with_two_stages():
    """A producer warp refills two stages as soon as consumers have given them back."""
    ptx = (
        HEADER.format(target="sm_90a")
        + """
.visible .entry k(.param .u64 pin, .param .u64 pout) {
.shared .align 128 .b32 tile[64]; .shared .align 8 .b64 full[2]; .shared .align 8 .b64 empty[2];
.reg .b64 %in, %out, %w, %st; .reg .b32 %t, %k, %s, %ph, %f, %e, %b, %v, %sum, %x; .reg .pred %p, %q;
ld.param.u64 %in, [pin]; ld.param.u64 %out, [pout]; mov.u32 %t, %tid.x; setp.eq.u32 %p, %t, 0;
mov.u32 %f, full; mov.u32 %e, empty; mov.u32 %k, 0; mov.u32 %sum, 0;
@!%p bra READY;
mbarrier.init.shared.b64 [full], 1; mbarrier.init.shared.b64 [full+8], 1;
mbarrier.init.shared.b64 [empty], 32; mbarrier.init.shared.b64 [empty+8], 32;
READY:
bar.sync 0;
setp.ge.u32 %p, %t, 32;
@%p bra CONSUME;
setp.ne.u32 %p, %t, 0;
@%p bra OUT;
PRODUCE:
and.b32 %s, %k, 1; shr.u32 %ph, %k, 1; and.b32 %ph, %ph, 1; xor.b32 %ph, %ph, 1; shl.b32 %x, %s, 3; add.u32 %b, %e, %x;
WAITE:
mbarrier.try_wait.parity.shared.b64 %q, [%b], %ph;
@!%q bra WAITE;
add.u32 %b, %f, %x; mbarrier.arrive.expect_tx.shared.b64 %st, [%b], 128;
mov.u32 %x, tile; shl.b32 %v, %s, 7; add.u32 %x, %x, %v;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%x], [%in], 128, [%b];
add.u64 %in, %in, 128; add.u32 %k, %k, 1; setp.lt.u32 %q, %k, 6;
@%q bra PRODUCE;
bra OUT;
CONSUME:
and.b32 %s, %k, 1; shr.u32 %ph, %k, 1; and.b32 %ph, %ph, 1; shl.b32 %x, %s, 3; add.u32 %b, %f, %x;
WAITF:
mbarrier.try_wait.parity.shared.b64 %q, [%b], %ph;
@!%q bra WAITF;
mov.u32 %b, tile; shl.b32 %v, %s, 7; add.u32 %b, %b, %v; add.u32 %v, %t, -32; shl.b32 %v, %v, 2; add.u32 %b, %b, %v;
ld.shared.u32 %v, [%b]; add.u32 %sum, %sum, %v;
add.u32 %b, %e, %x; mbarrier.arrive.shared.b64 %st, [%b];
add.u32 %k, %k, 1; setp.lt.u32 %q, %k, 6;
@%q bra CONSUME;
add.u32 %v, %t, -32; mul.wide.u32 %w, %v, 4; add.u64 %out, %out, %w; st.global.u32 [%out], %sum;
OUT: ret; }"""
    )
    data = words(192).reshape(6, 32)
    found, report = run_kernel(ptx, "k", [data, Out((32,), "u4")], block=(64, 1, 1))
    assert not report.findings, [str(f) for f in report.findings]
    assert (found[0] == data.sum(axis=0, dtype="u4")).all()
    # without giving the stages back in time, the producer writes what is still being read
    early = ptx.replace("[empty], 32", "[empty], 1").replace("[empty+8], 32", "[empty+8], 1")
    _, report = run_kernel(early, "k", [data, Out((32,), "u4")], block=(64, 1, 1))
    assert {f.kind for f in report.findings} & {"race", "barrier", "unfinished-copy", "deadlock"}


def test_bulk_store_keeps_its_source_until_it_has_been_waited_for():
    body = """.shared .align 128 .b32 tile[32]; mov.u32 %s, tile; add.u32 %s, %s, %a; mov.u32 %x, tile;
st.shared.u32 [%s], %t;
bar.sync 0;
fence.proxy.async; setp.eq.u32 %p, %t, 0;
@%p cp.async.bulk.global.shared::cta.bulk_group [%gout], [%x], 128;
@%p cp.async.bulk.commit_group;
@%p cp.async.bulk.wait_group.read 0;
bar.sync 0;
st.shared.u32 [%s], 0; ret;"""
    arguments = [words(32), Out((32,), "u4"), np.uint32(0)]
    found, report = run_kernel(text(body), "k", arguments)
    assert not report.findings and (found[0] == np.arange(32)).all()
    _, report = run_kernel(text(body.replace("@%p cp.async.bulk.wait_group.read 0;", "")), "k", arguments)
    assert [f.kind for f in report.findings] == ["unfinished-copy"]


def test_cp_async_fills_with_zeros():
    body = """.shared .align 16 .b32 tile[128]; mov.u32 %s, tile; shl.b32 %x, %t, 4; add.u32 %s, %s, %x;
mul.wide.u32 %w, %t, 16; add.u64 %w, %gin, %w; and.b32 %v, %t, 3; shl.b32 %v, %v, 2;
cp.async.ca.shared.global [%s], [%w], 16, %v;
cp.async.wait_all; bar.sync 0;
ld.shared.u32 %v, [%s]; ld.shared.u32 %y, [%s+8]; add.u32 %v, %v, %y; st.global.u32 [%out], %v; ret;"""
    data = np.arange(1, 129, dtype="u4")
    found, report = run_kernel(text(body), "k", [data, Out((32,), "u4"), np.uint32(0)])
    assert not report.findings, [str(f) for f in report.findings]
    rows = data.reshape(32, 4)
    t = np.arange(32)
    assert (found[0] == np.where(t % 4 >= 1, rows[:, 0], 0) + np.where(t % 4 >= 3, rows[:, 2], 0)).all()


def test_cp_async_arrives_on_an_mbarrier():
    body = """.shared .align 16 .b32 tile[256]; .shared .align 8 .b64 full;
mov.u32 %s, tile; shl.b32 %x, %t, 4; add.u32 %s, %s, %x;
setp.eq.u32 %p, %t, 0; @%p mbarrier.init.shared.b64 [full], 64;
bar.sync 0;
mul.wide.u32 %w, %t, 16; add.u64 %w, %gin, %w;
cp.async.cg.shared.global [%s], [%w], 16;
cp.async.mbarrier.arrive.noinc.shared.b64 [full];
WAIT: mbarrier.test_wait.parity.shared.b64 %q, [full], 0;
@!%q bra WAIT;
xor.b32 %s, %s, 512; ld.shared.u32 %v, [%s]; st.global.u32 [%out], %v; ret;"""
    data = words(256)
    found, report = run_kernel(text(body), "k", [data, Out((64,), "u4"), np.uint32(0)], block=(64, 1, 1))
    assert not report.findings, [str(f) for f in report.findings]
    assert (found[0] == data.reshape(64, 4)[LANES ^ 32, 0]).all()
    late = body.replace("@!%q bra WAIT;", "").replace("WAIT: mbarrier", "mbarrier")
    _, report = run_kernel(text(late), "k", [data, Out((64,), "u4"), np.uint32(0)], block=(64, 1, 1))
    assert {f.kind for f in report.findings} <= {"race", "unfinished-copy"}
